/** What a disk process does about memory before it serves (README.md, "Under memory pressure"). */
import { readFileSync } from "node:fs";
import { becomeIoFlusher, lockProgram, setOomScore } from "../system/index.ts";

/** The OOM killer never picks it: ending the server of a disk frees no memory that its users wait for. */
const OOM_SCORE = -1000;

/**
 * Prepares the process: call it on the main thread before any other thread or process is started, because they inherit
 * it, and again in each worker. Nothing of it is required; what is missing is a risk under memory pressure, and said.
 */
export function prepareMemory(): readonly { readonly reason: string; readonly detail: string }[] {
  const notes: { reason: string; detail: string }[] = [];
  const refusal = becomeIoFlusher();
  if (refusal !== undefined) {
    const shared = memoryGroup();
    const group =
      shared === undefined
        ? "no cgroup of version 1 limits its memory"
        : `its memory cgroup is ${shared}, of version 1: nothing that writes to the disk may share it`;
    const detail = `PR_SET_IO_FLUSHER: ${refusal} (needs CAP_SYS_RESOURCE and Linux 5.6); ${group}`;
    notes.push({ reason: "BTN-BLOCKDEV-MEMORY-RISK", detail });
  }
  lockProgram(); // best effort: without it an instruction may have to be read from the system's disk
  setOomScore(OOM_SCORE); // best effort, as above
  return notes;
}

/** The version 1 memory cgroup of this process, other than the root, which has no limit. */
function memoryGroup(): string | undefined {
  const path = readFileSync("/proc/self/cgroup", "utf8").match(
    /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
  )?.[1];
  return path === "/" ? undefined : path;
}
