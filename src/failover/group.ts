/**
 * One group on this host: what runs, what is being done, and what failed. One operation at a time,
 * numbered; a release may overtake an unfinished acquire (then the acquire's end is not heard).
 *
 *   unknown --probed--> running | stopped | unknown and partial
 *   stopped, failed, partial --acquire--> starting --done--> running
 *                                          starting --failed, clean--> failed
 *                                          starting --failed, not clean--> blocked
 *   running, starting, partial --release--> stopping --done--> stopped (failed: after a monitor failed)
 *                                           stopping --failed--> blocked
 *   blocked --release again, with back-off or on command--> stopping
 *
 * `blocked` is never reported as released, so the peer does not start the group (R19).
 */
import { after, type Instant } from "../base/index.ts";
import type { FailoverEvent, OperationOutcome } from "./contract.ts";
import type { FailoverReason } from "./reasons.ts";
import { type GroupRun, isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

/** What ownership wants of a group now, and why. */
export interface Want {
  readonly to: "run" | "stop" | "leave";
  readonly urgent?: boolean;
  readonly reason: FailoverReason;
  readonly detail?: string;
}

/** Tries in a row on one host before a person must look. */
export const START_TRIES_MAX = 3;
/** Waits before the second, third, ... try of a start: long enough for a server to shut down. */
const START_BACKOFF_MS = [5_000, 15_000, 45_000] as const;
/** A stop is tried for ever, but ever more slowly: only it can free the group. */
const STOP_BACKOFF_MS = [5_000, 15_000, 30_000, 60_000] as const;
/** An unclear probe is asked again after this long. */
const PROBE_AGAIN_MS = 5_000;
/** A group that ran this long is healthy: earlier failed starts do not count any more. */
export const HEALTHY_MS = 600_000;

const wait = (table: readonly number[], tries: number): number =>
  table[Math.min(tries, table.length) - 1] ?? 0;

/** Carries out what is wanted, as far as the state of the group allows now. Idempotent. */
export function drive(turn: Turn, name: string, want: Want): void {
  const run = turn.run(name);
  if (run.probed === "no" || run.probed === "asked") return;
  turn.stand(name, want.reason, want.detail);
  if (want.to === "run") {
    driveRun(turn, name, run, want);
    return;
  }
  if (want.to === "stop") {
    driveStop(turn, name, run, want);
    return;
  }
}

function driveRun(turn: Turn, name: string, run: GroupRun, want: Want): void {
  switch (run.here) {
    case "stopped":
    case "failed":
      acquire(turn, name, want.reason);
      return;
    case "unknown":
      if (run.partial) acquire(turn, name, want.reason);
      return;
    case "blocked":
      // A planned stop that failed halfway: being the rightful holder, complete the group again.
      if (run.blockedBy === "stop" && !run.failing) {
        acquire(turn, name, want.reason);
        return;
      }
      retryStop(turn, name, run, false);
      return;
    default:
      return;
  }
}

function driveStop(turn: Turn, name: string, run: GroupRun, want: Want): void {
  const urgent = want.urgent === true;
  switch (run.here) {
    case "running":
    case "starting":
    case "unknown":
      release(turn, name, want.reason, urgent);
      return;
    case "stopping":
      if (urgent && run.operation?.urgent === false) release(turn, name, want.reason, true);
      return;
    case "blocked":
      retryStop(turn, name, run, urgent);
      return;
    default:
      return;
  }
}

function retryStop(turn: Turn, name: string, run: GroupRun, urgent: boolean): void {
  if (run.retryAt !== null && turn.now < run.retryAt) return;
  release(turn, name, "BTN-FAILOVER-STOP-RETRY", urgent);
}

function acquire(turn: Turn, name: string, reason: FailoverReason): void {
  const run = turn.run(name);
  if (run.operation !== null) return;
  turn.keep(name, { heldHere: true });
  run.operation = { id: ++turn.state.operations, kind: "acquire", urgent: false };
  run.here = "starting";
  run.pristine = false;
  run.retryAt = null;
  const { epoch } = turn.own(name);
  turn.emit({ kind: "acquire", operation: run.operation.id, group: name, epoch, reason });
}

function release(turn: Turn, name: string, reason: FailoverReason, urgent: boolean): void {
  const run = turn.run(name);
  if (run.operation?.kind === "release" && (run.operation.urgent || !urgent)) return;
  run.operation = { id: ++turn.state.operations, kind: "release", urgent };
  run.here = "stopping";
  run.retryAt = null;
  turn.emit({ kind: "release", operation: run.operation.id, group: name, reason, urgent });
}

/** An operation came to its end; those that were overtaken are ignored. */
export function operationDone(
  turn: Turn,
  event: Extract<FailoverEvent, { kind: "operationDone" }>,
): void {
  const run = turn.state.groups[event.group];
  if (run === undefined || run.operation?.id !== event.operation) return;
  const { kind } = run.operation;
  run.operation = null;
  run.partial = false;
  if (kind === "acquire") {
    acquireDone(turn, event.group, run, event.outcome);
    return;
  }
  releaseDone(turn, event.group, run, event.outcome);
  return;
}

function acquireDone(turn: Turn, name: string, run: GroupRun, outcome: OperationOutcome): void {
  if (outcome.result === "done") {
    run.here = "running";
    run.blockedBy = null;
    run.stopTries = 0;
    run.failing = false;
    run.lost = false;
    run.runningSince = turn.now;
    run.failureDetail = "";
    turn.keep(name, { failedHere: null });
    return;
  }
  noteFailure(turn, name, run, outcome);
  run.here = outcome.clean ? "failed" : "blocked";
  run.blockedBy = outcome.clean ? null : "start";
  if (outcome.clean) {
    run.lost = false;
    turn.keep(name, { heldHere: false });
  } else run.retryAt = after(turn.now, wait(STOP_BACKOFF_MS, 1));
  turn.note(
    outcome.clean ? "BTN-FAILOVER-START-FAILED" : "BTN-FAILOVER-STOP-BLOCKED",
    run.failureDetail,
    name,
  );
}

function releaseDone(turn: Turn, name: string, run: GroupRun, outcome: OperationOutcome): void {
  run.runningSince = null;
  if (outcome.result === "done") {
    const failed = run.failing || run.blockedBy === "start";
    run.here = failed ? "failed" : "stopped";
    run.failing = false;
    run.lost = false;
    run.blockedBy = null;
    run.stopTries = 0;
    run.retryAt = failed ? after(turn.now, wait(START_BACKOFF_MS, run.tries)) : null;
    turn.keep(name, { heldHere: false });
    return;
  }
  run.here = "blocked";
  run.blockedBy ??= "stop";
  run.stopTries += 1;
  run.retryAt = after(turn.now, wait(STOP_BACKOFF_MS, run.stopTries));
  run.failureDetail = describe(outcome);
  turn.note("BTN-FAILOVER-STOP-BLOCKED", run.failureDetail, name);
}

function noteFailure(
  turn: Turn,
  name: string,
  run: GroupRun,
  failure: { readonly resource: string; readonly reason: string; readonly detail: string },
): void {
  run.tries += 1;
  run.retryAt = after(turn.now, wait(START_BACKOFF_MS, run.tries));
  run.runningSince = null;
  run.failureDetail = describe(failure);
  turn.keep(name, { failedHere: run.failureDetail });
}

const describe = (failure: {
  readonly resource: string;
  readonly reason: string;
  readonly detail: string;
}): string => `${failure.resource}: ${failure.detail} [${failure.reason}]`.slice(0, 300);

/** A monitor gave up on a resource: the group is stopped here, then goes on where it can. */
export function resourceFailed(
  turn: Turn,
  event: Extract<FailoverEvent, { kind: "resourceFailed" }>,
): void {
  const run = turn.state.groups[event.group];
  if (run === undefined) return;
  const urgent = event.urgent === true;
  if (urgent && run.here !== "unknown" && !isReleased(run.here)) run.lost = true;
  // A start that goes wrong tells it by its end, unless it must not be waited for.
  if (run.failing || !(run.here === "running" || (urgent && run.here === "starting"))) return;
  run.failing = true;
  noteFailure(turn, event.group, run, event);
  turn.note("BTN-FAILOVER-MONITOR-FAILED", run.failureDetail, event.group);
}

/** What was found to run here. Answers later than the first only settle what was unclear. */
export function probed(turn: Turn, event: Extract<FailoverEvent, { kind: "probed" }>): void {
  const run = turn.state.groups[event.group];
  if (run === undefined || run.here !== "unknown" || run.operation !== null) return;
  run.probed = event.found === "unknown" ? "unclear" : "done";
  run.partial = event.found === "partial";
  run.partialUntil = run.partial ? after(turn.now, turn.options.timing.deadtimeMs) : null;
  run.retryAt = event.found === "unknown" ? after(turn.now, PROBE_AGAIN_MS) : null;
  if (event.found === "unknown") {
    turn.note("BTN-FAILOVER-PROBE-UNCLEAR", event.detail, event.group);
    return;
  }
  if (event.found === "running") {
    run.here = "running";
    run.pristine = false;
    run.runningSince = turn.now;
    const record = turn.own(event.group);
    // Without a record the running group is the best evidence of who holds it.
    const owner = turn.state.recordAbsent.includes(event.group) ? turn.options.self : record.owner;
    turn.keep(event.group, { heldHere: true, ...(owner === undefined ? {} : { owner }) });
    if (owner !== turn.options.self) return;
    turn.note("BTN-FAILOVER-ADOPTED", event.detail, event.group);
    turn.emit({ kind: "adopt", group: event.group, epoch: record.epoch });
    return;
  }
  if (event.found === "stopped") {
    run.here = "stopped";
    turn.keep(event.group, { heldHere: false });
  }
}

/** Asks what runs here: once, and again while the answer is unclear. */
export function askProbes(turn: Turn): void {
  for (const { name } of turn.options.groups) {
    const run = turn.run(name);
    const again = run.probed === "unclear" && run.retryAt !== null && turn.now >= run.retryAt;
    if (run.probed !== "no" && !(again && run.here === "unknown" && run.operation === null))
      continue;
    if (run.probed === "no") run.probed = "asked";
    run.retryAt = run.probed === "unclear" ? after(turn.now, PROBE_AGAIN_MS) : null;
    turn.emit({ kind: "probe", group: name });
  }
}

/** Forgets failed starts so that the group is tried again at once; also a failed stop. */
export function clearFailures(turn: Turn, name: string): void {
  const run = turn.run(name);
  run.tries = 0;
  run.retryAt = null;
  turn.keep(name, { failedHere: null });
}

/** A group that ran long enough has earned a clean slate. */
export function forgetOldFailures(turn: Turn): void {
  for (const { name } of turn.options.groups) {
    const run = turn.run(name);
    const since = run.runningSince;
    if (run.tries > 0 && since !== null && turn.now - since >= HEALTHY_MS) run.tries = 0;
  }
}

/** May a failed start be tried again here: now, later, or not without a person? */
export function retryState(turn: Turn, run: GroupRun): "now" | "later" | "never" {
  if (run.here !== "failed") return "now";
  if (run.tries >= START_TRIES_MAX) return "never";
  return run.retryAt !== null && turn.now < run.retryAt ? "later" : "now";
}

/** Every group has nothing running here, and nothing is under way. */
export function allReleased(turn: Turn, names?: readonly string[]): boolean {
  const groups = names ?? turn.options.groups.map((group) => group.name);
  return groups.every((name) => {
    const run = turn.run(name);
    return isReleased(run.here) && run.operation === null;
  });
}

/** Deadlines of the groups themselves. */
export function groupDeadlines(run: GroupRun): readonly (Instant | null)[] {
  return [
    run.retryAt,
    run.partialUntil,
    run.failbackAt,
    run.runningSince !== null && run.tries > 0 ? after(run.runningSince, HEALTHY_MS) : null,
  ];
}
