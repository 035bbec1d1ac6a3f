/**
 * `baton disk`: the drbdadm of Baton. Here only the words of the command line; what they do is in the files beside it,
 * loaded when asked for.
 */
import { Command, InvalidArgumentError } from "commander";
import type { DiskCommand } from "../replication/index.ts";
import { withConfigOptions } from "./disk-config.ts";
import type { LiveOptions } from "./disk-live.ts";

/** What all verbs of a running disk share. */
interface Live {
  readonly verb: string;
  readonly summary: string;
  readonly example: string;
  /** Also with `all`. */
  readonly many: boolean;
  options?(command: Command): Command;
  command(options: Readonly<Record<string, unknown>>): DiskCommand;
}

const flag = (options: Readonly<Record<string, unknown>>, name: string): boolean =>
  options[name] === true;
const number = (value: unknown): number | undefined =>
  typeof value === "number" ? value : undefined;

/** Verbs that are one command to the process of the disk. */
const live: readonly Live[] = [
  {
    verb: "attach",
    summary: "open the backing device and its metadata",
    example: "baton disk attach r0",
    many: true,
    command: () => ({ verb: "attach" }),
  },
  {
    verb: "detach",
    summary: "let go of the backing device; reads and writes go to the peer",
    example: "baton disk detach r0",
    many: true,
    options: (command) => command.option("--force", "also if writes to it do not end"),
    command: (options) => ({ verb: "detach", force: flag(options, "force") }),
  },
  {
    verb: "connect",
    summary: "connect to the peer, and stay connected",
    example: "baton disk connect r0 --discard-my-data",
    many: true,
    options: (command) =>
      command
        .option("--discard-my-data", "after a split brain: throw away what this host wrote alone")
        .option("--dry-run", "only tell what the handshake would decide, then disconnect"),
    command: (options) => ({
      verb: "connect",
      discardMyData: flag(options, "discardMyData"),
      ...(flag(options, "dryRun") ? { dryRun: true } : {}),
    }),
  },
  {
    verb: "disconnect",
    summary: "end the connection, and do not connect again",
    example: "baton disk disconnect r0",
    many: true,
    options: (command) => command.option("--force", "without asking the peer"),
    command: (options) => ({ verb: "disconnect", force: flag(options, "force") }),
  },
  {
    verb: "primary",
    summary: "let applications here open the disk",
    example: "baton disk primary r0",
    many: true,
    options: (command) =>
      command.option("--force", "declare the data here the good ones: first use, or a last resort"),
    command: (options) => ({ verb: "primary", force: flag(options, "force") }),
  },
  {
    verb: "secondary",
    summary: "give the role up; nothing may have the disk open",
    example: "baton disk secondary r0",
    many: true,
    command: () => ({ verb: "secondary" }),
  },
  {
    verb: "outdate",
    summary: "mark the data here as old: not to be used before they are synced",
    example: "baton disk outdate r0",
    many: true,
    command: () => ({ verb: "outdate" }),
  },
  {
    verb: "invalidate",
    summary: "throw the data here away and copy everything from the peer",
    example: "baton disk invalidate r0",
    many: false,
    command: () => ({ verb: "invalidate" }),
  },
  {
    verb: "invalidate-remote",
    summary: "throw the peer's data away and copy everything to it",
    example: "baton disk invalidate-remote r0",
    many: false,
    command: () => ({ verb: "invalidate-remote" }),
  },
  {
    verb: "pause-sync",
    summary: "pause a resync",
    example: "baton disk pause-sync r0",
    many: true,
    command: () => ({ verb: "pause-sync" }),
  },
  {
    verb: "resume-sync",
    summary: "go on with a paused resync",
    example: "baton disk resume-sync r0",
    many: true,
    command: () => ({ verb: "resume-sync" }),
  },
  {
    verb: "suspend-io",
    summary: "freeze reads and writes of applications",
    example: "baton disk suspend-io r0",
    many: true,
    command: () => ({ verb: "suspend-io" }),
  },
  {
    verb: "resume-io",
    summary: "let frozen reads and writes go on",
    example: "baton disk resume-io r0",
    many: true,
    command: () => ({ verb: "resume-io" }),
  },
  {
    verb: "new-current-uuid",
    summary: "begin a new data generation",
    example: "baton disk new-current-uuid r0 --clear-bitmap",
    many: false,
    options: (command) =>
      command.option("--clear-bitmap", "declare both copies equal, without looking"),
    command: (options) => ({
      verb: "new-current-uuid",
      clearBitmap: flag(options, "clearBitmap"),
    }),
  },
  {
    verb: "verify",
    summary: "compare both copies, with progress",
    example: "baton disk verify r0 --start 0 --stop 1GiB",
    many: false,
    options: (command) =>
      command
        .option("--start <position>", "from there: sectors, or a size such as 10GiB", position)
        .option("--stop <position>", "to there", position),
    command: (options) => ({
      verb: "verify",
      start: number(options["start"]),
      stop: number(options["stop"]),
    }),
  },
];

