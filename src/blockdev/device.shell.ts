/**
 * The block device of a disk: a loop device on the FUSE file, and its names. For the main thread of a disk process,
 * while another thread serves the file.
 *
 *   attach   loop device (losetup, direct I/O) -> queue settings -> /dev/baton/NAME -> /dev/drbdN
 *   detach   the same backwards; refused while something uses the device
 *
 * Every step that opens or changes the file is a process of its own (system/loop-devices.ts says why).
 */
import { lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BatonError } from "../base/index.ts";
import {
  attachLoopDevice,
  backingFileOf,
  type DeviceNumber,
  detachLoopDevice,
  ensureDeviceNode,
  isDeviceHeld,
  isDeviceNode,
  loopDevices,
  parseMountInfo,
  type RunResult,
  refreshLoopSize,
} from "../system/index.ts";
import { drbdName, fileName, hasKernelDrbd, stableName, standsOn } from "./device-names.ts";
import { TRANSFER_BYTES_MAX } from "./fuse-codec.ts";
import { unmountDisk } from "./fuse-mount.shell.ts";

const LOOP_MAJOR = 7;
const DEVICE_MODE = 0o660;
/** Between two looks whether the kernel has let go of a device. */
const LOOK_AGAIN_MS = 10;

export interface AttachOptions {
  /** The disk. */
  readonly name: string;
  /** Of /dev/drbdN; undefined: no such name. */
  readonly minor: number | undefined;
  /** The FUSE file. */
  readonly file: string;
  readonly readOnly?: boolean;
  /** What the device says is its smallest unit. @default 512: what kernel DRBD has, so both can have one file system */
  readonly blockBytes?: 512 | 4096;
  /** @default /dev/baton */
  readonly directory?: string;
  readonly timeoutMs: number;
}

export interface AttachedDevice {
  /** What applications open: `/dev/baton/NAME`. */
  readonly device: string;
  /** `/dev/drbdN`, if nothing else has that name. */
  readonly drbdDevice: string | undefined;
  /** `/dev/loopN` */
  readonly loop: string;
  readonly number: DeviceNumber;
  /** The name of the FUSE file, which no other loop device stands on. */
  readonly file: string;
  /** Why a name was left alone; nothing if all is as wished. */
  readonly notes: readonly { readonly reason: string; readonly detail: string }[];
}

/**
 * Shows the file as a block device under its names. On failure nothing is left.
 * @throws {BatonError} BTN-BLOCKDEV-LOOP
 */
export async function attachDevice(options: AttachOptions): Promise<AttachedDevice> {
  const { name, file, readOnly = false, blockBytes = 512, timeoutMs } = options;
  const loopOptions = { directIo: true, readOnly, blockBytes, timeoutMs };
  const attached = await attachLoopDevice(file, loopOptions).catch((cause: unknown) => {
    throw new BatonError({
      code: "BTN-BLOCKDEV-LOOP",
      message: `Cannot get a loop device: ${text(cause)}`,
      cause,
    });
  });
  if ("failure" in attached) throw loopFailure(`attach ${file}`, attached.failure);
  const loop = attached.device;
  try {
    tuneQueue(loop);
    const number = numberOf(loop);
    const device = stableName(name, options.directory);
    const notes: { reason: string; detail: string }[] = [];
    const drbdDevice = takeDrbdName(options.minor, { number, device }, notes);
    takeName(device, number);
    return { device, drbdDevice, loop, number, file: basename(file), notes };
  } catch (error) {
    await detachLoopDevice(loop, timeoutMs);
    throw error;
  }
}

/** Requests no larger than one FUSE request, so that none is split; no scheduler in front of the one of the disk. */
function tuneQueue(loop: string): void {
  const set = (name: string, value: string): void => {
    try {
      writeFileSync(`/sys/block/${basename(loop)}/queue/${name}`, value);
    } catch {
      // A kernel without this setting, or /sys read-only in a container: slower, not wrong.
    }
  };
  set("max_sectors_kb", String(TRANSFER_BYTES_MAX / 1024));
  set("scheduler", "none");
  set("rotational", "0");
  set("add_random", "0");
}

function numberOf(loop: string): DeviceNumber {
  const [major, minor] = readFileSync(`/sys/block/${basename(loop)}/dev`, "utf8")
    .split(":")
    .map(Number);
  return { kind: "block", major: major ?? LOOP_MAJOR, minor: minor ?? 0 };
}

