import type { ReasonCatalogue } from "../base/index.ts";

/** What can be wrong with the metadata of a disk, and with a bitmap that a peer sends. */
export const metadataReasons = {
  "BTN-DISK-METADATA-NONE": {
    title: "There is no DRBD metadata at the place where it should be",
    meaning:
      "The disk can not be attached: without metadata it is not known which data it holds. A backing device that " +
      "was resized, or a wrong `meta-disk`, looks the same.",
    action:
      "Check the devices in the configuration. For a new disk: `baton disk create-md NAME`, which destroys nothing unasked.",
  },
  "BTN-DISK-METADATA-OTHER-VERSION": {
    title: "The metadata is of another version of DRBD",
    meaning: "Baton reads format v08 (DRBD 8.3 and 8.4). DRBD 9 has another one.",
    action:
      "Convert it with the tools of that version, or create it anew and resync from the peer.",
  },
  "BTN-DISK-METADATA-TRUNCATED": {
    title: "The metadata could not be read in full",
    meaning: "The device ended, or gave fewer bytes than were asked for.",
    action: "Check the size of the device and the kernel's log for errors of it.",
  },
  "BTN-DISK-METADATA-CORRUPT": {
    title: "The metadata contradicts itself",
    meaning: "It is not used: trusting it could mix up data of different ages.",
    action:
      "Find out what wrote there. Then create it anew with `baton disk create-md --force` and resync from the peer.",
  },
  "BTN-DISK-METADATA-BLOCK-SIZE": {
    title: "The bitmap has another block size than 4096 bytes",
    meaning: "No version of DRBD 8 writes that; the superblock is damaged.",
    action: "As for BTN-DISK-METADATA-CORRUPT.",
  },
  "BTN-DISK-METADATA-LOG-SIZE": {
    title: "The size of the activity log is out of bounds",
    meaning: "A log has 32 KiB to 16 GiB; indexed metadata always has 32 KiB in one stripe.",
    action: "Choose other stripes in `create-md`, or see BTN-DISK-METADATA-CORRUPT.",
  },
  "BTN-DISK-METADATA-LOCATION": {
    title: "The metadata says that it belongs to another place",
    meaning:
      "What the superblock says of sizes and offsets is not what follows from the size of the device: it was " +
      "resized, or the layout in the configuration is another one. Going on could overwrite data.",
    action:
      "Correct `meta-disk`, or give the device its former size, or move the metadata with `drbdmeta check-resize`.",
  },
  "BTN-DISK-METADATA-SHRUNK": {
    title: "The device is smaller than what was agreed with the peer",
    meaning: "Usable data is never made smaller silently: the end of it would be lost.",
    action: "Give the device at least its former size.",
  },
  "BTN-DISK-METADATA-UNCLEAN": {
    title: "The activity log was not applied yet",
    meaning:
      "The metadata was in use when the host or the process stopped. What was being written then is only in the " +
      "log and not yet in the bitmap.",
    action: "Nothing: attaching applies it. By hand: `drbdmeta MINOR v08 DEVICE PLACE apply-al`.",
  },
  "BTN-DISK-METADATA-LOG-LOST": {
    title: "No block of the activity log can be read although the host was Primary",
    meaning: "It is not known which blocks were being written, so the bitmap can not be trusted.",
    action:
      "Check the device. Then invalidate this side, so that all of it is copied from the peer.",
  },
  "BTN-DISK-METADATA-DEVICE-TOO-SMALL": {
    title: "The device is too small for the metadata",
    meaning: "The kernel would refuse it as well.",
    action:
      "Use a larger device: 1 MiB at least; 36 KiB and 4 KiB for each 128 MiB of data; for index N 128 MiB times N+1.",
  },
  "BTN-DISK-METADATA-TOO-LARGE": {
    title: "The device is too large",
    meaning: "The bitmap is kept in memory; it is limited to 2 GiB, for 64 TiB of data.",
    action: "Use a smaller backing device.",
  },
  "BTN-DISK-METADATA-OPEN": {
    title: "The device can not be opened",
    meaning: "The disk is not attached.",
    action: "Check the path in the configuration, and that the device exists and is readable.",
  },
  "BTN-DISK-METADATA-BUSY": {
    title: "Something else uses the device",
    meaning:
      "A mount, DRBD of the kernel, drbdmeta or another process of Baton has it. Two at once would destroy data.",
    action: "Find it with `findmnt` and `fuser -v DEVICE`, and stop it.",
  },
  "BTN-DISK-METADATA-IO": {
    title: "The device failed when the metadata was read or written",
    meaning:
      "What is on it is not known any more, so it is not used: an error of a write or flush is never retried and " +
      "believed.",
    action: "See the kernel's log. Replace the device, create metadata, and resync from the peer.",
  },
  "BTN-DISK-METADATA-EXISTS": {
    title: "Metadata was not created because there is something on the device",
    meaning: "The message says what it is and what would become of it.",
    action: "If it is not needed any more: the same command with --force.",
  },
  "BTN-DISK-METADATA-INCONSISTENT": {
    title: "The disk was not outdated because it is inconsistent",
    meaning: "Its data can not be used anyway: it is in the middle of a resync, or new.",
    action: "Nothing: to a fencing peer it counts as excluded (exit code 5 of `outdate`).",
  },
  "BTN-DISK-METADATA-DUMP": {
    title: "A text is not a dump of metadata",
    meaning: "Nothing was restored. Dumps of unclean metadata can not be restored on purpose.",
    action: "The message names the line. Apply the activity log, then dump again.",
  },
  "BTN-DISK-BITMAP-STREAM": {
    title: "The peer sent a bitmap that is none",
    meaning:
      "The connection is dropped. No bit was cleared, so at most more is copied than needed.",
    action: "Check the software of the peer, and `data-integrity-alg` if packets are damaged.",
  },
} as const satisfies ReasonCatalogue;
