/**
 * Which sequence numbers of one sender were taken, and which are missing (heartbeat.md 6.2, 6.4).
 * No number is taken twice: a second copy, over the other link or replayed, changes nothing.
 *
 *   number            result    effect
 *   none before       started   tracking starts here
 *   last + 1          next
 *   above last + 1    gap       the numbers between are missing, and asked for after a while
 *   far above         reset     too many would be missing: tracking starts anew ("lost a lot")
 *   last              repeat    the other link, or a replay
 *   missing           filled
 *   other, below      old       taken before, or given up
 */
import { after, type Instant } from "../base/index.ts";

/** Plain JSON: part of the transport's snapshot. */
export interface SequenceState {
  /** First number of this tracking; below it nothing is known. */
  first: number | null;
  last: number | null;
  /** In rising order. */
  missing: Missing[];
  /** Numbers that came late: their copies over other links are no replays. */
  filled: number[];
}

export interface Missing {
  readonly sequence: number;
  /** When to ask for it (again). */
  dueAt: Instant;
  attempts: number;
}

export type Taken = "started" | "next" | "gap" | "reset" | "repeat" | "filled" | "old";

/** ha.cf max_rexmit_delay: a missing number is asked for again after this long. */
export const rexmitIntervalMs = 250;
/** Not at once: out of order by one is normal on this wire (heartbeat.md 6.2). */
export const rexmitFirstDelayMs = { min: 50, max: rexmitIntervalMs } as const;
/** More missing than this at once and heartbeat starts anew, so a classic peer expects no more. */
export const missingMaxClassic = 250;
/** Replay window between Baton hosts (reliability 9.2): nothing older is taken, so none is asked for. */
export const missingMaxWindow = 64;
/** Late numbers that are remembered. */
const filledMax = 64;
/** heartbeat serves at most 50 per request. */
export const rexmitRangeMax = 50;
/** After this many requests, some 15 s, a number is given up. */
export const rexmitAttemptsMax = 60;

/** Tracking of a sender of whom nothing was taken. */
export const newSequenceState = (): SequenceState => ({
  first: null,
  last: null,
  missing: [],
  filled: [],
});

export interface TakeContext {
  readonly now: Instant;
  /** Delay until newly missing numbers are asked for, from the seeded generator. */
  readonly delayMs: number;
  readonly missingMax: number;
}

/** Takes `sequence` (1 or above) into account. */
export function take(state: SequenceState, sequence: number, context: TakeContext): Taken {
  const { last } = state;
  if (last === null) return restartAt(state, sequence, "started");
  if (sequence === last + 1) return advance(state, sequence, "next");
  if (sequence === last) return "repeat";
  if (sequence < last) return fill(state, sequence, last - context.missingMax);
  if (sequence - last - 1 > context.missingMax) return restartAt(state, sequence, "reset");
  for (let absent = last + 1; absent < sequence; absent++) {
    const dueAt = after(context.now, context.delayMs);
    state.missing.push({ sequence: absent, dueAt, attempts: 0 });
  }
  // What has left the window can not come any more: `dueRanges` gives it up.
  for (const entry of state.missing) {
    if (entry.sequence >= sequence - context.missingMax) break;
    Object.assign(entry, { dueAt: context.now, attempts: rexmitAttemptsMax });
  }
  return advance(state, sequence, "gap");
}

function restartAt(state: SequenceState, sequence: number, taken: Taken): Taken {
  state.first = sequence;
  state.last = sequence;
  state.missing = [];
  return taken;
}

function advance(state: SequenceState, sequence: number, taken: Taken): Taken {
  state.last = sequence;
  return taken;
}

function fill(state: SequenceState, sequence: number, below: number): Taken {
  if (sequence < below || !giveUp(state, sequence)) return "old";
  state.filled = [...state.filled.slice(1 - filledMax), sequence];
  return "filled";
}

/** Stops to wait for `sequence`; false if it was not missing. */
export function giveUp(state: SequenceState, sequence: number): boolean {
  const at = state.missing.findIndex((entry) => entry.sequence === sequence);
  if (at < 0) return false;
  state.missing.splice(at, 1);
  return true;
}

export interface RexmitRange {
  readonly first: number;
  readonly last: number;
}

/** Ranges to ask for at `now`; the numbers that were asked for too often are given up instead. */
export function dueRanges(
  state: SequenceState,
  now: Instant,
): { readonly ranges: readonly RexmitRange[]; readonly lost: readonly number[] } {
  const lost = state.missing
    .filter((entry) => entry.dueAt <= now && entry.attempts >= rexmitAttemptsMax)
    .map((entry) => entry.sequence);
  state.missing = state.missing.filter((entry) => !lost.includes(entry.sequence));
  const ranges: { first: number; last: number }[] = [];
  for (const entry of state.missing) {
    if (entry.dueAt > now) continue;
    entry.dueAt = after(now, rexmitIntervalMs);
    entry.attempts += 1;
    const open = ranges.at(-1);
    const joins = open !== undefined && entry.sequence === open.last + 1;
    if (joins && open.last - open.first + 1 < rexmitRangeMax) open.last = entry.sequence;
    else ranges.push({ first: entry.sequence, last: entry.sequence });
  }
  return { ranges, lost };
}

/** Highest number below which none is missing; null if nothing was taken. */
export function contiguous(state: SequenceState): number | null {
  const absent = state.missing[0];
  return absent === undefined ? state.last : absent.sequence - 1;
}

/** heartbeat acknowledges every tenth number of a sender, at a residue of its own (6.3). */
export const ackEvery = 10;

/**
 * The number to acknowledge now: the highest of `residue` below which nothing is missing, if it is
 * above `acked`. Unlike the original it is also due when a gap closes: a sender never waits for one.
 */
export function ackDue(state: SequenceState, residue: number, acked: number): number | undefined {
  const upTo = contiguous(state);
  if (upTo === null || state.first === null) return undefined;
  const candidate = upTo - ((upTo - residue + ackEvery) % ackEvery);
  return candidate > acked && candidate >= state.first ? candidate : undefined;
}
