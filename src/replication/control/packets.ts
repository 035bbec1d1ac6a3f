/** Which packet goes where. P_PING is answered before anything else is looked at (I10). */
import type { SocketName } from "../contract.ts";
import type { Packet } from "../wire/packets.ts";
import { receiveReply, receiveRequest } from "./cluster-change.ts";
import { EPOCH_CHANGE_MS, loseConnection, pingAnswered } from "./connection.ts";
import type { Core } from "./core.ts";
import { epochChanged, greet } from "./handshake.ts";
import { receiveProtocol, receiveSyncParameters } from "./parameters.ts";
import { receiveGenerations, receiveState } from "./peer-state.ts";
import { receiveSyncUuid } from "./resync.ts";
import { receiveSizes } from "./sizes.ts";

/** Takes one packet of the present connection; those of an older one are not looked at. */
export function takePacket(core: Core, socket: SocketName, packet: Packet): void {
  const { memory } = core;
  const { link } = memory;
  if (link.phase === "none" || link.phase === "pausing" || link.phase === "dialling") return;
  memory.lastReceived = core.now;
  if (packet.command === "P_PING") {
    core.send("meta", { command: "P_PING_ACK", volume: 0 });
  } else if (packet.command === "P_PING_ACK") pingAnswered(core);
  else if (link.phase === "leaving") return;
  else if (link.phase !== "parameters" && link.phase !== "up") greet(core, link, packet);
  else if (connectionPacket(core, packet) || volumePacket(core, packet)) return;
  else if (link.phase === "up") core.data.packet(socket, packet, core.now);
  else refuse(core, `${packet.command} before the states were exchanged`);
}

function refuse(core: Core, detail: string): void {
  loseConnection(core, "ProtocolError", "BTN-DISK-UNEXPECTED-PACKET", detail);
}

/** Packets that concern the connection as a whole; true: it was one. */
function connectionPacket(core: Core, packet: Packet): boolean {
  switch (packet.command) {
    case "P_STATE_CHG_REPLY":
      receiveReply(core, "volume", packet.result);
      return true;
    case "P_CONN_ST_CHG_REPLY":
      receiveReply(core, "connection", packet.result);
      return true;
    case "P_CONN_ST_CHG_REQ":
      receiveRequest(core, "connection", packet);
      return true;
    case "P_DELAY_PROBE":
      return true;
    case "P_PROTOCOL":
      receiveProtocol(core, packet);
      return true;
    case "P_PROTOCOL_UPDATE":
      refuse(core, "the options of a connection are changed by a new connection");
      return true;
    case "P_BATON":
      epochChanged(core, packet.clusterId, packet.epoch, EPOCH_CHANGE_MS);
      return true;
    case "P_CONNECTION_FEATURES":
    case "P_AUTH_CHALLENGE":
    case "P_AUTH_RESPONSE":
    case "P_INITIAL_DATA":
    case "P_INITIAL_META":
      refuse(core, `${packet.command} after the handshake`);
      return true;
    default:
      return false;
  }
}

/** Packets of one volume: of another one the kernel skips the first four, and takes the rest for an error (drbd.md 1.4). */
function volumePacket(core: Core, packet: Packet): boolean {
  const { volume } = core.options.spec;
  const ours = "volume" in packet && packet.volume === volume;
  switch (packet.command) {
    case "P_SYNC_PARAM89":
      if (ours) receiveSyncParameters(core, packet);
      return true;
    case "P_SIZES":
      if (ours) receiveSizes(core, packet);
      return true;
    case "P_UUIDS":
      if (ours) receiveGenerations(core, packet);
      return true;
    case "P_STATE":
      if (ours) receiveState(core, packet.word);
      return true;
    case "P_SYNC_UUID":
      if (ours) receiveSyncUuid(core, packet.uuid);
      else refuse(core, `${packet.command} of volume ${packet.volume}`);
      return true;
    case "P_STATE_CHG_REQ":
      if (ours) receiveRequest(core, "volume", packet);
      else refuse(core, `${packet.command} of volume ${packet.volume}`);
      return true;
    default:
      return false;
  }
}
