/**
 * The chapter's topology (DESIGN 4): who is in the lab, and with which addresses. A host that later
 * versions add is one more row here.
 */

export type LinkName = "eth0" | "eth1";
export type LabRole = "data" | "replica" | "director" | "client" | "switch";

export interface LabHost {
  readonly name: string;
  readonly role: LabRole;
  /** Last octet of its address on each of its networks. */
  readonly octet: number;
  readonly links: readonly LinkName[];
}

/** The first three octets of each network; all masks are 24 bits. */
export const networks = { eth0: "192.168.0", eth1: "192.168.1" } as const satisfies Record<
  LinkName,
  string
>;
export const writeAddress = "192.168.0.222";
export const readAddress = "192.168.0.223";
export const sqlPort = 3306;
/** The ping node: the switch itself. */
export const pingAddress = "192.168.0.1";

/** Holds the bridges, one per network, and the ping node's address. */
export const switchHost: LabHost = { name: "switch", role: "switch", octet: 1, links: [] };

/** All hosts but the switch, in the order in which they are started. */
export const labHosts: readonly LabHost[] = [
  { name: "dbm157", role: "data", octet: 157, links: ["eth0", "eth1"] },
  { name: "dbm158", role: "data", octet: 158, links: ["eth0", "eth1"] },
  { name: "client", role: "client", octet: 10, links: ["eth0"] },
];

export const dataHosts: readonly LabHost[] = labHosts.filter(({ role }) => role === "data");

/** The host of that name, the switch not included. */
export function findHost(name: string): LabHost | undefined {
  return labHosts.find((host) => host.name === name);
}

/** The fixed address of a host on one of its networks. */
export function addressOf(host: LabHost, link: LinkName): string {
  return `${networks[link]}.${host.octet}`;
}

/** The same after each power cycle, as with a real network card; locally administered. */
export function macOf(host: LabHost, link: LinkName): string {
  const network = link === "eth0" ? "00" : "01";
  return `02:00:c0:a8:${network}:${host.octet.toString(16).padStart(2, "0")}`;
}

/** The switch's end of a cable; at most 15 characters, as the kernel wants it. */
export function portOf(host: LabHost, link: LinkName): string {
  return `${host.name}.${link === "eth0" ? 0 : 1}`;
}

/** The bridge of a network, inside the switch. */
export function bridgeOf(link: LinkName): string {
  return link === "eth0" ? "lan" : "priv";
}
