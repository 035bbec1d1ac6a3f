import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the beat process and of its client in the agent. */
export const beatReasons = {
  "BTN-BEAT-ALREADY-RUNNING": {
    title: "A second beat process was refused",
    meaning:
      "Another one holds the lock of this run directory; two would send contradicting sequences",
    action: "None if the agent uses the running one. To replace it, end that process first",
  },
  "BTN-BEAT-SETTINGS": {
    title: "The settings of the beat process can not be used",
    meaning: "The file is missing, open to other users, or written by another version of Baton",
    action: "Start the beat process through `baton agent`, which writes the file anew",
  },
  "BTN-BEAT-GENERATION-UNREADABLE": {
    title: "The stored heartbeat generation can not be read",
    meaning: "Peers drop every packet of a generation that is not above the last one",
    action: "Restore hb_generation, or remove it: then the clock gives a new, higher one",
  },
  "BTN-BEAT-UNWRITABLE": {
    title: "The beat process can not write what must be durable",
    meaning: "No beat leaves before its generation is on disk, so this host stays silent",
    action: "Look at the disk and the modes of the heartbeat and state directories",
  },
  "BTN-BEAT-KEYS": {
    title: "The keys of the heartbeat wire can not be read",
    meaning: "At start the beat process ends; on a reread it goes on with the keys it has",
    action: "Repair the key file or the credential that the message names",
  },
  "BTN-BEAT-REQUEST": {
    title: "The beat process refused a request of the agent",
    meaning: "It was malformed, or of a kind that this version does not know; nothing was sent",
    action: "Run the same version of Baton for the agent and the beat process",
  },
  "BTN-BEAT-NO-START": {
    title: "The beat process did not start",
    meaning: "Without it this host sends no heartbeat: peers take it for dead",
    action: "Look at the beat log in the journal directory for the reason",
  },
} as const satisfies ReasonCatalogue;
