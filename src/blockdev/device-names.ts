/** Under which names a disk is shown. Total: text in, names or nothing out. */

/** Characters of a resource name in drbd.conf that also make one file name; not `.` or `..`. */
const DISK_NAME = /^(?!\.{1,2}$)[A-Za-z0-9_.+-]{1,100}$/;
/** DRBD's own limit: 20 bits. */
const MINOR_MAX = 0xf_ffff;

/** True if a disk of this name can have a file and a device node. */
export function isDiskName(name: string): boolean {
  return DISK_NAME.test(name);
}

/** `/dev/baton/NAME`, always ours. */
export function stableName(name: string, directory = "/dev/baton"): string {
  return `${directory}/${name}`;
}

/** `/dev/drbdN`, ours only where no kernel DRBD owns it; undefined without a usable minor number. */
export function drbdName(minor: number | undefined): string | undefined {
  if (minor === undefined || !Number.isInteger(minor) || minor < 0 || minor > MINOR_MAX) return;
  return `/dev/drbd${minor}`;
}

/** True if /proc/devices lists a block driver of DRBD: then all names /dev/drbd* are its own. */
export function hasKernelDrbd(procDevices: string): boolean {
  const block = procDevices.split("Block devices:")[1] ?? "";
  return /^\s*\d+ drbd$/m.test(block);
}

/**
 * The name of the file in a FUSE mount: the disk and the minor number of the mount's device, as in `r0.57`.
 * A mount has its number for itself in the whole kernel as long as a loop device stands on one of its files. So this name
 * tells our devices from those of another host with a disk of the same name, in other namespaces of the same
 * kernel, whose paths look the same.
 */
export function fileName(disk: string, mountDevice: string): string {
  return `${disk}.${mountDevice.slice(mountDevice.indexOf(":") + 1)}`;
}

/** True if `file` is a name of the file of `disk`, whatever the mount. */
export function isFileName(file: string, disk: string): boolean {
  return file.startsWith(`${disk}.`) && /^\d{1,10}$/.test(file.slice(disk.length + 1));
}

/** True if a loop device stands on the file of this name, also when its mount was detached since. */
export function standsOn(backingFile: string, file: string): boolean {
  return backingFile.slice(backingFile.lastIndexOf("/") + 1).replace(/ \(deleted\)$/, "") === file;
}
