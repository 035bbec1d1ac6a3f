/**
 * What a file system's state is, whether it needs a check before it is mounted, and how far an
 * unmount goes. Pure; `filesystem.shell.ts` asks the kernel and runs the programs.
 *
 *   mount table                                  device free?   state
 *   our device at the directory, read-write      -              running
 *   our device there, read-only or shut down     -              failed (unless `ro` was asked for)
 *   our device not there                         yes            stopped
 *   our device not there                         no             unknown: lazily unmounted, another name space
 *
 *   stop:  umount, again and again
 *          after forceUnmountAfterMs (urgent: at once) TERM to who keeps it busy, later KILL
 *          at the limit: failure. Never a lazy unmount, never "released" while the device is held (R19)
 */
import type { Mount, MountTable } from "../system/index.ts";
import type { ProbeResult } from "./agent.ts";
import type { FilesystemSpec } from "./spec.ts";

/** From TERM to KILL for processes that keep the mount busy. */
export const TERMINATE_GRACE_MS = 2_000;
/** The same when the peer may be taking over: no courtesy (R19). */
export const URGENT_GRACE_MS = 200;
/** The part of an ext superblock that is read lies in the first 2048 bytes of the device. */
export const SUPERBLOCK_BYTES = 4_096;

const SUPERBLOCK_OFFSET = 1_024;
const EXT_MAGIC = 0xef53;
const STATE_CLEAN = 1;
const STATE_ERRORS = 2;
const FEATURE_HAS_JOURNAL = 4;

/** Names under which the mount table may show the device of a resource. */
export interface DeviceNames {
  /** `major:minor`; undefined if there is no such block device. */
  readonly number: string | undefined;
  /** The path as configured, and what it resolves to. */
  readonly paths: readonly string[];
}

/** True if this mount is of that device. */
export function isOf(mount: Mount, device: DeviceNames): boolean {
  return mount.device === device.number || device.paths.includes(mount.source);
}

/** What the mount table says of a resource; `held` is asked only when it is not mounted. */
export function judgeMounted(
  spec: Pick<FilesystemSpec, "options" | "device">,
  mount: Mount | undefined,
  device: DeviceNames,
): ProbeResult {
  if (mount === undefined || !isOf(mount, device)) return { state: "stopped" };
  if (spec.options.includes("ro")) return { state: "running" };
  const marks = readOnlyMarks(mount);
  if (marks.length === 0) return { state: "running" };
  const detail = `${spec.device} on ${mount.mountPoint} is ${marks.join(", ")}`;
  return { state: "failed", reason: "BTN-FILESYSTEM-READ-ONLY", detail };
}

/** After an error ext4 shows `ro`, newer kernels `emergency_ro`; after a forced end `shutdown`. */
function readOnlyMarks(mount: Mount): readonly string[] {
  const marks = new Set(["ro", "emergency_ro", "shutdown"]);
  const shown = [...mount.options, ...mount.superOptions].filter((option) => marks.has(option));
  return [...new Set(shown)];
}

/** Why a file system may not be mounted now; undefined if it may. */
export type Obstacle =
  | { readonly kind: "other-mounted"; readonly by: Mount }
  | { readonly kind: "mounted-twice"; readonly at: Mount };

/** @param directory as the mount table writes it: without symbolic links */
export function findObstacle(
  table: MountTable,
  directory: string,
  device: DeviceNames,
): Obstacle | undefined {
  const there = table.mounts.findLast(({ mountPoint }) => mountPoint === directory);
  if (there !== undefined && !isOf(there, device)) return { kind: "other-mounted", by: there };
  const elsewhere = table.mounts.find(
    (mount) => isOf(mount, device) && mount.mountPoint !== directory,
  );
  return elsewhere === undefined ? undefined : { kind: "mounted-twice", at: elsewhere };
}

/**
 * What has to be unmounted for `directory` to be free of our device, deepest first: what is mounted
 * below it keeps it busy. Empty if our device is not mounted there.
 */
export function unmountOrder(
  table: MountTable,
  directory: string,
  device: DeviceNames,
): readonly Mount[] {
  const ours = table.mounts.some((mount) => mount.mountPoint === directory && isOf(mount, device));
  if (!ours) return [];
  const top = table.mounts.findLast(({ mountPoint }) => mountPoint === directory);
  // Something else hides our mount: unmounting would take away what is not ours.
  if (top !== undefined && !isOf(top, device)) return [];
  return table.mounts
    .filter(({ mountPoint }) => mountPoint === directory || mountPoint.startsWith(`${directory}/`))
    .toReversed()
    .toSorted((left, right) => right.mountPoint.length - left.mountPoint.length);
}

/** How far a stop goes at a moment. */
export type UnmountStep = "try" | "terminate" | "kill";

/** How far a stop may go after `elapsedMs`. Durations in milliseconds. */
export function unmountStep(
  elapsedMs: number,
  options: { readonly forceAfterMs: number; readonly urgent: boolean },
): UnmountStep {
  const { forceAfterMs, urgent } = options;
  if (forceAfterMs === 0) return "try";
  const terminateAt = urgent ? 0 : forceAfterMs;
  const killAt = terminateAt + (urgent ? URGENT_GRACE_MS : TERMINATE_GRACE_MS);
  if (elapsedMs >= killAt) return "kill";
  return elapsedMs >= terminateAt ? "terminate" : "try";
}

/** The check to run before mounting: program and arguments; undefined if none is needed. */
export function planCheck(
  spec: Pick<FilesystemSpec, "type" | "fsck" | "device">,
  superblock: Uint8Array | undefined,
): { readonly program: string; readonly args: readonly string[] } | undefined {
  if (spec.fsck === "no" || !isExt(spec.type)) return undefined;
  if (spec.fsck === "force") return { program: "e2fsck", args: ["-f", "-p", spec.device] };
  const needed = superblock !== undefined && needsPreen(superblock);
  return needed ? { program: "e2fsck", args: ["-p", spec.device] } : undefined;
}

/** Whether the check of this type and policy looks at the superblock first. */
export const looksAtSuperblock = (spec: Pick<FilesystemSpec, "type" | "fsck">): boolean =>
  spec.fsck === "auto" && isExt(spec.type);

const isExt = (type: string): boolean => /^ext[234]$/.test(type);

/**
 * Exit codes of fsck(8): 1 and 2 repaired everything, the rest did not. 8 and more: it could not even
 * look, which is no verdict on the file system, but no permission to mount it either.
 */
export const checkPassed = (code: number | null): boolean =>
  code !== null && code >= 0 && code <= 2;

/**
 * True if the kernel's journal replay does not suffice: errors were recorded, or there is no journal
 * and it was not unmounted. Anything that is no ext superblock is left for mount to refuse.
 */
export function needsPreen(firstBlock: Uint8Array): boolean {
  if (firstBlock.length < SUPERBLOCK_OFFSET + 1_024) return false;
  const view = new DataView(firstBlock.buffer, firstBlock.byteOffset + SUPERBLOCK_OFFSET, 1_024);
  if (view.getUint16(0x38, true) !== EXT_MAGIC) return false;
  const state = view.getUint16(0x3a, true);
  const hasJournal = (view.getUint32(0x5c, true) & FEATURE_HAS_JOURNAL) !== 0;
  return (state & STATE_ERRORS) !== 0 || (!hasJournal && (state & STATE_CLEAN) === 0);
}
