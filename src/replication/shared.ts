/**
 * Between the two halves of the disk core. `control/` owns the state, the generations and the superblock; `data/` owns
 * requests, epochs, resync and the use of activity log and bitmap. They call each other directly, within one `step`.
 */
import type { Instant } from "../base/index.ts";
import type {
  ApplicationRequest,
  AttachedMetadata,
  DeviceState,
  DiskCounters,
  DiskEffect,
  MetadataWrite,
  ResyncView,
  SocketName,
} from "./contract.ts";
import type { DiskSpec, ResyncOptions } from "./options.ts";
import type { Packet } from "./wire/packets.ts";

/** What a connection agreed on; undefined fields of it do not exist before the handshake is done. */
export interface Session {
  readonly version: number;
  readonly features: number;
  /** We accepted the meta socket (drbd.md 1.2). */
  readonly resolveConflicts: boolean;
  readonly integrity: string | undefined;
  readonly verify: string | undefined;
  readonly checksumResync: string | undefined;
  readonly protocol: "A" | "B" | "C";
  /** Also Baton: what DESIGN 7.6 says holds. */
  readonly baton: boolean;
}

/** Functions that need an implementation of cryptography: handed in, pure, synchronous. */
export interface Digests {
  /** Natural length of the algorithm; crc32c as the kernel's shash: inverted, little-endian (drbd.md 2.4). */
  digest(algorithm: string, bytes: Uint8Array): Uint8Array;
  hmac(algorithm: string, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  supports(algorithm: string): boolean;
}

/** What the disk core is made with. */
export interface DiskCoreOptions {
  readonly spec: DiskSpec;
  /** Which of the two hosts this is. */
  readonly host: string;
  readonly digests: Digests;
  /** The shared secret of CRAM-HMAC; undefined: none is configured. */
  readonly secret: Uint8Array | undefined;
  /** 64 random bits for new generations, and challenge bytes. Seeded in the simulator. */
  readonly random64: () => bigint;
  /** Which handlers exist: a `runHandler` of another one is not asked for. */
}

/** What `control/` calls in `data/`. Every method may add effects to the list that is under way. */
export interface DataPath {
  /** After each change, in order, once what had to be durable is (I9). All after-effects of drbd.md that concern data. */
  stateChanged(before: DeviceState, after: DeviceState, now: Instant): void;
  /** The metadata of an attach, checked by `control/`. `stateChanged` to Diskless ends it. */
  attached(found: AttachedMetadata, now: Instant): void;
  /** `host.sectors` has changed: the device has this size now (bitmap bits beyond it do not count). */
  resized(before: number, after: number, now: Instant): void;
  /** Sets, or clears, every bit, and queues the pages. Called before the state change that needs it. */
  setAllBits(now: Instant): void;
  clearAllBits(now: Instant): void;
  /** Bits that are set, and those of them that could not be resynced in the resync under way. */
  dirtyBlocks(): number;
  failedBlocks(): number;
  /** Where the verify that is about to begin starts and stops, in sectors; undefined as in the command. */
  verifyRange(start: number | undefined, stop: number | undefined): void;
  /** New values of the rate controller: the peer's, or a command's. */
  resyncOptions(options: ResyncOptions): void;
  /** A handshake is complete; counters and sequence numbers begin anew (drbd.md 3.4). */
  sessionBegan(session: Session): void;
  request(id: number, request: ApplicationRequest, now: Instant): void;
  packet(socket: SocketName, packet: Packet, now: Instant): void;
  ioDone(io: number, ok: boolean, data: Uint8Array | undefined, now: Instant): void;
  metadataDone(token: number, ok: boolean, now: Instant): void;
  tick(now: Instant): void;
  wakeAt(): Instant | undefined;
  /** Nothing of the application is in flight and every sent write was barrier-acked: a demotion may go on. */
  drained(): boolean;
  counters(): DiskCounters;
  resyncView(now: Instant): ResyncView | null;
}

/** What `data/` tells `control/`, which turns it into state changes. */
export type DataNotice =
  | { readonly kind: "bitmapSent" }
  | { readonly kind: "bitmapReceived" }
  /** The target has nothing left to ask and every reply is written. */
  | { readonly kind: "resyncDone"; readonly failedBlocks: number }
  | { readonly kind: "verifyDone"; readonly outOfSyncBlocks: number }
  | {
      readonly kind: "localIoError";
      readonly operation: "read" | "write" | "flush" | "metadata";
      readonly sector: number;
      readonly error: string;
    }
  /** The peer broke the protocol: the connection is dropped. */
  | { readonly kind: "peerViolation"; readonly reason: string; readonly detail: string }
  /** A write or a barrier waits for longer than ko-count allows (drbd.md 3.7). */
  | { readonly kind: "peerTooSlow"; readonly waitedMs: number }
  | { readonly kind: "congested" }
  | { readonly kind: "congestionOver" }
  | { readonly kind: "drained" };

/** What `data/` may use of the rest of the core. */
export interface DataHost {
  readonly state: DeviceState;
  readonly session: Session | undefined;
  /** One of the two was a crashed Primary when this connection began (csums-after-crash-only). */
  readonly afterCrash: boolean;
  /** Sectors that applications see; 0 before it is known. */
  readonly sectors: number;
  emit(effect: DiskEffect): void;
  notice(notice: DataNotice): void;
  /**
   * Queues metadata writes behind those that are under way; writes queued meanwhile go out together (group commit).
   * `done` names what goes on then: it comes back as `metadataDone(token)`.
   */
  writeMetadata(writes: readonly MetadataWrite[]): number;
  /** Numbers for `io` of effects, unique in this core. */
  nextIo(): number;
}
