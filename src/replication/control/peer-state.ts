/**
 * P_UUIDS and P_STATE: what the peer says of itself, and the decision whether and in which direction to sync
 * (drbd.md 2.7, 2.8, 5.4).
 */
import {
  connectionRank,
  type DeviceState,
  type DiskStateName,
  diskRank,
  type Generations,
} from "../contract.ts";
import { uuidFlag } from "../wire/enums.ts";
import { feature, type UuidsPacket } from "../wire/packets.ts";
import { decodeState } from "../wire/state-word.ts";
import { loseConnection, standAlone, turnAway } from "./connection.ts";
import type { Core } from "./core.ts";
import { cancelFence } from "./fencing.ts";
import { compareGenerations, JUST_CREATED, sameGeneration } from "./generations.ts";
import type { Link } from "./memory.ts";
import { codes, reasonOf } from "./result-codes.ts";
import { markAllOutOfSync, resyncFinishedThere, verifyFinishedThere } from "./resync.ts";
import { decideSync, type SyncDecision } from "./sync-decision.ts";

/** P_UUIDS: remembered for the P_STATE that follows; by itself it means something only in two cases. */
export function receiveGenerations(core: Core, packet: UuidsPacket): void {
  const { memory } = core;
  const { link, peer } = memory;
  peer.generations = packet.generations;
  peer.dirtyBits = packet.dirtyBits;
  peer.flags = packet.flags;
  if (link.phase === "parameters") {
    memory.link = { ...link, got: { ...link.got, generations: true } };
  }
  if (memory.disk === null && core.isPrimary) {
    const { exposed } = memory;
    const other = exposed !== 0n && !sameGeneration(exposed, packet.generations.current);
    if (link.phase === "parameters" && other) {
      const detail = "applications here use other data than the peer has";
      turnAway(core, "BTN-DISK-DATA-NOT-CURRENT", detail);
      return;
    }
    memory.exposed = packet.generations.current;
  }
  const skip = (packet.flags & uuidFlag.skipInitialSync) !== 0;
  if (skip && link.phase === "up" && memory.disk !== null)
    adoptWithoutSync(core, packet.generations);
}

/** new-current-uuid --clear-bitmap on the other side: fresh metadata takes its generation over (drbd.md 5.3). */
function adoptWithoutSync(core: Core, generations: Generations): void {
  if (core.generations.current !== JUST_CREATED || core.state.conn !== "Connected") return;
  core.data.clearAllBits(core.now);
  core.setGenerations({ ...core.generations, current: generations.current, bitmap: 0n });
  core.force({ disk: "UpToDate", pdsk: "UpToDate" });
  core.decide("BTN-DISK-SYNC-SKIPPED", "the peer says that nothing was ever written");
}

/** P_STATE. A word with numbers that mean nothing ends the connection. */
export function receiveState(core: Core, word: number): void {
  const { memory } = core;
  const said = decodeState(word);
  if (said === undefined || said.role === "Unknown") {
    const detail = `state word ${word.toString(16)}`;
    loseConnection(core, "ProtocolError", "BTN-DISK-STATE-ABSURD", detail);
    return;
  }
  const { link } = memory;
  const disk = realDisk(core, said.disk);
  if (link.phase === "parameters") firstState(core, link, said, disk);
  else if (link.phase === "up") laterState(core, said, disk);
}

/** A peer that attaches says what its disk is by a flag of P_UUIDS. */
function realDisk(core: Core, disk: DiskStateName): DiskStateName {
  if (disk !== "Negotiating") return disk;
  return (core.memory.peer.flags & uuidFlag.inconsistent) !== 0 ? "Inconsistent" : "Consistent";
}

type Parameters = Extract<Link, { phase: "parameters" }>;

