/** Reason codes of the wire codecs: why a datagram was refused. */
import type { ReasonCatalogue } from "../../base/index.ts";

const checkSender = "Look at the counters of `baton status`; find who sends to the heartbeat port";

export const wireReasons = {
  "BTN-WIRE-SIZE": {
    title: "A datagram was refused for its size",
    meaning: "It was empty, too short to hold a digest, or above 64 KiB. Nothing in it was read",
    action: checkSender,
  },
  "BTN-WIRE-DIGEST-MISSING": {
    title: "A datagram was refused because it does not end in a digest",
    meaning:
      "Baton reads nothing of a datagram before its digest is right, so its content is unknown",
    action: checkSender,
  },
  "BTN-WIRE-KEY-UNKNOWN": {
    title: "A datagram was refused because it names a key that this host does not have",
    meaning: "The peer signs with a key that is not in authkeys here, or the sender is no member",
    action: "Compare authkeys on all hosts; add the key here before a peer starts to send with it",
  },
  "BTN-WIRE-DIGEST-WRONG": {
    title: "A datagram was refused because its digest is wrong",
    meaning: "It was damaged, forged, or signed with another key under the same index",
    action: "Compare authkeys on all hosts; if they are the same, look for who sends",
  },
  "BTN-WIRE-FRAMING": {
    title: "An authenticated datagram was refused because its frame is broken",
    meaning: "A length, a type or a separator is not where it must be; the message changed nothing",
    action: "Report it with a capture: a holder of the key sent what no heartbeat sends",
  },
  "BTN-WIRE-LIMIT": {
    title: "An authenticated datagram was refused because it exceeds a limit",
    meaning: "Too many fields, a field name that is too long, or structs nested too deep",
    action: "Report it with a capture: a holder of the key sent what no heartbeat sends",
  },
  "BTN-WIRE-DUPLICATE-FIELD": {
    title: "An authenticated datagram was refused because it names a field twice",
    meaning: "Two readers could understand such a message in two ways, so it changed nothing",
    action: "Report it with a capture: a holder of the key sent what no heartbeat sends",
  },
  "BTN-WIRE-COMPRESSED": {
    title: "A compressed message was refused",
    meaning: "heartbeat compresses messages above 2 KB; none that Baton needs is so long",
    action:
      "Set `traditional_compression off` on the peer, or remove the client that sends so much",
  },
  "BTN-WIRE-FOREIGN-CLUSTER": {
    title: "A datagram of another cluster was refused",
    meaning: "Its digest is right, so the other cluster uses the same key, but its id differs",
    action: "Give each cluster a key of its own",
  },
} as const satisfies ReasonCatalogue;

export type WireReason = keyof typeof wireReasons;
