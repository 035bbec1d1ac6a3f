/**
 * The beats of the last 10 minutes, in memory (DESIGN 7.10): too many for the journal, wanted
 * around an incident. Pure: a bounded queue from which what was not written yet can be taken.
 */
import type { Instant } from "../base/index.ts";

/** One beat as it came in or went out. */
export interface Beat {
  readonly at: Instant;
  readonly host: string;
  readonly link: string;
  readonly generation: number;
  readonly sequence: number;
}

/** How long a beat is kept, milliseconds (DESIGN 7.10). */
export const beatsKeptMs = 600_000;
/** Most beats kept: 10 minutes of two hosts, two links and 50 ms keepalive, and some to spare. */
export const beatsMax = 65_536;

/** Beats by age: pushed at the end, forgotten at the front, taken once. */
export class BeatsRing {
  #beats: Beat[] = [];
  /** Index of the oldest beat still kept; what is before it is given back now and then. */
  #first = 0;

  /** Beats that are kept and were not taken. */
  get length(): number {
    return this.#beats.length - this.#first;
  }

  /** Adds one beat and forgets those that are too old or too many, measured from this one. */
  push(beat: Beat): void {
    this.#beats.push(beat);
    while (this.length > beatsMax) this.#first++;
    for (;;) {
      const oldest = this.#beats[this.#first];
      if (oldest === undefined || beat.at - oldest.at <= beatsKeptMs) break;
      this.#first++;
    }
    // Half of the array is spent: moving the rest now costs one step per beat on average.
    if (this.#first > 1_024 && this.#first > this.length) this.#compact();
  }

  /** All beats not taken yet, oldest first; a second dump of the same incident has only newer ones. */
  take(): readonly Beat[] {
    const taken = this.#beats.slice(this.#first);
    this.#beats = [];
    this.#first = 0;
    return taken;
  }

  #compact(): void {
    this.#beats = this.#beats.slice(this.#first);
    this.#first = 0;
  }
}
