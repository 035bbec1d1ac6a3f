import type { ReasonCatalogue } from "../base/index.ts";

/** Why the data path of a disk dropped its peer. The details name the packet and the place. */
export const dataReasons = {
  "BTN-DISK-DATA-ACK": {
    title: "The peer acknowledged something that was not sent to it",
    meaning:
      "An acknowledgement did not match any write, or not its place or size. The connection was dropped; what was not " +
      "confirmed is marked out of sync and resynced.",
    action:
      "If it repeats, look for memory errors on both hosts and for two peers that use the same port.",
  },
  "BTN-DISK-DATA-BARRIER": {
    title: "The peer confirmed an epoch that does not match what was sent",
    meaning:
      "The barrier was not the oldest, or the number of writes is another. The connection was dropped and what was not " +
      "confirmed is resynced.",
    action:
      "If it repeats, keep the journals of both hosts and report it: one side counts wrongly.",
  },
  "BTN-DISK-DATA-REPLY": {
    title: "The peer answered a request that was not made, or asked for what was not agreed",
    meaning: "The connection was dropped; nothing of the answer was used.",
    action: "If it repeats, keep the journals of both hosts and report it.",
  },
  "BTN-DISK-DATA-RANGE": {
    title: "The peer named sectors that the disk does not have, or an impossible size",
    meaning: "The connection was dropped before anything was written.",
    action: "Compare the sizes of the disk on both hosts (`baton disk status`).",
  },
  "BTN-DISK-DATA-DIGEST": {
    title: "Data arrived damaged: its digest is another",
    meaning:
      "With data-integrity-alg every block carries a digest. The block was not written and the connection was dropped; " +
      "the blocks in flight are resynced. An application that changes a buffer while it is written causes this too.",
    action: "Look for a faulty network card, its offloads, or memory errors.",
  },
  "BTN-DISK-DATA-BITMAP": {
    title: "The peer's bitmap could not be read",
    meaning:
      "It came at a wrong time or with a wrong length. The connection was dropped and is tried again.",
    action: "If it repeats, compare the sizes of the disk on both hosts.",
  },
  "BTN-DISK-DATA-UNEXPECTED": {
    title: "The peer sent a packet that has no place in this state",
    meaning: "The connection was dropped and is tried again.",
    action: "If it repeats, keep the journals of both hosts and report it.",
  },
} as const satisfies ReasonCatalogue;
