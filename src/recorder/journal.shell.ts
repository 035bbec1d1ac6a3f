/**
 * The journal on disk: 16 segments of 8 MiB, the oldest given up for the newest (DESIGN 7.10).
 *
 * `record` puts a line into memory and returns; writing and the fsync of each second go on behind
 * it. Nothing here throws into the caller: lines that can not be written are dropped and counted,
 * and a line says so as soon as writing works again.
 */
import { constants, readdirSync, readFileSync, writeSync } from "node:fs";
import { chown, type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Instant } from "../base/index.ts";
import { type Beat, BeatsRing } from "./beats-ring.ts";
import type { JournalEntry, JournalInput } from "./entry.ts";
import { decodeSegment, encodeEntry } from "./journal-format.ts";

/** Segments kept, and the size at which one is full (DESIGN 7.10). */
export const segmentsMax = 16;
export const segmentBytesMax = 8 * 1024 * 1024;

/** Lines waiting for the disk: about 20 s of a very busy agent. The oldest go first. */
const queuedBytesMax = 4 * 1024 * 1024;
/** One write: large enough to keep up, small enough to rotate close to the limit. */
const batchBytesMax = 256 * 1024;
const syncIntervalMs = 1_000;
/** After a failed write, the next attempt comes this much later. */
const retryMs = 1_000;
/** Beats in one line of a dump: about 30 KiB. */
const beatsPerLine = 400;

export interface JournalOptions {
  readonly directory: string;
  readonly host: string;
  /** `/proc/sys/kernel/random/boot_id`. */
  readonly bootId: string;
  readonly clock: Clock;
  /** Milliseconds since 1970, for people. @default Date.now */
  readonly wallMs?: () => number;
  /** Group that may read the files. */
  readonly gid?: number | undefined;
  /** @default segmentBytesMax */
  readonly segmentBytes?: number;
  /** Told once when writing fails and once when it works again: a line for the system log. */
  readonly onTrouble?: (text: string) => void;
}

/** How the journal stands, for status. */
export interface JournalState {
  /** Null: it can be written. */
  readonly failing: { readonly code: "BTN-JOURNAL-WRITE-FAILED"; readonly text: string } | null;
  /** Lines lost since the start, because the disk was full, failing or too slow. */
  readonly dropped: number;
  readonly written: number;
}

interface Segment {
  readonly handle: FileHandle;
  bytes: number;
}

interface Trouble {
  readonly since: Instant;
  readonly droppedBefore: number;
  readonly error: string;
}

/** The writing side. One per journal directory. */
export class Journal {
  readonly #options: JournalOptions;
  readonly #segmentBytes: number;
  readonly #wallMs: () => number;
  readonly #beats = new BeatsRing();
  readonly #syncTimer: NodeJS.Timeout;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #file: Segment | undefined;
  /** The segment ends in half a line: the next write begins with a newline. */
  #torn = false;
  #dirty = false;
  #pumping: Promise<void> | undefined;
  #trouble: Trouble | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #dropped = 0;
  #written = 0;
  #closed = false;

  /** Opens nothing yet: the first line does, so that a broken disk can not stop an agent. */
  constructor(options: JournalOptions) {
    this.#options = options;
    this.#segmentBytes = options.segmentBytes ?? segmentBytesMax;
    this.#wallMs = options.wallMs ?? Date.now;
    this.#syncTimer = setInterval(() => void this.#sync(), syncIntervalMs);
    this.#syncTimer.unref();
  }

