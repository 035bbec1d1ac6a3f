import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the agent itself: starting, ending, state on disk, commands. */
export const agentReasons = {
  "BTN-STATE-DAMAGED": {
    title: "The record of who held what can not be read",
    meaning:
      "Neither copy in the state directory has a valid checksum. Guessing could start a group on stale data, so the agent does not start.",
    action:
      "If the other host is up and serves, remove both files and start again. Otherwise find out which host served last before you do.",
  },
  "BTN-STATE-UNWRITABLE": {
    title: "The record of who holds what can not be written",
    meaning:
      "A decision that must survive a power loss is not carried out before it is on disk. Groups that run go on; nothing new is taken.",
    action:
      "Mend the disk under the state directory: the agent tries again each second. If another disk is mounted there now, restart the agent.",
  },
  "BTN-STATE-WRITABLE": {
    title: "The record of who holds what can be written again",
    meaning: "What waited for it is carried out now.",
    action: "Find out why the disk under the state directory failed.",
  },
  "BTN-AGENT-ALREADY-RUNNING": {
    title: "Another agent runs on this host",
    meaning:
      "Two agents with one state directory would contradict each other. This one did not start.",
    action:
      "Use the running one; `baton status` shows it. To replace it, stop it first or send it HUP.",
  },
  "BTN-AGENT-TOO-MANY-COMMANDS": {
    title: "Too many commands are under way at once",
    meaning: "The command was not begun.",
    action: "Wait for the others to end; `baton status` lists them.",
  },
  "BTN-AGENT-COMMAND-LOST": {
    title: "A command did not end",
    meaning: "The asker is no longer kept waiting. It may still be under way.",
    action: "Look at `baton status` and `baton timeline`.",
  },
  "BTN-AGENT-NOT-A-HOST": {
    title: "This machine is not in the configuration",
    meaning: "The name in `uname -n` (or `name:`, or nodeinfo) is none of the data hosts.",
    action: "Add the host to the configuration on every host, or correct the machine's name.",
  },
  "BTN-AGENT-STALE-START": {
    title: "A start that was decided before this host stood still was not begun after it",
    meaning:
      "While the host was not run the other one may have taken the group, so the decision is made anew.",
    action: "Nothing; find out why the host stood still.",
  },
  "BTN-AGENT-STARTED": {
    title: "The agent started",
    meaning: "What runs on this host is probed before anything is decided.",
    action: "Nothing.",
  },
  "BTN-AGENT-LEAVES": {
    title: "The agent ends or restarts without changing what runs",
    meaning:
      "Beats go on for agent_grace; an agent that is back by then changes no role and stops nothing.",
    action: "Nothing, if it was a restart.",
  },
  "BTN-AGENT-STOPPED": {
    title: "The agent ended after handing over or stopping its groups",
    meaning: "The peer was told with a goodbye and needs no deadtime.",
    action: "Nothing.",
  },
  "BTN-AGENT-FAULT": {
    title: "The agent found itself in a state that can not be",
    meaning:
      "A fault in Baton. The agent ends so that its supervisor starts it anew; what runs goes on running meanwhile.",
    action: "Report it with the journal; `baton timeline` shows what led there.",
  },
  "BTN-AGENT-BEAT-LOST": {
    title: "The beat process can not be reached",
    meaning:
      "The agent starts another or connects again. Verdicts are `unsure` until peers are heard anew.",
    action: "If it persists, look into beat.log in the journal directory.",
  },
  "BTN-AGENT-BEAT-REPLACED": {
    title: "The beat process was replaced, because it ran with other settings",
    meaning: "The configuration changed. The peer sees a restart of this host.",
    action: "Nothing.",
  },
  "BTN-MEMBER-SELF": {
    title: "This is the host that answers",
    meaning: "A host does not judge itself.",
    action: "Nothing.",
  },
  "BTN-MEMBER-UNHEARD": {
    title: "The host was not heard since the agent started",
    meaning: "It is given initdead before it counts as dead.",
    action: "Start the other host, or wait.",
  },
  "BTN-MODE-NO-ARBITER": {
    title: "Two hosts without a third party",
    meaning:
      "If every link is cut while both hosts live, both may come to hold a group. A ping node, the claim on a shared disk and the rule that an unheard holder steps back make it rarer, not impossible.",
    action:
      "Keep at least two independent links, configure a ping node, and set split_brain_policy to safe if you prefer an outage to a split.",
  },
  "BTN-MODE-CLAIM": {
    title: "The shared disk is guarded by a claim",
    meaning:
      "The other host takes the disk only after the claim stood still for deadtime. A holder that was frozen and resumes may still write for a moment.",
    action: "Nothing; a fence device or a witness closes the gap.",
  },
  "BTN-INTERNAL": {
    title: "An error that Baton has no words for",
    meaning: "The message is that of the runtime.",
    action: "Report it with the message and the journal.",
  },
  "BTN-DISK-NO-ANSWER": {
    title: "The process of a disk did not answer in time",
    meaning: "The order may still be carried out; nothing was assumed about it.",
    action: "See `baton disk status`; a disk that hangs below it is usual.",
  },
} as const satisfies ReasonCatalogue;
