/** A backing or metadata device, or a file in its place: opened, locked, measured, read and written. Blocking calls. */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  writeSync,
} from "node:fs";
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import { addressOf, checked, libc, SystemCallError } from "../../system/ffi.ts";
import type { MetadataWrite } from "../contract.ts";
import { SECTOR_BYTES } from "./layout.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const BLKGETSIZE64 = 0x8008_1272n;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;

/** Who else may use the device meanwhile. */
export type Sharing =
  /** Nobody: no other process of ours, no mount, no DRBD. */
  | { readonly kind: "exclusive" }
  /** Nobody this range, in bytes: for the slots of indexed metadata. */
  | { readonly kind: "range"; readonly offset: number; readonly length: number }
  /** Anybody: only to look. */
  | { readonly kind: "look" };

/** An open device. Close it when it is not used any more; the lock goes with it. */
export interface OpenDevice extends Disposable {
  readonly path: string;
  readonly fd: number;
  readonly kind: "block device" | "file";
  readonly sectors: number;
  readonly discards: boolean;
  close(): void;
}

/**
 * Opens a block device or a regular file. Never throws.
 * Errors: it can not be opened; it is something else; another process or a mount uses it.
 */
export function openDevice(path: string, sharing: Sharing): Result<OpenDevice> {
  const access = sharing.kind === "look" ? constants.O_RDONLY : constants.O_RDWR;
  let fd = -1;
  try {
    fd = openSync(path, access);
    const stats = fstatSync(fd);
    if (!stats.isBlockDevice() && !stats.isFile()) {
      throw new Error("it is neither a block device nor a file");
    }
    if (stats.isBlockDevice() && sharing.kind !== "look") fd = reopenExclusively(fd, path, sharing);
    lock(fd, path, sharing);
    return ok(device(fd, path, stats));
  } catch (error) {
    if (fd !== -1) closeQuietly(fd);
    return fail(openError(path, error));
  }
}

function device(fd: number, path: string, stats: Stats): OpenDevice {
  const bytes = stats.isBlockDevice() ? blockDeviceBytes(fd, path) : stats.size;
  let open = true;
  const close = (): void => {
    if (open) closeQuietly(fd);
    open = false;
  };
  return {
    path,
    fd,
    kind: stats.isBlockDevice() ? "block device" : "file",
    sectors: Math.floor(bytes / SECTOR_BYTES),
    discards: stats.isBlockDevice() ? canDiscard(stats.rdev) : true,
    close,
    [Symbol.dispose]: close,
  };
}

/** O_EXCL on a block device fails if it is mounted or otherwise claimed, and claims it. Slots are claimed by their lock. */
function reopenExclusively(fd: number, path: string, sharing: Sharing): number {
  const exclusive = openSync(path, constants.O_RDWR | constants.O_EXCL);
  if (sharing.kind === "exclusive") {
    closeQuietly(fd);
    return exclusive;
  }
  closeQuietly(exclusive);
  return fd;
}

function lock(fd: number, path: string, sharing: Sharing): void {
  if (sharing.kind === "look") return;
  // Exclusive users and users of slots exclude each other; users of different slots do not.
  const mode = sharing.kind === "exclusive" ? LOCK_EX : LOCK_SH;
  checked("lock", libc.flock(fd, mode | LOCK_NB), path);
  if (sharing.kind !== "range") return;
  const range = Buffer.alloc(32);
  range.writeInt16LE(F_WRLCK, 0);
  range.writeBigInt64LE(BigInt(sharing.offset), 8);
  range.writeBigInt64LE(BigInt(sharing.length), 16);
  checked("lock", libc.fcntl(fd, F_OFD_SETLK, addressOf(range)), path);
}

function blockDeviceBytes(fd: number, path: string): number {
  const size = new BigUint64Array(1);
  checked("measure", libc.ioctl(fd, BLKGETSIZE64, addressOf(size)), path);
  return Number(size[0]);
}

function canDiscard(rdev: number): boolean {
  // As makedev(3) splits it.
  const major = ((rdev >>> 8) & 0xfff) | 0;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const base = `/sys/dev/block/${major}:${minor}`;
  for (const queue of [`${base}/queue`, `${base}/../queue`]) {
    try {
      return Number(readFileSync(`${queue}/discard_max_bytes`, "utf8")) > 0;
    } catch {
      // A partition has no queue of its own: its disk has.
    }
  }
  return false;
}

/**
 * Reads exactly `into.length` bytes from `offset`. Never throws.
 * Errors: the device fails, or ends before.
 */
export function readAt(device: OpenDevice, offset: number, into: Uint8Array): Result<Uint8Array> {
  try {
    for (let done = 0; done < into.length; ) {
      const count = readSync(device.fd, into, done, into.length - done, offset + done);
      if (count === 0) {
        return fail(
          new BatonError({
            code: "BTN-DISK-METADATA-TRUNCATED",
            message: `Cannot read ${into.length} bytes at ${offset} of ${device.path}: it ends at ${offset + done}`,
          }),
        );
      }
      done += count;
    }
    return ok(into);
  } catch (error) {
    return fail(ioError("read", device.path, error));
  }
}

/**
 * Writes in this order, then makes all of it durable (fdatasync). Never throws. After an error nothing is known of what
 * is on the device (R10): it is not to be used any more.
 */
export function writeMetadata(
  device: OpenDevice,
  writes: readonly MetadataWrite[],
): Result<undefined> {
  try {
    for (const { offset, bytes } of writes) {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(device.fd, bytes, done, bytes.length - done, offset + done);
      }
    }
    fdatasyncSync(device.fd);
    return ok(undefined);
  } catch (error) {
    return fail(ioError("write", device.path, error));
  }
}

function ioError(what: string, path: string, cause: unknown): BatonError {
  return new BatonError({
    code: "BTN-DISK-METADATA-IO",
    message: `Cannot ${what} ${path}: ${textOf(cause)}`,
    consequence: "What the device holds is not known any more; it is not used.",
    fix: "See the kernel's log for errors of the device; replace it, then resync from the peer.",
    cause,
  });
}

function openError(path: string, cause: unknown): BatonError {
  // A lock that another holds is EAGAIN or EACCES; EACCES of open(2) is a matter of rights.
  const locked = cause instanceof SystemCallError && ["EAGAIN", "EACCES"].includes(cause.code);
  if (locked || errnoOf(cause) === "EBUSY") {
    return new BatonError({
      code: "BTN-DISK-METADATA-BUSY",
      message: `Cannot use ${path}: another process, a mount or DRBD uses it`,
      fix: "Stop what uses it: `findmnt`, `fuser -v`, `baton disk down`.",
      cause,
    });
  }
  return new BatonError({
    code: "BTN-DISK-METADATA-OPEN",
    message: `Cannot open ${path}: ${textOf(cause)}`,
    fix: "Check the path in the configuration and that the device exists.",
    cause,
  });
}

function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Nothing depends on it: what matters was made durable before.
  }
}
