/** `baton lab`: the chapter's cluster on this machine, each host in namespaces of its own. */
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import type { LinkName } from "../lab/index.ts";
import {
  type ClientResult,
  drill,
  Lab,
  LabError,
  type LabProfile,
  type LabStorage,
  labStatus,
  readAddress,
  statusText,
} from "../lab/index.ts";
import { print, printJson } from "./output.ts";

const examples = `
Examples:
  baton lab up --profile fast
  baton lab sql "SELECT @@hostname"
  baton lab crash dbm157 && baton lab start dbm157
  baton lab cut dbm157 --link eth1 --one-way in && baton lab heal
  baton lab exec dbm158 -- baton status
  baton lab workload append --seconds 30 --out notes && baton lab workload verify notes
  baton lab down

State is kept in $BATON_LAB_DIR (default /var/lib/baton-lab). Several labs run at once under
different names: --lab NAME, before or after the verb.`;

/** Adds the verb `lab` to the program. */
export function registerLab(program: Command): void {
  const lab = program
    .command("lab")
    .description("the chapter's cluster on this machine")
    .option("--lab <name>", "which lab (default: default)")
    .addHelpText("after", examples);
  addUpAndDown(lab);
  addStatus(lab);
  addSql(lab);
  addHosts(lab);
  addCables(lab);
  addWorkload(lab);
  addDrill(lab);
}

/** A subverb with the option that all have. */
function verb(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .option("--lab <name>", "which lab (default: default)");
}

function open(command: Command): Lab {
  const { lab } = command.optsWithGlobals<{ lab?: string }>();
  return new Lab({ lab, progress: (line) => process.stderr.write(`${line}\n`) });
}

function addUpAndDown(parent: Command): void {
  verb(parent, "up", "build the lab; done when the write address answers SQL")
    .addOption(
      new Option("--profile <profile>", "time constants")
        .choices(["default", "fast", "chapter"])
        .default("default"),
    )
    .addOption(
      new Option("--storage <kind>", "what the database lies on")
        .choices(["shared", "disk"])
        .default("shared"),
    )
    .addHelpText("after", "\nExample: baton lab up --profile fast\n")
    .action(up);
  verb(parent, "down", "remove everything of the lab, also after an interrupted up")
    .addHelpText("after", "\nExample: baton lab down\n")
    .action(async (_: unknown, command: Command) => {
      const lab = open(command);
      await lab.down();
      print(`lab ${lab.names.lab} is down`);
    });
}

interface UpArguments {
  readonly profile: LabProfile;
  readonly storage: LabStorage;
}

async function up(options: UpArguments, command: Command): Promise<void> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // A second one must not end this process while it takes down what it built.
    process.on(signal, () => interrupted.abort(new Error(`${signal} arrived`)));
  }
  const lab = open(command);
  const built = await lab.up({
    profile: options.profile,
    storage: options.storage,
    agentCommand: process.env["BATON_LAB_AGENT_COMMAND"],
    signal: interrupted.signal,
  });
  print(`lab ${lab.names.lab} ${built ? "is up" : "was up already"}`);
}

function addStatus(parent: Command): void {
  verb(parent, "status", "hosts, addresses, and who answers on the write address")
    .option("--json", "stable JSON")
    .addHelpText(
      "after",
      "\nExits with 0 if the write address answers, else with 1.\nExample: baton lab status --json\n",
    )
    .action(async (options: { json?: boolean }, command: Command) => {
      const status = await labStatus(open(command));
      if (options.json === true) printJson(status);
      else print(statusText(status));
      if (!("answeredBy" in status.write)) process.exitCode = 1;
    });
}

interface SqlArguments {
  readonly read?: boolean;
  readonly timeout: number;
}

function addSql(parent: Command): void {
  verb(parent, "sql", "run one statement from the client; rows tab-separated, without a header")
    .argument("<statement>", "SQL")
    .option("--read", "on the read address instead of the write address")
    .option("--timeout <seconds>", "give up after this long in all", secondsOf, 10)
    .addHelpText("after", '\nExample: baton lab sql "SELECT @@hostname"\n')
    .action(async (statement: string, options: SqlArguments, command: Command) => {
      if (options.read === true) {
        throw new LabError(5, {
          code: "BTN-LAB-NO-READ-ADDRESS",
          message: `Cannot ask ${readAddress}: the lab has no read address yet`,
          fix: "Leave out --read",
        });
      }
      pass(await open(command).sql(statement, options.timeout * 1_000));
    });
}

