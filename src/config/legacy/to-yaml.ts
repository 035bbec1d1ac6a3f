/** A ClusterConfig as the text of a cluster.yaml that reads back to the same configuration. */

import { unreachable } from "../../base/index.ts";
import {
  defaultPolicy,
  type GroupSpec,
  type ResourcePolicy,
  type ResourceSpec,
} from "../../resources/index.ts";
import { formatDuration } from "../durations.ts";
import type { ClusterConfig, KeyConfig, LinkConfig, Timing } from "../model.ts";
import {
  classicSearchPath,
  defaultResourceName,
  type ResourceDraft,
  scriptEnvironment,
} from "../resource-defaults.ts";
import { diskLines } from "./disks-to-yaml.ts";

/** @param heading comment lines for the top, without `#` */
export function writeClusterYaml(config: ClusterConfig, heading: readonly string[]): string {
  const { failover } = config;
  const lines = [
    ...heading.map((line) => (line === "" ? "#" : `# ${line}`)),
    "",
    "cluster:",
    `  name: ${scalar(config.clusterName)}`,
    `  id: ${scalar(config.clusterId)}`,
    "",
    ...timingLines(config.timing),
    "",
    "hosts:",
    ...config.hosts.map((host) => `  ${scalar(host.name)}: {roles: [${host.roles.join(", ")}]}`),
    "",
    "auth:",
    `  mode: ${config.auth.mode}`,
    `  send: ${config.auth.sendIndex}`,
    "  keys:   # secrets stay where they are",
    ...config.auth.keys.map((key) => `    - ${flow(keyEntries(key))}`),
    "",
    "links:",
    ...config.links.map((link) => `  - ${flow(linkEntries(link))}`),
    ...(config.pings.length === 0 ? [] : ["", "ping:"]),
    ...config.pings.map((ping) =>
      ping.group
        ? `  - ${flow([
            ["group", scalar(ping.name)],
            ["addresses", list(ping.addresses)],
          ])}`
        : `  - ${flow([["address", scalar(ping.addresses[0] ?? "")]])}`,
    ),
    "",
    "failover:",
    `  auto_failback: ${scalar(failover.autoFailback)}`,
    `  ipfail: ${failover.ipfail}`,
    `  arbiter: ${failover.arbiter.kind}   # two hosts: if all links fail at once, both can take over`,
    `  split_brain_policy: ${failover.splitBrainPolicy}   # safe: wait for \`baton takeover --peer-is-dead\``,
    ...diskLines(config.disks, config.timing.deadtimeMs, { scalar, list, flow }),
    "",
    "groups:",
    ...config.groups.flatMap(groupLines),
    "",
    "wire:",
    `  message_format: ${config.messageFormat}`,
    `  hopfudge: ${config.hopfudge}`,
    "",
    "directories:",
    `  state: ${scalar(config.stateDirectory)}`,
    `  run: ${scalar(config.runDirectory)}`,
    `  journal: ${scalar(config.journalDirectory)}`,
    `  heartbeat: ${scalar(config.heartbeatDirectory)}`,
  ];
  return `${lines.join("\n")}\n`;
}

function timingLines(timing: Timing): readonly string[] {
  if (timing.profile !== "custom") return [`profile: ${timing.profile}`];
  return [
    "timing:",
    `  keepalive: ${formatDuration(timing.keepaliveMs)}`,
    `  warntime: ${formatDuration(timing.warntimeMs)}`,
    `  deadtime: ${formatDuration(timing.deadtimeMs)}`,
    `  initdead: ${formatDuration(timing.initdeadMs)}`,
    `  deadping: ${formatDuration(timing.deadpingMs)}`,
  ];
}

type Entries = readonly (readonly [key: string, value: string])[];

function keyEntries(key: KeyConfig): Entries {
  const base: Entries = [
    ["id", String(key.index)],
    ["method", key.method],
  ];
  const { secret } = key;
  if (secret === undefined) return base;
  switch (secret.kind) {
    case "file":
      return [...base, ["file", scalar(secret.path)]];
    case "environment":
      return [...base, ["environment", scalar(secret.variable)]];
    case "credential":
      return [...base, ["credential", scalar(secret.name)]];
    case "authkeys":
      return [...base, ["authkeys", scalar(secret.path)], ["index", String(secret.index)]];
    default:
      return unreachable(secret);
  }
}

function linkEntries(link: LinkConfig): Entries {
  const base: Entries = [
    ["medium", link.medium],
    ["device", scalar(link.device)],
    ["port", String(link.port)],
  ];
  if (link.medium === "bcast") return base;
  if ("group" in link)
    return [
      ...base,
      ["group", scalar(link.group)],
      ["ttl", String(link.ttl)],
      ["loop", String(link.loop)],
    ];
  const named = link.peers.flatMap(
    ({ host, address }): Entries => (host === undefined ? [] : [[scalar(host), scalar(address)]]),
  );
  if (named.length === link.peers.length) return [...base, ["addresses", flow(named)]];
  return [...base, ["peers", list(link.peers.map((peer) => peer.address))]];
}

function groupLines(group: GroupSpec): readonly string[] {
  return [
    `  - name: ${scalar(group.name)}`,
    `    prefers: ${scalar(group.prefers)}`,
    ...(group.classicKey === undefined
      ? []
      : [
          `    classic_key: ${scalar(group.classicKey)}   # the name of the group on the heartbeat wire`,
        ]),
    "    resources:",
    ...group.resources.map((resource) => `      - ${flow(resourceEntries(resource))}`),
  ];
}