/** A name of ours from a killed predecessor is a node of some other loop device: it is replaced. */
function takeName(path: string, number: DeviceNumber): void {
  if (isLoopNode(path)) rmSync(path, { force: true });
  ensureDeviceNode(path, number, DEVICE_MODE);
}

function takeDrbdName(
  minor: number | undefined,
  { number, device }: { readonly number: DeviceNumber; readonly device: string },
  notes: { reason: string; detail: string }[],
): string | undefined {
  const path = drbdName(minor);
  if (path === undefined) return;
  const leave = (detail: string): undefined => {
    notes.push({ reason: "BTN-BLOCKDEV-NAME-TAKEN", detail });
  };
  if (hasKernelDrbd(readFileSync("/proc/devices", "utf8"))) {
    return leave(`${path}: the kernel's own DRBD is loaded`);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !isLoopNode(path)) return leave(`${path} is not ours`);
  const owner = found === undefined ? undefined : livingOwner(path, dirname(device));
  if (owner !== undefined) return leave(`${path} is ${owner}`);
  try {
    takeName(path, number);
    return path;
  } catch (error) {
    return leave(`${path}: ${text(error)}`);
  }
}

/** The name below /dev/baton of the disk that a node stands for; undefined if none does, so it is left over. */
function livingOwner(path: string, directory: string): string | undefined {
  const rdev = statSync(path).rdev;
  return readdirSync(directory)
    .map((name) => stableName(name, directory))
    .find((name) => lstatSync(name, { throwIfNoEntry: false })?.rdev === rdev);
}

function isLoopNode(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isBlockDevice() === true && ((found.rdev >> 8) & 0xfff) === LOOP_MAJOR;
}

/**
 * Takes the new size of the file over, once the serving thread says it.
 * @throws {BatonError} BTN-BLOCKDEV-LOOP
 */
export async function resizeDevice(attached: AttachedDevice, timeoutMs: number): Promise<void> {
  const result = await refreshLoopSize(attached.loop, timeoutMs);
  if (result.code !== 0) throw loopFailure(`change the size of ${attached.loop}`, result);
}

/**
 * Takes the names and the loop device away. Does nothing for one that is gone already.
 * @throws {BatonError} BTN-BLOCKDEV-IN-USE, and nothing was changed; BTN-BLOCKDEV-LOOP if the kernel does not let go of it
 */
export async function detachDevice(attached: AttachedDevice, timeoutMs: number): Promise<void> {
  const { device, drbdDevice, loop, number, file } = attached;
  if (standsOn(backingFileOf(loop), file)) {
    const openers = await openersOf(loop, [device, drbdDevice]);
    if (openers.count > 0) {
      throw new BatonError({
        code: "BTN-BLOCKDEV-IN-USE",
        message: `Cannot take ${device} away: ${describeOpeners(openers)}`,
      });
    }
    await letGo(loop, file, timeoutMs);
  }
  dropNames([drbdDevice, device], number);
}

async function letGo(loop: string, file: string, timeoutMs: number): Promise<void> {
  const result = await detachLoopDevice(loop, timeoutMs);
  for (let leftMs = timeoutMs; leftMs > 0; leftMs -= LOOK_AGAIN_MS) {
    if (!standsOn(backingFileOf(loop), file)) return;
    await sleep(LOOK_AGAIN_MS);
  }
  throw loopFailure(`detach ${loop}`, result);
}

/** Who uses a block device, as far as the kernel tells. */
export interface Openers {
  /** 0: nobody. A mounted file system counts as one, each process with it open as one. */
  readonly count: number;
  /** Mount points in this mount namespace. */
  readonly mounts: readonly string[];
  /** Device mapper, md and the like on top. */
  readonly holders: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly name: string }[];
  /** Something in the kernel holds it for itself: a mount in whatever namespace, swap, a holder. */
  readonly held: boolean;
}

/** @param loop `/dev/loopN` @param names other nodes of the same device @throws {SystemCallError | Error} if the device itself can not be asked */
export async function openersOf(
  loop: string,
  names: readonly (string | undefined)[] = [],
): Promise<Openers> {
  const { major, minor } = numberOf(loop);
  const table = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const mounts = table.mounts
    .filter((mount) => mount.device === `${major}:${minor}`)
    .map((mount) => mount.mountPoint);
  const holders = readdirSync(`/sys/block/${basename(loop)}/holders`);
  const held = await isDeviceHeld(loop);
  const paths = [loop, ...names.filter((name) => name !== undefined)];
  const processes = await processesWith(
    statSync(loop).rdev,
    new Set(paths.map((path) => basename(path))),
  );
  return { count: (held ? 1 : 0) + processes.length, mounts, holders, processes, held };
}

