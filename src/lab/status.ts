/** What a lab looks like from outside: asked of the kernel and of the write address, never of an agent. */
import type { Lab } from "./lab.ts";

import { addressesOf } from "./network.ts";
import { deviceNumbers, mountsOn } from "./power.ts";
import { commandLine, isAlive } from "./processes.ts";
import type { Cut, HostState, LabState } from "./state.ts";
import { imageUse } from "./storage.ts";
import { type LabHost, labHosts, sqlPort, switchHost, writeAddress } from "./topology.ts";

/** How long `status` waits for the write address. */
const answerLimitMs = 1_000;

export interface LabHostStatus {
  readonly name: string;
  readonly role: string;
  readonly state: "up" | "down" | "paused";
  /** Its PID 1 as this machine numbers it. */
  readonly pid: number | undefined;
  /** What of its cables is cut. */
  readonly cuts: Readonly<Record<string, Cut>>;
  /** By device, as `ip` shows them. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** Where it has mounted the shared disk. */
  readonly database: string | undefined;
  /** Processes of Baton that run there: verb and process id as this machine numbers it. */
  readonly agents: readonly { readonly verb: string; readonly pid: number }[];
}

/** The stable form of `lab status --json`. */
export interface LabStatus {
  readonly lab: string;
  readonly directory: string;
  readonly phase: LabState["phase"] | "down";
  readonly profile: string | undefined;
  readonly storage: string | undefined;
  readonly hosts: readonly LabHostStatus[];
  readonly write:
    | { readonly address: string; readonly answeredBy: string }
    | { readonly address: string; readonly error: string };
  /** Bytes of the shared image that are in use. */
  readonly diskBytes: number | undefined;
}

/** Looks at a lab, whatever condition it is in. */
export async function labStatus(lab: Lab): Promise<LabStatus> {
  const state = lab.state();
  const [hosts, write] = await Promise.all([
    state === undefined ? [] : Promise.all(labHosts.map((host) => hostStatus(lab, host, state))),
    writeStatus(lab, state),
  ]);
  return {
    lab: lab.names.lab,
    directory: lab.names.directory,
    phase: state?.phase ?? "down",
    profile: state?.profile,
    storage: state?.storage,
    hosts,
    write,
    diskBytes: imageUse(lab.names, "database"),
  };
}

async function hostStatus(lab: Lab, host: LabHost, state: LabState): Promise<LabHostStatus> {
  const known = state.hosts[host.name];
  const pid = known !== undefined && isAlive(known.init) ? known.init?.pid : undefined;
  const cuts = Object.entries(state.cuts).flatMap(([key, cut]) =>
    key.startsWith(`${host.name}.`) ? [[key.slice(host.name.length + 1), cut] as const] : [],
  );
  const database = known?.loops["database"];
  const numbers = deviceNumbers(database === undefined ? [] : [database]);
  return {
    name: host.name,
    role: host.role,
    state: pid === undefined ? "down" : isPaused(known) ? "paused" : "up",
    pid,
    cuts: Object.fromEntries(cuts),
    addresses: pid === undefined ? {} : await addressesOf(lab.names, pid).catch(() => ({})),
    database: pid === undefined ? undefined : mountsOn(pid, numbers)[0]?.place,
    agents: pid === undefined ? [] : agentsOf(lab.freezer.processes(host.name, pid)),
  };
}

/** The timer of a pause lives exactly as long as the pause. */
function isPaused(host: HostState | undefined): boolean {
  return host?.paused !== undefined && isAlive(host.paused.timer);
}

function agentsOf(pids: readonly number[]): { verb: string; pid: number }[] {
  return pids.flatMap((pid) => {
    const words = commandLine(pid);
    const main = words.findIndex((word) => word.endsWith("/src/main.ts"));
    const verb = main === -1 ? undefined : words[main + 1];
    return verb === undefined ? [] : [{ verb, pid }];
  });
}

async function writeStatus(lab: Lab, state: LabState | undefined): Promise<LabStatus["write"]> {
  const address = `${writeAddress}:${sqlPort}`;
  const client = state?.hosts["client"];
  if (client === undefined || !isAlive(client.init))
    return { address, error: "no client to ask with" };
  if (isPaused(client)) return { address, error: "the client is paused" };
  const result = await lab.sql("SELECT @@hostname", answerLimitMs);
  return result.code === 0
    ? { address, answeredBy: result.stdout.trim() }
    : { address, error: result.stderr.trim().replace(`Cannot connect to ${address}: `, "") };
}

/** One screen for a person. */
export function statusText(status: LabStatus): string {
  const { phase, profile, storage, write } = status;
  if (phase === "down") return `lab ${status.lab}: down (nothing in ${status.directory})`;
  const used =
    status.diskBytes === undefined ? "?" : `${Math.round(status.diskBytes / 1_048_576)} MiB`;
  return [
    `lab ${status.lab}: ${phase}, profile ${profile}, storage ${storage} (${used} in use), in ${status.directory}`,
    "answeredBy" in write
      ? `write address ${write.address}: answered by ${write.answeredBy}`
      : `write address ${write.address}: no answer: ${write.error}`,
    "",
    ...table([
      ["HOST", "STATE", "ADDRESSES", "SHARED DISK", "BATON", "CUT"],
      ...status.hosts.map(row),
      [switchHost.name, "", "192.168.0.1 (ping node)", "", "", ""],
    ]),
  ].join("\n");
}

function row(host: LabHostStatus): string[] {
  const addresses = Object.values(host.addresses)
    .flat()
    .map((address) => address.replace(/\/.*$/, ""));
  return [
    host.name,
    host.state,
    addresses.join(" ") || "-",
    host.database ?? "-",
    host.agents.map(({ verb, pid }) => `${verb} ${pid}`).join(", ") || "-",
    Object.entries(host.cuts)
      .map(([link, cut]) => (cut === "both" ? link : `${link} ${cut}`))
      .join(", ") || "-",
  ];
}

function table(rows: readonly string[][]): string[] {
  const widths =
    rows[0]?.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? "").length))) ??
    [];
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
