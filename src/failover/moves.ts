/**
 * Giving a group to the peer while both live: whether it can take it, the flap guard, and the three
 * automatic reasons (failback, ipfail, a failure here). The order is fixed: stop here (R19), then
 * epoch + 1 with the peer as owner, durable, announced; then the peer starts it.
 */
import { after, type Instant } from "../base/index.ts";
import { peerDiskRefusal } from "./disk-gate.ts";
import { START_TRIES_MAX } from "./group.ts";
import { digestsAgree, isAlive, nextEpoch, pingsUp, situation, toldBy } from "./ownership.ts";
import { groupOf } from "./ownership-groups.ts";
import type { FailoverReason } from "./reasons.ts";
import { isReleased, type Transfer } from "./state.ts";
import type { Turn } from "./turn.ts";

/** Automatic moves of one running group in one window (reliability L8): a person stops a flapping. */
const MOVES_MAX = 3;
const MOVES_WINDOW_MS = 600_000;
/** A preferred host that came back is stable after this long, in deadtimes. */
const SETTLE_DEADTIMES = 1;

export type Ability =
  | { readonly able: true }
  | { readonly able: false; readonly reason: FailoverReason; readonly detail: string };

const unable = (reason: FailoverReason, detail = ""): Ability => ({ able: false, reason, detail });

/** Could the peer, a Baton host, take `name` now? `automatic`: nobody asked for it (R21 applies). */
export function peerCanTake(turn: Turn, name: string, automatic: boolean): Ability {
  const { peer } = turn;
  const told = toldBy(turn, name);
  if (!isAlive(turn)) return unable("BTN-FAILOVER-PEER-CANNOT-TAKE", `${peer.host} is not alive`);
  if (situation(turn) !== "talking" || told === undefined || peer.holdings === null) {
    return unable("BTN-FAILOVER-PEER-MUTE", `${peer.host} has not told its state`);
  }
  if (peer.unheardSince !== null) return unable("BTN-FAILOVER-NOT-HEARD");
  if (peer.holdings.stopping) return unable("BTN-FAILOVER-PEER-STOPPING");
  if (peer.incompatible) return unable("BTN-FAILOVER-INCOMPATIBLE");
  if (automatic && digestsAgree(turn) !== true) return unable("BTN-FAILOVER-CONFIG-DIFFERS");
  if (told.epoch !== turn.own(name).epoch) {
    return unable("BTN-FAILOVER-WAIT-PEER-ACK", `${peer.host} is at epoch ${told.epoch}`);
  }
  if (!isReleased(told.state)) {
    return told.state === "blocked"
      ? unable("BTN-FAILOVER-PEER-BLOCKED")
      : unable("BTN-FAILOVER-PEER-NOT-RELEASED", `${name} is ${told.state} there`);
  }
  if (told.tries >= START_TRIES_MAX) {
    return unable("BTN-FAILOVER-PEER-GAVE-UP", told.failed ?? "");
  }
  if (automatic && told.failed !== null) return unable("BTN-FAILOVER-PEER-FAILED", told.failed);
  const disk = peerDiskRefusal(turn, name);
  if (disk !== undefined) return unable(disk.reason, disk.detail);
  return { able: true };
}

/** Begins to give `name` to the peer. The caller has made sure that the peer can take it. */
export function startTransfer(
  turn: Turn,
  name: string,
  why: Transfer["why"],
  automatic: boolean,
): void {
  const run = turn.run(name);
  if (run.transfer !== null) return;
  run.transfer = { to: turn.peer.host, why, automatic };
  if (automatic) run.moves = [...recentMoves(turn, name), turn.now];
}

/** Gives ownership away once the group is stopped here, or takes the offer back. */
export function advanceTransfer(turn: Turn, name: string): void {
  const run = turn.run(name);
  if (run.transfer === null) return;
  const ability = peerCanTake(turn, name, run.transfer.automatic);
  const lost =
    !ability.able || run.here === "blocked" || turn.own(name).owner !== turn.options.self;
  if (lost) {
    // While the stop is under way a moment of doubt may pass; it is judged when the stop is done.
    if (run.here === "stopping") return;
    run.transfer = null;
    const detail = ability.able ? run.failureDetail : `${ability.reason} ${ability.detail}`.trim();
    turn.note("BTN-FAILOVER-MOVE-CANCELLED", detail, name);
    return;
  }
  if (!isReleased(run.here) || run.operation !== null) return;
  const { why } = run.transfer;
  nextEpoch(turn, name, turn.peer.host, false);
  turn.note("BTN-FAILOVER-HANDED-OVER", `${name} to ${turn.peer.host} (${why})`, name);
}

function recentMoves(turn: Turn, name: string): Instant[] {
  return turn.run(name).moves.filter((at) => turn.now - at < MOVES_WINDOW_MS);
}

/** The flap guard: is another automatic move of a running group within the budget? */
export function mayMoveAgain(turn: Turn, name: string): boolean {
  const may = recentMoves(turn, name).length < MOVES_MAX;
  turn.noteOnce(`moves ${name}`, may ? null : "BTN-FAILOVER-MOVES-EXHAUSTED", name);
  return may;
}

/** auto_failback between Baton hosts: back to the preferred host once it is stable. */
export function judgeFailback(turn: Turn, name: string): void {
  const run = turn.run(name);
  const { autoFailback, timing, self } = turn.options;
  const wanted =
    autoFailback !== "off" &&
    turn.own(name).owner === self &&
    groupOf(turn, name).prefers === turn.peer.host &&
    run.transfer === null &&
    turn.state.stopping === null &&
    // Not running here yet: nothing is interrupted, so the preferred host starts it in the first place.
    (run.failbackDue || run.pristine);
  const ability = wanted ? peerCanTake(turn, name, true) : null;
  if (ability?.able !== true) {
    run.failbackAt = null;
    return;
  }
  if (run.here === "stopped" && run.pristine && turn.state.holdBack === null) {
    startTransfer(turn, name, "BTN-FAILOVER-FAILBACK", false);
    return;
  }
  if (run.here !== "running" || !run.failbackDue) return;
  run.failbackAt ??= after(turn.now, SETTLE_DEADTIMES * timing.deadtimeMs);
  if (turn.now < run.failbackAt || !mayMoveAgain(turn, name)) return;
  turn.note("BTN-FAILOVER-FAILBACK", `${name} back to ${turn.peer.host}`, name);
  startTransfer(turn, name, "BTN-FAILOVER-FAILBACK", true);
}

/** A failed group goes to the peer if that has failed less often than this host. */
export function shouldTryPeer(turn: Turn, name: string): boolean {
  const run = turn.run(name);
  const told = toldBy(turn, name);
  if (groupOf(turn, name).onStartFailure === "stay" || told === undefined) return false;
  if (digestsAgree(turn) !== true || told.tries >= run.tries) return false;
  return peerCanTake(turn, name, false).able;
}

/** ipfail by level: the peer sees more ping nodes than this host. */
export function peerSeesMore(turn: Turn): boolean {
  const { holdings } = turn.peer;
  return situation(turn) === "talking" && holdings !== null && holdings.pings > pingsUp(turn);
}
