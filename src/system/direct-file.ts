/**
 * Reading and writing a device or image past the page cache (O_DIRECT), so that what another host
 * wrote is seen and what was written is on the device. Every call runs in a thread of the pool and
 * ends when the device answers, which may be never: callers set their own deadline, and never start a
 * second call on a file whose first one hangs.
 */
import { constants, type FileHandle, open } from "node:fs/promises";
import { addressOf } from "./ffi.ts";

/** Offsets, lengths and memory are multiples of this: enough for every sector size in use. */
export const DIRECT_ALIGNMENT_BYTES = 4096;

/** Reads and writes past the page cache (O_DIRECT), in whole aligned blocks, off the event loop. */
export class DirectFile {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** @throws the error of open(2); EINVAL where the file system can not do O_DIRECT */
  static async open(path: string, mode: "read" | "read-write"): Promise<DirectFile> {
    const access = mode === "read" ? constants.O_RDONLY : constants.O_RDWR;
    return new DirectFile(await open(path, access | constants.O_DIRECT));
  }

  /** `length` bytes from `offset`; fewer at the end of the file. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const buffer = alignedBuffer(length);
    const { bytesRead } = await this.#handle.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  }

  /** Writes all of `bytes`. @throws {Error} if the device took only a part */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const buffer = alignedBuffer(bytes.length);
    buffer.set(bytes);
    const { bytesWritten } = await this.#handle.write(buffer, 0, bytes.length, offset);
    if (bytesWritten !== bytes.length) {
      throw new Error(`Cannot write ${bytes.length} bytes: the device took ${bytesWritten}`);
    }
  }

  /** Ends when what was written is past the device's own cache as well. */
  flush(): Promise<void> {
    return this.#handle.datasync();
  }

  /** The descriptor is let go of; an error changes nothing more. */
  close(): Promise<void> {
    return this.#handle.close();
  }
}

function alignedBuffer(length: number): Uint8Array {
  const block = new ArrayBuffer(length + DIRECT_ALIGNMENT_BYTES);
  const over = Number(addressOf(block) % BigInt(DIRECT_ALIGNMENT_BYTES));
  return new Uint8Array(block, (DIRECT_ALIGNMENT_BYTES - over) % DIRECT_ALIGNMENT_BYTES, length);
}
