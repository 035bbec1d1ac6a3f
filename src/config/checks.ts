/**
 * What only the whole of cluster.yaml shows: hosts, addresses, order and time constants against each
 * other. Source: reliability.md 2.3 (C1-C5), 9.3 item 14, chapter14.md 4.
 */

import type { GroupSpec } from "../resources/index.ts";
import { canonicalAddress } from "./addresses.ts";
import { diskProblems, diskUseProblems, idleDisks } from "./disk-checks.ts";
import { didYouMean, quote } from "./findings.ts";
import type { ClusterConfig } from "./model.ts";
import type { MapReader } from "./reader.ts";
import { isWithin } from "./resource-defaults.ts";
import { nearest } from "./suggest.ts";
import { timingViolations } from "./timing.ts";

/** Lines of list items, in the order of the configuration. */
export interface Places {
  readonly links: number[];
  readonly groups: { readonly line: number; readonly resources: readonly number[] }[];
}

/** Runs every cross-check; reports through `root`. */
export function crossCheck(
  config: ClusterConfig,
  root: MapReader,
  places: Places,
  self: string | undefined,
): void {
  checkTiming(config, root);
  checkHosts(config, root, self);
  checkLinks(config, root, places);
  checkPings(config, root);
  checkUniqueGroups(config, root, places);
  checkAddresses(config, root, places);
  checkDisks(config, root, places);
  for (const [index, group] of config.groups.entries()) {
    const lines = places.groups[index];
    if (lines !== undefined) checkOrder(group, root, lines);
  }
}

function checkTiming(config: ClusterConfig, root: MapReader): void {
  const timing = root.child("timing");
  for (const violation of timingViolations(config.timing)) {
    const code = violation.rule === "C1" ? "BTN-CONFIG-TIMING" : "BTN-CONFIG-LEASE";
    const line = timing.has(violation.key) ? timing.lineOf(violation.key) : root.lineOf("timing");
    const { message, consequence, fix } = violation;
    root.problem(code, line, { message: `${message} (${violation.rule})`, consequence, fix });
  }
  if (config.timing.deadpingMs <= 2 * config.timing.keepaliveMs) {
    root.problem("BTN-CONFIG-TIMING", timing.lineOf("deadping"), {
      message: "deadping does not exceed 2 x keepalive",
      consequence: "a ping node would be declared dead after one lost reply",
      fix: "raise deadping, or leave it out to have it follow deadtime",
    });
  }
}

function checkHosts(config: ClusterConfig, root: MapReader, self: string | undefined): void {
  const data = config.hosts.filter((host) => host.roles.includes("data"));
  if (data.length !== 2) {
    root.problem("BTN-CONFIG-HOSTS", root.lineOf("hosts"), {
      message: `${data.length} hosts have the role data`,
      consequence: "the write service moves between exactly two data hosts",
      fix: "give two hosts `roles: [data]`",
    });
  }
  const names = config.hosts.map((host) => host.name);
  if (self === undefined || names.includes(self.toLowerCase())) return;
  root.problem("BTN-CONFIG-SELF", root.lineOf("hosts"), {
    message: `This machine is called ${quote(self)}, which is not among the hosts${didYouMean(nearest(self.toLowerCase(), names))}`,
    consequence: "it can not take part in this cluster",
    fix: "add it under hosts, or correct the name that `uname -n` prints",
  });
}

function checkLinks(config: ClusterConfig, root: MapReader, places: Places): void {
  const data = config.hosts.filter((host) => host.roles.includes("data")).map((host) => host.name);
  const seen = new Set<string>();
  for (const [index, link] of config.links.entries()) {
    const line = places.links[index] ?? root.lineOf("links");
    const key = `${link.medium} ${link.device} ${link.port} ${"group" in link ? link.group : ""}`;
    if (seen.has(key)) {
      root.problem("BTN-CONFIG-DUPLICATE", line, {
        message: `links[${index + 1}] repeats an earlier link: ${key.trim()}`,
        consequence: "two links over one wire are one link",
        fix: "remove it, or name the other device",
      });
    }
    seen.add(key);
    if (!("peers" in link) || link.peers.some((peer) => peer.host === undefined)) continue;
    const missing = data.filter((host) => !link.peers.some((peer) => peer.host === host));
    if (missing.length === 0) continue;
    root.problem("BTN-CONFIG-MISSING", line, {
      message: `links[${index + 1}] has no address for ${missing.join(", ")}`,
      consequence: "that host would never hear a heartbeat on this link",
      fix: `add ${missing.map((host) => `${host}: ADDRESS`).join(", ")} under addresses`,
    });
  }
  if (new Set(config.links.map((link) => link.device)).size > 1) return;
  root.advise("BTN-CONFIG-LINKS", root.lineOf("links"), {
    message: "All links run over one device",
    consequence: "one broken cable looks like a dead host",
    fix: "add a link over a second network",
  });
}

function checkPings(config: ClusterConfig, root: MapReader): void {
  const seen = new Set(config.hosts.map((host) => host.name));
  for (const ping of config.pings) {
    if (seen.has(ping.name)) {
      root.problem("BTN-CONFIG-DUPLICATE", root.lineOf("ping"), {
        message: `Ping node ${quote(ping.name)} has the name of a host or of another ping node`,
        consequence: "the two could not be told apart",
        fix: "give each ping node and group a name of its own",
      });
    }
    seen.add(ping.name);
  }
  if (!config.failover.ipfail || config.pings.length > 0) return;
  root.advise("BTN-CONFIG-PING", root.lineOf("failover"), {
    message: "failover.ipfail is true, but there is no ping node",
    consequence: "ipfail does nothing: a host that lost its network goes on holding the service",
    fix: "add `ping: [{address: 192.168.0.1}]` with an address that both hosts reach",
  });
}

