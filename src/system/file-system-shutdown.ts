/** Ends a mounted file system without writing what it still has in memory, as a loss of power would. */
import { closeSync, constants, openSync } from "node:fs";
import { errno, libc, SystemCallError } from "./ffi.ts";

/** EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN and F2FS_IOC_SHUTDOWN: _IOR('X', 125, __u32). */
const SHUTDOWN_IOCTL = 0x8004_587dn;
/** Nothing that is still in memory reaches the disk, the log included. */
const NO_LOG_FLUSH = 2;

/**
 * From now on every use of the file system at `directory` fails; it can be unmounted, and mounted anew.
 * @throws {SystemCallError} if it is of a type that can not be shut down (ENOTTY)
 */
export function shutDownFileSystem(directory: string): void {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    shutDownFileSystemOf(descriptor, directory);
  } finally {
    closeSync(descriptor);
  }
}

/** The same for whoever must look at the descriptor first. @param place for the message */
export function shutDownFileSystemOf(descriptor: number, place: string): void {
  if (libc.ioctl(descriptor, SHUTDOWN_IOCTL, new Uint32Array([NO_LOG_FLUSH])) === -1) {
    throw new SystemCallError("shut down the file system", errno(), place);
  }
}
