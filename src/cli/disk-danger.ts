/** Commands that lose data say what is lost, and wait for a person's word. */
import { createInterface } from "node:readline/promises";
import type { DiskCommand, DiskProcessState } from "../replication/index.ts";
import { generationText, sizeText } from "./disk-text.ts";
import { CliError, exits } from "./exit.ts";
import { harmless } from "./output.ts";

/** What would be lost, line by line. */
export interface Danger {
  /** The disk; what a person types to agree. */
  readonly name: string;
  /** What is to be done, such as `create new metadata for disk r0`. */
  readonly deed: string;
  readonly lines: readonly string[];
}

/**
 * Tells the danger and asks, unless `yes` is given. Without a terminal there is nobody to ask: refused.
 * @throws {CliError} exit 4 BTN-CLI-DISK-UNCONFIRMED
 */
export async function confirm(danger: Danger, yes: boolean): Promise<void> {
  const text = [`This will ${danger.deed}:`, ...danger.lines.map((line) => `  ${harmless(line)}`)];
  process.stderr.write(`${text.join("\n")}\n`);
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw unconfirmed(danger, "nobody is there to be asked, and --yes was not given");
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Type ${danger.name} to go on: `);
    if (answer.trim() !== danger.name) throw unconfirmed(danger, "it was not confirmed");
  } finally {
    terminal.close();
  }
}

function unconfirmed(danger: Danger, why: string): CliError {
  return new CliError(exits.refused, {
    code: "BTN-CLI-DISK-UNCONFIRMED",
    message: `Did not ${danger.deed}: ${why}`,
    consequence: "Nothing was changed",
    fix: "Read what would be lost; then give the same command with --yes",
  });
}

/**
 * What a command would lose, now; undefined: nothing.
 * @param contents what is on the device, if it was looked at
 */
export function dangerOf(
  command: DiskCommand,
  process: DiskProcessState,
  contents: string,
): Danger | undefined {
  const { view } = process;
  const { name } = view;
  const side = describeSide(process, contents);
  const here = `the data here: ${side}`;
  switch (command.verb) {
    case "primary":
      if (!command.force || view.state.disk === "UpToDate") return undefined;
      return {
        name,
        deed: `declare the data of disk ${name} on this host the good ones`,
        lines: [
          here,
          `this host's data are ${view.state.disk}, the peer's ${view.state.pdsk}`,
          "what the peer has and this host has not is overwritten at the next connection",
        ],
      };
    case "invalidate":
      return {
        name,
        deed: `throw away the data of disk ${name} on this host`,
        lines: [
          here,
          `all ${sizeText(view.sectors * 512)} are copied from the peer (${view.state.pdsk})`,
        ],
      };
    case "invalidate-remote":
      return {
        name,
        deed: `throw away the data of disk ${name} on the peer`,
        lines: [
          `the peer's data are ${view.state.pdsk}; until the copy is complete this host has the only one`,
          `all ${sizeText(view.sectors * 512)} are copied from here: ${side}`,
        ],
      };
    case "connect":
      if (!command.discardMyData) return undefined;
      return {
        name,
        deed: `throw away what this host alone wrote to disk ${name}, if the two have split`,
        lines: [here, `${sizeText(view.outOfSyncBlocks * 4_096)} are marked as changed here`],
      };
    case "new-current-uuid":
      if (!command.clearBitmap) return undefined;
      return {
        name,
        deed: `declare both copies of disk ${name} equal without comparing them`,
        lines: [
          here,
          "where they differ nothing will ever copy one to the other, unless a verify finds it",
        ],
      };
    case "resume-io":
      if (!view.state.suspFencing) return undefined;
      return {
        name,
        deed: `let disk ${name} go on without proof that the peer can not write`,
        lines: [
          here,
          "if the peer is Primary too, the two copies split and one side's writes are lost",
        ],
      };
    case "down":
    case "detach":
      if (process.openers === 0 || view.state.role !== "Primary") return undefined;
      return {
        name,
        deed: `${command.verb === "down" ? "stop" : "take the local data from"} disk ${name}, which is in use`,
        lines: [here, `${process.device ?? "its device"} is open ${process.openers} times`],
      };
    default:
      return undefined;
  }
}

/** Size, generation and what is there. */
function describeSide({ view }: DiskProcessState, contents: string): string {
  const generation =
    view.generations === null ? "" : `, generation ${generationText(view.generations.current)}`;
  return `${sizeText(view.sectors * 512)}${generation}${contents === "" ? "" : `, ${contents}`}`;
}
