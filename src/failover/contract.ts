/**
 * Events and effects of the failover core: who should hold what, and why.
 * Shapes only; the rules are in `failover.ts` and the README of this room.
 */
import type { PeerKind, Verdict } from "../membership/index.ts";
import type { DiskStateName } from "../replication/index.ts";

/** String fields of a heartbeat message (heartbeat.md 5.3, 8.1). */
export type MessageFields = Readonly<Record<string, string>>;

/** Which groups a standby or takeover means, seen from the host that was asked (heartbeat.md 3.2). */
export type MoveScope = "all" | "local" | "foreign" | "failback";

/** How a group stands on one host. `blocked`: a stop failed, so it may still run there (R19). */
export type GroupState =
  | "unknown"
  | "stopped"
  | "starting"
  | "running"
  | "stopping"
  | "failed"
  | "blocked";

/** Who may hold a group: the higher epoch wins; only the owner starts it while both hosts live. */
export interface Ownership {
  readonly epoch: number;
  /** Undefined before a cluster was ever used. */
  readonly owner: string | undefined;
}

/** What must survive a crash, per host; written before what depends on it (`persist`). */
export interface FailoverRecord {
  /** By group name. */
  readonly groups: Readonly<Record<string, GroupRecord>>;
}
export interface GroupRecord extends Ownership {
  /** This host had the group started, or was starting it, when this was written. */
  readonly heldHere: boolean;
  /** A start that failed here, not yet cleared. */
  readonly failedHere: string | null;
  /** The peer was taken to be dead without proof when this epoch began (mode `none`). */
  readonly unproven: boolean;
}

/** What could be compared before serving (R5; DESIGN 7.8). */
export type Proof =
  /** Nothing to compare: scripts, a lone address. The original's rule, with a line in status. */
  | { readonly kind: "none" }
  /** The claim on a shared disk. `still`: it stood still for deadtime. */
  | {
      readonly kind: "claim";
      readonly holder: string | null;
      readonly epoch: number;
      readonly still: boolean;
    }
  /** The replicated disk on this host; of several the worst in each respect. */
  | {
      readonly kind: "disk";
      readonly state: DiskStateName;
      /** The replication connection stands: its generations were compared. */
      readonly connected: boolean;
      readonly peerState: DiskStateName;
      /** Over the connection the other side is seen as Primary: it lives, whatever heartbeat says. */
      readonly peerPrimary: boolean;
    }
  | { readonly kind: "unreadable"; readonly detail: string };

export type Command =
  | { readonly verb: "switch"; readonly group: string | null; readonly to: string | null }
  | { readonly verb: "standby"; readonly scope: MoveScope }
  | { readonly verb: "takeover"; readonly scope: MoveScope; readonly peerIsDead: boolean }
  /** Clears failed starts of a group (all: null) so that it is tried again. */
  | { readonly verb: "clear"; readonly group: string | null }
  /** Graceful end of this host: hand over, then `readyToStop`. */
  | { readonly verb: "stop" };

export type FailoverEvent =
  | { readonly kind: "tick" }
  | {
      readonly kind: "verdict";
      readonly host: string;
      readonly verdict: Verdict;
      readonly reason: string;
    }
  | {
      readonly kind: "peerSeen";
      readonly host: string;
      readonly peer: PeerKind;
      readonly generation: number;
      readonly restarted: boolean;
      readonly returned: boolean;
    }
  | { readonly kind: "peerStatus"; readonly host: string; readonly status: string }
  | {
      readonly kind: "heardByPeer";
      readonly host: string;
      readonly heard: boolean;
      readonly sinceMs: number;
    }
  | { readonly kind: "communicationUp" }
  | { readonly kind: "ping"; readonly ping: string; readonly up: boolean }
  /** An authenticated message other than a status; own ones are not looped back. */
  | { readonly kind: "message"; readonly host: string; readonly fields: MessageFields }
  /** What runs here, found by probing at the start of the agent. */
  | {
      readonly kind: "probed";
      readonly group: string;
      readonly found: "running" | "stopped" | "partial" | "unknown";
      readonly detail: string;
    }
  | { readonly kind: "proof"; readonly group: string; readonly proof: Proof }
  | {
      readonly kind: "operationDone";
      readonly operation: number;
      readonly group: string;
      readonly outcome: OperationOutcome;
    }
  /** A monitor failed beyond its local restarts: the group can not stay here. */
  | {
      readonly kind: "resourceFailed";
      readonly group: string;
      readonly resource: string;
      readonly reason: string;
      readonly detail: string;
      /** Another host has what was ours, such as the disk: it stops at once, also while it starts. */
      readonly urgent?: boolean;
    }
  | { readonly kind: "stalled"; readonly gapMs: number }
  /** This host's beat process is gone, and with it our beats; or it is there (again). */
  | { readonly kind: "beats"; readonly sent: boolean }
  | {
      readonly kind: "arbiter";
      readonly group: string;
      readonly question: number;
      readonly granted: boolean;
      readonly reason: string;
    }
  | { readonly kind: "command"; readonly id: string; readonly command: Command };

