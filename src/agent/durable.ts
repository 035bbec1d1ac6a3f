/**
 * What a takeover depends on, on disk (DESIGN 7.7): two copies, each with checksum and sequence, in
 * files whose space is taken beforehand, so that a full disk does not stop a decision. A save is done
 * when the first copy is durable; the second follows at once. A torn write leaves the other copy.
 *
 * What can not be written is tried again until it can, the whole record anew (R10: what the page cache
 * holds after an error proves nothing), and always the newest: an older one that came late would undo it.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { BatonError } from "../base/index.ts";

/** Space taken for one copy; a record of a cluster with a hundred groups has about 16 KiB. */
const COPY_BYTES = 64 * 1024;
const HEADER = "baton-record-1";

interface Copy {
  readonly sequence: number;
  readonly body: unknown;
}

/** After a failed write, the next attempt comes this much later. */
const RETRY_MS = 1_000;

export interface DurableOptions {
  /** Told when the value can not be written, once, and with null when it can again. */
  readonly onTrouble?: (trouble: BatonError | null) => void;
  /** @default 1000 */
  readonly retryMs?: number;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One durable JSON value. Saves are done in the order in which they were asked for. */
export class DurableValue {
  readonly #files: readonly FileHandle[];
  readonly #directory: string;
  readonly #options: DurableOptions;
  readonly #closing = new AbortController();
  #sequence: number;
  /** The newest value; saves that came while another was written become durable with it. */
  #newest: Uint8Array = new Uint8Array();
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failing = false;

  private constructor(
    files: readonly FileHandle[],
    directory: string,
    sequence: number,
    options: DurableOptions,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#sequence = sequence;
    this.#options = options;
  }

  /**
   * Opens or creates `<directory>/<name>.0` and `.1`; `value` is the newest intact copy.
   * @throws {BatonError} BTN-STATE-DAMAGED if copies exist and none is intact: guessing could lose data
   */
  static async open(
    directory: string,
    name: string,
    options: DurableOptions = {},
  ): Promise<{ readonly store: DurableValue; readonly value: unknown }> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const files: FileHandle[] = [];
    const copies: (Copy | "empty" | "damaged")[] = [];
    for (const index of [0, 1]) {
      const path = join(directory, `${name}.${index}`);
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
      const file = await open(path, flags, 0o600);
      files.push(file);
      const bytes = Buffer.alloc(COPY_BYTES);
      const { bytesRead } = await file.read(bytes, 0, COPY_BYTES, 0);
      copies.push(bytesRead === 0 ? "empty" : decodeCopy(bytes.subarray(0, bytesRead)));
      if (bytesRead < COPY_BYTES) {
        await file.write(Buffer.alloc(COPY_BYTES - bytesRead, 0x20), 0, undefined, bytesRead);
        await file.datasync();
      }
    }
    await syncDirectory(directory);
    const newest = copies
      .filter((copy) => typeof copy === "object")
      .sort((one, other) => other.sequence - one.sequence)[0];
    if (newest === undefined && copies.includes("damaged")) {
      for (const file of files) await file.close();
      throw new BatonError({
        code: "BTN-STATE-DAMAGED",
        message: `Cannot read ${join(directory, name)}.0 and .1: no copy has a valid checksum`,
        consequence: "Who held what before is not known, so this host takes nothing by itself",
        fix: "If the other host is up and holds the groups, remove both files and start again; otherwise find out first which host was the last to serve",
      });
    }
    const store = new DurableValue(files, directory, newest?.sequence ?? 0, options);
    return { store, value: newest?.body };
  }

  /**
   * Resolves when the value, or a newer one, is durable.
   * @throws {BatonError} BTN-STATE-UNWRITABLE if the value is too large, or was not written before `close`
   */
  save(value: unknown): Promise<void> {
    const sequence = ++this.#sequence;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    try {
      this.#newest = encodeCopy({ sequence, body: value });
    } catch (error) {
      reject(error);
      return promise;
    }
    this.#waiting.push({ resolve, reject });
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    return promise;
  }

  /** Writes what waits, unless it can not be written, and lets go. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
    for (const file of this.#files) await file.close();
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const count = this.#waiting.length;
      const bytes = this.#newest;
      try {
        await this.#write(0, bytes);
        for (const { resolve } of this.#waiting.splice(0, count)) resolve();
        // Never waited for by a decision.
        await this.#write(1, bytes);
        this.#trouble(null);
      } catch (error) {
        this.#trouble(error as BatonError);
        if (this.#closing.signal.aborted) {
          for (const { reject } of this.#waiting.splice(0)) reject(error);
          return;
        }
        const { retryMs = RETRY_MS } = this.#options;
        await sleep(retryMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
      }
    }
  }

  #trouble(error: BatonError | null): void {
    if (this.#failing === (error !== null)) return;
    this.#failing = error !== null;
    this.#options.onTrouble?.(error);
  }

  async #write(index: number, bytes: Uint8Array): Promise<void> {
    try {
      const file = this.#files[index];
      await file?.write(bytes, 0, bytes.length, 0);
      await file?.datasync();
    } catch (cause) {
      throw new BatonError({
        code: "BTN-STATE-UNWRITABLE",
        message: `Cannot write the state in ${this.#directory}: ${(cause as Error).message}`,
        consequence:
          "This host carries out no decision that must be durable first; what runs goes on",
        fix: "Mend the disk that holds the state directory: the agent tries again each second",
        cause,
      });
    }
  }
}

function encodeCopy(copy: Copy): Uint8Array {
  const body = Buffer.from(JSON.stringify(copy.body ?? null), "utf8");
  const head = `${HEADER} ${copy.sequence} ${body.length} ${checksum(copy.sequence, body)}\n`;
  const bytes = Buffer.alloc(COPY_BYTES, 0x20);
  if (head.length + body.length > COPY_BYTES) {
    throw new BatonError({
      code: "BTN-STATE-UNWRITABLE",
      message: `Cannot keep a state of ${body.length} bytes: ${COPY_BYTES} is the limit`,
      fix: "Use fewer groups or shorter names",
    });
  }
  bytes.write(head, 0, "latin1");
  body.copy(bytes, head.length);
  return bytes;
}

function decodeCopy(bytes: Buffer): Copy | "empty" | "damaged" {
  if (bytes.every((byte) => byte === 0x20 || byte === 0)) return "empty";
  const end = bytes.indexOf(0x0a);
  const [header, sequence, length, sum] = bytes.toString("latin1", 0, Math.max(end, 0)).split(" ");
  const bodyLength = Number(length);
  const number = Number(sequence);
  if (header !== HEADER || !Number.isSafeInteger(bodyLength) || bodyLength < 0) return "damaged";
  if (!Number.isSafeInteger(number) || end + 1 + bodyLength > bytes.length) return "damaged";
  const body = bytes.subarray(end + 1, end + 1 + bodyLength);
  if (checksum(number, body) !== sum) return "damaged";
  try {
    return { sequence: number, body: JSON.parse(body.toString("utf8")) };
  } catch {
    return "damaged"; // A checksum over text that is not JSON: not written by us.
  }
}

function checksum(sequence: number, body: Buffer): string {
  return crc32(body, crc32(`${HEADER} ${sequence}`)).toString(16);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
  await handle.close();
}
