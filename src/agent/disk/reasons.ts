import type { ReasonCatalogue } from "../../base/index.ts";

/** Reason codes of the process of a disk: its start and end, its device, its connection, its handlers. */
export const diskProcessReasons = {
  "BTN-DISK-SERVING": {
    title: "The process of the disk has started",
    meaning: "Nothing is attached and nobody is connected before that is asked of it.",
    action: "Nothing",
  },
  "BTN-DISK-ALREADY-SERVED": {
    title: "The disk has a process already",
    meaning: "Two processes would write to one backing device. The second one did not start.",
    action: "Use the running one; `baton disk status` shows it.",
  },
  "BTN-DISK-STAYS": {
    title: "The process of the disk does not end now",
    meaning:
      "It was told to end while it is Primary and its device is in use, or something else forbids a demotion. " +
      "Everything goes on as before.",
    action: "Stop what uses the device, which the detail names, then `baton disk down`.",
  },
  "BTN-DISK-HANGUP-IGNORED": {
    title: "The process of the disk took no notice of SIGHUP",
    meaning: "A disk reads its configuration when its process starts.",
    action: "For a changed configuration: `baton disk down`, then `baton disk up`.",
  },
  "BTN-DISK-BAD-REQUEST": {
    title: "The process of the disk was asked something that it does not know",
    meaning: "The request was refused as a whole; nothing changed.",
    action: "Use `baton disk` of the same version as the process.",
  },
  "BTN-DISK-STALE-ANSWER": {
    title: "An answer about the peer came too late",
    meaning:
      "The question whether the peer is excluded was answered for an attempt that is over: the peer came back, or it was asked again.",
    action: "Nothing; the newest question is in the state of the disk.",
  },
  "BTN-DISK-ENGINE-BUG": {
    title: "The process of the disk found a mistake in itself and ended",
    meaning:
      "Something that can not be was the case. To go on could damage data, so the device gives errors instead; what is on " +
      "the disk is as after a crash, and the peer can take over.",
    action: "Report the detail. Start the process again with `baton disk up`: it resyncs.",
  },
  "BTN-DISK-TIMEOUT": {
    title: "The local disk did not answer within disk-timeout; the process has ended",
    meaning:
      "The device gives errors and the connection to the peer is closed, so that the peer can take over.",
    action: "Look at the disk and the kernel's log. Start again with `baton disk up`.",
  },
  "BTN-DISK-LEFTOVERS": {
    title: "What a killed process of the disk left behind was removed",
    meaning: "Its mount, loop device and names gave errors since its end.",
    action: "Find out why it was killed.",
  },
  "BTN-DISK-DEVICE-FAILED": {
    title: "The block device of the disk could not be made or taken away",
    meaning: "The disk itself has the role that it shows; only its device is not as it should be.",
    action: "The detail says what the system refused.",
  },
  "BTN-DISK-FUSE-LOST": {
    title: "The kernel ended the connection of the disk's device",
    meaning:
      "It was unmounted or aborted by somebody else. Programs that use the device get errors; the disk stays connected.",
    action: "Demote the disk and promote it again: that makes a new device.",
  },
  "BTN-DISK-HANDLER": {
    title: "A handler of the disk was run",
    meaning: "The detail has its name, exit status and the end of what it said.",
    action: "Nothing, unless the status was not expected.",
  },
  "BTN-DISK-LISTEN-FAILED": {
    title: "The disk can not listen for its peer",
    meaning:
      "Its own address is not there yet, or the port is in use. It is tried again each second.",
    action: "Check the address and port of this host in the configuration.",
  },
  "BTN-DISK-DIAL-FAILED": {
    title: "The disk can not dial its peer",
    meaning: "Not because the peer is away: the system refused. It is tried again.",
    action: "The detail says why; check addresses and firewall.",
  },
  "BTN-DISK-STRANGER": {
    title: "A connection from a foreign address was closed",
    meaning: "Only the configured address of the peer may connect to a disk.",
    action: "If it is the peer, correct its address; otherwise find out who it is.",
  },
  "BTN-DISK-PEER-CLOSED": {
    title: "The peer closed the connection of the disk",
    meaning: "Its process ended, its host went down, or it began anew. The disk looks for it.",
    action: "Look at the disk on the peer.",
  },
  "BTN-DISK-SOCKET-FAILED": {
    title: "The connection to the peer failed",
    meaning: "The system reported an error of a socket. The disk looks for the peer again.",
    action: "The detail has the error; check the network between the hosts.",
  },
} as const satisfies ReasonCatalogue;
