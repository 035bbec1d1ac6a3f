import type { ReasonCatalogue } from "../base/index.ts";

/** Why bytes from the peer of a disk were refused. Each ends that connection; no data changes by it. */
export const diskWireReasons = {
  "BTN-DISK-WIRE-MAGIC": {
    title: "The peer of the disk sent something that is not a DRBD packet",
    meaning:
      "Where a packet had to begin there was another magic number. The connection is dropped and made anew; " +
      "until then writes are remembered in the bitmap.",
    action:
      "If it happens again: look whether another program listens on the port of the disk, or whether the peer " +
      "only speaks protocol versions below 100 (DRBD 8.3).",
  },
  "BTN-DISK-WIRE-PAD": {
    title: "The peer of the disk sent a packet header with a damaged field",
    meaning:
      "Four bytes that must be zero were not. Nothing behind them can be trusted: the connection is dropped and " +
      "made anew.",
    action: "If it happens again: check network cards and cables; a data-integrity-alg shows more.",
  },
  "BTN-DISK-WIRE-COMMAND": {
    title: "The peer of the disk sent a command that does not exist on that socket",
    meaning:
      "Neither side can go on with a stream that it does not understand; the connection is dropped.",
    action: "Compare the versions on both hosts; the detail has the number of the command.",
  },
  "BTN-DISK-WIRE-LENGTH": {
    title: "The peer of the disk sent a packet of a length that its command can not have",
    meaning:
      "The stream would be read wrongly from here on: the connection is dropped and made anew.",
    action: "Compare the versions and the data-integrity-alg on both hosts.",
  },
  "BTN-DISK-WIRE-LIMIT": {
    title: "The peer of the disk announced a packet larger than any of its command",
    meaning: "Nothing was read or reserved for it; the connection is dropped and made anew.",
    action: "If it happens again: look who else can reach the port of the disk.",
  },
  "BTN-DISK-WIRE-FIELD": {
    title: "The peer of the disk sent a packet with a value that can not be",
    meaning:
      "For example a sector beyond 2^51, a size that is no multiple of 512 bytes, or a name without end. The " +
      "connection is dropped and made anew.",
    action: "Compare the versions on both hosts; the detail names the field.",
  },
  "BTN-DISK-WIRE-EARLY": {
    title: "The peer of the disk went on with the handshake without waiting for its answer",
    meaning:
      "More packets came than can belong to a handshake, before both sides had told what they can. The " +
      "connection is dropped and made anew.",
    action: "If it happens again: look who else can reach the port of the disk.",
  },
} as const satisfies ReasonCatalogue;

/** A reason why bytes were refused. */
export type DiskWireReason = keyof typeof diskWireReasons;
