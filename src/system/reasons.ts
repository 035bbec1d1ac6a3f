import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the kernel's door. */
export const systemReasons = {
  "BTN-SYSTEM-CANNOT-RUN": {
    title: "A program could not be started",
    meaning: "The file does not exist, is not executable, or the host has no room for a process.",
    action: "Install the package that the message names, or repair the path or mode of the file.",
  },
  "BTN-SOCKET-IN-USE": {
    title: "Another process already serves this socket",
    meaning: "Two agents, or two beat processes, on one host would contradict each other.",
    action: "Stop the other process first, or give this one another run directory.",
  },
  "BTN-SOCKET-DIRECTORY-UNSAFE": {
    title: "Others may write to the directory of the control sockets",
    meaning:
      "Whoever can write there can put another socket in its place, and take commands that are meant for the agent.",
    action:
      "Give the directory to root with mode 0750; the agent makes it so if it does not exist.",
  },
  "BTN-SOCKET-UNREACHABLE": {
    title: "A process of this host did not answer on its socket",
    meaning: "It is not running, it ended in the middle, or the caller may not connect.",
    action: "Look whether `baton agent` runs; connect as root or as a member of haclient.",
  },
  "BTN-SOCKET-TIMEOUT": {
    title: "A process of this host did not answer in time",
    meaning: "Whether the request was carried out is not known.",
    action: "Look at `baton status`, then ask again: every request may be repeated.",
  },
} as const satisfies ReasonCatalogue;
