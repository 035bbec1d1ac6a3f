/**
 * What only the whole shows: disks against each other, against the time constants and against the groups. Sources:
 * reliability.md 2.3 (C5), drbd.md 8.1, 9.2 (uniqueness). Each finding names the disk and the key; whoever read the
 * file knows their lines.
 */
import type { DiskHost, DiskSpec } from "../replication/index.ts";
import type { GroupSpec } from "../resources/index.ts";
import { canonicalAddress } from "./addresses.ts";
import { diskDevice, diskOfDevice } from "./disk-defaults.ts";
import { formatDuration } from "./durations.ts";
import { didYouMean, type FindingText, quote } from "./findings.ts";
import type { Timing } from "./model.ts";
import type { ConfigReason } from "./reasons.ts";
import { nearest } from "./suggest.ts";

/** One thing found; `key` is a path of cluster.yaml below the disk, such as `network.timeout`. */
export interface DiskProblem extends FindingText {
  readonly severity: "error" | "advice";
  readonly code: ConfigReason;
  readonly disk: string;
  readonly key: string;
}

/** Everything that does not depend on groups. */
export function diskProblems(disks: readonly DiskSpec[], timing: Timing): readonly DiskProblem[] {
  return [
    ...disks.flatMap((disk) => [
      ...timingProblems(disk, timing),
      ...policyProblems(disk),
      ...afterProblems(disk, disks),
    ]),
    ...clashes(disks),
  ];
}

function timingProblems(disk: DiskSpec, timing: Timing): readonly DiskProblem[] {
  const { timeoutMs, pingIntervalMs, pingTimeoutMs } = disk.net;
  const { deadtimeMs } = timing;
  const dead = formatDuration(deadtimeMs);
  const common = {
    severity: "error",
    code: "BTN-CONFIG-DISK-TIMING",
    disk: disk.name,
    consequence:
      "the peer would be declared dead and its group taken over before the disk has noticed that it is gone",
  } as const;
  const found: DiskProblem[] = [];
  if (timeoutMs >= deadtimeMs) {
    found.push({
      ...common,
      key: "network.timeout",
      message: `The timeout of disk ${disk.name} is ${formatDuration(timeoutMs)}, which is not below deadtime (${dead}) (C5)`,
      fix: `set it to at most ${formatDuration(Math.max(1, Math.floor(deadtimeMs / 2)))}, or raise deadtime`,
    });
  }
  if (pingIntervalMs + pingTimeoutMs >= deadtimeMs) {
    found.push({
      ...common,
      key: "network.ping_interval",
      message: `Disk ${disk.name} notices a silent peer after ${formatDuration(pingIntervalMs + pingTimeoutMs)} (ping interval and ping timeout), which is not below deadtime (${dead}) (C5)`,
      fix: "leave ping_interval and ping_timeout out to have them follow deadtime, or lower them",
    });
  }
  return found;
}

function policyProblems(disk: DiskSpec): readonly DiskProblem[] {
  const { net } = disk;
  const found: DiskProblem[] = [];
  const freezes = disk.disk.fencing === "resource-and-stonith";
  if (net.protocol === "A" && (freezes || disk.disk.fencing === "native")) {
    found.push({
      severity: "error",
      code: "BTN-CONFIG-DISK-POLICY",
      disk: disk.name,
      key: "protocol",
      message: `Disk ${disk.name} has protocol A and fencing ${disk.disk.fencing}`,
      consequence:
        "protocol A acknowledges writes that the other host does not have yet: no fencing can keep them",
      fix: "use protocol C, or fencing: dont-care if losing the last writes is acceptable",
    });
  }
  if (net.onCongestion !== "block" && net.protocol !== "A") {
    found.push({
      severity: "error",
      code: "BTN-CONFIG-DISK-POLICY",
      disk: disk.name,
      key: "network.on_congestion",
      message: `Disk ${disk.name} has on_congestion ${net.onCongestion} with protocol ${net.protocol}`,
      consequence: "only protocol A may run ahead of its peer",
      fix: "write on_congestion: block, or use protocol A",
    });
  }
  if (net.allowTwoPrimaries) {
    const protocolC = net.protocol === "C";
    found.push({
      severity: protocolC ? "advice" : "error",
      code: "BTN-CONFIG-DISK-TWO-PRIMARIES",
      disk: disk.name,
      key: "network.allow_two_primaries",
      message: protocolC
        ? `Disk ${disk.name} may be Primary on both hosts`
        : `Disk ${disk.name} allows two Primaries with protocol ${net.protocol}`,
      consequence: protocolC
        ? "an ordinary file system or a database opened on both hosts is destroyed"
        : "the two copies would differ for good: two Primaries need protocol C",
      fix: "remove allow_two_primaries unless a cluster file system uses the disk",
    });
  }
  const automatic = net.afterSplitBrain0Primaries.startsWith("discard-")
    ? "no_primary"
    : net.afterSplitBrain1Primary !== "disconnect"
      ? "one_primary"
      : net.afterSplitBrain2Primaries !== "disconnect"
        ? "two_primaries"
        : undefined;
  if (automatic !== undefined) {
    found.push({
      severity: "advice",
      code: "BTN-CONFIG-DISK-SPLIT-BRAIN",
      disk: disk.name,
      key: `split_brain.${automatic}`,
      message: `Disk ${disk.name} throws away one side's writes by itself after a split brain (${automatic})`,
      consequence: "commits that clients were told are safe can vanish without anybody being asked",
      fix: "write disconnect: both sides then stay as they are until a person chooses",
    });
  }
  return found;
}

