/** Keeps a process that serves a block device out of the way of memory reclaim, which may be waiting for that device. */
import { writeFileSync } from "node:fs";
import { bindNative, errno, errnoName } from "./ffi.ts";

/** uapi/linux/prctl.h, Linux 5.6. */
const PR_SET_IO_FLUSHER = 57;
const PR_GET_IO_FLUSHER = 58;
const MCL_CURRENT = 1;
const MCL_FUTURE = 2;
/** Locks pages when they are first used, instead of filling everything that is mapped. Linux 4.4. */
const MCL_ONFAULT = 4;

const native = bindNative({
  prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
  mlockall: { arguments: ["int32"], return: "int32" },
  munlockall: { arguments: [], return: "int32" },
});

/**
 * Declares the calling thread a part of the I/O path: its memory allocations never wait for writeback or swap through
 * a block device, and it is throttled by its own device only. Threads and processes that it starts inherit it.
 * @returns undefined, or the errno: `EPERM` without CAP_SYS_RESOURCE, `EINVAL` before Linux 5.6
 */
export function becomeIoFlusher(): string | undefined {
  const result = native.prctl(PR_SET_IO_FLUSHER, 1n, 0n, 0n, 0n);
  return result === -1 ? errnoName(errno()) : undefined;
}

/** True if the calling thread is one. */
export function isIoFlusher(): boolean {
  return native.prctl(PR_GET_IO_FLUSHER, 0n, 0n, 0n, 0n) === 1;
}

/**
 * Keeps every page of this process in memory once it was used (best effort). Pages are not filled beforehand: the
 * runtime reserves far more address space than it uses.
 * @returns undefined, or the errno: `EPERM` or `ENOMEM` by RLIMIT_MEMLOCK
 */
export function lockMemory(): string | undefined {
  const result = native.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  return result === -1 ? errnoName(errno()) : undefined;
}

/** Undoes `lockMemory`. */
export function unlockMemory(): void {
  native.munlockall(); // can not fail for a process that exists
}

/**
 * How soon the kernel picks this process when memory is out: -1000 never, 1000 first.
 * @returns undefined, or the code of the error: `EACCES` when lowered without CAP_SYS_RESOURCE
 */
export function setOomScore(score: number): string | undefined {
  try {
    writeFileSync("/proc/self/oom_score_adj", `${score}\n`);
    return undefined;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}
