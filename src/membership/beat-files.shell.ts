/**
 * What the beat process keeps on disk. Sources: heartbeat.md section 1 (form of hb_generation and hb_uuid), 6.5;
 * reliability 9.2 (durable before the first send); DESIGN 7.7.
 *
 * | file | content |
 * | --- | --- |
 * | `<heartbeat directory>/hb_generation` | own generation, decimal, right-aligned in 15 columns, line feed |
 * | `<heartbeat directory>/hb_uuid` | 16 raw bytes |
 * | `<state directory>/beat.json` | own generation again, and what is known of peers; with a checksum |
 *
 * Written as a temporary file, fsync, rename, fsync of the directory; always off the event loop, so
 * that a slow disk holds up no beat.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { BatonError } from "../base/index.ts";
import type { TransportRecord } from "./transport.ts";

const GENERATION_COLUMNS = 15;
const UUID_BYTES = 16;

export interface BeatDirectories {
  readonly heartbeatDirectory: string;
  readonly stateDirectory: string;
}

/** What was found at start. */
export interface BeatFilesContent {
  readonly record: TransportRecord;
  /** 32 hex digits. Made and written if there was none. */
  readonly uuid: string;
  /** What was wrong with a file that could be done without. */
  readonly remarks: readonly string[];
}

/** @throws {BatonError} BTN-BEAT-GENERATION-UNREADABLE, BTN-BEAT-UNWRITABLE */
export async function readBeatFiles(directories: BeatDirectories): Promise<BeatFilesContent> {
  try {
    await mkdir(directories.heartbeatDirectory, { recursive: true, mode: 0o755 });
    await mkdir(directories.stateDirectory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw unwritable(cause);
  }
  const generationPath = join(directories.heartbeatDirectory, "hb_generation");
  const generation = parseGeneration(await readIfThere(generationPath), generationPath);
  const stored = parseState(await readIfThere(join(directories.stateDirectory, "beat.json")));
  const known = [generation, stored?.generation ?? null].filter((value) => value !== null);
  return {
    record: {
      generation: known.length === 0 ? null : Math.max(...known),
      peers: stored?.peers ?? {},
    },
    uuid: await readOrMakeUuid(join(directories.heartbeatDirectory, "hb_uuid")),
    remarks:
      stored === undefined
        ? ["beat.json is damaged: what was known of the peers' generations is learnt anew"]
        : [],
  };
}

/** Writes records one after the other; of those that nobody waits for only the newest. */
export class RecordWriter {
  readonly #directories: BeatDirectories;
  #written: number | null = null;
  #waiting: TransportRecord | undefined;
  #running: Promise<void> | undefined;

  constructor(directories: BeatDirectories) {
    this.#directories = directories;
  }

  /**
   * Resolves when this record, or a newer one, is durable.
   * @throws {BatonError} BTN-BEAT-UNWRITABLE
   */
  async write(record: TransportRecord): Promise<void> {
    this.#waiting = record;
    // The write under way took an older record: wait for it, then for the one that takes ours.
    while (this.#waiting !== undefined) {
      this.#running ??= this.#writeWaiting().finally(() => {
        this.#running = undefined;
      });
      await this.#running;
    }
  }

  async #writeWaiting(): Promise<void> {
    const record = this.#waiting;
    if (record === undefined) return;
    this.#waiting = undefined;
    const { heartbeatDirectory, stateDirectory } = this.#directories;
    try {
      if (record.generation !== null && record.generation !== this.#written) {
        await replaceFile(
          join(heartbeatDirectory, "hb_generation"),
          formatGeneration(record.generation),
        );
        this.#written = record.generation;
      }
      await replaceFile(join(stateDirectory, "beat.json"), formatState(record));
    } catch (cause) {
      throw unwritable(cause);
    }
  }
}

/** The 16 bytes of hb_generation. */
export function formatGeneration(generation: number): string {
  return `${String(generation).padStart(GENERATION_COLUMNS)}\n`;
}

function parseGeneration(bytes: Buffer | undefined, path: string): number | null {
  if (bytes === undefined) return null;
  const text = bytes.toString("latin1").trim();
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new BatonError({
    code: "BTN-BEAT-GENERATION-UNREADABLE",
    message: `Cannot read the generation in ${path}: it is not a decimal number`,
    consequence: "A generation that is too low makes peers drop every packet of this host",
    fix: "Restore the file, or remove it: then the clock gives a new, higher generation",
  });
}

interface StoredState {
  readonly generation: number | null;
  readonly peers: TransportRecord["peers"];
}

function formatState(record: TransportRecord): string {
  const body = JSON.stringify(record);
  return `${JSON.stringify({ version: 1, crc32: crc32(body), body })}\n`;
}

/** @returns undefined if it is damaged; a file that is not there is an empty state */
function parseState(bytes: Buffer | undefined): StoredState | undefined {
  if (bytes === undefined) return { generation: null, peers: {} };
  try {
    const { version, crc32: sum, body } = JSON.parse(bytes.toString("utf8"));
    if (version !== 1 || typeof body !== "string" || crc32(body) !== sum) return undefined;
    return JSON.parse(body) as StoredState; // the checksum says that we wrote it
  } catch {
    return undefined; // not JSON: damaged, which the caller reports
  }
}

async function readOrMakeUuid(path: string): Promise<string> {
  const bytes = await readIfThere(path);
  if (bytes?.length === UUID_BYTES) return bytes.toString("hex");
  const uuid = randomBytes(UUID_BYTES);
  // RFC 9562, version 4.
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x40, 6);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  try {
    await replaceFile(path, uuid);
  } catch (cause) {
    throw unwritable(cause);
  }
  return uuid.toString("hex");
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unwritable(error);
  }
}

/** Durable when it resolves; the old content stays whole until then. */
async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(temporary, flags, 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function unwritable(cause: unknown): BatonError {
  return new BatonError({
    code: "BTN-BEAT-UNWRITABLE",
    message: `Cannot keep the heartbeat generation: ${cause instanceof Error ? cause.message : String(cause)}`,
    consequence: "No beat leaves this host before its generation is on disk",
    fix: "Look at the disk and the modes of the heartbeat and state directories",
    cause,
  });
}
