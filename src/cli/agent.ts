/** `baton agent`: the daemon of one host. */
import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import type { ConfigOutcome, Timing } from "../config/index.ts";
import { softwareVersion } from "./version.ts";

interface AgentOptions {
  readonly config: string;
  readonly haDir?: string;
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
      "--name <host>",
      "this host's name in the configuration (default: uname -n, or nodeinfo)",
    )
    .option("--insecure", "accept crc as a digest, which protects against nothing")
    .addHelpText(
      "after",
      `
Signals: TERM and INT stop gracefully (groups are handed over), HUP restarts the agent without
changing what runs. Anything else that ends it leaves everything running: started again within
agent_grace it changes no role and stops nothing.

Example:
  baton agent --config /etc/baton/cluster.yaml
  baton agent --ha-dir /etc/ha.d`,
    )
    .action(runAgent);
}

async function runAgent(options: AgentOptions): Promise<void> {
  const { loadClassic, loadNative, ownName } = await import("../config/config.shell.ts");
  const { Agent, ownHost } = await import("../agent/agent.ts");
  const outcome: ConfigOutcome =
    options.haDir === undefined
      ? await loadNative(options.config, { self: options.name, insecure: options.insecure })
      : await loadClassic(options.haDir, { self: options.name, insecure: options.insecure });
  const { formatFinding } = await import("../config/index.ts");
  for (const finding of outcome.findings) say(formatFinding(finding));
  if (!outcome.ok) {
    process.exitCode = 2;
    return;
  }
  const { config } = outcome;
  const machine = options.haDir === undefined ? hostname() : await ownName(options.haDir);
  const host = ownHost(config, options.name ?? machine);
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const beatCommand = [process.execPath, "--disable-warning=ExperimentalWarning", main, "beat"];
  const agent = await Agent.start({
    config,
    host,
    version: softwareVersion(),
    beatCommand,
    parameters: parametersOf(config.timing, config.failover.autoFailback),
    say,
  });
  say(`agent of ${host} runs: cluster ${config.clusterName}, pid ${process.pid}`);
  await live(agent);
}

/** Until a signal ends it. */
async function live(agent: {
  readonly ended: Promise<"stopped" | "left">;
  stop(): Promise<unknown>;
  leave(): Promise<void>;
  fault(error: unknown): void;
}): Promise<void> {
  let restart = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      agent.stop().catch((error: unknown) => say(`cannot stop: ${(error as Error).message}`));
    });
  }
  process.on("SIGHUP", () => {
    restart = true;
    void agent.leave();
  });
  // Status 70: the supervisor starts it anew. What runs goes on; the beat process bridges the gap.
  for (const fault of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(fault, (error: unknown) => {
      agent.fault(error);
      process.exit(70);
    });
  }
  const end = await agent.ended;
  if (end === "left" && restart) {
    say("restarting");
    process.execve?.(process.execPath, [
      process.execPath,
      ...process.execArgv,
      ...process.argv.slice(1),
    ]);
  }
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
