/**
 * The activity log in memory (drbd.md 7.4, I2, R9): which extents of 4 MiB may be written to now.
 *
 * `begin` takes the extents of a request and holds them until `end`. What is not in the log yet gathers until the
 * transaction that is being written is durable, and goes out with the next one: a group commit. One transaction is in
 * flight at a time; a ring can lose only the block that was being written.
 *
 *   extent:  absent --begin--> gathering --take--> in flight --durable--> active --end--> idle --evicted--> absent
 *                                                                          ^-----begin-----'
 *
 * For each transaction, in this order: the bitmap pages of `evicted` (if dirty), its block, a flush, `durable()`.
 */
import { assert } from "../../base/index.ts";
import {
  CONTEXT_ENTRIES,
  clampExtents,
  encodeTransaction,
  FREE,
  MAX_UPDATES,
  ringBlocks,
  ringOffset,
  type SlotUpdate,
} from "./activity-ring.ts";
import { BLOCK_BYTES, type RingShape } from "./layout.ts";

export interface ActivityLogOptions {
  readonly ring: RingShape;
  /** `al-extents`; brought within what the ring can hold. */
  readonly extents: number;
}

/** What becomes of a request that wants its extents. */
export type Admission =
  /** It may go on: its extents are in the durable log. */
  | { readonly kind: "ready" }
  /** It holds its extents and may go on once `durable()` returns at least `until`. */
  | { readonly kind: "waits"; readonly until: number }
  /** It holds nothing: all slots are in use. Ask again, first come first served, after an `end` or a `durable`. */
  | { readonly kind: "full" };

/** One block to write. `ordinal` counts from 1 and does not wrap. */
export interface LogWrite {
  readonly ordinal: number;
  /** In bytes, from the start of the ring. */
  readonly offset: number;
  readonly block: Uint8Array;
  /** Extents that lose their slots: their bitmap pages must be durable before this block. */
  readonly evicted: readonly number[];
}

interface Extent {
  readonly slot: number;
  holders: number;
  /** Ordinal of the transaction that makes it durable. */
  readonly since: number;
}

interface PendingUpdate extends SlotUpdate {
  readonly evicted: number;
}

/** Everything, as plain data. */
export interface ActivityLogSnapshot {
  /** Extent, slot, holders, ordinal. */
  readonly extents: readonly (readonly [number, number, number, number])[];
  /** In the order in which they will be evicted. */
  readonly idle: readonly number[];
  /** Slot and extent. */
  readonly logged: readonly (readonly [number, number])[];
  readonly free: readonly number[];
  readonly gathering: readonly PendingUpdate[];
  readonly flying: readonly PendingUpdate[];
  readonly cursor: number;
  readonly number: number;
  readonly taken: number;
  readonly done: number;
}

const READY: Admission = { kind: "ready" };
const FULL: Admission = { kind: "full" };

/** Slots with extents, and who holds them. Bounded by `al-extents`. */
export class ActivityLog {
  readonly #ring: RingShape;
  readonly #size: number;
  /** Extents that have a slot, durable or on their way. */
  readonly #extents = new Map<number, Extent>();
  /** Durable and held by nobody, least recently used first. */
  readonly #idle = new Set<number>();
  /** What the disk says of each slot, once the transactions taken so far are durable. */
  readonly #logged: Uint32Array;
  readonly #free: number[] = [];
  #gathering: PendingUpdate[] = [];
  /** What the transaction in flight makes active. */
  #flying: readonly PendingUpdate[] = [];
  /** First slot of the next context. */
  #cursor = 0;
  /** Number of the next transaction: u32. */
  #number = 0;
  /** Ordinals: of the last transaction taken, and of the last that is durable. */
  #taken = 0;
  #done = 0;

