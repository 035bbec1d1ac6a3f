/**
 * A replicated disk as configuration states it: every default of drbd.md 9.3 filled in, durations in milliseconds,
 * sizes in bytes unless the name says otherwise. `config` produces these values; drbd.conf and cluster.yaml end here.
 */

/** When a write is acknowledged: A sent, B received, C written on both sides (drbd.md 3.1). */
export type Protocol = "A" | "B" | "C";

/**
 * What happens when a Primary loses its peer (drbd.md 8.1; DESIGN 7.8). `native` is Baton's own and the default of
 * cluster.yaml: I/O freezes until the peer is outdated, or membership's verdict of it is `dead`.
 */
export type FencingPolicy = "native" | "dont-care" | "resource-only" | "resource-and-stonith";

/** Names as in drbd.conf; values on the wire in drbd.md 2.4. */
export type AfterSplitBrainPolicy =
  | "disconnect"
  | "discard-younger-primary"
  | "discard-older-primary"
  | "discard-zero-changes"
  | "discard-least-changes"
  | "discard-local"
  | "discard-remote"
  | "consensus"
  | "discard-secondary"
  | "call-pri-lost-after-sb"
  | "violently-as0p";

/** Algorithms that both kernels and Baton have; the names are the kernel's. */
export type DigestAlgorithm = "crc32c" | "md5" | "sha1" | "sha256" | "sha512";

/** Where the metadata of one host's side is (drbd.md 7.1). */
export type MetadataPlace =
  | { readonly kind: "internal" }
  | { readonly kind: "external"; readonly device: string }
  | { readonly kind: "indexed"; readonly device: string; readonly index: number };

/** One host's side of a disk. */
export interface DiskHost {
  /** As in `uname -n`, lower case. */
  readonly host: string;
  /** The backing device or file. */
  readonly backing: string;
  readonly metadata: MetadataPlace;
  readonly address: string;
  readonly port: number;
  /** The N of /dev/drbdN and of /proc/drbd. */
  readonly minor: number;
}

export interface DiskSpec {
  /** The DRBD resource name, such as `r0`. */
  readonly name: string;
  /** Volume number on the wire. One volume for each disk. */
  readonly volume: number;
  /** Exactly two. */
  readonly hosts: readonly [DiskHost, DiskHost];
  readonly net: NetOptions;
  readonly disk: LocalDiskOptions;
  readonly onNoDataAccessible: "io-error" | "suspend-io";
  readonly startup: StartupOptions;
  /** Shell command lines by handler name (drbd.md 8.4); absent: Baton's own way, or nothing. */
  readonly handlers: Readonly<Partial<Record<HandlerName, string>>>;
}

/** drbd.md 8.4. */
export const handlerNames = [
  "pri-on-incon-degr",
  "pri-lost-after-sb",
  "pri-lost",
  "fence-peer",
  "unfence-peer",
  "local-io-error",
  "initial-split-brain",
  "split-brain",
  "before-resync-target",
  "before-resync-source",
  "after-resync-target",
  "out-of-sync",
] as const;
export type HandlerName = (typeof handlerNames)[number];

export interface NetOptions {
  readonly protocol: Protocol;
  readonly timeoutMs: number;
  readonly connectIntervalMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** 0: as `pingTimeoutMs`. */
  readonly socketCheckTimeoutMs: number;
  /** Pages of 4 KiB; bounds requests in flight. */
  readonly maxBuffers: number;
  /** Writes in one epoch. */
  readonly maxEpochSize: number;
  /** 0: the system's choice. */
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** 0: off. */
  readonly koCount: number;
  readonly allowTwoPrimaries: boolean;
  readonly alwaysAfterSplitBrain: boolean;
  readonly afterSplitBrain0Primaries: AfterSplitBrainPolicy;
  readonly afterSplitBrain1Primary: AfterSplitBrainPolicy;
  readonly afterSplitBrain2Primaries: AfterSplitBrainPolicy;
  readonly roleConflict: "disconnect" | "call-pri-lost" | "violently";
  /** CRAM-HMAC: algorithm and where the shared secret is; undefined: none. The secret itself is read by the disk process. */
  readonly authentication:
    | { readonly algorithm: Exclude<DigestAlgorithm, "crc32c">; readonly secretFile: string }
    | undefined;
  readonly dataIntegrity: DigestAlgorithm | undefined;
  readonly verify: DigestAlgorithm | undefined;
  readonly checksumResync: DigestAlgorithm | undefined;
  readonly checksumResyncAfterCrashOnly: boolean;
  readonly cork: boolean;
  /** Run-length coded bitmaps. */
  readonly compressBitmap: boolean;
  readonly onCongestion: "block" | "pull-ahead" | "disconnect";
  /** Bytes in flight; 0: not considered. */
  readonly congestionFillBytes: number;
  readonly congestionExtents: number;
  /**
   * Whether an application's flush waits until the peer has flushed too. True keeps R1 also when both hosts lose
   * power; false is what the kernel does (drbd.md 3.2).
   */
  readonly flushWaitsForPeer: boolean;
}

export interface LocalDiskOptions {
  /** Sectors; 0: as large as both sides allow. */
  readonly sizeSectors: number;
  readonly onIoError: "pass_on" | "call-local-io-error" | "detach";
  readonly fencing: FencingPolicy;
  /** False only behind a battery-backed cache. */
  readonly flushes: boolean;
  readonly metadataFlushes: boolean;
  /** 0: off. */
  readonly diskTimeoutMs: number;
  readonly readBalancing: "prefer-local" | "prefer-remote" | "round-robin";
  readonly resync: ResyncOptions;
  readonly activityLogExtents: number;
  readonly activityLogUpdates: boolean;
  readonly discardZeroesIfAligned: boolean;
  /** 0: no thin resync. */
  readonly resyncDiscardGranularityBytes: number;
}

/** The rate controller of drbd.md 6.5. Sent to the peer at each connect: the last sender's values hold on both. */
export interface ResyncOptions {
  readonly rateKibPerSecond: number;
  /** Steps of 0.1 s; 0: a fixed rate. */
  readonly planAheadSteps: number;
  /** Steps of 0.1 s. */
  readonly delayTargetSteps: number;
  readonly fillTargetSectors: number;
  readonly maxRateKibPerSecond: number;
  readonly minRateKibPerSecond: number;
  /** Name of the disk after which this one is resynced; undefined: none. */
  readonly after: string | undefined;
}

/** How long a start waits for the peer; 0: for ever. */
export interface StartupOptions {
  readonly waitForConnectionMs: number;
  readonly degradedWaitForConnectionMs: number;
  readonly outdatedWaitForConnectionMs: number;
  readonly becomePrimaryOn: readonly string[];
}
