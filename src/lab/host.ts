/** Power on, power loss, pause: what happens to one host. The caller keeps the state file. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { delay } from "../system/clock.ts";
import { markedEnvironment } from "./commands.ts";
import { LabError } from "./errors.ts";
import type { Freezer } from "./freezer.ts";
import { bootLogPath, type LabNames, treePath } from "./names.ts";
import { programPath } from "./packages.ts";
import { childOf, isAlive, recordProcess, signalProcess } from "./processes.ts";
import type { HostState, ProcessRecord } from "./state.ts";
import { deviceNodes } from "./storage.ts";

const bootLimitMs = 15_000;
const killLimitMs = 10_000;

/** Root of this checkout: it holds src/main.ts and node_modules. */
export const checkout = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** A host whose kernel side stands: its cables can be plugged in. `go` starts its agent. */
export interface BootedHost {
  readonly init: ProcessRecord;
  go(): void;
}

export interface BootOptions {
  readonly names: LabNames;
  readonly freezer: Freezer;
  readonly host: string;
  readonly loops: Readonly<Record<string, string>>;
  /** Empty: no agent on this host. */
  readonly agentCommand: string;
}

/**
 * What a host may not do even as root, because it would reach the machine: load kernel code, set the
 * clock, touch its memory.
 */
const withoutRights = ["setpriv", "--bounding-set", "-sys_module,-sys_time,-sys_rawio", "--"];

/** Joins a group of the freezer, then becomes the command that follows. */
function joining(freezer: Freezer, group: string): [string, ...string[]] {
  return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', freezer.procsFile(group)];
}

/** Powers a host on, as far as its boot script goes without its cables. @throws {LabError} */
export async function bootHost(options: BootOptions): Promise<BootedHost> {
  const { names, freezer, host, loops } = options;
  freezer.create(host);
  const log = openSync(bootLogPath(names, host), "a", 0o600);
  const [file, ...args]: [string, ...string[]] = [
    ...joining(freezer, host),
    ...withoutRights,
    ...["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"],
    ...["tini", "--", fileURLToPath(new URL("host-init.sh", import.meta.url))],
  ];
  const child = spawn(file, args, {
    detached: true,
    cwd: "/",
    stdio: ["ignore", log, log, "pipe"],
    env: {
      ...markedEnvironment(names),
      LAB_HOST: host,
      LAB_TREE: treePath(names, host),
      LAB_DISK: loops["disk"] ?? "",
      LAB_NODES: deviceNodes(loops),
      LAB_CHECKOUT: checkout,
      LAB_NODE: process.execPath,
      LAB_AGENT_COMMAND: options.agentCommand,
    },
  });
  closeSync(log);
  const channel = child.stdio[3] as Duplex;
  const stands = await isReady(child, channel);
  const pid = child.pid === undefined ? undefined : childOf(child.pid);
  const init = pid === undefined ? undefined : recordProcess(pid);
  if (!stands || init === undefined) {
    child.kill("SIGKILL");
    throw new LabError(5, {
      code: "BTN-LAB-HOST-START",
      message: `Cannot start host ${host}: ${lastOf(bootLogPath(names, host))}`,
    });
  }
  child.unref();
  return { init, go: () => void channel.end("go\n", () => channel.destroy()) };
}

/** Waits for the boot script's word; false if it ended first or took too long. */
function isReady(child: ChildProcess, channel: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), bootLimitMs);
    const settle = (stands: boolean): void => {
      clearTimeout(timer);
      resolve(stands);
    };
    let said = "";
    channel.on("data", (chunk) => {
      said += String(chunk);
      if (said.includes("ready\n")) settle(true);
    });
    channel.on("error", () => settle(false));
    child.on("error", () => settle(false));
    child.on("close", () => settle(false));
    child.on("exit", () => settle(false));
  });
}

function lastOf(file: string): string {
  try {
    return readFileSync(file, "utf8").trim().slice(-2_000) || "it left no message";
  } catch {
    return "it left no log";
  }
}

