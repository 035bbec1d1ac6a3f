/**
 * The resource protocol of heartbeat 3.0.6, spoken to a real one (heartbeat.md 8.1-8.3, 14). Groups
 * are classes there: `local` prefer this host, `foreign` the other. Rules S1-S11 are cited by id.
 * Own messages are not looped back: what the original does on hearing itself is done when sending.
 *
 *   init --communication up, probed, peer active: "starting"--> starting
 *   starting --any resource (S3), own too--> received, 10 s timer
 *   starting, received --peer stable (S5), timer (S6), or peer holds nothing of ours--> stable
 *   any --stop--> shutdown
 *
 * Departures, all invisible to a correct peer: no 10 s wait if the peer said that it holds nothing of
 * ours; groups that nobody holds are taken; after a healed split the real one restarts itself, so we
 * go on; what it seized when it resumed from a freeze it is asked to give back (7.6); after an own
 * stall we release and rejoin as a new generation.
 */
import { after, type Instant } from "../base/index.ts";
import {
  beginWait,
  classOf,
  type GroupClass,
  giveAway,
  namesOf,
  sendResource,
  take,
} from "./classic-holds.ts";
import { advanceLegacy, heardLegacy, legacyDeadlines } from "./classic-legacy.ts";
import { classesOf, holdWord } from "./classic-messages.ts";
import { advanceStandby, heardAsk, heardTakeover, standbyDeadlines } from "./classic-standby.ts";
import type { MessageFields } from "./contract.ts";
import { allReleased, retryState, type Want } from "./group.ts";
import { gate, isAlive, isGone } from "./ownership.ts";
import type { FailoverReason } from "./reasons.ts";
import { letGoMs } from "./safety.ts";
import { type Holds, isReleased, newClassic } from "./state.ts";
import type { Turn } from "./turn.ts";

/** A real peer restarts itself 2 s after a healed split; then this margin for its notice. */
const RETURN_WAIT_MS = 5_000;
/** Claims cross on the wire while groups move (S4); one that stays this long is meant. */
const CONTEST_WAIT_MS = 1_000;
/** The peer's script, its release and its word: as long as a standby may wait for an answer. */
const YIELD_WAIT_MS = 10_000;

/** A message of a classic peer. Those of a peer that is not alive are ignored (heartbeat.md 15). */
export function heardClassic(turn: Turn, fields: MessageFields): void {
  const { classic } = turn.state;
  if (!isAlive(turn) && fields["t"] !== "shutdone") return;
  if (fields["t"] === "shutdone") {
    peerLeft(turn);
    return;
  }
  // Before its own start a host ignores these (heartbeat.md 7.3).
  if (classic.phase === "init" || classic.phase === "shutdown") return;
  if (turn.options.autoFailback === "legacy") {
    heardLegacy(turn, fields);
    return;
  }
  switch (fields["t"]) {
    case "starting":
      heardStarting(turn);
      return;
    case "resource":
      heardResource(turn, fields);
      return;
    case "ask_resources":
      heardAsk(turn, fields);
      return;
    case "hb_takeover":
      heardTakeover(turn, fields);
      return;
    default:
      return; // stonith, ip-request-resp to itself, reqnodes and others mean nothing here.
  }
}

/** S2. */
function heardStarting(turn: Turn): void {
  const { classic } = turn.state;
  classic.peerStarting = true;
  classic.peerLeaving = false;
  classic.otherStable = false;
  sendResource(turn);
  if (classic.phase === "stable" || classic.startingSent) return;
  sayStarting(turn);
}

