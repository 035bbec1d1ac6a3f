import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the control protocol. */
export const controlReasons = {
  "BTN-CONTROL-MALFORMED": {
    title: "A request on the control socket was not understood",
    meaning: "The line is not an object {id, verb, args} of the stated form. Nothing was changed.",
    action:
      "Use the verbs of the same version of baton, or read src/agent/control.ts for the form.",
  },
  "BTN-CONTROL-UNKNOWN-VERB": {
    title: "The control socket does not know this verb",
    meaning: "The program that asked is newer than the agent, or misspelt it. Nothing was changed.",
    action: "Compare `baton --version` with the version in `baton status`.",
  },
  "BTN-CONTROL-BAD-ARGUMENT": {
    title: "A request on the control socket has a wrong argument",
    meaning: "An argument is missing, unknown or of the wrong form. Nothing was changed.",
    action: "The message names the argument; see `baton VERB --help`.",
  },
  "BTN-CONTROL-OBSERVE-ONLY": {
    title: "This socket answers questions only",
    meaning: "The command would change the cluster and came in on the status socket.",
    action: "Run the command as root or as a member of the group of ctl.sock.",
  },
} as const satisfies ReasonCatalogue;
