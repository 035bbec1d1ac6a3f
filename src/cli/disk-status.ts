/** `baton disk status` and `proc`: all disks, asked in parallel over their sockets. */
import type { DiskProcessState } from "../replication/index.ts";
import {
  DiskConnection,
  type DiskSeen,
  disksWithSocket,
  isAbsent,
  seeDisk,
} from "./disk-sockets.ts";
import { diskLines } from "./disk-text.ts";
import { type Exit, exits } from "./exit.ts";
import { paint, print, printJson, printJsonLine } from "./output.ts";
import { formatProcDrbd } from "./proc-drbd.ts";
import { softwareVersion } from "./version.ts";

interface StatusOptions {
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** While watching, a process that went away is looked for again this often. */
const retryMs = 1_000;
/** A changing screen is for people: redrawn at most this often. */
const drawMs = 200;
/** Home, and clear what is below: the screen is redrawn without flicker. */
const redraw = "\u001b[H\u001b[J";

/** 1 if a disk that was asked for is not there, or a disk does not answer. */
export async function diskStatus(names: readonly string[], options: StatusOptions): Promise<Exit> {
  const wanted = names.length === 0 || names.includes("all") ? disksWithSocket() : names;
  if (options.watch === true) return await watch(wanted, options);
  const seen = await Promise.all(wanted.map((name) => seeDisk(name)));
  show(seen, options);
  if (seen.length === 0 && options.json !== true)
    print("no disk runs on this host (baton disk up NAME)");
  return seen.every(({ kind }) => kind === "here") ? exits.done : exits.negative;
}

function show(seen: readonly DiskSeen[], options: StatusOptions): void {
  if (options.json === true) printJson({ schema: "baton.disk.status.1", disks: seen.map(asJson) });
  else for (const each of seen) print(diskLines(each, paint).join("\n"));
}

function asJson(seen: DiskSeen): unknown {
  switch (seen.kind) {
    case "here":
      return { name: seen.name, process: "running", state: seen.state };
    case "absent":
      return { name: seen.name, process: "absent", state: null };
    default:
      return {
        name: seen.name,
        process: "unreachable",
        state: null,
        error: seen.error.toJSON(),
      };
  }
}

/** Until interrupted. */
async function watch(names: readonly string[], options: StatusOptions): Promise<Exit> {
  const latest = new Map<string, DiskSeen>(names.map((name) => [name, { name, kind: "absent" }]));
  let waiting = false;
  const draw = (): void => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      const text = [...latest.values()].flatMap((each) => diskLines(each, paint)).join("\n");
      process.stdout.write(process.stdout.isTTY ? `${redraw}${text}\n` : `${text}\n\n`);
    }, drawMs);
  };
  const changed = (seen: DiskSeen): void => {
    latest.set(seen.name, seen);
    if (options.json === true)
      printJsonLine({ schema: "baton.disk.status.1", disks: [asJson(seen)] });
    else draw();
  };
  await Promise.all(names.map((name) => follow(name, changed)));
  return exits.done;
}

/** Follows one disk for ever. */
async function follow(name: string, changed: (seen: DiskSeen) => void): Promise<void> {
  for (;;) {
    try {
      const connection = await DiskConnection.open(name);
      const take = (state: DiskProcessState): void => changed({ name, kind: "here", state });
      take(await connection.state());
      connection.follow(take);
      await new Promise<void>((resolve) => connection.whenGone(resolve));
      changed({ name, kind: "absent" });
    } catch (error) {
      if (!isAbsent(error)) throw error;
      changed({ name, kind: "absent" });
    }
    await new Promise<void>((resolve) => {
      setTimeout(() => resolve(), retryMs);
    });
  }
}

/** Prints the text of /proc/drbd. */
export async function diskProc(options: { readonly json?: boolean }): Promise<Exit> {
  const text = await procText();
  if (options.json === true) printJson({ schema: "baton.disk.proc.1", text });
  else process.stdout.write(text);
  return exits.done;
}

/** /proc/drbd of this host's disks. */
export async function procText(): Promise<string> {
  const seen = await Promise.all(disksWithSocket().map((name) => seeDisk(name)));
  const views = seen.flatMap((each) => (each.kind === "here" ? [each.state.view] : []));
  return formatProcDrbd(views, `baton-${softwareVersion()}`);
}
