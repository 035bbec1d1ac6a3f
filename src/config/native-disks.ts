/** The section `disks` of cluster.yaml: replicated disks by name. Source: drbd.md 9.3, in words of our own. */
import {
  type AfterSplitBrainPolicy,
  type DiskHost,
  type DiskSpec,
  type HandlerName,
  handlerNames,
  type MetadataPlace,
  type NetOptions,
  type StartupOptions,
} from "../replication/index.ts";
import {
  type DiskDialect,
  defaultLocalDisk,
  defaultNet,
  defaultStartup,
  firstDiskPort,
} from "./disk-defaults.ts";
import {
  activityLogFields,
  digestNames,
  diskTopFields,
  netTopFields,
  networkFields,
  readFields,
  resyncDiskFields,
  resyncFields,
  resyncNetFields,
  splitBrainFields,
  startupFields,
} from "./disk-fields.ts";
import { didYouMean, quote } from "./findings.ts";
import type { HostConfig } from "./model.ts";
import type { MapReader } from "./reader.ts";
import { nearest } from "./suggest.ts";

/** As the name stands in paths, in sockets and on the wire of dopd. */
export const diskNameForm = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/u;

const dialect: DiskDialect = "native";
/** Without the key they are what drbd.md 9.3 says. */
const minorMax = 1_048_575;

/** `disks:`; none is fine. */
export function readDisks(
  root: MapReader,
  hosts: readonly HostConfig[],
  deadtimeMs: number,
): readonly DiskSpec[] {
  const section = root.child("disks");
  const names = section.keys();
  return names.flatMap((name) => {
    const reader = section.child(name);
    if (!diskNameForm.test(name)) {
      section.wrong(
        name,
        "can not be the name of a disk",
        "use up to 63 letters, digits, dots, - and _, such as r0",
      );
    }
    const disk = readDisk(reader, name, { hosts, deadtimeMs, alone: names.length === 1 });
    reader.finish();
    return disk === undefined ? [] : [disk];
  });
}

interface Surroundings {
  readonly hosts: readonly HostConfig[];
  readonly deadtimeMs: number;
  /** The only disk: its minor may be left out. */
  readonly alone: boolean;
}

function readDisk(reader: MapReader, name: string, around: Surroundings): DiskSpec | undefined {
  const hosts = readDiskHosts(reader, around);
  const resync = reader.child("resync");
  const log = reader.child("activity_log");
  const top = defaultLocalDisk(dialect);
  const withTop = readFields(reader, diskTopFields, top);
  const withLog = readFields(log, activityLogFields, withTop);
  const disk = {
    ...readFields(resync, resyncDiskFields, withLog),
    resync: {
      ...readFields(resync, resyncFields, top.resync),
      after: resync.text("after"),
    },
  };
  const net = readNet(reader, name, resync, { hosts, deadtimeMs: around.deadtimeMs });
  const spec = {
    name,
    volume: reader.integer("volume", 0, 65_535) ?? 0,
    net,
    disk,
    onNoDataAccessible: reader.choice("on_no_data", ["io-error", "suspend-io"]) ?? "io-error",
    startup: readStartup(reader, hosts),
    handlers: readHandlers(reader),
  };
  for (const each of [resync, log]) each.finish();
  const [first, second] = hosts;
  return first === undefined || second === undefined
    ? undefined
    : { ...spec, hosts: [first, second] };
}

function readNet(
  reader: MapReader,
  name: string,
  resync: MapReader,
  around: { readonly hosts: readonly DiskHost[]; readonly deadtimeMs: number },
): NetOptions {
  const network = reader.child("network");
  const splitBrain = reader.child("split_brain");
  let net = defaultNet(dialect, around.deadtimeMs);
  net = readFields(reader, netTopFields, net);
  net = readFields(network, networkFields, net);
  net = readFields(resync, resyncNetFields, net);
  net = readFields(splitBrain, splitBrainFields, net);
  net = {
    ...net,
    afterSplitBrain0Primaries:
      readNoPrimary(splitBrain, around.hosts) ?? net.afterSplitBrain0Primaries,
    authentication: readAuthentication(reader, name),
  };
  for (const each of [network, splitBrain]) each.finish();
  return net;
}

/** The policies of drbd.conf that choose by the data. */
export const noPrimaryPolicies = [
  "disconnect",
  "discard-younger-primary",
  "discard-older-primary",
  "discard-zero-changes",
  "discard-least-changes",
] as const satisfies readonly AfterSplitBrainPolicy[];

/** `discard-node-HOST` is as the first host sees it (disk-defaults.ts). */
function readNoPrimary(
  reader: MapReader,
  hosts: readonly DiskHost[],
): AfterSplitBrainPolicy | undefined {
  const named = hosts.map((host) => `discard-node-${host.host}`);
  const written = reader.choice("no_primary", [...noPrimaryPolicies, ...named]);
  if (written === undefined) return undefined;
  if (written === named[0]) return "discard-local";
  if (written === named[1]) return "discard-remote";
  return noPrimaryPolicies.find((policy) => policy === written);
}

/** `drbd.conf:FILE#RESOURCE`: the secret stays in a drbd.conf (`loadDiskSecret`). */
export const drbdConfSecret = "drbd.conf:";

