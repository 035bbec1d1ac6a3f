/**
 * Activity log and bitmap of the attached disk in use: admission of writes, and the order in which things become durable
 * (drbd.md 7.4, R9, I2): bitmap pages of evicted extents, then the transaction, then the data.
 *
 * Bits that were cleared because a resync wrote the block go to the disk only behind a flush of the data: else a power cut
 * could leave a block that is neither in sync nor marked.
 */
import { assert } from "../../base/index.ts";
import type { AttachedMetadata, MetadataWrite } from "../contract.ts";
import {
  ActivityLog,
  Bitmap,
  type DirtyPages,
  EXTENT_SECTORS,
  type LogWrite,
  locate,
  type MetadataLayout,
  parseSuperblock,
  ringOf,
} from "../metadata/index.ts";
import type { DataContext } from "./context.ts";
import type { Owner, PagesFlush, PagesPurpose } from "./records.ts";

type Write = { readonly for: "log" } | { readonly for: "pages"; readonly purpose: PagesPurpose };

interface LogWaiter {
  readonly owner: Owner;
  readonly until: number;
}

/** Holds nothing: the log has no slot for it. */
interface RoomWaiter {
  readonly owner: Owner;
  readonly sector: number;
  readonly end: number;
}

/** Copies of pages that are written once those before them are. */
interface PagesBehind {
  readonly writes: readonly MetadataWrite[];
  readonly purpose: PagesPurpose;
}

/** One for each attach; gone with the disk. */
export class DiskMetadata {
  readonly log: ActivityLog;
  readonly bits: Bitmap;
  readonly #ctx: DataContext;
  readonly #layout: MetadataLayout;
  /** Metadata writes of ours under way. */
  readonly #writes = new Map<number, Write>();
  #waiting: LogWaiter[] = [];
  #full: RoomWaiter[] = [];
  /** The transaction that waits for the pages of what it evicts. */
  #held: LogWrite | undefined;
  #clearsUnflushed = false;
  /** Pages wait for a flush. Newer copies of pages wait behind them: the older one must not land last. */
  #flushing = false;
  #behind: PagesBehind[] = [];
  /** Whether the backing device takes discards; else they become zero-outs. */
  readonly discards: boolean;
  logWrites = 0;
  bitmapWrites = 0;

