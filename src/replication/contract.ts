/**
 * The form of the disk core (DESIGN 7.1): what it is told and what it asks for. One core is one replicated disk on one
 * host. Shapes only; rules are in `disk.ts` and the folders of this room.
 *
 *   disk.ts      the core: `step(now, event)` -> effects; made of
 *   control/     states, cluster-wide changes, handshake, generations, fencing, promotion
 *   data/        requests, epochs, acks, activity log in use, bitmap exchange, resync, verify
 *   metadata/    what is on the disk: layout, superblock, activity log ring, bitmap
 *   wire/        what is on the network: headers, packets, digests
 *
 * Bytes given with an event are only valid during the `step`: a core that keeps them copies them, with
 * `new Uint8Array(bytes)`: they may be a Buffer, whose slice() is no copy. Bytes in an effect belong to the shell until it has performed the effect.
 */
import type { Instant } from "../base/index.ts";
import type { HandlerName } from "./options.ts";
import type { Packet } from "./wire/packets.ts";

/** Values are those of the wire and of /proc/drbd (drbd.md 4.1). */
export const roles = ["Unknown", "Primary", "Secondary"] as const;
export type DiskRole = (typeof roles)[number];

/** In the order of their numbers, 0 to 8. */
export const diskStates = [
  "Diskless",
  "Attaching",
  "Failed",
  "Negotiating",
  "Inconsistent",
  "Outdated",
  "DUnknown",
  "Consistent",
  "UpToDate",
] as const;
export type DiskStateName = (typeof diskStates)[number];

/** In the order of their numbers, 0 to 23. */
export const connectionStates = [
  "StandAlone",
  "Disconnecting",
  "Unconnected",
  "Timeout",
  "BrokenPipe",
  "NetworkFailure",
  "ProtocolError",
  "TearDown",
  "WFConnection",
  "WFReportParams",
  "Connected",
  "StartingSyncS",
  "StartingSyncT",
  "WFBitMapS",
  "WFBitMapT",
  "WFSyncUUID",
  "SyncSource",
  "SyncTarget",
  "VerifyS",
  "VerifyT",
  "PausedSyncS",
  "PausedSyncT",
  "Ahead",
  "Behind",
] as const;
export type ConnectionStateName = (typeof connectionStates)[number];

/** The numbers, for comparisons such as "conn >= Connected". */
export const diskRank = (state: DiskStateName): number => diskStates.indexOf(state);
export const connectionRank = (state: ConnectionStateName): number =>
  connectionStates.indexOf(state);

/** All that drbd.md 4.1-4.4 calls the state of one volume. Replaced as a whole, never changed in place. */
export interface DeviceState {
  readonly role: DiskRole;
  readonly peer: DiskRole;
  readonly conn: ConnectionStateName;
  readonly disk: DiskStateName;
  readonly pdsk: DiskStateName;
  /** I/O is suspended: by an administrator, for want of data, until the peer is fenced. */
  readonly suspUser: boolean;
  readonly suspNoData: boolean;
  readonly suspFencing: boolean;
  /** Resync is paused: by a dependency, by the peer, by our administrator. */
  readonly afterPaused: boolean;
  readonly peerPaused: boolean;
  readonly userPaused: boolean;
}

/** Data generations (drbd.md 5.1). */
export interface Generations {
  readonly current: bigint;
  readonly bitmap: bigint;
  readonly history0: bigint;
  readonly history1: bigint;
}

/** An open question of the application: the block device asks, `answer` replies. Sectors of 512 bytes. */
export type ApplicationRequest =
  | { readonly op: "read"; readonly sector: number; readonly bytes: number }
  | {
      readonly op: "write";
      readonly sector: number;
      readonly data: Uint8Array;
      readonly fua: boolean;
    }
  | { readonly op: "discard"; readonly sector: number; readonly sectors: number }
  | {
      readonly op: "zero";
      readonly sector: number;
      readonly sectors: number;
      readonly mayUnmap: boolean;
    }
  | { readonly op: "flush" };

