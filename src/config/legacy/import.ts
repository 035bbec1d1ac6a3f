/** `baton import`: classic files -> cluster.yaml, with a table of what became of each directive. */

import type { DiskSpec } from "../../replication/index.ts";
import { addressFamily, canonicalAddress } from "../addresses.ts";
import { defaultNet } from "../disk-defaults.ts";
import { formatDuration } from "../durations.ts";
import { Report } from "../findings.ts";
import type { ClusterConfig, Finding, LinkConfig, Timing } from "../model.ts";
import { parseClusterYaml } from "../native.ts";
import { timingOf } from "../timing.ts";
import { type ClassicFiles, type ClassicOptions, classicToConfig } from "./classic.ts";
import type { ImportRow } from "./rows.ts";
import { writeClusterYaml } from "./to-yaml.ts";

export interface ImportOptions extends Omit<ClassicOptions, "mode"> {
  /** Addresses of this machine by device: they tell which of the pair a ucast line does not name. */
  readonly localAddresses?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface ImportOutcome {
  /** Undefined: refused. */
  readonly yaml: string | undefined;
  readonly table: readonly ImportRow[];
  readonly findings: readonly Finding[];
}

/** The text of a cluster.yaml that says what the classic files say. */
export function importClassic(files: ClassicFiles, options: ImportOptions): ImportOutcome {
  const classic = classicToConfig(files, { ...options, mode: "import" });
  if (classic.config === undefined)
    return { yaml: undefined, table: classic.rows, findings: classic.findings };
  const report = new Report();
  // The original's timers are advised on as they are; what is written obeys our own constraints.
  report.take(classic.findings.filter((finding) => finding.code !== "BTN-CONFIG-LEASE-OFF"));
  const timing = fitTiming(classic.config.timing);
  const rows: ImportRow[] = [
    ...classic.rows,
    ...timingRows(classic.config.timing, timing, files.haCf?.file ?? "ha.cf"),
  ];
  const fitted = fitDisks(classic.config.disks, timing.deadtimeMs, files.drbdConf?.file ?? "");
  rows.push(...fitted.rows);
  const links = nameLinks(classic.config, options);
  const config = { ...classic.config, timing, disks: fitted.disks, links };
  const yaml = writeClusterYaml(config, heading(files, config.links));
  const read = parseClusterYaml(yaml, "cluster.yaml", { insecure: options.insecure });
  const told = new Set(classic.findings.map((finding) => finding.code));
  report.take(
    read.findings.filter((finding) => finding.severity === "error" || !told.has(finding.code)),
  );
  return { yaml: read.ok ? yaml : undefined, table: rows, findings: report.list() };
}

/**
 * The nearest timing that obeys C1 and C2: deadtime, which the operator chose to be safe against false
 * alarms, is never changed.
 */
export function fitTiming(timing: Timing): Timing {
  const { deadtimeMs } = timing;
  const keepaliveMs =
    timing.keepaliveMs * 3 < deadtimeMs
      ? timing.keepaliveMs
      : Math.max(1, Math.floor(deadtimeMs / 4));
  const warntimeMs = Math.max(3 * keepaliveMs, Math.min(timing.warntimeMs, deadtimeMs - 1));
  const initdeadMs = Math.max(timing.initdeadMs, 2 * deadtimeMs);
  return timingOf({
    keepaliveMs,
    warntimeMs,
    deadtimeMs,
    initdeadMs,
    deadpingMs: timing.deadpingMs,
  });
}

/** C5: what is written follows deadtime, which is the operator's own choice; the other timers are kept. */
export function fitDisks(
  disks: readonly DiskSpec[],
  deadtimeMs: number,
  file: string,
): { readonly disks: readonly DiskSpec[]; readonly rows: readonly ImportRow[] } {
  const usual = defaultNet("native", deadtimeMs);
  const rows: ImportRow[] = [];
  const fitted = disks.map((disk) => {
    const { net } = disk;
    const late = net.pingIntervalMs + net.pingTimeoutMs >= deadtimeMs;
    const timeoutMs = net.timeoutMs < deadtimeMs ? net.timeoutMs : usual.timeoutMs;
    const pingTimeoutMs = late ? usual.pingTimeoutMs : net.pingTimeoutMs;
    for (const [directive, from, to] of [
      ["timeout", net.timeoutMs, timeoutMs],
      ["ping-timeout", net.pingTimeoutMs, pingTimeoutMs],
    ] as const) {
      if (from === to) continue;
      const reason = `written as ${formatDuration(to)} for disk ${disk.name}: the disk must notice a loss before deadtime (C5)`;
      const text = formatDuration(from);
      rows.push({ file, line: undefined, directive, text, outcome: "changed", reason });
    }
    return { ...disk, net: { ...net, timeoutMs, pingTimeoutMs } };
  });
  return { disks: fitted, rows };
}

function timingRows(before: Timing, after: Timing, file: string): readonly ImportRow[] {
  const names = {
    keepaliveMs: "keepalive",
    warntimeMs: "warntime",
    initdeadMs: "initdead",
  } as const;
  return Object.entries(names).flatMap(([key, directive]) => {
    const [from, to] = [before[key as keyof typeof names], after[key as keyof typeof names]];
    if (from === to) return [];
    const reason = `written as ${formatDuration(to)}: keepalive x 3 <= warntime < deadtime, initdead >= 2 x deadtime (C1)`;
    return [
      { file, line: undefined, directive, text: formatDuration(from), outcome: "changed", reason },
    ];
  });
}

function heading(files: ClassicFiles, links: readonly LinkConfig[]): readonly string[] {
  const names = [files.haCf, files.authkeys, files.haresources, files.drbdConf]
    .filter((file) => file !== undefined)
    .map((file) => file?.file ?? "")
    .join(", ");
  const anonymous = links.some(
    (link) => "peers" in link && link.peers.some((peer) => peer.host === undefined),
  );
  return [
    `Made by \`baton import\` from ${names.replaceAll(/[^\u0020-\u007e]/gu, "?")}`,
    "Check it with: baton check cluster.yaml",
    "",
    anonymous
      ? "To use the same file on every host, replace `peers` under links by `addresses: {host: address, ...}`."
      : "The same file belongs on every host.",
    "Groups keep the name that a Heartbeat peer knows (classic_key).",
  ];
}

/** Gives each ucast peer its host name where the two hosts and this machine's addresses tell it. */
function nameLinks(config: ClusterConfig, options: ImportOptions): readonly LinkConfig[] {
  const self = options.self?.toLowerCase();
  const others = config.hosts.map((host) => host.name).filter((name) => name !== self);
  const [peerName] = others;
  if (self === undefined || peerName === undefined || others.length !== 1) return config.links;
  return config.links.map((link) => {
    if (!("peers" in link)) return link;
    const family = link.medium === "ucast" ? 4 : 6;
    const local = (options.localAddresses?.[link.device] ?? []).filter(
      (address) => addressFamily(address) === family,
    );
    const isOwn = (address: string): boolean =>
      local.some((own) => canonicalAddress(own) === canonicalAddress(address));
    const named = link.peers.find((peer) => isOwn(peer.address))?.address;
    // Floating addresses may sit on the device too: only a single candidate is sure.
    const floating = config.groups.flatMap((group) =>
      group.resources.flatMap((each) =>
        each.kind === "address" ? [canonicalAddress(each.address)] : [],
      ),
    );
    const candidates = local.filter((address) => !floating.includes(canonicalAddress(address)));
    const own = named ?? (candidates.length === 1 ? candidates[0] : undefined);
    const peers = link.peers.filter((peer) => !isOwn(peer.address));
    const [peer] = peers;
    if (own === undefined || peer === undefined || peers.length !== 1) return link;
    const pair = [
      { host: self, address: own },
      { host: peerName, address: peer.address },
    ];
    return {
      ...link,
      peers: pair.toSorted((left, right) => ((left.host ?? "") < (right.host ?? "") ? -1 : 1)),
    };
  });
}
