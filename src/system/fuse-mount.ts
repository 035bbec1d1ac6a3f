/**
 * mount(2) and umount2(2) of FUSE. Other file systems are mounted by processes of their own (`mounts.ts`); this one has no
 * disk behind it and never waits for its server, so it can be done in the process that serves it.
 */
import { checked, errno, libc, SystemCallError } from "./ffi.ts";

const MS_NOSUID = 2n;
const MS_NODEV = 4n;
const MS_NOEXEC = 8n;
const MS_NOATIME = 1024n;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const EINVAL = 22;

export interface FuseMountRequest {
  readonly source: string;
  /** `fuse.<subtype>` */
  readonly type: string;
  readonly directory: string;
  /** As fuse.ko takes them: `fd=3,rootmode=40000,user_id=0,group_id=0,...` */
  readonly options: string;
}

/** @throws {SystemCallError} EPERM, ENODEV without FUSE, ENOENT, EINVAL for an option */
export function mountFuse({ source, type, directory, options }: FuseMountRequest): void {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
  checked("mount", libc.mount(source, directory, type, flags, options), directory);
}

/**
 * Unmounts at once, even if it is busy, and ends the connection: whatever waits for an answer gets an error.
 * @returns false if nothing is mounted there
 * @throws {SystemCallError} EPERM, ENOENT
 */
export function forceUnmount(directory: string): boolean {
  // Two steps: detaching alone leaves a connection with open files alive.
  libc.umount2(directory, MNT_FORCE); // EBUSY is expected, the connection is ended all the same
  const result = libc.umount2(directory, MNT_DETACH);
  if (result !== -1) return true;
  const number = errno();
  if (number === EINVAL) return false;
  throw new SystemCallError("unmount", number, directory);
}
