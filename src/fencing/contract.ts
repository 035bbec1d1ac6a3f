/**
 * What the outdating core is told and what it asks for. Shapes only; rules are in `outdate.ts`.
 */
import type { Instant } from "../base/index.ts";
import type { FenceResult, FencingPolicy } from "../replication/index.ts";
import type { FencingReason } from "./reasons.ts";

/** String fields of a heartbeat message. */
export type MessageFields = Readonly<Record<string, string>>;

/** As membership says it. */
export type PeerVerdict = "alive" | "late" | "dead" | "left" | "unsure";

export type OutdateEvent =
  | { readonly kind: "tick" }
  /** The process of a disk froze and wants its peer excluded (`asking` of its state). Repeating it changes nothing. */
  | {
      readonly kind: "fenceAsked";
      readonly disk: string;
      readonly attempt: number;
      readonly policy: FencingPolicy;
    }
  /** It asks no longer, or its process is gone. */
  | { readonly kind: "fenceWithdrawn"; readonly disk: string }
  /** The disk is connected, or both sides are compared: what went on without proof is settled. */
  | { readonly kind: "connected"; readonly disk: string }
  /** An authenticated message of the peer's present generation. */
  | { readonly kind: "message"; readonly host: string; readonly fields: MessageFields }
  | { readonly kind: "verdict"; readonly host: string; readonly verdict: PeerVerdict }
  /** A fencing device confirmed, or a person said, that this host is down (R17: nothing less). */
  | { readonly kind: "excluded"; readonly host: string; readonly by: "device" | "operator" }
  /** The end of `outdateHere`; `exit` as of `drbdadm outdate`: 0 outdated durably, 5 inconsistent, 17 primary. */
  | {
      readonly kind: "outdated";
      readonly disk: string;
      readonly request: number;
      readonly exit: number;
    }
  /** A fence-peer handler (`drbd-peer-outdater`) asks; `client` is a name for it, unique among those that wait. */
  | {
      readonly kind: "clientAsked";
      readonly client: string;
      readonly disk: string;
      readonly host: string;
      readonly timeoutMs: number;
    }
  /** It went away. */
  | { readonly kind: "clientGone"; readonly client: string };

export type OutdateEffect =
  /** Makes the record durable on this host; only then performs `then`, in order. */
  | {
      readonly kind: "persist";
      readonly record: FencingRecord;
      readonly then: readonly OutdateEffect[];
    }
  | { readonly kind: "send"; readonly fields: MessageFields }
  /** Outdate the copy here, durably; answered by `outdated`. Idempotent. */
  | { readonly kind: "outdateHere"; readonly disk: string; readonly request: number }
  /** The answer for the disk process: its request `fenced`. */
  | {
      readonly kind: "fenceDone";
      readonly disk: string;
      readonly attempt: number;
      readonly result: FenceResult;
      readonly detail: string;
    }
  /** The exit code for a fence-peer handler. */
  | { readonly kind: "clientDone"; readonly client: string; readonly code: number }
  | {
      readonly kind: "decision";
      readonly reason: FencingReason;
      readonly disk: string;
      readonly host: string;
      readonly detail: string;
    };

/** What must survive the agent: which disks went on without proof that the other copy is excluded. */
export interface FencingRecord {
  /** By disk. */
  readonly unproven: Readonly<Record<string, UnprovenExclusion>>;
}

export interface UnprovenExclusion {
  readonly host: string;
  readonly reason: FencingReason;
}

/** One disk that is replicated to another host. */
export interface OutdateDisk {
  readonly name: string;
  /** The host of the other copy. */
  readonly peer: string;
}

export interface OutdateOptions {
  readonly self: string;
  readonly disks: readonly OutdateDisk[];
  /** Other hosts that fence-peer handlers may name, for disks that Baton does not serve. */
  readonly hosts: readonly string[];
}

/** How a disk stands, for `baton status`. */
export interface OutdateView {
  readonly disk: string;
  readonly host: string;
  readonly asking: {
    readonly attempt: number;
    readonly policy: FencingPolicy;
    readonly since: Instant;
  } | null;
  readonly unproven: UnprovenExclusion | null;
}
