/** What the configuration means for each core of one host. Pure. */
import type { ClusterConfig } from "../config/index.ts";
import type { FailoverOptions } from "../failover/index.ts";
import type { MembershipOptions } from "../membership/index.ts";

/** The data hosts, in the order of the configuration. */
export function dataHosts(config: ClusterConfig): readonly string[] {
  return config.hosts.filter((host) => host.roles.includes("data")).map((host) => host.name);
}

/** What the membership core of `host` needs. */
export function membershipOptions(config: ClusterConfig, host: string): MembershipOptions {
  const { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs, deadpingMs } = config.timing;
  return {
    host,
    peers: dataHosts(config).filter((name) => name !== host),
    links: [...new Set(config.links.map((link) => link.device))],
    pings: config.pings.map((ping) => ping.name),
    keepaliveMs,
    warntimeMs,
    deadtimeMs,
    initdeadMs,
    deadpingMs,
  };
}

/** What there is to compare before a group is served (R5). */
function proofKind(group: ClusterConfig["groups"][number]): "none" | "claim" | "disk" {
  const kinds = group.resources.map((resource) => resource.kind);
  if (kinds.includes("disk")) return "disk";
  return kinds.includes("shared-disk") ? "claim" : "none";
}

/**
 * What the failover core of `host` needs.
 * @param configurationDigest hash of the safety-relevant configuration (R21)
 * @param session names this run of the agent
 */
export function failoverOptions(
  config: ClusterConfig,
  host: string,
  configurationDigest: string,
  session: string,
): FailoverOptions {
  const { autoFailback, ipfail, splitBrainPolicy, arbiter } = config.failover;
  const { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs } = config.timing;
  return {
    self: host,
    hosts: dataHosts(config),
    groups: config.groups.map((group) => ({
      name: group.name,
      prefers: group.prefers,
      classicKey: group.classicKey,
      hasProof: proofKind(group),
      onStartFailure: group.resources.some((resource) => resource.policy.onStartFailure === "stay")
        ? "stay"
        : "move",
    })),
    autoFailback,
    ipfail,
    pings: config.pings.map((ping) => ping.name),
    timing: { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs },
    splitBrainPolicy,
    configurationDigest,
    arbiter,
    session,
  };
}