function checkUniqueGroups(config: ClusterConfig, root: MapReader, places: Places): void {
  const names = new Set<string>();
  const keys = new Set<string>();
  for (const [index, group] of config.groups.entries()) {
    const line = places.groups[index]?.line ?? root.lineOf("groups");
    const key = group.classicKey;
    if (names.has(group.name) || (key !== undefined && keys.has(key))) {
      root.problem("BTN-CONFIG-DUPLICATE", line, {
        message: names.has(group.name)
          ? `Group name ${quote(group.name)} is there twice`
          : `classic_key ${quote(key ?? "")} is there twice`,
        consequence: "commands and messages name groups; two of one name can not be told apart",
        fix: "rename one of the two",
      });
    }
    names.add(group.name);
    if (key !== undefined) keys.add(key);
  }
}

function checkAddresses(config: ClusterConfig, root: MapReader, places: Places): void {
  const owners = new Map<string, string>();
  for (const link of config.links) {
    for (const peer of "peers" in link ? link.peers : []) {
      owners.set(
        canonicalAddress(peer.address) ?? peer.address,
        `${peer.host ?? "a host"} on ${link.device}`,
      );
    }
  }
  for (const address of config.pings.flatMap((ping) => ping.addresses)) {
    owners.set(canonicalAddress(address) ?? address, `a ping node`);
  }
  for (const [index, group] of config.groups.entries()) {
    for (const [position, resource] of group.resources.entries()) {
      if (resource.kind !== "address") continue;
      const canonical = canonicalAddress(resource.address) ?? resource.address;
      const owner = owners.get(canonical);
      if (owner !== undefined) {
        const line = places.groups[index]?.resources[position] ?? root.lineOf("groups");
        root.problem("BTN-CONFIG-ADDRESS-CONFLICT", line, {
          message: `${resource.address} of group ${group.name} is already the address of ${owner}`,
          consequence: "the same address would answer in two places",
          fix: "use an address that belongs to this group alone",
        });
      }
      owners.set(canonical, `group ${group.name}`);
    }
  }
}

function checkDisks(config: ClusterConfig, root: MapReader, places: Places): void {
  const { disks, groups } = config;
  const section = root.child("disks");
  for (const problem of [...diskProblems(disks, config.timing), ...idleDisks(groups, disks)]) {
    const line = lineOfPath(section, [problem.disk, ...problem.key.split(".")]);
    if (problem.severity === "error") root.problem(problem.code, line, problem);
    else root.advise(problem.code, line, problem);
  }
  for (const problem of diskUseProblems(groups, disks)) {
    const group = places.groups[problem.group];
    const line = group?.resources[problem.resource] ?? group?.line ?? root.lineOf("groups");
    if (problem.severity === "error") root.problem(problem.code, line, problem);
    else root.advise(problem.code, line, problem);
  }
}

/** The line of the key, or of the nearest map above it that is there. */
function lineOfPath(reader: MapReader, path: readonly string[]): number {
  let at = reader;
  let line = reader.line;
  for (const key of path) {
    // Names of hosts are compared in lower case.
    const written = at.keys().find((each) => each.toLowerCase() === key.toLowerCase());
    if (written === undefined) return line;
    line = at.lineOf(written);
    const tree = at.tree(written);
    if (tree?.kind !== "map") return line;
    at = at.child(written);
  }
  return line;
}

function checkOrder(group: GroupSpec, root: MapReader, lines: Places["groups"][number]): void {
  const at = (position: number): number => lines.resources[position] ?? lines.line;
  const { resources } = group;
  for (const [position, resource] of resources.entries()) {
    const later = resources.slice(position + 1);
    if (resource.kind === "address" && later.some((other) => other.kind !== "address")) {
      const next = later.find((other) => other.kind !== "address");
      root.advise("BTN-CONFIG-ORDER", at(position), {
        message: `Address ${resource.address} starts before ${next?.name ?? "the rest"}`,
        consequence:
          "clients reach the host before the service behind the address is up, and are still let in while it stops",
        fix: "put addresses last in the group",
      });
    }
    if (resource.kind === "shared-disk") {
      const early = resources
        .slice(0, position)
        .find((other) => other.kind === "filesystem" && other.device === resource.device);
      if (early !== undefined)
        wrongOrder(
          root,
          at(position),
          resource.name,
          early.name,
          "the file system would be mounted without the claim",
        );
    }
    if (resource.kind !== "mysqld") continue;
    const early = later.find(
      (other) => other.kind === "filesystem" && isWithin(resource.dataDirectory, other.directory),
    );
    if (early !== undefined)
      wrongOrder(
        root,
        at(position),
        early.name,
        resource.name,
        "the server would start on an empty directory",
      );
    const mounts = resources.filter((other) => other.kind === "filesystem");
    if (
      mounts.length === 0 ||
      mounts.some((mount) => isWithin(resource.dataDirectory, mount.directory))
    )
      continue;
    root.advise("BTN-CONFIG-DATA-DIRECTORY", at(position), {
      message: `Data directory ${resource.dataDirectory} is not under ${mounts.map((mount) => mount.directory).join(" or ")}`,
      consequence: "the data stay on this host when the group moves",
      fix: `put it under ${mounts[0]?.directory ?? "the file system"}`,
    });
  }
}

function wrongOrder(
  root: MapReader,
  line: number,
  first: string,
  second: string,
  consequence: string,
): void {
  root.problem("BTN-CONFIG-ORDER", line, {
    message: `${quote(second)} is listed before ${quote(first)}, which it needs`,
    consequence,
    fix: `list ${quote(first)} first`,
  });
}
