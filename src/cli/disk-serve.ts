/** `baton disk serve NAME`: the process of one disk. Hidden: `baton disk up` and the agent start it (DESIGN 2). */
import { readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { hostname } from "node:os";
import type { Command } from "commander";
import type { DiskSpec } from "../replication/index.ts";
import type { DiskConfigOptions } from "./disk-config.ts";
import { CliError, exits } from "./exit.ts";

/** Only root may write there: what is in it is run. */
const compileCache = "/var/lib/baton/compile-cache";

interface ServeOptions extends DiskConfigOptions {
  readonly spec?: string | undefined;
}

/** Adds the verb `serve` to `baton disk`. */
export function registerDiskServe(disk: Command): void {
  disk
    .command("serve <name>", { hidden: true })
    .description("the process of one disk; `baton disk up` and the agent start it")
    .option("--config <file>", "cluster.yaml")
    .option("--ha-dir <directory>", "the classic files")
    .option("--drbd-conf <file>", "drbd.conf")
    .option("--spec <file>", "one disk as JSON, this host's side first; for tests")
    .option("--name <host>", "this host's name in the configuration (default: uname -n)")
    .addHelpText(
      "after",
      `
Nothing is attached at the start: that is asked over the socket.
Signals: TERM and INT end it in order, unless the disk is Primary and in use; HUP does nothing.
Environment: BATON_RUN_DIR, BATON_DEV_DIR; for tests BATON_FAILPOINT, BATON_DISK_LOG.

Example:
  baton disk serve r0 --config /etc/baton/cluster.yaml`,
    )
    .action(serve);
}

/** Loads no more than it needs: this process is to stay small. */
async function serve(name: string, options: ServeOptions): Promise<void> {
  // Each thread would load a compiler of its own: with the cache the process needs half of the memory.
  if (process.env["NODE_COMPILE_CACHE"] === undefined) enableCompileCache(compileCache);
  const { spec, host, configuration } = await findDisk(name, options);
  const { runDirectory } = await import("./disk-sockets.ts");
  const { softwareVersion } = await import("./version.ts");
  const { runDiskProcess } = await import("../agent/disk/process.ts");
  const { env } = process;
  await runDiskProcess({
    spec,
    host,
    secret: await secretOf(spec),
    runDirectory: runDirectory(),
    deviceDirectory: env["BATON_DEV_DIR"],
    configuration,
    softwareVersion: softwareVersion(),
    failpoint: env["BATON_FAILPOINT"],
    diskLog: env["BATON_DISK_LOG"],
  });
}

async function findDisk(
  name: string,
  options: ServeOptions,
): Promise<{ spec: DiskSpec; host: string; configuration: string }> {
  if (options.spec === undefined) {
    const { ownDisk } = await import("./disk-config.ts");
    const { spec, side } = await ownDisk(name, options);
    const configuration = options.drbdConf ?? options.config ?? "/etc/drbd.conf";
    return { spec, host: side.host, configuration };
  }
  const spec = readSpec(options.spec);
  const host = (options.name ?? hostname()).toLowerCase();
  const own = spec.hosts.find((side) => side.host === host) ?? spec.hosts[0];
  return { spec, host: own.host, configuration: options.spec };
}

function readSpec(path: string): DiskSpec {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as DiskSpec;
  } catch (cause) {
    throw new CliError(exits.usage, {
      code: "BTN-CONFIG-UNREADABLE",
      message: `Cannot read the disk in ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}

async function secretOf(spec: DiskSpec): Promise<Uint8Array | undefined> {
  const { authentication } = spec.net;
  if (authentication === undefined) return undefined;
  const { loadDiskSecret } = await import("../config/secret.shell.ts");
  const secret = await loadDiskSecret(authentication.secretFile);
  if (!secret.ok) throw secret.error;
  return secret.value;
}
