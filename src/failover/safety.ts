/**
 * When a holder must let go although nobody told it to (reliability 3.2, R13, R19): it is cut off,
 * its beats do not arrive, or it was not run itself for so long that it may have been replaced.
 *
 *   cut off (3.2.2): peer late or dead, and no ping node answers    -> release by deadtime - 2 keepalive
 *   not heard (3.2.5): told that no beat of ours arrives            -> release by deadtime - 2 keepalive
 *   no beats of ours (beat process gone)            -> release by deadtime - 2 keepalive, unless a claim
 *       on each group's disk tells the peer that we live, or the peer was gone before
 *   stalled (DESIGN 7.3): gap >= deadtime - 2 keepalive             -> word of the peer within
 *       2 keepalive, or the peer was gone before and a ping node answers; else release
 *
 * `holdBack` keeps all groups stopped from then on, until the cause is over.
 */
import { after, earliest, type Instant } from "../base/index.ts";
import { isAlive, isGone, pingsUp, situation } from "./ownership.ts";
import type { FailoverReason } from "./reasons.ts";
import { isReleased, later } from "./state.ts";
import type { Turn } from "./turn.ts";

/** The margin m of reliability 2.3. */
const marginMs = (turn: Turn): number => 2 * turn.options.timing.keepaliveMs;

/** Silence after which a holder that may be replaced has stopped. */
export const letGoMs = (turn: Turn): number =>
  Math.max(0, turn.options.timing.deadtimeMs - marginMs(turn));

/** Time for the peer's word after a stall: two beats, and never less than a scheduler's hiccup. */
const stallGraceMs = (turn: Turn): number => Math.max(marginMs(turn), 300);

/** This host was not run for `gapMs` (R13). Classic peers: see `classic-peer.ts`. */
export function stalled(turn: Turn, gapMs: number): void {
  const { state, peer } = turn;
  // A shorter gap leaves the peer no time to have replaced this host.
  if (gapMs < letGoMs(turn)) return;
  newQuestion(turn);
  const peerWasGone = peer.firmVerdict === "dead" || peer.firmVerdict === "left";
  state.stall = { until: after(turn.now, stallGraceMs(turn)), peerWasGone };
  turn.note("BTN-FAILOVER-STALLED", `not run for ${Math.round(gapMs)} ms`);
}

/** From now on only an answer to a newer question counts as the peer's present word. */
export function newQuestion(turn: Turn): void {
  turn.state.nonces += 1;
  turn.state.nonce = `${turn.options.session}.${turn.state.nonces}`;
  turn.peer.fresh = false;
  turn.state.sent.nextAt = turn.now;
}

/** Sets or lifts `holdBack` by what is known now. */
export function judgeSafety(turn: Turn): void {
  const { state } = turn;
  judgeStall(turn);
  const [cutOff, unheard] = [cutOffDeadline(turn), unheardDeadline(turn)];
  if (cutOff !== undefined && turn.now >= cutOff) letGo(turn, "BTN-FAILOVER-CUT-OFF");
  if (unheard !== undefined && turn.now >= unheard) letGo(turn, "BTN-FAILOVER-NOT-HEARD");
  if (turn.peer.kind !== "classic" && isBeatless(turn)) letGo(turn, "BTN-FAILOVER-NO-BEATS");
  if (state.holdBack !== null && isOver(turn)) {
    state.holdBack = null;
  }
  turn.noteOnce("holdBack", state.holdBack?.reason ?? null);
}

function judgeStall(turn: Turn): void {
  const { state } = turn;
  if (state.stall === null) return;
  if (situation(turn) === "talking") {
    state.stall = null;
    return;
  }
  if (turn.now < state.stall.until) return;
  const alone = state.stall.peerWasGone && !isAlive(turn);
  const safe = alone && (turn.options.pings.length === 0 || pingsUp(turn) > 0);
  state.stall = null;
  if (!safe && holdsAny(turn)) {
    letGo(turn, "BTN-FAILOVER-STALLED-RELEASE");
  }
}

/** From here on only a new answer of the peer counts: the old one may be followed by a takeover. */
function letGo(turn: Turn, reason: FailoverReason): void {
  if (turn.state.holdBack !== null) return;
  turn.state.holdBack = { reason, since: turn.now };
  newQuestion(turn);
}

/** True once the peer, which hears no beats of ours, may be about to replace us. */
export function isBeatless(turn: Turn): boolean {
  const deadline = beatlessDeadline(turn);
  return deadline !== undefined && turn.now >= deadline && holdsAny(turn);
}

function beatlessDeadline(turn: Turn): Instant | undefined {
  const { beatlessSince } = turn.state;
  const { firmVerdict } = turn.peer;
  // Alone already: to stop would be an outage for nothing.
  if (beatlessSince === null || firmVerdict === "dead" || firmVerdict === "left") return undefined;
  if (turn.options.groups.every(({ hasProof }) => hasProof === "claim")) return undefined;
  return after(beatlessSince, letGoMs(turn));
}

const holdsAny = (turn: Turn): boolean =>
  turn.options.groups.some(({ name }) => !isReleased(turn.run(name).here));

function isOver(turn: Turn): boolean {
  const talks = situation(turn) === "talking";
  switch (turn.state.holdBack?.reason) {
    case "BTN-FAILOVER-CUT-OFF":
      return (talks && turn.peer.verdict === "alive") || pingsSettled(turn);
    case "BTN-FAILOVER-NOT-HEARD":
      return turn.peer.unheardSince === null || isGone(turn);
    case "BTN-FAILOVER-NO-BEATS":
      return turn.state.beatlessSince === null && (talks || isGone(turn));
    default:
      return talks || isGone(turn);
  }
}

/** Ping nodes answer for deadtime: time enough to hear the peer too, were it there. */
function pingsSettled(turn: Turn): boolean {
  const settled = pingsUpSince(turn);
  return settled !== undefined && turn.now >= after(settled, turn.options.timing.deadtimeMs);
}

function pingsUpSince(turn: Turn): Instant | undefined {
  const up = Object.values(turn.state.pings).filter((ping) => ping.up === true);
  return earliest(...up.map((ping) => ping.since));
}

function cutOffDeadline(turn: Turn): Instant | undefined {
  const { peer, state, options } = turn;
  const pings = Object.values(state.pings);
  if (options.pings.length === 0 || peer.silentSince === null) return undefined;
  if (peer.verdict !== "late" && peer.verdict !== "dead") return undefined;
  // A ping node of which nothing is known yet counts as down once communication is up.
  const silent = (ping: (typeof pings)[number]): boolean =>
    ping.up === false || (ping.up === null && state.communicationUp);
  if (!pings.every(silent)) return undefined;
  return after(peer.silentSince, letGoMs(turn));
}

function unheardDeadline(turn: Turn): Instant | undefined {
  const { unheardSince } = turn.peer;
  if (unheardSince === null || isGone(turn)) return undefined;
  return after(unheardSince, letGoMs(turn));
}

/** When the rules of stepping back (reliability 3.2) next need a tick. */
export function safetyDeadlines(turn: Turn): readonly (Instant | null | undefined)[] {
  const { state } = turn;
  const settled = state.holdBack === null ? undefined : pingsUpSince(turn);
  return [
    state.stall?.until,
    state.holdBack === null ? cutOffDeadline(turn) : undefined,
    state.holdBack === null ? unheardDeadline(turn) : undefined,
    state.holdBack === null ? beatlessDeadline(turn) : undefined,
    settled === undefined ? undefined : after(settled, turn.options.timing.deadtimeMs),
  ].map((at) => (at === undefined ? undefined : later(at, turn.now)));
}
