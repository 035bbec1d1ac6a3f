import type { ReasonCatalogue } from "../base/index.ts";

/** Why the lab refused or failed. */
export const labReasons = {
  "BTN-LAB-NOT-ROOT": {
    title: "The lab was refused because it was not started as root",
    meaning:
      "It makes namespaces, mounts and loop devices of its own, which only root may; it touches nothing else of the machine.",
    action: "Run the command as root.",
  },
  "BTN-LAB-PACKAGES": {
    title: "Programs that the lab runs are missing",
    meaning:
      "The lab runs the real MariaDB server and Debian's network and file system tools. None of the packages starts a service.",
    action:
      "On Debian the launcher installs them by itself as root; elsewhere install what the message names.",
  },
  "BTN-LAB-USAGE": {
    title: "The arguments of a lab command were refused",
    meaning: "Nothing was changed.",
    action: "Correct what the message names; `baton lab --help` shows the forms.",
  },
  "BTN-LAB-NOT-UP": {
    title: "There is no lab of that name, or it did not finish coming up",
    meaning: "The command needs a lab that `baton lab up` has built.",
    action: "Run `baton lab up`; name another lab with `--lab NAME` or $BATON_LAB_DIR.",
  },
  "BTN-LAB-OTHER-SHAPE": {
    title: "A lab of that name is up already, with other options",
    meaning: "It was left as it is.",
    action: "Run `baton lab down` first, or use another name with `--lab NAME`.",
  },
  "BTN-LAB-BUSY": {
    title: "Another command is at work on the same lab",
    meaning: "Two commands that change one lab are never run at the same time.",
    action: "Wait for it, or end it by the process id in the message.",
  },
  "BTN-LAB-HOST-DOWN": {
    title: "The host of the lab has no power",
    meaning: "It was crashed, or its PID 1 ended by itself.",
    action: "Start it with `baton lab start HOST`.",
  },
  "BTN-LAB-HOST-UP": {
    title: "The host of the lab runs already",
    meaning: "There was nothing to start.",
    action: "Nothing.",
  },
  "BTN-LAB-NO-READ-ADDRESS": {
    title: "The lab has no read address yet",
    meaning: "192.168.0.223 comes with the read pool, which this version does not contain.",
    action: "Send the statement to the write address: leave out `--read`.",
  },
  "BTN-LAB-COMMAND": {
    title: "A program that the lab ran has failed",
    meaning: "The message quotes its command line, its status and what it wrote.",
    action: "Read what it wrote; then `baton lab down` clears away whatever was built.",
  },
  "BTN-LAB-HOST-START": {
    title: "A host of the lab did not come up",
    meaning: "The log of its boot script is quoted.",
    action: "Read the log; then `baton lab down` clears away whatever was built.",
  },
  "BTN-LAB-NO-SERVICE": {
    title: "The write address did not answer SQL in time",
    meaning:
      "The hosts stand, but the group did not come up; the lab was left so that it can be looked at.",
    action:
      "Look at `baton lab status` and `baton lab exec dbm157 -- cat /var/log/baton/agent.out`.",
  },
  "BTN-LAB-DRILL": {
    title: "A drill did not come to its end",
    meaning:
      "A step of it did not happen within a minute; the lab was left so that it can be looked at.",
    action: "Look at `baton lab status`, and at `baton timeline` on the hosts.",
  },
  "BTN-LAB-INTERRUPTED": {
    title: "The command was interrupted",
    meaning: "What an interrupted `up` had built was taken down again.",
    action: "Nothing; if it was killed outright, `baton lab down` clears away what is left.",
  },
  "BTN-LAB-LEFTOVERS": {
    title: "Something of the lab could not be removed",
    meaning: "The message lists it. Everything else is gone.",
    action: "Run `baton lab down` again; if it persists, a process of the machine holds it open.",
  },
} as const satisfies ReasonCatalogue;
