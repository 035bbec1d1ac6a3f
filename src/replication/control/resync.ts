/**
 * The steps of a resync and of a verify that concern states and generations (drbd.md 5.3, 6.1, 6.6, 6.7). What is copied
 * and compared is `data/`'s.
 *
 *   WFBitMapS --bitmap received--> [before-resync-source] -> P_SYNC_UUID -> SyncSource --peer UpToDate--> ping -> Connected
 *   WFBitMapT --bitmap sent--> WFSyncUUID --P_SYNC_UUID--> [before-resync-target] -> SyncTarget --done--> flush, ping
 *                                                                              -> generations -> Connected, P_STATE
 *   StartingSyncS, StartingSyncT: the same without bitmaps, with all bits set
 *   VerifyS, VerifyT --done--> ping -> Connected; VerifyS says so
 *
 * Pings: what the peer still had to read on the meta socket is read before the state changes (drbd.md 3.7).
 */
import type { HandlerName } from "../options.ts";
import { loseConnection, ping, standAlone } from "./connection.ts";
import type { Core } from "./core.ts";
import {
  clearBitmapGeneration,
  finishAsTarget,
  startAsSource,
  startAsTarget,
} from "./generations.ts";
import type { SyncStep } from "./memory.ts";
import { isFencing } from "./transitions.ts";

/** Sets every bit; the metadata says so until the bitmap on the disk does (flag FULL_SYNC). */
export function markAllOutOfSync(core: Core): void {
  const { memory } = core;
  if (memory.disk === null) return;
  const { flags } = memory.disk.superblock;
  core.updateSuperblock({ flags: { ...flags, fullSync: true } });
  core.data.setAllBits(core.now);
  memory.fullSyncToken = core.output.writeMetadata([], false);
}

/** Our bitmap is on its way: as target we wait for the identity of the resync. */
export function bitmapSent(core: Core): void {
  if (core.state.conn === "WFBitMapT") core.force({ conn: "WFSyncUUID" });
}
/** The peer's bitmap is there: as source we begin; so we do after Ahead, where both bitmaps agree. */
export function bitmapReceived(core: Core): void {
  if (core.state.conn === "WFBitMapS" || core.state.conn === "Ahead") begin(core, "startSource", 0);
}

/** P_SYNC_UUID, which can overtake the answer on the meta socket that makes us the target. */
export function receiveSyncUuid(core: Core, uuid: bigint): void {
  const { memory } = core;
  const { conn } = memory.state;
  const expected =
    conn === "WFSyncUUID" ||
    conn === "Behind" ||
    conn === "WFBitMapT" ||
    conn === "StartingSyncT" ||
    memory.change?.patch.conn === "StartingSyncT";
  if (!expected || memory.earlySyncUuid !== null || memory.step !== null) {
    const detail = `P_SYNC_UUID in state ${conn}`;
    loseConnection(core, "ProtocolError", "BTN-DISK-UNEXPECTED-PACKET", detail);
    return;
  }
  memory.earlySyncUuid = uuid;
}

/** The target has written the last block. */
export function resyncDone(core: Core, failedBlocks: number): void {
  if (core.state.conn === "SyncTarget" || core.state.conn === "PausedSyncT") {
    begin(core, "finishTarget", failedBlocks);
  }
}
/** The last block was compared. */
export function verifyDone(core: Core, outOfSyncBlocks: number): void {
  if (core.state.conn === "VerifyS" || core.state.conn === "VerifyT") {
    begin(core, "verify", outOfSyncBlocks);
  }
}
/** The side that began the verify says that it is over. */
export function verifyFinishedThere(core: Core): void {
  if (core.memory.step === null) begin(core, "verify", core.data.dirtyBlocks());
}

/** The target says that it is done; false if we still know blocks that are not. */
export function resyncFinishedThere(core: Core): boolean {
  if (core.data.dirtyBlocks() > core.data.failedBlocks()) return false;
  if (core.memory.step === null) begin(core, "finishSource", 0);
  return true;
}

/** What each step waits for first. */
function begin(core: Core, name: SyncStep, failedBlocks: number): void {
  const { memory } = core;
  if (memory.step !== null) return;
  const handlers: Partial<Record<SyncStep, HandlerName>> = {
    startSource: "before-resync-source",
    startTarget: "before-resync-target",
  };
  const handler = handlers[name];
  const waits = handler !== undefined && core.runHandler(handler) ? handler : null;
  const pings = handler === undefined ? ping(core) : 0;
  // R8: the last block is durable before the metadata says that this disk is whole.
  const flush = name === "finishTarget" ? core.nextIo() : 0;
  if (flush > 0) core.emit({ kind: "localFlush", io: flush });
  memory.step = { name, failedBlocks, awaited: { ping: pings, flush, handler: waits } };
}

