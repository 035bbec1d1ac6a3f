/** The section `groups` of cluster.yaml: an ordered list of resources per group. */

import type { GroupSpec, ResourcePolicy, ResourceSpec } from "../resources/index.ts";
import { addressFamily, prefixMax } from "./addresses.ts";
import type { Places } from "./checks.ts";
import { didYouMean, quote } from "./findings.ts";
import type { HostConfig } from "./model.ts";
import { deviceForm } from "./native-links.ts";
import { MapReader } from "./reader.ts";
import { buildResource, defaultResourceName, type ResourceDraft } from "./resource-defaults.ts";
import { nearest } from "./suggest.ts";

/** The key that says of which kind a resource is. */
const kinds = [
  "address",
  "filesystem",
  "mysqld",
  "disk",
  "shared_disk",
  "script",
  "lsb",
  "ocf",
] as const;
type Kind = (typeof kinds)[number];

const policyKeys = [
  "name",
  "start_timeout",
  "stop_timeout",
  "monitor_timeout",
  "monitor_interval",
  "monitor_failures",
  "local_restarts",
  "restart_window",
  "on_start_failure",
  "on_stop_failure",
];
const groupName = {
  form: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u,
  hint: "use up to 63 letters, digits, dots, - and _",
};
/** Printable, without blanks: as in status and journal lines. */
const resourceName = {
  form: /^[\u0021-\u007e]{1,128}$/u,
  hint: "use up to 128 characters without blanks",
};
const bindAddress = {
  form: /^[0-9A-Fa-f:.*]+$/u,
  hint: "write an address, or leave it out for all",
};
const word = {
  form: /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$/u,
  hint: "use letters, digits, dots, - and _",
};

/** `groups:`; at least one. Fills `places.groups` with the lines of groups and resources. */
export function readGroups(
  root: MapReader,
  hosts: readonly HostConfig[],
  places: Places,
): readonly GroupSpec[] {
  const items = root.list("groups");
  if (items.length === 0)
    root.required(
      "groups",
      undefined,
      "[{name: write, prefers: dbm157, resources: [{address: 192.168.0.222/24}]}]",
    );
  return items.map((item, index) => {
    const reader = MapReader.of(item, `groups[${index + 1}]`, item.line, root.source);
    const resourceItems = reader.list("resources");
    places.groups.push({ line: item.line, resources: resourceItems.map((each) => each.line) });
    if (resourceItems.length === 0)
      reader.required("resources", undefined, "[{address: 192.168.0.222/24}]");
    const name = reader.required("name", reader.text("name", groupName), "write");
    const prefers = readPrefers(reader, hosts);
    const classicKey = reader.text("classic_key", resourceName);
    const drafts = resourceItems.map((each, position) => {
      const path = `groups[${index + 1}].resources[${position + 1}]`;
      return readResource(MapReader.of(each, path, each.line, root.source));
    });
    reader.finish();
    const group = { name, prefers, classicKey };
    return {
      ...group,
      resources: finishResources(
        drafts,
        reader,
        resourceItems.map((each) => each.line),
      ),
    };
  });
}

function readPrefers(reader: MapReader, hosts: readonly HostConfig[]): string {
  const data = hosts.filter((host) => host.roles.includes("data")).map((host) => host.name);
  const written = reader.required("prefers", reader.text("prefers"), data[0] ?? "dbm157");
  const prefers = written.toLowerCase();
  if (written === "" || data.includes(prefers)) return prefers;
  const member = hosts.some((host) => host.name === prefers);
  reader.problem("BTN-CONFIG-UNKNOWN-HOST", reader.lineOf("prefers"), {
    message: `${reader.path}.prefers names ${quote(written)}, which ${member ? "does not have the role data" : `is not among the hosts${didYouMean(nearest(prefers, data))}`}`,
    consequence: "the group would have no host to start on",
    fix: data.length === 0 ? "give two hosts the role data" : `use one of ${data.join(", ")}`,
  });
  return prefers;
}

/** Completes what depends on the other resources of the group. */
function finishResources(
  drafts: readonly (ResourceDraft | undefined)[],
  group: MapReader,
  lines: readonly number[],
): readonly ResourceSpec[] {
  const known = drafts.filter((draft) => draft !== undefined);
  const seen = new Map<string, number>();
  for (const [index, draft] of drafts.entries()) {
    if (draft === undefined) continue;
    const name = draft.name ?? defaultResourceName(draft);
    const line = lines[index] ?? group.line;
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      group.problem("BTN-CONFIG-DUPLICATE", line, {
        message: `Resource ${quote(name)} is there twice in this group, first in line ${earlier}`,
        consequence: "messages and commands could not tell the two apart",
        fix: "give one of them a `name:` of its own, or remove it",
      });
    } else seen.set(name, line);
  }
  return known.map((draft) => buildResource(draft, known));
}