  get state(): JournalState {
    const error = this.#trouble?.error;
    const text = `the journal can not be written: ${error}; ${this.#dropped} lines lost`;
    const failing =
      error === undefined ? null : ({ code: "BTN-JOURNAL-WRITE-FAILED", text } as const);
    return { failing, dropped: this.#dropped, written: this.#written };
  }

  /** Adds one line. @param at when it happened, if not now. Never throws, never waits. */
  record(input: JournalInput, at: Instant = this.#options.clock.now()): void {
    if (this.#closed) return;
    this.#enqueue(this.#encode(input, at));
    this.#pump();
  }

  /** Remembers one beat for 10 minutes. */
  recordBeat(beat: Beat): void {
    this.#beats.push(beat);
  }

  /**
   * Writes out the beats that are remembered and were not written yet. Call it when an incident
   * begins and when it has ended. The lines are made in turns of the event loop of their own.
   */
  dumpBeats(): void {
    const beats = this.#beats.take();
    const dump = (from: number): void => {
      const part = beats.slice(from, from + beatsPerLine);
      const first = part[0];
      if (first === undefined || this.#closed) return;
      this.record({
        kind: "note",
        room: "beat",
        name: "beats",
        reason: "BTN-JOURNAL-BEATS",
        data: {
          columns: ["monotonicMs", "host", "link", "generation", "sequence"],
          beats: part.map(({ at, host, link, generation, sequence }) => [
            Math.round(at * 10) / 10,
            host,
            link,
            generation,
            sequence,
          ]),
        },
      });
      setImmediate(() => dump(from + beatsPerLine));
    };
    setImmediate(() => dump(0));
  }

  /** Resolves when all lines so far are written, or were dropped because writing fails. */
  async flush(): Promise<void> {
    this.#pump();
    await this.#pumping;
  }

  /** Writes what waits, syncs and lets go. Lines recorded later are ignored. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.flush();
    this.#closed = true;
    clearInterval(this.#syncTimer);
    clearTimeout(this.#retryTimer);
    await this.#sync();
    await this.#closeFile();
  }

  /** For a process that is about to end by force: writes what waits, as far as that is possible. */
  flushSync(): void {
    // A write under way may or may not end; what waits behind it goes now, each line in one append.
    if (this.#file === undefined) return;
    try {
      for (const line of this.#queue) writeSync(this.#file.handle.fd, line);
      this.#queue = [];
    } catch {
      // The process ends anyway; a torn last line is tolerated by the reader.
    }
  }

  #encode(input: JournalInput, at: Instant): Buffer {
    const { host, bootId, clock } = this.#options;
    const wall = new Date(this.#wallMs() - (clock.now() - at)).toISOString();
    const { kind, room, name, reason = null, group = null, peer = null, data = null } = input;
    const line = encodeEntry({
      v: 1,
      host,
      bootId,
      monotonicMs: at,
      wall,
      kind,
      room,
      name,
      reason,
      group,
      peer,
      data,
    });
    return Buffer.from(`${line}\n`);
  }

  #enqueue(line: Buffer): void {
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    while (this.#queuedBytes > queuedBytesMax) {
      this.#queuedBytes -= this.#queue.shift()?.length ?? 0;
      this.#dropped++;
    }
  }

  #pump(): void {
    if (this.#pumping !== undefined || this.#queue.length === 0) return;
    if (this.#retryTimer !== undefined || this.#closed) return;
    this.#pumping = this.#writeAll().finally(() => {
      this.#pumping = undefined;
    });
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        await this.#writeBatch(this.#takeBatch());
        if (this.#trouble !== undefined) this.#recovered(this.#trouble);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  #takeBatch(): readonly Buffer[] {
    let bytes = 0;
    let count = 0;
    for (const line of this.#queue) {
      if (count > 0 && bytes + line.length > batchBytesMax) break;
      bytes += line.length;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  /** Writes the lines; on failure puts those back that did not arrive whole. */
  async #writeBatch(lines: readonly Buffer[]): Promise<void> {
    let arrived = 0;
    try {
      const bytes = lines.reduce((sum, line) => sum + line.length, 0);
      const file = await this.#fileFor(bytes);
      if (this.#torn) {
        await file.handle.write("\n");
        file.bytes++;
        this.#torn = false;
      }
      const batch = Buffer.concat(lines, bytes);
      while (arrived < batch.length) {
        const { bytesWritten } = await file.handle.write(batch, arrived);
        arrived += bytesWritten;
        file.bytes += bytesWritten;
        this.#dirty = true;
      }
      this.#written += lines.length;
    } catch (error) {
      this.#putBack(lines, arrived);
      throw error;
    }
  }

  #putBack(lines: readonly Buffer[], arrivedBytes: number): void {
    let whole = 0;
    let bytes = 0;
    for (const line of lines) {
      if (bytes + line.length > arrivedBytes) break;
      bytes += line.length;
      whole++;
    }
    this.#torn ||= arrivedBytes > bytes;
    this.#written += whole;
    this.#queue.unshift(...lines.slice(whole));
    this.#queuedBytes += lines.slice(whole).reduce((sum, line) => sum + line.length, 0);
  }

  #failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#trouble === undefined) {
      const since = this.#options.clock.now();
      this.#trouble = { since, droppedBefore: this.#dropped, error: text };
      this.#tell(`Cannot write the journal in ${this.#options.directory}: ${text}`);
    }
    // A fresh open next time: the directory may have been replaced meanwhile.
    void this.#closeFile();
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#pump();
    }, retryMs);
    this.#retryTimer.unref();
  }