/**
 * Processes with an open descriptor of a block device. Only descriptors of these file names, in whatever directory, are
 * asked for their device: asking about a file on a file system that hangs would hang too.
 */
async function processesWith(
  rdev: number,
  names: ReadonlySet<string>,
): Promise<{ pid: number; name: string }[]> {
  const found: { pid: number; name: string }[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []); // it ended
    for (const descriptor of descriptors) {
      const path = `/proc/${pid}/fd/${descriptor}`;
      const target = await readlink(path).catch(() => ""); // closed meanwhile
      if (!names.has(basename(target))) continue;
      const opened = safeStat(path);
      if (opened?.isBlockDevice() !== true || opened.rdev !== rdev) continue;
      found.push({ pid: Number(pid), name: commandOf(pid) });
      break;
    }
  }
  return found;
}

function safeStat(path: string): ReturnType<typeof statSync> | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // closed meanwhile
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "ended";
  }
}

/** One line for a refusal. */
export function describeOpeners({ mounts, holders, processes, held }: Openers): string {
  const parts = [
    ...mounts.map((mount) => `mounted at ${mount}`),
    ...holders.map((holder) => `held by ${holder}`),
    ...processes.map(({ pid, name }) => `open in ${name} (${pid})`),
  ];
  if (parts.length === 0)
    return held ? "held in the kernel, perhaps mounted in another namespace" : "nobody";
  return parts.join(", ");
}

/** What a killed predecessor left, and what became of it. */
export interface Leftovers {
  readonly removed: readonly string[];
  /** Still used by somebody; they go by themselves when the last user lets go. */
  readonly busy: readonly string[];
  /** For the journal: one of each device that is still used, with its users. */
  readonly notes: readonly { readonly reason: string; readonly detail: string }[];
}

/**
 * Takes away what a killed predecessor left: its mounts, its loop devices and its names. Only for a disk that no living
 * process serves (its lock is ours). A mount that somebody detached by hand before is no longer known as ours; its loop
 * device is left.
 * @param options `mountDirectory`: as for `mountDisk`; the rest as for `attachDevice`
 * @throws {BatonError} if losetup can not be run, or the kernel does not let go of a device that nobody uses
 */
export async function removeLeftovers(options: {
  readonly name: string;
  readonly mountDirectory: string;
  readonly directory?: string;
  readonly minor?: number | undefined;
  readonly timeoutMs: number;
}): Promise<Leftovers> {
  const { name, mountDirectory, timeoutMs } = options;
  // This also ends their connections, so that nothing that follows waits for an answer.
  const files = unmountDisk(mountDirectory).map((mount) => fileName(name, mount.device));
  const names = [stableName(name, options.directory), drbdName(options.minor)];
  const removed: string[] = [];
  const busy: string[] = [];
  const notes: { reason: string; detail: string }[] = [];
  for (const loop of loopDevices()) {
    const file = files.find((one) => standsOn(backingFileOf(loop), one));
    if (file === undefined) continue;
    // The names go first, so nobody new comes; with users, the kernel lets go when the last of them does.
    removed.push(...dropNames(names, numberOf(loop)));
    const openers = await openersOf(loop, names);
    if (openers.count === 0) {
      await letGo(loop, file, timeoutMs);
      removed.push(loop);
    } else {
      await detachLoopDevice(loop, timeoutMs);
      busy.push(loop);
      const detail = `${loop}: ${describeOpeners(openers)}`;
      notes.push({ reason: "BTN-BLOCKDEV-LEFTOVER", detail });
    }
  }
  const stable = stableName(name, options.directory);
  if (isLoopNode(stable)) removed.push(...dropNames([stable], undefined));
  return { removed, busy, notes };
}

/** Removes the nodes that stand for this device, or for whatever. @returns those that were removed */
function dropNames(
  names: readonly (string | undefined)[],
  number: DeviceNumber | undefined,
): string[] {
  const ours = names
    .filter((name) => name !== undefined)
    .filter((name) => number === undefined || isDeviceNode(name, number));
  for (const name of ours) rmSync(name, { force: true });
  return ours;
}

function loopFailure(action: string, result: RunResult): BatonError {
  const said = result.timedOut ? "no end in time" : (result.stderr || result.stdout).trim();
  return new BatonError({
    code: "BTN-BLOCKDEV-LOOP",
    message: `Cannot ${action}: ${said || `status ${result.code ?? result.signal}`}`,
  });
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