function readResource(reader: MapReader): ResourceDraft | undefined {
  const present = kinds.filter((kind) => reader.has(kind));
  const [kind, second] = present;
  if (kind === undefined || second !== undefined) {
    refuseKind(reader, present);
    return undefined;
  }
  const policy = readPolicy(reader);
  const name = reader.text("name", resourceName);
  const draft = readers[kind](reader);
  reader.finish();
  return { ...draft, name, policy };
}

function refuseKind(reader: MapReader, present: readonly Kind[]): void {
  const stranger = reader.keys().find((key) => !policyKeys.includes(key));
  const meant = stranger === undefined ? undefined : nearest(stranger, kinds);
  const unknown =
    stranger === undefined
      ? "says no kind"
      : `has no kind that Baton knows: ${quote(stranger)}${didYouMean(meant)}`;
  reader.problem(
    present.length === 0 ? "BTN-CONFIG-UNKNOWN-KEY" : "BTN-CONFIG-VALUE",
    reader.line,
    {
      message: `${reader.path} ${present.length === 0 ? unknown : `is of more than one kind: ${present.join(", ")}`}`,
      consequence: "the group would start without it",
      fix:
        present.length === 0
          ? `write one of ${kinds.join(", ")}`
          : "make a list item of its own for each",
    },
  );
}

function readPolicy(reader: MapReader): Partial<ResourcePolicy> {
  const read: { readonly [Key in keyof ResourcePolicy]: ResourcePolicy[Key] | undefined } = {
    startTimeoutMs: reader.duration("start_timeout"),
    stopTimeoutMs: reader.duration("stop_timeout"),
    monitorTimeoutMs: reader.duration("monitor_timeout"),
    monitorIntervalMs: reader.duration("monitor_interval", 0),
    monitorFailures: reader.integer("monitor_failures", 1, 1_000),
    localRestarts: reader.integer("local_restarts", 0, 1_000),
    restartWindowMs: reader.duration("restart_window"),
    onStartFailure: reader.choice("on_start_failure", ["move", "stay"]),
    onStopFailure: readStopFailure(reader),
  };
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
}

/** Nothing can reset a host yet, and a setting that does nothing must not look as if it did. */
function readStopFailure(reader: MapReader): "block" | undefined {
  const written = reader.choice("on_stop_failure", ["block", "reset-host"]);
  if (written !== "reset-host") return written;
  reader.wrong(
    "on_stop_failure",
    "can not be reset-host yet: this version has nothing that resets a host",
    "write block: the group then stays where it is until its stop succeeds, and a person looks",
  );
  return undefined;
}

type Draft<Kind extends ResourceSpec["kind"]> = Omit<
  Extract<ResourceDraft, { kind: Kind }>,
  "name" | "policy"
>;
type AnyDraft = { [Kind in ResourceSpec["kind"]]: Draft<Kind> }[ResourceSpec["kind"]];

const readers: Readonly<Record<Kind, (reader: MapReader) => AnyDraft>> = {
  address: readAddress,
  filesystem: (reader) => readFilesystem(reader.child("filesystem")),
  mysqld: (reader) => readMysqld(reader.child("mysqld")),
  disk: (reader) => ({ kind: "disk", disk: reader.text("disk") ?? "" }),
  shared_disk: (reader) => readSharedDisk(reader.child("shared_disk")),
  script: readScript,
  lsb: (reader) => ({ kind: "lsb", script: reader.text("lsb", word) ?? "" }),
  ocf: readOcf,
};

function readAddress(reader: MapReader): Draft<"address"> {
  const [address = "", prefix, more] = (reader.text("address") ?? "").split("/");
  const family = addressFamily(address);
  const hint = "write an address and its prefix length, such as 192.168.0.222/24";
  let prefixLength: number | undefined;
  if (family === undefined || more !== undefined) {
    if (address !== "")
      reader.wrong(
        "address",
        `can not be ${quote(reader.text("address") ?? "")}: it is not an IP address`,
        hint,
      );
  } else if (prefix !== undefined) {
    const value = /^[0-9]{1,3}$/u.test(prefix) ? Number(prefix) : Number.NaN;
    if (value >= 1 && value <= prefixMax(family)) prefixLength = value;
    else
      reader.wrong(
        "address",
        `can not have prefix length ${quote(prefix)}`,
        `write a length from 1 to ${prefixMax(family)}`,
      );
  }
  return {
    kind: "address",
    address,
    prefixLength,
    device: reader.text("device", deviceForm),
    broadcast: reader.text("broadcast", {
      form: /^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$/u,
      hint: "write an IPv4 address",
    }),
  };
}

