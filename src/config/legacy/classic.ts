/**
 * ha.cf, authkeys and haresources together -> ClusterConfig. Pure: the shell reads the files, resolves
 * names and looks for scripts. What the original accepts starts (DESIGN 7.8); what breaks our
 * constraints is advice.
 */
import { canonicalAddress } from "../addresses.ts";
import { diskSeenBy, mapDiskDevices } from "../disk-defaults.ts";
import { didYouMean, quote, Report } from "../findings.ts";
import type { AuthConfig, ClusterConfig, Finding, Timing } from "../model.ts";
import { classicSearchPath, scriptEnvironment } from "../resource-defaults.ts";
import { nearest } from "../suggest.ts";
import { addressLeaseMs, timingOf, timingViolations } from "../timing.ts";
import { type Authkeys, parseAuthkeys } from "./authkeys.ts";
import { checkClassicDisks } from "./classic-disks.ts";
import { convertGroups } from "./classic-resources.ts";
import { type DrbdOutcome, readDrbdConf } from "./drbd-conf.ts";
import type { IncludeLoader } from "./drbd-parser.ts";
import { type HaCf, parseHaCf } from "./ha-cf.ts";
import { parseHaresources } from "./haresources.ts";
import type { ImportRow } from "./rows.ts";

export interface ClassicFile {
  readonly file: string;
  readonly text: string;
}

/** The three files of a directory; undefined: not there. */
export interface ClassicFiles {
  /** Where they are, such as `/etc/ha.d`. */
  readonly directory: string;
  readonly haCf: ClassicFile | undefined;
  /** Decoded byte for byte (latin1). */
  readonly authkeys: ClassicFile | undefined;
  readonly haresources: ClassicFile | undefined;
  /** DRBD's configuration, if disks are to be taken from it. */
  readonly drbdConf?: ClassicFile | undefined;
}

export interface ClassicOptions {
  /** This host; undefined: do not check that it is a member. */
  readonly self?: string | undefined;
  readonly mode?: "run" | "import" | undefined;
  /** A short hexadecimal digest of a text; makes the cluster id from node names and key. */
  readonly digest: (text: string) => string;
  /** Accept crc (reliability 9.2). */
  readonly insecure?: boolean | undefined;
  readonly defaultPort?: number | undefined;
  readonly resolved?: Readonly<Record<string, string>> | undefined;
  readonly searchPath?: readonly string[] | undefined;
  /** Where the keys are read from later, if not where `files.authkeys` was read. */
  readonly authkeysPath?: string | undefined;
  readonly scriptsFound?: ReadonlySet<string> | undefined;
  /** Files that drbd.conf includes; without it an include is an error. */
  readonly includes?: IncludeLoader | undefined;
}

export interface ClassicOutcome {
  /** Undefined: refused. */
  readonly config: ClusterConfig | undefined;
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
}

/** Reads the three files; every directive is in `rows`. */
export function classicToConfig(files: ClassicFiles, options: ClassicOptions): ClassicOutcome {
  const report = new Report();
  const rows: ImportRow[] = [];
  const { directory } = files;
  for (const [name, file] of [
    ["ha.cf", files.haCf],
    ["authkeys", files.authkeys],
    ["haresources", files.haresources],
  ] as const) {
    if (file === undefined) refuseMissing(report, `${directory}/${name}`);
  }
  const haCf = parseHaCf(files.haCf?.text ?? "", files.haCf?.file ?? `${directory}/ha.cf`, options);
  const authkeys = parseAuthkeys(
    files.authkeys?.text ?? "",
    files.authkeys?.file ?? `${directory}/authkeys`,
    options,
  );
  const haresourcesFile = files.haresources?.file ?? `${directory}/haresources`;
  const parsed = parseHaresources(files.haresources?.text ?? "", haresourcesFile, haCf.draft.nodes);
  const times = timingOf(haCf.times);
  const drbd = drbdOf(files, options, haCf.draft.nodes, times);
  const disks = drbd?.disks ?? [];
  const converted = convertGroups(parsed.groups, haresourcesFile, {
    mode: options.mode ?? "run",
    searchPath: options.searchPath ?? defaultSearchPath(directory),
    environment: environmentOf(haCf, directory, options),
    scriptsFound: options.scriptsFound,
    disks,
  });
  if (files.haCf !== undefined) take(report, rows, haCf);
  if (files.authkeys !== undefined) take(report, rows, authkeys);
  if (files.haresources !== undefined) {
    take(report, rows, {
      rows: [...parsed.rows, ...converted.rows].toSorted(
        (left, right) => (left.line ?? 0) - (right.line ?? 0),
      ),
      findings: [...parsed.findings, ...converted.findings],
    });
  }
  if (drbd !== undefined) take(report, rows, drbd);
  if (files.haCf !== undefined) checkMembers(haCf, files.haCf.file, report, options.self);
  if (report.refused || files.haCf === undefined)
    return { config: undefined, rows, findings: report.list() };
  const config: ClusterConfig = {
    origin: { kind: "classic", directory },
    clusterName: clusterNameOf(haCf.draft.clusterName),
    clusterId: clusterIdOf(haCf, authkeys, options.digest),
    hosts: haCf.draft.nodes.map((name) => ({ name, roles: ["data"] })),
    timing: times,
    auth: authOf(authkeys, options.authkeysPath ?? files.authkeys?.file ?? ""),
    links: haCf.draft.links,
    pings: haCf.draft.pings,
    failover: {
      autoFailback: haCf.draft.autoFailback?.value ?? "legacy",
      ipfail: haCf.draft.ipfail,
      arbiter: { kind: "none" },
      splitBrainPolicy: "classic",
    },
    groups: mapDiskDevices(converted.groups, disks),
    disks: disks.map((disk) => diskSeenBy(disk, options.self?.toLowerCase() ?? "")),
    hopfudge: haCf.draft.hopfudge,
    messageFormat: haCf.draft.messageFormat,
    stateDirectory: "/var/lib/baton",
    runDirectory: "/run/baton",
    journalDirectory: "/var/log/baton",
    heartbeatDirectory: "/var/lib/heartbeat",
  };
  const lines = parsed.groups.map((group) => group.line);
  adviseClassic(config, haCf, files.haCf.file, haresourcesFile, lines, report);
  if (drbd !== undefined) checkClassicDisks(config, drbd, { file: haresourcesFile, lines }, report);
  if (report.refused) return { config: undefined, rows, findings: report.list() };
  return { config, rows, findings: report.list() };
}

