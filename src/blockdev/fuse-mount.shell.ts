/**
 * The side of FUSE that mounts: for the main thread of a disk process, while another thread already serves the
 * descriptor. Nothing here waits for an answer of that thread: mount(2) of FUSE returns before the first request is
 * answered, and unmounting ends the connection without asking.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
} from "node:fs";
import { join } from "node:path";
import { BatonError } from "../base/index.ts";
import {
  ensureDeviceNode,
  forceUnmount,
  type Mount,
  mountFuse,
  parseMountInfo,
} from "../system/index.ts";
import { fileName } from "./device-names.ts";
import { TRANSFER_BYTES_MAX } from "./fuse-codec.ts";

/** In the mount table, so that people see whose it is. */
export const FUSE_SOURCE = "baton";
export const FUSE_TYPE = "fuse.baton";
const FUSE_DEVICE = "/dev/fuse";
/** uapi/linux/miscdevice.h: MISC_MAJOR, FUSE_MINOR. */
const FUSE_DEVICE_NUMBER = { kind: "character", major: 10, minor: 229 } as const;

/** A new connection to the kernel: non-blocking, close-on-exec. Closing it ends everything that hangs on it. */
export function openFuse(): number {
  try {
    ensureDeviceNode(FUSE_DEVICE, FUSE_DEVICE_NUMBER, 0o666);
    return openSync(FUSE_DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    throw new BatonError({
      code: "BTN-BLOCKDEV-NO-FUSE",
      message: `Cannot open ${FUSE_DEVICE}: ${text(cause)}`,
      cause,
    });
  }
}

/**
 * Mounts the file of a disk at `directory`, which is created. The thread that serves `fd` must be running, or about to:
 * whoever looks at the directory waits for it.
 * @returns the path of the file. Opening it asks the serving thread: only ever from another process
 * @throws {BatonError} BTN-BLOCKDEV-MOUNT
 */
export function mountDisk(fd: number, directory: string, name: string): string {
  const options = [
    `fd=${fd}`,
    "rootmode=40000",
    "user_id=0",
    "group_id=0",
    "default_permissions",
    `max_read=${TRANSFER_BYTES_MAX}`,
  ];
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mountFuse({ source: FUSE_SOURCE, type: FUSE_TYPE, directory, options: options.join(",") });
  } catch (cause) {
    throw new BatonError({
      code: "BTN-BLOCKDEV-MOUNT",
      message: `Cannot mount the disk ${name} at ${directory}: ${text(cause)}`,
      cause,
    });
  }
  const device = mountsAt(directory).at(-1)?.device;
  if (device === undefined) {
    throw new BatonError({
      code: "BTN-BLOCKDEV-MOUNT",
      message: `Cannot find the mount of the disk ${name} at ${directory}: it was taken away at once`,
    });
  }
  return join(directory, fileName(name, device));
}

/** Our mounts at `directory`, the visible one last; those of a killed predecessor among them. */
export function mountsAt(directory: string): readonly Mount[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).mounts.filter(
    (mount) => mount.mountPoint === directory && mount.type === FUSE_TYPE,
  );
}

/**
 * Takes every mount of ours away from `directory`, and the directory. The connections of these mounts are ended, and
 * everything that waits for an answer gets an error: call it only for a disk that no living process serves, or for
 * one's own after its loop device is gone. A file that is still open stays with its user and gives errors.
 * @returns the mounts that there were
 * @throws {SystemCallError} EPERM
 */
export function unmountDisk(directory: string): readonly Mount[] {
  const mounts = mountsAt(directory);
  for (let left = mounts.length; left > 0; left--) forceUnmount(directory);
  if (existsSync(directory)) {
    try {
      rmdirSync(directory);
    } catch {
      // Something of another kind lies there: it is not ours to remove, and the next mount covers it.
    }
  }
  return mounts;
}

/** Ends a connection that was never mounted, or whose serving thread has ended. */
export function closeFuse(fd: number): void {
  closeSync(fd);
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
