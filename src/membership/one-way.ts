/**
 * Do our beats arrive? A Baton peer tells the newest number of ours that it heard on each link
 * (`btnheard`, DESIGN 7.5); when that stands still while our own number grows, nothing arrives.
 * Source: reliability 3.2.5 and fault case 5 (one-way cuts).
 *
 *   told number grows, or equals ours    heard
 *   it stands still                      counted from the first status that says so
 *   that lasts longer than warntime      not heard, until it grows again
 *
 * A number above ours is of an older generation of this host: the peer has not heard this one.
 */
import type { Instant } from "../base/index.ts";

/** Plain JSON: part of the snapshot. */
export interface OneWay {
  /** Undefined before the peer told anything: null in JSON. */
  heard: boolean | null;
  /** Newest own number that it told, 0 for none. */
  told: number;
  /** Since when it stands still; null while it grows. */
  stillSince: Instant | null;
}

export const newOneWay = (): OneWay => ({ heard: null, told: 0, stillSince: null });

/** What one status of the peer says. */
export interface Told {
  readonly at: Instant;
  /** By link name. */
  readonly heard: Readonly<Record<string, number>>;
  /** Our own newest number when it arrived. */
  readonly ownSequence: number;
}

/** The answer if it changed. */
export function noteTold(
  state: OneWay,
  told: Told,
  warntimeMs: number,
): { readonly heard: boolean; readonly sinceMs: number } | undefined {
  const numbers = Object.values(told.heard).filter((number) => number <= told.ownSequence);
  const newest = Math.max(0, ...numbers);
  if (newest > state.told || (newest > 0 && newest === told.ownSequence)) {
    const sinceMs = told.at - (state.stillSince ?? told.at);
    const changed = state.heard === false;
    Object.assign(state, { heard: true, told: newest, stillSince: null });
    return changed ? { heard: true, sinceMs } : undefined;
  }
  state.stillSince ??= told.at;
  const sinceMs = told.at - state.stillSince;
  if (state.heard === false || sinceMs <= warntimeMs) return undefined;
  state.heard = false;
  return { heard: false, sinceMs };
}

/** Starts to count anew: we or the peer began a generation, or we were silent ourselves. */
export function forgetTold(state: OneWay): void {
  state.told = 0;
  state.stillSince = null;
}
