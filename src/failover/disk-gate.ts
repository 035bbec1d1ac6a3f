/**
 * What a replicated disk allows (R3, R5, S4; DESIGN 7.8). Failover decides which host; the disk itself fences its peer
 * when it is promoted, by asking the agent. Here is only what must hold before a start is tried at all.
 *
 *   disk here        peer alive                               peer gone
 *   UpToDate         start                                    start
 *   Consistent       wait deadtime for the connection,        start if this host held the group last, or by order;
 *                    then start (the promotion outdates it)   a lone former standby does not (3.2.4)
 *   worse, connected to an UpToDate peer:   the group goes there, else start (reads come from the peer)
 *   worse, alone     never: only `baton disk primary --force` (S4)
 */
import { diskRank } from "../replication/index.ts";
import type { Proof } from "./contract.ts";
import { groupOf } from "./ownership-groups.ts";
import type { FailoverReason } from "./reasons.ts";
import type { Turn } from "./turn.ts";

/** The proof of a group with a replicated disk. */
export type DiskProof = Extract<Proof, { kind: "disk" }>;

/** Why the disk does not let the group start here now. */
export interface DiskRefusal {
  readonly reason: FailoverReason;
  readonly detail: string;
}

const refuse = (reason: FailoverReason, detail = ""): DiskRefusal => ({ reason, detail });

/** The newest word of the disks of a group; undefined: it has none, or none was heard yet. */
export function diskProof(turn: Turn, name: string): DiskProof | undefined {
  const { proof } = turn.run(name);
  return proof?.kind === "disk" ? proof : undefined;
}

/**
 * May the disk of `name` be promoted here, as far as failover can know? Undefined: nothing speaks against it.
 * @param alone the peer is gone, or a person said that it is dead (`forced`)
 */
export function diskRefusal(
  turn: Turn,
  name: string,
  alone: boolean,
  forced: boolean,
): DiskRefusal | undefined {
  if (groupOf(turn, name).hasProof !== "disk") return undefined;
  const { proof } = turn.run(name);
  if (proof === null) return refuse("BTN-FAILOVER-PROOF-WAIT");
  if (proof.kind === "unreadable") return refuse("BTN-FAILOVER-PROOF-UNREADABLE", proof.detail);
  if (proof.kind !== "disk") return undefined;
  if (proof.connected && proof.peerPrimary) {
    return refuse("BTN-FAILOVER-DISK-PEER-ALIVE", "the other side of the disk is Primary");
  }
  switch (proof.state) {
    case "UpToDate":
      return undefined;
    case "Consistent":
      return alone ? consistentAlone(turn, name, forced) : consistentBeside(turn, name);
    case "Attaching":
    case "Negotiating":
    case "DUnknown":
      return refuse("BTN-FAILOVER-PROOF-WAIT", `the disk is ${proof.state}`);
    default:
      return proof.connected && proof.peerState === "UpToDate"
        ? undefined
        : refuse("BTN-FAILOVER-DISK-NOT-CURRENT", `the disk is ${proof.state}`);
  }
}

function consistentAlone(turn: Turn, name: string, forced: boolean): DiskRefusal | undefined {
  const heldLast = turn.own(name).owner === turn.options.self;
  if (heldLast || forced) return undefined;
  return refuse(
    "BTN-FAILOVER-DISK-NOT-CURRENT",
    `${turn.own(name).owner ?? "the other host"} held it last, and may have newer data`,
  );
}

/** Both live: the disks compare their generations as soon as they are connected. */
function consistentBeside(turn: Turn, name: string): DiskRefusal | undefined {
  const { proofSince } = turn.run(name);
  const waited = proofSince === null ? 0 : turn.now - proofSince;
  if (waited >= turn.options.timing.deadtimeMs) return undefined;
  return refuse("BTN-FAILOVER-DISK-CONNECTING");
}

/** Why the peer's side of the disk would make a move of `name` a loss; undefined: it would not. */
export function peerDiskRefusal(turn: Turn, name: string): DiskRefusal | undefined {
  const proof = diskProof(turn, name);
  if (proof === undefined || (proof.connected && proof.peerState === "UpToDate")) return undefined;
  const detail = proof.connected ? `its disk is ${proof.peerState}` : "the disks are not connected";
  return refuse("BTN-FAILOVER-PEER-DISK-NOT-CURRENT", detail);
}

/** The data is whole there and not here: the owner that finds this gives the group away. */
export function betterThere(turn: Turn, name: string): boolean {
  const proof = diskProof(turn, name);
  if (proof === undefined || !proof.connected || proof.peerState !== "UpToDate") return false;
  return diskRank(proof.state) < diskRank("Consistent");
}
