/** Reason codes of membership: why input was refused, and why a verdict was given. */
import type { ReasonCatalogue } from "../base/index.ts";
import { wireReasons } from "./wire/index.ts";

export { beatReasons } from "./beat-reasons.ts";

export const membershipReasons = {
  ...wireReasons,
  "BTN-BEAT-FIELDS": {
    title: "A message was refused because it lacks a field that every message has",
    meaning: "Type, source, generation, time or sequence number is absent or no number",
    action: "Report it with a capture: a holder of the key sent what no heartbeat sends",
  },
  "BTN-BEAT-STRANGER": {
    title: "A message was refused because its sender is not a host of this cluster",
    meaning: "The digest is right but the name is not configured here. The message changed nothing",
    action: "Add the host on all hosts, or give the other cluster a key of its own",
  },
  "BTN-BEAT-OWN-NAME": {
    title: "Another host uses the name of this host",
    meaning:
      "A message under our name carries another uuid or a newer generation. It changed nothing",
    action: "Find the host with the same name and key, such as a cloned machine, and rename it",
  },
  "BTN-BEAT-REPLAY-GENERATION": {
    title: "A message of an older generation of a peer was refused",
    meaning: "It was recorded before the peer restarted, or the peer's hb_generation was set back",
    action: "If the peer was restored from a backup, write a higher number to its hb_generation",
  },
  "BTN-BEAT-REPLAY-SEQUENCE": {
    title: "A message with an old sequence number was refused",
    meaning:
      "The number was taken long ago or precedes what is remembered: a replay or a late copy",
    action: "Nothing, unless it goes on: then find who sends",
  },
  "BTN-BEAT-BEFORE-STATUS": {
    title: "A message was refused because no status of its generation was heard",
    meaning: "Only a status introduces a generation; an honest sender repeats what matters",
    action: "Nothing",
  },
  "BTN-BEAT-FROM-DEAD": {
    title: "A message of a silent peer was refused",
    meaning:
      "A peer that was silent for its deadtime must be heard with a status first; " +
      "heartbeat itself would act on a replayed goodbye here. It is asked for again if it was honest",
    action: "Nothing",
  },
  "BTN-BEAT-PING-FOREIGN": {
    title: "An echo reply was refused",
    meaning: "It does not answer an echo request that this process sent in this generation",
    action: "Nothing, unless it goes on: then find who sends",
  },
  "BTN-BEAT-RATE-LIMITED": {
    title: "Datagrams were dropped unread because there were too many",
    meaning:
      "More datagrams arrived on the link than a digest is spent on; beats may be among them",
    action: "Find who floods the heartbeat port and keep it off the link",
  },
  "BTN-BEAT-SEND-REFUSED": {
    title: "A message of the agent was not sent",
    meaning: "It can not be written as a heartbeat message, or it is too long for one datagram",
    action: "Report it: the agent asked for something impossible",
  },
  "BTN-BEAT-MESSAGE-LOST": {
    title: "Messages of a peer are lost for good",
    meaning:
      "They were missing, asked for, and the peer no longer has them or too many are missing",
    action: "Look at the loss on the links",
  },
  "BTN-MEMBER-HEARD": {
    title: "A peer was heard",
    meaning: "A new status of it arrived, so it is alive",
    action: "Nothing",
  },
  "BTN-MEMBER-LATE": {
    title: "A peer is late",
    meaning: "No status of it arrived for warntime; at its deadtime it will be taken for dead",
    action: "Look at the links and at the load of the peer",
  },
  "BTN-MEMBER-DEAD-SILENT": {
    title: "A peer is taken for dead",
    meaning: "No status of it arrived over any link for the deadtime that it announced",
    action: "See `baton timeline last` for what was done about it",
  },
  "BTN-MEMBER-DEAD-UNHEARD": {
    title: "A peer that was never heard is taken for dead",
    meaning: "Nothing arrived from it since the start, for initdead",
    action: "Start the peer, or check links, names and keys",
  },
  "BTN-MEMBER-DEAD-AFTER-STALL": {
    title: "A peer is taken for dead after a stall of this host",
    meaning: "After this host ran again, it listened for a whole deadtime and heard nothing",
    action: "Find out why this host stalled, and why the peer is silent",
  },
  "BTN-MEMBER-LEFT": {
    title: "A peer said goodbye",
    meaning: "Its shutdone was received: it has released everything",
    action: "Nothing",
  },
  "BTN-MEMBER-UNSURE-STALLED": {
    title: "This host was not run for a while, so it knows nothing of its peers",
    meaning:
      "Silence during the stall proves nothing. Nobody is taken for dead before being listened to anew",
    action: "Find out what stopped this host: load, memory, a paused virtual machine",
  },
  "BTN-MEMBER-UNSURE-NO-BEAT": {
    title: "The beat process can not be reached, so peers can not be judged",
    meaning: "Its silence says nothing about the peers. They are judged anew when it is back",
    action: "Look why `baton beat` ended; the agent starts it again",
  },
  "BTN-MEMBER-KEPT": {
    title: "The judgement of a peer goes on after a restart of the agent",
    meaning: "The beat process remembers when the peer was last heard",
    action: "Nothing",
  },
  "BTN-MEMBER-LATE-HEARTBEAT": {
    title: "A heartbeat came later than deadtime",
    meaning:
      "The peer was heard again after longer than deadtime. heartbeat 3.0.6 would take it for dead " +
      "now; Baton does not: it is alive",
    action: "Look at the load of the peer and at the loss on the links, or raise deadtime",
  },
  "BTN-MEMBER-STATUS-DEAD": {
    title: "A status that calls its own sender dead was ignored",
    meaning: "No host sends that of itself; a goodbye is a message of its own",
    action: "Nothing",
  },
  "BTN-MEMBER-REQNODES": {
    title: "A peer that runs heartbeat was asked for its list of hosts",
    meaning: "heartbeat goes on to active only when its peers answer and ask",
    action: "Nothing",
  },
  "BTN-MEMBER-NODES-DIFFER": {
    title: "A peer lists other hosts than this one",
    meaning: "Its configuration differs. Baton never drops a host because of such an answer",
    action: "Make the `node` lines the same on both hosts",
  },
  "BTN-MEMBER-COMMUNICATION-UP": {
    title: "Communication is complete",
    meaning: "Every configured host and ping node was heard or is taken for dead",
    action: "Nothing",
  },
} as const satisfies ReasonCatalogue;

export type MembershipReason = keyof typeof membershipReasons;
