/**
 * The local half of a disk, for the engine thread: performs the core's effects on backing and metadata device. What is a
 * copy into or out of the page cache is done here and now; what waits goes to helper threads.
 *
 *   write            here; with FUA then as a flush
 *   read             here if it is in memory (preadv2 RWF_NOWAIT), else by a worker thread
 *   flush            flush thread; one fdatasync for all that asked before it began (group commit)
 *   metadata         metadata thread, in pieces of 1 MiB, in order
 *   discard, zero    worker thread
 */
import { randomBytes } from "node:crypto";
import { assert } from "../../base/index.ts";
import type { DiskEffect, DiskEvent, DiskHost, MetadataWrite } from "../../replication/index.ts";
import {
  type MetadataTarget,
  type OpenTarget,
  readMetadata,
} from "../../replication/metadata/metadata.shell.ts";
import { EIO, nativeMemory } from "../../system/descriptors.ts";
import { addressOf, errnoName } from "../../system/ffi.ts";
import { preadNoWait, pwriteAt } from "../../system/positioned-io.ts";
import type { DiskLog } from "./disk-log.ts";
import type { Failpoints } from "./failpoints.ts";
import { Fifo } from "./fifo.ts";
import { type Job, job, type Mailbox } from "./shared-words.ts";

const SECTOR = 512;
const READ_MAX_BYTES = 1_048_576;
const METADATA_WRITES_MAX = 2_048;

type Of<Kind extends DiskEffect["kind"]> = Extract<DiskEffect, { readonly kind: Kind }>;
type RangeEffect = Of<"localDiscard"> | Of<"localZero">;

export interface LocalDiskOptions {
  readonly side: DiskHost;
  readonly metadataFlushes: boolean;
  readonly mailboxes: {
    readonly flush: Mailbox;
    readonly metadata: Mailbox;
    readonly workers: readonly Mailbox[];
  };
  readonly log: DiskLog | undefined;
  readonly failpoints: Failpoints;
  /** Memory that packets may refer to is about to be used anew. */
  readonly settle: () => void;
  /** Gives an event to the core and performs what it asks for. Only ever called from `runPending` and `collect`. */
  readonly feed: (event: DiskEvent) => void;
  /** The worker with this index is used for the first time. */
  readonly startWorker: (index: number) => void;
}

/** Where this host's data and metadata are, in the terms of the metadata room. */
export function metadataTarget({ backing, metadata }: DiskHost): MetadataTarget {
  switch (metadata.kind) {
    case "internal":
      return { backing, form: { kind: "internal" }, metadata: backing };
    case "external":
      return { backing, form: { kind: "external" }, metadata: metadata.device };
    case "indexed":
      return {
        backing,
        form: { kind: "indexed", index: metadata.index },
        metadata: metadata.device,
      };
  }
}

/** Backing and metadata device while they are attached. */
export class LocalDisk {
  readonly #options: LocalDiskOptions;
  readonly #completed = new Fifo<DiskEvent>();
  readonly #reads = new Fifo<Of<"localRead">>();
  /** For the worker threads: reads that would wait, discards and zero-outs. */
  readonly #slow = new Fifo<Of<"localRead"> | RangeEffect>();
  readonly #metadata = new Fifo<Of<"metadata">>();
  readonly #scratch = nativeMemory(READ_MAX_BYTES);
  readonly #inWorker: (Of<"localRead"> | RangeEffect)[][];
  readonly #workerStarted: boolean[];
  #target: OpenTarget | undefined;
  #closing: OpenTarget | undefined;
  #attachAsked = false;
  #flushWaiting: number[] = [];
  #flushing: number[] = [];
  /** Writes of the first metadata effect that are given to the thread. */
  #metadataWritten = 0;
  #metadataPosted = 0;

  constructor(options: LocalDiskOptions) {
    this.#options = options;
    this.#inWorker = options.mailboxes.workers.map(() => []);
    this.#workerStarted = options.mailboxes.workers.map(() => false);
  }

  /** True if `runPending` or `collect` has something to do. */
  get hasWork(): boolean {
    const { flush, metadata, workers } = this.#options.mailboxes;
    return (
      !this.#completed.empty ||
      !this.#reads.empty ||
      this.#attachAsked ||
      flush.hasResult ||
      metadata.hasResult ||
      workers.some((worker) => worker.hasResult)
    );
  }

  /** Nothing of the disk is under way. */
  get idle(): boolean {
    const { flush, metadata, workers } = this.#options.mailboxes;
    return flush.open === 0 && metadata.open === 0 && workers.every(({ open }) => open === 0);
  }

  /** Performed by the next `runPending`, since the core is not entered while its effects are performed. */
  attach(): void {
    this.#attachAsked = true;
  }

  /** Closes the devices as soon as no helper thread uses them. */
  close(): void {
    this.#closing = this.#target;
    this.#target = undefined;
    this.#closeIfIdle();
  }

