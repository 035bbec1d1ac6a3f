/**
 * The standby protocol of heartbeat 3.0.6 in both roles, automatic failback and hb_takeover
 * (heartbeat.md 8.3 S9, 8.4, 14.6-14.8). A is the one that gives, B the one that takes.
 *
 *   A: none --send me--> me (10 s) --other--> releasing --all stopped, send done--> done --B's done--> none
 *   B: none --A's me, send other--> other --A's done--> acquiring --all settled, send done--> none
 *
 * A group that can not be stopped keeps A in `releasing`: it is never reported as released (R19).
 * A start that fails on B is given back by the same protocol, so that it is not down on both.
 */
import { after, type Instant } from "../base/index.ts";
import { giveAway, namesOf, sendResource, take } from "./classic-holds.ts";
import { standbyFields } from "./classic-messages.ts";
import type { MessageFields, MoveScope } from "./contract.ts";
import { allReleased, START_TRIES_MAX } from "./group.ts";
import { asScope, mirrored } from "./messages.ts";
import { mayMoveAgain } from "./moves.ts";
import { isAlive } from "./ownership.ts";
import { type Holds, isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

const ANSWER_MS = 10_000;
const WORK_MS = 3_600_000;
const FAILBACK_AGAIN_MS = 1_000;

/** The classes of a scope, seen from the host that said it. */
export function scopeClasses(scope: MoveScope): Holds {
  return { local: scope === "all" || scope === "local", foreign: scope !== "local" };
}

/** Why a standby can not begin now; undefined: it can. */
export function standbyHindrance(turn: Turn): string | undefined {
  const { classic } = turn.state;
  if (!isAlive(turn)) return `${turn.peer.host} is not alive`;
  if (classic.phase !== "stable") return "local resources in flux";
  if (!classic.otherStable || classic.peerLeaving) return "other side is in flux";
  if (classic.standby.role !== "none") return "standby in progress";
  return undefined;
}

/** Begins to give `scope` to the peer. The caller has asked `standbyHindrance`. */
export function beginStandby(turn: Turn, scope: MoveScope, command: string | null): void {
  const { classic } = turn.state;
  // The original answers to `failback` as it does to foreign.
  const word = scope === "failback" ? "foreign" : scope;
  classic.standby = { role: "me", scope: word, until: after(turn.now, ANSWER_MS), command };
  classic.otherStable = false;
  turn.emit({ kind: "send", fields: standbyFields(word, "me") });
  turn.note("BTN-FAILOVER-STANDBY", `asking ${turn.peer.host} to take ${word}`);
}

/** A step of the peer in the standby protocol. */
export function heardAsk(turn: Turn, fields: MessageFields): void {
  const { standby } = turn.state.classic;
  const scope = asScope(fields["rsc_hold"]);
  const ignore = (why: string): void =>
    turn.note("BTN-FAILOVER-STANDBY-IGNORED", `${fields["info"] ?? "?"}: ${why}`);
  if (scope === undefined) {
    ignore("unknown scope");
    return;
  }
  switch (fields["info"]) {
    case "me":
      heardMe(turn, scope, ignore);
      return;
    case "other":
      standby.role === "me" ? beginRelease(turn) : ignore(`in state ${standby.role}`);
      return;
    case "done":
      if (standby.role === "done") {
        peerTookOver(turn);
        return;
      }
      standby.role === "other" ? beginAcquire(turn) : ignore(`in state ${standby.role}`);
      return;
    default:
      ignore("unknown step");
      return;
  }
}

function heardMe(turn: Turn, scope: MoveScope, ignore: (why: string) => void): void {
  const { classic, stopping, holdBack } = turn.state;
  const hindrance = standbyHindrance(turn);
  if (hindrance !== undefined) {
    ignore(hindrance);
    return;
  }
  if (stopping !== null || holdBack !== null) {
    ignore("this host gives up its groups");
    return;
  }
  const wanted = namesOf(turn, scopeClasses(mirrored(scope)));
  const unfit = wanted.find((name) => turn.run(name).here === "blocked");
  if (unfit !== undefined) {
    ignore(`${unfit} is blocked here`);
    return;
  }
  const command = classic.asked?.command ?? null;
  classic.asked = null;
  classic.standby = { role: "other", scope, until: after(turn.now, WORK_MS), command };
  classic.otherStable = false;
  turn.emit({ kind: "send", fields: standbyFields(scope, "other") });
  turn.note("BTN-FAILOVER-ASKED-BY-PEER", `${turn.peer.host} wants to go standby [${scope}]`);
}

function beginRelease(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.standby.role !== "me") return;
  const given = scopeClasses(classic.standby.scope);
  classic.standby = { ...classic.standby, role: "releasing", until: after(turn.now, WORK_MS) };
  if (given.local) classic.hold.local = false;
  if (given.foreign) classic.hold.foreign = false;
  sendResource(turn, "standby");
}

function beginAcquire(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.standby.role !== "other") return;
  const scope = mirrored(classic.standby.scope);
  classic.standby = { ...classic.standby, role: "acquiring", until: after(turn.now, WORK_MS) };
  const taken = scopeClasses(scope);
  for (const which of ["local", "foreign"] as const) {
    if (!taken[which]) continue;
    take(turn, which);
    if (which === "local") classic.reportLocal = false;
  }
  for (const name of namesOf(turn, taken)) turn.run(name).retryAt = null;
  // The groups count as ours from the first step; what is held there the peer will say itself.
  if (classic.other !== null) {
    if (taken.local) classic.other.foreign = false;
    if (taken.foreign) classic.other.local = false;
  }
}