  #recovered({ since, droppedBefore, error }: Trouble): void {
    this.#trouble = undefined;
    const dropped = this.#dropped - droppedBefore;
    const failedForMs = Math.round(this.#options.clock.now() - since);
    this.#tell(`The journal can be written again; ${dropped} lines were dropped`);
    this.record({
      kind: "note",
      room: "agent",
      name: "journalResumed",
      reason: "BTN-JOURNAL-RESUMED",
      data: { dropped, failedForMs, error },
    });
  }

  #tell(text: string): void {
    try {
      this.#options.onTrouble?.(text);
    } catch {
      // Whoever listens must not break the journal; the line itself carries the news.
    }
  }

  /** The open segment, a new one if this many bytes do not fit. */
  async #fileFor(bytes: number): Promise<Segment> {
    if (this.#file !== undefined && this.#file.bytes + bytes > this.#segmentBytes) {
      await this.#sync();
      await this.#closeFile();
    }
    this.#file ??= await this.#openFile(bytes);
    return this.#file;
  }

  async #openFile(bytes: number): Promise<Segment> {
    const { directory, gid } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o750 });
    const names = segmentNames(await readdir(directory));
    let name = names.at(-1) ?? segmentName(1);
    let opened = await openSegment(join(directory, name));
    if (opened.bytes > 0 && opened.bytes + bytes > this.#segmentBytes) {
      await opened.handle.close();
      name = segmentName(segmentNumber(name) + 1);
      opened = await openSegment(join(directory, name));
    }
    if (gid !== undefined) {
      // Whoever may read the lines must get to them; without the right to say so they are for root alone.
      await chown(directory, 0, gid).catch(() => undefined);
      await opened.handle.chown(0, gid).catch(() => undefined);
    }
    this.#torn = opened.torn;
    const kept = names.includes(name) ? names : [...names, name];
    for (const old of kept.slice(0, -segmentsMax)) await rm(join(directory, old), { force: true });
    return opened;
  }

  async #sync(): Promise<void> {
    if (!this.#dirty || this.#file === undefined) return;
    this.#dirty = false;
    try {
      await this.#file.handle.datasync();
    } catch (error) {
      this.#dirty = true;
      this.#tell(`Cannot sync the journal: ${error instanceof Error ? error.message : error}`);
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      await file?.handle.close();
    } catch {
      // Nothing to save: what was written is with the kernel, what was not is still queued.
    }
  }
}

/** What a reader met, filled in while it goes on. */
export interface JournalCounts {
  segments: number;
  corrupted: number;
  torn: number;
}

/**
 * Reads the entries of a journal, oldest first; bad lines are counted and passed over.
 * @param options `newest`: only that many segments, the newest
 * @throws {NodeJS.ErrnoException} if the directory can not be read
 */
export function* readJournal(
  directory: string,
  options: { readonly newest?: number; readonly counts?: JournalCounts } = {},
): Generator<JournalEntry, void, undefined> {
  const { newest = segmentsMax, counts = { segments: 0, corrupted: 0, torn: 0 } } = options;
  for (const name of segmentNames(readdirSync(directory)).slice(-newest)) {
    let bytes: Buffer;
    try {
      bytes = readFileSync(join(directory, name));
    } catch (error) {
      // Rotated away between listing and reading: the writer is at work.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      throw error;
    }
    const segment = decodeSegment(bytes);
    counts.segments++;
    counts.corrupted += segment.corrupted;
    counts.torn += segment.torn ? 1 : 0;
    yield* segment.entries;
  }
}

const segmentPattern = /^journal-(\d{8,15})\.jsonl$/;

function segmentName(number: number): string {
  return `journal-${String(number).padStart(8, "0")}.jsonl`;
}

function segmentNumber(name: string): number {
  return Number(segmentPattern.exec(name)?.[1] ?? 0);
}

/** The segments among the names of a directory, oldest first. */
function segmentNames(names: readonly string[]): readonly string[] {
  return names
    .filter((name) => segmentPattern.test(name))
    .sort((left, right) => segmentNumber(left) - segmentNumber(right));
}

async function openSegment(path: string) {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o640);
  try {
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    return { handle, bytes: size, torn: size > 0 && last[0] !== 0x0a };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