function firstState(core: Core, link: Parameters, said: DeviceState, disk: DiskStateName): void {
  const { memory } = core;
  const { got } = link;
  const needsGenerations = diskRank(said.disk) >= diskRank("Negotiating");
  if (!got.protocol || !got.parameters || !got.sizes || (needsGenerations && !got.generations)) {
    const detail = "P_STATE before the parameters that it needs";
    loseConnection(core, "ProtocolError", "BTN-DISK-UNEXPECTED-PACKET", detail);
    return;
  }
  const decision = decide(core, said, disk);
  if (decision?.outcome === "drop" || got.dryRun) {
    turnAway(core, decision?.reason ?? "BTN-DISK-DRY-RUN", decision?.detail ?? "no sync");
    return;
  }
  const full = decision?.full === true;
  if (full) markAllOutOfSync(core);
  memory.link = { phase: "up", session: link.session };
  // A promotion may have asked while the parameters were exchanged: no answer counts any more.
  cancelFence(core);
  memory.discardMyData = false;
  memory.afterCrash = memory.crashedPrimary || (memory.peer.flags & uuidFlag.crashedPrimary) !== 0;
  core.data.sessionBegan(link.session);
  const code = core.change({
    ...peerFields(said, disk),
    conn: connectionOf(decision),
    ...(decision?.demote === true ? { role: "Secondary" } : {}),
  });
  if (code < codes.success) {
    turnAway(core, reasonOf(code), "the states of the two sides do not go together");
    return;
  }
  if (decision !== undefined) core.decide(decision.reason, decision.detail);
  else core.decide("BTN-DISK-CONNECTED", "without a comparison: one side has no disk");
  warnOfBits(core);
}

const peerFields = (said: DeviceState, disk: DiskStateName): Partial<DeviceState> => ({
  peer: said.role,
  pdsk: disk,
  peerPaused: said.afterPaused || said.userPaused,
});

function connectionOf(decision: SyncDecision | undefined): "Connected" | "WFBitMapS" | "WFBitMapT" {
  if (decision?.outcome === "source") return "WFBitMapS";
  return decision?.outcome === "target" ? "WFBitMapT" : "Connected";
}

function warnOfBits(core: Core): void {
  const bits = core.data.dirtyBlocks();
  const { conn, disk, pdsk } = core.state;
  if (conn === "Connected" && bits > 0 && disk === "UpToDate" && pdsk === "UpToDate") {
    core.decide(
      "BTN-DISK-BITS-REMAIN",
      `${bits} blocks are marked although the generations are equal`,
    );
  }
}

/** Compares and decides; undefined if one of the two has no disk to compare. Corrections of the table are kept. */
function decide(core: Core, said: DeviceState, peerDisk: DiskStateName): SyncDecision | undefined {
  const { memory, options, session } = core;
  const { state, peer } = memory;
  const { net } = options.spec;
  const attached = diskRank(state.disk) >= diskRank("Negotiating");
  const theirs = peer.generations;
  if (!attached || theirs === null || diskRank(said.disk) < diskRank("Negotiating"))
    return undefined;
  const resolveConflicts = session?.resolveConflicts ?? false;
  const compared = compareGenerations(core.generations, theirs, {
    role: state.role,
    peerRole: said.role,
    crashed: memory.crashedPrimary,
    peerCrashed: (peer.flags & uuidFlag.crashedPrimary) !== 0,
    knowsRule41: ((session?.features ?? 0) & feature.writeSame) !== 0,
    resolveConflicts,
  });
  if (compared.own !== core.generations) core.setGenerations(compared.own);
  peer.generations = compared.peer;
  const decision = decideSync({
    comparison: compared.result,
    rule: compared.rule,
    role: state.role,
    peerRole: said.role,
    disk: state.disk === "Negotiating" ? memory.postponed : state.disk,
    peerDisk,
    inUse: state.disk !== "Negotiating",
    policies: [
      net.afterSplitBrain0Primaries,
      net.afterSplitBrain1Primary,
      net.afterSplitBrain2Primaries,
    ],
    alwaysAfterSplitBrain: net.alwaysAfterSplitBrain,
    roleConflict: net.roleConflict,
    wasPrimary: (compared.own.bitmap & 1n) === 1n,
    peerWasPrimary: (compared.peer.bitmap & 1n) === 1n,
    changes: memory.announcedBits,
    peerChanges: peer.dirtyBits,
    resolveConflicts,
    discardMine: memory.discardMyData,
    discardPeers: (peer.flags & uuidFlag.discardMyData) !== 0,
    dryRun: memory.dryRun,
    canDemote: memory.openers === 0,
  });
  for (const handler of decision.handlers) core.runHandler(handler);
  return decision;
}

