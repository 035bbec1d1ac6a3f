/**
 * What a disk is when the file leaves things out: the kernel's values (drbd.md 9.3). cluster.yaml differs where
 * safety asks for it: `native` fencing, digests on (reliability 6, case 31), and waits that fit deadtime (C5).
 */
import type {
  AfterSplitBrainPolicy,
  DiskHost,
  DiskSpec,
  LocalDiskOptions,
  NetOptions,
  StartupOptions,
} from "../replication/index.ts";
import type { ClusterConfig } from "./model.ts";

/** Which defaults hold: those of cluster.yaml, or those of drbd.conf. */
export type DiskDialect = "native" | "classic";

/** The usual port of the first disk; the others follow by minor. */
export const firstDiskPort = 7788;

/** C5: the storage sees a loss before the takeover; a ping four times in deadtime (reliability 2.3). */
export const pingIntervalMsFor = (pingIntMs: number, deadtimeMs: number): number =>
  Math.min(pingIntMs, Math.max(1, Math.floor(deadtimeMs / 4)));

/** The defaults of `net`. */
export function defaultNet(dialect: DiskDialect, deadtimeMs: number): NetOptions {
  const native = dialect === "native";
  const half = Math.max(1, Math.floor(deadtimeMs / 2));
  return {
    protocol: "C",
    timeoutMs: native ? Math.min(6_000, half) : 6_000,
    connectIntervalMs: 10_000,
    pingIntervalMs: pingIntervalMsFor(10_000, deadtimeMs),
    pingTimeoutMs: native ? Math.min(500, half) : 500,
    socketCheckTimeoutMs: 0,
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
    authentication: undefined,
    dataIntegrity: native ? "crc32c" : undefined,
    verify: native ? "crc32c" : undefined,
    checksumResync: undefined,
    checksumResyncAfterCrashOnly: false,
    cork: true,
    compressBitmap: true,
    onCongestion: "block",
    congestionFillBytes: 0,
    congestionExtents: 1_237,
    flushWaitsForPeer: true,
  };
}

/** The defaults of `disk`. */
export function defaultLocalDisk(dialect: DiskDialect): LocalDiskOptions {
  return {
    sizeSectors: 0,
    onIoError: "detach",
    fencing: dialect === "native" ? "native" : "dont-care",
    flushes: true,
    metadataFlushes: true,
    diskTimeoutMs: 0,
    readBalancing: "prefer-local",
    resync: {
      rateKibPerSecond: 250,
      planAheadSteps: 20,
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
  };
}

/** The defaults of `startup`: wait for ever. */
export const defaultStartup: StartupOptions = {
  waitForConnectionMs: 0,
  degradedWaitForConnectionMs: 0,
  outdatedWaitForConnectionMs: 0,
  becomePrimaryOn: [],
};

/** The stable name of a disk for applications. */
export const diskDevice = (name: string): string => `/dev/baton/${name}`;

/** The disk that a device path means on any host: its stable name, a name of udev's, or /dev/drbdN; undefined: none. */
export function diskOfDevice(disks: readonly DiskSpec[], device: string): DiskSpec | undefined {
  const byName = /^\/dev\/(?:baton|drbd\/by-res)\/([^/]+)(?:\/0)?$/u.exec(device)?.[1];
  const minor = /^\/dev\/drbd([0-9]{1,7})$/u.exec(device)?.[1];
  return disks.find(
    (disk) =>
      disk.name === byName ||
      (minor !== undefined && disk.hosts.some((host) => host.minor === Number(minor))),
  );
}

/** A group's file system on a disk is mounted by the stable name: /dev/drbdN is there only where nothing else owns it. */
export function mapDiskDevices(
  groups: ClusterConfig["groups"],
  disks: readonly DiskSpec[],
): ClusterConfig["groups"] {
  if (disks.length === 0) return groups;
  return groups.map((group) => ({
    ...group,
    resources: group.resources.map((resource) => {
      const disk =
        resource.kind === "filesystem" ? diskOfDevice(disks, resource.device) : undefined;
      return disk === undefined || resource.kind !== "filesystem"
        ? resource
        : { ...resource, device: diskDevice(disk.name) };
    }),
  }));
}

const swapped: Readonly<Partial<Record<AfterSplitBrainPolicy, AfterSplitBrainPolicy>>> = {
  "discard-local": "discard-remote",
  "discard-remote": "discard-local",
};

/**
 * The disk with that host first. `discard-local` and `discard-remote` are as the first host sees them (drbd.md 2.4):
 * they change sides with the order. A host that has no side leaves the disk as it is.
 */
export function diskSeenBy(disk: DiskSpec, host: string): DiskSpec {
  const [first, second] = disk.hosts;
  if (second.host !== host) return disk;
  const hosts: readonly [DiskHost, DiskHost] = [second, first];
  const policy = disk.net.afterSplitBrain0Primaries;
  return {
    ...disk,
    hosts,
    net: { ...disk.net, afterSplitBrain0Primaries: swapped[policy] ?? policy },
  };
}
