/**
 * Reading and writing descriptors on a hot path: results are numbers, never exceptions. A count of bytes, or a negative
 * errno (`-EAGAIN`), so that a full socket or an empty queue costs a comparison and no stack trace.
 *
 * Memory is named by address and length. Take the address once per buffer (`NativeMemory`): looking it up costs about as
 * much as a small system call. The memory must stay reachable while it is used; an ArrayBuffer never moves.
 */
import { addressOf, bindNative, checked, errno, libc } from "./ffi.ts";

export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const ECONNRESET = 104;
export const EINPROGRESS = 115;

const F_DUPFD_CLOEXEC = 1030;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
/** A write of more in one call would not fit the number that the calls here return; the kernel has the same limit. */
export const IO_BYTES_MAX = 0x7fff_f000;
/** uapi/linux/uio.h UIO_MAXIOV. */
export const VECTOR_MAX = 1024;

// Lengths as 32 bits: they are zero-extended into the register on x86-64 and arm64, and cost no bigint.
const native = bindNative({
  read: { arguments: ["int32", "pointer", "uint32"], return: "int32" },
  write: { arguments: ["int32", "pointer", "uint32"], return: "int32" },
  writev: { arguments: ["int32", "pointer", "int32"], return: "int32" },
  recv: { arguments: ["int32", "pointer", "uint32", "int32"], return: "int32" },
  send: { arguments: ["int32", "pointer", "uint32", "int32"], return: "int32" },
});

/** Memory outside of the heap with its address: for system calls, structures that point to it, and direct I/O. */
export interface NativeMemory {
  readonly bytes: Buffer;
  readonly address: bigint;
}

/**
 * Zeroed memory that starts at a multiple of `alignment` (a page, so that it fits direct I/O).
 * @param shared made on a SharedArrayBuffer, so that other threads can be given `bytes.buffer`
 */
export function nativeMemory(byteLength: number, shared = false, alignment = 4096): NativeMemory {
  const size = byteLength + alignment;
  const block = shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
  const over = Number(addressOf(new Uint8Array(block)) % BigInt(alignment));
  const bytes = Buffer.from(block, (alignment - over) % alignment, byteLength);
  return { bytes, address: addressOf(bytes) };
}

/** What is at `address` is written to until the end of the call. @returns bytes, 0 at the end, or a negative errno */
export function readNow(fd: number, address: bigint, length: number): number {
  const count = native.read(fd, address, length);
  return count === -1 ? -errno() : count;
}

/** @returns bytes taken, perhaps fewer than `length`, or a negative errno */
export function writeNow(fd: number, address: bigint, length: number): number {
  const count = native.write(fd, address, length);
  return count === -1 ? -errno() : count;
}

/** Receives from a socket, without waiting even if it is blocking. @returns bytes, 0 at the end, or a negative errno */
export function receiveNow(fd: number, address: bigint, length: number): number {
  const count = native.recv(fd, address, length, MSG_DONTWAIT);
  return count === -1 ? -errno() : count;
}

/** Sends into a socket without waiting; never raises SIGPIPE. @returns bytes taken or a negative errno */
export function sendNow(fd: number, address: bigint, length: number): number {
  const count = native.send(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return count === -1 ? -errno() : count;
}

/** Writes the pieces of memory that an array of `struct iovec` at `vector` names. @returns bytes or a negative errno */
export function writeVectorNow(fd: number, vector: bigint, count: number): number {
  const written = native.writev(fd, vector, count);
  return written === -1 ? -errno() : written;
}

/** Several pieces of memory in order, for one `writev`. Made once, filled anew for each call. */
export class IoVector {
  readonly capacity: number;
  readonly #entries: BigUint64Array;
  readonly #address: bigint;
  /** The pieces from here on are still to be written. */
  #first = 0;
  #count = 0;
  #byteLength = 0;

  /** @param capacity pieces, at most 1024 */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#entries = new BigUint64Array(new ArrayBuffer(capacity * 16));
    this.#address = addressOf(this.#entries);
  }

  /** Pieces that are not written yet. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that are not written yet. */
  get byteLength(): number {
    return this.#byteLength;
  }

  clear(): void {
    this.#first = 0;
    this.#count = 0;
    this.#byteLength = 0;
  }

  /** @returns false if there is no room */
  add(address: bigint, length: number): boolean {
    const slot = this.#first + this.#count;
    if (slot === this.capacity) return false;
    this.#entries[slot * 2] = address;
    this.#entries[slot * 2 + 1] = BigInt(length);
    this.#count++;
    this.#byteLength += length;
    return true;
  }

  /**
   * Writes what is left, without waiting if the descriptor does not block, and forgets what was taken.
   * Ignore SIGPIPE for sockets (Node does). @returns bytes taken or a negative errno
   */
  write(fd: number): number {
    if (this.#count === 0) return 0;
    const count = writeVectorNow(fd, this.#address + BigInt(this.#first * 16), this.#count);
    if (count > 0) this.#drop(count);
    return count;
  }

  #drop(taken: number): void {
    this.#byteLength -= taken;
    if (this.#byteLength === 0) {
      this.clear();
      return;
    }
    for (let left = taken; left > 0; ) {
      const index = this.#first * 2;
      const length = Number(this.#entries[index + 1]);
      if (length > left) {
        this.#entries[index] = (this.#entries[index] ?? 0n) + BigInt(left);
        this.#entries[index + 1] = BigInt(length - left);
        return;
      }
      left -= length;
      this.#first++;
      this.#count--;
    }
  }
}

/** @throws {SystemCallError} EBADF */
export function setNonBlocking(fd: number, nonBlocking: boolean): void {
  const flags = checked("get flags of", libc.fcntl(fd, F_GETFL, 0n), `descriptor ${fd}`);
  const wanted = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  checked("set flags of", libc.fcntl(fd, F_SETFL, BigInt(wanted)), `descriptor ${fd}`);
}

/** A second descriptor for the same open file, close-on-exec. @throws {SystemCallError} EBADF, EMFILE */
export function duplicate(fd: number): number {
  return checked("duplicate", libc.fcntl(fd, F_DUPFD_CLOEXEC, 3n), `descriptor ${fd}`);
}

/** Closes a descriptor that Node does not know of. */
export function closeDescriptor(fd: number): void {
  libc.close(fd); // EBADF would be a bug of ours, EINTR closes on Linux: nothing to handle
}