function laterState(core: Core, said: DeviceState, disk: DiskStateName): void {
  const { memory } = core;
  const { state } = memory;
  if (said.role === "Primary" && core.isPrimary && !core.options.spec.net.allowTwoPrimaries) {
    const detail = "the peer says that it is Primary too";
    loseConnection(core, "ProtocolError", "BTN-DISK-TWO-PRIMARIES", detail);
    return;
  }
  if (said.conn === "WFBitMapT" && state.conn === "WFBitMapT") {
    const detail = "both sides want to be the target";
    loseConnection(core, "ProtocolError", "BTN-DISK-BOTH-TARGETS", detail);
    return;
  }
  const idle = said.conn === "Connected" && disk === "UpToDate";
  if (idle && (state.conn === "SyncSource" || state.conn === "PausedSyncS")) {
    if (resyncFinishedThere(core)) return;
  }
  if (said.conn === "Connected" && state.conn === "VerifyT") {
    verifyFinishedThere(core);
    return;
  }
  const decision = mustDecide(core, said) ? decide(core, said, disk) : undefined;
  memory.considerResync = false;
  if (decision?.outcome === "drop") {
    refuseLater(core, decision);
    return;
  }
  applyLater(core, said, disk, decision);
}

function mustDecide(core: Core, said: DeviceState): boolean {
  const { state, considerResync } = core.memory;
  const wants = connectionRank(said.conn);
  const starts = wants >= connectionRank("StartingSyncS") && wants <= connectionRank("WFBitMapT");
  const attaches = said.disk === "Negotiating" || state.disk === "Negotiating";
  const appeared =
    diskRank(state.pdsk) < diskRank("Negotiating") &&
    diskRank(said.disk) >= diskRank("Negotiating");
  return attaches || appeared || considerResync || (state.conn === "Connected" && starts);
}

/** A comparison that fails while one side attaches costs that side its disk; otherwise the connection. */
function refuseLater(core: Core, decision: SyncDecision): void {
  if (core.state.disk === "Negotiating") {
    core.decide(decision.reason, decision.detail);
    core.force({ disk: "Failed" });
  } else if (diskRank(core.state.pdsk) < diskRank("Negotiating")) {
    core.decide(decision.reason, decision.detail);
  } else standAlone(core, decision.reason, decision.detail);
}

function applyLater(
  core: Core,
  said: DeviceState,
  disk: DiskStateName,
  decision: SyncDecision | undefined,
): void {
  const { memory } = core;
  const { state } = memory;
  if (decision?.full === true) markAllOutOfSync(core);
  const behind = said.conn === "Ahead" && state.conn === "Connected";
  const conn = decision !== undefined ? connectionOf(decision) : behind ? "Behind" : state.conn;
  core.force({
    ...peerFields(said, disk),
    conn,
    ...(state.disk === "Negotiating" && decision !== undefined ? { disk: memory.postponed } : {}),
    ...(decision?.demote === true ? { role: "Secondary" } : {}),
  });
  if (decision !== undefined) core.decide(decision.reason, decision.detail);
  const ahead =
    connectionRank(conn) > connectionRank("Connected") &&
    connectionRank(said.conn) <= connectionRank("Connected") &&
    said.disk !== "Negotiating" &&
    decision !== undefined;
  if (ahead) {
    core.sendGenerations(0);
    core.sendState();
  }
}
