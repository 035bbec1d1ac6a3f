/** P_PROTOCOL and P_SYNC_PARAM89: what both sides must have in common, and what the last speaker sets (drbd.md 2.4, 2.5). */
import type { NetOptions, ResyncOptions } from "../options.ts";
import {
  afterSplitBrainNumber,
  connectionFlag,
  mirrorAfterSplitBrain,
  protocolNumber,
} from "../wire/enums.ts";
import type { ProtocolPacket, SyncParamPacket } from "../wire/packets.ts";
import { loseConnection, turnAway } from "./connection.ts";
import type { Core } from "./core.ts";

const policiesOf = (net: NetOptions) =>
  [
    net.afterSplitBrain0Primaries,
    net.afterSplitBrain1Primary,
    net.afterSplitBrain2Primaries,
  ] as const;

/** P_PROTOCOL: what must be the same on both sides. */
export function sendProtocol(core: Core, command: ProtocolPacket["command"], flags: number): void {
  const { net } = core.options.spec;
  const [none, one, two] = policiesOf(net);
  core.send("data", {
    command,
    protocol: protocolNumber(net.protocol),
    afterSplitBrain: [
      afterSplitBrainNumber(none),
      afterSplitBrainNumber(one),
      afterSplitBrainNumber(two),
    ],
    connectionFlags: flags,
    twoPrimaries: net.allowTwoPrimaries ? 1 : 0,
    integrity: net.dataIntegrity ?? "",
  });
}

/** A diskless host has no disk options: it sends the defaults. */
export function sendSyncParameters(core: Core, changed?: ResyncOptions): void {
  const { spec } = core.options;
  const resync = changed ?? spec.disk.resync;
  const has = core.memory.disk !== null;
  core.send("data", {
    command: "P_SYNC_PARAM89",
    volume: spec.volume,
    rateKibPerSecond: has ? resync.rateKibPerSecond : 250,
    verify: spec.net.verify ?? "",
    checksumResync: spec.net.checksumResync ?? "",
    planAhead: has ? resync.planAheadSteps : 20,
    delayTarget: has ? resync.delayTargetSteps : 10,
    fillTarget: has ? resync.fillTargetSectors : 100,
    maxRate: has ? resync.maxRateKibPerSecond : 102_400,
  });
}

/** P_PROTOCOL of the handshake: everything must match. */
export function receiveProtocol(core: Core, packet: ProtocolPacket): void {
  const { memory, options } = core;
  const { link } = memory;
  if (link.phase !== "parameters" || link.got.protocol) {
    loseConnection(core, "ProtocolError", "BTN-DISK-UNEXPECTED-PACKET", `${packet.command} again`);
    return;
  }
  const different = differences(core, packet);
  if (different !== "") {
    turnAway(core, "BTN-DISK-OPTIONS-DIFFER", different);
    return;
  }
  const { dataIntegrity } = options.spec.net;
  if (dataIntegrity !== undefined && !options.digests.supports(dataIntegrity)) {
    turnAway(core, "BTN-DISK-OPTIONS-DIFFER", `${dataIntegrity} is not known here`);
    return;
  }
  const dryRun = (packet.connectionFlags & connectionFlag.dryRun) !== 0;
  memory.link = { ...link, got: { ...link.got, protocol: true, dryRun } };
}

function differences(core: Core, packet: ProtocolPacket): string {
  const { net } = core.options.spec;
  const found: string[] = [];
  const compare = (name: string, own: number | string, peers: number | string): void => {
    if (own !== peers) found.push(`${name} is ${own} here and ${peers} there`);
  };
  compare("protocol", protocolNumber(net.protocol), packet.protocol);
  const names = ["after-sb-0pri", "after-sb-1pri", "after-sb-2pri"];
  policiesOf(net).forEach((policy, at) => {
    const expected = afterSplitBrainNumber(mirrorAfterSplitBrain(policy));
    compare(names[at] ?? "", expected, packet.afterSplitBrain[at] ?? -1);
  });
  compare("allow-two-primaries", net.allowTwoPrimaries ? 1 : 0, packet.twoPrimaries);
  compare("data-integrity-alg", net.dataIntegrity ?? "", packet.integrity);
  const discards = (packet.connectionFlags & connectionFlag.discardMyData) !== 0;
  if (discards && core.memory.discardMyData) found.push("both sides discard their data");
  return found.join("; ");
}

/** P_SYNC_PARAM89: the algorithms must match in a handshake; the rates of whoever spoke last hold. */
export function receiveSyncParameters(core: Core, packet: SyncParamPacket): void {
  const { memory, options } = core;
  const { net, disk } = options.spec;
  const { link } = memory;
  const verify = packet.verify === "" ? undefined : packet.verify;
  const checksumResync = packet.checksumResync === "" ? undefined : packet.checksumResync;
  if (link.phase === "parameters") {
    if (verify !== net.verify || checksumResync !== net.checksumResync) {
      const own = `${net.verify ?? "none"}, ${net.checksumResync ?? "none"}`;
      const peers = `${verify ?? "none"}, ${checksumResync ?? "none"}`;
      const detail = `verify-alg and csums-alg are ${own} here and ${peers} there`;
      turnAway(core, "BTN-DISK-OPTIONS-DIFFER", detail);
      return;
    }
    memory.link = { ...link, got: { ...link.got, parameters: true } };
  } else if (link.phase === "up") {
    const unknown = [verify, checksumResync].find(
      (name) => name !== undefined && !options.digests.supports(name),
    );
    if (unknown !== undefined) {
      loseConnection(
        core,
        "ProtocolError",
        "BTN-DISK-OPTIONS-DIFFER",
        `${unknown} is not known here`,
      );
      return;
    }
    memory.link = { ...link, session: { ...link.session, verify, checksumResync } };
  }
  core.data.resyncOptions({
    ...disk.resync,
    rateKibPerSecond: packet.rateKibPerSecond,
    planAheadSteps: packet.planAhead,
    delayTargetSteps: packet.delayTarget,
    fillTargetSectors: packet.fillTarget,
    maxRateKibPerSecond: packet.maxRate,
  });
}
