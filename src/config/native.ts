/**
 * cluster.yaml -> ClusterConfig, as one total function: any text gives a configuration or findings,
 * never an exception. The schema is in README.md; the cross-checks are in `checks.ts`.
 */
import { crossCheck, type Places } from "./checks.ts";
import { diskSeenBy, mapDiskDevices } from "./disk-defaults.ts";
import { quote, Report } from "./findings.ts";
import type {
  ClusterConfig,
  FailoverConfig,
  Finding,
  HostConfig,
  PingConfig,
  Role,
  Timing,
} from "./model.ts";
import { readDisks } from "./native-disks.ts";
import { readAuth, readLinks } from "./native-links.ts";
import { readGroups } from "./native-resources.ts";
import { addressProblem, MapReader, type Source } from "./reader.ts";
import { profileNames, profileTiming, type TimingFigures, timingOf } from "./timing.ts";
import { readYaml } from "./yaml-tree.ts";

/** A configuration with advice at most, or what forbids it. */
export type ConfigOutcome =
  | { readonly ok: true; readonly config: ClusterConfig; readonly findings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

export interface NativeOptions {
  /** This host: must be a member, and its own addresses are left out of the links' peers. */
  readonly self?: string | undefined;
  /** Accept digest crc, which is no protection (reliability 9.2). */
  readonly insecure?: boolean | undefined;
}

const roles: readonly Role[] = ["data", "director", "replica", "witness"];
/** As a host name may be; also what may appear in file names and on the wire. */
export const hostNameForm = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/u;
const name = {
  form: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u,
  hint: "use up to 63 letters, digits, dots, - and _",
};
const clusterIdForm = {
  form: /^[A-Za-z0-9][A-Za-z0-9-]{7,63}$/u,
  hint: "use 8 to 64 letters, digits and -, such as the output of uuidgen",
};

/** Reads the text of a cluster.yaml. `file` is the name that findings cite. */
export function parseClusterYaml(
  text: string,
  file: string,
  options: NativeOptions = {},
): ConfigOutcome {
  const report = new Report();
  const tree = readYaml(text, file, report);
  if (tree === undefined || report.refused) return { ok: false, findings: report.list() };
  const source: Source = { file, report };
  const config = readCluster(MapReader.of(tree, "", 1, source), options);
  if (report.refused) return { ok: false, findings: report.list() };
  return { ok: true, config: configForHost(config, options.self), findings: report.list() };
}

function readCluster(root: MapReader, options: NativeOptions): ClusterConfig {
  const places: Places = { links: [], groups: [] };
  const cluster = root.child("cluster");
  const clusterName = cluster.required("name", cluster.text("name", name), "shop");
  const clusterId = cluster.required(
    "id",
    cluster.text("id", clusterIdForm),
    "5f0c1d3e-8a52-4b7e-9a61-0c2d4e6f8a10",
  );
  cluster.finish();
  const timing = readTiming(root);
  const hosts = readHosts(root);
  const hostNames = hosts.map((host) => host.name);
  const auth = readAuth(root, options.insecure === true);
  const links = readLinks(root, hostNames, places);
  const pings = readPings(root);
  const failover = readFailover(root);
  const disks = readDisks(root, hosts, timing.deadtimeMs);
  const groups = mapDiskDevices(readGroups(root, hosts, places), disks);
  const directories = root.child("directories");
  const wire = root.child("wire");
  const config: ClusterConfig = {
    origin: { kind: "native", file: root.source.file },
    clusterName,
    clusterId,
    hosts,
    timing,
    auth,
    links,
    pings,
    failover,
    groups,
    disks,
    hopfudge: wire.integer("hopfudge", 0, 100) ?? 1,
    messageFormat: wire.choice("message_format", ["classic", "netstring"]) ?? "classic",
    stateDirectory: directories.absolutePath("state") ?? "/var/lib/baton",
    runDirectory: directories.absolutePath("run") ?? "/run/baton",
    journalDirectory: directories.absolutePath("journal") ?? "/var/log/baton",
    heartbeatDirectory: directories.absolutePath("heartbeat") ?? "/var/lib/heartbeat",
  };
  for (const reader of [directories, wire, root]) reader.finish();
  // Cross-checks on a half-read file would only repeat what was said.
  if (!root.source.report.refused) crossCheck(config, root, places, options.self);
  return config;
}

function readTiming(root: MapReader): Timing {
  const profile = profileTiming(root.choice("profile", profileNames) ?? "default");
  const timing = root.child("timing");
  const deadtimeMs = timing.duration("deadtime");
  const own: Partial<TimingFigures> = drop({
    keepaliveMs: timing.duration("keepalive"),
    warntimeMs: timing.duration("warntime"),
    deadtimeMs,
    initdeadMs: timing.duration("initdead"),
    deadpingMs: timing.duration("deadping") ?? deadtimeMs,
  });
  timing.finish();
  const { profile: _, agentGraceMs: __, ...figures } = profile;
  return timingOf({ ...figures, ...own });
}

/** The entries that are there. */
function drop<Value>(record: Readonly<Record<string, Value | undefined>>): Record<string, Value> {
  const kept = Object.entries(record).filter(
    (entry): entry is [string, Value] => entry[1] !== undefined,
  );
  return Object.fromEntries(kept);
}

function readHosts(root: MapReader): readonly HostConfig[] {
  const child = root.child("hosts");
  if (child.keys().length === 0)
    root.required("hosts", undefined, "{dbm157: {roles: [data]}, dbm158: {roles: [data]}}");
  const hosts: HostConfig[] = [];
  for (const key of child.keys()) {
    const host = child.child(key);
    const hostName = key.toLowerCase();
    if (!hostNameForm.test(key)) {
      child.wrong(key, `is not a host name: ${quote(key)}`, "write it as `uname -n` prints it");
    } else if (hosts.some((other) => other.name === hostName)) {
      child.problem("BTN-CONFIG-DUPLICATE", child.lineOf(key), {
        message: `Host ${quote(hostName)} is there twice (names are compared in lower case)`,
        consequence: "two hosts of one name can not be told apart",
        fix: "rename or remove one of the two",
      });
    }
    const given = host.has("roles") ? host.texts("roles") : ["data"];
    host.tree("roles");
    host.finish();
    const known = roles.filter((role) => given.includes(role));
    for (const role of given) {
      if (!roles.some((each) => each === role)) {
        host.wrong("roles", `can not hold ${quote(role)}`, `use some of ${roles.join(", ")}`);
      }
    }
    hosts.push({ name: hostName, roles: known });
  }
  return hosts;
}

function readPings(root: MapReader): readonly PingConfig[] {
  const items = root.list("ping");
  return items.map((item, index) => {
    const reader = MapReader.of(item, `ping[${index + 1}]`, item.line, root.source);
    if (reader.has("group")) {
      const group = reader.text("group", name) ?? "";
      const addresses = reader.texts("addresses");
      for (const address of addresses) {
        const problem = addressProblem(address, "unicast");
        if (problem === undefined) continue;
        reader.wrong(
          "addresses",
          `can not hold ${quote(address)}: ${problem}`,
          "write IP addresses",
        );
      }
      if (addresses.length === 0) reader.required("addresses", undefined, "[192.168.0.1]");
      reader.finish(["address"]);
      return { name: group, group: true, addresses };
    }
    const address = reader.required("address", reader.address("address"), "192.168.0.1");
    reader.finish(["group", "addresses"]);
    return { name: address, group: false, addresses: [address] };
  });
}

function readFailover(root: MapReader): FailoverConfig {
  const failover = root.child("failover");
  // YAML 1.2 reads `on` as text but `true` as a truth value: both are what people write.
  const written =
    failover.choice("auto_failback", ["on", "off", "legacy", "true", "false"]) ?? "off";
  const arbiter = failover.choice("arbiter", ["none"]);
  const config: FailoverConfig = {
    autoFailback: written === "true" ? "on" : written === "false" ? "off" : written,
    ipfail: failover.flag("ipfail") ?? root.has("ping"),
    arbiter: { kind: arbiter ?? "none" },
    splitBrainPolicy: failover.choice("split_brain_policy", ["classic", "safe"]) ?? "classic",
  };
  failover.finish();
  if (
    arbiter === undefined &&
    config.splitBrainPolicy === "classic" &&
    !root.source.report.refused
  ) {
    failover.advise("BTN-CONFIG-SPLIT-BRAIN", failover.line, {
      message: "failover.arbiter is not set, so nobody decides when the hosts lose each other",
      consequence: "if every link fails at once, both hosts can take over",
      fix: "write `arbiter: none` to accept this, or `split_brain_policy: safe`",
    });
  }
  return config;
}

/**
 * The configuration as that host uses it: the peers of a link are the other data hosts, and its own side of a disk
 * is the first. Done twice it changes nothing more.
 */
export function configForHost(config: ClusterConfig, self: string | undefined): ClusterConfig {
  if (self === undefined) return config;
  const own = self.toLowerCase();
  const links = config.links.map((link) =>
    "peers" in link ? { ...link, peers: link.peers.filter((peer) => peer.host !== own) } : link,
  );
  return { ...config, links, disks: config.disks.map((disk) => diskSeenBy(disk, own)) };
}