/** Sectors; a bare number is sectors already, as for drbdadm. */
function position(text: string): number {
  const match = /^([0-9]{1,15})(s|KiB|MiB|GiB|TiB)?$/u.exec(text);
  const sectors = { s: 1, KiB: 2, MiB: 2_048, GiB: 2_097_152, TiB: 2_147_483_648 };
  const unit = (match?.[2] ?? "s") as keyof typeof sectors;
  const value = Number(match?.[1]) * sectors[unit];
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Write sectors, or a size such as 10GiB.");
}

/** Adds `disk` and its verbs to the program. */
export function registerDisk(program: Command): void {
  const disk = program
    .command("disk")
    .summary("replicated disks: roles, connections, metadata")
    .description("replicated disks of this host: roles, connections, data, metadata")
    .enablePositionalOptions()
    .addHelpText(
      "after",
      `
NAME is a disk, or \`all\` where many make sense. What would lose data says what, and needs --yes or a typed answer.

Example:
  baton disk create-md r0 && baton disk up r0
  baton disk primary r0 --force        # the first time, on the host with the good data
  baton disk status --watch`,
    );
  for (const each of live) registerLive(disk, each);
  registerUp(disk);
  registerDown(disk);
  registerStatus(disk);
  registerShown(disk);
  registerMetadata(disk);
  registerServe(disk);
}

/** The process itself; `up` and the agent start it. Its own file knows its options. */
function registerServe(disk: Command): void {
  disk
    .command("serve", { hidden: true })
    .description("the process of one disk; `up` and the agent start it")
    .argument("[arguments...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(async (_words: readonly string[], _options: unknown, command: Command) => {
      const { registerDiskServe } = await import("./disk-serve.ts");
      const own = new Command("baton disk").exitOverride();
      registerDiskServe(own);
      await own.parseAsync(["serve", ...command.args], { from: "user" });
    });
}

function registerLive(disk: Command, each: Live): void {
  const command = disk
    .command(each.verb)
    .description(each.summary)
    .argument("<name>", each.many ? "the disk, or all" : "the disk")
    .option("-y, --yes", "do not ask")
    .option("--json", "stable JSON");
  withConfigOptions(each.options?.(command) ?? command)
    .addHelpText("after", `\nExample: ${each.example}\n`)
    .action(async (name: string, options: LiveOptions & Readonly<Record<string, unknown>>) => {
      const { runLive } = await import("./disk-live.ts");
      process.exitCode = await runLive(name, each.command(options), {
        ...options,
        many: each.many,
      });
    });
}

function registerUp(disk: Command): void {
  withConfigOptions(
    disk
      .command("up")
      .description("start the process of a disk, attach and connect")
      .argument("<name>", "the disk, or all")
      .option("--json", "stable JSON"),
  )
    .addHelpText("after", "\nExample: baton disk up r0\n")
    .action(async (name: string, options: LiveOptions) => {
      const { up } = await import("./disk-up.ts");
      process.exitCode = await up(name, options);
    });
}

function registerDown(disk: Command): void {
  withConfigOptions(
    disk
      .command("down")
      .description("disconnect, give the role up, detach, and end the process")
      .argument("<name>", "the disk, or all")
      .option("-y, --yes", "do not ask")
      .option("--json", "stable JSON"),
  )
    .addHelpText("after", "\nExample: baton disk down r0\n")
    .action(async (name: string, options: LiveOptions) => {
      const { runLive } = await import("./disk-live.ts");
      process.exitCode = await runLive(name, { verb: "down" }, { ...options, many: true });
    });
}