function resourceEntries(resource: ResourceSpec): Entries {
  const own = kindEntries(resource);
  const named: Entries =
    resource.name === defaultResourceName(draftOf(resource))
      ? []
      : [["name", scalar(resource.name)]];
  return [...own, ...named, ...policyEntries(resource)];
}

const draftOf = (resource: ResourceSpec): ResourceDraft => ({ ...resource, name: undefined });

function kindEntries(resource: ResourceSpec): Entries {
  switch (resource.kind) {
    case "address": {
      const prefix = resource.prefixLength === undefined ? "" : `/${resource.prefixLength}`;
      return [
        ["address", scalar(`${resource.address}${prefix}`)],
        ...some({ device: resource.device, broadcast: resource.broadcast }),
      ];
    }
    case "filesystem":
      return [
        [
          "filesystem",
          flow([
            ["device", scalar(resource.device)],
            ["directory", scalar(resource.directory)],
            ["type", scalar(resource.type)],
            ["options", list(resource.options)],
            ["fsck", scalar(resource.fsck)],
            ["force_unmount_after", formatDuration(resource.forceUnmountAfterMs)],
          ]),
        ],
      ];
    case "mysqld":
      return [
        [
          "mysqld",
          flow([
            ["data_directory", scalar(resource.dataDirectory)],
            ...some({
              binary: resource.binary,
              defaults_file: resource.defaultsFile,
              socket: resource.socket,
              pid_file: resource.pidFile,
              bind_address: resource.bindAddress,
              user: resource.user,
              monitor_user: resource.monitorUser,
              monitor_password_file: resource.monitorPasswordFile,
              required_mount: resource.requiredMount,
            }),
            ["port", String(resource.port)],
            ["recovery_stall", formatDuration(resource.recoveryStallMs)],
            ["kill_after", formatDuration(resource.killAfterMs)],
            ["extra_arguments", list(resource.extraArguments)],
          ]),
        ],
      ];
    case "shared-disk":
      return [
        [
          "shared_disk",
          flow([
            ["device", scalar(resource.device)],
            ["claim_device", scalar(resource.claimDevice)],
          ]),
        ],
      ];
    case "disk":
      return [["disk", scalar(resource.disk)]];
    case "classic-script":
      return scriptEntries(resource);
    case "lsb":
      return [["lsb", scalar(resource.script)]];
    case "ocf":
      return [
        ["ocf", scalar(`${resource.provider}:${resource.type}`)],
        ["parameters", table(resource.parameters)],
        ["check_level", String(resource.checkLevel)],
      ];
    default:
      return unreachable(resource);
  }
}

function scriptEntries(resource: Extract<ResourceSpec, { kind: "classic-script" }>): Entries {
  const usual = scriptEnvironment("/etc/ha.d");
  const own = Object.entries(resource.environment).filter(([name, value]) => usual[name] !== value);
  const path =
    resource.searchPath.join(":") === classicSearchPath.join(":")
      ? []
      : [["search_path", list(resource.searchPath)] as const];
  return [
    ["script", scalar(resource.script)],
    ...(resource.arguments.length === 0 ? [] : [["arguments", list(resource.arguments)] as const]),
    ...path,
    ...(own.length === 0 ? [] : [["environment", table(Object.fromEntries(own))] as const]),
  ];
}

/** Only what differs from the default of the kind. */
function policyEntries(resource: ResourceSpec): Entries {
  const { policy } = resource;
  const usual = defaultPolicy(resource.kind);
  const names: { readonly [Key in keyof ResourcePolicy]: string } = {
    startTimeoutMs: "start_timeout",
    stopTimeoutMs: "stop_timeout",
    monitorTimeoutMs: "monitor_timeout",
    monitorIntervalMs: "monitor_interval",
    monitorFailures: "monitor_failures",
    localRestarts: "local_restarts",
    restartWindowMs: "restart_window",
    onStartFailure: "on_start_failure",
    onStopFailure: "on_stop_failure",
  };
  return Object.entries(names).flatMap(([key, name]): Entries => {
    const value = policy[key as keyof ResourcePolicy];
    if (value === usual[key as keyof ResourcePolicy]) return [];
    return [[name, key.endsWith("Ms") ? formatDuration(Number(value)) : String(value)]];
  });
}

function some(record: Readonly<Record<string, string | undefined>>): Entries {
  return Object.entries(record).flatMap(
    ([key, value]): Entries => (value === undefined ? [] : [[key, scalar(value)]]),
  );
}

const table = (record: Readonly<Record<string, string>>): string =>
  flow(Object.entries(record).map(([key, value]) => [key, scalar(value)] as const));
const flow = (entries: Entries): string =>
  `{${entries.map(([key, value]) => `${key}: ${value}`).join(", ")}}`;
const list = (values: readonly string[]): string => `[${values.map(scalar).join(", ")}]`;

/** Plain where that reads back as the same text, else in double quotes. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z0-9_/][A-Za-z0-9_./-]*$/u.test(text) && !/^null$/iu.test(text);
  return isPlain ? text : JSON.stringify(text);
}
