/**
 * The replicated disks of a host when it loses power. Its disk process is the last one in a mount namespace, so killing it
 * would leave the kernel waiting: it unmounts the file system on the disk before it lets go of the disk's server. So the
 * connection is ended first, and every access fails from then on, as with a disk whose power is gone.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { FUSE_TYPE } from "../blockdev/fuse-mount.shell.ts";
import { run } from "./commands.ts";
import type { LabNames } from "./names.ts";
import { parseMountInfo } from "./power.ts";
import { namespaceOf, processFile } from "./processes.ts";
import { loopDevices } from "./storage.ts";

/** One FUSE mount of a host. */
export interface FuseDisk {
  /** Minor number of the mount's device: part of the name of the file that a loop device stands on. */
  readonly minor: string;
}

/** The disks that any of `processes` has mounted, each once. */
export function fuseDisks(processes: readonly number[]): readonly FuseDisk[] {
  const found = new Map<string, FuseDisk>();
  const namespaces = new Set<string>();
  for (const pid of processes) {
    const namespace = namespaceOf(pid, "mnt");
    if (namespace === "" || namespaces.has(namespace)) continue;
    namespaces.add(namespace);
    for (const { type, device } of parseMountInfo(processFile(pid, "mountinfo"))) {
      const minor = device.slice(device.indexOf(":") + 1);
      if (type === FUSE_TYPE) found.set(minor, { minor });
    }
  }
  return [...found.values()];
}

/** The loop devices that stand on these disks, such as /dev/loop5, also when the mount has gone. */
export function loopsOn(disks: readonly FuseDisk[]): string[] {
  return loopDevices().filter((device) => {
    const file = backingFileName(device);
    return disks.some(({ minor }) => /^[\w.+-]+$/.test(file) && file.endsWith(`.${minor}`));
  });
}

function backingFileName(device: string): string {
  try {
    const text = readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, "utf8");
    return basename(text.trim().replace(/ \(deleted\)$/, ""));
  } catch {
    return ""; // free: stands on nothing
  }
}

/** A connection has the number of the mount's device; one that is gone already is no failure. */
const abortScript = `
set -e
mount -n -t fusectl fusectl /sys/fs/fuse/connections
for minor; do
  if [ -e /sys/fs/fuse/connections/$minor ]; then echo 1 >/sys/fs/fuse/connections/$minor/abort; fi
done`;

/**
 * Ends the connections: whoever waits for an answer gets an error, and nothing is written any more. Not by an unmount,
 * which looks at the mount first and may wait for its server.
 * @throws {LabError} if the kernel refuses
 */
export async function endFuse(names: LabNames, disks: readonly FuseDisk[]): Promise<void> {
  if (disks.length === 0) return;
  const minors = disks.map(({ minor }) => minor);
  // In a mount namespace of its own: nothing is left mounted, whatever happens.
  const command = ["--mount", "sh", "-c", abortScript, "abort-fuse", ...minors];
  await run("unshare", command, { names, timeoutMs: 5_000 });
}

/** Detaches loop devices that stood on such a disk. @returns those that stay */
export async function detachFuseLoops(
  names: LabNames,
  loops: readonly string[],
): Promise<readonly string[]> {
  const left: string[] = [];
  for (const device of loops) {
    try {
      await run("losetup", ["--detach", device], { names, timeoutMs: 5_000 });
    } catch {
      if (backingFileName(device) !== "") left.push(device);
    }
  }
  return left;
}
