/** The media directives of ha.cf: ucast, bcast, mcast and their IPv6 forms, serial, ping (heartbeat.md 2.2, 4). */
import { addressFamily, isMulticast } from "../addresses.ts";
import { quote } from "../findings.ts";
import type { LinkConfig } from "../model.ts";
import type { HaCfDraft } from "./ha-cf-draft.ts";
import { advice, illegal, kept, refused, type Verdict } from "./rows.ts";

const hostWord = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$/u;
const deviceWord = /^[^\s/]{1,15}$/u;

/** `ucast DEVICE ADDRESS` and `ucast6`: one medium; the same device and port are one link with several peers. */
export function readUcast(draft: HaCfDraft, value: string, medium: "ucast" | "ucast6"): Verdict {
  const [device = "", name = "", ...rest] = words(value);
  if (device === "" || name === "") {
    return illegal(
      `${medium} needs a device and an address`,
      `write \`${medium} eth0 ${medium === "ucast" ? "192.168.0.158" : "fe80::158"}\``,
    );
  }
  if (!deviceWord.test(device))
    return illegal(
      `${quote(device)} is not a device name`,
      "write the name of a network interface",
    );
  const address = addressOf(draft, name, medium === "ucast" ? 4 : 6);
  if (typeof address !== "string") return address;
  const index = draft.links.findIndex(
    (link) => link.medium === medium && link.device === device && link.port === draft.port,
  );
  const earlier = draft.links[index];
  const peer = { host: undefined, address };
  if (earlier !== undefined && "peers" in earlier) {
    if (earlier.peers.some((other) => other.address === address)) {
      return advice(
        `${address} on ${device} is there twice; one link is used`,
        "remove the second line",
      );
    }
    draft.links[index] = { ...earlier, peers: [...earlier.peers, peer] };
  } else draft.links.push({ medium, device, port: draft.port, peers: [peer] });
  if (rest.length > 0)
    return advice(`words after the address are ignored: ${quote(rest.join(" "))}`, "remove them");
  return kept(`a link over ${device}, port ${draft.port}`);
}

/** `bcast`: one broadcast medium per device. */
export function readBcast(draft: HaCfDraft, device: string): Verdict {
  if (!deviceWord.test(device))
    return illegal(
      `${quote(device)} is not a device name`,
      "write the name of a network interface",
    );
  return addLink(draft, { medium: "bcast", device, port: draft.port });
}

/** `mcast DEVICE GROUP PORT TTL LOOP`: all five are required. */
export function readMcast(draft: HaCfDraft, value: string, medium: "mcast" | "mcast6"): Verdict {
  const [device = "", group = "", portWord = "", ttlWord = "", loopWord = ""] = words(value);
  const example = `write \`${medium} eth0 ${medium === "mcast" ? "225.0.0.1" : "ff05::1"} 694 1 0\``;
  if (loopWord === "") return illegal(`${medium} needs device, group, port, ttl and loop`, example);
  if (!deviceWord.test(device)) return illegal(`${quote(device)} is not a device name`, example);
  if (!isMulticast(group) || addressFamily(group) !== (medium === "mcast" ? 4 : 6)) {
    return illegal(`${quote(group)} is not a multicast group of ${medium}`, example);
  }
  const port = decimal(portWord, 1, 65_535);
  const ttl = decimal(ttlWord, 0, 4);
  const loop = decimal(loopWord, 0, 1);
  if (port === undefined)
    return illegal(`${quote(portWord)} is not a port`, "write a number from 1 to 65535");
  if (ttl === undefined)
    return illegal(`ttl can not be ${quote(ttlWord)}`, "write a number from 0 to 4");
  if (loop === undefined) return illegal(`loop can not be ${quote(loopWord)}`, "write 0 or 1");
  return addLink(draft, { medium, device, port, group, ttl, loop: loop === 1 });
}

/** `serial`: not carried over; refused if it is the only medium. */
export function readSerial(draft: HaCfDraft): Verdict {
  draft.foreignMedia++;
  return refused(
    "Baton has no serial medium; the other links carry the heartbeats",
    "use a second network link instead",
  );
}

/** `ping ADDRESS...` and `ping6`: each address is a ping node of its own. */
export function readPing(draft: HaCfDraft, name: string, family: 4 | 6): Verdict {
  const address = addressOf(draft, name, family);
  if (typeof address !== "string") return address;
  return addPing(draft, { name, group: false, addresses: [address] });
}

/** `ping_group NAME ADDRESS...`: one node, up if any member answers. */
export function readPingGroup(draft: HaCfDraft, value: string): Verdict {
  const [name = "", ...members] = words(value);
  if (members.length === 0)
    return illegal(
      "ping_group needs a name and addresses",
      "write `ping_group net 192.168.0.1 192.168.0.2`",
    );
  const addresses: string[] = [];
  for (const member of members) {
    const address = addressOf(draft, member, 4);
    if (typeof address !== "string") return address;
    addresses.push(address);
  }
  return addPing(draft, { name, group: true, addresses });
}

/** Whole number from min to max; undefined otherwise. */
export function decimal(word: string, min: number, max: number): number | undefined {
  const value = /^[0-9]{1,10}$/u.test(word) ? Number(word) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

export const words = (value: string): readonly string[] =>
  value.split(/\s+/u).filter((word) => word !== "");

function addLink(
  draft: HaCfDraft,
  link: Exclude<LinkConfig, { medium: "ucast" | "ucast6" }>,
): Verdict {
  const same = draft.links.some(
    (other) =>
      other.medium === link.medium &&
      other.device === link.device &&
      other.port === link.port &&
      ("group" in link ? "group" in other && other.group === link.group : true),
  );
  if (same)
    return advice(
      `${link.medium} on ${link.device} is there twice; one link is used`,
      "remove the second one",
    );
  draft.links.push(link);
  return kept(`a link over ${link.device}, port ${link.port}`);
}

function addPing(draft: HaCfDraft, ping: HaCfDraft["pings"][number]): Verdict {
  if (draft.pings.some((other) => other.name === ping.name)) {
    return advice(
      `ping node ${quote(ping.name)} is there twice; one is used`,
      "remove the second one",
    );
  }
  draft.pings.push(ping);
  return kept(ping.group ? "a ping node that is up if any member answers" : "a ping node");
}

/** The address, or the verdict on a word that is none. */
function addressOf(draft: HaCfDraft, name: string, family: 4 | 6): string | Verdict {
  const found = addressFamily(name);
  if (found === family) return name;
  if (found !== undefined)
    return illegal(
      `${quote(name)} is an IPv${found} address`,
      `write an IPv${family} address, or use the directive for IPv${found}`,
    );
  // Digits and dots only: a mistyped address, which no resolver should be asked for.
  if (!hostWord.test(name) || /^[0-9.]+$/u.test(name))
    return illegal(`${quote(name)} is neither an address nor a host name`, "write an IP address");
  draft.namesMet.add(name);
  if (draft.resolved === undefined) return name;
  const address = Object.hasOwn(draft.resolved, name) ? draft.resolved[name] : undefined;
  return (
    address ??
    illegal(
      `the host name ${quote(name)} can not be resolved`,
      "write an IP address, so that nothing depends on a name service",
    )
  );
}
