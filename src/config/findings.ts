/** Collects what a check finds; every message has a place, a consequence and a fix (DESIGN 3). */
import { formatPlace } from "../base/index.ts";
import type { Finding } from "./model.ts";
import type { ConfigReason } from "./reasons.ts";

/** A file with more mistakes than this is not read by anybody to the end; the rest is counted. */
const findingsMax = 200;
/** Longest sentence of a finding. */
const textLengthMax = 1_000;

/** What a message says beside its place and code. */
export interface FindingText {
  readonly message: string;
  readonly consequence: string;
  readonly fix: string;
}

/** The findings of one or more files, bounded. */
export class Report {
  readonly #findings: Finding[] = [];
  #dropped = 0;
  #errors = 0;

  error(file: string, line: number | undefined, code: ConfigReason, text: FindingText): void {
    this.#errors++;
    this.#add({ severity: "error", code, file, line, ...text });
  }

  advice(file: string, line: number | undefined, code: ConfigReason, text: FindingText): void {
    this.#add({ severity: "advice", code, file, line, ...text });
  }

  /** Takes over what another check found. */
  take(findings: readonly Finding[]): void {
    for (const finding of findings) {
      if (finding.severity === "error") this.#errors++;
      this.#add(finding);
    }
  }

  /** True once anything was refused. */
  get refused(): boolean {
    return this.#errors > 0;
  }

  /** True when further findings are only counted: no more work on suggestions. */
  get full(): boolean {
    return this.#findings.length >= findingsMax;
  }

  /** In the order of the file; errors of the same line first. */
  list(): readonly Finding[] {
    const sorted = this.#findings.toSorted(
      (left, right) =>
        left.file.localeCompare(right.file) ||
        (left.line ?? 0) - (right.line ?? 0) ||
        Number(left.severity === "advice") - Number(right.severity === "advice"),
    );
    const first = sorted[0];
    if (this.#dropped === 0 || first === undefined) return sorted;
    return [
      ...sorted,
      {
        severity: this.#errors > 0 ? "error" : "advice",
        code: "BTN-CONFIG-MANY",
        file: first.file,
        line: undefined,
        message: `${this.#dropped} more findings are not shown`,
        consequence: "the file is not usable as it is",
        fix: "correct what is listed and check again",
      },
    ];
  }

  #add(finding: Finding): void {
    if (this.full) {
      this.#dropped++;
      return;
    }
    // Keys and paths of the file stand in messages: what they contain must not reach a terminal.
    const shown = (text: string): string => printable(text, textLengthMax);
    this.#findings.push({
      ...finding,
      message: shown(finding.message),
      consequence: finding.consequence === undefined ? undefined : shown(finding.consequence),
      fix: finding.fix === undefined ? undefined : shown(finding.fix),
    });
  }
}

/** One finding for a terminal: `file:line: message [CODE]`, then consequence and fix. */
export function formatFinding(finding: Finding): string {
  const place = formatPlace({
    file: finding.file,
    ...(finding.line === undefined ? {} : { line: finding.line }),
  });
  const lines = [`${place}${finding.message} [${finding.code}]`];
  if (finding.consequence !== undefined) lines.push(`  consequence: ${finding.consequence}`);
  if (finding.fix !== undefined) lines.push(`  fix: ${finding.fix}`);
  return lines.join("\n");
}

/** A value from a file as it is shown in a message: quoted, no control characters, bounded. */
export function quote(value: string): string {
  return `"${printable(value, 60)}"`;
}

/** Text from a file without control characters and at most `lengthMax` long. */
export function printable(value: string, lengthMax: number): string {
  const cut = value.length > lengthMax ? `${value.slice(0, lengthMax - 3)}...` : value;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be kept out of terminals
  return cut.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu, "?");
}

/** `; did you mean x?` or nothing. */
export function didYouMean(suggestion: string | undefined): string {
  return suggestion === undefined ? "" : `; did you mean ${suggestion}?`;
}