export type OperationOutcome =
  | { readonly result: "done" }
  /** A start failed; `clean`: everything it had started was stopped again. */
  | {
      readonly result: "failed";
      readonly resource: string;
      readonly reason: string;
      readonly detail: string;
      readonly clean: boolean;
    };

export type FailoverEffect =
  /** Probe what runs here: once per group, at start; answered by `probed`. */
  | { readonly kind: "probe"; readonly group: string }
  /** Read what there is to compare; answered by `proof`, and again on each change. */
  | { readonly kind: "compare"; readonly group: string }
  | {
      readonly kind: "acquire";
      readonly operation: number;
      readonly group: string;
      readonly epoch: number;
      readonly reason: string;
    }
  /** The group was found running and stays: watch it again, under this epoch, without a stop. */
  | { readonly kind: "adopt"; readonly group: string; readonly epoch: number }
  | {
      readonly kind: "release";
      readonly operation: number;
      readonly group: string;
      readonly reason: string;
      /** The peer may be taking over: stop at once, kill early (R19). */
      readonly urgent: boolean;
    }
  /**
   * Durable first, then what follows (style P4). A barrier: nothing else of this or a later step is
   * performed before the record is durable, except `release`, `decision`, `progress`, `probe` and
   * `compare`. A release may so overtake an acquire that waits: whoever performs them drops an
   * operation with a lower number than the newest one of its group.
   */
  | {
      readonly kind: "persist";
      readonly record: FailoverRecord;
      readonly then: readonly FailoverEffect[];
    }
  | { readonly kind: "send"; readonly fields: MessageFields }
  /** New generation on the wire, so that a classic peer sees a restart and not a partition healed. */
  | { readonly kind: "rejoin"; readonly reason: string }
  | {
      readonly kind: "askArbiter";
      readonly group: string;
      readonly question: number;
      readonly epoch: number;
    }
  /** A decision, or a decision not to, for journal, status and whoever asks why. */
  | {
      readonly kind: "decision";
      readonly reason: string;
      readonly group: string | null;
      readonly host: string | null;
      readonly detail: string;
    }
  | { readonly kind: "progress"; readonly command: string; readonly line: string }
  | {
      readonly kind: "commandDone";
      readonly command: string;
      /** Exit codes of DESIGN 4: done, negative answer, refused for safety, failed. */
      readonly outcome: "done" | "negative" | "refused" | "failed";
      readonly reason: string;
      readonly detail: string;
    }
  /** All is released and said: the agent may end. */
  | { readonly kind: "readyToStop" };

/** What `baton status` shows of one group, from one host's point of view. */
export interface GroupView {
  readonly group: string;
  readonly prefers: string;
  readonly ownership: Ownership;
  readonly here: GroupState;
  /** By host name; what the peer last told. */
  readonly there: Readonly<Record<string, GroupState>>;
  readonly holder: string | null;
  /** Why it stands as it stands: the newest decision or non-decision. */
  readonly reason: string;
  readonly detail: string;
  readonly unproven: boolean;
}
