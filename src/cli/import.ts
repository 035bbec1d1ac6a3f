/** `baton import`: the classic files as cluster.yaml, and what became of each of their directives. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import type { ImportRow } from "../config/index.ts";
import { exitOfFindings, verdictOf, whole } from "./check.ts";
import { exits } from "./exit.ts";
import { clip, columns, print, printJson } from "./output.ts";

interface ImportVerbOptions {
  readonly haDir?: string;
  readonly drbdConf?: string;
  readonly output?: string;
  readonly force?: boolean;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

/** Adds `import` to the program. */
export function registerImport(program: Command): void {
  program
    .command("import")
    .summary("turn the classic files into cluster.yaml")
    .description(
      "turn ha.cf, authkeys, haresources and drbd.conf into cluster.yaml and tell what became of each directive",
    )
    .argument(
      "[file...]",
      "ha.cf, authkeys, haresources, drbd.conf, or a directory; those not named are taken from beside the first",
    )
    .option(
      "--ha-dir <directory>",
      "where files that are not named are, and the scripts (default for scripts: /etc/ha.d)",
    )
    .option(
      "--drbd-conf <file>",
      "disks are described there (default: drbdadm's, if haresources names drbddisk)",
    )
    .option("--output <file>", "write cluster.yaml there (default: print it)")
    .option("--force", "overwrite the file if it exists")
    .option("--insecure", "accept crc as a digest, which protects against nothing")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
The table is printed to standard error when cluster.yaml goes to standard output. Keys are never
copied: cluster.yaml says where they are. Exit code: 0 all kept, 1 with advice, 2 refused.

Example:
  baton import --ha-dir /etc/ha.d --output cluster.yaml
  baton import /etc/ha.d/ha.cf /etc/ha.d/haresources /etc/ha.d/authkeys`,
    )
    .action(runImport);
}

async function runImport(paths: readonly string[], options: ImportVerbOptions): Promise<void> {
  if (paths.length === 0 && options.haDir === undefined) {
    process.stderr.write("error: name the files to import, or --ha-dir DIRECTORY\n");
    process.exitCode = exits.usage;
    return;
  }
  const { importFiles } = await import("../config/import.shell.ts");
  const { formatFinding } = await import("../config/index.ts");
  const { yaml, table, findings } = await importFiles({
    paths,
    haDir: options.haDir,
    drbdConf: options.drbdConf,
    insecure: options.insecure,
  });
  process.exitCode = exitOfFindings(findings);
  if (options.json === true) {
    const text = { ok: yaml !== undefined, verdict: verdictOf(findings), yaml: yaml ?? null };
    printJson({ ...text, table: table.map(whole), findings: findings.map(whole) });
  }
  const toOutput = yaml !== undefined && options.output !== undefined;
  const written = toOutput
    ? await write(options.output ?? "", yaml, options.force === true)
    : undefined;
  if (options.json === true) return;
  const say =
    toOutput || yaml === undefined ? print : (text: string) => process.stderr.write(`${text}\n`);
  if (yaml !== undefined && options.output === undefined) process.stdout.write(yaml);
  for (const line of formatTable(table)) say(line);
  for (const finding of findings) say(formatFinding(finding));
  say(`${counts(table)}; ${verdictOf(findings)}`);
  if (written !== undefined) say(written);
}

async function write(path: string, yaml: string, force: boolean): Promise<string> {
  try {
    await writeFile(path, yaml, { flag: force ? "w" : "wx", mode: 0o644 });
    return `written: ${path}`;
  } catch (error) {
    process.exitCode = exits.failed;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const why = code === "EEXIST" ? "it exists; use --force to overwrite it" : code;
    process.stderr.write(`error: cannot write ${path}: ${why}\n`);
    return "nothing was written";
  }
}

/** One line per directive: place, outcome, what it says, why. */
export function formatTable(rows: readonly ImportRow[]): readonly string[] {
  return columns(
    rows.map((row) => [
      `${row.file.slice(row.file.lastIndexOf("/") + 1)}${row.line === undefined ? "" : `:${row.line}`}`,
      row.outcome,
      clip(
        row.text === ""
          ? row.directive
          : row.text.startsWith(row.directive)
            ? row.text
            : `${row.directive} ${row.text}`,
        60,
      ),
      row.reason,
    ]),
  );
}

function counts(rows: readonly ImportRow[]): string {
  const outcomes = ["kept", "changed", "replaced", "refused", "advice"] as const;
  const parts = outcomes.map(
    (outcome) => `${rows.filter((row) => row.outcome === outcome).length} ${outcome}`,
  );
  return `${rows.length} lines: ${parts.join(", ")}`;
}
