/**
 * Becoming Primary (drbd.md 4.9), and Secondary again (4.10).
 *
 *   check --allowed, alone--> done        check --allowed, connected--> ping -> asked --1--> done
 *     ^ |--not outdated, only Consistent--> fence --> check                       |--refused--> check, or refused
 *     '-'--transient, two Primaries--> wait                                       '
 */
import { diskRank } from "../contract.ts";
import { askPeer } from "./cluster-change.ts";
import { ping } from "./connection.ts";
import type { Core } from "./core.ts";
import { askToFence } from "./fencing.ts";
import type { Operation } from "./memory.ts";
import { endOperation, failOperation, pause, pauseOver } from "./operation.ts";
import { codes, succeeded } from "./result-codes.ts";
import { isConnected, isFencing, isSuspended } from "./transitions.ts";

const MAX_TRIES = 4;
/** How long an unfinished handshake or change is waited for before the next look. */
const TRANSIENT_MS = 100;
const MAX_TRANSIENT_MS = 20_000;

const isForced = (operation: Operation): boolean =>
  operation.command.verb === "primary" && operation.command.force;

/** Goes on with a promotion; false: it waits. */
export function promotionProgress(core: Core, operation: Operation): boolean {
  const { memory } = core;
  switch (operation.phase) {
    case "begin":
    case "check":
      return check(core, operation);
    case "wait":
      if (!pauseOver(core, operation)) return false;
      operation.phase = "check";
      return true;
    case "ping":
      if (isConnected(core.state) && memory.pingAcks < operation.mark) return false;
      operation.phase = isConnected(core.state) ? "ask" : "check";
      return true;
    case "ask":
      return ask(core, operation);
    case "asked":
      if (operation.result === null) return false;
      return judgeAnswer(core, operation, operation.result);
    default:
      return fenced(core, operation);
  }
}

function check(core: Core, operation: Operation): boolean {
  const { memory } = core;
  if (core.isPrimary) {
    endOperation(core, operation, codes.nothingToDo);
    return true;
  }
  operation.tries += 1;
  if (operation.tries > MAX_TRIES) {
    endOperation(core, operation, codes.failedByPeer, `${MAX_TRIES} tries`);
    return true;
  }
  const patch = { role: "Primary", ...operation.patch } as const;
  const code = core.wouldBe(patch);
  if (!succeeded(code)) return overcome(core, operation, code);
  if (!isConnected(memory.state)) {
    core.change(patch);
    promoted(core, operation);
    return true;
  }
  operation.mark = ping(core);
  operation.phase = "ping";
  return true;
}

function ask(core: Core, operation: Operation): boolean {
  const code = askPeer(core, "volume", { role: "Primary", ...operation.patch });
  if (!succeeded(code)) {
    operation.phase = "check";
    return true;
  }
  operation.phase = "asked";
  return false;
}

/** What can be done about a local refusal. */
function overcome(core: Core, operation: Operation, code: number): boolean {
  const { disk, pdsk } = core.state;
  const force = isForced(operation);
  switch (code) {
    case codes.noUpToDateDisk:
      if (operation.patch.disk === "UpToDate") break;
      if (force && diskRank(disk) >= diskRank("Inconsistent") && disk !== "UpToDate") {
        operation.patch = { ...operation.patch, disk: "UpToDate" };
        operation.phase = "check";
        return true;
      }
      if (disk === "Consistent" && !isConnected(core.state)) {
        return fenceFirst(core, operation, diskRank(pdsk) <= diskRank("Outdated"));
      }
      break;
    case codes.primaryNop:
      return fenceFirst(core, operation, false);
    case codes.twoPrimaries:
      // The peer may be dead and not known to be: its ping times out meanwhile.
      if (operation.mark !== 0) break;
      operation.mark = isConnected(core.state) ? ping(core) : 1;
      pause(core, operation, core.options.spec.net.pingTimeoutMs + 100, "wait");
      return false;
    case codes.inTransientState:
      if (core.now - operation.since > MAX_TRANSIENT_MS) break;
      operation.tries -= 1;
      pause(core, operation, TRANSIENT_MS, "wait");
      return false;
    default:
  }
  endOperation(core, operation, code);
  return true;
}

