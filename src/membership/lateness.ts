/**
 * Was this process run when it wanted to be? (R13) After a longer gap nothing that looks like
 * silence of a peer is believed.
 *
 * The threshold is max(2 x keepalive, deadtime / 3): so even with the longest gap that goes
 * unnoticed, a peer that is declared dead was really listened to, and silent, for two thirds of its
 * deadtime; and a gap of one or two beats, as a busy machine makes them, raises no doubt.
 */
import { after, type Instant } from "../base/index.ts";

/** Plain JSON: part of the snapshot. */
export interface Lateness {
  /** Last time that the core was stepped; null while nobody was to wake it. */
  steppedAt: Instant | null;
  /** End of the newest stall, so that the beat process telling of the same one says nothing new. */
  resumedAt: Instant | null;
  /** Last sign that the beat process is run: connecting to it, or its answer to `alive`. */
  awakeAt: Instant | null;
  /** When the newest question whether it is run was asked. */
  askedAt: Instant | null;
}

export const newLateness = (): Lateness => ({
  steppedAt: null,
  resumedAt: null,
  awakeAt: null,
  askedAt: null,
});

/** Gap after which this host doubts itself, milliseconds. */
export const doubtMs = (keepaliveMs: number, deadtimeMs: number): number =>
  Math.max(2 * keepaliveMs, Math.floor(deadtimeMs / 3));

/** Length of the gap that ends with this step, if it is one to doubt. Call it first in each step. */
export function ownGap(state: Lateness, now: Instant, doubt: number): number | undefined {
  const gapMs = state.steppedAt === null ? 0 : now - state.steppedAt;
  state.steppedAt = now;
  if (gapMs <= doubt) return undefined;
  state.resumedAt = now;
  return gapMs;
}

/** The same for a gap of the beat process; undefined if it is short, or the stall known already. */
export function beatGap(
  state: Lateness,
  stall: { readonly at: Instant; readonly gapMs: number },
  doubt: number,
): number | undefined {
  const began = after(stall.at, -stall.gapMs);
  // What our own gap covered is known already; only what went on after it is news.
  const newSince = state.resumedAt === null || began > state.resumedAt ? began : state.resumedAt;
  const gapMs = stall.at - newSince;
  if (gapMs <= doubt) return undefined;
  state.resumedAt = stall.at;
  return gapMs;
}

/**
 * Has the beat process answered `alive` since a silence was looked at? Until then it may be stopped,
 * and what peers sent may lie unread in its sockets. If it was, it tells of its stall before it answers.
 */
export const isAnswered = (lookSince: Instant, awakeAt: Instant | null): boolean =>
  awakeAt !== null && awakeAt >= lookSince;

/** Ticks while the answer is awaited; it is the answer that decides. */
export const lookAgainMs = 20;