function afterProblems(disk: DiskSpec, disks: readonly DiskSpec[]): readonly DiskProblem[] {
  const problem = (message: string, fix: string): readonly DiskProblem[] => [
    {
      severity: "error",
      code: "BTN-CONFIG-DISK-AFTER",
      disk: disk.name,
      key: "resync.after",
      message,
      consequence: "its resync would wait for ever",
      fix,
    },
  ];
  const first = disk.disk.resync.after;
  if (first === undefined) return [];
  const names = disks.map((each) => each.name);
  if (!names.includes(first)) {
    return problem(
      `Disk ${disk.name} is to be resynced after ${quote(first)}, which is not a disk${didYouMean(nearest(first, names))}`,
      `use one of ${names.join(", ")}`,
    );
  }
  const seen = new Set([disk.name]);
  let next: string | undefined = first;
  while (next !== undefined && !seen.has(next)) {
    seen.add(next);
    const name: string = next;
    next = disks.find((each) => each.name === name)?.disk.resync.after;
  }
  return next === disk.name
    ? problem(
        `Disk ${disk.name} is to be resynced after itself (${[...seen].join(" after ")})`,
        "break the circle",
      )
    : [];
}

/** What one host may have only once: minor, port on an address, device. */
function clashes(disks: readonly DiskSpec[]): readonly DiskProblem[] {
  const owners = new Map<string, string>();
  const found: DiskProblem[] = [];
  for (const disk of disks) {
    for (const host of disk.hosts) {
      for (const { key, what, text } of claims(host)) {
        const id = `${host.host} ${what}`;
        const owner = owners.get(id);
        if (owner === undefined) {
          owners.set(id, disk.name);
          continue;
        }
        found.push({
          severity: "error",
          code: "BTN-CONFIG-DISK-CLASH",
          disk: disk.name,
          key: `hosts.${host.host}.${key}`,
          message: `${text} on ${host.host} is used by disk ${disk.name} and ${owner === disk.name ? "twice" : `by disk ${owner}`}`,
          consequence: "the two would overwrite or shut out each other",
          fix: "give each its own",
        });
      }
    }
    const [one, two] = disk.hosts;
    const same = (canonicalAddress(one.address) ?? one.address) === canonicalAddress(two.address);
    if (same && one.address !== "") {
      found.push({
        severity: "error",
        code: "BTN-CONFIG-DISK-CLASH",
        disk: disk.name,
        key: `hosts.${two.host}.address`,
        message: `Both hosts of disk ${disk.name} have the address ${one.address}`,
        consequence: "each would connect to itself",
        fix: "write each host's own address on the replication network",
      });
    }
  }
  return found;
}

function claims(
  host: DiskHost,
): readonly { readonly key: string; readonly what: string; readonly text: string }[] {
  const address = canonicalAddress(host.address) ?? host.address;
  const { metadata } = host;
  const device =
    metadata.kind === "internal"
      ? []
      : [
          {
            key: "metadata",
            what:
              metadata.kind === "external"
                ? `device ${metadata.device}`
                : `slot ${metadata.device}[${metadata.index}]`,
            text: metadata.device,
          },
        ];
  return [
    { key: "minor", what: `minor ${host.minor}`, text: `Minor ${host.minor}` },
    {
      key: "port",
      what: `port ${address} ${host.port}`,
      text: `${host.address} port ${host.port}`,
    },
    { key: "backing", what: `device ${host.backing}`, text: host.backing },
    ...device,
  ];
}

