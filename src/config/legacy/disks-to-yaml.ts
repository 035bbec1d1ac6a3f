/** Disks as the section `disks` of a cluster.yaml: what differs from the defaults of that form. */
import type { DiskHost, DiskSpec } from "../../replication/index.ts";
import { defaultLocalDisk, defaultNet, defaultStartup, firstDiskPort } from "../disk-defaults.ts";
import {
  activityLogFields,
  diskTopFields,
  netTopFields,
  networkFields,
  resyncDiskFields,
  resyncFields,
  resyncNetFields,
  splitBrainFields,
  startupFields,
  writeFields,
} from "../disk-fields.ts";
import { drbdConfSecret } from "../native-disks.ts";

type Entries = readonly (readonly [key: string, text: string])[];

/** How values are written; the same as in the rest of the file. */
export interface YamlStyle {
  readonly scalar: (text: string) => string;
  readonly list: (values: readonly string[]) => string;
  readonly flow: (entries: Entries) => string;
}

/** Lines below `disks:`, and the line itself; nothing without disks. */
export function diskLines(
  disks: readonly DiskSpec[],
  deadtimeMs: number,
  style: YamlStyle,
): readonly string[] {
  if (disks.length === 0) return [];
  return ["", "disks:", ...disks.flatMap((disk) => linesOf(disk, deadtimeMs, style))];
}

function linesOf(disk: DiskSpec, deadtimeMs: number, style: YamlStyle): readonly string[] {
  const { scalar, flow, list } = style;
  const net = defaultNet("native", deadtimeMs);
  const local = defaultLocalDisk("native");
  const section = (key: string, entries: Entries): readonly string[] =>
    entries.length === 0 ? [] : [`    ${key}: ${flow(entries)}`];
  const quoted = (entries: Entries): Entries =>
    entries.map(([key, text]) => [key, scalar(text)] as const);
  const top = quoted([
    ...writeFields(netTopFields, disk.net, net),
    ...writeFields(diskTopFields, disk.disk, local),
    ...(disk.onNoDataAccessible === "io-error"
      ? []
      : [["on_no_data", disk.onNoDataAccessible] as const]),
    ...(disk.volume === 0 ? [] : [["volume", String(disk.volume)] as const]),
  ]);
  const resync = quoted([
    ...writeFields(resyncFields, disk.disk.resync, local.resync),
    ...(disk.disk.resync.after === undefined ? [] : [["after", disk.disk.resync.after] as const]),
    ...writeFields(resyncNetFields, disk.net, net),
    ...writeFields(resyncDiskFields, disk.disk, local),
  ]);
  const startup: Entries = [
    ...quoted(writeFields(startupFields, disk.startup, defaultStartup)),
    ...(disk.startup.becomePrimaryOn.length === 0
      ? []
      : [["become_primary_on", list(disk.startup.becomePrimaryOn)] as const]),
  ];
  return [
    `  ${scalar(disk.name)}:`,
    ...top.map(([key, text]) => `    ${key}: ${text}`),
    "    hosts:",
    ...disk.hosts.map((host) => `      ${scalar(host.host)}: ${flow(hostEntries(host, style))}`),
    ...section("network", quoted(writeFields(networkFields, disk.net, net))),
    ...section("resync", resync),
    ...section("activity_log", quoted(writeFields(activityLogFields, disk.disk, local))),
    ...section("split_brain", quoted(splitBrainEntries(disk))),
    ...section("authentication", quoted(authenticationEntries(disk))),
    ...section("startup", startup),
    ...section("handlers", quoted(Object.entries(disk.handlers))),
  ];
}

function hostEntries(host: DiskHost, { scalar }: YamlStyle): Entries {
  const { metadata } = host;
  const place =
    metadata.kind === "internal"
      ? []
      : [
          [
            "metadata",
            scalar(
              metadata.kind === "external"
                ? metadata.device
                : `${metadata.device}[${metadata.index}]`,
            ),
          ] as const,
        ];
  return [
    ["backing", scalar(host.backing)],
    ...place,
    ["address", scalar(host.address)],
    ...(host.port === firstDiskPort + (host.minor % 10_000)
      ? []
      : [["port", String(host.port)] as const]),
    ["minor", String(host.minor)],
  ];
}

function splitBrainEntries(disk: DiskSpec): Entries {
  const policy = disk.net.afterSplitBrain0Primaries;
  const [first, second] = disk.hosts;
  const named =
    policy === "discard-local"
      ? `discard-node-${first.host}`
      : policy === "discard-remote"
        ? `discard-node-${second.host}`
        : policy;
  return [
    ...(policy === "disconnect" ? [] : [["no_primary", named] as const]),
    ...writeFields(splitBrainFields, disk.net, defaultNet("native", 1_000)),
  ];
}

function authenticationEntries(disk: DiskSpec): Entries {
  const { authentication } = disk.net;
  if (authentication === undefined) return [];
  const { algorithm, secretFile } = authentication;
  const conf = secretFile.startsWith(drbdConfSecret)
    ? secretFile.slice(drbdConfSecret.length).split("#")[0]
    : undefined;
  return [
    ["algorithm", algorithm],
    conf === undefined ? ["secret_file", secretFile] : ["drbd_conf", conf],
  ];
}
