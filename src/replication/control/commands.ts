/** What an administrator or the agent can ask (drbd.md 4.3, 9.5). Each command ends with exactly one `commandDone`. */
import { after, type Instant } from "../../base/index.ts";
import { type DiskCommand, diskRank } from "../contract.ts";
import { uuidFlag } from "../wire/enums.ts";
import { askPeer } from "./cluster-change.ts";
import { dial, standAlone } from "./connection.ts";
import type { Core } from "./core.ts";
import { makeDueGeneration } from "./fencing.ts";
import { clearBitmapGeneration, JUST_CREATED, newCurrent } from "./generations.ts";
import { diskProgress, takeMetadata } from "./local-disk.ts";
import type { Operation } from "./memory.ts";
import {
  answer,
  COMMAND_LIMIT_MS,
  endOperation,
  failOperation,
  MAX_WAITING,
  newOperation,
  pause,
  pauseOver,
} from "./operation.ts";
import { sendSyncParameters } from "./parameters.ts";
import { demotionProgress, promotionProgress, stepDown } from "./promotion.ts";
import { codes, reasonOf, succeeded } from "./result-codes.ts";
import { markAllOutOfSync } from "./resync.ts";
import { isConnected } from "./transitions.ts";

const TRANSIENT_MS = 100;

/** Begins a command, at once or behind those that are under way. */
export function takeCommand(core: Core, id: string, command: DiskCommand): void {
  const { memory } = core;
  const quick = atOnce(core, command);
  if (quick !== undefined) {
    answer(core, id, quick, reasonOf(quick), "");
    return;
  }
  if (memory.operation === null) memory.operation = newOperation(id, command, core.now);
  else if (memory.waiting.length < MAX_WAITING) memory.waiting.push({ id, command });
  else answer(core, id, codes.inTransientState, "BTN-DISK-TOO-MANY-COMMANDS", "");
}

/** Commands that never wait; undefined for the others. */
function atOnce(core: Core, command: DiskCommand): number | undefined {
  switch (command.verb) {
    case "pause-sync":
      return core.change({ userPaused: true });
    case "resume-sync":
      return core.change({ userPaused: false });
    case "suspend-io":
      return core.force({ suspUser: true });
    case "resume-io":
      makeDueGeneration(core);
      return core.force({ suspUser: false, suspFencing: false, suspNoData: false });
    case "set-resync-rate": {
      const resync = {
        ...core.options.spec.disk.resync,
        rateKibPerSecond: command.kibPerSecond,
      };
      core.data.resyncOptions(resync);
      if (isConnected(core.state)) sendSyncParameters(core, resync);
      return codes.success;
    }
    case "disconnect":
      if (!command.force) return undefined;
      if (core.memory.link.phase === "none") return codes.nothingToDo;
      standAlone(core, "BTN-DISK-DISCONNECTED", "by force");
      return codes.success;
    case "detach":
      if (!command.force) return undefined;
      if (core.state.disk === "Diskless") return codes.nothingToDo;
      core.force({ disk: "Failed" });
      diskProgress(core, true);
      core.decide("BTN-DISK-DETACHED", "by force");
      return codes.success;
    default:
      return undefined;
  }
}

/** Goes on with the command under way; false: it waits. */
export function operationProgress(core: Core): boolean {
  const { memory } = core;
  if (memory.operation === null) {
    const next = memory.waiting.shift();
    if (next === undefined) return false;
    memory.operation = newOperation(next.id, next.command, core.now);
  }
  const { operation } = memory;
  if (operation.phase !== "fence" && core.now - operation.since >= COMMAND_LIMIT_MS) {
    memory.change = null;
    const detail = `${operation.command.verb} made no progress in phase ${operation.phase}`;
    failOperation(core, operation, "BTN-DISK-COMMAND-TIMEOUT", detail);
    return true;
  }
  return advance(core, operation);
}

