/**
 * Cables and switch. Both ends of every cable lie in namespaces of the lab: the machine's own network
 * never has a device, an address or a rule of it.
 */
import { run } from "./commands.ts";
import type { LabNames } from "./names.ts";
import type { Cut } from "./state.ts";
import {
  addressOf,
  bridgeOf,
  type LabHost,
  type LinkName,
  macOf,
  networks,
  pingAddress,
  portOf,
  switchHost,
} from "./topology.ts";

const linkNames = Object.keys(networks) as LinkName[];

/** Runs `ip` with a batch inside the network namespace of a process. */
async function ipBatch(
  names: LabNames,
  pid: number,
  lines: readonly string[],
  force = false,
): Promise<void> {
  const flags = [...(force ? ["-force"] : []), "-batch", "-"];
  await run("nsenter", ["--target", `${pid}`, "--net", "--", "ip", ...flags], {
    names,
    input: `${lines.join("\n")}\n`,
  });
}

/** The bridges inside the switch, and the ping node's address. No route leads out. */
export async function buildSwitch(names: LabNames, switchPid: number): Promise<void> {
  const bridges = linkNames.flatMap((link) => [
    // A port forwards at once, and floods multicast, as a plain switch does.
    // An address of its own: else the bridge takes one of its ports', and changes it as hosts come and go.
    `link add ${bridgeOf(link)} address ${macOf(switchHost, link)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${bridgeOf(link)} up`,
  ]);
  await ipBatch(names, switchPid, [
    "link set lo up",
    ...bridges,
    `address add ${pingAddress}/24 dev ${bridgeOf("eth0")}`,
  ]);
}

/** Connects a host that has just been powered on, with its addresses; what was cut stays cut. */
export async function plugIn(
  names: LabNames,
  { host, hostPid, switchPid }: { host: LabHost; hostPid: number; switchPid: number },
): Promise<void> {
  await ipBatch(
    names,
    switchPid,
    host.links.flatMap((link) => [
      `link add ${portOf(host, link)} type veth peer name ${link} address ${macOf(host, link)} netns ${hostPid}`,
      `link set ${portOf(host, link)} master ${bridgeOf(link)}`,
      `link set ${portOf(host, link)} up`,
    ]),
  );
  await ipBatch(names, hostPid, [
    "link set lo up",
    ...host.links.flatMap((link) => [
      `link set ${link} up`,
      `address add ${addressOf(host, link)}/24 broadcast ${networks[link]}.255 dev ${link}`,
    ]),
  ]);
}

/** Pulls every cable of a host out of the switch, at once; the host sees its carriers go. */
export async function darken(names: LabNames, switchPid: number, host: LabHost): Promise<void> {
  await ipBatch(
    names,
    switchPid,
    host.links.map((link) => `link set ${portOf(host, link)} down`),
    true,
  );
}

/** Removes the switch's ends of a host that is without power, if they are still there. */
export async function unplug(names: LabNames, switchPid: number, host: LabHost): Promise<void> {
  // With the host's namespace gone the kernel removes the pair by itself, a little later: both may be first.
  await ipBatch(
    names,
    switchPid,
    host.links.map((link) => `link delete ${portOf(host, link)}`),
    true,
  ).catch(() => undefined);
}

/**
 * Makes the switch's ports of a powered host as `cuts` says. A cable cut both ways has no carrier; a
 * one-way cut keeps it, and is a rule on the port. Hosts are apart, so that several may be plugged in at once.
 */
export async function applyCuts(
  names: LabNames,
  switchPid: number,
  { host, cuts }: { host: LabHost; cuts: Readonly<Record<string, Cut>> },
): Promise<void> {
  const ports = host.links.map((link) => ({
    port: portOf(host, link),
    cut: cuts[`${host.name}.${link}`],
  }));
  await ipBatch(
    names,
    switchPid,
    ports.map(({ port, cut }) => `link set ${port} ${cut === "both" ? "down" : "up"}`),
  );
  await run("nsenter", ["--target", `${switchPid}`, "--net", "--", "nft", "-f", "-"], {
    names,
    input: cutRules(host.name, ports),
  });
}

/** The rules of one host as one transaction: they replace those that were there. */
export function cutRules(
  host: string,
  ports: readonly { readonly port: string; readonly cut: Cut | undefined }[],
): string {
  // What the host sends enters the switch at its port; what it hears leaves there.
  const chains = ports.flatMap(({ port, cut }, index) =>
    cut === "in" || cut === "out"
      ? [
          `chain cut${index} { type filter hook ${cut === "in" ? "egress" : "ingress"} device "${port}" priority 0; policy drop; }`,
        ]
      : [],
  );
  const table = `table netdev ${host}`;
  const anew = chains.length === 0 ? "" : `${table} {\n${chains.join("\n")}\n}\n`;
  return `${table}\ndelete ${table}\n${anew}`;
}

/** The addresses that a host has now, without those of its loopback and link-local ones. */
export async function addressesOf(
  names: LabNames,
  hostPid: number,
): Promise<Record<string, string[]>> {
  const text = await run(
    "nsenter",
    ["--target", `${hostPid}`, "--net", "--", "ip", "-j", "address"],
    { names },
  );
  const devices = JSON.parse(text) as {
    ifname: string;
    addr_info: { local: string; prefixlen: number; scope: string }[];
  }[];
  return Object.fromEntries(
    devices
      .filter(({ ifname }) => ifname !== "lo")
      .map(({ ifname, addr_info }) => [
        ifname,
        addr_info
          .filter(({ scope }) => scope === "global")
          .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      ]),
  );
}
