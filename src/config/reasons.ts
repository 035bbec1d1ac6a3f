/** Reason codes of this room; `baton explain CODE` prints them. */
import type { ReasonCatalogue } from "../base/index.ts";
import { configDiskReasons } from "./reasons.disk.ts";

export const configReasons = {
  ...configDiskReasons,
  "BTN-CONFIG-UNREADABLE": {
    title: "A configuration file could not be read",
    meaning: "It is missing, not a regular file, larger than 1 MiB, or its mode forbids it.",
    action: "Put the file in place, with the owner and mode that the message names.",
  },
  "BTN-CONFIG-SYNTAX": {
    title: "A configuration file is not well formed",
    meaning: "What it says can not be told for sure, so nothing of it is used.",
    action: "Correct the line that the message names; quotes and indentation are the usual causes.",
  },
  "BTN-CONFIG-LIMIT": {
    title: "A configuration file is beyond a limit",
    meaning: "Size, depth and number of entries are bounded, so that checking it always ends soon.",
    action: "Make it smaller; 1 MiB and 16 levels are far beyond what a cluster needs.",
  },
  "BTN-CONFIG-MANY": {
    title: "Some findings are not shown",
    meaning: "Only the first 200 findings of a check are listed.",
    action: "Correct what is listed and check again.",
  },
  "BTN-CONFIG-UNKNOWN-KEY": {
    title: "cluster.yaml holds a key that Baton does not know",
    meaning:
      "A key that is passed over would leave the author believing in a setting that is not in force.",
    action: "Correct the spelling as suggested, or remove the key.",
  },
  "BTN-CONFIG-DUPLICATE-KEY": {
    title: "cluster.yaml holds the same key twice",
    meaning: "Which of the two was meant can not be told.",
    action: "Keep one of the two lines.",
  },
  "BTN-CONFIG-MISSING": {
    title: "A required value is missing",
    meaning: "Baton has no safe default for it.",
    action: "Add it as the message shows.",
  },
  "BTN-CONFIG-VALUE": {
    title: "A value is not one of those that are possible",
    meaning: "It has the wrong form or lies outside its range.",
    action: "Write one of the values that the message names.",
  },
  "BTN-CONFIG-DURATION": {
    title: "A duration can not be read",
    meaning: "In cluster.yaml every duration has a unit, so that 200 is never taken for seconds.",
    action: "Write a number and its unit, such as 200ms, 1.2s or 1m.",
  },
  "BTN-CONFIG-UNKNOWN-HOST": {
    title: "A name is used that is not among the hosts",
    meaning: "Nothing can be placed on a host that is not a member.",
    action: "Correct the name, or add the host under hosts.",
  },
  "BTN-CONFIG-HOSTS": {
    title: "The number of data hosts does not fit",
    meaning: "The write service moves between exactly two data hosts.",
    action: "Give two hosts the role data.",
  },
  "BTN-CONFIG-SELF": {
    title: "This machine is not among the hosts of the configuration",
    meaning: "Hosts are known by their `uname -n` in lower case (or nodeinfo).",
    action: "Add this machine's name, or correct the host name.",
  },
  "BTN-CONFIG-DUPLICATE": {
    title: "Something that must be unique is there twice",
    meaning: "Names, keys and addresses must tell things apart.",
    action: "Rename or remove one of the two.",
  },
  "BTN-CONFIG-ADDRESS-CONFLICT": {
    title: "A floating address is also something else",
    meaning: "An address that a host or a second group holds too would answer on two machines.",
    action: "Use an address that belongs to this group alone.",
  },
  "BTN-CONFIG-TIMING": {
    title: "The time constants contradict each other (C1)",
    meaning:
      "keepalive x 3 <= warntime < deadtime and 2 x deadtime <= initdead keep false alarms away.",
    action: "Set the values that the message names, or use a profile.",
  },
  "BTN-CONFIG-LEASE": {
    title: "The address lease does not fit into deadtime (C2)",
    meaning:
      "K + 2 x keepalive <= deadtime makes sure that a frozen holder is silent before the survivor answers.",
    action: "Lower keepalive or raise deadtime; for classic files the lease is shortened instead.",
  },
  "BTN-CONFIG-LEASE-OFF": {
    title: "The address lease is off",
    meaning:
      "Shortened to fit these classic timers it would be under 100 ms, too short to be renewed in time.",
    action: "Lower keepalive or raise deadtime to have it.",
  },
  "BTN-CONFIG-WATCHDOG": {
    title: "The watchdog fires too late (C4)",
    meaning:
      "The original sets it to about deadtime, so a frozen holder may still run when the survivor takes over. This version does not feed a watchdog.",
    action: "Do not count on it.",
  },
  "BTN-CONFIG-LINKS": {
    title: "The links do not suffice",
    meaning:
      "Without a link no peer can be heard; with one link a broken cable looks like a dead host.",
    action: "Configure two links on separate networks.",
  },
  "BTN-CONFIG-PING": {
    title: "ipfail has no ping node",
    meaning: "Without a ping node nothing tells which host has lost the network.",
    action: "Add a ping node that both hosts can reach, such as the gateway.",
  },
  "BTN-CONFIG-SPLIT-BRAIN": {
    title: "Two hosts without an arbiter can both take over",
    meaning:
      "If every link fails at once, each host sees a dead peer. The mitigations reduce this, nothing removes it.",
    action: "Keep two independent links and a ping node, or set split_brain_policy: safe.",
  },
  "BTN-CONFIG-ORDER": {
    title: "The order of a group's resources is unusual",
    meaning: "Resources start in the order written and stop in reverse.",
    action: "Put what is needed first: disk, file system, server, address.",
  },
  "BTN-CONFIG-DATA-DIRECTORY": {
    title: "The data directory is not on the group's file system",
    meaning: "The data would stay behind when the group moves.",
    action: "Put the data directory under the directory of the file system.",
  },
  "BTN-CONFIG-SCRIPT": {
    title: "A resource script was not found",
    meaning:
      "The group can not start here until the script is in place; the original finds this out only during a takeover.",
    action: "Install the script in one of the directories that the message names.",
  },
  "BTN-CONFIG-SECRET": {
    title: "A secret can not be used",
    meaning: "A key that others can read, or that is not there, protects nothing.",
    action: "Create it, owned by root, mode 0600.",
  },
  "BTN-CONFIG-WEAK": {
    title: "A setting gives less protection than is available",
    meaning: "crc is no authentication at all: anybody on the network can forge heartbeats.",
    action: "Use sha256 between Baton hosts, sha1 with a real Heartbeat; or start with --insecure.",
  },
  "BTN-CONFIG-LOCAL": {
    title: "cluster.yaml is not the same on every host",
    meaning:
      "A link that lists `peers` names the other host's address, so each host needs its own file.",
    action: "Write `addresses` with one address per host.",
  },
  "BTN-IMPORT-ILLEGAL": {
    title: "A classic file holds something the original refuses",
    meaning: "Heartbeat 3.0.6 does not start with it, so Baton does not guess either.",
    action: "Correct the line.",
  },
  "BTN-IMPORT-CHANGED": {
    title: "A classic directive works differently in Baton",
    meaning: "The line is accepted; the table says what happens instead.",
    action: "Read the reason in the table; usually nothing is to be done.",
  },
  "BTN-IMPORT-REFUSED": {
    title: "A classic directive is not carried over",
    meaning:
      "Baton has no counterpart. Where leaving it out would endanger the data, the start is refused.",
    action: "Remove the line once you have read what is lost.",
  },
  "BTN-IMPORT-OBSOLETE": {
    title: "A classic directive is obsolete",
    meaning: "The original accepts it with warnings.",
    action: "Write its successor, which the message names.",
  },
} as const satisfies ReasonCatalogue;

export type ConfigReason = keyof typeof configReasons;