/** What an administrator or the agent asks. Each ends with one `commandDone`. */
export type DiskCommand =
  | { readonly verb: "attach" }
  | { readonly verb: "detach"; readonly force: boolean }
  | { readonly verb: "connect"; readonly discardMyData: boolean; readonly dryRun?: boolean }
  | { readonly verb: "disconnect"; readonly force: boolean }
  | { readonly verb: "primary"; readonly force: boolean }
  | { readonly verb: "secondary" }
  | { readonly verb: "outdate" }
  | { readonly verb: "invalidate" }
  | { readonly verb: "invalidate-remote" }
  /** Sectors; undefined: from where it stopped, or the whole. */
  | {
      readonly verb: "verify";
      readonly start: number | undefined;
      readonly stop: number | undefined;
    }
  | { readonly verb: "pause-sync" | "resume-sync" | "suspend-io" | "resume-io" }
  | { readonly verb: "new-current-uuid"; readonly clearBitmap: boolean }
  | { readonly verb: "set-resync-rate"; readonly kibPerSecond: number }
  /** The successor of this process, or `down`: release everything in order. */
  | { readonly verb: "down" };

/** Exit codes of the fence-peer handler (drbd.md 8.2); the agent answers with the same numbers. */
export type FenceResult = 3 | 4 | 5 | 6 | 7 | "broken";

export type DiskEvent =
  | { readonly kind: "tick" }
  /** What the metadata device held, after `attach` was asked and `readMetadata` performed. */
  | { readonly kind: "attached"; readonly found: AttachedMetadata }
  | { readonly kind: "attachFailed"; readonly reason: string; readonly detail: string }
  | { readonly kind: "request"; readonly id: number; readonly request: ApplicationRequest }
  /** How often the block device is open (mounted, or opened by a program). */
  | { readonly kind: "openers"; readonly count: number }
  /** A local read, write, discard, zero-out or flush is done. `data` only for reads. */
  | { readonly kind: "ioDone"; readonly io: number; readonly ok: true; readonly data?: Uint8Array }
  | { readonly kind: "ioDone"; readonly io: number; readonly ok: false; readonly error: string }
  | {
      readonly kind: "metadataDone";
      readonly token: number;
      readonly ok: boolean;
      readonly error?: string;
    }
  /** Both sockets are up. `acceptedMeta`: we accepted the meta socket, so we resolve conflicts (drbd.md 1.2). */
  | { readonly kind: "socketsUp"; readonly acceptedMeta: boolean }
  | { readonly kind: "packet"; readonly socket: SocketName; readonly packet: Packet }
  /** Any failure of a socket; bytes that are no packet have reason BTN-DISK-WIRE-.... */
  | { readonly kind: "socketsLost"; readonly reason: string; readonly detail: string }
  /** Everything that was sent is in the system's buffers again, after `congested`. */
  | { readonly kind: "sent"; readonly queuedBytes: number }
  | { readonly kind: "handlerDone"; readonly handler: HandlerName; readonly status: number }
  | {
      readonly kind: "fenceDone";
      readonly attempt: number;
      readonly result: FenceResult;
      readonly detail: string;
    }
  /** What the agent's configuration and decisions say of this moment; undefined epoch: no agent has spoken yet. */
  | { readonly kind: "epoch"; readonly clusterId: string; readonly epoch: number }
  | { readonly kind: "resyncAfter"; readonly paused: boolean }
  | { readonly kind: "command"; readonly id: string; readonly command: DiskCommand };

export type SocketName = "data" | "meta";

/** What a shell read at attach: after `replayActivityLog`, so that the bits of an unclean log are in the bitmap. */
export interface AttachedMetadata {
  /** The 4 KiB of the superblock, as they are now on disk. */
  readonly superblock: Uint8Array;
  /** The whole ring. */
  readonly activityLog: Uint8Array;
  /** The bitmap area; shorter than the device needs: refused. The core keeps and changes this very array. */
  readonly bitmap: Uint8Array;
  /** Sectors of the backing device and of the metadata device (the same if internal). */
  readonly backingSectors: number;
  readonly metadataSectors: number;
  readonly discards: boolean;
}