/** One resource of a group that does not fit the disks. */
export interface DiskUseProblem extends FindingText {
  readonly severity: "error" | "advice";
  readonly code: ConfigReason;
  readonly group: number;
  readonly resource: number;
}

/** The resources of all groups against the disks. */
export function diskUseProblems(
  groups: readonly GroupSpec[],
  disks: readonly DiskSpec[],
): readonly DiskUseProblem[] {
  const users = new Map<string, string>();
  return groups.flatMap((group, index) =>
    group.resources.flatMap((resource, position): readonly DiskUseProblem[] => {
      const at = { group: index, resource: position } as const;
      if (resource.kind === "disk") {
        const owner = users.get(resource.disk);
        users.set(resource.disk, group.name);
        return diskResourceProblem(resource.disk, owner, disks).map((each) => ({ ...each, ...at }));
      }
      if (resource.kind !== "filesystem") return [];
      return filesystemProblem(group, position, resource.device, disks).map((each) => ({
        ...each,
        ...at,
      }));
    }),
  );
}

type Use = Omit<DiskUseProblem, "group" | "resource">;

function diskResourceProblem(
  name: string,
  owner: string | undefined,
  disks: readonly DiskSpec[],
): readonly Use[] {
  const names = disks.map((disk) => disk.name);
  if (!names.includes(name)) {
    return [
      {
        severity: "error",
        code: "BTN-CONFIG-DISK-UNKNOWN",
        message: `Disk ${quote(name)} is not among the disks${didYouMean(nearest(name, names))}`,
        consequence: "the group could not start",
        fix:
          names.length === 0
            ? `describe it under disks: \`${name === "" ? "r0" : name}: {hosts: ...}\``
            : `use one of ${names.join(", ")}, or describe it under disks`,
      },
    ];
  }
  if (owner === undefined) return [];
  return [
    {
      severity: "error",
      code: "BTN-CONFIG-DISK-CLASH",
      message: `Disk ${name} is in two places: group ${owner} and here`,
      consequence: "the two would pull its Primary role to and fro",
      fix: "keep it in one group",
    },
  ];
}

function filesystemProblem(
  group: GroupSpec,
  position: number,
  device: string,
  disks: readonly DiskSpec[],
): readonly Use[] {
  const beneath = disks.find((disk) =>
    disk.hosts.some(
      (host) =>
        host.backing === device ||
        (host.metadata.kind !== "internal" && host.metadata.device === device),
    ),
  );
  if (beneath !== undefined) {
    return [
      {
        severity: "error",
        code: "BTN-CONFIG-DISK-BENEATH",
        message: `${device} is what disk ${beneath.name} keeps its data on`,
        consequence: "writes past the disk are on one host only, and destroy its copy",
        fix: `mount ${diskDevice(beneath.name)} instead`,
      },
    ];
  }
  const disk = diskOfDevice(disks, device);
  if (disk === undefined) return [];
  const places = group.resources.flatMap((each, index) =>
    each.kind === "disk" && each.disk === disk.name ? [index] : [],
  );
  if (places.some((place) => place < position)) return [];
  const [late] = places;
  return [
    {
      severity: "error",
      code: "BTN-CONFIG-ORDER",
      message:
        late === undefined
          ? `${device} belongs to disk ${disk.name}, which is not in group ${group.name}`
          : `The file system on disk ${disk.name} is listed before the disk`,
      consequence: "it would be mounted while the disk is Secondary, which fails",
      fix: `list \`- disk: ${disk.name}\` first in the group`,
    },
  ];
}

/** Disks that no group moves: fine to have, good to know. */
export function idleDisks(
  groups: readonly GroupSpec[],
  disks: readonly DiskSpec[],
): readonly DiskProblem[] {
  const used = new Set(
    groups.flatMap((group) =>
      group.resources.flatMap((resource) => (resource.kind === "disk" ? [resource.disk] : [])),
    ),
  );
  return disks
    .filter((disk) => !used.has(disk.name))
    .map((disk) => ({
      severity: "advice",
      code: "BTN-CONFIG-DISK-IDLE",
      disk: disk.name,
      key: "",
      message: `Disk ${disk.name} is in no group`,
      consequence: "nobody makes it Primary when a host dies; only `baton disk primary` does",
      fix: `add \`- disk: ${disk.name}\` to the group that uses it, before its file system`,
    }));
}
