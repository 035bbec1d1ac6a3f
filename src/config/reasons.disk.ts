/** Reason codes of this room that concern replicated disks. */
import type { ReasonCatalogue } from "../base/index.ts";

export const configDiskReasons = {
  "BTN-CONFIG-DISK-HOSTS": {
    title: "A disk is not on exactly two hosts",
    meaning: "A replicated disk keeps one copy on each of two data hosts; no more, no fewer.",
    action: "Name the two hosts under the disk's `hosts`.",
  },
  "BTN-CONFIG-DISK-TIMING": {
    title: "A disk would notice the loss of its peer too late (C5)",
    meaning:
      "timeout < deadtime and ping interval + ping-timeout < deadtime make sure that the disk knows " +
      "that its peer is gone before the group is taken over.",
    action: "Leave the disk's timers out to have them follow deadtime, or lower them.",
  },
  "BTN-CONFIG-DISK-POLICY": {
    title: "Two settings of a disk contradict each other",
    meaning: "Together they can not keep what one of them promises.",
    action: "Change one of the two as the message shows.",
  },
  "BTN-CONFIG-DISK-TWO-PRIMARIES": {
    title: "A disk may be Primary on both hosts",
    meaning: "Only cluster file systems survive that; ext4, xfs and databases are destroyed.",
    action: "Remove the setting unless a cluster file system uses the disk.",
  },
  "BTN-CONFIG-DISK-SPLIT-BRAIN": {
    title: "A disk resolves a split brain by throwing data away",
    meaning:
      "After both hosts have written alone, an after-sb policy other than disconnect chooses a victim " +
      "and discards its writes, acknowledged commits included.",
    action: "Use disconnect, and choose by hand with `baton disk connect NAME --discard-my-data`.",
  },
  "BTN-CONFIG-DISK-AFTER": {
    title: "A disk waits for a resync that never ends",
    meaning: "The disk named after `resync.after` does not exist, or waits for this one.",
    action: "Name another disk, or leave it out.",
  },
  "BTN-CONFIG-DISK-CLASH": {
    title: "Two disks claim the same thing",
    meaning:
      "A minor number, a port of an address, a backing device, a metadata slot and a disk in a group " +
      "belong to one disk alone.",
    action: "Give each its own.",
  },
  "BTN-CONFIG-DISK-UNKNOWN": {
    title: "A group uses a disk that is not configured",
    meaning: "Its name is not under `disks`.",
    action: "Correct the name, or describe the disk under disks.",
  },
  "BTN-CONFIG-DISK-BENEATH": {
    title: "Something uses what a disk keeps its data on",
    meaning: "Writes past the disk reach one host only, and the two copies are no longer equal.",
    action: "Use the disk's own device, /dev/baton/NAME.",
  },
  "BTN-CONFIG-DISK-IDLE": {
    title: "A disk is in no group",
    meaning: "It is replicated, but a failover does not move its Primary role.",
    action: "Put it into the group that uses it, or leave it as it is.",
  },
  "BTN-CONFIG-DISK-NO-CONF": {
    title: "haresources names drbddisk, but there is no disk of that name",
    meaning: "No drbd.conf that Baton read describes the resource, so the script runs as before.",
    action: "Name the file with --drbd-conf, or install the script and the tools that it calls.",
  },
  "BTN-IMPORT-DRBD-SYNTAX": {
    title: "A drbd.conf can not be read",
    meaning: "The words do not fit together as drbdadm would read them; nothing of it is used.",
    action: "Correct the line that the message names.",
  },
  "BTN-IMPORT-DRBD-RANGE": {
    title: "A value in drbd.conf is out of range",
    meaning: "drbdadm refuses it with the same words.",
    action: "Use a value within the range that the message names.",
  },
  "BTN-IMPORT-DRBD-UNSUPPORTED": {
    title: "A drbd.conf asks for something that Baton does not have",
    meaning:
      "Several volumes in one resource, more than two hosts, stacked and floating resources, and the " +
      "connection meshes of DRBD 9 are not carried over.",
    action: "Rewrite the resource as the message shows; each volume can be a disk of its own.",
  },
} as const satisfies ReasonCatalogue;
