/**
 * `cl_status`, `hb_standby` and `hb_takeover` as the original has them: words, streams and exit codes
 * of heartbeat.md 10.1 and 3.2, so that existing scripts go on working.
 */
import type { ClassicQuery, CommandResult, QueryAnswer, StatusReport } from "../agent/control.ts";
import { answerQuery } from "../agent/queries.ts";
import { BatonError } from "../base/index.ts";
import { type AskOptions, askAgent } from "./agent-client.ts";
import { exits } from "./exit.ts";
import { harmless, print } from "./output.ts";

/** heartbeat.md 10.1: what cl_status ends with beside 0 and 1. */
const unknownNodeExit = 11;
const timeoutExit = 12;
const usageExit = 1;

/** The release whose commands these are; scripts compare it. */
const classicVersion = "3.0.6";

/** Runs a command of the original; returns its exit code. */
export async function runClassic(name: string, args: readonly string[]): Promise<number> {
  switch (name) {
    case "hb_standby":
      return await standbyOrTakeover("standby", name, args);
    case "hb_takeover":
      return await standbyOrTakeover("takeover", name, args);
    default:
      return await clStatus(args);
  }
}

const scopes = ["all", "foreign", "local", "failback"] as const;

/**
 * Asks and returns once the agent took it, as the original did; scripts poll `cl_status rscstatus`.
 * Unlike the original, a request that is refused at once says so and ends with 4 or 5.
 */
async function standbyOrTakeover(
  verb: "standby" | "takeover",
  name: string,
  args: readonly string[],
): Promise<number> {
  const scope = args.length === 0 ? "all" : scopes.find((word) => word === args[0]);
  if (scope === undefined || args.length > 1) {
    process.stderr.write(`usage: ${name} [${scopes.join("|")}]\n`);
    return usageExit;
  }
  const { promise: accepted, resolve: accept } = Promise.withResolvers<undefined>();
  const enough = new AbortController();
  const options: AskOptions = { signal: enough.signal, onProgress: () => accept(undefined) };
  const result: Promise<CommandResult> =
    verb === "standby"
      ? askAgent({ verb, args: { scope } }, options)
      : askAgent({ verb, args: { scope, peerIsDead: false } }, options);
  try {
    const first = await Promise.race([accepted, result]);
    // failback is the old name of foreign (heartbeat.md 3.2).
    const shown = scope === "failback" ? "foreign" : scope;
    if (first === undefined || first.outcome === "done" || first.outcome === "negative") {
      print(verb === "standby" ? `Going standby [${shown}].` : `Taking over [${shown}].`);
      return exits.done;
    }
    process.stderr.write(`${name}: ${harmless(first.detail)} [${first.reason}]\n`);
    return first.outcome === "refused" ? exits.refused : exits.failed;
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    process.stderr.write(`${name}: ${error.describe()}\n`);
    return 1;
  } finally {
    // What follows is of no interest here; the agent goes on without a listener.
    result.catch(() => undefined);
    enough.abort();
  }
}

interface ClStatusCall {
  readonly command: string;
  readonly operands: readonly string[];
  readonly flags: ReadonlySet<string>;
}

const clStatusUsage = `usage: cl_status <sub-command> [options]
  hbstatus [-v]                   is the service running on this machine
  listnodes [-p | -n]             the nodes; -p only ping nodes, -n only others
  nodestatus [-m] NODE            init, up, active, dead or ping
  nodetype [-m] NODE              normal or ping
  listhblinks NODE                the links of a node
  hblinkstatus [-m] NODE LINK     up or dead
  clientstatus [-m] NODE CLIENT   online or offline
  rscstatus [-m]                  none, local, foreign, all or transition
  hbparameter -p NAME             a parameter of the configuration
`;

async function clStatus(args: readonly string[]): Promise<number> {
  const call = parseClStatus(args);
  if (call === undefined || !Object.hasOwn(subcommands, call.command)) return usage();
  let report: StatusReport;
  try {
    report = await askAgent({ verb: "status", args: {} });
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    if (error.code === "BTN-SOCKET-TIMEOUT") return timeoutExit;
    if (call.command === "hbstatus") {
      print("Heartbeat is stopped on this machine.");
      return 1;
    }
    process.stderr.write("ERROR: Cannot signon with heartbeat\n");
    return 1;
  }
  return (await subcommands[call.command]?.(call, report)) ?? usage();
}

function usage(): number {
  process.stderr.write(clStatusUsage);
  return usageExit;
}

/** Options may stand before or after the sub-command, as getopt allowed; all are single letters. */
function parseClStatus(args: readonly string[]): ClStatusCall | undefined {
  const operands: string[] = [];
  const flags = new Set<string>();
  for (const arg of args) {
    if (/^-[mnpvhs]+$/.test(arg)) for (const letter of arg.slice(1)) flags.add(letter);
    else if (arg.startsWith("-")) return undefined;
    else operands.push(arg);
  }
  const [command, ...rest] = operands;
  if (command === undefined || flags.has("h")) return undefined;
  return { command, operands: rest, flags };
}

