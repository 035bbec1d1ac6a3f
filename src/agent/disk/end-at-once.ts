/**
 * The end of a disk process that does not wait for anybody: the device gives errors, the peer sees the connection end. A
 * thread that is stuck in the disk would keep the process's descriptors open until the disk answers, so what others
 * wait for is ended first, by name.
 */
import { writeSync } from "node:fs";
import { bindNative } from "../../system/ffi.ts";
import { forceUnmount } from "../../system/fuse-mount.ts";
import { shutDownTcp } from "../../system/tcp.ts";
import { type SharedWords, word } from "./shared-words.ts";

/** Exit status: a bug, or a disk that does not answer (sysexits.h EX_SOFTWARE, EX_IOERR). */
export const exitStatus = { assertion: 70, disk: 74 } as const;

const native = bindNative({ _exit: { arguments: ["int32"], return: "void" } });

/** @param mountPoint where the FUSE file of the disk is */
export function endAtOnce(
  shared: SharedWords,
  mountPoint: string,
  status: number,
  reason: string,
  detail: string,
): never {
  const line = JSON.stringify({ at: new Date().toISOString(), kind: "end", reason, detail });
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads our log any more: the status of the exit has to do.
  }
  for (const index of [word.dataSocket, word.metaSocketAlways]) {
    const fd = shared.get(index);
    if (fd === -1) continue;
    try {
      shutDownTcp(fd, "both");
    } catch {
      // Closed a moment ago: which is what was wanted.
    }
  }
  if (shared.get(word.fuseConnection) !== -1) {
    try {
      forceUnmount(mountPoint);
    } catch {
      // Not mounted (any more): nobody waits there.
    }
  }
  native._exit(status);
  throw new Error("The process has ended");
}