function peerTookOver(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.standby.role !== "done") return;
  const given = scopeClasses(classic.standby.scope);
  if (classic.other !== null) {
    if (given.local) classic.other.foreign = true;
    if (given.foreign) classic.other.local = true;
  }
  classic.standby = { role: "none" };
  turn.note("BTN-FAILOVER-HANDED-OVER", `${turn.peer.host} completed the takeover`);
  sendResource(turn);
}

/** `hb_takeover` on the peer: we go standby with the mirrored scope (3.2). */
export function heardTakeover(turn: Turn, fields: MessageFields): void {
  const scope = asScope(fields["rsc_hold"] ?? "all");
  const hindrance = standbyHindrance(turn);
  if (scope === undefined || hindrance !== undefined || turn.state.stopping !== null) {
    turn.note("BTN-FAILOVER-STANDBY-IGNORED", `hb_takeover: ${hindrance ?? "not now"}`);
    return;
  }
  beginStandby(turn, mirrored(scope), null);
}

/** What follows from finished work and from time. */
export function advanceStandby(turn: Turn): void {
  const { classic } = turn.state;
  finishWork(turn);
  expire(turn);
  if (classic.asked !== null && turn.now >= classic.asked.until) classic.asked = null;
  failBack(turn);
  giveBackFailed(turn);
}

function finishWork(turn: Turn): void {
  const { classic } = turn.state;
  const { standby } = classic;
  if (standby.role === "releasing") {
    const given = namesOf(turn, scopeClasses(standby.scope));
    if (!allReleased(turn, given)) return;
    giveAway(turn, given);
    classic.standby = { ...standby, role: "done", until: after(turn.now, WORK_MS) };
    turn.emit({ kind: "send", fields: standbyFields(standby.scope, "done") });
    return;
  }
  if (standby.role !== "acquiring") return;
  const settled = namesOf(turn, scopeClasses(mirrored(standby.scope))).every((name) => {
    const { here, operation } = turn.run(name);
    return operation === null && here !== "stopped";
  });
  if (!settled) return;
  classic.standby = { role: "none" };
  turn.emit({ kind: "send", fields: standbyFields(standby.scope, "done") });
  sendResource(turn);
}

function expire(turn: Turn): void {
  const { classic } = turn.state;
  const { standby } = classic;
  if (standby.role === "none" || turn.now < standby.until) return;
  turn.note("BTN-FAILOVER-STANDBY-NO-REPLY", `in state ${standby.role}`);
  classic.standby = { role: "none" };
  classic.otherStable = true;
  // Nobody took what we stopped, or can not stop: it is ours again.
  if (standby.role !== "releasing") return;
  const given = scopeClasses(standby.scope);
  if (given.local) take(turn, "local");
  if (given.foreign) take(turn, "foreign");
  sendResource(turn);
}

/** S9. */
function failBack(turn: Turn): void {
  const { classic } = turn.state;
  if (turn.options.autoFailback !== "on" || !classic.needsFailback || !classic.hold.foreign) return;
  if (turn.state.stopping !== null || standbyHindrance(turn) !== undefined) return;
  if (classic.failbackAt !== null && turn.now < classic.failbackAt) return;
  classic.failbackAt = after(turn.now, FAILBACK_AGAIN_MS);
  const names = namesOf(turn, { local: false, foreign: true });
  if (!names.every((name) => mayMoveAgain(turn, name))) return;
  for (const name of names) turn.run(name).moves.push(turn.now);
  classic.needsFailback = false;
  turn.note("BTN-FAILOVER-FAILBACK", `foreign groups back to ${turn.peer.host}`);
  beginStandby(turn, "foreign", null);
}

/** A held class with a start that failed here goes to the peer, once per failure. */
function giveBackFailed(turn: Turn): void {
  const { classic } = turn.state;
  if (turn.state.stopping !== null || standbyHindrance(turn) !== undefined) return;
  for (const which of ["local", "foreign"] as const) {
    if (!classic.hold[which]) continue;
    const only: Holds = { local: which === "local", foreign: which === "foreign" };
    const failed = turn.options.groups.find(({ name, onStartFailure }) => {
      const run = turn.run(name);
      const here = run.here === "failed" && run.tries < START_TRIES_MAX;
      return here && onStartFailure !== "stay" && namesOf(turn, only).includes(name);
    });
    if (failed === undefined || !mayMoveAgain(turn, failed.name)) continue;
    turn.run(failed.name).moves.push(turn.now);
    turn.note("BTN-FAILOVER-FAILED-MOVED", `${failed.name} to ${turn.peer.host}`, failed.name);
    beginStandby(turn, which, null);
    return;
  }
}

/** When a standby under way next needs a tick: its time-outs of 10 s and 1 h (heartbeat.md 8.4). */
export function standbyDeadlines(turn: Turn): readonly (Instant | null)[] {
  const { classic } = turn.state;
  return [
    classic.standby.role === "none" ? null : classic.standby.until,
    classic.asked?.until ?? null,
    classic.failbackAt,
    // Whatever waits for a failed stop is looked at when that is tried again.
    ...turn.options.groups.map(({ name }) =>
      isReleased(turn.run(name).here) ? null : turn.run(name).retryAt,
    ),
  ];
}
