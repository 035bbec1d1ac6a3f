/** `baton disk up`: starts the process of a disk if there is none, then attaches and connects. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DiskCommand } from "../replication/index.ts";
import { configArguments, type DiskConfigOptions, ownDisk, ownDisks } from "./disk-config.ts";
import { DiskConnection, isAbsent, runDirectory } from "./disk-sockets.ts";
import { CliError, type Exit, exits } from "./exit.ts";
import { harmless, print, printJsonLine } from "./output.ts";

interface UpOptions extends DiskConfigOptions {
  readonly json?: boolean;
}

/** A process that has no socket after this long has not started. */
const startTimeoutMs = 10_000;
/** How often the socket is looked for meanwhile. */
const lookMs = 20;

/** Ups the disk, or all of this host. */
export async function up(name: string, options: UpOptions): Promise<Exit> {
  const names =
    name === "all"
      ? (await ownDisks(options)).map(({ spec }) => spec.name)
      : [(await ownDisk(name, options)).spec.name];
  let worst: Exit = exits.done;
  for (const each of names) {
    const exit = await upOne(each, options);
    if (exit > worst) worst = exit;
  }
  return worst;
}

async function upOne(name: string, options: UpOptions): Promise<Exit> {
  const connection = await connectOrStart(name, options);
  try {
    const { view } = await connection.state();
    const steps: readonly DiskCommand[] = [
      ...(view.state.disk === "Diskless" ? [{ verb: "attach" } as const] : []),
      ...(view.state.conn === "StandAlone"
        ? [{ verb: "connect", discardMyData: false } as const]
        : []),
    ];
    for (const step of steps) {
      const outcome = await connection.command(step);
      if (outcome.outcome === "done") continue;
      if (options.json === true)
        printJsonLine({
          result: { schema: "baton.disk.command.1", disk: name, verb: "up", ...outcome },
        });
      else
        process.stderr.write(
          `${name}: up ${outcome.outcome} at ${step.verb}: ${harmless(outcome.detail)} [${harmless(outcome.reason)}]\n`,
        );
      return outcome.outcome === "refused" ? exits.refused : exits.failed;
    }
    const detail = steps.length === 0 ? "it was up already" : "";
    if (options.json === true) {
      const outcome = { outcome: "done", reason: "", code: steps.length === 0 ? 2 : 1, detail };
      printJsonLine({
        result: { schema: "baton.disk.command.1", disk: name, verb: "up", ...outcome },
      });
    } else print(`${name}: up${detail === "" ? "" : `, ${detail}`}`);
    return exits.done;
  } finally {
    connection.close();
  }
}

/** The process of the disk, started if there is none. @throws {CliError} if it does not come up */
export async function connectOrStart(
  name: string,
  options: DiskConfigOptions,
): Promise<DiskConnection> {
  try {
    return await DiskConnection.open(name);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const child = spawn(
    process.execPath,
    [...process.execArgv, main, "disk", "serve", name, ...configArguments(options)],
    {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, BATON_RUN_DIR: runDirectory(), BATON_NAME: "" },
    },
  );
  let said = "";
  let ended: string | undefined;
  child.stderr.on("data", (chunk: Buffer) => {
    said = `${said}${chunk.toString("utf8")}`.slice(-4_096);
  });
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (status, signal) => {
    ended = signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`;
  });
  const until = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      const connection = await DiskConnection.open(name);
      child.stderr.destroy();
      child.unref();
      return connection;
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    if (ended !== undefined || performance.now() > until) break;
    await sleep(lookMs);
  }
  throw new CliError(exits.failed, {
    code: "BTN-CLI-DISK-START",
    message: `The process of disk ${name} did not start: ${ended ?? `no socket within ${startTimeoutMs / 1_000} s`}`,
    consequence: said === "" ? "The disk is not there" : `It said: ${harmless(said.trim())}`,
    fix: `Run it in the foreground to see why: baton disk serve ${name}`,
  });
}
