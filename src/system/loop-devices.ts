/**
 * Loop devices: a file shown as a block device.
 *
 * Whatever touches the file behind a loop device (attach, change of size, detach) runs in `losetup`, a process of its own.
 * The file may be served by this very process through FUSE: a thread of ours that waits for our own answer could not
 * be ended while we live, and would keep a killed process, and with it the FUSE connection, from ending.
 * What is asked of the kernel here directly never touches the file.
 */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { bindNative, checked, errno, libc, SystemCallError } from "./ffi.ts";
import { type RunOptions, type RunResult, run } from "./process.ts";

/** uapi/linux/loop.h */
const LOOP_CTL_REMOVE = 0x4c81n;
const LOOP_CTL_GET_FREE = 0x4c82n;
const LOOP_CONTROL = "/dev/loop-control";
const LOOP_MAJOR = 7;
/** uapi/linux/miscdevice.h: MISC_MAJOR, LOOP_CTRL_MINOR. */
const MISC_MAJOR = 10;
const LOOP_CTRL_MINOR = 237;
const EBUSY = 16;
const EEXIST = 17;
const AT_FDCWD = -100;
const SYS_MKNODAT = process.arch === "arm64" ? 33n : 259n;
/** Somebody may take the device that was free a moment ago; more often than this is not chance. */
const ATTEMPTS_MAX = 8;

// mknod(3) has been in the C library under this name only since glibc 2.33.
const native = bindNative({
  syscall: { arguments: ["int64", "int64", "pointer", "uint64", "uint64"], return: "int64" },
});

export interface DeviceNumber {
  readonly kind: "block" | "character";
  readonly major: number;
  readonly minor: number;
}

/**
 * Makes a device node, and the directory for it. One that has the same numbers already is left as it is; any other file
 * of that name is an error.
 * @returns true if it was made
 * @throws {SystemCallError} EPERM in a user namespace, EEXIST if something else has the name
 */
export function ensureDeviceNode(path: string, device: DeviceNumber, mode = 0o600): boolean {
  mkdirSync(dirname(path), { recursive: true });
  const type = device.kind === "block" ? constants.S_IFBLK : constants.S_IFCHR;
  const number = deviceNumberOf(device);
  const result = native.syscall(
    SYS_MKNODAT,
    BigInt(AT_FDCWD),
    path,
    BigInt(type | mode),
    BigInt(number),
  );
  if (result !== -1n) return true;
  const failure = new SystemCallError("make device node", errno(), path);
  if (failure.errno !== EEXIST || !isDeviceNode(path, device)) throw failure;
  return false;
}

/** True if there is a node of exactly this device at `path` itself (a link to one does not count). */
export function isDeviceNode(path: string, device: DeviceNumber): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  const kind = found.isBlockDevice()
    ? "block"
    : found.isCharacterDevice()
      ? "character"
      : undefined;
  return kind === device.kind && found.rdev === deviceNumberOf(device);
}

/** makedev(3), for numbers as Linux has them. */
function deviceNumberOf({ major, minor }: DeviceNumber): number {
  return (minor & 0xff) + ((major & 0xfff) << 8) + (minor & ~0xff) * 0x1000;
}

export interface LoopOptions {
  /** Past the page cache of the file: else each write lies in memory twice. */
  readonly directIo: boolean;
  readonly readOnly?: boolean;
  /** What the device says is its smallest unit. @default 512 */
  readonly blockBytes?: 512 | 4096;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Shows a file as a loop device that nothing else uses.
 * @returns its path, such as `/dev/loop4`, or what `losetup` said
 * @throws {SystemCallError} if there is no loop driver
 * @throws {BatonError} if `losetup` can not be run
 */
export async function attachLoopDevice(
  file: string,
  options: LoopOptions,
): Promise<{ readonly device: string } | { readonly failure: RunResult }> {
  const { directIo, readOnly = false, blockBytes = 512, timeoutMs, signal } = options;
  const flags = [
    `--direct-io=${directIo ? "on" : "off"}`,
    `--sector-size=${blockBytes}`,
    ...(readOnly ? ["--read-only"] : []),
  ];
  for (let attempt = 1; ; attempt++) {
    const device = freeLoopDevice();
    const result = await run("losetup", [...flags, device, file], limits(timeoutMs, signal));
    if (result.code === 0) return { device };
    const taken = backingFileOf(device) !== "" || result.stderr.includes("busy");
    if (!taken || attempt === ATTEMPTS_MAX) return { failure: result };
  }
}

/** A loop device that nobody used a moment ago, with its node. @throws {SystemCallError} without loop driver */
export function freeLoopDevice(): string {
  const minor = withLoopControl((control) =>
    checked("get a free loop device", libc.ioctl(control, LOOP_CTL_GET_FREE, 0n)),
  );
  const device = `/dev/loop${minor}`;
  // The kernel makes it in its own /dev; a host with a /dev of its own needs another.
  ensureDeviceNode(device, { kind: "block", major: LOOP_MAJOR, minor });
  return device;
}

/** Lets go of the file, at once or when the last user of the device closes it. @throws {BatonError} */
export function detachLoopDevice(device: string, timeoutMs: number): Promise<RunResult> {
  return run("losetup", ["--detach", device], { timeoutMs });
}

/** Takes over the present size of the file. @throws {BatonError} */
export function refreshLoopSize(device: string, timeoutMs: number): Promise<RunResult> {
  return run("losetup", ["--set-capacity", device], { timeoutMs });
}

/** Removes a loop device from the kernel. @returns false if somebody uses it. @throws {SystemCallError} */
export function removeLoopDevice(device: string): boolean {
  const minor = BigInt(device.slice("/dev/loop".length));
  return withLoopControl((control) => {
    const result = libc.ioctl(control, LOOP_CTL_REMOVE, minor);
    if (result === -1 && errno() === EBUSY) return false;
    checked("remove loop device", result, device);
    return true;
  });
}

function withLoopControl<Value>(use: (control: number) => Value): Value {
  ensureDeviceNode(LOOP_CONTROL, { kind: "character", major: MISC_MAJOR, minor: LOOP_CTRL_MINOR });
  const control = openSync(LOOP_CONTROL, constants.O_RDWR);
  try {
    return use(control);
  } finally {
    closeSync(control);
  }
}

/** All loop devices that the machine has, in use or not. */
export function loopDevices(): string[] {
  return readdirSync("/sys/block")
    .filter((name) => /^loop\d+$/.test(name))
    .map((name) => `/dev/${name}`);
}

/** The file behind a loop device, as its path was then, or with ` (deleted)`; empty if it is free or gone. */
export function backingFileOf(device: string): string {
  try {
    return readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, "utf8").trim();
  } catch {
    return ""; // free, or gone meanwhile: stands on nothing
  }
}

/** True if the driver reads and writes the file past the page cache. */
export function usesDirectIo(device: string): boolean {
  try {
    return readFileSync(`/sys/block/${basename(device)}/loop/dio`, "utf8").trim() === "1";
  } catch {
    return false; // as above
  }
}

function limits(timeoutMs: number, signal: AbortSignal | undefined): RunOptions {
  return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
}