  write({ io, sector, data, fua }: Of<"localWrite">): void {
    const { log, failpoints } = this.#options;
    const offset = sector * SECTOR;
    failpoints.pass("local-write");
    log?.write("data", offset, data);
    const failure = this.#writeFully(data, offset);
    if (failure !== 0) this.#failed(io, failure);
    else if (fua) this.flush(io);
    else this.#completed.push({ kind: "ioDone", io, ok: true });
  }

  read(effect: Of<"localRead">): void {
    this.#reads.push(effect);
  }

  range(effect: RangeEffect): void {
    const kind = effect.kind === "localDiscard" ? "discard" : "zero";
    const { log } = this.#options;
    log?.range(kind, "data", effect.sector * SECTOR, effect.sectors * SECTOR);
    this.#slow.push(effect);
    this.#postSlow();
  }

  flush(io: number): void {
    this.#flushWaiting.push(io);
    this.#postFlush();
  }

  metadata(effect: Of<"metadata">): void {
    this.#metadata.push(effect);
    this.#postMetadata();
  }

  /** Feeds what was completed here, and performs the reads that wait. */
  runPending(): void {
    if (this.#attachAsked && this.#closing === undefined) {
      this.#attachAsked = false;
      this.#attachNow();
    }
    for (;;) {
      const event = this.#completed.shift();
      if (event !== undefined) {
        this.#options.feed(event);
        continue;
      }
      const read = this.#reads.shift();
      if (read === undefined) return;
      this.#readNow(read);
    }
  }

  /** Feeds the results of the helper threads. */
  collect(): void {
    const { flush, metadata, workers } = this.#options.mailboxes;
    if (flush.hasResult) this.#flushDone(flush);
    if (metadata.hasResult) this.#metadataDone(metadata);
    workers.forEach((worker, index) => {
      while (worker.hasResult) this.#slowDone(worker, index);
    });
    this.#closeIfIdle();
  }

  #attachNow(): void {
    const { side, feed } = this.#options;
    assert(this.#target === undefined, "The disk is attached already");
    const read = readMetadata(metadataTarget(side));
    if (!read.ok) {
      const { code, message } = read.error;
      feed({ kind: "attachFailed", reason: code, detail: message });
      return;
    }
    this.#target = read.value.target;
    feed({ kind: "attached", found: read.value.found });
  }

  #closeIfIdle(): void {
    if (this.#closing === undefined || !this.idle) return;
    this.#closing.close();
    this.#closing = undefined;
  }