  constructor(ctx: DataContext, found: AttachedMetadata) {
    this.#ctx = ctx;
    const superblock = parseSuperblock(found.superblock);
    assert(superblock.ok, "Control checked the superblock");
    const { options } = ctx;
    const own = options.spec.hosts.find((host) => host.host === options.host);
    assert(own !== undefined, `Host ${options.host} has no side of this disk`);
    const form =
      own.metadata.kind === "indexed"
        ? { kind: "indexed" as const, index: own.metadata.index }
        : { kind: own.metadata.kind };
    const layout = locate(superblock.value, form, found);
    assert(layout.ok, "Control checked the layout");
    this.#layout = layout.value;
    this.discards = found.discards;
    const sectors = ctx.host.sectors > 0 ? ctx.host.sectors : superblock.value.lastAgreedSectors;
    this.bits = new Bitmap(found.bitmap, sectors);
    this.log = new ActivityLog({
      ring: ringOf(superblock.value),
      extents: options.spec.disk.activityLogExtents,
    });
    const ring = this.log.attach();
    this.#pageWrites += 1;
    this.#write([{ offset: this.#layout.activityLogOffset, bytes: ring }], {
      for: "pages",
      purpose: "none",
    });
  }

  /** True: the extents are in the durable log and held. False: `owner` is resumed when they are. */
  admit(owner: Owner, sector: number, end: number): boolean {
    const admission = this.log.begin(
      Math.floor(sector / EXTENT_SECTORS),
      Math.floor((end - 1) / EXTENT_SECTORS),
    );
    if (admission.kind === "ready") return true;
    if (admission.kind === "full") {
      assert(
        Math.floor((end - 1) / EXTENT_SECTORS) - Math.floor(sector / EXTENT_SECTORS) <
          this.log.size,
        "A request is wider than the activity log",
      );
      this.#full.push({ owner, sector, end });
      return false;
    }
    this.#waiting.push({ owner, until: admission.until });
    this.#pump();
    return false;
  }

  /** Lets go of the extents. */
  release(sector: number, end: number): void {
    this.log.end(Math.floor(sector / EXTENT_SECTORS), Math.floor((end - 1) / EXTENT_SECTORS));
    if (this.#full.length > 0) this.#retryFull();
  }

  /** A write of the application is on the disk, but maybe not flushed. */
  wrote(sector: number, end: number): void {
    const last = Math.floor((end - 1) / EXTENT_SECTORS);
    for (let extent = Math.floor(sector / EXTENT_SECTORS); extent <= last; extent++) {
      this.#writtenAt.set(extent, this.#ctx.flushes);
    }
  }

  /** Whether data of this extent may still be lost with the power. */
  #isUnflushed(extent: number): boolean {
    const written = this.#writtenAt.get(extent);
    return written !== undefined && written >= this.#ctx.flushedUpTo;
  }

  /** By extent: how many flushes had begun when it was last written to. */
  readonly #writtenAt = new Map<number, number>();

  /** Whether there is anything of the application that no flush has covered. */
  get hasUnflushed(): boolean {
    for (const [extent] of this.#writtenAt) {
      if (this.#isUnflushed(extent)) return true;
      this.#writtenAt.delete(extent);
    }
    return false;
  }

  /** Extents that requests hold or held: what `congestion-extents` counts. */
  get usedExtents(): number {
    return this.log.used;
  }

  /** Whether pages are on their way to the disk. */
  get isWritingPages(): boolean {
    return this.#pageWrites > 0;
  }
  #pageWrites = 0;

  /** Bits cleared by a resync or by a write that our disk has not flushed yet. */
  clearedUnflushed(): void {
    this.#clearsUnflushed = true;
  }

  /** Writes the dirty pages; `purpose` comes back by `metadataDone`. False: none is dirty. */
  writePages(purpose: PagesPurpose): boolean {
    if (this.bits.dirtyPages === 0) return false;
    this.#flushThenWrite(this.#pages(this.bits.takeDirty()), purpose);
    return true;
  }

  /** The same, behind a flush of the data in any case; comes back also if no page is dirty. */
  flushAndWritePages(purpose: PagesPurpose): void {
    this.#clearsUnflushed = true;
    this.#flushThenWrite(this.#pages(this.bits.takeDirty()), purpose);
  }

  /** The flush before pages with cleared bits is done. */
  flushed(flush: PagesFlush, ok: boolean): void {
    if (!ok) {
      this.bits.dirtyAll();
      this.#ctx.ioError("flush", 0, "the flush before bitmap pages failed");
      return;
    }
    this.#flushing = false;
    this.#writeOut(flush.writes, flush.purpose);
    while (!this.#flushing && this.#behind.length > 0) {
      const { writes, purpose } = this.#behind.shift() as PagesBehind;
      this.#beginPages(writes, purpose);
    }
  }

  metadataDone(token: number, ok: boolean): void {
    const write = this.#writes.get(token);
    if (write === undefined) return;
    this.#writes.delete(token);
    if (!ok) {
      // Nobody who waits goes on: control gives the disk up, and that lets them go.
      this.#ctx.ioError("metadata", 0, "a write to the metadata failed");
      return;
    }
    if (write.for === "log") {
      this.#logDurable();
      return;
    }
    this.#pageWrites -= 1;
    this.#pagesDone(write.purpose);
  }

  /** The disk is gone: who waited for the log goes on without. */
  abandon(): readonly Owner[] {
    const owners = [
      ...this.#waiting.map((waiter) => waiter.owner),
      ...this.#full.map((waiter) => waiter.owner),
    ];
    this.#waiting = [];
    this.#full = [];
    return owners;
  }

  /** Whether extents were taken for a waiter: those that wait for room hold nothing. */
  #retryFull(): void {
    while (this.#full.length > 0) {
      const { owner, sector, end } = this.#full[0] as RoomWaiter;
      const admission = this.log.begin(
        Math.floor(sector / EXTENT_SECTORS),
        Math.floor((end - 1) / EXTENT_SECTORS),
      );
      if (admission.kind === "full") break;
      this.#full.shift();
      if (admission.kind === "ready") this.#ctx.resume(owner);
      else this.#waiting.push({ owner, until: admission.until });
    }
    this.#pump();
  }

  /** Takes the next transaction if none is under way. */
  #pump(): void {
    if (this.#held !== undefined) return;
    const write = this.log.take();
    if (write === undefined) return;
    const { evicted } = write;
    const pages = evicted.length === 0 ? [] : this.#pages(this.bits.takeDirtyOf(evicted));
    // Outside the log nothing says that our own disk may have lost what the peer has.
    const unflushed = evicted.some((extent) => this.#isUnflushed(extent));
    for (const extent of evicted) this.#writtenAt.delete(extent);
    if (unflushed) this.#clearsUnflushed = true;
    // Pages that wait for a flush may be those of what is evicted.
    if (pages.length === 0 && !unflushed && !this.#flushing) {
      this.#writeLog(write);
      return;
    }
    this.#held = write;
    this.#flushThenWrite(pages, "evicted");
  }

  #writeLog(write: LogWrite): void {
    this.#held = undefined;
    this.logWrites += 1;
    this.#write([{ offset: this.#layout.activityLogOffset + write.offset, bytes: write.block }], {
      for: "log",
    });
  }

  #logDurable(): void {
    const done = this.log.durable();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) if (waiter.until > done) this.#waiting.push(waiter);
    this.#pump();
    for (const waiter of waiting) if (waiter.until <= done) this.#ctx.resume(waiter.owner);
    if (this.#full.length > 0) this.#retryFull();
  }

  #pagesDone(purpose: PagesPurpose): void {
    if (purpose === "evicted" && this.#held !== undefined) this.#writeLog(this.#held);
    else this.#ctx.pagesDurable(purpose);
  }

  #flushThenWrite(writes: readonly MetadataWrite[], purpose: PagesPurpose): void {
    this.#pageWrites += 1;
    if (this.#flushing) this.#behind.push({ writes, purpose });
    else this.#beginPages(writes, purpose);
  }

  #beginPages(writes: readonly MetadataWrite[], purpose: PagesPurpose): void {
    const ctx = this.#ctx;
    if (this.#clearsUnflushed && ctx.standing.hasDisk && ctx.options.spec.disk.flushes) {
      this.#clearsUnflushed = false;
      this.#flushing = true;
      const { sessionNumber: session, now: startedAt } = ctx;
      ctx.localFlush({ kind: "pagesFlush", purpose, session, writes, startedAt });
      return;
    }
    this.#writeOut(writes, purpose);
  }

  /** With the pages, or with the flush if there were none. */
  #writeOut(writes: readonly MetadataWrite[], purpose: PagesPurpose): void {
    this.bitmapWrites += writes.length;
    if (writes.length > 0) {
      this.#write(writes, { for: "pages", purpose });
      return;
    }
    this.#pageWrites -= 1;
    this.#pagesDone(purpose);
  }

  /** Copies: what is cleared from now on must not ride along in front of its flush. */
  #pages(pages: readonly DirtyPages[]): readonly MetadataWrite[] {
    return pages.map(({ offset, bytes }) => ({
      offset: this.#layout.bitmapOffset + offset,
      bytes: new Uint8Array(bytes),
    }));
  }

  #write(writes: readonly MetadataWrite[], use: Write): void {
    this.#writes.set(this.#ctx.host.writeMetadata(writes), use);
  }
}
