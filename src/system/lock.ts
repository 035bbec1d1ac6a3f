import { closeSync, constants, ftruncateSync, openSync, writeSync } from "node:fs";
import { checked, libc, SystemCallError } from "./ffi.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/** Held until `release` or the end of the process, however that comes. */
export interface FileLock {
  release(): void;
}

/**
 * Takes the lock of a file and writes our process id into it. The file stays when the lock goes:
 * removing it would let two processes hold two locks of one name.
 * @returns undefined if another process holds it
 * @throws {SystemCallError | Error} if the file can not be opened or locked at all
 */
export function takeLock(path: string): FileLock | undefined {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const fd = openSync(path, flags, 0o644);
  try {
    checked("lock", libc.flock(fd, LOCK_EX | LOCK_NB), path);
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    closeSync(fd);
    if (error instanceof SystemCallError && error.errno === EWOULDBLOCK) return undefined;
    throw error;
  }
  return { release: () => closeSync(fd) };
}