/** A local flush that belongs to a step; true if it was one. */
export function stepFlushed(core: Core, io: number, ok: boolean): boolean {
  const { step } = core.memory;
  if (step === null || io === 0 || step.awaited.flush !== io) return false;
  step.awaited.flush = 0;
  if (!ok) {
    core.memory.step = null;
    core.notice({ kind: "localIoError", operation: "flush", sector: 0, error: "flush failed" });
  }
  return true;
}

/** A handler that a step waits for has ended. */
export function stepHandlerDone(core: Core, handler: HandlerName, status: number): void {
  const { step } = core.memory;
  if (step === null || step.awaited.handler !== handler) return;
  const ignored = handler === "before-resync-source" && status === 3;
  if (status !== 0 && !ignored) {
    const detail = `${handler} ended with status ${status}`;
    standAlone(core, "BTN-DISK-HANDLER-REFUSED", detail);
    return;
  }
  step.awaited.handler = null;
}

/** Goes on with whatever can go on; called after every event, until nothing changes. */
export function resyncProgress(core: Core): boolean {
  const { memory } = core;
  const { conn } = memory.state;
  if (conn === "StartingSyncT") {
    markAllOutOfSync(core);
    core.force({ conn: "WFSyncUUID" });
    return true;
  }
  if (conn === "StartingSyncS" && memory.step === null) {
    markAllOutOfSync(core);
    begin(core, "startSource", 0);
  }
  const ready = conn === "WFSyncUUID" || conn === "Behind";
  if (ready && memory.earlySyncUuid !== null && memory.step === null) begin(core, "startTarget", 0);
  const { step } = memory;
  if (step === null) return false;
  const { awaited } = step;
  if (awaited.handler !== null || awaited.flush !== 0) return false;
  if (awaited.ping > memory.pingAcks) return false;
  memory.step = null;
  finish(core, step.name, step.failedBlocks);
  return true;
}

function finish(core: Core, name: SyncStep, failedBlocks: number): void {
  switch (name) {
    case "startSource":
      startSource(core);
      return;
    case "startTarget":
      startTarget(core);
      return;
    case "finishSource":
      finishSource(core);
      return;
    case "finishTarget":
      finishTarget(core, failedBlocks);
      return;
    default:
      finishVerify(core, failedBlocks);
  }
}

function startSource(core: Core): void {
  const { conn } = core.state;
  if (conn !== "WFBitMapS" && conn !== "StartingSyncS" && conn !== "Ahead") return;
  core.setGenerations(startAsSource(core.generations, core.options.random64()));
  core.send("data", {
    command: "P_SYNC_UUID",
    volume: core.options.spec.volume,
    uuid: core.generations.bitmap,
  });
  core.force({ conn: "SyncSource", pdsk: "Inconsistent" });
  core.decide("BTN-DISK-RESYNC-SOURCE", `${core.data.dirtyBlocks()} blocks differ`);
}

function startTarget(core: Core): void {
  const { memory } = core;
  const uuid = memory.earlySyncUuid;
  if (uuid === null) return;
  memory.earlySyncUuid = null;
  core.setGenerations(startAsTarget(core.generations, uuid, core.isPrimary));
  core.force({ conn: "SyncTarget", disk: "Inconsistent" });
  core.decide("BTN-DISK-RESYNC-TARGET", `${core.data.dirtyBlocks()} blocks differ`);
}

function finishTarget(core: Core, failedBlocks: number): void {
  const { memory } = core;
  const theirs = memory.peer.generations;
  const whole = failedBlocks === 0 && theirs !== null;
  if (whole) {
    core.setGenerations(finishAsTarget(core.generations, theirs, core.isPrimary));
    memory.peer.generations = core.generations;
  }
  core.force({
    conn: "Connected",
    disk: whole ? "UpToDate" : "Inconsistent",
    pdsk: "UpToDate",
  });
  core.sendState();
  if (whole) core.decide("BTN-DISK-RESYNCED", "this disk is UpToDate");
  else core.decide("BTN-DISK-RESYNC-FAILED", `${failedBlocks} blocks could not be copied`);
  core.runHandler("after-resync-target");
}

function finishSource(core: Core): void {
  const { memory } = core;
  core.setGenerations(clearBitmapGeneration(core.generations));
  memory.peer.generations = core.generations;
  core.force({ conn: "Connected", disk: "UpToDate", pdsk: "UpToDate" });
  core.decide("BTN-DISK-RESYNCED", "the peer's disk is UpToDate");
  if (isFencing(core.options.spec.disk.fencing)) core.runHandler("unfence-peer");
}

function finishVerify(core: Core, outOfSyncBlocks: number): void {
  const began = core.state.conn === "VerifyS";
  core.force({ conn: "Connected" });
  if (began) core.sendState();
  if (outOfSyncBlocks === 0) {
    core.decide("BTN-DISK-VERIFIED", "no difference");
    return;
  }
  core.decide("BTN-DISK-VERIFY-DIFFERENCES", `${outOfSyncBlocks} blocks differ`);
  core.runHandler("out-of-sync");
}
