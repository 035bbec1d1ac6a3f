/** Keeps a process that serves a block device out of the way of memory reclaim, which may be waiting for that device. */
import { readFileSync, writeFileSync } from "node:fs";
import { bindNative, errno, errnoName } from "./ffi.ts";

/** uapi/linux/prctl.h, Linux 5.6. */
const PR_SET_IO_FLUSHER = 57;
const PR_GET_IO_FLUSHER = 58;
/** Locks pages when they are first used, instead of filling everything that is mapped. Linux 4.4. */
const MLOCK_ONFAULT = 1;

const native = bindNative({
  prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
  mlock2: { arguments: ["pointer", "uint64", "uint32"], return: "int32" },
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
 * Keeps the program's own pages in memory once they were used (best effort): everything that is mapped from files, so
 * that under pressure no instruction must first be read from a disk. Not mlockall(2): V8 gives pages of its heap back with
 * madvise(2), which the kernel refuses for locked pages, and V8 then ends the process. The heap itself can only
 * leave memory by swapping; buffers of the data path are locked with `lockRange`.
 * @returns how many bytes are covered, and the errno of the first refusal: `EPERM`, `ENOMEM` by RLIMIT_MEMLOCK
 */
export function lockProgram(): { readonly bytes: number; readonly refusal: string | undefined } {
  let bytes = 0;
  let refusal: string | undefined;
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    // 7f1d00000000-7f1d00021000 r-xp 00000000 fd:00 1234 /usr/lib/...
    const [, from, to] =
      line.match(/^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ +\/(?!dev\/|SYSV)/) ?? [];
    if (from === undefined || to === undefined) continue;
    const length = BigInt(`0x${to}`) - BigInt(`0x${from}`);
    const outcome = lockRange(BigInt(`0x${from}`), Number(length));
    if (outcome === undefined) bytes += Number(length);
    else refusal ??= outcome;
  }
  return { bytes, refusal };
}

/** Keeps memory from being swapped out, once it was used. @returns undefined, or the errno as for `lockProgram` */
export function lockRange(address: bigint, length: number): string | undefined {
  const result = native.mlock2(address, BigInt(length), MLOCK_ONFAULT);
  return result === -1 ? errnoName(errno()) : undefined;
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