/** S3, S4, S5, and the start without the 10 s wait. */
function heardResource(turn: Turn, fields: MessageFields): void {
  const { classic } = turn.state;
  const hold = classesOf(fields["rsc_hold"]);
  if (hold === undefined) {
    turn.noteOnce("classic", "BTN-FAILOVER-MALFORMED", `resource ${fields["rsc_hold"] ?? ""}`);
    return;
  }
  beginWait(turn);
  const full = fields["rtype"] === "full" || classic.other === null || holdWord(hold) === "none";
  classic.other = full
    ? hold
    : {
        local: classic.other?.local === true || hold.local,
        foreign: classic.other?.foreign === true || hold.foreign,
      };
  turn.peer.met = true;
  if (fields["info"] === "shutdown") {
    classic.peerLeaving = true;
    classic.returnedBy = null;
    turn.note("BTN-FAILOVER-PEER-STOPPING", `${turn.peer.host} gives up its groups`);
  }
  audit(turn);
  const stable = fields["isstable"];
  if (stable === "0") classic.otherStable = false;
  if (stable === "1" && !classic.otherStable) {
    classic.otherStable = true;
    sendResource(turn);
  }
  if (classic.phase === "stable") return;
  const nothingOfOurs = classic.other !== null && !classic.other.foreign;
  if (classic.otherStable || (classic.peerStarting && nothingOfOurs)) becomeStable(turn);
}

/** S10: told at once; acted upon by `judgeContest`. */
function audit(turn: Turn): void {
  const { hold, other } = turn.state.classic;
  const { local, foreign } = contested(turn);
  const detail = `here ${holdWord(hold)}, there ${other === null ? "?" : holdWord(other)}`;
  turn.noteOnce("both", local || foreign ? "BTN-FAILOVER-BOTH-CLAIM" : null, detail);
}

/** The classes that both claim, as seen from here. */
function contested(turn: Turn): Holds {
  const { hold, other } = turn.state.classic;
  return {
    local: hold.local && other?.foreign === true,
    foreign: hold.foreign && other?.local === true,
  };
}

function sayStarting(turn: Turn): void {
  turn.state.classic.startingSent = true;
  turn.emit({ kind: "send", fields: { t: "starting" } });
}

/** S5, S6, S7: our own groups unless the peer holds them; and what we held before and nobody holds. */
function becomeStable(turn: Turn): void {
  const { classic, heldAtStart } = turn.state;
  classic.phase = "stable";
  classic.timerAt = null;
  if (!classic.hold.local && classic.other?.foreign !== true) take(turn, "local");
  const heldForeign = heldAtStart.some((name) => classOf(turn, name) === "foreign");
  const freeForeign = !classic.hold.foreign && classic.other !== null && !classic.other.local;
  if (heldForeign && freeForeign && !classic.peerStarting) {
    turn.note("BTN-FAILOVER-ORPHANS-TAKEN", "held here before this host restarted");
    take(turn, "foreign");
  }
  sendResource(turn);
}

/** The peer said goodbye: all that it released is ours at once (heartbeat.md 7.7). */
export function peerLeft(turn: Turn): void {
  const { classic } = turn.state;
  classic.other = { local: false, foreign: false };
  classic.peerLeaving = false;
  classic.returnedBy = null;
  if (turn.peer.verdict !== "left") {
    turn.peer.verdict = "left";
    turn.peer.firmVerdict = "left";
  }
}

/** Verdict dead or left: takes what is missing, as far as the gate of each group is open. */
function replacePeer(turn: Turn): void {
  const { classic } = turn.state;
  classic.standby = { role: "none" };
  classic.asked = null;
  classic.other = { local: false, foreign: false };
  classic.otherStable = true;
  classic.startingSent = false;
  classic.peerStarting = false;
  const took: GroupClass[] = [];
  for (const which of ["local", "foreign"] as const) {
    if (classic.hold[which]) continue;
    const names = namesOf(turn, { local: which === "local", foreign: which === "foreign" });
    const gates = names.map((name) => gate(turn, name));
    if (names.length > 0 && !gates.some((one) => one.open)) continue;
    if (classic.phase === "init" && names.length === 0) continue;
    const unproven = gates.some((one) => one.open && one.unproven);
    take(turn, which, unproven);
    for (const name of names) turn.run(name).claimed = true;
    if (turn.peer.verdict === "dead" && turn.peer.met) classic.seized[which] = true;
    if (which === "foreign") classic.needsFailback = true;
    took.push(which);
  }
  if (took.length === 0) return;
  classic.phase = "stable";
  classic.timerAt = null;
  classic.reportLocal = false;
  turn.note(
    "BTN-FAILOVER-RESOURCES-FROM-PEER",
    `${took.join(" and ")} groups of ${turn.peer.host}`,
  );
  sendResource(turn);
}