function drbdOf(
  files: ClassicFiles,
  options: ClassicOptions,
  hosts: readonly string[],
  { deadtimeMs }: Timing,
): DrbdOutcome | undefined {
  if (files.drbdConf === undefined) return undefined;
  const load = options.includes ?? (() => undefined);
  return readDrbdConf(files.drbdConf, { load, hosts, deadtimeMs });
}

function take(
  report: Report,
  rows: ImportRow[],
  part: { readonly rows: readonly ImportRow[]; readonly findings: readonly Finding[] },
): void {
  report.take(part.findings);
  rows.push(...part.rows);
}

function refuseMissing(report: Report, file: string): void {
  report.error(file, undefined, "BTN-CONFIG-UNREADABLE", {
    message: "The file is missing",
    consequence: "the original does not start without it, and neither does Baton",
    fix: "put it in place, or name it on the command line",
  });
}

function defaultSearchPath(directory: string): readonly string[] {
  return directory === "/etc/ha.d" ? classicSearchPath : [`${directory}/resource.d`, "/etc/init.d"];
}

/** heartbeat.md 3.3, without what each message adds. An import leaves the host's own name out. */
function environmentOf(
  haCf: HaCf,
  directory: string,
  options: ClassicOptions,
): Readonly<Record<string, string>> {
  const nice = haCf.draft.autoFailback !== undefined && haCf.draft.autoFailback.value !== "legacy";
  return {
    ...scriptEnvironment(directory),
    ...(nice ? { HA_NICEFAILBACK: "yes" } : {}),
    ...Object.fromEntries(haCf.draft.environment),
    ...(options.mode === "import" || options.self === undefined
      ? {}
      : { HA_CURHOST: options.self.toLowerCase() }),
  };
}

/** `cluster` is stored only: any word is accepted there, but the name is shown and written elsewhere. */
function clusterNameOf(name: string): string {
  const plain = name
    .replaceAll(/[^A-Za-z0-9._-]+/gu, "-")
    .replace(/^[^A-Za-z0-9]+/u, "")
    .slice(0, 63);
  return plain === "" ? "linux-ha" : plain;
}

/** DESIGN 7.7: digest of name list and key, the same on every host whatever the order of the nodes. */
function clusterIdOf(haCf: HaCf, authkeys: Authkeys, digest: (text: string) => string): string {
  const key = authkeys.keys.find((entry) => entry.index === authkeys.sendIndex);
  const names = haCf.draft.nodes.toSorted().join(" ");
  return `ha-${digest(`baton cluster id\n${names}\n${key?.method ?? ""} ${key?.key ?? ""}`).slice(0, 32)}`;
}

function authOf(authkeys: Authkeys, path: string): AuthConfig {
  const keys = authkeys.keys.map(({ index, method }) => ({
    index,
    method,
    secret: method === "crc" ? undefined : ({ kind: "authkeys", path, index } as const),
  }));
  return { mode: "classic", keys, sendIndex: authkeys.sendIndex ?? 0 };
}

