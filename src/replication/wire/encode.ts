/** Packets to bytes: header, struct and digest go into a buffer of the caller, bulk data is left where it is. */
import { assert } from "../../base/index.ts";
import { putBig, putText, putU16, putU32, putU64 } from "./bytes.ts";
import { commandOfPacket, NAME_BYTES } from "./commands.ts";
import { headerBytes, putHeader, type WireSession } from "./header.ts";
import { feature, type Packet, type QueueLimits } from "./packets.ts";

/** No head is longer: P_SYNC_PARAM89 with its header has 164 bytes. */
export const HEAD_MAX = 192;

const NOTHING = new Uint8Array(0);

/** The bytes that follow a packet's head: its bulk data; empty if there are none. Not copied. */
export function payloadOf(packet: Packet): Uint8Array {
  switch (packet.command) {
    case "P_DATA":
    case "P_DATA_REPLY":
    case "P_RS_DATA_REPLY":
      return packet.data;
    case "P_WSAME":
      return packet.data ?? NOTHING;
    case "P_BITMAP":
    case "P_COMPRESSED_BITMAP":
    case "P_AUTH_CHALLENGE":
    case "P_AUTH_RESPONSE":
      return packet.bytes;
    default:
      return NOTHING;
  }
}

/**
 * Writes the head of a packet at `at`, where at least `HEAD_MAX` bytes must be free; returns how many bytes it took. The
 * payload follows in the stream.
 */
export function putHead(
  into: Uint8Array,
  at: number,
  packet: Packet,
  session: WireSession | undefined,
): number {
  assert(at + HEAD_MAX <= into.length, "No room for the head of a packet");
  const { number } = commandOfPacket(packet);
  const bodyAt = at + headerBytes(number, session);
  const bodyBytes = putBody(into, bodyAt, packet, session);
  const length = bodyBytes + payloadOf(packet).length;
  const volume = "volume" in packet ? packet.volume : 0;
  putHeader(into, at, { command: number, volume, length }, session);
  return bodyAt - at + bodyBytes;
}

/** Writes struct and digest; returns their length. */
function putBody(
  into: Uint8Array,
  at: number,
  packet: Packet,
  session: WireSession | undefined,
): number {
  switch (packet.command) {
    case "P_DATA":
    case "P_DATA_REPLY":
    case "P_RS_DATA_REPLY":
      putU64(into, at, packet.sector);
      putU32(into, at + 8, packet.idHigh);
      putU32(into, at + 12, packet.idLow);
      putU32(into, at + 16, packet.sequence);
      putU32(into, at + 20, packet.flags);
      return 24 + putDigest(into, at + 24, packet.digest, session);
    case "P_TRIM":
    case "P_ZEROES":
    case "P_WSAME":
      putU64(into, at, packet.sector);
      putU32(into, at + 8, packet.idHigh);
      putU32(into, at + 12, packet.idLow);
      putU32(into, at + 16, packet.sequence);
      putU32(into, at + 20, packet.flags);
      putU32(into, at + 24, packet.bytes);
      return packet.command === "P_WSAME"
        ? 28 + putDigest(into, at + 28, packet.digest, session)
        : 28;
    case "P_DATA_REQUEST":
    case "P_RS_DATA_REQUEST":
    case "P_RS_THIN_REQ":
    case "P_OV_REQUEST":
    case "P_OV_REPLY":
    case "P_CSUM_RS_REQUEST":
      putU64(into, at, packet.sector);
      putU32(into, at + 8, packet.idHigh);
      putU32(into, at + 12, packet.idLow);
      putU32(into, at + 16, packet.bytes);
      putU32(into, at + 20, 0);
      if (packet.digest !== undefined) into.set(packet.digest, at + 24);
      return 24 + (packet.digest?.length ?? 0);
    case "P_BARRIER":
      putU32(into, at, packet.barrier);
      putU32(into, at + 4, 0);
      return 8;
    case "P_BARRIER_ACK":
      putU32(into, at, packet.barrier);
      putU32(into, at + 4, packet.writes);
      return 8;
    case "P_OUT_OF_SYNC":
    case "P_RS_DEALLOCATED":
      putU64(into, at, packet.sector);
      putU32(into, at + 8, packet.bytes);
      putU32(into, at + 12, 0);
      return 16;
    default:
      if ("sequence" in packet) {
        putU64(into, at, packet.sector);
        putU32(into, at + 8, packet.idHigh);
        putU32(into, at + 12, packet.idLow);
        putU32(into, at + 16, packet.bytes);
        putU32(into, at + 20, packet.sequence);
        return 24;
      }
      return putRare(into, at, packet, session);
  }
}

