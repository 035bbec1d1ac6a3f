import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of `baton disk`. */
export const cliDiskReasons = {
  "BTN-CLI-DISK-UNKNOWN": {
    title: "There is no disk of that name on this host",
    meaning: "The configuration that was read describes none with a side here.",
    action: "Correct the name, or name the configuration with --config, --ha-dir or --drbd-conf.",
  },
  "BTN-CLI-DISK-UNCONFIRMED": {
    title: "A command that loses data was not confirmed",
    meaning:
      "It said what would be lost and got no typed answer and no --yes. Nothing was changed.",
    action: "Read what would be lost; then repeat it with --yes.",
  },
  "BTN-CLI-DISK-RUNNING": {
    title: "The metadata of a running disk can not be changed from outside",
    meaning: "Its process holds the device and would overwrite the change.",
    action: "Stop the disk with `baton disk down NAME` first.",
  },
  "BTN-CLI-DISK-DOWN": {
    title: "Nothing runs the disk on this host",
    meaning: "Each disk is held by a process of its own, which is not there.",
    action: "Start it with `baton disk up NAME`.",
  },
  "BTN-CLI-DISK-LOST": {
    title: "The process of the disk went away during the command",
    meaning: "Whether the command was done is not known here.",
    action: "Look at `baton disk status`; then ask again.",
  },
  "BTN-CLI-DISK-NO-RESIZE": {
    title: "Resizing a disk is not built",
    meaning: "A disk keeps the size that both hosts agreed on.",
    action: "Make a larger disk and copy the data.",
  },
  "BTN-CLI-DISK-START": {
    title: "The process of a disk did not start",
    meaning: "It ended before it had a socket, or has none after 10 seconds.",
    action: "Run `baton disk serve NAME` in the foreground; it says why.",
  },
} as const satisfies ReasonCatalogue;
