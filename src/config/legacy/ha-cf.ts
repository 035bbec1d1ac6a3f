/**
 * ha.cf, read as Heartbeat 3.0.6 reads it: line by line, directives act when met, the checks of the
 * whole come at the end. Source: heartbeat.md 2.1 and 2.2.
 */
import { didYouMean, printable, quote, Report } from "../findings.ts";
import type { Finding } from "../model.ts";
import type { ConfigReason } from "../reasons.ts";
import { nearest } from "../suggest.ts";
import { configBytesMax } from "../yaml-tree.ts";
import { haCfDirectives } from "./ha-cf-directives.ts";
import { emptyDraft, type HaCfDraft, type TimeName } from "./ha-cf-draft.ts";
import { type ImportRow, joinVerdicts, type Verdict } from "./rows.ts";

const lineBytesMax = 5_120;
const linesMax = 20_000;

export interface HaCfOptions {
  /** Port of the media until `udpport`: /etc/services `ha-cluster`/udp, else 694. */
  readonly defaultPort?: number | undefined;
  /** Names to addresses, as the shell resolved them; without it names stay names. */
  readonly resolved?: Readonly<Record<string, string>> | undefined;
}

export interface HaCfTimes {
  readonly keepaliveMs: number;
  readonly warntimeMs: number;
  readonly deadtimeMs: number;
  readonly initdeadMs: number;
  readonly deadpingMs: number;
}

/** What ha.cf says, with the original's defaults. Usable only if `findings` has no error. */
export interface HaCf {
  readonly draft: HaCfDraft;
  readonly times: HaCfTimes;
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
  /** Line of a time directive; undefined where the default applies. */
  readonly lineOf: (name: TimeName) => number | undefined;
}

/** Reads the text of an ha.cf; any text gives a result. */
export function parseHaCf(text: string, file: string, options: HaCfOptions = {}): HaCf {
  const reader = new HaCfReader(file, options);
  reader.read(text);
  const times = reader.finish();
  const { draft, rows, report } = reader;
  const lineOf = (name: TimeName): number | undefined => draft.times.get(name)?.line;
  return { draft, times, rows, findings: report.list(), lineOf };
}

/** Turns a verdict into a row and, where a person should know, a finding. */
export function record(
  rows: ImportRow[],
  report: Report,
  row: Omit<ImportRow, "outcome" | "reason">,
  verdict: Verdict,
): void {
  rows.push({ ...row, outcome: verdict.outcome, reason: verdict.reason });
  if (verdict.fix === undefined) return;
  const codes: Readonly<Record<ImportRow["outcome"], ConfigReason>> = {
    kept: "BTN-IMPORT-CHANGED",
    changed: "BTN-IMPORT-OBSOLETE",
    replaced: "BTN-IMPORT-CHANGED",
    refused:
      verdict.error === true && verdict.consequence === undefined
        ? "BTN-IMPORT-ILLEGAL"
        : "BTN-IMPORT-REFUSED",
    advice: "BTN-IMPORT-CHANGED",
  };
  const code = verdict.code ?? codes[verdict.outcome];
  const text = {
    message: row.directive === "" ? verdict.reason : `${row.directive}: ${verdict.reason}`,
    consequence:
      verdict.consequence ??
      (verdict.error === true
        ? "the start is refused, as the original refuses it"
        : "the service starts; this line has no other effect"),
    fix: verdict.fix,
  };
  if (verdict.error === true) report.error(row.file, row.line, code, text);
  else report.advice(row.file, row.line, code, text);
}

class HaCfReader {
  readonly draft: HaCfDraft;
  readonly rows: ImportRow[] = [];
  readonly report = new Report();
  readonly #file: string;

  constructor(file: string, options: HaCfOptions) {
    this.#file = file;
    this.draft = emptyDraft(options.defaultPort ?? 694, options.resolved);
  }

  read(text: string): void {
    if (!checkClassicText(text, this.#file, this.report)) return;
    const lines = text.split("\n");
    if (lines.length > linesMax) {
      this.#refuse(
        undefined,
        `The file has more than ${linesMax} lines`,
        "remove what is not needed",
      );
      return;
    }
    for (const [index, raw] of lines.entries()) this.#line(raw, index + 1);
  }

  #line(raw: string, line: number): void {
    if (raw.length > lineBytesMax) {
      this.#refuse(
        line,
        `The line is longer than ${lineBytesMax} bytes`,
        "split it: list directives may be repeated",
      );
      return;
    }
    const plain = (raw.split("#", 1)[0] ?? "").trim();
    const match = /^(\S+)\s*(.*)$/su.exec(plain);
    if (match === null) return;
    const [, name = "", rest = ""] = match;
    const directive = Object.hasOwn(haCfDirectives, name) ? haCfDirectives[name] : undefined;
    if (directive === undefined) {
      this.#illegal(name, rest, line);
      return;
    }
    const values =
      directive.style === "line" ? [rest] : rest.split(/[\s,]+/u).filter((word) => word !== "");
    const text = printable(directive.mask?.(rest) ?? rest, 120);
    const row = { file: this.#file, line, directive: name, text };
    if (values.length === 0) {
      const verdict: Verdict = {
        outcome: "advice",
        reason: "there is no value: the line has no effect, as in the original",
        fix: "add a value or remove the line",
      };
      record(this.rows, this.report, row, verdict);
      return;
    }
    record(
      this.rows,
      this.report,
      row,
      joinVerdicts(values.map((value) => directive.read(this.draft, value, line))),
    );
  }