/** When the command under way must be looked at again. */
export function operationWakeAt(core: Core): Instant | undefined {
  const { operation } = core.memory;
  if (operation === null) return undefined;
  if (operation.until !== null && operation.until > core.now) return operation.until;
  return operation.phase === "fence" ? undefined : after(operation.since, COMMAND_LIMIT_MS);
}

function advance(core: Core, operation: Operation): boolean {
  const { command } = operation;
  switch (command.verb) {
    case "attach":
      return attach(core, operation);
    case "detach":
      return detach(core, operation);
    case "connect":
      return connect(core, operation, command.discardMyData, command.dryRun === true);
    case "disconnect":
      return disconnect(core, operation);
    case "primary":
      return promotionProgress(core, operation);
    case "secondary":
      return demotionProgress(core, operation);
    case "outdate":
      return outdate(core, operation);
    case "invalidate":
      return startSync(core, operation, "StartingSyncT");
    case "invalidate-remote":
      return startSync(core, operation, "StartingSyncS");
    case "verify":
      if (operation.phase === "begin") core.data.verifyRange(command.start, command.stop);
      return together(core, operation, { conn: "VerifyS" });
    case "new-current-uuid":
      return newGeneration(core, operation, command.clearBitmap);
    case "down":
      return down(core, operation);
    default:
      // The others are done at once.
      endOperation(core, operation, codes.nothingToDo);
      return true;
  }
}

function attach(core: Core, operation: Operation): boolean {
  const { memory } = core;
  if (operation.phase === "begin") {
    if (memory.state.disk !== "Diskless") {
      endOperation(core, operation, codes.diskConfigured);
      return true;
    }
    core.emit({ kind: "readMetadata" });
    operation.phase = "reading";
    return false;
  }
  // A handshake under way must end first: it was begun without a disk.
  if (memory.found === null || memory.link.phase === "parameters") return false;
  const { found } = memory;
  memory.found = null;
  const refusal = takeMetadata(core, found);
  if (refusal === undefined) endOperation(core, operation, codes.success);
  else {
    core.emit({ kind: "closeBacking" });
    core.decide(refusal.reason, refusal.detail);
    failOperation(core, operation, refusal.reason, refusal.detail, refusal.code);
  }
  return true;
}

/** The shell could not read the metadata. */
export function attachFailed(core: Core, reason: string, detail: string): void {
  const { operation } = core.memory;
  if (operation?.command.verb !== "attach") return;
  core.decide(reason, detail);
  failOperation(core, operation, reason, detail, codes.invalidMetadata);
}

function detach(core: Core, operation: Operation): boolean {
  const { state } = core.memory;
  if (operation.phase === "begin" && state.disk === "Diskless") {
    endOperation(core, operation, codes.nothingToDo);
    return true;
  }
  if (operation.phase !== "leaving") {
    const code = changeTogether(core, operation, { disk: "Failed" });
    if (code === undefined) return false;
    if (!succeeded(code)) {
      endOperation(core, operation, code);
      return true;
    }
    operation.phase = "leaving";
  }
  if (core.state.disk !== "Diskless") return diskProgress(core);
  core.decide("BTN-DISK-DETACHED", "asked");
  endOperation(core, operation, codes.success);
  return true;
}

function connect(core: Core, operation: Operation, discard: boolean, dryRun: boolean): boolean {
  const { memory, options } = core;
  if (memory.link.phase === "leaving") return false;
  if (memory.link.phase !== "none") endOperation(core, operation, codes.netConfigured);
  else if (discard && core.isPrimary) {
    const detail = "a Primary does not discard its data";
    failOperation(core, operation, "BTN-DISK-DISCARD-PRIMARY", detail, codes.dataNotCurrent);
  } else if (options.spec.net.authentication !== undefined && options.secret === undefined) {
    const detail = "cram-hmac-alg is configured and there is no shared secret";
    failOperation(core, operation, "BTN-DISK-NO-SECRET", detail, codes.noNetConfig);
  } else {
    memory.discardMyData = discard;
    memory.dryRun = dryRun;
    core.decide("BTN-DISK-CONNECTING", "looks for the peer");
    dial(core);
    endOperation(core, operation, codes.success);
  }
  return true;
}

