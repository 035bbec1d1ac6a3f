/**
 * Everything that the control part remembers, as one plain value: nothing is hidden in a closure, so that a snapshot is
 * a copy (DESIGN 7.1).
 */
import { type Instant, instant } from "../../base/index.ts";
import type {
  AttachedMetadata,
  DeviceState,
  DiskCommand,
  DiskStateName,
  Generations,
} from "../contract.ts";
import type { MetadataLayout, Superblock } from "../metadata/index.ts";
import type { HandlerName } from "../options.ts";
import type { Session } from "../shared.ts";
import { initialState } from "./transitions.ts";

/** The backing disk, while attached. */
export interface LocalDisk {
  readonly layout: MetadataLayout;
  /** What the superblock is, or will be once the write under way is done. Its flags follow the state. */
  superblock: Superblock;
  readonly discards: boolean;
}

/**
 * The connection.
 *
 *   none         StandAlone
 *   pausing      Unconnected, until `retryAt`
 *   dialling     WFConnection, the shell establishes
 *   features     both sockets are up; waits for P_CONNECTION_FEATURES
 *   baton        waits for P_BATON
 *   challenge    waits for P_AUTH_CHALLENGE
 *   response     waits for P_AUTH_RESPONSE
 *   parameters   WFReportParams; the five packets are sent
 *   up           Connected and above
 */
export type Link =
  | { readonly phase: "none" }
  | { readonly phase: "pausing"; readonly retryAt: Instant }
  | { readonly phase: "dialling" }
  /** Refused for good in the handshake; the sockets stay until the peer has come to that by itself. */
  | { readonly phase: "leaving"; readonly until: Instant }
  | {
      readonly phase: "features" | "baton" | "challenge" | "response";
      readonly deadline: Instant;
      readonly acceptedMeta: boolean;
      readonly version: number;
      readonly features: number;
      readonly challenge: Uint8Array;
      /** Once it answered: what it must answer to our challenge is checked when that comes. */
      readonly challenged: boolean;
    }
  | { readonly phase: "parameters"; readonly session: Session; readonly got: HandshakeProgress }
  | { readonly phase: "up"; readonly session: Session };

/** Which of the peer's packets of the handshake have arrived. */
export interface HandshakeProgress {
  readonly protocol: boolean;
  readonly parameters: boolean;
  readonly sizes: boolean;
  readonly generations: boolean;
  readonly dryRun: boolean;
}

/** What the peer told of itself on this connection. */
export interface PeerKnowledge {
  generations: Generations | null;
  dirtyBits: number;
  flags: number;
  diskSectors: number;
  userSectors: number;
  currentSectors: number;
}

/** A cluster-wide change that waits for the peer's answer (drbd.md 4.8). */
export interface PendingChange {
  readonly scope: "volume" | "connection";
  readonly patch: Partial<DeviceState>;
  readonly mask: number;
  readonly value: number;
}

/** A command under way, and how far it is. */
export interface Operation {
  readonly id: string;
  readonly command: DiskCommand;
  readonly since: Instant;
  phase: string;
  tries: number;
  /** What a promotion asks for besides the role. */
  patch: Partial<DeviceState>;
  assumedOutdated: boolean;
  /** The ping that is waited for. */
  mark: number;
  /** The result of the cluster-wide change, once there is one. */
  result: number | null;
  until: Instant | null;
}

/** What is asked of the agent about the peer (drbd.md 8.2). */
export type Fence =
  | { readonly phase: "idle" }
  /** Not asked yet: the connection is expected back at once. */
  | { readonly phase: "delayed"; readonly at: Instant; readonly reason: string }
  | {
      readonly phase: "asked";
      readonly attempt: number;
      readonly since: Instant;
      readonly reason: string;
    }
  | { readonly phase: "failed"; readonly attempt: number; readonly retryAt: Instant | null }
  | { readonly phase: "proven"; readonly attempt: number };

/** Something that goes on once the peer has answered a ping, a flush is done or a handler has ended. */
export interface Awaited {
  /** The ping that must be answered: its number; 0: none. */
  ping: number;
  /** The local flush that must be done; 0: none. */
  flush: number;
  handler: HandlerName | null;
}
export type SyncStep = "startSource" | "startTarget" | "finishSource" | "finishTarget" | "verify";

export interface Memory {
  state: DeviceState;
  disk: LocalDisk | null;
  /** Sectors of the device. */
  sectors: number;
  crashedPrimary: boolean;
  afterCrash: boolean;
  /** A new generation is due before I/O goes on (NEW_CUR_UUID). */
  newCurrentDue: boolean;
  /** The data that applications last saw (ed_uuid); 0: none. */
  exposed: bigint;
  /** The disk state that waits for the handshake of an attach. */
  postponed: DiskStateName;
  openers: number;
  link: Link;
  peer: PeerKnowledge;
  /** The metadata write after which all bits are on the disk; 0: none is under way. */
  fullSyncToken: number;
  /** P_UUIDS counted this many of our bits. */
  announcedBits: number;
  /** What was read for an attach, until the attach can be made. */
  found: AttachedMetadata | null;
  /** P_SYNC_UUID that came before we were ready for it. */
  earlySyncUuid: bigint | null;
  /** Both were Inconsistent and the peer was promoted by force. */
  considerResync: boolean;
  discardMyData: boolean;
  dryRun: boolean;
  change: PendingChange | null;
  operation: Operation | null;
  waiting: { id: string; command: DiskCommand }[];
  fence: Fence;
  fenceAttempts: number;
  step: { name: SyncStep; failedBlocks: number; awaited: Awaited } | null;
  lastReceived: Instant;
  pingSentAt: Instant | null;
  pings: number;
  pingAcks: number;
  clusterId: string;
  epoch: number;
  /** A higher epoch that a peer has told; ours is not current until the agent says so. */
  higherEpoch: number;
  reason: string;
  detail: string;
  frozenSince: Instant | null;
  shownSectors: number;
  shownWritable: boolean;
}

export const nothingKnown = (): PeerKnowledge => ({
  generations: null,
  dirtyBits: 0,
  flags: 0,
  diskSectors: 0,
  userSectors: 0,
  currentSectors: 0,
});

/** A disk that was configured and nothing else. */
export const freshMemory = (): Memory => ({
  state: initialState,
  disk: null,
  sectors: 0,
  crashedPrimary: false,
  afterCrash: false,
  newCurrentDue: false,
  exposed: 0n,
  postponed: "Diskless",
  openers: 0,
  link: { phase: "none" },
  peer: nothingKnown(),
  fullSyncToken: 0,
  announcedBits: 0,
  found: null,
  earlySyncUuid: null,
  considerResync: false,
  discardMyData: false,
  dryRun: false,
  change: null,
  operation: null,
  waiting: [],
  fence: { phase: "idle" },
  fenceAttempts: 0,
  step: null,
  lastReceived: instant(0),
  pingSentAt: null,
  pings: 0,
  pingAcks: 0,
  clusterId: "",
  epoch: 0,
  higherEpoch: 0,
  reason: "BTN-DISK-DOWN",
  detail: "nothing was asked of it yet",
  frozenSince: null,
  shownSectors: 0,
  shownWritable: false,
});
