/**
 * `drbdadm`, `drbddisk` and `drbd-peer-outdater` as scripts know them: words, streams and exit codes of drbd.md 8.3, 9.5
 * to 9.7. They never ask: who calls them has decided.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BatonError } from "../base/index.ts";
import { connectLines } from "../system/lines.ts";
import { demandSafeDirectory, socketPath } from "./agent-client.ts";
import { wordOf } from "./disk-live.ts";
import { runDrbdadm } from "./drbdadm.ts";
import { harmless, print } from "./output.ts";
import { softwareVersion } from "./version.ts";

/** Runs a command of DRBD; returns its exit code. */
export async function runDrbdCommand(name: string, args: readonly string[]): Promise<number> {
  switch (name) {
    case "drbddisk":
      return await drbddisk(args);
    case "drbd-peer-outdater":
      return await outdatePeer(args);
    default:
      return await runDrbdadm(args);
  }
}

/** drbd.md 9.5: up to 6 tries to become Primary, 3 to become Secondary, a second apart. */
const primaryTries = 6;
const secondaryTries = 3;
const betweenTriesMs = 1_000;

/** The resource script of heartbeat v1: `drbddisk [RESOURCE] start|stop|status`; it judges by the word "running". */
async function drbddisk(args: readonly string[]): Promise<number> {
  const action = args.at(-1) ?? "";
  const resource = args.length > 1 ? (args[0] ?? "all") : "all";
  if (args.length > 2 || !["start", "stop", "status"].includes(action)) {
    print("Usage: drbddisk [resource] {start|stop|status}");
    return 1;
  }
  if (action === "status") return await drbddiskStatus(resource);
  const [verb, tries] =
    action === "start"
      ? (["primary", primaryTries] as const)
      : (["secondary", secondaryTries] as const);
  for (let attempt = 1; ; attempt++) {
    const status = await runDrbdadm([verb, resource]);
    if (status === 0) return 0;
    if (attempt === tries) return 1;
    await sleep(betweenTriesMs);
  }
}

async function drbddiskStatus(resource: string): Promise<number> {
  let role: string | undefined;
  try {
    const word = resource === "all" ? undefined : await wordOf("role", resource, {});
    role = word?.split("/", 1)[0] ?? "Unconfigured";
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    process.stderr.write(`drbddisk: ${error.describe()}\n`);
  }
  switch (role) {
    case "Primary":
      print(`running (${role})`);
      return 0;
    case "Secondary":
    case "Unconfigured":
      print(`stopped (${role})`);
      return 3;
    default:
      print("cannot determine status, may be running (Unknown)");
      return 4;
  }
}

/** drbd.md 8.3. */
const unreachableExit = 5;
const garbageExit = 20;

/** `drbd-peer-outdater -p PEER -r RESOURCE -t SECONDS`: the agent asks the peer over heartbeat's links. */
async function outdatePeer(args: readonly string[]): Promise<number> {
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const flag = /^-([prt])(.*)$/u.exec(args[at] ?? "");
    const value = flag?.[2] === "" ? args[++at] : flag?.[2];
    if (flag?.[1] === undefined || value === undefined) return outdaterUsage();
    options.set(flag[1], value);
  }
  // DRBD_PEERS is its newer name; DRBD_PEER is what the original reads.
  const peer = options.get("p") ?? process.env["DRBD_PEER"] ?? process.env["DRBD_PEERS"];
  const disk = options.get("r") ?? process.env["DRBD_RESOURCE"];
  const seconds = Number(options.get("t") ?? "60");
  if (peer === undefined || disk === undefined || !(seconds > 0 && seconds <= 86_400))
    return outdaterUsage();
  const path = socketPath({});
  try {
    demandSafeDirectory(path);
    const timeoutMs = seconds * 1_000;
    const client = await connectLines(path, { software: `baton ${softwareVersion()}`, timeoutMs });
    try {
      const answer = await client.request("outdatePeer", { disk, peer }, { timeoutMs });
      const code = (answer as { readonly code?: unknown } | null)?.code;
      return typeof code === "number" && Number.isInteger(code) && code >= 0 && code < 256
        ? code
        : garbageExit;
    } finally {
      client.close();
    }
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    process.stderr.write(`drbd-peer-outdater: ${harmless(error.message)}\n`);
    return error.code.startsWith("BTN-SOCKET-") ? unreachableExit : garbageExit;
  }
}

function outdaterUsage(): number {
  process.stderr.write("usage: drbd-peer-outdater -p PEER -r RESOURCE [-t SECONDS]\n");
  return garbageExit;
}