/** First status of a generation of the peer, or its return after silence. */
export function classicPeerSeen(turn: Turn, restarted: boolean, returned: boolean): void {
  const { state } = turn;
  const { classic } = state;
  classic.other = null;
  classic.otherStable = false;
  classic.peerLeaving = false;
  classic.peerStarting = false;
  classic.orphanSince = null;
  if (restarted) {
    classic.startingSent = false;
    classic.returnedBy = null;
    classic.seized = { local: false, foreign: false };
    classic.standby = { role: "none" };
  }
  if (returned) {
    classic.returnedBy = after(turn.now, RETURN_WAIT_MS);
    turn.note("BTN-FAILOVER-PEER-RETURNED", `${turn.peer.host} was silent, not down`);
  }
  // Alone until now: what runs or belongs here is held.
  if (classic.phase !== "init" || !state.communicationUp) return;
  adoptHolds(turn);
  if (!classic.hold.local && !classic.hold.foreign) return;
  classic.phase = "stable";
  // S7: the original claims its own class also if it has no groups, and audits ours for it (S10).
  if (namesOf(turn, { local: true, foreign: false }).length === 0) classic.hold.local = true;
}

/** What runs here is held. An agent that restarted tells its peer so by `starting` again. */
function adoptHolds(turn: Turn): void {
  const { classic } = turn.state;
  for (const { name } of turn.options.groups) {
    const run = turn.run(name);
    const active = run.here === "running" || run.here === "starting";
    if (active && turn.own(name).owner === turn.options.self) {
      classic.hold[classOf(turn, name)] = true;
      if (classOf(turn, name) === "foreign") classic.needsFailback = !run.pristine;
    }
  }
}

/** This host was not run (R13): the real peer may have replaced it, and would restart itself now. */
export function classicStalled(turn: Turn, gapMs: number): void {
  // The beat process rejoins by itself after a silence of deadtime - keepalive; a gap as this core
  // sees it can be shorter than that silence by another one.
  if (gapMs < letGoMs(turn)) return;
  const { state } = turn;
  turn.note("BTN-FAILOVER-STALLED", `not run for ${Math.round(gapMs)} ms`);
  state.heldAtStart = turn.options.groups
    .map((group) => group.name)
    .filter((name) => turn.own(name).heldHere);
  state.classic = newClassic();
  state.rejoining = true;
  turn.emit({ kind: "rejoin", reason: "BTN-FAILOVER-STALLED" });
}

/** All that follows from state and time; idempotent. */
export function advanceClassic(turn: Turn): void {
  const { state } = turn;
  const { classic } = state;
  const probed = turn.options.groups.every(({ name }) => turn.run(name).probed === "done");
  if (state.rejoining && allReleased(turn)) state.rejoining = false;
  if (state.rejoining || !probed || classic.phase === "shutdown") return;
  if (isGone(turn)) {
    if (state.stopping === null) replacePeer(turn);
    return;
  }
  if (!state.communicationUp || !isAlive(turn)) return;
  if (classic.phase === "init") {
    adoptHolds(turn);
    classic.phase = "starting";
  }
  if (turn.options.autoFailback === "legacy") {
    turn.peer.met = true;
    judgeReturn(turn);
    advanceLegacy(turn);
    return;
  }
  if (!classic.startingSent && classic.phase !== "stable" && turn.peer.status === "active") {
    sayStarting(turn);
  }
  if (classic.timerAt !== null && turn.now >= classic.timerAt) becomeStable(turn);
  judgeReturn(turn);
  judgeContest(turn);
  advanceStandby(turn);
  judgeOrphans(turn);
  reportStarts(turn);
}