  #illegal(name: string, rest: string, line: number): void {
    const suggestion = this.report.full ? undefined : nearest(name, Object.keys(haCfDirectives));
    const reason = `Illegal directive ${quote(name)}${didYouMean(suggestion)}`;
    const fix = suggestion === undefined ? "remove the line" : `write ${suggestion}`;
    const row = {
      file: this.#file,
      line,
      directive: printable(name, 40),
      text: printable(rest, 120),
    };
    this.rows.push({ ...row, outcome: "refused", reason });
    this.#refuse(line, reason, fix);
  }

  #refuse(line: number | undefined, message: string, fix: string): void {
    this.report.error(this.#file, line, "BTN-IMPORT-ILLEGAL", {
      message,
      consequence: "the start is refused, as the original refuses it",
      fix,
    });
  }

  /** Defaults and the checks that the original makes of the whole. */
  finish(): HaCfTimes {
    const set = (name: TimeName): number | undefined => this.draft.times.get(name)?.ms;
    const keepaliveMs = set("keepalive") ?? 1_000;
    const deadtimeMs = set("deadtime") ?? 30_000;
    const warntimeMs = set("warntime") ?? Math.round(deadtimeMs / 2);
    const initdeadMs = set("initdead") ?? defaultInitdeadMs(deadtimeMs);
    const deadpingMs = set("deadping") ?? deadtimeMs;
    this.#defaulted("keepalive", keepaliveMs, "1 s");
    this.#defaulted("deadtime", deadtimeMs, "30 s");
    this.#defaulted("warntime", warntimeMs, "deadtime / 2");
    this.#defaulted(
      "initdead",
      initdeadMs,
      "deadtime if above 10 s, 12 s if deadtime is below 6 s, else 2 x deadtime",
    );
    this.#defaulted("deadping", deadpingMs, "deadtime");
    this.#compare(
      "deadtime",
      deadtimeMs > 2 * keepaliveMs,
      `deadtime ${deadtimeMs} ms is too small compared to keepalive ${keepaliveMs} ms`,
      "set deadtime above 2 x keepalive",
    );
    this.#compare(
      "deadping",
      set("deadping") === undefined || deadpingMs > 2 * keepaliveMs,
      `deadping ${deadpingMs} ms is too small compared to keepalive ${keepaliveMs} ms`,
      "set deadping above 2 x keepalive",
    );
    this.#compare(
      "initdead",
      initdeadMs >= deadtimeMs,
      `initdead ${initdeadMs} ms is below deadtime ${deadtimeMs} ms`,
      "set initdead to at least deadtime",
    );
    if (this.draft.nodes.length === 0)
      this.#refuse(undefined, "There is no node line", "add `node HOST HOST`");
    if (this.draft.links.length === 0) {
      const serial = this.draft.foreignMedia > 0 ? ": serial lines are the only media" : "";
      this.#refuse(
        undefined,
        `There are no heartbeat media that Baton can use${serial}`,
        "add ucast, bcast or mcast lines",
      );
    }
    if (this.draft.autoFailback === undefined) {
      const row = {
        file: this.#file,
        line: undefined,
        directive: "auto_failback",
        text: "(not set)",
      };
      record(this.rows, this.report, row, {
        outcome: "advice",
        reason: "not set: legacy, as in the original",
        fix: "write auto_failback off or on",
      });
    }
    return { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs, deadpingMs };
  }

  #defaulted(name: TimeName, ms: number, rule: string): void {
    if (this.draft.times.has(name)) return;
    const row = { file: this.#file, line: undefined, directive: name, text: "(not set)" };
    this.rows.push({
      ...row,
      outcome: "kept",
      reason: `${ms} ms, the original's default: ${rule}`,
    });
  }

  #compare(name: TimeName, holds: boolean, message: string, fix: string): void {
    if (!holds) this.#refuse(this.draft.times.get(name)?.line, message, fix);
  }
}

/** heartbeat.md 2.2: deadtime above 10 s; 12 s if it is below 6 s; else twice deadtime. */
export function defaultInitdeadMs(deadtimeMs: number): number {
  if (deadtimeMs > 10_000) return deadtimeMs;
  return deadtimeMs < 6_000 ? 12_000 : 2 * deadtimeMs;
}

/** Size and characters that no classic file can have. */
export function checkClassicText(text: string, file: string, report: Report): boolean {
  if (text.length > configBytesMax) {
    report.error(file, undefined, "BTN-CONFIG-LIMIT", {
      message: `The file is larger than ${configBytesMax} bytes`,
      consequence: "the file is refused before it is read further",
      fix: "check that it is the right file",
    });
    return false;
  }
  const nul = text.indexOf("\0");
  const mark = text.startsWith("\uFEFF");
  if (nul === -1 && !mark) return true;
  const line = mark ? 1 : text.slice(0, nul).split("\n").length;
  report.error(file, line, "BTN-CONFIG-SYNTAX", {
    message: mark ? "The file begins with a byte order mark" : "The file holds a NUL character",
    consequence:
      "the original would read something other than what is shown, so the start is refused",
    fix: "save the file again as plain text",
  });
  return false;
}
