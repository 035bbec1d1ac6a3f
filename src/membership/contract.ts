/**
 * What crosses the socket between `baton beat` and the agent, and what membership tells the rest.
 * Shapes only. Both ends stamp with CLOCK_MONOTONIC of the same host (DESIGN 7.2-7.4).
 */
import type { Instant } from "../base/index.ts";
import type { AuthConfig } from "../config/index.ts";

/** The string fields of a heartbeat message in wire order, without framing, `auth` and binaries. */
export type HeartbeatFields = Readonly<Record<string, string>>;

/** DESIGN 1: what membership says of a peer. */
export type Verdict = "alive" | "late" | "dead" | "left" | "unsure";

/** What program a peer runs: known from its statuses, `baton` if they carry `btn` (DESIGN 7.5). */
export type PeerKind = "unknown" | "classic" | "baton";

/** One path to one peer, as the beat process sees it. */
export interface BeatLinkState {
  /** Medium name of heartbeat's "Link node:NAME": the device, or the address of a ping node. */
  readonly name: string;
  readonly lastHeardAt: Instant | null;
  /** Last own sequence number that the peer says it heard on this link (`btnheard`); null: not told. */
  readonly peerHeardSequence: number | null;
}

export interface BeatPeerState {
  readonly host: string;
  readonly kind: PeerKind;
  /** `btn=` of its statuses. */
  readonly softwareVersion: string | null;
  readonly generation: number | null;
  /** `st=` of its newest status. */
  readonly status: string | null;
  /** `dt=` of its newest status, milliseconds. */
  readonly announcedDeadtimeMs: number | null;
  readonly lastStatusAt: Instant | null;
  readonly links: readonly BeatLinkState[];
}

export interface BeatPingState {
  readonly name: string;
  readonly lastReplyAt: Instant | null;
}

/** Counters of refused input; each refusal changes nothing else (S12). */
export interface BeatCounters {
  readonly received: number;
  readonly authFailures: number;
  readonly malformed: number;
  readonly replays: number;
  readonly strangers: number;
  readonly rateLimited: number;
  readonly sendErrors: number;
}

/** Level state: sent whole on connecting and after each change of it. */
export interface BeatState {
  readonly revision: number;
  readonly host: string;
  readonly generation: number;
  readonly uuid: string;
  readonly startedAt: Instant;
  /** What our statuses say in `st=`. */
  readonly status: "init" | "up" | "active";
  readonly announcedDeadtimeMs: number;
  readonly sequence: number;
  readonly peers: readonly BeatPeerState[];
  readonly pings: readonly BeatPingState[];
  readonly counters: BeatCounters;
  /** True while beats are held back because the agent gave no sign of life (DESIGN 7.3). */
  readonly silenced: boolean;
}

/** What the beat process reports as it happens. `at` is when the datagram was read. */
export type BeatEvent =
  | {
      readonly kind: "status";
      readonly at: Instant;
      readonly host: string;
      readonly link: string;
      readonly peer: PeerKind;
      readonly generation: number;
      readonly status: string;
      readonly announcedDeadtimeMs: number | null;
      /** By link name: last own sequence number that the peer heard there; absent from classic peers. */
      readonly heard: Readonly<Record<string, number>> | null;
      /** Our own sequence number when this status arrived, to judge `heard` by. */
      readonly ownSequence: number;
      /** The configuration digest of a Baton peer travels in messages, not here. */
      readonly fields: HeartbeatFields;
    }
  /** A duplicate over another link: refreshes the link, nothing else. */
  | {
      readonly kind: "linkHeard";
      readonly at: Instant;
      readonly host: string;
      readonly link: string;
    }
  /** An authenticated, new, sequenced message that is for us (or for all), other than a status. */
  | {
      readonly kind: "message";
      readonly at: Instant;
      readonly host: string;
      readonly link: string;
      readonly generation: number;
      readonly fields: HeartbeatFields;
    }
  | { readonly kind: "pingReply"; readonly at: Instant; readonly ping: string }
  /** Input that was refused. `reason` is a code of membership's catalogue. */
  | {
      readonly kind: "refused";
      readonly at: Instant;
      readonly reason: string;
      readonly detail: string;
    }
  /** A link could not send or receive; `detail` names device and errno. */
  | {
      readonly kind: "linkError";
      readonly at: Instant;
      readonly link: string;
      readonly detail: string;
    }
  /**
   * Answer to `alive`: the beat process is run. With the `asked` of the question: all that had arrived
   * by then has been read, so silence up to it means something.
   */
  | { readonly kind: "awake"; readonly at: Instant; readonly asked: Instant | null }
  /** The beat process itself was not run for this long (R13). */
  | { readonly kind: "stalled"; readonly at: Instant; readonly gapMs: number };

/** Where the keys are, and which one signs; without secrets. */
export interface KeySources {
  readonly auth: AuthConfig;
  readonly clusterId: string;
}

/** What the agent asks of the beat process. */
export type BeatRequest =
  /** Sign of life, at least every 250 ms; with `asked`, the question whether it is run. */
  | { readonly kind: "alive"; readonly asked?: Instant | undefined }
  /** What statuses say from now on; sends one at once. */
  | {
      readonly kind: "announce";
      readonly status: "up" | "active";
      readonly deadtimeMs: number;
    }
  /** Sends one message on every link: adds src, srcuuid, seq, hg, ts, ld, ttl and digests. */
  | { readonly kind: "send"; readonly fields: HeartbeatFields }
  /** Next generation, durable first, sequence from 1: the peer sees a restart of this host. */
  | { readonly kind: "rejoin" }
  /**
   * Reads the keys again (step one or two of a rollover, DESIGN 7.5); with `keys`, those from now on:
   * a change of keys must not look to peers like a restart of this host.
   */
  | { readonly kind: "rereadKeys"; readonly keys?: KeySources }
  /** Says goodbye (`shutdone` was sent by the agent) and ends. */
  | { readonly kind: "end" };

/** What the membership core tells the agent, beside its own journal lines. */
export type MembershipEffect =
  | {
      readonly kind: "verdict";
      readonly host: string;
      readonly verdict: Verdict;
      readonly reason: string;
      readonly silentMs: number;
    }
  /** First status of a generation: `restarted` if an older generation was known. */
  | {
      readonly kind: "peerSeen";
      readonly host: string;
      readonly peer: PeerKind;
      readonly generation: number;
      readonly restarted: boolean;
      /** Same generation heard again after a `dead` verdict: a healed partition. */
      readonly returned: boolean;
    }
  /** `st=` of a peer changed. */
  | { readonly kind: "peerStatus"; readonly host: string; readonly status: string }
  | { readonly kind: "link"; readonly host: string; readonly link: string; readonly up: boolean }
  | { readonly kind: "ping"; readonly ping: string; readonly up: boolean }
  /** Told by `btnheard` that none of our beats arrive on any link (or that they do again). */
  | {
      readonly kind: "heardByPeer";
      readonly host: string;
      readonly heard: boolean;
      readonly sinceMs: number;
    }
  /** Each configured host and ping node was heard or is dead (heartbeat.md 7.3). */
  | { readonly kind: "communicationUp" }
  /** We ourselves were not run: verdicts are `unsure` until heard anew (R13). */
  | { readonly kind: "stalled"; readonly gapMs: number }
  | { readonly kind: "beat"; readonly request: BeatRequest }
  /** A decision or non-decision for the journal. */
  | {
      readonly kind: "note";
      readonly reason: string;
      readonly host: string | null;
      readonly detail: string;
    };