/** The digest of the data-integrity-alg, which must be there exactly if one is agreed. */
function putDigest(
  into: Uint8Array,
  at: number,
  digest: Uint8Array | undefined,
  session: WireSession | undefined,
): number {
  const length = digest?.length ?? 0;
  assert(length === (session?.digestBytes ?? 0), `A digest of ${length} bytes was not agreed`);
  if (digest !== undefined) into.set(digest, at);
  return length;
}

/** What is not sent many times a second. */
function putRare(
  into: Uint8Array,
  at: number,
  packet: Packet,
  session: WireSession | undefined,
): number {
  switch (packet.command) {
    case "P_CONNECTION_FEATURES":
      into.fill(0, at, at + 72);
      putU32(into, at, packet.minimum);
      putU32(into, at + 4, packet.features);
      putU32(into, at + 8, packet.maximum);
      return 72;
    case "P_PROTOCOL":
    case "P_PROTOCOL_UPDATE":
      putU32(into, at, packet.protocol);
      packet.afterSplitBrain.forEach((policy, index) => {
        putU32(into, at + 4 + 4 * index, policy);
      });
      putU32(into, at + 16, packet.connectionFlags);
      putU32(into, at + 20, packet.twoPrimaries);
      return 24 + putName(into, at + 24, packet.integrity.length + 1, packet.integrity);
    case "P_SYNC_PARAM89":
      putU32(into, at, packet.rateKibPerSecond);
      putName(into, at + 4, NAME_BYTES, packet.verify);
      putName(into, at + 68, NAME_BYTES, packet.checksumResync);
      putU32(into, at + 132, packet.planAhead);
      putU32(into, at + 136, packet.delayTarget);
      putU32(into, at + 140, packet.fillTarget);
      putU32(into, at + 144, packet.maxRate);
      return 148;
    case "P_SIZES": {
      const withLimits = ((session?.features ?? 0) & feature.writeSame) !== 0;
      assert(
        withLimits === (packet.limits !== undefined),
        "P_SIZES has limits exactly with FF_WSAME",
      );
      putU64(into, at, packet.diskSectors);
      putU64(into, at + 8, packet.userSectors);
      putU64(into, at + 16, packet.currentSectors);
      putU32(into, at + 24, packet.maxBioBytes);
      putU16(into, at + 28, packet.queueOrderType);
      putU16(into, at + 30, packet.flags);
      return packet.limits === undefined ? 32 : 32 + putLimits(into, at + 32, packet.limits);
    }
    case "P_UUIDS":
      putBig(into, at, packet.generations.current);
      putBig(into, at + 8, packet.generations.bitmap);
      putBig(into, at + 16, packet.generations.history0);
      putBig(into, at + 24, packet.generations.history1);
      putU64(into, at + 32, packet.dirtyBits);
      putU64(into, at + 40, packet.flags);
      return 48;
    default:
      return putSmall(into, at, packet);
  }
}

function putSmall(into: Uint8Array, at: number, packet: Packet): number {
  switch (packet.command) {
    case "P_STATE":
      putU32(into, at, packet.word);
      return 4;
    case "P_SYNC_UUID":
      putBig(into, at, packet.uuid);
      return 8;
    case "P_STATE_CHG_REQ":
    case "P_CONN_ST_CHG_REQ":
      putU32(into, at, packet.mask);
      putU32(into, at + 4, packet.value);
      return 8;
    case "P_STATE_CHG_REPLY":
    case "P_CONN_ST_CHG_REPLY":
      putU32(into, at, packet.result);
      return 4;
    case "P_DELAY_PROBE":
      into.fill(0, at, at + 8);
      return 8;
    case "P_BATON":
      putU64(into, at, packet.epoch);
      return 8 + putName(into, at + 8, packet.clusterId.length + 1, packet.clusterId);
    default:
      return 0;
  }
}

function putName(into: Uint8Array, at: number, length: number, name: string): number {
  assert(name.length < NAME_BYTES, `The name ${name} is longer than ${NAME_BYTES - 1} characters`);
  putText(into, at, length, name);
  return length;
}

function putLimits(into: Uint8Array, at: number, limits: QueueLimits): number {
  putU32(into, at, limits.physicalBlockBytes);
  putU32(into, at + 4, limits.logicalBlockBytes);
  putU32(into, at + 8, limits.alignmentOffset);
  putU32(into, at + 12, limits.ioMinimum);
  putU32(into, at + 16, limits.ioOptimum);
  into[at + 20] = Number(limits.discard);
  into[at + 21] = Number(limits.discardZeroes);
  into[at + 22] = Number(limits.writeSame);
  into[at + 23] = 0;
  return 24;
}
