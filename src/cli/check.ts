/** `baton check`: is a configuration fit to start with? Exit code 0 fine, 1 advice only, 2 refused. */
import type { Command } from "commander";
import type { ConfigOutcome, Finding, ImportRow } from "../config/index.ts";
import { exits } from "./exit.ts";
import { print, printJson } from "./output.ts";

interface CheckOptions {
  readonly haDir?: string;
  readonly drbdConf?: string;
  readonly self?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

/** Adds `check` to the program. */
export function registerCheck(program: Command): void {
  program
    .command("check")
    .summary("check cluster.yaml or the classic files")
    .description("check a configuration: syntax, every value, and what contradicts what")
    .argument("[file]", "cluster.yaml", undefined)
    .option(
      "--ha-dir <directory>",
      "check ha.cf, authkeys and haresources of this directory instead",
    )
    .option(
      "--drbd-conf <file>",
      "with --ha-dir: disks are described there (default: drbdadm's, if haresources names drbddisk)",
    )
    .option(
      "--self <host>",
      "check that this host is a member (default with --ha-dir: this machine)",
    )
    .option("--insecure", "accept crc as a digest, which protects against nothing")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Exit code: 0 fine, 1 advice only, 2 refused.

Example:
  baton check /etc/baton/cluster.yaml
  baton check --ha-dir /etc/ha.d`,
    )
    .action(runCheck);
}

async function runCheck(file: string | undefined, options: CheckOptions): Promise<void> {
  if (file !== undefined && options.haDir !== undefined) {
    process.stderr.write("error: name a file or --ha-dir, not both\n");
    process.exitCode = exits.usage;
    return;
  }
  const { loadClassic, loadNative } = await import("../config/config.shell.ts");
  const { formatFinding } = await import("../config/index.ts");
  const path = options.haDir ?? file ?? "/etc/baton/cluster.yaml";
  const loading = { self: options.self, insecure: options.insecure };
  const outcome: ConfigOutcome & { readonly rows?: readonly ImportRow[] } =
    options.haDir === undefined
      ? await loadNative(path, loading)
      : await loadClassic(path, { ...loading, drbdConf: options.drbdConf });
  process.exitCode = exitOfFindings(outcome.findings);
  const verdict = verdictOf(outcome.findings);
  if (options.json === true) {
    const { ok, findings } = outcome;
    printJson({
      file: path,
      ok,
      verdict,
      findings: findings.map(whole),
      table: (outcome.rows ?? []).map(whole),
    });
    return;
  }
  for (const finding of outcome.findings) print(formatFinding(finding));
  print(`${path}: ${verdict}`);
}

/** 0 nothing, 1 advice, 2 an error. */
export function exitOfFindings(findings: readonly Finding[]): number {
  if (findings.some((finding) => finding.severity === "error")) return exits.usage;
  return findings.length === 0 ? exits.done : exits.negative;
}

/** `fine`, or how many findings of which kind. */
export function verdictOf(findings: readonly Finding[]): string {
  const errors = findings.filter((finding) => finding.severity === "error").length;
  const advice = findings.length - errors;
  if (errors > 0)
    return `refused: ${errors} ${errors === 1 ? "error" : "errors"}, ${advice} advice`;
  return advice === 0 ? "fine" : `usable: ${advice} advice`;
}

/** The same keys in every JSON object: null where there is nothing. */
export function whole<Item extends object>(item: Item): object {
  return Object.fromEntries(Object.entries(item).map(([key, value]) => [key, value ?? null]));
}