function readFilesystem(reader: MapReader): Draft<"filesystem"> {
  const device = reader.text("device", {
    form: /^(?:\/|LABEL=|UUID=|PARTLABEL=|PARTUUID=)\S+$/u,
    hint: "write a device path, or LABEL=... or UUID=...",
  });
  const draft: Draft<"filesystem"> = {
    kind: "filesystem",
    device: reader.required("device", device, "/dev/disk/by-id/..."),
    directory: reader.required("directory", reader.absolutePath("directory"), "/database"),
    type: reader.text("type", word) ?? "auto",
    options: readOptions(reader),
    fsck: reader.choice("fsck", ["auto", "force", "no"]) ?? "auto",
    forceUnmountAfterMs: reader.duration("force_unmount_after", 0),
  };
  reader.finish();
  return draft;
}

/** `options: [noatime]` and `options: noatime,nodiratime` are both usual. */
function readOptions(reader: MapReader): readonly string[] {
  const tree = reader.tree("options");
  const options =
    tree?.kind === "scalar" ? (reader.text("options")?.split(",") ?? []) : reader.texts("options");
  if (options.every((option) => /^[^\s,]+$/u.test(option))) return options;
  reader.wrong(
    "options",
    "holds an empty option or one with blanks",
    "write a list such as [noatime, nodiratime]",
  );
  return [];
}

function readMysqld(reader: MapReader): Draft<"mysqld"> {
  const draft: Draft<"mysqld"> = {
    kind: "mysqld",
    dataDirectory: reader.required(
      "data_directory",
      reader.absolutePath("data_directory"),
      "/database/mysql",
    ),
    binary: reader.absolutePath("binary"),
    defaultsFile: reader.absolutePath("defaults_file"),
    socket: reader.absolutePath("socket"),
    pidFile: reader.absolutePath("pid_file"),
    port: reader.integer("port", 1, 65_535),
    bindAddress: reader.text("bind_address", bindAddress),
    user: reader.text("user", word),
    monitorUser: reader.text("monitor_user", word),
    monitorPasswordFile: reader.absolutePath("monitor_password_file"),
    requiredMount: reader.absolutePath("required_mount"),
    recoveryStallMs: reader.duration("recovery_stall"),
    killAfterMs: reader.duration("kill_after"),
    extraArguments: reader.texts("extra_arguments"),
  };
  reader.finish();
  return draft;
}

function readSharedDisk(reader: MapReader): Draft<"shared-disk"> {
  const device = reader.required("device", reader.absolutePath("device"), "/dev/disk/by-id/...");
  const claimDevice = reader.required(
    "claim_device",
    reader.absolutePath("claim_device"),
    "/dev/disk/by-id/...-part2",
  );
  if (device !== "" && device === claimDevice) {
    reader.wrong(
      "claim_device",
      "is the device with the data",
      "use a small partition or image of its own: writing the claim would destroy data",
    );
  }
  reader.finish();
  return { kind: "shared-disk", device, claimDevice };
}

function readScript(reader: MapReader): Draft<"classic-script"> {
  const script = reader.text("script", {
    form: /^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}$/u,
    hint: "write the name of a script in /etc/ha.d/resource.d or /etc/init.d, without a path",
  });
  const searchPaths = reader.texts("search_path");
  const searchPath = reader.has("search_path") ? searchPaths : undefined;
  if (searchPath?.some((directory) => !directory.startsWith("/")) === true) {
    reader.wrong(
      "search_path",
      "holds a directory that is not absolute",
      "write paths beginning with /",
    );
  }
  return {
    kind: "classic-script",
    script: script ?? "",
    arguments: readArguments(reader),
    searchPath,
    environment: reader.table("environment"),
  };
}

function readArguments(reader: MapReader): readonly string[] {
  const list = reader.texts("arguments");
  for (const argument of list) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    if (/[\u0000-\u001f\u007f]/u.test(argument))
      reader.wrong("arguments", "holds a control character", "remove it");
  }
  return list;
}

function readOcf(reader: MapReader): Draft<"ocf"> {
  const written = reader.text("ocf", {
    form: /^[A-Za-z0-9_][A-Za-z0-9._-]*:[A-Za-z0-9_][A-Za-z0-9._-]*$/u,
    hint: "write provider:type, such as heartbeat:IPaddr2",
  });
  const [provider = "", type = ""] = (written ?? "").split(":");
  return {
    kind: "ocf",
    provider,
    type,
    parameters: reader.table("parameters"),
    checkLevel: reader.integer("check_level", 0, 100),
  };
}
