/**
 * The command line: finds the verb, loads only that one, and turns what happens into an exit code
 * (DESIGN 4). A verb is one file that exports `registerX(program)`.
 */
import { basename } from "node:path";
import { Command, CommanderError } from "commander";
import { BatonError } from "../base/index.ts";
import { exitOf, exits } from "./exit.ts";
import { endQuietlyOnClosedPipe, outliveOutput, printJsonLine } from "./output.ts";
import { softwareVersion } from "./version.ts";

/** Adds one verb to the program. */
export type Register = (program: Command) => void;

interface Verb {
  readonly summary: string;
  readonly load: () => Promise<Register>;
  /** Not for people: left out of `baton help`. */
  readonly hidden?: boolean;
}

/** Every verb, in the order of `baton help`. */
const verbs: Readonly<Record<string, Verb>> = {
  lab: {
    summary: "the chapter's cluster on this machine",
    load: async () => (await import("./lab.ts")).registerLab,
  },
  agent: {
    summary: "the daemon of this host",
    load: async () => (await import("./agent.ts")).registerAgent,
  },
  status: {
    summary: "the whole cluster as this host sees it",
    load: async () => (await import("./status.ts")).registerStatus,
  },
  switch: {
    summary: "move a group to another host, phases printed live",
    load: async () => (await import("./moves.ts")).registerSwitch,
  },
  standby: {
    summary: "give groups up to the other host",
    load: async () => (await import("./moves.ts")).registerStandby,
  },
  takeover: {
    summary: "take groups over from the other host",
    load: async () => (await import("./moves.ts")).registerTakeover,
  },
  clear: {
    summary: "forget failed starts, so that a group is tried again",
    load: async () => (await import("./moves.ts")).registerClear,
  },
  disk: {
    summary: "replicated disks: roles, connections, metadata",
    load: async () => (await import("./disk.ts")).registerDisk,
  },
  stop: {
    summary: "hand over and end the agent of this host",
    load: async () => (await import("./moves.ts")).registerStop,
  },
  timeline: {
    summary: "what happened, per-phase milliseconds, and why",
    load: async () => (await import("./timeline.ts")).registerTimeline,
  },
  explain: {
    summary: "a reason code in plain words, with what to do",
    load: async () => (await import("./explain.ts")).registerExplain,
  },
  check: {
    summary: "check cluster.yaml or the classic files",
    load: async () => (await import("./check.ts")).registerCheck,
  },
  import: {
    summary: "turn the classic files into cluster.yaml",
    load: async () => (await import("./import.ts")).registerImport,
  },
  sim: {
    summary: "schedules of faults against the real cores, by seed",
    load: async () => (await import("./sim.ts")).registerSim,
  },
  beat: {
    summary: "the beat process; the agent starts it",
    load: async () => (await import("./beat.ts")).registerBeat,
    hidden: true,
  },
};

/** Verbs that run for as long as the host does. */
const daemons: ReadonlySet<string> = new Set(["agent", "beat"]);

const isDaemon = ([first = "", second = ""]: readonly string[]): boolean =>
  daemons.has(first) || (first === "disk" && second === "serve");

/** Commands of the original that Baton answers to under their own names. */
const classicNames: ReadonlySet<string> = new Set([
  "cl_status",
  "hb_standby",
  "hb_takeover",
  "drbdadm",
  "drbddisk",
  "drbd-peer-outdater",
]);

/** Runs the command line and sets the exit code. Output still under way is written before the end. */
export async function main(argv: readonly string[]): Promise<void> {
  if (isDaemon(argv)) outliveOutput();
  else endQuietlyOnClosedPipe();
  const classic = classicCall(argv);
  try {
    if (classic === undefined) await runVerb(argv);
    else {
      const { name, args } = classic;
      process.exitCode = name.startsWith("drbd")
        ? await (await import("./drbd-commands.ts")).runDrbdCommand(name, args)
        : await (await import("./classic.ts")).runClassic(name, args);
    }
  } catch (error) {
    process.exitCode = report(error, argv);
  }
}

/** Started as, or asked for, a command of the original. */
function classicCall(
  argv: readonly string[],
): { readonly name: string; readonly args: readonly string[] } | undefined {
  const startedAs = basename(process.env["BATON_NAME"] || process.argv[1] || "");
  if (classicNames.has(startedAs)) return { name: startedAs, args: argv };
  const [first = "", ...rest] = argv;
  return classicNames.has(first) ? { name: first, args: rest } : undefined;
}

async function runVerb(argv: readonly string[]): Promise<void> {
  const [first = "", second = ""] = argv;
  const program = await buildProgram(first === "help" ? second : first);
  if (argv.length === 0) {
    program.outputHelp();
    process.exitCode = exits.usage;
    return;
  }
  await program.parseAsync(argv, { from: "user" });
}

/** The program with one verb in full and the others by name, for help and for "did you mean". */
export async function buildProgram(wanted: string): Promise<Command> {
  const program = new Command("baton")
    .description("keeps a MySQL or MariaDB service answering")
    .version(softwareVersion(), "-V, --version")
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError("(see `baton help`)")
    .addHelpText("after", exitCodesHelp);
  for (const [name, verb] of Object.entries(verbs)) {
    if (name === wanted) (await verb.load())(program);
    else program.command(name, { hidden: verb.hidden === true }).description(verb.summary);
  }
  return program;
}

const exitCodesHelp = `
Exit codes: 0 done, 1 advice or a negative answer, 2 usage or refused configuration,
3 cannot reach the agent, 4 refused for safety, 5 failed.
`;

/** Tells the error and returns its exit code. */
function report(error: unknown, argv: readonly string[]): number {
  if (error instanceof CommanderError) {
    // Help and version were printed by commander; so was a complaint about usage.
    if (error.exitCode === 0) return exits.done;
    const message = error.message.replace(/^error: /, "");
    if (argv.includes("--json")) printJsonLine({ error: { code: "BTN-CLI-USAGE", message } });
    return exits.usage;
  }
  if (error instanceof BatonError) {
    if (argv.includes("--json")) printJsonLine({ error: error.toJSON() });
    process.stderr.write(`baton: ${error.describe()}\n`);
    return exitOf(error);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`baton: unexpected error, please report it: ${text}\n`);
  return exits.failed;
}
