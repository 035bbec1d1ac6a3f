/**
 * The transfer log: every replicated write that is not barrier-acked, in the order in which it was sent, cut into epochs
 * (drbd.md 3.2). Numbers of epochs go on over connections.
 *
 *   epoch:  open --close--> closed --barrier sent--> waiting --P_BARRIER_ACK (oldest, exact count)--> gone
 */
import type { Instant } from "../../base/index.ts";
import { type AppWrite, leg } from "./records.ts";

interface SentEpoch {
  readonly number: number;
  /** Packets of data sent in it: what the barrier ack must say. */
  writes: number;
  closed: boolean;
  barrierSent: boolean;
  /** When its first write was sent, then when its barrier was. */
  since: Instant;
}

/** Outlives connections: `takeAll` when one is lost for good, `rewind` when it comes back. */
export class TransferLog {
  readonly #maxEpochSize: number;
  #writes: AppWrite[] = [];
  #head = 0;
  #epochs: SentEpoch[] = [];
  #number = 0;
  #sectors = 0;

  constructor(maxEpochSize: number) {
    this.#maxEpochSize = maxEpochSize;
  }

  get size(): number {
    return this.#writes.length - this.#head;
  }

  /** Sectors of data that are not barrier-acked. */
  get sectors(): number {
    return this.#sectors;
  }

  /** Epochs that are not barrier-acked. */
  get epochs(): number {
    return this.#epochs.length;
  }

  /** Number of the newest epoch that has writes; -1: everything is acked. */
  get newest(): number {
    return this.#epochs.at(-1)?.number ?? -1;
  }

  /** Whether the epoch of this number, and all before it, are barrier-acked. */
  isAcked(epoch: number): boolean {
    const oldest = this.#epochs[0];
    return oldest === undefined || distance(epoch, oldest.number) < 0;
  }

  /** Since when the oldest epoch waits for the peer; undefined: nothing waits. */
  get waitingSince(): Instant | undefined {
    return this.#epochs[0]?.since;
  }

  /** Puts a write in the open epoch. True: that filled it, and it is closed now. */
  add(write: AppWrite, now: Instant): boolean {
    let epoch = this.#epochs.at(-1);
    if (epoch === undefined || epoch.closed) {
      epoch = { number: this.#number, writes: 0, closed: false, barrierSent: false, since: now };
      this.#epochs.push(epoch);
    }
    epoch.writes += 1;
    write.epoch = epoch.number;
    write.logged = true;
    this.#sectors += write.end - write.sector;
    this.#writes.push(write);
    if (epoch.writes < this.#maxEpochSize) return false;
    this.close();
    return true;
  }

  /** Whether this write is in the epoch that is still open: its completion closes it. */
  isOpen(write: AppWrite): boolean {
    const epoch = this.#epochs.at(-1);
    return epoch !== undefined && !epoch.closed && epoch.number === write.epoch;
  }

  /** No write is added to the present epoch any more. */
  close(): void {
    const epoch = this.#epochs.at(-1);
    if (epoch === undefined || epoch.closed) return;
    epoch.closed = true;
    this.#number = (this.#number + 1) >>> 0;
  }

  /** The barrier to send next; undefined: none. It counts as sent. */
  takeBarrier(now: Instant): number | undefined {
    for (let index = this.#epochs.length - 1; index >= 0; index--) {
      const epoch = this.#epochs[index] as SentEpoch;
      if (epoch.barrierSent) break;
      const before = this.#epochs[index - 1];
      if (!epoch.closed || (before !== undefined && !before.barrierSent)) continue;
      epoch.barrierSent = true;
      epoch.since = now;
      return epoch.number;
    }
    return undefined;
  }

  /** A barrier ack. Returns the writes of the epoch; undefined: it does not match, the peer lies. */
  acked(barrier: number, writes: number): readonly AppWrite[] | undefined {
    const oldest = this.#epochs[0];
    if (oldest === undefined || !oldest.barrierSent) return undefined;
    if (oldest.number !== barrier || oldest.writes !== writes) return undefined;
    this.#epochs.shift();
    const done = this.#writes.slice(this.#head, this.#head + writes);
    this.#head += writes;
    for (const write of done) this.#forget(write);
    if (this.#head > 4096 && this.#head * 2 > this.#writes.length) {
      this.#writes = this.#writes.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#writes.length) {
      this.#writes.length = 0;
      this.#head = 0;
    }
    return done;
  }

  /** A superseded write is finished and not counted; an epoch without others is never acked (drbd.md 3.2). */
  supersede(write: AppWrite): void {
    const index = this.#writes.indexOf(write, this.#head);
    if (index < 0) return;
    this.#writes.splice(index, 1);
    this.#forget(write);
    const epoch = this.#epochs.find((candidate) => candidate.number === write.epoch);
    if (epoch === undefined) return;
    epoch.writes -= 1;
    if (epoch.writes > 0) return;
    if (!epoch.closed) this.close();
    this.#epochs = this.#epochs.filter((candidate) => candidate !== epoch);
  }

  /** Everything, oldest first, and the log is empty: the connection was lost. */
  takeAll(): readonly AppWrite[] {
    this.close();
    const all = this.#writes.slice(this.#head);
    this.#writes = [];
    this.#head = 0;
    this.#epochs = [];
    for (const write of all) this.#forget(write);
    return all;
  }

  /** Everything, oldest first; it stays in the log. */
  all(): readonly AppWrite[] {
    return this.#writes.slice(this.#head);
  }

  /** All will be sent once more: no barrier is sent yet. */
  rewind(now: Instant): void {
    this.close();
    for (const epoch of this.#epochs) {
      epoch.barrierSent = false;
      epoch.since = now;
    }
  }

  /** Barriers of the epochs before this one, when everything is sent once more. */
  takeBarrierBefore(epoch: number, now: Instant): number | undefined {
    for (const candidate of this.#epochs) {
      if (candidate.barrierSent) continue;
      if (distance(candidate.number, epoch) >= 0) return undefined;
      candidate.barrierSent = true;
      candidate.since = now;
      return candidate.number;
    }
    return undefined;
  }

  #forget(write: AppWrite): void {
    write.logged = false;
    this.#sectors -= write.end - write.sector;
  }
}

/** Numbers of epochs wrap; differences are signed. */
const distance = (left: number, right: number): number => (left - right) | 0;

/** Whether the peer has this write for certain once its epoch is barrier-acked. */
export const isSafeRemotely = (write: AppWrite): boolean =>
  write.remote !== leg.failed && write.remote !== leg.lost;
