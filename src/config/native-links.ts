/** The sections `auth` and `links` of cluster.yaml. */
import { addressFamily, canonicalAddress } from "./addresses.ts";
import type { Places } from "./checks.ts";
import { didYouMean, quote } from "./findings.ts";
import type { AuthConfig, DigestMethod, KeyConfig, LinkConfig, SecretSource } from "./model.ts";
import { addressProblem, MapReader } from "./reader.ts";
import { nearest } from "./suggest.ts";

/** The port that IANA gave to ha-cluster. */
export const defaultPort = 694;
const media = ["ucast", "ucast6", "bcast", "mcast", "mcast6"] as const;
/** An interface name as the kernel allows it. */
export const deviceForm = {
  form: /^[^\s/:]{1,15}$/u,
  hint: "write the name of a network interface, such as eth0",
};

/** `auth:`; keys are named by where they are, never written here. */
export function readAuth(root: MapReader, insecure: boolean): AuthConfig {
  const auth = root.child("auth");
  const mode = auth.choice("mode", ["sha256", "classic"]) ?? "sha256";
  const keys = auth.list("keys").map((item, index) => {
    const key = MapReader.of(item, `auth.keys[${index + 1}]`, item.line, root.source);
    return { key: readKey(key, mode, insecure), line: item.line };
  });
  if (keys.length === 0)
    auth.required("keys", undefined, "[{id: 1, file: /etc/baton/cluster.key}]");
  for (const [index, { key, line }] of keys.entries()) {
    if (!keys.slice(0, index).some((other) => other.key.index === key.index)) continue;
    auth.problem("BTN-CONFIG-DUPLICATE", line, {
      message: `Key id ${key.index} is there twice`,
      consequence: "a packet names its key by id, so two keys of one id can not be told apart",
      fix: "give each key an id of its own",
    });
  }
  const only = keys.length === 1 ? keys[0]?.key.index : undefined;
  const sendIndex = auth.integer("send", 0, 15) ?? only;
  if (sendIndex === undefined && keys.length > 1) auth.required("send", undefined, "1");
  if (
    sendIndex !== undefined &&
    keys.length > 0 &&
    !keys.some(({ key }) => key.index === sendIndex)
  ) {
    auth.wrong(
      "send",
      `names key ${sendIndex}, which is not under keys`,
      "name the id of a key that is listed",
    );
  }
  auth.finish();
  return { mode, keys: keys.map(({ key }) => key), sendIndex: sendIndex ?? 0 };
}

function readKey(reader: MapReader, mode: AuthConfig["mode"], insecure: boolean): KeyConfig {
  const index = reader.integer("id", 0, 15);
  if (index === undefined && !reader.has("id")) reader.required("id", undefined, "1");
  const methods: readonly DigestMethod[] = mode === "sha256" ? ["sha256"] : ["sha1", "md5", "crc"];
  const method = reader.choice("method", methods) ?? methods[0] ?? "sha256";
  if (method === "crc" && !insecure) {
    reader.problem("BTN-CONFIG-WEAK", reader.lineOf("method"), {
      message: "Digest crc is refused",
      consequence: "anybody on the network could forge heartbeats and stop the service",
      fix: "use sha1 with a key, or start with --insecure",
    });
  }
  const authkeysIndex = reader.integer("index", 0, 15);
  const secret = method === "crc" ? undefined : readSecret(reader, authkeysIndex ?? index ?? 0);
  reader.finish(["file", "environment", "credential", "authkeys"]);
  return { index: index ?? 0, method, secret };
}

function readSecret(reader: MapReader, index: number): SecretSource | undefined {
  const kinds = ["file", "environment", "credential", "authkeys"].filter((kind) =>
    reader.has(kind),
  );
  const [kind, second] = kinds;
  if (kind === undefined || second !== undefined) {
    reader.problem(kind === undefined ? "BTN-CONFIG-MISSING" : "BTN-CONFIG-VALUE", reader.line, {
      message: `${reader.path} ${kind === undefined ? "does not say where its secret is" : `names more than one place of its secret: ${kinds.join(", ")}`}`,
      consequence: "the key can not be loaded, so no heartbeat could be signed",
      fix: "write one of file, environment, credential, authkeys",
    });
    return undefined;
  }
  const word = {
    form: /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/u,
    hint: "use letters, digits, dots, - and _",
  };
  if (kind === "environment") return { kind, variable: reader.text(kind, word) ?? "" };
  if (kind === "credential") return { kind, name: reader.text(kind, word) ?? "" };
  const path = reader.absolutePath(kind) ?? "";
  return kind === "authkeys" ? { kind, path, index } : { kind: "file", path };
}

