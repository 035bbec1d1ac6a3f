/** `baton status`: the whole cluster as this host sees it, once or again after each change. */
import type { Command } from "commander";
import type { StatusReport } from "../agent/control.ts";
import { BatonError } from "../base/index.ts";
import { askAgent, unlimitedMs } from "./agent-client.ts";
import { paint, print, printJson, printJsonLine } from "./output.ts";
import { statusLines } from "./status-text.ts";

interface StatusOptions {
  readonly socket?: string;
  readonly json?: boolean;
  readonly watch?: boolean;
}

/** While watching, an agent that went away is asked again this often. */
const retryMs = 1_000;
/** Home, and clear what is below: the screen is redrawn without flicker. */
const redraw = "\u001b[H\u001b[J";

/** Adds `baton status`. */
export function registerStatus(program: Command): void {
  program
    .command("status")
    .description("the whole cluster as this host sees it")
    .option("-w, --watch", "show it again after each change, until interrupted")
    .option("--socket <path>", "control socket of the agent (default /run/baton/ctl.sock)")
    .option("--json", "stable JSON; with --watch one line per change")
    .addHelpText("after", "\nExample: baton status --watch\n")
    .action(status);
}

async function status(options: StatusOptions): Promise<void> {
  if (options.watch === true) {
    await watch(options);
    return;
  }
  const report = await askAgent({ verb: "status", args: {} }, { socket: options.socket });
  if (options.json === true) printJson(report);
  else print(statusLines(report, paint, await titles()).join("\n"));
}

async function titles(): Promise<(code: string) => string | undefined> {
  const { loadReasons } = await import("./explain.ts");
  const reasons = await loadReasons();
  return (code) => reasons.find(code)?.title;
}

/** Follows the agent; only a first connection that fails ends it. */
async function watch(options: StatusOptions): Promise<void> {
  let connected = false;
  const titleOf = await titles();
  for (;;) {
    try {
      await askAgent(
        { verb: "watch", args: {} },
        {
          socket: options.socket,
          timeoutMs: unlimitedMs,
          onProgress: (value) => {
            connected = true;
            show(value as StatusReport, options, titleOf);
          },
        },
      );
    } catch (error) {
      if (!connected || !(error instanceof BatonError)) throw error;
      process.stderr.write(`baton: ${error.message}; asking again\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

function show(
  report: StatusReport,
  options: StatusOptions,
  titleOf: (code: string) => string | undefined,
): void {
  if (options.json === true) {
    printJsonLine(report);
    return;
  }
  const text = statusLines(report, paint, titleOf).join("\n");
  print(process.stdout.isTTY ? `${redraw}${text}` : `${text}\n`);
}