/**
 * The arguments that run a command inside a host, in its cgroup, with a clean environment and, of the
 * caller's, only TERM. The exit status is the command's own.
 */
export function insideHost(
  freezer: Freezer,
  { host, pid, command }: { host: string; pid: number; command: readonly string[] },
): [string, ...string[]] {
  return [
    ...joining(freezer, host),
    ...withoutRights,
    ...["nsenter", "--target", `${pid}`, "--mount", "--uts", "--ipc", "--net", "--pid", "--"],
    ...["env", "-i", `PATH=/run/baton-lab/bin:${programPath}`, "HOME=/root", "LANG=C.UTF-8"],
    `TERM=${process.env["TERM"] ?? "dumb"}`,
    ...command,
  ];
}

/**
 * The arguments that run a program of the machine with the network of a host, and in its cgroup: for the
 * clients, which read and write files of the machine.
 */
export function onNetworkOf(
  freezer: Freezer,
  { host, pid, command }: { host: string; pid: number; command: readonly string[] },
): [string, ...string[]] {
  return [
    ...joining(freezer, host),
    ...["nsenter", "--target", `${pid}`, "--net", "--"],
    ...command,
  ];
}

/** Ends every process of a host by SIGKILL to its PID 1, frozen or not, and waits until all have gone. */
export async function killHost(
  freezer: Freezer,
  host: string,
  init: ProcessRecord | undefined,
): Promise<void> {
  const pid = isAlive(init) ? init?.pid : undefined;
  const others = freezer.processes(host, pid);
  if (pid !== undefined) signalProcess(pid, "SIGKILL");
  // A frozen process takes a signal only once it is thawed: this is then the first thing it sees.
  freezer.thaw(host, pid);
  for (let leftMs = killLimitMs; leftMs > 0; leftMs -= 10) {
    const left = freezer.processes(host, undefined);
    if (left.length === 0 && !isAlive(init)) return;
    // Clients on the host's network are not below its PID 1.
    for (const process of leftMs % 100 === 0 ? left : []) signalProcess(process, "SIGKILL");
    await delay(10);
  }
  throw new LabError(5, {
    code: "BTN-LAB-LEFTOVERS",
    message: `Cannot end host ${host}: of its processes ${others.join(", ")} some do not go`,
  });
}

/** Freezes a host; a process of its own thaws it later, whether or not anybody is still there. */
export async function pauseHost(
  options: { names: LabNames; freezer: Freezer; host: string; state: HostState },
  seconds: number,
): Promise<NonNullable<HostState["paused"]>> {
  const { names, freezer, host, state } = options;
  stopTimer(state);
  freezer.create("timers");
  const pid = state.init?.pid;
  // The timer first: a host must not stay frozen because its timer could not be started.
  const script = `sleep "$1"; ${freezer.thawScript(host, pid)}`;
  const [file, ...args]: [string, ...string[]] = [
    ...joining(freezer, "timers"),
    "sh",
    "-c",
    script,
    "baton-lab-thaw",
    `${seconds}`,
  ];
  const child = spawn(file, args, {
    detached: true,
    stdio: "ignore",
    cwd: "/",
    env: markedEnvironment(names),
  });
  child.unref();
  const timer = child.pid === undefined ? undefined : recordProcess(child.pid);
  if (timer === undefined) throw new Error(`Cannot start the timer that would thaw ${host}`);
  await freezer.freeze(host, pid);
  return { timer, untilWallMs: Date.now() + seconds * 1_000 };
}

/** Ends the timer of an earlier pause, if it still runs. */
export function stopTimer(state: HostState): void {
  const timer = state.paused?.timer;
  if (timer === undefined || !isAlive(timer)) return;
  try {
    process.kill(-timer.pid, "SIGKILL"); // it leads a group of its own: the sleep goes with it
  } catch {
    // it ended in this moment
  }
}
