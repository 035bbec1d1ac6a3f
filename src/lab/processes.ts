/** Processes of the lab, as /proc shows them. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { LabNames } from "./names.ts";
import type { ProcessRecord } from "./state.ts";

/** Every process id of the machine at this moment. */
export function allProcesses(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** A file below /proc/PID; empty if the process has gone. */
export function processFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it ended: the caller treats it as one that has nothing to tell
  }
}

/** Such as `pid:[4026531836]`; empty if the process has gone. */
export function namespaceOf(pid: number, kind: "pid" | "mnt" | "net"): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return ""; // as above
  }
}

/** Fields of /proc/PID/stat after the name, from the state on (field 3 of proc(5)). */
function statFields(pid: number): string[] {
  const text = processFile(pid, "stat");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** The process as it can be recognised later; undefined if it has gone. */
export function recordProcess(pid: number): ProcessRecord | undefined {
  const startTime = statFields(pid)[19];
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Whether that very process still runs; one that waits to be reaped does not. */
export function isAlive(record: ProcessRecord | undefined): boolean {
  if (record === undefined) return false;
  const fields = statFields(record.pid);
  return fields[19] === record.startTime && fields[0] !== "Z" && fields[0] !== "X";
}

/** The first child of a process; undefined without one. */
export function childOf(parent: number): number | undefined {
  return allProcesses().find((pid) => Number(statFields(pid)[1]) === parent);
}

/** Processes that carry the mark of this lab, zombies and this process not among them. */
export function markedProcesses(names: LabNames): number[] {
  const mark = `${names.mark.name}=${names.mark.value}`;
  return allProcesses().filter(
    (pid) => pid !== process.pid && processFile(pid, "environ").split("\0").includes(mark),
  );
}

/** Processes in the same PID namespace as `init`, on a machine without freezer cgroups. */
export function processesOfNamespace(init: number): number[] {
  const namespace = namespaceOf(init, "pid");
  if (namespace === "" || namespace === namespaceOf(process.pid, "pid")) return [];
  return allProcesses().filter((pid) => namespaceOf(pid, "pid") === namespace);
}

/** Its arguments; empty if it has gone or is a zombie. */
export function commandLine(pid: number): string[] {
  return processFile(pid, "cmdline").split("\0").slice(0, -1);
}

/** Sends a signal. A process that has gone meanwhile is none of anybody's concern. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone, see above
  }
}
