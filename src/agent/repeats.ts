/**
 * What the journal need not hold a second time. Two Baton hosts announce their level each second, and
 * each beat while the other is silent: written out every time, a peer that is down over a weekend
 * would push the incident that took it down out of the journal.
 */
import type { LoopRecord } from "./host-loop.ts";

/** Knows the announcement that was last written down, for each direction. */
export class Repeats {
  readonly #last = new Map<string, string>();

  /** True if `entry` is an announcement that says what the one before it said. */
  isRepeat(entry: LoopRecord): boolean {
    const { room, value } = entry;
    if (value.kind !== "message" && value.kind !== "send") return false;
    const { t, kind, body = "" } = value.fields;
    if (t !== "baton" || kind !== "holdings") return false;
    // A question must be answered anew each time, so the time of each counts.
    if (value.kind === "message" && !body.includes('"ask":null')) return false;
    const key = `${room} ${value.kind}`;
    if (this.#last.get(key) === body) return true;
    this.#last.set(key, body);
    return false;
  }
}
