/**
 * One replicated disk r0 between two hosts, as text of drbd.conf for the kernel and as a `DiskSpec` for Baton: one
 * source for both, so that the two sides can not drift apart.
 */
import type {
  DigestAlgorithm,
  DiskHost,
  DiskSpec,
  FencingPolicy,
  Protocol,
} from "../../src/replication/options.ts";

/** What a scenario may change; the rest is as drbd.md 9.3, with shorter waits. */
export interface ResourceOptions {
  /** @default C */
  readonly protocol?: Protocol;
  /** CRAM-HMAC. */
  readonly authentication?: "md5" | "sha1" | "sha256" | "sha512";
  readonly integrity?: DigestAlgorithm;
  readonly verify?: DigestAlgorithm;
  readonly checksumResync?: DigestAlgorithm;
  /** @default true */
  readonly compressBitmap?: boolean;
  /** @default dont-care */
  readonly fencing?: Exclude<FencingPolicy, "native">;
  /** A command line that the kernel's side runs. */
  readonly fencePeer?: string;
  /** @default 32 MiB/s, fixed */
  readonly resyncKibPerSecond?: number;
  /** @default 30: far above what an emulated machine needs while the host is busy */
  readonly pingTimeoutTenths?: number;
}

/** One end, in the words of drbd.conf. */
export interface ResourceEnd {
  readonly host: string;
  readonly address: string;
  readonly backing: string;
}

export const resourceName = "r0";
export const port = 7788;
const connectSeconds = 1;
const pingSeconds = 3;
/** Else a new connection is watched for the ping timeout before it is used. */
const socketCheckTenths = 2;
const defaultPingTimeoutTenths = 30;
const timeoutTenths = 60;
const defaultRate = 32_768;

/** The file of the resource as the kernel's tools read it. */
export function drbdConf(
  ends: readonly [ResourceEnd, ResourceEnd],
  options: ResourceOptions,
  secret = "BatonSecret",
): string {
  const net = [
    `protocol ${options.protocol ?? "C"}`,
    `timeout ${timeoutTenths}`,
    `connect-int ${connectSeconds}`,
    `ping-int ${pingSeconds}`,
    `ping-timeout ${options.pingTimeoutTenths ?? defaultPingTimeoutTenths}`,
    `socket-check-timeout ${socketCheckTenths}`,
    `use-rle ${(options.compressBitmap ?? true) ? "yes" : "no"}`,
    ...optional("cram-hmac-alg", options.authentication),
    ...(options.authentication === undefined ? [] : [`shared-secret "${secret}"`]),
    ...optional("data-integrity-alg", options.integrity),
    ...optional("verify-alg", options.verify),
    ...optional("csums-alg", options.checksumResync),
  ];
  const disk = [
    `fencing ${options.fencing ?? "dont-care"}`,
    `resync-rate ${options.resyncKibPerSecond ?? defaultRate}`,
    "c-plan-ahead 0",
  ];
  const handlers =
    options.fencePeer === undefined ? "" : `handlers { fence-peer "${options.fencePeer}"; }`;
  return `resource ${resourceName} {
  device /dev/drbd0;
  meta-disk internal;
  net { ${net.join("; ")}; }
  disk { ${disk.join("; ")}; }
  ${handlers}
${ends.map((end) => `  on ${end.host} { disk ${end.backing}; address ${end.address}:${port}; }`).join("\n")}
}
`;
}

/** The same for Baton's disk process. */
export function diskSpec(
  ends: readonly [ResourceEnd, ResourceEnd],
  options: ResourceOptions,
  secretFile: string,
): DiskSpec {
  const host = (end: ResourceEnd): DiskHost => ({
    host: end.host,
    backing: end.backing,
    metadata: { kind: "internal" },
    address: end.address,
    port,
    minor: 0,
  });
  return {
    name: resourceName,
    volume: 0,
    hosts: [host(ends[0]), host(ends[1])],
    net: {
      protocol: options.protocol ?? "C",
      timeoutMs: timeoutTenths * 100,
      connectIntervalMs: connectSeconds * 1_000,
      pingIntervalMs: pingSeconds * 1_000,
      pingTimeoutMs: (options.pingTimeoutTenths ?? defaultPingTimeoutTenths) * 100,
      socketCheckTimeoutMs: socketCheckTenths * 100,
      maxBuffers: 2_048,
      maxEpochSize: 2_048,
      sendBufferBytes: 0,
      receiveBufferBytes: 0,
      koCount: 7,
      allowTwoPrimaries: false,
      alwaysAfterSplitBrain: false,
      afterSplitBrain0Primaries: "disconnect",
      afterSplitBrain1Primary: "disconnect",
      afterSplitBrain2Primaries: "disconnect",
      roleConflict: "disconnect",
      authentication:
        options.authentication === undefined
          ? undefined
          : { algorithm: options.authentication, secretFile },
      dataIntegrity: options.integrity,
      verify: options.verify,
      checksumResync: options.checksumResync,
      checksumResyncAfterCrashOnly: false,
      cork: true,
      compressBitmap: options.compressBitmap ?? true,
      onCongestion: "block",
      congestionFillBytes: 0,
      congestionExtents: 1_237,
      flushWaitsForPeer: true,
    },
    disk: {
      sizeSectors: 0,
      onIoError: "detach",
      fencing: options.fencing ?? "dont-care",
      flushes: true,
      metadataFlushes: true,
      diskTimeoutMs: 0,
      readBalancing: "prefer-local",
      resync: {
        rateKibPerSecond: options.resyncKibPerSecond ?? defaultRate,
        planAheadSteps: 0,
        delayTargetSteps: 10,
        fillTargetSectors: 100,
        maxRateKibPerSecond: 102_400,
        minRateKibPerSecond: 250,
        after: undefined,
      },
      activityLogExtents: 1_237,
      activityLogUpdates: true,
      discardZeroesIfAligned: true,
      resyncDiscardGranularityBytes: 0,
    },
    onNoDataAccessible: "io-error",
    startup: {
      waitForConnectionMs: 0,
      degradedWaitForConnectionMs: 0,
      outdatedWaitForConnectionMs: 0,
      becomePrimaryOn: [],
    },
    handlers: {},
  };
}

function optional(name: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${name} ${value}`];
}
