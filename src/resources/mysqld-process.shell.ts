/** The process of a database server: found by what it is, not by its number alone; never a second one. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants, readdirSync, readFileSync } from "node:fs";
import { access, chown, mkdir, open, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { cleanEnvironment } from "../system/index.ts";
import {
  binaryCandidates,
  configuredLog,
  isServerName,
  parseStat,
  serverArguments,
} from "./mysqld.ts";
import type { MysqldSpec } from "./spec.ts";

/** mysql.md 6.6: the last to be chosen when memory runs out, but before the agent. */
const OOM_SCORE_ADJUST = -600;

/** One process: its number may be used again, number and start time together never are. */
export interface ServerProcess {
  readonly pid: number;
  /** Clock ticks since boot, as /proc writes it. */
  readonly startTime: string;
  /** False: something other than this resource started it, with another socket and pid file. */
  readonly ours: boolean;
}

/** The server program; undefined if none is installed. */
export async function findBinary(spec: MysqldSpec): Promise<string | undefined> {
  for (const path of binaryCandidates(spec)) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // The next place.
    }
  }
  return undefined;
}

/**
 * The servers that work in the data directory: there should be one or none. A server changes into its data
 * directory, so the kernel knows; a pid file that is stale or wrong misleads nobody.
 */
export async function findServers(spec: MysqldSpec): Promise<readonly ServerProcess[]> {
  const directory = await stat(spec.dataDirectory).catch(() => undefined);
  const found: ServerProcess[] = [];
  // Synchronous: /proc is memory, and a promise for each process would take ten times as long.
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const process = readStat(pid);
    if (process === undefined || !isServerName(process.name, spec.binary)) continue;
    const cwd = `/proc/${pid}/cwd`;
    const [text, place] = await Promise.all([
      readlink(cwd).catch(() => ""),
      stat(cwd).catch(() => undefined),
    ]);
    const same =
      directory !== undefined && place?.dev === directory.dev && place.ino === directory.ino;
    // By name too: the directory may be unmounted or hidden under the server.
    if (same || text.replace(/ \(deleted\)$/, "") === spec.dataDirectory) {
      found.push({ pid, startTime: process.startTime, ours: await isOurs(spec, pid) });
    }
  }
  return found;
}

/** Whether it is the server of this resource: by its pid file, or by how it was called (the file comes late). */
async function isOurs(spec: MysqldSpec, pid: number): Promise<boolean> {
  const [pidFile, call] = await Promise.all([
    readFile(spec.pidFile, "utf8").catch(() => ""),
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
  ]);
  if (pidFile.trim() === String(pid)) return true;
  const words = call.split("\0");
  return words.includes(`--socket=${spec.socket}`) && words.includes(`--pid-file=${spec.pidFile}`);
}

/** Whether that very process still lives; a zombie does not. */
export function isAlive(server: ServerProcess): boolean {
  const process = readStat(server.pid);
  return process !== undefined && process.startTime === server.startTime;
}

/** Sends a signal to that very process. False if it was gone. */
export function signalServer(server: ServerProcess, signal: "SIGTERM" | "SIGKILL"): boolean {
  if (!isAlive(server)) return false;
  try {
    process.kill(server.pid, signal);
    return true;
  } catch {
    return false; // it ended in between
  }
}

function readStat(pid: number): ReturnType<typeof parseStat> {
  try {
    const process = parseStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
    return process?.state === "Z" || process?.state === "X" ? undefined : process;
  } catch {
    return undefined;
  }
}

/** Where the server writes its errors, and whether we must tell it to. */
export interface ServerLog {
  readonly path: string;
  readonly own: boolean;
}

/** Where the server writes its error log: as its option file says, else one of ours in the data directory. */
export async function findLog(spec: MysqldSpec): Promise<ServerLog> {
  const defaults =
    spec.defaultsFile === undefined
      ? ""
      : await readFile(spec.defaultsFile, "utf8").catch(() => "");
  const path = configuredLog(spec, defaults);
  return path === undefined
    ? { path: `${spec.dataDirectory}/mysqld.err`, own: true }
    : { path, own: false };
}

export interface StartedServer {
  readonly server: ServerProcess;
  readonly child: ChildProcess;
}

/**
 * Starts the server in a session of its own, with its data directory as its place, so that it survives the
 * agent and is found again. Its error log takes what it says before it opens the log by itself.
 * @throws if it can not be started
 */
export async function spawnServer(
  spec: MysqldSpec,
  binary: string,
  log: ServerLog,
): Promise<StartedServer> {
  const owner = await stat(spec.dataDirectory);
  for (const path of [spec.socket, spec.pidFile, log.path])
    await makeDirectory(dirname(path), owner);
  const file = await open(log.path, "a", 0o640);
  try {
    if ((await file.stat()).size === 0) await file.chown(owner.uid, owner.gid);
    const child = spawn(binary, serverArguments(spec, log.own ? log.path : undefined), {
      cwd: spec.dataDirectory,
      env: { ...cleanEnvironment },
      detached: true,
      stdio: ["ignore", file.fd, file.fd],
    });
    child.unref();
    await new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    const pid = child.pid ?? 0;
    // Best effort: a container may forbid it, and the server works without.
    await writeFile(`/proc/${pid}/oom_score_adj`, String(OOM_SCORE_ADJUST)).catch(() => undefined);
    const process = readStat(pid);
    return { server: { pid, startTime: process?.startTime ?? "gone", ours: true }, child };
  } finally {
    await file.close();
  }
}

/** /run is empty after a boot. */
async function makeDirectory(
  path: string,
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const created = await mkdir(path, { recursive: true });
  if (created !== undefined) await chown(path, owner.uid, owner.gid);
}
