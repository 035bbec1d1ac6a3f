/** `baton explain CODE`: a reason code in plain words, with what to do. */
import type { Command } from "commander";
import type { ReasonCatalogue } from "../base/index.ts";
import { type ExplainedReason, ReasonIndex } from "../recorder/index.ts";
import { CliError, exits } from "./exit.ts";
import { type Paint, paint, print, printJson } from "./output.ts";

interface ExplainOptions {
  readonly json?: boolean;
  readonly list?: boolean;
}

/** Adds `baton explain`. */
export function registerExplain(program: Command): void {
  program
    .command("explain [code]")
    .description("a reason code in plain words, with what to do")
    .option("--list", "print all codes with their titles")
    .option("--json", "stable JSON")
    .addHelpText("after", "\nExample: baton explain BTN-JOURNAL-WRITE-FAILED\n")
    .action(explain);
}

async function explain(code: string | undefined, options: ExplainOptions): Promise<void> {
  const index = await loadReasons();
  if (options.list === true || code === undefined) {
    if (options.list !== true) {
      throw new CliError(exits.usage, {
        code: "BTN-CLI-USAGE",
        message: "Cannot explain: no reason code was given",
        fix: "Name one, or use --list",
      });
    }
    const all = index.codes.flatMap((known) => index.find(known) ?? []);
    if (options.json === true) printJson({ reasons: all });
    else for (const reason of all) print(`${reason.code}  ${reason.title}`);
    return;
  }
  const found = index.find(code);
  if (found === undefined) throw unknownCode(code, index);
  if (options.json === true) printJson(found);
  else print(explanation(found, paint));
}

/** One code for a person. */
export function explanation(reason: ExplainedReason, look: Paint): string {
  const { code, title, meaning, action } = reason;
  return [`${look("strong", code)}: ${title}`, "", meaning, "", `What to do: ${action}`]
    .flatMap((paragraph) => wrap(paragraph, 78))
    .join("\n");
}

/** Breaks a paragraph at spaces; a word longer than the width stays whole. */
function wrap(paragraph: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of paragraph.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function unknownCode(code: string, index: ReasonIndex): CliError {
  const suggestions = index.suggest(code);
  return new CliError(exits.negative, {
    code: "BTN-EXPLAIN-UNKNOWN",
    message: `Cannot explain "${code}": no such reason code`,
    fix:
      suggestions.length === 0
        ? "`baton explain --list` prints all codes"
        : `Did you mean ${suggestions.join(", ")}?`,
  });
}

/** The catalogue files of all rooms: each exports one or more constants named `...Reasons`. */
export const catalogueFiles: readonly string[] = [
  "../agent/control-reasons.ts",
  "../agent/disk/reasons.ts",
  "../agent/reasons.ts",
  "../blockdev/reasons.ts",
  "../cli/reasons.ts",
  "../config/reasons.ts",
  "../failover/reasons.ts",
  "../fencing/reasons.ts",
  "../lab/reasons.ts",
  "../membership/beat-reasons.ts",
  "../membership/reasons.ts",
  "../membership/wire/reasons.ts",
  "../recorder/reasons.ts",
  "../replication/reasons.ts",
  "../resources/reasons.ts",
  "../sim/reasons.ts",
  "../system/reasons.ts",
];

/** Joins the reason codes of all rooms. */
export async function loadReasons(): Promise<ReasonIndex> {
  const catalogues = await Promise.all(catalogueFiles.map(loadCatalogues));
  return new ReasonIndex(catalogues.flat());
}

async function loadCatalogues(file: string): Promise<readonly ReasonCatalogue[]> {
  // Not through the rooms' indexes: those load whole rooms, and a code is wanted at once.
  const loaded: Readonly<Record<string, unknown>> = await import(
    new URL(file, import.meta.url).href
  );
  return Object.entries(loaded)
    .filter(([name]) => name.endsWith("Reasons"))
    .map(([, catalogue]) => catalogue as ReasonCatalogue);
}
