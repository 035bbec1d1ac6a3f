/**
 * Small writes that are durable without flushing what else is dirty: internal metadata shares a file with the data, and an
 * activity log entry must not wait until gigabytes of data are written back.
 */
import { addressOf, bindNative, errno } from "../../system/ffi.ts";

/** uapi/linux/fs.h: this write is durable when the call returns. Linux 4.7. */
const RWF_DSYNC = 0x2;
/** Starts writing the pages of a range and waits for them; no flush of the device. */
const SYNC_FILE_RANGE_ALL = 1 | 2 | 4;

const native = bindNative({
  pwritev2: { arguments: ["int32", "pointer", "int32", "int64", "int32"], return: "int32" },
  sync_file_range: { arguments: ["int32", "int64", "int64", "uint32"], return: "int32" },
  fdatasync: { arguments: ["int32"], return: "int32" },
});

const vector = new BigUint64Array(new ArrayBuffer(16));
const vectorAddress = addressOf(vector);

/** Writes, and returns when the bytes, and all that the device took before, are safe. @returns bytes or a negative errno */
export function writeDurably(fd: number, address: bigint, length: number, offset: number): number {
  vector[0] = address;
  vector[1] = BigInt(length);
  const count = native.pwritev2(fd, vectorAddress, 1, BigInt(offset), RWF_DSYNC);
  return count === -1 ? -errno() : count;
}

/** Gives the dirty pages of a range to the device and waits for it to have them. @returns 0 or a negative errno */
export function writeBack(fd: number, offset: number, length: number): number {
  const result = native.sync_file_range(fd, BigInt(offset), BigInt(length), SYNC_FILE_RANGE_ALL);
  return result === -1 ? -errno() : 0;
}

/** @returns 0 or a negative errno */
export function syncData(fd: number): number {
  return native.fdatasync(fd) === -1 ? -errno() : 0;
}