  /** An empty log; `attach` gives the ring that goes with it. */
  constructor(options: ActivityLogOptions) {
    this.#ring = options.ring;
    this.#size = clampExtents(options.extents, options.ring);
    this.#logged = new Uint32Array(this.#size).fill(FREE);
    // The highest is handed out first, as the kernel does.
    for (let slot = 0; slot < this.#size; slot++) this.#free.push(slot);
  }

  /** Slots in use: al_nr_extents of the superblock. */
  get size(): number {
    return this.#size;
  }

  /** Whether extents gather for a transaction that may be taken now. */
  get wantsToWrite(): boolean {
    return this.#gathering.length > 0 && this.#taken === this.#done;
  }

  /** Whether a transaction is being written. */
  get writing(): boolean {
    return this.#taken > this.#done;
  }

  /** Extents that have a slot. */
  get used(): number {
    return this.#extents.size;
  }

  /** The whole ring as the kernel writes it at attach: empty transactions, numbered from 0. Only on an unused log. */
  attach(): Uint8Array {
    assert(this.#extents.size === 0 && this.#taken === 0, "The log is in use already");
    const bytes = new Uint8Array(ringBlocks(this.#ring) * BLOCK_BYTES);
    for (let place = 0; place < ringBlocks(this.#ring); place++) {
      bytes.set(this.#block([]), ringOffset(this.#number, this.#ring));
      this.#advance();
    }
    return bytes;
  }

  /** Wants extents `first` to `last` for a request. All or none of them are held. */
  begin(first: number, last: number): Admission {
    assert(first >= 0 && first <= last && last < FREE, `No extents ${first} to ${last}`);
    let missing = 0;
    let idle = 0;
    for (let number = first; number <= last; number++) {
      if (!this.#extents.has(number)) missing++;
      else if (this.#idle.has(number)) idle++;
    }
    // Those that this very request makes busy can not be evicted for it.
    if (missing > this.#free.length + this.#idle.size - idle) return FULL;
    for (let number = first; number <= last; number++) this.#hold(number);
    for (let number = first; missing > 0 && number <= last; number++) {
      if (this.#extents.has(number)) continue;
      this.#activate(number);
      missing--;
    }
    return this.#admission(first, last);
  }

  /** Lets go of what `begin` gave, whether it became ready or not. */
  end(first: number, last: number): void {
    for (let number = first; number <= last; number++) {
      const extent = this.#extents.get(number);
      assert(extent !== undefined && extent.holders > 0, `Extent ${number} is not held`);
      extent.holders--;
      if (extent.holders === 0 && extent.since <= this.#done) this.#idle.add(number);
    }
  }

  /** The next transaction; undefined while one is being written, or if there is nothing to log. */
  take(): LogWrite | undefined {
    if (!this.wantsToWrite) return undefined;
    const updates = this.#gathering.slice(0, MAX_UPDATES);
    this.#gathering = this.#gathering.slice(MAX_UPDATES);
    const offset = ringOffset(this.#number, this.#ring);
    const block = this.#block(updates);
    for (const { slot, extent } of updates) this.#logged[slot] = extent;
    this.#advance();
    this.#taken++;
    this.#flying = updates;
    const evicted = updates.map((update) => update.evicted).filter((number) => number !== FREE);
    return { ordinal: this.#taken, offset, block, evicted };
  }

  /** The transaction that was taken is on the disk. Returns its ordinal: requests that wait until it may go on. */
  durable(): number {
    assert(this.writing, "No transaction is being written");
    this.#done = this.#taken;
    for (const { extent } of this.#flying) {
      if (this.#extents.get(extent)?.holders === 0) this.#idle.add(extent);
    }
    this.#flying = [];
    return this.#done;
  }

  /** Whether this extent is in the durable log. */
  isActive(extent: number): boolean {
    const found = this.#extents.get(extent);
    return found !== undefined && found.since <= this.#done;
  }

  /** How many requests hold an extent. */
  holders(extent: number): number {
    return this.#extents.get(extent)?.holders ?? 0;
  }

  /** All of the state, as plain data. */
  snapshot(): ActivityLogSnapshot {
    const logged = Array.from(this.#logged, (extent, slot) => [slot, extent] as const);
    return {
      extents: Array.from(this.#extents, ([number, { slot, holders, since }]) => [
        number,
        slot,
        holders,
        since,
      ]),
      idle: [...this.#idle],
      logged: logged.filter(([, extent]) => extent !== FREE),
      free: [...this.#free],
      gathering: [...this.#gathering],
      flying: [...this.#flying],
      cursor: this.#cursor,
      number: this.#number,
      taken: this.#taken,
      done: this.#done,
    };
  }

  /** The log of a snapshot, made with the same options. */
  static restore(options: ActivityLogOptions, snapshot: ActivityLogSnapshot): ActivityLog {
    const log = new ActivityLog(options);
    for (const [number, slot, holders, since] of snapshot.extents) {
      log.#extents.set(number, { slot, holders, since });
    }
    for (const number of snapshot.idle) log.#idle.add(number);
    for (const [slot, extent] of snapshot.logged) log.#logged[slot] = extent;
    log.#free.splice(0, log.#free.length, ...snapshot.free);
    log.#gathering = [...snapshot.gathering];
    log.#flying = snapshot.flying;
    log.#cursor = snapshot.cursor;
    log.#number = snapshot.number;
    log.#taken = snapshot.taken;
    log.#done = snapshot.done;
    return log;
  }

  #hold(number: number): void {
    const extent = this.#extents.get(number);
    if (extent === undefined) return;
    extent.holders++;
    if (extent.holders === 1) this.#idle.delete(number);
  }

  #activate(number: number): void {
    let evicted = FREE;
    let slot = this.#free.pop();
    if (slot === undefined) {
      evicted = this.#idle.values().next().value as number;
      slot = (this.#extents.get(evicted) as Extent).slot;
      this.#idle.delete(evicted);
      this.#extents.delete(evicted);
    }
    // Every transaction takes the first 64 that gather, so the place in the queue tells which one it will be.
    const since = this.#taken + 1 + Math.floor(this.#gathering.length / MAX_UPDATES);
    this.#gathering.push({ slot, extent: number, evicted });
    this.#extents.set(number, { slot, holders: 1, since });
  }

  #admission(first: number, last: number): Admission {
    let until = 0;
    for (let number = first; number <= last; number++) {
      until = Math.max(until, (this.#extents.get(number) as Extent).since);
    }
    return until <= this.#done ? READY : { kind: "waits", until };
  }

  #block(updates: readonly SlotUpdate[]): Uint8Array {
    return encodeTransaction({
      number: this.#number,
      updates,
      contextSize: this.#size,
      contextStart: this.#cursor,
      context: this.#logged.subarray(this.#cursor, this.#cursor + CONTEXT_ENTRIES),
    });
  }

  #advance(): void {
    this.#number = (this.#number + 1) >>> 0;
    this.#cursor += CONTEXT_ENTRIES;
    if (this.#cursor >= this.#size) this.#cursor = 0;
  }
}
