/** The configuration of the simulated disk, by what a schedule says; and digests that cost nothing. */
import type { DiskCoreOptions, DiskSpec } from "../../replication/index.ts";
import type { DiskSchedule } from "./schedule.ts";

export const hostNames = ["dbm157", "dbm158"] as const;
export const DISK = "r0";

/** 16 MiB, or 320 MiB: more extents of 4 MiB than the smallest activity log holds. */
export const deviceSectors = (schedule: DiskSchedule): number =>
  schedule.large ? 655_360 + 64 : 32_768 + 88;

/** Defaults of the room, with times of a host pair that wants its answers soon. */
export function specOf(schedule: DiskSchedule): DiskSpec {
  const side = (host: string, last: number) => ({
    host,
    backing: "/dev/sim",
    metadata: { kind: "internal" } as const,
    address: `192.0.2.${last}`,
    port: 7788,
    minor: 0,
  });
  return {
    name: DISK,
    volume: 0,
    hosts: [side(hostNames[0], 157), side(hostNames[1], 158)],
    onNoDataAccessible: "io-error",
    handlers: {},
    startup: {
      waitForConnectionMs: 0,
      degradedWaitForConnectionMs: 0,
      outdatedWaitForConnectionMs: 0,
      becomePrimaryOn: [],
    },
    net: {
      protocol: schedule.protocol,
      timeoutMs: 6_000,
      connectIntervalMs: 10_000,
      pingIntervalMs: 300,
      pingTimeoutMs: 500,
      socketCheckTimeoutMs: 0,
      maxBuffers: 2_048,
      maxEpochSize: schedule.maxEpochSize,
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
      dataIntegrity: schedule.integrity ? "crc32c" : undefined,
      verify: "crc32c",
      checksumResync: schedule.checksums ? "crc32c" : undefined,
      checksumResyncAfterCrashOnly: false,
      cork: true,
      compressBitmap: schedule.seed % 2 === 0,
      onCongestion: "block",
      congestionFillBytes: 0,
      congestionExtents: 0,
      flushWaitsForPeer: true,
    },
    disk: {
      sizeSectors: 0,
      onIoError: "detach",
      fencing: schedule.fencing,
      flushes: true,
      metadataFlushes: true,
      diskTimeoutMs: 0,
      readBalancing: "prefer-local",
      resync: {
        rateKibPerSecond: 30_720,
        planAheadSteps: schedule.seed % 3 === 0 ? 20 : 0,
        delayTargetSteps: 10,
        fillTargetSectors: 100,
        maxRateKibPerSecond: 1_024_000,
        minRateKibPerSecond: schedule.large || schedule.seed % 4 !== 0 ? 0 : 250,
        after: undefined,
      },
      activityLogExtents: 67,
      activityLogUpdates: true,
      discardZeroesIfAligned: true,
      resyncDiscardGranularityBytes: schedule.seed % 5 === 0 ? 65_536 : 0,
    },
  };
}

/** One word of each sector: enough where every sector is uniform. */
export const simDigests: DiskCoreOptions["digests"] = {
  digest(_algorithm, bytes) {
    let sum = 2_166_136_261;
    for (let at = 0; at < bytes.length; at += 512) {
      for (let byte = at; byte < at + 4; byte++) {
        sum = Math.imul(sum ^ (bytes[byte] ?? 0), 16_777_619) >>> 0;
      }
    }
    return Uint8Array.of(sum >>> 24, sum >>> 16, sum >>> 8, sum);
  },
  hmac: () => new Uint8Array(20),
  supports: () => true,
};
