/**
 * Mounting and unmounting, and who keeps a mount busy.
 *
 * mount(2) replays a journal and umount(2) writes everything back: both take as long as the disk does, for ever if it
 * hangs. So they run in `mount` and `umount` of util-linux, processes that can be left alone. A native call in our own
 * process would hold up the event loop; in a worker thread it could not be ended and would keep the process from exiting.
 * What is asked of the kernel besides (mount table, /proc) does not touch a disk.
 */
import { constants, mkdir, open, readdir, readFile, stat } from "node:fs/promises";
import { type MountTable, parseMountInfo } from "./mountinfo.ts";
import { type RunResult, run } from "./process.ts";

/** How much of /proc is looked at: more processes than this, or files of one, are not a database host. */
const PROCESSES_MAX = 65_536;
const FILES_PER_PROCESS_MAX = 16_384;
/** Processes that are looked at at the same time: the pool that does it has four threads. */
const PARALLEL = 4;

/** The mounts of this mount namespace. @throws if /proc is not there */
export async function readMountTable(): Promise<MountTable> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}

export interface MountRequest {
  readonly device: string;
  readonly directory: string;
  readonly type: string;
  readonly options: readonly string[];
}
export interface Limits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Mounts a file system; creates the directory. Never falls back to read-only.
 * @throws {BatonError} if `mount` can not be run; an error of mkdir
 */
export async function mountFileSystem(request: MountRequest, limits: Limits): Promise<RunResult> {
  const { device, directory, type, options } = request;
  await mkdir(directory, { recursive: true });
  const readOnly = options.includes("ro");
  const list = [readOnly ? "ro" : "rw", ...options.filter((one) => one !== "ro" && one !== "rw")];
  const args = ["-n", "-t", type, "-o", list.join(","), "--", device, directory];
  return run("mount", readOnly ? args : ["-w", ...args], limits);
}

/** Unmounts what is at a directory. Never lazily: that only hides what goes on. @throws {BatonError} */
export function unmount(directory: string, limits: Limits): Promise<RunResult> {
  return run("umount", ["-n", "--", directory], limits);
}

/**
 * True if something in the kernel holds the block device for itself: a mounted file system in whatever
 * mount namespace, also one that was unmounted lazily or whose unmounting has not ended; device mapper; swap.
 * Devices that are not block devices are held by nobody.
 * @throws an error of open(2) other than EBUSY
 */
export async function isDeviceHeld(device: string): Promise<boolean> {
  if (!(await stat(device)).isBlockDevice()) return false;
  try {
    const handle = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
    return false;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EBUSY") return true;
    throw error;
  }
}

/** A process that keeps a file system busy. */
export interface Holder {
  readonly pid: number;
  readonly name: string;
  /** Through what: its working directory, its root, its program, an open file, a mapped file. */
  readonly by: "cwd" | "root" | "exe" | "fd" | "maps";
}

/**
 * Processes that use the file system on a device, ourselves and init apart. Not found: holders inside the
 * kernel, such as a loop device on a file or an NFS export.
 * @param device `major:minor` as in the mount table
 */
export async function findHolders(device: string, signal: AbortSignal): Promise<readonly Holder[]> {
  const pids = (await readdir("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && pid !== 1)
    .slice(0, PROCESSES_MAX);
  const wanted = deviceNumber(device);
  const holders: Holder[] = [];
  const lookAtSome = async (): Promise<void> => {
    for (let pid = pids.shift(); pid !== undefined && !signal.aborted; pid = pids.shift()) {
      const by = await usesDevice(pid, wanted, device);
      if (by !== undefined) holders.push({ pid, name: await nameOf(pid), by });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lookAtSome));
  return holders.toSorted((left, right) => left.pid - right.pid);
}

async function usesDevice(
  pid: number,
  wanted: number,
  device: string,
): Promise<Holder["by"] | undefined> {
  for (const link of ["cwd", "root", "exe"] as const) {
    if ((await deviceOf(`/proc/${pid}/${link}`)) === wanted) return link;
  }
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []); // it ended, or is none of ours
  for (const file of files.slice(0, FILES_PER_PROCESS_MAX)) {
    if ((await deviceOf(`/proc/${pid}/fd/${file}`)) === wanted) return "fd";
  }
  const maps = await readFile(`/proc/${pid}/maps`, "latin1").catch(() => ""); // as above
  return maps.includes(` ${mapsDevice(device)} `) ? "maps" : undefined;
}

async function deviceOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).dev;
  } catch {
    return undefined; // it ended, or the file is gone: then it holds nothing by it
  }
}

async function nameOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "gone")).trim();
}

/** `st_dev` of `major:minor` (glibc's makedev, for numbers as Linux has them). */
function deviceNumber(device: string): number {
  const [major = 0, minor = 0] = device.split(":").map(Number);
  return (minor & 0xff) + ((major & 0xfff) << 8) + (minor & ~0xff) * 0x1000;
}

/** As /proc/PID/maps writes it: two hexadecimal numbers of at least two digits. */
function mapsDevice(device: string): string {
  return device
    .split(":")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":");
}
