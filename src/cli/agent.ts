/** `baton agent`: the daemon of one host. */
import { statSync } from "node:fs";
import { enableCompileCache, flushCompileCache } from "node:module";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import type { CommandResult } from "../agent/control.ts";
import { BatonError } from "../base/index.ts";
import type { ClusterConfig, ConfigOutcome, Timing } from "../config/index.ts";
import { softwareVersion } from "./version.ts";

const defaultStateDirectory = "/var/lib/baton";

interface AgentOptions {
  readonly config: string;
  readonly haDir?: string;
  readonly drbdConf?: string;
  readonly name?: string;
  readonly insecure?: boolean;
}

/** Adds the verb `agent` to the program. */
export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("run the daemon of this host, in the foreground")
    .addOption(
      new Option("--config <file>", "cluster.yaml")
        .default("/etc/baton/cluster.yaml")
        .conflicts("haDir"),
    )
    .option("--ha-dir <directory>", "run straight from ha.cf, authkeys and haresources")
    .option(
      "--drbd-conf <file>",
      "with --ha-dir: disks are described there (default: drbdadm's, if haresources names drbddisk)",
    )
    .option(
      "--name <host>",
      "this host's name in the configuration (default: uname -n, or nodeinfo)",
    )
    .option("--insecure", "accept crc as a digest, which protects against nothing")
    .addHelpText(
      "after",
      `
Signals: TERM and INT stop gracefully (groups are handed over), HUP restarts the agent without
changing what runs, if a new one would accept the configuration. Anything else that ends it leaves everything running: started again within
agent_grace it changes no role and stops nothing.

Example:
  baton agent --config /etc/baton/cluster.yaml
  baton agent --ha-dir /etc/ha.d`,
    )
    .action(runAgent);
}

/**
 * A restart must be over before the peer misses this host: compiled code, kept where only root may write,
 * makes it three times as fast. The place is the usual state directory, because reading the configuration
 * is a third of the work. Without that directory all goes on as before.
 */
function useCompileCache(): void {
  try {
    const { uid, mode } = statSync(defaultStateDirectory);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return;
    enableCompileCache(join(defaultStateDirectory, "compile-cache"));
  } catch {
    // There is none: nothing is lost but time.
  }
}

async function runAgent(options: AgentOptions): Promise<void> {
  useCompileCache();
  const { Agent } = await import("../agent/agent.ts");
  const { openDiskLink } = await import("../agent/disk-link.ts");
  const loaded = await load(options);
  if (loaded === undefined) {
    say("the agent was not started: the configuration is refused");
    process.exitCode = 2;
    return;
  }
  const { config, host } = loaded;
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const program = [process.execPath, "--disable-warning=ExperimentalWarning", main];
  const agent = await Agent.start({
    config,
    host,
    version: softwareVersion(),
    beatCommand: [...program, "beat"],
    openDisk: (disk, changed) =>
      openDiskLink(
        disk,
        {
          config,
          version: softwareVersion(),
          command: [...program, "disk", "serve"],
          configArguments: diskArguments(options),
          say,
        },
        changed,
      ),
    parameters: parametersOf(config.timing, config.failover.autoFailback),
    say,
  });
  say(`agent of ${host} runs: cluster ${config.clusterName}, pid ${process.pid}`);
  flushCompileCache(); // at the end is too late for a process that is killed
  await live(agent, async () => {
    const fresh = await load(options);
    if (fresh === undefined) return false;
    await Agent.readable(fresh.config);
    return true;
  });
}

/** How a disk process finds what this agent runs from. */
function diskArguments({ config, haDir, drbdConf, name }: AgentOptions): readonly string[] {
  const files =
    haDir === undefined
      ? ["--config", config]
      : ["--ha-dir", haDir, ...(drbdConf === undefined ? [] : ["--drbd-conf", drbdConf])];
  return [...files, ...(name === undefined ? [] : ["--name", name])];
}

/** The configuration and our name in it; undefined: refused, and why was said. @throws {BatonError} */
async function load(
  options: AgentOptions,
): Promise<{ readonly config: ClusterConfig; readonly host: string } | undefined> {
  const { loadClassic, loadNative, ownName } = await import("../config/config.shell.ts");
  const { ownHost } = await import("../agent/agent.ts");
  const { formatFinding } = await import("../config/index.ts");
  const outcome: ConfigOutcome =
    options.haDir === undefined
      ? await loadNative(options.config, { self: options.name, insecure: options.insecure })
      : await loadClassic(options.haDir, {
          self: options.name,
          insecure: options.insecure,
          drbdConf: options.drbdConf,
        });
  for (const finding of outcome.findings) say(formatFinding(finding));
  if (!outcome.ok) return undefined;
  const { config } = outcome;
  const machine = options.haDir === undefined ? hostname() : await ownName(options.haDir);
  return { config, host: ownHost(config, options.name ?? machine) };
}

interface LivingAgent {
  readonly ended: Promise<"stopped" | "left">;
  stop(): Promise<CommandResult>;
  leave(): Promise<void>;
  fault(error: unknown): void;
}

/** Until a signal ends it. @param couldStart says why not, or throws, if a new agent would be refused */
async function live(agent: LivingAgent, couldStart: () => Promise<boolean>): Promise<void> {
  let state: "running" | "checking" | "leaving" | "stopping" = "running";
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (state !== "leaving") state = "stopping";
      void stopAndTell(agent);
    });
  }
  process.on("SIGHUP", () => {
    if (state !== "running") {
      say("not restarted: the agent is ending or restarting already");
      return;
    }
    state = "checking";
    void mayRestart(couldStart).then(async (may) => {
      if (state !== "checking") return;
      state = may ? "leaving" : "running";
      if (may) await agent.leave();
    });
  });
  // Status 70: the supervisor starts it anew. What runs goes on; the beat process bridges the gap.
  for (const fault of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(fault, (error: unknown) => {
      agent.fault(error);
      process.exit(70);
    });
  }
  if ((await agent.ended) !== "left") return;
  say("restarting");
  process.execve?.(process.execPath, [
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ]);
}

async function stopAndTell(agent: LivingAgent): Promise<void> {
  try {
    const { outcome, reason, detail } = await agent.stop();
    if (outcome !== "done") say(`[${reason}] not stopped yet, trying on: ${detail}`);
  } catch (error) {
    say(`cannot stop: ${(error as Error).message}`);
  }
}

/**
 * An agent that ends on a file it can not read would leave its groups running without anybody to
 * hold them, while the peer takes them over: so the running one looks first.
 */
async function mayRestart(couldStart: () => Promise<boolean>): Promise<boolean> {
  try {
    if (await couldStart()) return true;
  } catch (error) {
    say(error instanceof BatonError ? error.describe() : String(error));
  }
  say("not restarted: the configuration is refused; this agent goes on with the one that it has");
  return false;
}

/** What `cl_status hbparameter` knows, in the words of ha.cf. */
function parametersOf(timing: Timing, autoFailback: string): Readonly<Record<string, string>> {
  return {
    keepalive: `${timing.keepaliveMs}ms`,
    warntime: `${timing.warntimeMs}ms`,
    deadtime: `${timing.deadtimeMs}ms`,
    initdead: `${timing.initdeadMs}ms`,
    deadping: `${timing.deadpingMs}ms`,
    auto_failback: autoFailback,
  };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
