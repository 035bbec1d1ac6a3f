/**
 * Power loss of a host's file systems. Killing its processes alone would make the kernel write their
 * cache to the image: data that was never synced would arrive, even beneath a survivor that has mounted it.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { shutDownFileSystemOf } from "../system/file-system-shutdown.ts";
import { namespaceOf, processFile } from "./processes.ts";

/** A mount as one line of /proc/PID/mountinfo tells it. */
export interface MountRow {
  readonly place: string;
  readonly type: string;
  /** `major:minor`. */
  readonly device: string;
}

/** Parses /proc/PID/mountinfo (proc(5)); rows in another form are left out. */
export function parseMountInfo(text: string): MountRow[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [, , device, , place] = before?.split(" ") ?? [];
    const type = after?.split(" ")[0];
    if (device === undefined || place === undefined || type === undefined) return [];
    return [{ device, place: unescapePlace(place), type }];
  });
}

function unescapePlace(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

/**
 * Shuts down every ext4 and xfs that any of `processes` has mounted from one of `devices`.
 * @param devices `major:minor` of the host's loop devices
 * @returns the mount points that were shut down
 * @throws {Error} if one of them can not be: then this would be no power loss
 */
export function cutPowerOfFilesystems(
  processes: readonly number[],
  devices: ReadonlySet<string>,
): string[] {
  const done = new Map<string, string>();
  const hidden = new Map<string, string>();
  const namespaces = new Set<string>();
  for (const pid of processes) {
    const namespace = namespaceOf(pid, "mnt");
    if (namespace === "" || namespaces.has(namespace)) continue;
    namespaces.add(namespace);
    for (const row of mountsOn(pid, devices)) {
      if (!["ext4", "xfs"].includes(row.type) || done.has(row.device)) continue;
      if (shutDown(join(`/proc/${pid}/root`, row.place), row.device))
        done.set(row.device, row.place);
      else if (namespaceOf(pid, "mnt") === namespace) hidden.set(row.device, row.place);
    }
  }
  const left = [...hidden].filter(([device]) => !done.has(device)).map(([, place]) => place);
  if (left.length > 0) throw new Error(`Cannot reach ${left.join(", ")}: another mount hides it`);
  return [...done.values()];
}

/** False if the place has gone meanwhile, or shows another file system than the one meant. */
function shutDown(place: string, device: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(place, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  try {
    // Never a file system of the machine: the descriptor itself must lie on the host's device.
    if (numbersOf(fstatSync(descriptor).dev) !== device) return false;
    shutDownFileSystemOf(descriptor, place);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/** `major:minor` of a device number as stat(2) gives it (makedev(3), glibc's form). */
export function numbersOf(device: number): string {
  const wide = BigInt(device);
  const major = ((wide >> 8n) & 0xfffn) | ((wide >> 32n) & 0xffff_f000n);
  const minor = (wide & 0xffn) | ((wide >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** Mount points of a host that stand on one of its devices, by the device. */
export function mountsOn(pid: number, devices: ReadonlySet<string>): MountRow[] {
  return parseMountInfo(processFile(pid, "mountinfo")).filter(({ device }) => devices.has(device));
}

/** Mounts of the machine itself that lie below a directory; there are none unless somebody made them. */
export function mountsBelow(directory: string): string[] {
  return parseMountInfo(processFile(process.pid, "mountinfo"))
    .map(({ place }) => place)
    .filter((place) => place === directory || place.startsWith(`${directory}/`));
}

/** `major:minor` of loop devices such as /dev/loop4; those that have gone are left out. */
export function deviceNumbers(loops: readonly string[]): Set<string> {
  return new Set(
    loops.flatMap((device) => {
      const file = `/sys/block/${basename(device)}/dev`;
      return existsSync(file) ? [readFileSync(file, "utf8").trim()] : [];
    }),
  );
}
