import type { ReasonCatalogue } from "../base/index.ts";
import { cliDiskReasons } from "./reasons.disk.ts";

/** Reason codes of the command line itself. */
export const cliReasons = {
  ...cliDiskReasons,
  "BTN-CLI-USAGE": {
    title: "The command line was not understood",
    meaning: "A verb, option or argument is unknown or missing. Nothing was done; exit code 2.",
    action: "See `baton help` and `baton VERB --help`.",
  },
  "BTN-CLI-SOCKET-UNSAFE": {
    title: "The agent's socket is in a directory that others can change",
    meaning:
      "Whoever owns that directory, or may write to it, could answer in the agent's place. The " +
      "command was not sent.",
    action: "Give the directory to root with mode 0750, or name the right one with --socket.",
  },
  "BTN-CLI-CONNECTION-LOST": {
    title: "The agent went away before the command ended",
    meaning:
      "The command was taken, its end is not known here: the agent was stopped, crashed or was " +
      "upgraded. What it began may go on or be taken up again when it starts.",
    action: "Look at `baton status`; then ask again.",
  },
} as const satisfies ReasonCatalogue;