function registerStatus(disk: Command): void {
  withConfigOptions(
    disk
      .command("status")
      .description("disks of this host: roles, states, progress")
      .argument("[name...]", "only these")
      .option("-w, --watch", "show it again after each change, until interrupted")
      .option("--json", "stable JSON; with --watch one line per change"),
  )
    .addHelpText("after", "\nExample: baton disk status --watch\n")
    .action(async (names: readonly string[], options: { watch?: boolean; json?: boolean }) => {
      const { diskStatus } = await import("./disk-status.ts");
      process.exitCode = await diskStatus(names, options);
    });
  disk
    .command("proc")
    .description("all disks in the form of /proc/drbd")
    .option("--json", "one JSON document with the text")
    .addHelpText("after", "\nExample: baton disk proc\n")
    .action(async (options: { json?: boolean }) => {
      const { diskProc } = await import("./disk-status.ts");
      process.exitCode = await diskProc(options);
    });
}

/** One word each, as scripts read it. */
function registerShown(disk: Command): void {
  const words = [
    ["role", "this host's role and the peer's", "Primary/Secondary"],
    ["cstate", "the state of the connection", "Connected"],
    ["dstate", "the state of the data here and at the peer", "UpToDate/UpToDate"],
  ] as const;
  for (const [verb, summary, shown] of words) {
    withConfigOptions(
      disk
        .command(verb)
        .description(summary)
        .argument("<name>", "the disk, or all")
        .option("--json", "stable JSON"),
    )
      .addHelpText("after", `\nExample: baton disk ${verb} r0    # prints ${shown}\n`)
      .action(async (name: string, options: LiveOptions) => {
        const { showWord } = await import("./disk-live.ts");
        process.exitCode = await showWord(verb, name, options);
      });
  }
  disk
    .command("wait-connect")
    .description("wait until the disk is connected")
    .argument("<name>", "the disk")
    .option("--timeout <seconds>", "give up after this long (default: never)", seconds)
    .option("--json", "stable JSON")
    .addHelpText("after", "\nExample: baton disk wait-connect r0 --timeout 60\n")
    .action(async (name: string, options: { timeout?: number; json?: boolean }) => {
      const { waitConnect } = await import("./disk-live.ts");
      process.exitCode = await waitConnect(name, options);
    });
}

function seconds(text: string): number {
  const value = /^[0-9]{1,6}(?:\.[0-9]{1,3})?$/u.test(text) ? Number(text) : Number.NaN;
  if (!Number.isNaN(value)) return value;
  throw new InvalidArgumentError("Write a number of seconds.");
}

function registerMetadata(disk: Command): void {
  withConfigOptions(
    disk
      .command("create-md")
      .description("write fresh metadata: the disk is new, and nothing in it counts as good")
      .argument("<name>", "the disk")
      .option("-y, --yes", "do not ask, whatever is there")
      .option("--json", "stable JSON"),
  )
    .addHelpText("after", "\nExample: baton disk create-md r0\n")
    .action(async (name: string, options: LiveOptions) => {
      const { createMd } = await import("./disk-metadata.ts");
      await createMd(name, options);
    });
  const shown = [
    ["dump-md", "the metadata as text, in the form of drbdmeta"],
    ["get-gi", "data generations and flags in one line"],
    ["show-gi", "data generations and flags, explained"],
  ] as const;
  for (const [verb, summary] of shown) {
    withConfigOptions(
      disk
        .command(verb)
        .description(summary)
        .argument("<name>", "the disk")
        .option("--json", "stable JSON"),
    )
      .addHelpText("after", `\nExample: baton disk ${verb} r0\n`)
      .action(async (name: string, options: LiveOptions) => {
        const { showMetadata } = await import("./disk-metadata.ts");
        await showMetadata(verb, name, options);
      });
  }
  withConfigOptions(
    disk
      .command("apply-al")
      .description("turn an unclean activity log into bits of the bitmap; an attach does it too")
      .argument("<name>", "the disk")
      .option("--json", "stable JSON"),
  )
    .addHelpText("after", "\nExample: baton disk apply-al r0\n")
    .action(async (name: string, options: LiveOptions) => {
      const { applyAl } = await import("./disk-metadata.ts");
      await applyAl(name, options);
    });
  disk
    .command("check-resize")
    .description("not built: a disk keeps the size it has")
    .argument("<name>", "the disk")
    .option("--json", "stable JSON")
    .addHelpText("after", "\nExample: baton disk check-resize r0\n")
    .action(async () => {
      const { refuseResize } = await import("./disk-live.ts");
      refuseResize();
    });
}
