/**
 * Giving back and zeroing ranges of a file or block device, and what a block device says of itself. All calls wait for
 * the device: not for an event loop that must go on. Results are undefined or a positive errno where a range is
 * meant (a device without discards is no exception), exceptions where a question can only fail by a bug.
 */
import { addressOf, bindNative, checked, errno, libc } from "./ffi.ts";

/** uapi/linux/falloc.h. */
const FALLOC_FL_KEEP_SIZE = 0x1;
const FALLOC_FL_PUNCH_HOLE = 0x2;
const FALLOC_FL_ZERO_RANGE = 0x10;
/** uapi/linux/fs.h. */
const BLKDISCARD = 0x1277n;
const BLKZEROOUT = 0x127fn;
const BLKGETSIZE64 = 0x8008_1272n;
const BLKSSZGET = 0x1268n;
const BLKPBSZGET = 0x127bn;
const BLKFLSBUF = 0x1261n;

const native = bindNative({
  fallocate64: { arguments: ["int32", "int32", "int64", "int64"], return: "int32" },
});

const range = new BigUint64Array(new ArrayBuffer(16));
const rangeAddress = addressOf(range);

/** Makes a hole that reads as zeroes. @returns undefined or an errno: EOPNOTSUPP where the file system has no holes */
export function punchHole(fd: number, offset: number, length: number): number | undefined {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/** Zeroes, space kept. @returns undefined or an errno: EOPNOTSUPP where the file system can not do it quickly */
export function zeroRange(fd: number, offset: number, length: number): number | undefined {
  return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/** Takes the space, also beyond the end; the size stays. @returns undefined or an errno: ENOSPC, EOPNOTSUPP */
export function reserveSpace(fd: number, offset: number, length: number): number | undefined {
  return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
}

function fallocate(fd: number, mode: number, offset: number, length: number): number | undefined {
  return native.fallocate64(fd, mode, BigInt(offset), BigInt(length)) === -1 ? errno() : undefined;
}

/** Discards a range of a block device; what it reads as is undefined. @returns undefined or an errno: EOPNOTSUPP */
export function discardBlocks(fd: number, offset: number, length: number): number | undefined {
  return overRange(fd, BLKDISCARD, offset, length);
}

/** Zeroes a range of a block device, by writing if it has no better way. @returns undefined or an errno */
export function zeroBlocks(fd: number, offset: number, length: number): number | undefined {
  return overRange(fd, BLKZEROOUT, offset, length);
}

function overRange(fd: number, call: bigint, offset: number, length: number): number | undefined {
  range[0] = BigInt(offset);
  range[1] = BigInt(length);
  return libc.ioctl(fd, call, rangeAddress) === -1 ? errno() : undefined;
}

export interface BlockDeviceShape {
  readonly bytes: number;
  /** The smallest unit that it takes: 512 or 4096. */
  readonly logicalBlockBytes: number;
  /** The smallest unit that it writes without reading. */
  readonly physicalBlockBytes: number;
}

/** @throws {SystemCallError} ENOTTY if it is no block device */
export function blockDeviceShape(fd: number): BlockDeviceShape {
  const answer = Buffer.alloc(8);
  checked("get size of", libc.ioctl(fd, BLKGETSIZE64, answer), `descriptor ${fd}`);
  const bytes = Number(answer.readBigUInt64LE());
  checked("get sector size of", libc.ioctl(fd, BLKSSZGET, answer), `descriptor ${fd}`);
  const logicalBlockBytes = answer.readInt32LE();
  checked("get block size of", libc.ioctl(fd, BLKPBSZGET, answer), `descriptor ${fd}`);
  return { bytes, logicalBlockBytes, physicalBlockBytes: answer.readInt32LE() };
}

/** Writes back and forgets what the page cache holds of a block device. @returns undefined or an errno */
export function forgetBlockCache(fd: number): number | undefined {
  return libc.ioctl(fd, BLKFLSBUF, 0n) === -1 ? errno() : undefined;
}
