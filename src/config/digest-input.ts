/** R21: what both hosts must agree on, as one text; the caller digests it. */
import type { DiskSpec } from "../replication/index.ts";
import { diskSeenBy } from "./disk-defaults.ts";
import type { ClusterConfig } from "./model.ts";

/**
 * Canonical JSON of the safety-relevant configuration: cluster id, data hosts, groups with their
 * resources and policies, time constants that a peer relies on, failover policies, auth mode and
 * methods. Not in it: what may differ per host (link peers, device names of links, directories,
 * `HA_CURHOST`) and the keys themselves, whose fingerprints the caller adds.
 */
export function configurationDigestInput(config: ClusterConfig): string {
  const { keepaliveMs, deadtimeMs } = config.timing;
  return canonicalJson({
    version: 1,
    clusterId: config.clusterId,
    hosts: config.hosts.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
    timing: { keepaliveMs, deadtimeMs },
    failover: config.failover,
    auth: {
      mode: config.auth.mode,
      keys: config.auth.keys
        .map(({ index, method }) => ({ index, method }))
        .toSorted((left, right) => left.index - right.index),
    },
    disks: config.disks.map(agreedDisk),
    groups: config.groups.map((group) => ({
      ...group,
      resources: group.resources.map((resource) =>
        resource.kind === "classic-script"
          ? { ...resource, environment: { ...resource.environment, HA_CURHOST: undefined } }
          : resource,
      ),
    })),
  });
}

/**
 * A disk as both hosts must see it: addresses, devices, policies, digests. What only costs time (buffers, rates,
 * startup waits), handlers and the place of the secret may differ.
 */
function agreedDisk(disk: DiskSpec): unknown {
  const [first, second] = disk.hosts;
  const { name, volume, hosts, net, onNoDataAccessible } = diskSeenBy(
    disk,
    first.host < second.host ? first.host : second.host,
  );
  return {
    name,
    volume,
    hosts,
    protocol: net.protocol,
    allowTwoPrimaries: net.allowTwoPrimaries,
    splitBrain: [
      net.afterSplitBrain0Primaries,
      net.afterSplitBrain1Primary,
      net.afterSplitBrain2Primaries,
      net.alwaysAfterSplitBrain,
      net.roleConflict,
    ],
    authentication: net.authentication?.algorithm,
    digests: [net.dataIntegrity, net.verify, net.checksumResync].map((each) => each ?? "none"),
    flushWaitsForPeer: net.flushWaitsForPeer,
    fencing: disk.disk.fencing,
    onNoDataAccessible,
  };
}

/** JSON with sorted keys and without undefined members: equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter((entry) => entry[1] !== undefined);
  entries.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}