function disconnect(core: Core, operation: Operation): boolean {
  const code = leave(core, operation);
  if (code === undefined) return false;
  endOperation(core, operation, code);
  return true;
}

/** One look at an orderly disconnect (drbd.md 4.10); undefined: it has to wait. */
function leave(core: Core, operation: Operation): number | undefined {
  const { memory } = core;
  if (memory.link.phase === "none") {
    return operation.phase === "asked" ? codes.success : codes.nothingToDo;
  }
  const gone = (detail: string): number => {
    standAlone(core, "BTN-DISK-DISCONNECTED", detail);
    return codes.success;
  };
  if (!isConnected(memory.state)) return gone("there was no connection");
  if (operation.phase !== "asked") {
    const patch = { conn: "Disconnecting", ...operation.patch } as const;
    const code = askPeer(core, "connection", patch);
    if (succeeded(code)) {
      operation.phase = "asked";
      return undefined;
    }
    if (code === codes.primaryNop && operation.patch.pdsk === undefined) {
      // We are Primary with fencing: the peer outdates itself on the way.
      operation.patch = { pdsk: "Outdated" };
      return leave(core, operation);
    }
    if (code === codes.lowerThanOutdated) return gone("this disk has nothing to be outdated");
    if (code !== codes.inTransientState) return code;
    pause(core, operation, TRANSIENT_MS, operation.phase);
    return undefined;
  }
  if (operation.result === null) return undefined;
  const { result } = operation;
  operation.result = null;
  operation.phase = "again";
  if (succeeded(result)) {
    core.force({ ...operation.patch, conn: "Disconnecting" });
    return gone("asked, the peer agreed");
  }
  if (result === codes.inTransientState || result === codes.concurrentChange) {
    pause(core, operation, TRANSIENT_MS, "again");
    return undefined;
  }
  if (core.isPrimary || operation.patch.disk !== undefined) {
    return gone(`the peer refused with ${result}`);
  }
  // The peer is Primary with fencing: it lets us go if we outdate ourselves.
  operation.patch = { disk: "Outdated" };
  return leave(core, operation);
}

function outdate(core: Core, operation: Operation): boolean {
  const connected = isConnected(core.state) || core.memory.link.phase === "parameters";
  const { disk, pdsk } = core.state;
  // S7: we excluded the peer, so whoever asks for its sake asks for data that is older than ours.
  const excluded = pdsk === "Outdated" || pdsk === "Inconsistent";
  const isLast = excluded && diskRank(disk) > diskRank("Outdated");
  const code = connected
    ? codes.connectedOutdates
    : isLast
      ? codes.noUpToDateDisk
      : core.change({ disk: "Outdated" });
  if (succeeded(code)) core.decide("BTN-DISK-OUTDATED", "this data is known to be old");
  endOperation(core, operation, code);
  return true;
}

function startSync(
  core: Core,
  operation: Operation,
  conn: "StartingSyncT" | "StartingSyncS",
): boolean {
  const { state, link } = core.memory;
  if (operation.phase === "begin" && diskRank(state.disk) < diskRank("Inconsistent")) {
    endOperation(core, operation, codes.noDisk);
    return true;
  }
  if (operation.phase !== "begin" || link.phase !== "none") {
    return together(core, operation, { conn });
  }
  // Alone: everything is marked, and the next connection copies it.
  const mine = conn === "StartingSyncT" && state.role === "Secondary";
  const theirs = conn === "StartingSyncS" && state.role === "Primary";
  if (!mine && !theirs) endOperation(core, operation, codes.needConnection);
  else {
    markAllOutOfSync(core);
    if (mine) core.force({ disk: "Inconsistent" });
    core.decide("BTN-DISK-INVALIDATED", mine ? "this disk" : "the peer's disk");
    endOperation(core, operation, codes.success);
  }
  return true;
}

