/**
 * Reads and writes at an offset that return numbers: bytes, or a negative errno. `preadNoWait` answers only from
 * memory, so that a thread which must not wait can try it first.
 */
import { addressOf, bindNative, errno } from "./ffi.ts";

/** uapi/linux/fs.h: -EAGAIN instead of waiting for the disk. Linux 4.14. */
const RWF_NOWAIT = 0x8;

const native = bindNative({
  pread64: { arguments: ["int32", "pointer", "uint32", "int64"], return: "int32" },
  pwrite64: { arguments: ["int32", "pointer", "uint32", "int64"], return: "int32" },
  preadv2: { arguments: ["int32", "pointer", "int32", "int64", "int32"], return: "int32" },
});

/** One for this thread: each thread has its own instance of this module. */
const vector = new BigUint64Array(new ArrayBuffer(16));
const vectorAddress = addressOf(vector);

/** @returns bytes, fewer at the end of the file, or a negative errno */
export function preadAt(fd: number, address: bigint, length: number, offset: number): number {
  const count = native.pread64(fd, address, length, BigInt(offset));
  return count === -1 ? -errno() : count;
}

/** @returns bytes taken, perhaps fewer than asked, or a negative errno */
export function pwriteAt(fd: number, address: bigint, length: number, offset: number): number {
  const count = native.pwrite64(fd, address, length, BigInt(offset));
  return count === -1 ? -errno() : count;
}

/**
 * Reads what can be read without waiting for the disk.
 * @returns bytes: fewer than asked if only the beginning is in memory, so read the rest by another way; `-EAGAIN` if the
 *   read would wait; `-EOPNOTSUPP` where the file system can not tell; another negative errno
 */
export function preadNoWait(fd: number, address: bigint, length: number, offset: number): number {
  vector[0] = address;
  vector[1] = BigInt(length);
  const count = native.preadv2(fd, vectorAddress, 1, BigInt(offset), RWF_NOWAIT);
  return count === -1 ? -errno() : count;
}