export type DiskEffect =
  /** Open and read the metadata; answered by `attached` or `attachFailed`. */
  | { readonly kind: "readMetadata" }
  /** Close the backing device; nothing of it is used any more. */
  | { readonly kind: "closeBacking" }
  | { readonly kind: "answer"; readonly id: number; readonly ok: true; readonly data?: Uint8Array }
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly ok: false;
      readonly errno: "EIO" | "EROFS" | "ENOSPC" | "EINVAL";
    }
  /** The device as applications see it: absent (0), or this large; `writable` only as Primary. */
  | { readonly kind: "device"; readonly sectors: number; readonly writable: boolean }
  | {
      readonly kind: "localRead";
      readonly io: number;
      readonly sector: number;
      readonly bytes: number;
    }
  | {
      readonly kind: "localWrite";
      readonly io: number;
      readonly sector: number;
      readonly data: Uint8Array;
      readonly fua: boolean;
    }
  | {
      readonly kind: "localDiscard";
      readonly io: number;
      readonly sector: number;
      readonly sectors: number;
    }
  | {
      readonly kind: "localZero";
      readonly io: number;
      readonly sector: number;
      readonly sectors: number;
      readonly mayUnmap: boolean;
    }
  | { readonly kind: "localFlush"; readonly io: number }
  /** Writes into the metadata device, in this order, then a flush. One at a time is in flight. Offsets in bytes of that device. */
  | { readonly kind: "metadata"; readonly token: number; readonly writes: readonly MetadataWrite[] }
  /** Dial and listen until both sockets are up (drbd.md 1.2); answered by `socketsUp`. Goes on until `hangUp`. */
  | { readonly kind: "establish" }
  | { readonly kind: "hangUp" }
  /** Queued in order on its socket. Payload bytes follow the packet's own. */
  | { readonly kind: "send"; readonly socket: SocketName; readonly packet: Packet }
  /** From here on both directions of both sockets have 16-byte headers and this much is agreed (drbd.md 1.3). */
  | {
      readonly kind: "agreed";
      readonly version: number;
      readonly features: number;
      readonly integrity: string | undefined;
    }
  | { readonly kind: "runHandler"; readonly handler: HandlerName }
  /** Outdate or fence the peer: the handler of that name, or the agent (DESIGN 7.4). Answered by `fenceDone`. */
  | { readonly kind: "fencePeer"; readonly attempt: number; readonly reason: string }
  | {
      readonly kind: "commandDone";
      readonly id: string;
      readonly outcome: "done" | "refused" | "failed";
      readonly reason: string;
      readonly code: number;
      readonly detail: string;
    }
  | { readonly kind: "progress"; readonly id: string; readonly line: string }
  /** For the journal and the status: what was done, or not done, and why. */
  | { readonly kind: "decision"; readonly reason: string; readonly detail: string }
  /** The view has changed: publish it (level, not edge). */
  | { readonly kind: "changed" }
  /** After `down`: the process may end. */
  | { readonly kind: "readyToStop" };

export interface MetadataWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What `baton disk status` and /proc/drbd show. */
export interface DiskView {
  readonly name: string;
  readonly minor: number;
  readonly state: DeviceState;
  readonly protocol: "A" | "B" | "C";
  readonly generations: Generations | null;
  /** Sectors that applications see. */
  readonly sectors: number;
  readonly outOfSyncBlocks: number;
  /** The last decision of weight, as a reason code, and its detail. */
  readonly reason: string;
  readonly detail: string;
  readonly frozenSince: Instant | null;
  readonly resync: ResyncView | null;
  readonly counters: DiskCounters;
}

export interface ResyncView {
  readonly kind: "resync" | "verify";
  readonly totalBlocks: number;
  readonly leftBlocks: number;
  readonly failedBlocks: number;
  readonly startedAt: Instant;
  /** KiB/s: over about the last 18 s, and since the start. */
  readonly recentKibPerSecond: number;
  readonly overallKibPerSecond: number;
  readonly wantKibPerSecond: number | null;
  readonly stalled: boolean;
}

/** As in /proc/drbd (drbd.md 9.4): sizes in sectors, the rest counts. */
export interface DiskCounters {
  readonly networkSent: number;
  readonly networkReceived: number;
  readonly diskWritten: number;
  readonly diskRead: number;
  readonly activityLogWrites: number;
  readonly bitmapWrites: number;
  readonly localPending: number;
  readonly peerPending: number;
  readonly unacknowledged: number;
  readonly applicationPending: number;
  readonly epochs: number;
}