function checkMembers(haCf: HaCf, file: string, report: Report, self: string | undefined): void {
  const { nodes } = haCf.draft;
  const own = self?.toLowerCase();
  if (own !== undefined && nodes.length > 0 && !nodes.includes(own)) {
    report.error(file, undefined, "BTN-CONFIG-SELF", {
      message: `This machine is called ${quote(own)}, which is not a node of this file${didYouMean(nearest(own, nodes))}`,
      consequence: "the start is refused, as the original refuses it",
      fix: `add \`node ${own}\`, or set the name in nodeinfo`,
    });
  }
  if (nodes.length > 2) {
    report.error(file, undefined, "BTN-CONFIG-HOSTS", {
      message: `${nodes.length} nodes are listed`,
      consequence:
        "Baton moves groups between exactly two data hosts; with more it could place them wrongly",
      fix: "list the two hosts that can hold the groups",
    });
  } else if (nodes.length === 1) {
    report.advice(file, undefined, "BTN-CONFIG-HOSTS", {
      message: "Only one node is listed",
      consequence: "there is no host to move to",
      fix: "add the second node",
    });
  }
}

/** What the original accepts and we would not write. */
function adviseClassic(
  config: ClusterConfig,
  haCf: HaCf,
  file: string,
  groupsFile: string,
  lines: readonly number[],
  report: Report,
): void {
  adviseTiming(config.timing, haCf, file, report);
  report.advice(file, undefined, "BTN-CONFIG-SPLIT-BRAIN", {
    message: "Two hosts without an arbiter: nobody decides when they lose each other",
    consequence: "if every link fails at once, both hosts can take over, as with the original",
    fix: "keep two independent links and a ping node; with cluster.yaml, split_brain_policy: safe waits for a person",
  });
  if (new Set(config.links.map((link) => link.device)).size < 2) {
    report.advice(file, undefined, "BTN-CONFIG-LINKS", {
      message: "All links run over one device",
      consequence: "one broken cable looks like a dead host",
      fix: "add a link over a second network",
    });
  }
  if (config.failover.ipfail && config.pings.length === 0) {
    report.advice(file, undefined, "BTN-CONFIG-PING", {
      message: "ipfail is on, but there is no ping node",
      consequence: "ipfail does nothing: a host that lost its network goes on holding the service",
      fix: "add `ping ADDRESS` with an address that both hosts reach",
    });
  }
  const owners = new Map<string, string>();
  for (const address of config.links.flatMap((link) => ("peers" in link ? link.peers : [])))
    owners.set(canonicalAddress(address.address) ?? "", "a host");
  for (const address of config.pings.flatMap((ping) => ping.addresses))
    owners.set(canonicalAddress(address) ?? "", "a ping node");
  for (const [index, group] of config.groups.entries()) {
    for (const resource of group.resources) {
      if (resource.kind !== "address") continue;
      const canonical = canonicalAddress(resource.address) ?? "";
      const owner = owners.get(canonical);
      if (owner !== undefined) {
        report.advice(groupsFile, lines[index], "BTN-CONFIG-ADDRESS-CONFLICT", {
          message: `${resource.address} is already the address of ${owner}`,
          consequence: "the same address would answer in two places",
          fix: "use an address that belongs to this group alone",
        });
      }
      owners.set(canonical, `group ${group.name}`);
    }
  }
}

function adviseTiming(timing: Timing, haCf: HaCf, file: string, report: Report): void {
  for (const violation of timingViolations(timing)) {
    // C2 is met by shortening the lease instead (reliability 2.3).
    if (violation.rule === "C2") continue;
    const { message, consequence, fix } = violation;
    report.advice(file, haCf.lineOf(violation.key), "BTN-CONFIG-TIMING", {
      message: `${message} (C1)`,
      consequence,
      fix,
    });
  }
  if (addressLeaseMs(timing) === undefined) {
    report.advice(file, haCf.lineOf("deadtime"), "BTN-CONFIG-LEASE-OFF", {
      message: "The address lease is off: with these timers it would be shorter than 100 ms (C2)",
      consequence:
        "a frozen holder may still answer on the address when the survivor takes it over",
      fix: "lower keepalive or raise deadtime",
    });
  }
  if (haCf.draft.watchdog === undefined) return;
  report.advice(file, haCf.draft.watchdog, "BTN-CONFIG-WATCHDOG", {
    message: "The original sets the watchdog to about deadtime, later than deadtime / 2 (C4)",
    consequence: "a frozen holder could still run when the survivor takes over",
    fix: "do not count on the watchdog",
  });
}