function fenceFirst(core: Core, operation: Operation, known: boolean): boolean {
  const { disk } = core.options.spec;
  if (known || !isFencing(disk.fencing)) {
    operation.patch = { ...operation.patch, disk: "UpToDate" };
    operation.phase = "check";
    return true;
  }
  askToFence(core, "promotion: the peer's data may be newer, or in use");
  operation.phase = "fence";
  return false;
}

/** The answer about the peer is there, or the peer itself. */
function fenced(core: Core, operation: Operation): boolean {
  const { fence, state } = core.memory;
  if (fence.phase === "asked" || fence.phase === "delayed") return false;
  operation.phase = "check";
  if (isConnected(state) || core.memory.link.phase === "parameters") return true;
  if (fence.phase === "proven" && diskRank(state.pdsk) <= diskRank("Outdated")) {
    if (state.disk === "Consistent") operation.patch = { ...operation.patch, disk: "UpToDate" };
    return true;
  }
  if (isForced(operation)) {
    operation.assumedOutdated = true;
    operation.patch = { ...operation.patch, pdsk: "Outdated" };
    core.decide("BTN-DISK-FORCED-UNPROVEN", "an operator forces it without a proof about the peer");
    return true;
  }
  const code = state.disk === "Consistent" ? codes.noUpToDateDisk : codes.primaryNop;
  failOperation(core, operation, "BTN-DISK-PEER-NOT-OUTDATED", "the peer was not excluded", code);
  return true;
}

function judgeAnswer(core: Core, operation: Operation, result: number): boolean {
  operation.result = null;
  if (succeeded(result)) {
    promoted(core, operation);
    return true;
  }
  operation.phase = "check";
  if (result === codes.inTransientState || result === codes.concurrentChange) {
    pause(core, operation, TRANSIENT_MS, "wait");
    return false;
  }
  // 0: the connection ended before the peer answered.
  if (result === codes.unknown) return true;
  if (operation.assumedOutdated) {
    const { pdsk: _dropped, ...patch } = operation.patch;
    operation.patch = patch;
    operation.assumedOutdated = false;
    return true;
  }
  if (result === codes.twoPrimaries && operation.mark !== 0) {
    pause(core, operation, core.options.spec.net.pingTimeoutMs + 100, "wait");
    return false;
  }
  endOperation(core, operation, codes.failedByPeer, `the peer answered ${result}`);
  return true;
}

function promoted(core: Core, operation: Operation): void {
  const { state } = core.memory;
  const forced = operation.patch.disk === "UpToDate" && isForced(operation);
  const alone = !isConnected(state) || diskRank(state.pdsk) < diskRank("Inconsistent");
  if (forced || (alone && core.generations.bitmap === 0n)) {
    core.renewCurrent(false);
    core.persist();
  }
  if (isConnected(state)) {
    if (forced) core.sendGenerations(0);
    core.sendState();
  }
  if (forced)
    core.decide("BTN-DISK-PRIMARY-FORCED", "an operator declared this data to be current");
  else core.decide("BTN-DISK-PRIMARY", `with ${state.disk} data`);
  endOperation(core, operation, codes.success);
}

/** Goes on with a demotion: nothing has the device open, everything written is acknowledged. */
export function demotionProgress(core: Core, operation: Operation): boolean {
  const code = stepDown(core);
  if (code === undefined) return false;
  endOperation(core, operation, code);
  return true;
}

/** One look at a demotion; undefined: it has to wait. */
export function stepDown(core: Core): number | undefined {
  const { memory } = core;
  if (!core.isPrimary) return codes.nothingToDo;
  if (memory.openers > 0) return codes.deviceInUse;
  if (!core.data.drained()) {
    return isSuspended(memory.state) ? codes.inTransientState : undefined;
  }
  // Nothing was written that the peer lacks, so a freeze that ends here ends without a new generation.
  const due = memory.newCurrentDue;
  memory.newCurrentDue = false;
  const code = core.change({ role: "Secondary" });
  if (!succeeded(code)) memory.newCurrentDue = due;
  if (code === codes.inTransientState) return undefined;
  if (!succeeded(code)) return code;
  if (memory.state.suspFencing || memory.state.suspNoData) {
    core.force({ suspFencing: false, suspNoData: false });
  }
  if (isConnected(memory.state)) core.sendState();
  core.decide("BTN-DISK-SECONDARY", "asked");
  return code;
}