function readAuthentication(reader: MapReader, name: string): NetOptions["authentication"] {
  if (!reader.has("authentication")) return undefined;
  const map = reader.child("authentication");
  const known = digestNames.filter((name) => name !== "crc32c");
  const algorithm = map.choice("algorithm", known) ?? "sha256";
  const conf = map.absolutePath("drbd_conf");
  const file = map.absolutePath("secret_file");
  for (const key of ["secret", "shared_secret"]) {
    if (!map.has(key)) continue;
    map.tree(key);
    map.problem("BTN-CONFIG-SECRET", map.lineOf(key), {
      message: `${map.path}.${key} holds the secret itself`,
      consequence: "the file is refused: it is copied and shown to people",
      fix: "put the secret into a file of mode 0600 and write `secret_file: /etc/baton/disk.key`",
    });
  }
  if (conf === undefined && !map.has("drbd_conf"))
    map.required("secret_file", file, "/etc/baton/disk.key");
  map.finish();
  if (conf !== undefined) return { algorithm, secretFile: `${drbdConfSecret}${conf}#${name}` };
  return file === undefined ? undefined : { algorithm, secretFile: file };
}

function readStartup(reader: MapReader, hosts: readonly DiskHost[]): StartupOptions {
  const startup = reader.child("startup");
  const names = hosts.map((host) => host.host);
  const written = startup.texts("become_primary_on").map((name) => name.toLowerCase());
  for (const name of written.filter((each) => !names.includes(each))) {
    startup.problem("BTN-CONFIG-UNKNOWN-HOST", startup.lineOf("become_primary_on"), {
      message: `${startup.path}.become_primary_on names ${quote(name)}, which does not hold this disk${didYouMean(nearest(name, names))}`,
      consequence: "nobody would be made Primary by it",
      fix: `use ${names.join(" or ")}, or leave it out: a group makes its disk Primary`,
    });
  }
  const options = readFields(startup, startupFields, defaultStartup);
  startup.finish();
  return { ...options, becomePrimaryOn: written };
}

function readHandlers(reader: MapReader): DiskSpec["handlers"] {
  const map = reader.child("handlers");
  const handlers: Partial<Record<HandlerName, string>> = {};
  for (const name of handlerNames) {
    const command = map.text(name);
    if (command !== undefined) handlers[name] = command;
  }
  map.finish();
  return handlers;
}

function readDiskHosts(reader: MapReader, around: Surroundings): readonly DiskHost[] {
  const section = reader.child("hosts");
  const data = around.hosts.filter((host) => host.roles.includes("data")).map((host) => host.name);
  const minor = reader.integer("minor", 0, minorMax);
  const metadata = readMetadata(reader, "metadata");
  const backing = reader.absolutePath("backing");
  const example = `{${(data.length === 2 ? data : ["dbm157", "dbm158"]).map((name, index) => `${name}: {backing: /dev/sdb1, address: 192.168.1.${157 + index}}`).join(", ")}}`;
  const keys = section.keys();
  if (keys.length !== 2) {
    reader.problem("BTN-CONFIG-DISK-HOSTS", reader.lineOf("hosts"), {
      message: `${reader.path}.hosts has ${keys.length} hosts`,
      consequence: "a disk is kept on exactly two hosts",
      fix: `write \`hosts: ${example}\``,
    });
  }
  return keys.map((key): DiskHost => {
    const host = section.child(key);
    const name = key.toLowerCase();
    if (!data.includes(name)) refuseHost(section, key, around.hosts, data);
    const own = host.integer("minor", 0, minorMax) ?? minor;
    if (own === undefined && !around.alone)
      host.required("minor", undefined, "0, the N of /dev/drbdN, here or for the whole disk");
    const number = own ?? 0;
    const disk: DiskHost = {
      host: name,
      backing: host.required("backing", host.absolutePath("backing") ?? backing, "/dev/sdb1"),
      metadata: readMetadata(host, "metadata") ?? metadata ?? { kind: "internal" },
      address: host.required("address", host.address("address"), "192.168.1.157"),
      port: host.integer("port", 1, 65_535) ?? firstDiskPort + (number % 10_000),
      minor: number,
    };
    host.finish();
    return disk;
  });
}

function refuseHost(
  section: MapReader,
  key: string,
  hosts: readonly HostConfig[],
  data: readonly string[],
): void {
  const name = key.toLowerCase();
  const member = hosts.some((host) => host.name === name);
  section.problem("BTN-CONFIG-UNKNOWN-HOST", section.lineOf(key), {
    message: `${section.path} names ${quote(key)}, which ${member ? "does not have the role data" : `is not among the hosts${didYouMean(nearest(name, data))}`}`,
    consequence: "no host of that name could hold a side of the disk",
    fix: data.length === 0 ? "give two hosts the role data" : `use ${data.join(" and ")}`,
  });
}

/** `internal`, a device, or `device[index]` (drbd.md 7.1). */
function readMetadata(reader: MapReader, key: string): MetadataPlace | undefined {
  const written = reader.text(key);
  if (written === undefined) return undefined;
  if (written === "internal") return { kind: "internal" };
  const match = /^(\/[^\s[\]]+)(?:\[([0-9]{1,5})\])?$/u.exec(written);
  const device = match?.[1];
  if (device === undefined) {
    reader.wrong(
      key,
      `can not be ${quote(written)}`,
      "write internal, a device such as /dev/sdc1, or a slot of one, such as /dev/sdc1[0]",
    );
    return undefined;
  }
  const index = match?.[2];
  return index === undefined
    ? { kind: "external", device }
    : { kind: "indexed", device, index: Number(index) };
}
