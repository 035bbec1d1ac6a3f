declare const instantBrand: unique symbol;

/**
 * A reading of CLOCK_MONOTONIC, in milliseconds; never a date. Threads and processes of one host
 * share it (DESIGN 7.2), so it may cross a local socket, but never the network.
 */
export type Instant = number & { readonly [instantBrand]: true };

/** What a shell needs of time. Cores never hold a clock: they are given `now`. */
export interface Clock {
  now(): Instant;
  /** Calls `wake` once, at or after `at`; the returned function cancels it. */
  at(at: Instant, wake: () => void): () => void;
}

/** Marks a number of milliseconds as an instant. For clocks and tests. */
export const instant = (ms: number): Instant => ms as Instant;

/** The instant `ms` milliseconds after `start`. */
export const after = (start: Instant, ms: number): Instant => instant(start + ms);

/** The earliest of the instants given; undefined if none is. */
export function earliest(...instants: readonly (Instant | undefined)[]): Instant | undefined {
  let first: Instant | undefined;
  for (const candidate of instants) {
    if (candidate !== undefined && (first === undefined || candidate < first)) first = candidate;
  }
  return first;
}
