/** Verbs of a running disk: one command to its process each, told to a person or as JSON. */
import type { DiskCommand, DiskOutcome, DiskProcessState } from "../replication/index.ts";
import type { DiskConfigOptions } from "./disk-config.ts";
import { confirm, dangerOf } from "./disk-danger.ts";
import { DiskConnection, disksWithSocket, isAbsent, seeDisk } from "./disk-sockets.ts";
import { isEstablished } from "./disk-states.ts";
import { progressText } from "./disk-text.ts";
import { CliError, type Exit, exits } from "./exit.ts";
import { harmless, print, printJsonLine } from "./output.ts";

/** Options that all of them take. */
export interface LiveOptions extends DiskConfigOptions {
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** Runs the command on the disk, or on all; returns the gravest exit code. */
export async function runLive(
  name: string,
  command: DiskCommand,
  options: LiveOptions & { readonly many: boolean },
): Promise<Exit> {
  if (name === "all" && !options.many) {
    throw new CliError(exits.usage, {
      code: "BTN-CLI-USAGE",
      message: `\`${command.verb}\` is for one disk at a time`,
      consequence: "Nothing was done",
      fix: "Name the disk",
    });
  }
  const names = name === "all" ? disksWithSocket() : [name];
  let worst: Exit = exits.done;
  for (const each of names) {
    const exit = await runOne(each, command, options);
    if (exit > worst) worst = exit;
  }
  return worst;
}

async function runOne(name: string, command: DiskCommand, options: LiveOptions): Promise<Exit> {
  let connection: DiskConnection;
  try {
    connection = await DiskConnection.open(name);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    return await withoutProcess(name, command, options);
  }
  try {
    await confirmLoss(command, await connection.state(), options);
    const outcome = await perform(connection, command, options);
    tell(name, command.verb, outcome, options);
    return outcome.outcome === "done"
      ? exits.done
      : outcome.outcome === "refused"
        ? exits.refused
        : exits.failed;
  } finally {
    connection.close();
  }
}

/** @throws {CliError} exit 4 if nobody agreed */
async function confirmLoss(
  command: DiskCommand,
  state: DiskProcessState,
  options: LiveOptions,
): Promise<void> {
  if (dangerOf(command, state, "") === undefined) return;
  const place = state.device ?? (await backingOf(state.view.name, options));
  const { contentsOf } = await import("./disk-contents.ts");
  const contents = place === undefined ? "" : `${place}: ${contentsOf(place)}`;
  const danger = dangerOf(command, state, contents);
  if (danger !== undefined) await confirm(danger, options.yes === true);
}

/** Where the data lie while no application can open the disk; undefined: the configuration does not tell. */
async function backingOf(name: string, options: LiveOptions): Promise<string | undefined> {
  try {
    const { ownDisk } = await import("./disk-config.ts");
    return (await ownDisk(name, options)).side.backing;
  } catch (error) {
    if (error instanceof CliError) return undefined; // Told less; asked all the same.
    throw error;
  }
}

/** What can be done, or is so already, while nothing runs the disk. */
async function withoutProcess(
  name: string,
  command: DiskCommand,
  options: LiveOptions,
): Promise<Exit> {
  if (command.verb === "outdate" || command.verb === "invalidate") {
    const { markOffline } = await import("./disk-metadata.ts");
    return await markOffline(command.verb, name, options);
  }
  const { ownDisk } = await import("./disk-config.ts");
  await ownDisk(name, options);
  if (["down", "secondary", "detach", "disconnect"].includes(command.verb)) {
    const detail = "nothing runs it";
    tell(
      name,
      command.verb,
      { outcome: "done", reason: "BTN-CLI-DISK-DOWN", code: 2, detail },
      options,
    );
    return exits.done;
  }
  throw new CliError(exits.unreachable, {
    code: "BTN-CLI-DISK-DOWN",
    message: `Disk ${name} is not running on this host`,
    consequence: `\`${command.verb}\` was not done`,
    fix: `Start it: baton disk up ${name}`,
  });
}

/** Sends the command; `down` may end the process before it has answered. */
async function perform(
  connection: DiskConnection,
  command: DiskCommand,
  options: LiveOptions,
): Promise<DiskOutcome> {
  const progress = (line: string): void => {
    if (options.json === true) printJsonLine({ progress: { disk: connection.name, line } });
    else print(`${connection.name}: ${harmless(line)}`);
  };
  const stop = command.verb === "verify" ? followProgress(connection, options) : () => undefined;
  try {
    const outcome = await connection.command(command, progress);
    if (command.verb === "verify" && outcome.outcome === "done") await verified(connection);
    return outcome;
  } catch (error) {
    if (command.verb !== "down" || !connection.gone) throw error;
    return { outcome: "done", reason: "BTN-CLI-DISK-DOWN", code: 1, detail: "its process ended" };
  } finally {
    stop();
  }
}

/** Prints progress lines of a verify or resync, over each other on a terminal. */
function followProgress(connection: DiskConnection, options: LiveOptions): () => void {
  const { isTTY } = process.stdout;
  let last = "";
  const end = connection.follow((state) => {
    const text = progressText(state.view);
    if (text === undefined || text === last) return;
    last = text;
    if (options.json === true)
      printJsonLine({ progress: { disk: connection.name, resync: state.view.resync } });
    else if (isTTY) process.stdout.write(`\r\u001b[K${connection.name}: ${text}`);
    else print(`${connection.name}: ${text}`);
  });
  return () => {
    end();
    if (isTTY && last !== "" && options.json !== true) process.stdout.write("\n");
  };
}

/** Until a verify that was begun is over. */
async function verified(connection: DiskConnection): Promise<void> {
  const runs = ({ view }: DiskProcessState): boolean => view.resync?.kind === "verify";
  if (!runs(await connection.state())) return;
  await new Promise<void>((resolve, reject) => {
    const stop = connection.follow((state) => {
      if (runs(state)) return;
      stop();
      resolve();
    });
    connection.whenGone(() => reject(lost(connection.name)));
  });
}

function lost(name: string): CliError {
  return new CliError(exits.unreachable, {
    code: "BTN-CLI-DISK-LOST",
    message: `The process of disk ${name} went away meanwhile`,
    consequence: "How it ended is not known here",
    fix: "Look at `baton disk status`, then ask again",
  });
}

function tell(name: string, verb: string, outcome: DiskOutcome, options: LiveOptions): void {
  if (options.json === true) {
    printJsonLine({ result: { schema: "baton.disk.command.1", disk: name, verb, ...outcome } });
    return;
  }
  const detail = outcome.detail === "" ? "" : `: ${harmless(outcome.detail)}`;
  const text = `${name}: ${verb} ${outcome.outcome}${detail}`;
  if (outcome.outcome === "done") print(text);
  else process.stderr.write(`${text} [${harmless(outcome.reason)}]\n`);
}

/** `role`, `cstate`, `dstate`, as drbdadm prints them. */
export async function showWord(
  verb: "role" | "cstate" | "dstate",
  name: string,
  options: LiveOptions,
): Promise<Exit> {
  const names = name === "all" ? disksWithSocket() : [name];
  const words: Record<string, string> = {};
  for (const each of names) words[each] = (await wordOf(verb, each, options)) ?? "Unconfigured";
  if (options.json === true) printJsonLine({ schema: `baton.disk.${verb}.1`, disks: words });
  else for (const word of Object.values(words)) print(word);
  return exits.done;
}

/** The word of one disk; undefined: nothing runs it. `dstate` then looks at the metadata. */
export async function wordOf(
  verb: "role" | "cstate" | "dstate",
  name: string,
  options: DiskConfigOptions,
): Promise<string | undefined> {
  const seen = await seeDisk(name);
  if (seen.kind === "silent") throw seen.error;
  if (seen.kind === "here") return stateWord(verb, seen.state);
  const { metadataTarget, ownDisk } = await import("./disk-config.ts");
  const disk = await ownDisk(name, options);
  if (verb !== "dstate") return undefined;
  const { inspectMetadata } = await import("../replication/metadata/metadata.shell.ts");
  const { diskStateOf } = await import("../replication/index.ts");
  const found = inspectMetadata(metadataTarget(disk));
  return found.ok ? `${diskStateOf(found.value.superblock.flags)}/DUnknown` : undefined;
}

/** drbd.md 9.5. */
export function stateWord(
  verb: "role" | "cstate" | "dstate",
  { view: { state } }: DiskProcessState,
): string | undefined {
  if (state.conn === "StandAlone" && state.disk === "Diskless" && state.role === "Secondary")
    return undefined;
  if (verb === "role") return `${state.role}/${state.peer}`;
  return verb === "cstate" ? state.conn : `${state.disk}/${state.pdsk}`;
}

/** What waiting for a connection came to. */
export type Waited = "connected" | "standalone" | "timeout";

/** Waits for the connection. @throws {BatonError} if nothing runs the disk */
export async function waitForConnection(
  name: string,
  timeoutMs: number | undefined,
): Promise<Waited> {
  const connection = await DiskConnection.open(name);
  try {
    const judge = ({ view: { state } }: DiskProcessState): Waited | undefined => {
      if (isEstablished(state.conn)) return "connected";
      return state.conn === "StandAlone" ? "standalone" : undefined;
    };
    const first = judge(await connection.state());
    if (first !== undefined) return first;
    return await new Promise<Waited>((resolve, reject) => {
      const timer =
        timeoutMs === undefined ? undefined : setTimeout(() => resolve("timeout"), timeoutMs);
      connection.follow((state) => {
        const found = judge(state);
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      });
      connection.whenGone(() => reject(lost(name)));
    });
  } finally {
    connection.close();
  }
}

/** `wait-connect`. */
export async function waitConnect(
  name: string,
  options: { readonly timeout?: number; readonly json?: boolean },
): Promise<Exit> {
  const { timeout } = options;
  const found = await waitForConnection(name, timeout === undefined ? undefined : timeout * 1_000);
  if (options.json === true)
    printJsonLine({ schema: "baton.disk.wait-connect.1", disk: name, result: found });
  else if (found === "connected") print(`${name}: connected`);
  else
    process.stderr.write(
      found === "timeout"
        ? `${name}: not connected within ${timeout} s\n`
        : `${name}: StandAlone, so it does not connect; baton disk connect ${name}\n`,
    );
  return found === "connected" ? exits.done : exits.negative;
}

/** `check-resize`. */
export function refuseResize(): never {
  throw new CliError(exits.refused, {
    code: "BTN-CLI-DISK-NO-RESIZE",
    message: "A disk can not be resized in this version",
    consequence: "Nothing was changed; a disk keeps the size that both hosts agreed on",
    fix: "Make a larger disk beside it and copy, or resize it under DRBD and come back: the metadata is the same",
  });
}
