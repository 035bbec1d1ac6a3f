/** How a resync or verify goes on: what /proc/drbd and `baton disk status` show (drbd.md 9.4). */
import { after, type Instant } from "../../base/index.ts";
import type { ResyncView } from "../contract.ts";

const markEveryMs = 3_000;
const marksKept = 6;
const stalledAfterMs = 180_000;

/** One for each resync or verify. Times are given, blocks are of 4 KiB. */
export class Progress {
  readonly #kind: "resync" | "verify";
  readonly #startedAt: Instant;
  readonly #total: number;
  /** Rounds of 3 s: blocks left at each, the oldest first. */
  readonly #marks: { readonly at: Instant; readonly left: number }[];
  #left: number;
  #movedAt: Instant;

  constructor(kind: "resync" | "verify", totalBlocks: number, now: Instant) {
    this.#kind = kind;
    this.#startedAt = now;
    this.#total = totalBlocks;
    this.#left = totalBlocks;
    this.#movedAt = now;
    this.#marks = [{ at: now, left: totalBlocks }];
  }

  get startedAt(): Instant {
    return this.#startedAt;
  }

  get totalBlocks(): number {
    return this.#total;
  }

  update(left: number, now: Instant): void {
    if (left < this.#left) this.#movedAt = now;
    this.#left = left;
    const last = this.#marks.at(-1);
    if (last !== undefined && now < after(last.at, markEveryMs)) return;
    this.#marks.push({ at: now, left });
    if (this.#marks.length > marksKept + 1) this.#marks.shift();
  }

  view(left: number, failed: number, want: number | null, now: Instant): ResyncView {
    this.update(left, now);
    const oldest = this.#marks[0];
    return {
      kind: this.#kind,
      totalBlocks: this.#total,
      leftBlocks: left,
      failedBlocks: failed,
      startedAt: this.#startedAt,
      recentKibPerSecond: oldest === undefined ? 0 : speed(oldest.left - left, now - oldest.at),
      overallKibPerSecond: speed(this.#total - left, now - this.#startedAt),
      wantKibPerSecond: want,
      stalled: now >= after(this.#movedAt, stalledAfterMs),
    };
  }
}

const speed = (blocks: number, ms: number): number =>
  blocks <= 0 ? 0 : Math.round((blocks * 4 * 1000) / Math.max(1, ms));