/** A change that needs the peer if it is there, and nothing else. */
function together(core: Core, operation: Operation, patch: Operation["patch"]): boolean {
  const { disk, pdsk } = core.state;
  // Without one of the disks the change would be sanitised away: that is no success.
  const missing =
    diskRank(disk) < diskRank("Inconsistent")
      ? codes.noLocalDisk
      : isConnected(core.state) && diskRank(pdsk) < diskRank("Inconsistent")
        ? codes.noRemoteDisk
        : codes.success;
  const code =
    missing !== codes.success && operation.phase === "begin"
      ? missing
      : changeTogether(core, operation, patch);
  if (code === undefined) return false;
  endOperation(core, operation, code);
  return true;
}

function changeTogether(
  core: Core,
  operation: Operation,
  patch: Operation["patch"],
): number | undefined {
  if (operation.phase === "wait" && !pauseOver(core, operation)) return undefined;
  if (operation.phase !== "asked") {
    if (!isConnected(core.state)) return core.change(patch);
    const code = askPeer(core, "volume", patch);
    if (code === codes.inTransientState) {
      pause(core, operation, TRANSIENT_MS, "wait");
      return undefined;
    }
    if (!succeeded(code)) return code;
    operation.phase = "asked";
    return undefined;
  }
  if (operation.result === null) return undefined;
  const { result } = operation;
  operation.result = null;
  if (result === codes.inTransientState || result === codes.concurrentChange) {
    pause(core, operation, TRANSIENT_MS, "wait");
    return undefined;
  }
  if (result === codes.unknown) {
    operation.phase = "wait";
    return core.change(patch);
  }
  return succeeded(result) ? result : codes.failedByPeer;
}

function newGeneration(core: Core, operation: Operation, clear: boolean): boolean {
  const { memory, options } = core;
  const { state } = memory;
  const fresh = core.generations.current === JUST_CREATED;
  if (memory.disk === null) endOperation(core, operation, codes.noDisk);
  else if (isConnected(state) && !(fresh && clear && state.conn === "Connected")) {
    endOperation(core, operation, codes.connected);
  } else if (isConnected(state)) {
    // Both sides agree that nothing was ever written: no sync (drbd.md 5.3).
    const next = newCurrent(core.generations, options.random64(), core.isPrimary);
    core.data.clearAllBits(core.now);
    core.setGenerations(next);
    core.sendGenerations(uuidFlag.skipInitialSync);
    core.setGenerations({ ...next, bitmap: 0n });
    core.force({ disk: "UpToDate", pdsk: "UpToDate" });
    core.decide("BTN-DISK-SYNC-SKIPPED", "asked: nothing was ever written");
    endOperation(core, operation, codes.success);
  } else {
    const emptied = clearBitmapGeneration(core.generations);
    core.setGenerations(newCurrent(emptied, options.random64(), core.isPrimary));
    if (clear) core.data.clearAllBits(core.now);
    core.decide("BTN-DISK-NEW-GENERATION", "asked");
    endOperation(core, operation, codes.success);
  }
  return true;
}

/** Secondary, disconnected, detached, in this order; then the process may end. */
function down(core: Core, operation: Operation): boolean {
  const { memory } = core;
  if (operation.phase === "begin") {
    const code = stepDown(core);
    if (code === undefined) return false;
    if (!succeeded(code)) {
      endOperation(core, operation, code);
      return true;
    }
    operation.phase = "leaving";
  }
  if (operation.phase !== "detaching") {
    const code = leave(core, operation);
    if (code === undefined) return false;
    if (!succeeded(code)) standAlone(core, "BTN-DISK-DISCONNECTED", `by down, after ${code}`);
    operation.phase = "detaching";
    if (memory.state.disk !== "Diskless") core.force({ disk: "Failed" });
  }
  if (core.state.disk !== "Diskless") return diskProgress(core);
  core.decide("BTN-DISK-DOWN", "asked");
  endOperation(core, operation, codes.success);
  core.emit({ kind: "readyToStop" });
  return true;
}
