import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of showing a disk to the kernel. */
export const blockdevReasons = {
  "BTN-BLOCKDEV-NO-FUSE": {
    title: "The kernel has no FUSE",
    meaning: "Without /dev/fuse a disk can not be shown to applications; replication goes on.",
    action: "Load the module: `modprobe fuse`; in a container, let it use /dev/fuse.",
  },
  "BTN-BLOCKDEV-MOUNT": {
    title: "The file of a disk could not be mounted",
    meaning: "The device does not exist for applications; the data are not touched.",
    action: "The detail names the error of mount(2). It needs root (CAP_SYS_ADMIN).",
  },
  "BTN-BLOCKDEV-LOOP": {
    title: "A loop device could not be attached, changed or let go of",
    meaning: "The device does not exist for applications, or has its old size, or stays.",
    action:
      "The detail says what losetup said. Look at `losetup --list`, and whether the loop module is there.",
  },
  "BTN-BLOCKDEV-IN-USE": {
    title: "Something uses the device",
    meaning: "It is not taken away under a mounted file system or an open file.",
    action: "Unmount it, or end the processes that the detail names.",
  },
  "BTN-BLOCKDEV-NAME-TAKEN": {
    title: "The name of the device belongs to something else",
    meaning:
      "What is there is left alone: the kernel's own DRBD, or a file that is not ours. The other names of the disk work.",
    action: "Use the name below /dev/baton, or give the disk another minor number.",
  },
  "BTN-BLOCKDEV-LEFTOVER": {
    title: "What a killed disk process left is still in use",
    meaning:
      "Its old device gives only I/O errors, and goes away by itself when its last user lets go of it.",
    action: "Unmount the file systems that the detail names, or end the processes.",
  },
  "BTN-BLOCKDEV-MEMORY-RISK": {
    title: "The disk process could not be declared a part of the I/O path",
    meaning:
      "If memory runs out, an allocation of it may wait for pages that only it can write. In a memory cgroup of version 1 that it shares with what writes to the disk, both then stand still.",
    action:
      "Give the process CAP_SYS_RESOURCE (Linux 5.6 or newer), or a memory cgroup of its own; with cgroups of version 2 there is no such wait.",
  },
} as const satisfies ReasonCatalogue;
