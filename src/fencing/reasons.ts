import type { ReasonCatalogue } from "../base/index.ts";

/** Why a peer of a disk counts as excluded, or does not. The texts are for somebody who was woken up. */
export const fencingReasons = {
  // Asking
  "BTN-FENCE-ASKED": {
    title: "The other host was asked to outdate its copy of the disk",
    meaning:
      "The primary of the disk lost its peer. Until the other copy is outdated, or the fencing policy says otherwise, " +
      "writes wait: otherwise both copies could go on by themselves.",
    action: "Nothing; find out why the replication link is down.",
  },
  "BTN-FENCE-OUTDATED": {
    title: "The other copy of the disk is outdated: writes go on here",
    meaning:
      "The other host has durably marked its copy as old (or as inconsistent) and will not become primary with it until " +
      "it is resynchronised. This is a proof.",
    action: "Nothing; the copies are made equal as soon as the link is back.",
  },
  "BTN-FENCE-PEER-PRIMARY": {
    title: "The other host is primary of the disk: this copy becomes outdated",
    meaning:
      "The other host refused to outdate its copy because it is in use there. Only one of the two may go on.",
    action: "If the service should run here: switch it by hand once the link is back.",
  },
  "BTN-FENCE-DONT-CARE": {
    title: "Writes go on without excluding the other copy, as the policy dont-care says",
    meaning:
      "The other host may become primary with an older copy. If it does, the two copies part and one side's writes are " +
      "lost when they meet again.",
    action: "Set fencing to native, resource-only or resource-and-stonith.",
  },
  "BTN-FENCE-UNPROVEN": {
    title: "Writes go on without proof that the other copy is excluded",
    meaning:
      "The policy resource-only waits for one second and then goes on, as DRBD does with a handler that says " +
      "unreachable. If the other host lives, it may become primary with an older copy.",
    action:
      "Make sure that the other host is down, or bring the links back. The policies native and " +
      "resource-and-stonith wait for a proof.",
  },
  "BTN-FENCE-PEER-DEAD": {
    title: "The other host is dead by its silence: writes go on here",
    meaning:
      "No answer came, and every heartbeat link was silent for deadtime. That is no proof: a host that is only cut off " +
      "looks the same. It is remembered until the copies meet again.",
    action: "Make sure that the other host is down before its links come back.",
  },
  "BTN-FENCE-ORDERED": {
    title: "The other host was fenced, or somebody said that it is down: writes go on here",
    meaning: "A confirmed fencing, or an operator's order, stands for the proof.",
    action: "Nothing",
  },
  "BTN-FENCE-UNCONFIRMED": {
    title: "The other copy of the disk could not be outdated yet",
    meaning:
      "The other host answered that it failed, or has not answered. It is asked again; whether writes wait " +
      "meanwhile is for the fencing policy to say.",
    action: "Look at the disk on the other host: `baton disk status` there, or its drbd log.",
  },
  "BTN-FENCE-WAITING": {
    title: "Writes wait until the other host is fenced or somebody says that it is down",
    meaning:
      "The policy resource-and-stonith takes silence for no proof. The other host does not answer, so only " +
      "a fencing device or a person can end this.",
    action:
      "If the other host is certainly down: `baton takeover --peer-is-dead`, or `baton disk resume-io NAME`. Else bring it back.",
  },
  "BTN-FENCE-WITHDRAWN": {
    title: "The disk no longer asks for its peer to be excluded",
    meaning: "The connection came back, or the disk process ended, before an answer came.",
    action: "Nothing",
  },
  "BTN-FENCE-PROVEN-LATE": {
    title: "The other copy turned out to be outdated after writes had gone on without proof",
    meaning: "The answer came late, but it came: the copies can not part any more.",
    action: "Nothing",
  },
  "BTN-FENCE-STALE-ANSWER": {
    title: "An answer about an earlier loss of the link was not taken for a proof",
    meaning:
      "Between the question and now the copies may have been equal again. The other host is asked anew.",
    action: "Nothing",
  },
  "BTN-FENCE-MET": {
    title: "The copies have met again: nothing is unproven any more",
    meaning: "The disk is connected, so its generations were compared.",
    action: "Nothing",
  },
  // Being asked
  "BTN-FENCE-SERVED": {
    title: "This copy of the disk was outdated, as the other host asked",
    meaning:
      "The other host is primary and lost the replication link. This host will not become primary with its copy until it " +
      "is resynchronised.",
    action: "Nothing; find out why the replication link is down.",
  },
  "BTN-FENCE-SERVED-REFUSED": {
    title: "This host is primary of the disk and did not outdate its copy",
    meaning: "The other host, which asked for it, now outdates its own.",
    action: "Nothing",
  },
  "BTN-FENCE-SERVED-FAILED": {
    title: "This copy of the disk could not be outdated as the other host asked",
    meaning:
      "It was told so, and its writes may wait. The copy may still be connected, or its disk process does not answer.",
    action: "Look at the disk here: `baton disk status`.",
  },
  "BTN-FENCE-STRANGER": {
    title: "A request to outdate a disk was not followed",
    meaning:
      "The host that asked is not the peer of that disk, or there is no disk of that name here.",
    action: "Compare the names of the disks on both hosts.",
  },
  // Clients
  "BTN-FENCE-CLIENT-REFUSED": {
    title: "A fence-peer handler asked for a host that can not be asked",
    meaning:
      "It named this host itself, an unknown host, or too many handlers wait. It was answered as dopd would.",
    action: "Look at the fence-peer line of drbd.conf.",
  },
} as const satisfies ReasonCatalogue;

/** A reason of this room. */
export type FencingReason = keyof typeof fencingReasons;
