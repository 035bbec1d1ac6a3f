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
  /** A process that sees the mount. */
  readonly pid: number;
  readonly place: string;
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
    for (const { place, type, device } of parseMountInfo(processFile(pid, "mountinfo"))) {
      const minor = device.slice(device.indexOf(":") + 1);
      if (type === FUSE_TYPE) found.set(minor, { pid, place, minor });
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

/** Ends the connections: whoever waits for an answer gets an error, and nothing is written any more. */
export async function endFuse(names: LabNames, disks: readonly FuseDisk[]): Promise<void> {
  for (const { pid, place } of disks) {
    const command = ["--target", String(pid), "--mount", "umount", "--force", "--lazy", place];
    // Not there any more: then nobody waits for it either.
    await run("nsenter", command, { names, timeoutMs: 5_000 }).catch(() => undefined);
  }
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