function addHosts(parent: Command): void {
  verb(parent, "exec", "run a command inside a host; exits with its status")
    .argument("<host>")
    .argument("<command...>", "after --")
    .addHelpText("after", "\nExample: baton lab exec dbm157 -- ip address\n")
    .action(async (host: string, words: string[], _: unknown, command: Command) => {
      process.exitCode = await open(command).exec(host, words);
    });
  verb(parent, "crash", "power loss: what was not synced is gone")
    .argument("<host>")
    .addHelpText("after", "\nExample: baton lab crash dbm157\n")
    .action(async (host: string, _: unknown, command: Command) => {
      await open(command).crash(host);
      print(`${host} has no power`);
    });
  verb(parent, "start", "power a host on; its agent starts by itself")
    .argument("<host>")
    .addHelpText("after", "\nExample: baton lab start dbm157\n")
    .action(async (host: string, _: unknown, command: Command) => {
      await open(command).start(host);
      print(`${host} is on`);
    });
  verb(parent, "pause", "freeze all processes of a host; returns at once, thaws by itself")
    .argument("<host>")
    .addArgument(new Argument("<seconds>").argParser(secondsOf))
    .addHelpText("after", "\nExample: baton lab pause dbm157 5\n")
    .action(async (host: string, seconds: number, _: unknown, command: Command) => {
      await open(command).pause(host, seconds);
      print(`${host} is frozen for ${seconds} s`);
    });
}

interface CutArguments {
  readonly link?: LinkName;
  readonly oneWay?: "in" | "out";
}

function addCables(parent: Command): void {
  verb(parent, "cut", "cut a host's cables: both, and both ways, unless said")
    .argument("<host>")
    .addOption(new Option("--link <link>", "only this one").choices(["eth0", "eth1"]))
    .addOption(
      new Option("--one-way <way>", "in: it hears nothing; out: it is not heard").choices([
        "in",
        "out",
      ]),
    )
    .addHelpText("after", "\nExample: baton lab cut dbm157 --link eth0 --one-way in\n")
    .action(async (host: string, options: CutArguments, command: Command) => {
      await open(command).cut(host, { link: options.link, way: options.oneWay });
      print(`${host}: cut`);
    });
  verb(parent, "heal", "mend the cables of one host, or of all")
    .argument("[host]")
    .addHelpText("after", "\nExample: baton lab heal\n")
    .action(async (host: string | undefined, _: unknown, command: Command) => {
      await open(command).heal(host);
      print(`${host ?? "all hosts"}: healed`);
    });
}

interface AppendArguments {
  readonly seconds: number;
  readonly out: string;
  readonly gap: number;
  readonly timeout: number;
}

function addWorkload(parent: Command): void {
  const workload = parent
    .command("workload")
    .description("inserts from the client that are judged afterwards");
  verb(workload, "append", "insert rows one after the other, noting what was acknowledged")
    .requiredOption("--seconds <n>", "how long", secondsOf)
    .requiredOption("--out <file>", "where the notes go, one JSON line per insert")
    .option("--gap <ms>", "pause between two inserts", millisecondsOf, 0)
    .option(
      "--timeout <seconds>",
      "an insert without answer for this long is `unknown`",
      secondsOf,
      2,
    )
    .addHelpText("after", "\nExample: baton lab workload append --seconds 30 --out notes\n")
    .action(async (options: AppendArguments, command: Command) => {
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
      const { seconds, out, gap, timeout } = options;
      const order = { seconds, out, gapMs: gap, timeoutMs: timeout * 1_000 };
      pass(await open(command).append(order, stop.signal));
    });
  verb(
    workload,
    "verify",
    "compare notes with the table: lost, duplicated and phantom must be empty",
  )
    .argument("<file>", "notes of `workload append`")
    .addHelpText(
      "after",
      "\nExits with 1 if anything is lost, duplicated or phantom.\nExample: baton lab workload verify notes\n",
    )
    .action(async (file: string, _: unknown, command: Command) => {
      pass(await open(command).verify(file));
    });
}

function addDrill(parent: Command): void {
  verb(parent, "drill", "rehearse: power loss, return, and a switch there and back, under load")
    .option("--json", "stable JSON")
    .addHelpText(
      "after",
      "\nExits with 1 if an acknowledged insert was lost.\nExample: baton lab up && baton lab drill\n",
    )
    .action(async (options: { json?: boolean }, command: Command) => {
      const report = await drill(open(command), (line) => process.stderr.write(`${line}\n`));
      const { figures, verdict, passed } = report;
      if (options.json === true) printJson(report);
      else {
        print(
          `${figures.ok} inserts acknowledged, longest pause ${figures.longestGapMs} ms; ` +
            `lost ${verdict.lost.length}, duplicated ${verdict.duplicated.length}, phantom ${verdict.phantom.length}`,
        );
      }
      if (!passed) process.exitCode = 1;
    });
}

/** Prints what a client wrote and takes over its exit code. */
function pass({ code, stdout, stderr }: ClientResult): void {
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = code;
}

function secondsOf(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError("It must be a number of seconds, above 0 and at most 86400.");
}

function millisecondsOf(text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number of milliseconds.");
}
