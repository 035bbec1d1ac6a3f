/**
 * What is under way, as plain records. Each is the owner of its local I/O (`io` of the effects), the holder of its range
 * and, while it waits for another, the waiter: so nothing is allocated for these.
 */
import type { Instant } from "../../base/index.ts";
import type { MetadataWrite } from "../contract.ts";
import type { DiskMetadata } from "./disk-metadata.ts";
import type { Range } from "./range-index.ts";
import type { RereadWrite } from "./writer.ts";

/** Everything that can own a local I/O or wait for a range. */
export type Owner =
  | AppWrite
  | AppRead
  | AppFlush
  | PeerWrite
  | PeerRead
  | EpochFlush
  | ResyncRead
  | ResyncAsk
  | VerifyRead
  | PagesFlush
  | RereadWrite;

export type HeldRange = Range<Owner>;

/** How far one leg of a write is. */
export const leg = {
  /** This leg does not take part. */
  none: 0,
  pending: 1,
  /** Protocol B: the peer has it in memory. A: it was handed to the network. */
  received: 2,
  ok: 3,
  failed: 4,
  /** The connection was lost before it was known. */
  lost: 5,
} as const;
export type Leg = (typeof leg)[keyof typeof leg];

/** A write, discard or zero-out of the application, from its arrival until its bits and log extents are settled. */
export interface AppWrite extends HeldRange {
  readonly kind: "appWrite";
  readonly id: number;
  readonly op: "write" | "discard" | "zero";
  readonly fua: boolean;
  readonly mayUnmap: boolean;
  /** Undefined once it is not needed any more, and for ranges. */
  data: Uint8Array | undefined;
  /** A copy of our own, not the bytes of an event. */
  owned: boolean;
  slot: number;
  generation: number;
  /** Order of arrival, for flushes. */
  readonly ordinal: number;
  epoch: number;
  local: Leg;
  remote: Leg;
  /** Completion waits for the remote leg up to this state. */
  awaits: Leg;
  mayClear: boolean;
  /** Marks that were set when it began: with more of them it clears nothing. */
  marks: number;
  answered: boolean;
  /** In the transfer log and not barrier-acked. */
  logged: boolean;
  /** What it waits for, or "flying". */
  stage: "gate" | "log" | "range" | "flying";
  /** Where it holds extents; undefined: nowhere. */
  log: DiskMetadata | undefined;
  /** One of the parts of a request that was too large; undefined: the request itself. */
  readonly parent: SplitRequest | undefined;
  startedAt: Instant;
}

/** A discard or zero-out in several pieces. */
export interface SplitRequest {
  readonly id: number;
  left: number;
  failed: boolean;
}

export interface AppRead extends HeldRange {
  readonly kind: "appRead";
  readonly id: number;
  slot: number;
  generation: number;
  /** Legs that failed already. */
  localFailed: boolean;
  remoteFailed: boolean;
  where: "waiting" | "local" | "remote";
  startedAt: Instant;
}

export interface AppFlush {
  readonly kind: "appFlush";
  readonly id: number;
  /** Writes before this one must be answered first. */
  readonly ordinal: number;
  /** The last epoch that has to be barrier-acked; -1: none. */
  epoch: number;
  local: "waiting" | "pending" | "ok" | "failed" | "none";
  startedAt: Instant;
}

/** Writes of the peer between two barriers. */
export interface PeerEpoch {
  /** The raw cookie, once the barrier has come. */
  barrier: number;
  closed: boolean;
  /** Packets of data, counted as the peer counts them. */
  writes: number;
  active: number;
  flush: "needed" | "pending" | "done";
  /** What to refuse if that flush fails: it was acknowledged, but the disk does not have it. */
  readonly members: PeerWrite[];
  readonly session: number;
}

/** P_DATA, P_TRIM, P_ZEROES, P_WSAME. */
export interface PeerWrite extends HeldRange {
  readonly kind: "peerWrite";
  readonly op: "write" | "discard" | "zero";
  readonly mayUnmap: boolean;
  readonly idHigh: number;
  readonly idLow: number;
  readonly flags: number;
  /** What acks call the size. */
  readonly bytes: number;
  data: Uint8Array | undefined;
  owned: boolean;
  readonly epoch: PeerEpoch;
  readonly session: number;
  setInSync: boolean;
  stage: "epoch" | "log" | "preflush" | "range" | "flying";
  log: DiskMetadata | undefined;
  startedAt: Instant;
}

/** P_DATA_REQUEST that we serve. */
export interface PeerRead extends HeldRange {
  readonly kind: "peerRead";
  readonly idHigh: number;
  readonly idLow: number;
  readonly session: number;
  startedAt: Instant;
}

/** The flush before barrier acks: covers all epochs that were done when it began. */
export interface EpochFlush {
  readonly kind: "epochFlush";
  readonly session: number;
  startedAt: Instant;
}

/** A resync or verify request of the peer, served here. */
export interface ResyncRead extends HeldRange {
  readonly kind: "resyncRead";
  readonly form: "data" | "thin" | "checksum" | "verify";
  readonly idHigh: number;
  readonly idLow: number;
  readonly digest: Uint8Array | undefined;
  readonly session: number;
  startedAt: Instant;
}

/** What a target has asked for, until it is written: own blocks are read first for a checksum request. */
export interface ResyncAsk extends HeldRange {
  readonly kind: "resyncAsk";
  phase: "reading" | "asked" | "locking" | "writing";
  /** What is written: data, or zeroes for P_RS_DEALLOCATED. */
  data: Uint8Array | undefined;
  owned: boolean;
  readonly session: number;
  /** Of the resync under way: once written it clears bits and is acknowledged. */
  counts: boolean;
  startedAt: Instant;
}

/** A block under verification at the side that began it. */
export interface VerifyRead extends HeldRange {
  readonly kind: "verifyRead";
  readonly session: number;
  theirs: Uint8Array | undefined;
  startedAt: Instant;
}

/** What is done once bitmap pages are durable. */
export type PagesPurpose = "none" | "evicted" | "exchanged" | "resyncEnd" | "drained";

/** Before cleared bits go to the disk, what they speak of must be there. */
export interface PagesFlush {
  readonly kind: "pagesFlush";
  readonly purpose: PagesPurpose;
  readonly session: number;
  readonly writes: readonly MetadataWrite[];
  startedAt: Instant;
}
