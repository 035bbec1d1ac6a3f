/**
 * What silence means: one peer, judged by when its newest status arrived. Source: heartbeat.md 7.1
 * to 7.6, ha.cf `warntime`, `deadtime`, `initdead`; reliability R13.
 *
 *   state     leaves it            by
 *   unheard   alive                a status
 *             dead                 initdead since we listen
 *   alive     late                 warntime of silence
 *             left                 shutdone
 *   late      alive                a status
 *             dead                 the deadtime that the peer announced (a second look, see below)
 *   unsure    alive                a status
 *             dead                 a whole deadtime (never heard: initdead) of listening since we run again
 *   dead      alive                a status
 *   left      alive                a status of a newer generation
 *   any but dead and left -> unsure   this host stalled, or the beat process is lost
 *
 * Silence counts from the later of the newest status and the moment from which we listened without
 * a break. At its deadline nobody is dead yet: first the beat process is asked whether it is run, and
 * its answer comes after all that lay unread in its sockets. So nobody dies of a tick that was merely
 * first in line, nor of a beat process that was stopped.
 */
import { after, type Instant, instant } from "../base/index.ts";
import type { Verdict } from "./contract.ts";
import { isAnswered } from "./lateness.ts";
import type { MembershipReason } from "./reasons.ts";

/** Plain JSON: part of the snapshot. */
export interface PeerLife {
  verdict: Verdict | "unheard";
  /** Newest status by the stamp of the beat process; null before the first. */
  heardAt: Instant | null;
  /** Since when nothing that it sent can have escaped us. */
  listenFrom: Instant;
  /** Only with `unsure`. `noBeat`: not listening at all, so there is no deadline. */
  unsureOf: "stalled" | "noBeat" | null;
  /** Since when a tick found it due to be dead: the beat process is asked whether it read everything. */
  lookSince: Instant | null;
}

/** The thresholds that hold for one peer, milliseconds. */
export interface PeerTiming {
  readonly warntimeMs: number;
  /** As the peer announced it (heartbeat.md 7.1); own deadtime if it did not. */
  readonly deadtimeMs: number;
  readonly initdeadMs: number;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: MembershipReason;
  readonly silentMs: number;
}

/** A peer of whom nothing is known, listened to from `now` on. */
export const newPeerLife = (now: Instant): PeerLife => ({
  verdict: "unheard",
  heardAt: null,
  listenFrom: now,
  unsureOf: null,
  lookSince: null,
});

/** Start of the silence that counts. */
export const silentSince = (life: PeerLife): Instant =>
  instant(Math.max(life.heardAt ?? life.listenFrom, life.listenFrom));

/** When silence next changes the verdict; undefined if none can. */
export function lifeDeadline(life: PeerLife, timing: PeerTiming): Instant | undefined {
  const since = silentSince(life);
  switch (life.verdict) {
    case "unheard":
      return after(since, timing.initdeadMs);
    case "alive":
      return after(since, Math.min(timing.warntimeMs, timing.deadtimeMs));
    case "late":
      return after(since, timing.deadtimeMs);
    case "unsure":
      if (life.unsureOf === "noBeat") return undefined;
      return after(since, life.heardAt === null ? timing.initdeadMs : timing.deadtimeMs);
    default:
      return undefined;
  }
}

/**
 * Judges silence; undefined if the verdict stays.
 * @param awakeAt newest sign that the beat process is run
 */
export function judgeSilence(
  life: PeerLife,
  timing: PeerTiming,
  now: Instant,
  awakeAt: Instant | null,
): Judgement | undefined {
  const deadline = lifeDeadline(life, timing);
  if (deadline === undefined || now < deadline) {
    life.lookSince = null;
    return undefined;
  }
  const silentMs = now - silentSince(life);
  if (life.verdict === "alive" && !isDue(life, timing, now)) {
    life.verdict = "late";
    return { verdict: "late", reason: "BTN-MEMBER-LATE", silentMs };
  }
  life.lookSince ??= now;
  if (!isAnswered(life.lookSince, awakeAt)) return undefined;
  const reason = deathReason(life);
  life.verdict = "dead";
  life.unsureOf = null;
  life.lookSince = null;
  return { verdict: "dead", reason, silentMs };
}

/** An alive peer can be due at once, if its deadtime is below our warntime or a tick came late. */
const isDue = (life: PeerLife, timing: PeerTiming, now: Instant): boolean =>
  now - silentSince(life) >= timing.deadtimeMs;

function deathReason(life: PeerLife): MembershipReason {
  if (life.heardAt === null) return "BTN-MEMBER-DEAD-UNHEARD";
  return life.verdict === "unsure" ? "BTN-MEMBER-DEAD-AFTER-STALL" : "BTN-MEMBER-DEAD-SILENT";
}

/** A newer status came; the verdict if it changes. */
export function noteHeard(
  life: PeerLife,
  at: Instant,
  reason: MembershipReason = "BTN-MEMBER-HEARD",
): Judgement | undefined {
  const silentMs = Math.max(0, at - (life.heardAt ?? life.listenFrom));
  life.heardAt = instant(Math.max(at, life.heardAt ?? at));
  life.lookSince = null;
  life.unsureOf = null;
  if (life.verdict === "alive") return undefined;
  life.verdict = "alive";
  return { verdict: "alive", reason, silentMs };
}

/** It said goodbye. */
export function noteLeft(life: PeerLife, now: Instant): Judgement | undefined {
  if (life.verdict === "left") return undefined;
  life.verdict = "left";
  life.unsureOf = null;
  life.lookSince = null;
  return { verdict: "left", reason: "BTN-MEMBER-LEFT", silentMs: now - silentSince(life) };
}

/** We did not listen until `now`: silence before it proves nothing. */
export function noteDeaf(
  life: PeerLife,
  now: Instant,
  cause: "stalled" | "noBeat",
): Judgement | undefined {
  const silentMs = Math.max(0, now - silentSince(life));
  life.listenFrom = now;
  life.lookSince = null;
  if (life.verdict === "dead" || life.verdict === "left" || life.verdict === "unheard") {
    return undefined;
  }
  life.unsureOf = cause;
  if (life.verdict === "unsure") return undefined;
  life.verdict = "unsure";
  const reason = cause === "noBeat" ? "BTN-MEMBER-UNSURE-NO-BEAT" : "BTN-MEMBER-UNSURE-STALLED";
  return { verdict: "unsure", reason, silentMs };
}