/** The real peer did not restart itself: it never missed us, so it still holds what we seized. */
function judgeReturn(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.returnedBy === null || turn.now < classic.returnedBy) return;
  classic.returnedBy = null;
  const { seized, other } = classic;
  classic.seized = { local: false, foreign: false };
  if (!seized.local && !seized.foreign) return;
  turn.note("BTN-FAILOVER-PEER-STAYED", `giving back ${holdWord(seized)}`);
  // What it said since it is heard again stands: it may have seized something as well.
  classic.other = {
    local: seized.foreign || other?.local === true,
    foreign: seized.local || other?.foreign === true,
  };
  if (seized.local) classic.hold.local = false;
  if (seized.foreign) classic.hold.foreign = false;
  giveAway(turn, namesOf(turn, seized));
  sendResource(turn);
}

/**
 * Both claim a class and neither is about to give it up: the real one was frozen, took us for dead when
 * it resumed (heartbeat.md 7.2) and never looks again. It is asked for what it seized, so that what
 * runs here runs on; if it does not give, we do: two holders are worse than a move.
 */
function judgeContest(turn: Turn): void {
  const { classic } = turn.state;
  const both = contested(turn);
  const rest =
    classic.phase === "stable" &&
    classic.standby.role === "none" &&
    !classic.peerLeaving &&
    classic.returnedBy === null;
  if (!rest || (!both.local && !both.foreign)) {
    if (!both.local && !both.foreign) classic.contest = null;
    return;
  }
  classic.contest ??= { askAt: after(turn.now, CONTEST_WAIT_MS), yieldAt: null };
  const { askAt, yieldAt } = classic.contest;
  if (yieldAt === null) {
    if (turn.now < askAt) return;
    classic.contest = { askAt, yieldAt: after(turn.now, YIELD_WAIT_MS) };
    turn.note("BTN-FAILOVER-CONTEST-ASKED", holdWord(both));
    sendResource(turn);
    turn.emit({ kind: "send", fields: { t: "hb_takeover", rsc_hold: holdWord(both) } });
    return;
  }
  if (turn.now < yieldAt) return;
  classic.contest = null;
  turn.note("BTN-FAILOVER-CONTEST-YIELDED", holdWord(both));
  if (both.local) classic.hold.local = false;
  if (both.foreign) classic.hold.foreign = false;
  giveAway(turn, namesOf(turn, both));
  sendResource(turn);
}

/** Both are at rest and nobody holds a class (heartbeat.md 14.11, 17.2). */
function judgeOrphans(turn: Turn): void {
  const { classic } = turn.state;
  const { other } = classic;
  const rest =
    classic.phase === "stable" &&
    classic.otherStable &&
    classic.standby.role === "none" &&
    !classic.peerLeaving &&
    classic.asked === null &&
    other !== null;
  const local = rest && !classic.hold.local && !other.foreign;
  const foreign = rest && !classic.hold.foreign && !other.local;
  if (!local && !foreign) {
    classic.orphanSince = null;
    return;
  }
  classic.orphanSince ??= turn.now;
  const waited = turn.now - classic.orphanSince;
  const { keepaliveMs, deadtimeMs } = turn.options.timing;
  const taken: GroupClass[] = [];
  if (local && waited >= 2 * keepaliveMs) taken.push("local");
  // Its own groups are the peer's to take first.
  if (foreign && waited >= deadtimeMs) taken.push("foreign");
  if (taken.length === 0) return;
  for (const which of taken) take(turn, which);
  turn.note("BTN-FAILOVER-ORPHANS-TAKEN", `${taken.join(" and ")}: nobody held them`);
  sendResource(turn);
}