  #failed(io: number, errno: number): void {
    this.#completed.push({ kind: "ioDone", io, ok: false, error: errnoName(errno) });
  }

  /** @returns 0 or a positive errno */
  #writeFully(data: Uint8Array, offset: number): number {
    const target = this.#target;
    if (target === undefined) return EIO;
    const address = addressOf(data);
    for (let done = 0; done < data.length; ) {
      const length = data.length - done;
      const count = pwriteAt(target.backing.fd, address + BigInt(done), length, offset + done);
      if (count <= 0) return count === 0 ? EIO : -count;
      done += count;
    }
    return 0;
  }

  #readNow(effect: Of<"localRead">): void {
    const { io, sector, bytes } = effect;
    const { settle, feed } = this.#options;
    assert(bytes <= READ_MAX_BYTES, "A read is at most 1 MiB");
    const fd = this.#target?.backing.fd;
    if (fd === undefined) {
      this.#failed(io, EIO);
      return;
    }
    settle();
    const count = preadNoWait(fd, this.#scratch.address, bytes, sector * SECTOR);
    if (count === bytes) {
      feed({ kind: "ioDone", io, ok: true, data: this.#scratch.bytes.subarray(0, bytes) });
      return;
    }
    this.#slow.push(effect);
    this.#postSlow();
  }

  #postFlush(): void {
    const { flush } = this.#options.mailboxes;
    if (this.#flushWaiting.length === 0 || flush.freeSlot === undefined) return;
    const fd = this.#target?.backing.fd;
    if (fd === undefined) {
      for (const io of this.#flushWaiting) this.#failed(io, EIO);
      this.#flushWaiting = [];
      return;
    }
    this.#flushing = this.#flushWaiting;
    this.#flushWaiting = [];
    flush.post({ kind: job.flush, fd, offset: 0, length: 0, flag: 0 });
  }

  #flushDone(flush: Mailbox): void {
    const { result } = flush.take();
    flush.release();
    const done = this.#flushing;
    this.#flushing = [];
    this.#postFlush();
    for (const io of done) {
      if (result === 0) this.#options.feed({ kind: "ioDone", io, ok: true });
      else this.#options.feed({ kind: "ioDone", io, ok: false, error: errnoName(-result) });
    }
  }

  /** Gives the thread as many writes of the first effect as fit. A write that is larger than a piece is cut. */
  #postMetadata(): void {
    const { metadata: mailbox } = this.#options.mailboxes;
    const first = this.#metadata.peek();
    const slot = mailbox.freeSlot;
    if (first === undefined || slot === undefined) return;
    const target = this.#target ?? this.#closing;
    if (target === undefined) {
      this.#metadataEnded("EIO");
      return;
    }
    const { bytes } = mailbox.payloads[slot] ?? { bytes: Buffer.alloc(0) };
    const cut = cutWrites(first.writes, this.#metadataWritten, bytes.length);
    fillPayload(bytes, cut.writes);
    this.#metadataPosted = cut.bytes;
    const last = cut.last && this.#options.metadataFlushes ? 1 : 0;
    mailbox.post({
      kind: job.metadata,
      fd: target.metadata.fd,
      offset: 0,
      length: cut.writes.length,
      flag: last,
    });
  }

  #metadataDone(mailbox: Mailbox): void {
    const { result } = mailbox.take();
    mailbox.release();
    const first = this.#metadata.peek();
    assert(first !== undefined, "A metadata result belongs to an effect");
    this.#metadataWritten += this.#metadataPosted;
    const total = first.writes.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (result < 0) this.#metadataEnded(errnoName(-result));
    else if (this.#metadataWritten >= total) this.#metadataEnded(undefined);
    else this.#postMetadata();
  }

  #metadataEnded(error: string | undefined): void {
    const effect = this.#metadata.shift();
    if (effect === undefined) return;
    this.#metadataWritten = 0;
    const { token } = effect;
    this.#completed.push(
      error === undefined
        ? { kind: "metadataDone", token, ok: true }
        : { kind: "metadataDone", token, ok: false, error },
    );
    this.#postMetadata();
  }

  #postSlow(): void {
    const { workers } = this.#options.mailboxes;
    for (let index = 0; index < workers.length && !this.#slow.empty; index++) {
      const worker = workers[index] as Mailbox;
      while (worker.freeSlot !== undefined) {
        const effect = this.#slow.shift();
        if (effect === undefined) return;
        const what = this.#jobOf(effect);
        if (what === undefined) {
          this.#failed(effect.io, EIO);
          continue;
        }
        this.#startWorker(index);
        (this.#inWorker[index] as (typeof effect)[]).push(effect);
        worker.post(what);
      }
    }
  }

  #jobOf(effect: Of<"localRead"> | RangeEffect): Job | undefined {
    const device = this.#target?.backing;
    if (device === undefined) return undefined;
    const place = { fd: device.fd, offset: effect.sector * SECTOR, flag: 0 };
    if (effect.kind === "localRead") return { kind: job.read, ...place, length: effect.bytes };
    const length = effect.sectors * SECTOR;
    const block = device.kind === "block device";
    if (effect.kind === "localDiscard") {
      return { kind: block ? job.discardBlocks : job.punchHole, ...place, length };
    }
    if (block) return { kind: job.zeroBlocks, ...place, length };
    return { kind: effect.mayUnmap ? job.punchHole : job.zeroRange, ...place, length };
  }

  #startWorker(index: number): void {
    if (this.#workerStarted[index] === true) return;
    this.#workerStarted[index] = true;
    this.#options.startWorker(index);
  }

  #slowDone(worker: Mailbox, index: number): void {
    const { slot, result } = worker.take();
    const effect = this.#inWorker[index]?.shift();
    assert(effect !== undefined, "A result of a worker belongs to an effect");
    const { io } = effect;
    const { feed, settle } = this.#options;
    if (result < 0) feed({ kind: "ioDone", io, ok: false, error: errnoName(-result) });
    else if (effect.kind !== "localRead") feed({ kind: "ioDone", io, ok: true });
    else {
      const data = worker.payloads[slot]?.bytes.subarray(0, effect.bytes);
      assert(data !== undefined, "A worker has a payload for each slot");
      feed({ kind: "ioDone", io, ok: true, data });
      settle();
    }
    worker.release();
    this.#postSlow();
  }
}

/** 64 bits for a new generation. */
export function random64(): bigint {
  return randomBytes(8).readBigUInt64BE();
}

/** The part of `writes` from byte `skip` on that fits into one piece. `last`: nothing is left after it. */
function cutWrites(
  writes: readonly MetadataWrite[],
  skip: number,
  room: number,
): { readonly writes: readonly MetadataWrite[]; readonly bytes: number; readonly last: boolean } {
  const part: MetadataWrite[] = [];
  let before = skip;
  let free = room;
  let total = 0;
  for (const { offset, bytes } of writes) {
    const from = Math.min(before, bytes.length);
    before -= from;
    const wanted = bytes.length - from;
    if (wanted === 0) continue;
    const length = Math.min(wanted, free - 16);
    if (length <= 0 || part.length === METADATA_WRITES_MAX) {
      return { writes: part, bytes: total, last: false };
    }
    part.push({ offset: offset + from, bytes: bytes.subarray(from, from + length) });
    free -= length + 16;
    total += length;
    if (length < wanted) return { writes: part, bytes: total, last: false };
  }
  return { writes: part, bytes: total, last: true };
}

/** The form that the metadata thread reads: offsets and lengths, then the bytes. */
function fillPayload(payload: Buffer, writes: readonly MetadataWrite[]): void {
  let at = writes.length * 16;
  writes.forEach(({ offset, bytes }, index) => {
    payload.writeDoubleLE(offset, index * 16);
    payload.writeDoubleLE(bytes.length, index * 16 + 8);
    payload.set(bytes, at);
    at += bytes.length;
  });
}
