/**
 * `BATON_DISK_LOG=FILE`: every local write, discard, zero-out and flush in order, so that a test can replay a power cut at any
 * point (reliability 8.4.4). A record is written before its operation is performed; a `durable` record after the flush
 * that made operations durable. Records: 32 bytes, little endian, then the data of a write.
 *
 *   0 u32 magic   4 u8 kind   5 u8 device (0 data, 1 metadata)   6 u16 0   8 u64 sequence   16 u64 offset   24 u64 length
 *
 * Kind 4, `durable`: offset and length are the first and last sequence number that are safe now.
 */
import { openSync, readFileSync, writeSync } from "node:fs";
import { type SharedWords, word } from "./shared-words.ts";

const MAGIC = 0x474c_4442;
const HEAD = 32;
const kinds = ["", "write", "discard", "zero", "durable"] as const;
export type LogDevice = "data" | "metadata";

export interface LogRecord {
  readonly kind: "write" | "discard" | "zero" | "durable";
  readonly device: LogDevice;
  readonly sequence: number;
  /** Bytes; of `durable` the first sequence number. */
  readonly offset: number;
  /** Bytes; of `durable` the last sequence number. */
  readonly length: number;
  /** Of a write. */
  readonly data: Uint8Array;
}

/** Appends to the log, from several threads; each record with one write. */
export class DiskLog {
  readonly #fd: number;
  readonly #shared: SharedWords;

  private constructor(fd: number, shared: SharedWords) {
    this.#fd = fd;
    this.#shared = shared;
  }

  /** Undefined without a path: nothing is logged. */
  static open(path: string | undefined, shared: SharedWords): DiskLog | undefined {
    return path === undefined || path === ""
      ? undefined
      : new DiskLog(openSync(path, "a", 0o600), shared);
  }

  /** The newest sequence number that was given. */
  get newest(): number {
    return this.#shared.get(word.logSequence);
  }

  /** @returns the sequence number of the operation */
  write(device: LogDevice, offset: number, data: Uint8Array): number {
    return this.#append(1, device, offset, data.length, data);
  }

  range(kind: "discard" | "zero", device: LogDevice, offset: number, length: number): number {
    return this.#append(kind === "discard" ? 2 : 3, device, offset, length);
  }

  /** What `first` to `last` did is on the disk. */
  durable(device: LogDevice, first: number, last: number): void {
    this.#append(4, device, first, last);
  }

  #append(kind: number, device: LogDevice, a: number, b: number, data?: Uint8Array): number {
    const sequence = Atomics.add(this.#shared.words, word.logSequence, 1) + 1;
    const record = Buffer.alloc(HEAD + (data?.length ?? 0));
    record.writeUInt32LE(MAGIC, 0);
    record.writeUInt8(kind, 4);
    record.writeUInt8(device === "data" ? 0 : 1, 5);
    record.writeBigUInt64LE(BigInt(sequence), 8);
    record.writeBigUInt64LE(BigInt(a), 16);
    record.writeBigUInt64LE(BigInt(b), 24);
    if (data !== undefined) record.set(data, HEAD);
    writeSync(this.#fd, record);
    return sequence;
  }
}

/** The records of a log file; a record that was cut by the end of the process is left out. @throws {Error} no log */
export function readDiskLog(path: string): readonly LogRecord[] {
  const bytes = readFileSync(path);
  const records: LogRecord[] = [];
  for (let at = 0; at + HEAD <= bytes.length; ) {
    if (bytes.readUInt32LE(at) !== MAGIC) throw new Error(`${path} has no record at ${at}`);
    const kind = kinds[bytes.readUInt8(at + 4)];
    const length = Number(bytes.readBigUInt64LE(at + 24));
    const dataBytes = kind === "write" ? length : 0;
    if (kind === undefined || kind === "")
      throw new Error(`${path} has an unknown record at ${at}`);
    if (at + HEAD + dataBytes > bytes.length) break;
    records.push({
      kind,
      device: bytes.readUInt8(at + 5) === 0 ? "data" : "metadata",
      sequence: Number(bytes.readBigUInt64LE(at + 8)),
      offset: Number(bytes.readBigUInt64LE(at + 16)),
      length,
      data: bytes.subarray(at + HEAD, at + HEAD + dataBytes),
    });
    at += HEAD + dataBytes;
  }
  return records;
}