/** `req_our_resources()` when the own groups have been started (S7). */
function reportStarts(turn: Turn): void {
  const { classic } = turn.state;
  if (!classic.reportLocal || classic.phase !== "stable") return;
  const names = namesOf(turn, { local: true, foreign: false });
  if (names.some((name) => turn.run(name).here === "starting")) return;
  if (names.some((name) => turn.run(name).here === "stopped")) return;
  classic.reportLocal = false;
  sendResource(turn, "req_our_resources()");
}

/** What is wanted of one group beside a classic peer. */
export function judgeClassic(turn: Turn, name: string): Want {
  const { state } = turn;
  const run = turn.run(name);
  const leave = (reason: FailoverReason, detail = ""): Want => ({ to: "leave", reason, detail });
  if (state.holdBack !== null) return { to: "stop", urgent: true, reason: state.holdBack.reason };
  if (run.lost) return { to: "stop", urgent: true, reason: "BTN-FAILOVER-MONITOR-FAILED" };
  if (state.rejoining) {
    return { to: "stop", urgent: true, reason: "BTN-FAILOVER-STALLED-RELEASE" };
  }
  const { phase, hold, standby } = state.classic;
  if (phase === "shutdown") return { to: "stop", reason: "BTN-FAILOVER-HOST-STOPPING" };
  if (phase === "init") {
    if (!isGone(turn)) return leave("BTN-FAILOVER-PEER-UNSURE");
    const open = gate(turn, name);
    return leave(open.reason, open.detail);
  }
  if (!hold[classOf(turn, name)]) {
    if (!isReleased(run.here)) {
      const planned = standby.role === "releasing";
      return {
        to: "stop",
        urgent: !planned,
        reason: planned ? "BTN-FAILOVER-STANDBY" : "BTN-FAILOVER-PEER-OWNS",
      };
    }
    if (isGone(turn)) {
      const open = gate(turn, name);
      if (!open.open) return leave(open.reason, open.detail);
    }
    const there = state.classic.other?.[classOf(turn, name) === "local" ? "foreign" : "local"];
    return leave(there === true ? "BTN-FAILOVER-HELD-BY-PEER" : "BTN-FAILOVER-PEER-OWNS");
  }
  return judgeHeld(turn, name);
}

function judgeHeld(turn: Turn, name: string): Want {
  const run = turn.run(name);
  if (run.failing) return { to: "stop", reason: "BTN-FAILOVER-MONITOR-FAILED" };
  if (run.here === "running" || run.here === "starting") {
    return { to: "run", reason: "BTN-FAILOVER-HOLDING" };
  }
  if (run.here === "stopping") return { to: "leave", reason: run.reason, detail: run.detail };
  if (isGone(turn)) {
    const open = gate(turn, name);
    if (!open.open) return { to: "leave", reason: open.reason, detail: open.detail };
  }
  switch (retryState(turn, run)) {
    case "never":
      return { to: "leave", reason: "BTN-FAILOVER-GAVE-UP", detail: run.failureDetail };
    case "later":
      return { to: "leave", reason: "BTN-FAILOVER-RETRY-LATER", detail: run.failureDetail };
    default:
      return {
        to: "run",
        reason: isGone(turn) ? "BTN-FAILOVER-TAKEOVER-DEAD" : "BTN-FAILOVER-START-CLASSIC",
      };
  }
}

/** When the talk with a real heartbeat next needs a tick. */
export function classicDeadlines(turn: Turn): readonly (Instant | null)[] {
  const { classic } = turn.state;
  const { keepaliveMs, deadtimeMs } = turn.options.timing;
  const since = classic.orphanSince;
  return [
    classic.timerAt,
    classic.returnedBy,
    classic.contest === null ? null : (classic.contest.yieldAt ?? classic.contest.askAt),
    since === null ? null : after(since, 2 * keepaliveMs),
    since === null ? null : after(since, deadtimeMs),
    ...standbyDeadlines(turn),
    ...legacyDeadlines(turn),
  ];
}