type Subcommand = (
  call: ClStatusCall,
  report: StatusReport,
) => number | undefined | Promise<number | undefined>;

/** Each returns its exit code; undefined: it was called wrongly. */
const subcommands: Readonly<Record<string, Subcommand>> = {
  hbstatus: ({ flags }, report) => {
    if (flags.has("v")) print(verboseStatus(report).join("\n"));
    else print("Heartbeat is running on this machine.");
    return 0;
  },
  listnodes: ({ flags }, report) => {
    const only = flags.has("p") ? "ping" : flags.has("n") ? "normal" : "all";
    return tell(ask(report, { verb: "listnodes", args: { only } }), (name) => name);
  },
  nodestatus: ({ operands: [host], flags }, report) => {
    if (host === undefined) return undefined;
    const answer = ask(report, { verb: "nodestatus", args: { host } });
    const sentence = (status: string): string => `The cluster node ${host} is ${status}`;
    const exit = tell(answer, flags.has("m") ? sentence : (status) => status);
    if (exit !== 0 || answer.kind !== "text") return exit;
    return ["up", "active", "ping"].includes(answer.text) ? 0 : 1;
  },
  nodetype: ({ operands: [host], flags }, report) => {
    if (host === undefined) return undefined;
    const answer = ask(report, { verb: "nodetype", args: { host } });
    const sentence = (type: string): string => `The node ${host}'s type is ${type}`;
    return tell(answer, flags.has("m") ? sentence : (type) => type);
  },
  listhblinks: ({ operands: [host] }, report) => {
    if (host === undefined) return undefined;
    return tell(ask(report, { verb: "listhblinks", args: { host } }), (link) => `\t${link}`);
  },
  hblinkstatus: ({ operands: [host, link], flags }, report) => {
    if (host === undefined || link === undefined) return undefined;
    const answer = ask(report, { verb: "hblinkstatus", args: { host, link } });
    const sentence = (status: string): string =>
      `The node ${host}'s heartbeat link ${link} is ${status}`;
    const exit = tell(answer, flags.has("m") ? sentence : (status) => status);
    return exit === 0 && answer.kind === "text" && answer.text === "dead" ? 1 : exit;
  },
  // Baton has no clients that join by the API, so that none is ever online.
  clientstatus: ({ operands: [host, client], flags }) => {
    if (host === undefined || client === undefined) return undefined;
    const sentence = `The client ${client} on node ${host} is offline`;
    print(harmless(flags.has("m") ? sentence : "offline"));
    return 1;
  },
  rscstatus: ({ flags }, report) => {
    const sentence = (held: string): string =>
      held === "transition"
        ? "This node is in transition."
        : `This node is holding ${held} resources.`;
    return tell(
      ask(report, { verb: "rscstatus", args: {} }),
      flags.has("m") ? sentence : (held) => held,
    );
  },
  hbparameter: async ({ operands: [name], flags }) => {
    if (name === undefined || !flags.has("p")) return undefined;
    const answer = await askAgent({ verb: "hbparameter", args: { name } });
    if (answer.kind !== "unknown") return tell(answer, (value) => value);
    process.stderr.write(`ERROR: Parameter ${harmless(name)} is not set\n`);
    return 1;
  },
};

function ask(report: StatusReport, query: ClassicQuery): QueryAnswer {
  return answerQuery(report, {}, query);
}

/** Prints an answer in the words given; returns 0, or 11 for a name that does not exist. */
function tell(answer: QueryAnswer, words: (text: string) => string): number {
  if (answer.kind === "unknown") {
    process.stderr.write("Error. May be due to incorrect node name\n");
    return unknownNodeExit;
  }
  const texts = answer.kind === "list" ? answer.items : [answer.text];
  for (const text of texts) print(words(harmless(text)));
  return 0;
}

/** `cl_status hbstatus -v`: version, manager, then each node with its links. */
function verboseStatus(report: StatusReport): readonly string[] {
  const nodes = ask(report, { verb: "listnodes", args: { only: "all" } });
  const names = nodes.kind === "list" ? nodes.items : [];
  return [
    `version:\t${classicVersion} (node: baton ${report.agent.version})`,
    'managed by:\t"haresources"',
    ...names.flatMap((host) => {
      const links = ask(report, { verb: "listhblinks", args: { host } });
      return [
        "",
        `${host}\t${word(report, { verb: "nodestatus", args: { host } })}\t` +
          `(nodetype: ${word(report, { verb: "nodetype", args: { host } })})`,
        ...(links.kind === "list" ? links.items : []).map(
          (link) => `\t${link}\t${word(report, { verb: "hblinkstatus", args: { host, link } })}`,
        ),
      ];
    }),
  ];
}

function word(report: StatusReport, query: ClassicQuery): string {
  const answer = ask(report, query);
  return answer.kind === "text" ? answer.text : "unknown";
}