/** `links:`; at least one. Fills `places.links` with the line of each. */
export function readLinks(
  root: MapReader,
  hosts: readonly string[],
  places: Places,
): readonly LinkConfig[] {
  const items = root.list("links");
  const links = items.flatMap((item, index) => {
    const reader = MapReader.of(item, `links[${index + 1}]`, item.line, root.source);
    const link = readLink(reader, hosts);
    if (link !== undefined) places.links.push(item.line);
    return link === undefined ? [] : [link];
  });
  if (items.length === 0) {
    root.required(
      "links",
      undefined,
      "[{medium: bcast, device: eth0}, {medium: bcast, device: eth1}]",
    );
  }
  return links;
}

function readLink(reader: MapReader, hosts: readonly string[]): LinkConfig | undefined {
  const medium = reader.choice("medium", media);
  if (medium === undefined) {
    reader.required("medium", undefined, "ucast");
    return undefined;
  }
  const device = reader.required("device", reader.text("device", deviceForm), "eth0");
  const port = reader.integer("port", 1, 65_535) ?? defaultPort;
  if (medium === "bcast") {
    reader.finish();
    return { medium, device, port };
  }
  if (medium === "mcast" || medium === "mcast6") {
    const group = reader.required(
      "group",
      reader.address("group", "multicast"),
      medium === "mcast" ? "225.0.0.1" : "ff05::1",
    );
    checkFamily(reader, "group", group, medium === "mcast" ? 4 : 6);
    const ttl = reader.integer("ttl", 0, 4) ?? 1;
    const loop = reader.flag("loop") ?? false;
    reader.finish();
    return { medium, device, port, group, ttl, loop };
  }
  const family = medium === "ucast" ? 4 : 6;
  const peers = reader.has("peers")
    ? readPeers(reader, family)
    : readAddresses(reader, hosts, family);
  reader.finish(["addresses", "peers"]);
  return { medium, device, port, peers };
}

type Peers = readonly { readonly host: string | undefined; readonly address: string }[];

function readAddresses(reader: MapReader, hosts: readonly string[], family: 4 | 6): Peers {
  const addresses = reader.child("addresses");
  if (!reader.has("addresses"))
    reader.required("addresses", undefined, "{dbm157: 192.168.0.157, dbm158: 192.168.0.158}");
  const seen = new Map<string, string>();
  return addresses.keys().map((key) => {
    const host = key.toLowerCase();
    if (!hosts.includes(host)) {
      addresses.problem("BTN-CONFIG-UNKNOWN-HOST", addresses.lineOf(key), {
        message: `${addresses.path} names ${quote(key)}, which is not among the hosts${didYouMean(nearest(host, hosts))}`,
        consequence: "heartbeats would go to a host that is not a member",
        fix: `use one of ${hosts.join(", ")}`,
      });
    }
    const address = addresses.address(key) ?? "";
    checkFamily(addresses, key, address, family);
    const canonical = canonicalAddress(address) ?? "";
    const other = seen.get(canonical);
    if (other !== undefined && canonical !== "") {
      addresses.problem("BTN-CONFIG-DUPLICATE", addresses.lineOf(key), {
        message: `${addresses.path} gives ${address} to both ${other} and ${key}`,
        consequence: "one of the two would never be heard on this link",
        fix: "write each host's own address",
      });
    }
    seen.set(canonical, key);
    return { host, address };
  });
}

/** The form that an importer writes when a file does not tell which host has which address. */
function readPeers(reader: MapReader, family: 4 | 6): Peers {
  const addresses = reader.texts("peers");
  reader.advise("BTN-CONFIG-LOCAL", reader.lineOf("peers"), {
    message: `${reader.path} lists peers without their host names`,
    consequence: "cluster.yaml can not be the same file on every host",
    fix: "write `addresses: {host: address, ...}` instead",
  });
  for (const address of addresses) {
    const problem = addressProblem(address, "unicast");
    if (problem !== undefined)
      reader.wrong("peers", `can not hold ${quote(address)}: ${problem}`, "write IP addresses");
    else checkFamily(reader, "peers", address, family);
  }
  if (addresses.length === 0)
    reader.required("addresses", undefined, "{dbm157: 192.168.0.157, dbm158: 192.168.0.158}");
  return addresses.map((address) => ({ host: undefined, address }));
}

function checkFamily(reader: MapReader, key: string, address: string, family: 4 | 6): void {
  const found = addressFamily(address);
  if (found === undefined || found === family) return;
  reader.wrong(
    key,
    `is IPv${found}, but this medium is for IPv${family}`,
    `use medium ${found === 6 ? "ucast6 or mcast6" : "ucast or mcast"}`,
  );
}
