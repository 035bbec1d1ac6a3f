/** The verbs that move groups: switch, standby, takeover, clear, stop. Phases are printed live. */
import { Argument, type Command } from "commander";
import type { CommandProgress, CommandResult, ControlCall } from "../agent/control.ts";
import { askAgent } from "./agent-client.ts";
import { type Exit, exits } from "./exit.ts";
import { harmless, type Paint, paint, print, printJsonLine } from "./output.ts";

interface MoveOptions {
  readonly socket?: string;
  readonly json?: boolean;
}

type Move = Extract<
  ControlCall,
  { readonly verb: "switch" | "standby" | "takeover" | "clear" | "stop" }
>;

const scopes = ["all", "local", "foreign", "failback"] as const;
type Scope = (typeof scopes)[number];

const scopeHelp = `
Scopes are those of heartbeat, seen from this host: local are the groups that prefer this host,
foreign those that prefer the other; failback means foreign.
`;

/** Adds `baton switch`. */
export function registerSwitch(program: Command): void {
  addCommon(program.command("switch [group]"))
    .description("move a group (all groups) to another host, phases printed live")
    .option("--to <host>", "the host that shall hold it; default: the one that does not")
    .addHelpText("after", "\nExample: baton switch mysql --to dbm158\n")
    .action((group: string | undefined, options: MoveOptions & { readonly to?: string }) =>
      move(
        { verb: "switch", args: { group: group ?? null, to: options.to?.toLowerCase() ?? null } },
        options,
      ),
    );
}

/** Adds `baton standby`. */
export function registerStandby(program: Command): void {
  addCommon(program.command("standby"))
    .addArgument(scopeArgument())
    .description("give the groups of this host up to the other")
    .addHelpText("after", `${scopeHelp}\nExample: baton standby\n`)
    .action((scope: Scope, options: MoveOptions) =>
      move({ verb: "standby", args: { scope } }, options),
    );
}

/** Adds `baton takeover`. */
export function registerTakeover(program: Command): void {
  addCommon(program.command("takeover"))
    .addArgument(scopeArgument())
    .description("take groups over from the other host")
    .option(
      "--peer-is-dead",
      "you have made sure that the other host is off: no proof is waited for",
    )
    .addHelpText("after", `${scopeHelp}\nExample: baton takeover --peer-is-dead\n`)
    .action((scope: Scope, options: MoveOptions & { readonly peerIsDead?: boolean }) =>
      move({ verb: "takeover", args: { scope, peerIsDead: options.peerIsDead === true } }, options),
    );
}

/** Adds `baton clear`. */
export function registerClear(program: Command): void {
  addCommon(program.command("clear [group]"))
    .description("forget failed starts of a group (all groups), so that it is tried again")
    .addHelpText("after", "\nExample: baton clear mysql\n")
    .action((group: string | undefined, options: MoveOptions) =>
      move({ verb: "clear", args: { group: group ?? null } }, options),
    );
}

/** Adds `baton stop`. */
export function registerStop(program: Command): void {
  addCommon(program.command("stop"))
    .description("hand the groups of this host over, say goodbye and end its agent")
    .addHelpText("after", "\nExample: baton stop\n")
    .action((options: MoveOptions) => move({ verb: "stop", args: {} }, options));
}

function addCommon(command: Command): Command {
  return command
    .option("--socket <path>", "control socket of the agent (default /run/baton/ctl.sock)")
    .option("--json", "one JSON line per phase, then {result}");
}

function scopeArgument(): Argument {
  return new Argument("[scope]", "which groups").choices(scopes).default("all");
}

async function move(call: Move, options: MoveOptions): Promise<void> {
  const json = options.json === true;
  const result = await askAgent(call as Extract<ControlCall, { verb: Move["verb"] }>, {
    socket: options.socket,
    onProgress: (value) => {
      if (json) printJsonLine({ progress: value });
      else print(progressLine(value as CommandProgress, paint));
    },
  });
  if (json) printJsonLine({ result });
  else print([resultLine(call.verb, result, paint), ...(await advice(result))].join("\n"));
  process.exitCode = exitOfOutcome(result.outcome);
}

/** The exit code of DESIGN 4 for how a command ended. */
export function exitOfOutcome(outcome: CommandResult["outcome"]): Exit {
  return exits[outcome];
}

/** What a command that did not do what was asked means, and what to do about it. */
async function advice({ outcome, reason }: CommandResult): Promise<readonly string[]> {
  if (outcome === "done") return [];
  const { loadReasons } = await import("./explain.ts");
  const found = (await loadReasons()).find(reason);
  return found === undefined ? [] : [`  ${found.title}`, `  fix: ${found.action}`];
}

/** One phase: when, what, and the reason code if there is one. */
export function progressLine(progress: CommandProgress, look: Paint): string {
  const when = `${Math.round(progress.elapsedMs)} ms`.padStart(10);
  const reason = progress.reason === null ? "" : ` ${look("faint", `[${progress.reason}]`)}`;
  return `${when}  ${harmless(progress.line)}${reason}`;
}

const outcomeWords = {
  done: "done",
  negative: "nothing done",
  refused: "refused",
  failed: "failed",
} as const;

/** The last line: what happened, how long it took, and the reason code. */
export function resultLine(verb: string, result: CommandResult, look: Paint): string {
  const { outcome, detail, reason, elapsedMs } = result;
  const colour = outcome === "done" ? "good" : outcome === "negative" ? "warning" : "bad";
  const said = detail === "" ? "" : `: ${harmless(detail)}`;
  const word = look(colour, outcomeWords[outcome]);
  return `${verb} ${word} after ${Math.round(elapsedMs)} ms${said} [${reason}]`;
}
