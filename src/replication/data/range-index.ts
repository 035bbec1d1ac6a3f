/**
 * Which sectors are being written or read under a lock: the overlap rules of drbd.md 3.1 step 3, 3.3 step 4 and 3.8 in one place.
 * Hashed by buckets of 128 KiB; ranges of more than 8 MiB (discards) are few and kept in a list.
 *
 * The reference locks whole extents of 16 MiB against resync. Exact ranges give the same guarantee (a resync read never
 * meets a write of the same sectors) and make nobody wait who does not touch them.
 */
import { assert } from "../../base/index.ts";

/** One range in use. `waiters` go on when it is removed; who they are is the owner's business. */
export interface Range<Waiter> {
  readonly sector: number;
  /** First sector behind the range. */
  readonly end: number;
  /** Writes exclude everything, reads under a lock only writes. */
  readonly exclusive: boolean;
  waiters: Waiter[] | undefined;
  /** When it was inserted, as a count; 0: it is not. Who comes later waits for who came first, so nobody waits in a circle. */
  order: number;
}

const bucketSectors = 256;
const wideBuckets = 64;

/** The ranges in use. Who waits for whom is kept in the ranges, not here. */
export class RangeIndex<Waiter, Held extends Range<Waiter> = Range<Waiter>> {
  readonly #buckets = new Map<number, Held[]>();
  readonly #wide: Held[] = [];
  /** Emptied bucket arrays, used again. */
  readonly #spare: Held[][] = [];
  #size = 0;
  #order = 0;

  get size(): number {
    return this.#size;
  }

  /** Something that a newcomer to `sector`..`end` has to wait for; undefined: nothing. */
  conflict(
    sector: number,
    end: number,
    exclusive: boolean,
    before: number = Number.POSITIVE_INFINITY,
  ): Held | undefined {
    if (this.#size === 0) return undefined;
    const last = Math.floor((end - 1) / bucketSectors);
    const first = Math.floor(sector / bucketSectors);
    if (last - first >= this.#buckets.size) {
      return this.#conflictAnywhere(sector, end, exclusive, before);
    }
    for (let bucket = first; bucket <= last; bucket++) {
      const held = this.#buckets.get(bucket);
      if (held === undefined) continue;
      const found = overlapping(held, sector, end, exclusive, before);
      if (found !== undefined) return found;
    }
    return this.#wide.length === 0
      ? undefined
      : overlapping(this.#wide, sector, end, exclusive, before);
  }

  insert(range: Held): void {
    this.#size += 1;
    this.#order += 1;
    range.order = this.#order;
    const first = Math.floor(range.sector / bucketSectors);
    const last = Math.floor((range.end - 1) / bucketSectors);
    if (last - first >= wideBuckets) {
      this.#wide.push(range);
      return;
    }
    for (let bucket = first; bucket <= last; bucket++) {
      const held = this.#buckets.get(bucket);
      if (held !== undefined) {
        held.push(range);
        continue;
      }
      const fresh = this.#spare.pop() ?? [];
      fresh.push(range);
      this.#buckets.set(bucket, fresh);
    }
  }

  /** Takes the range out; the caller lets its `waiters` go on. */
  remove(range: Held): void {
    this.#size -= 1;
    range.order = 0;
    const first = Math.floor(range.sector / bucketSectors);
    const last = Math.floor((range.end - 1) / bucketSectors);
    if (last - first >= wideBuckets) {
      drop(this.#wide, range);
      return;
    }
    for (let bucket = first; bucket <= last; bucket++) {
      const held = this.#buckets.get(bucket);
      assert(held !== undefined, `Range at sector ${range.sector} is not in the index`);
      drop(held, range);
      if (held.length > 0) continue;
      this.#buckets.delete(bucket);
      if (this.#spare.length < 256) this.#spare.push(held);
    }
  }

  /** For newcomers wider than everything there is. */
  #conflictAnywhere(
    sector: number,
    end: number,
    exclusive: boolean,
    before: number,
  ): Held | undefined {
    for (const held of this.#buckets.values()) {
      const found = overlapping(held, sector, end, exclusive, before);
      if (found !== undefined) return found;
    }
    return overlapping(this.#wide, sector, end, exclusive, before);
  }
}

function overlapping<Held extends Range<unknown>>(
  held: readonly Held[],
  sector: number,
  end: number,
  exclusive: boolean,
  before: number,
): Held | undefined {
  for (let index = 0; index < held.length; index++) {
    const range = held[index] as Held;
    if (
      range.sector < end &&
      sector < range.end &&
      (exclusive || range.exclusive) &&
      range.order < before
    ) {
      return range;
    }
  }
  return undefined;
}

function drop<Held>(held: Held[], range: Held): void {
  const index = held.indexOf(range);
  assert(index >= 0, "A range was removed twice");
  const last = held.pop() as Held;
  if (index < held.length) held[index] = last;
}
