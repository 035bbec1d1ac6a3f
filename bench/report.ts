/** Figures of runs as rows (the form of every section's JSON file) and as a table for people. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

/** One row of the JSON file. `metric` ends in its unit. */
export interface ResultRow {
  readonly bench: string;
  readonly case: string;
  /** `baton`, or the peer's name. */
  readonly subject: string;
  readonly metric: string;
  readonly unit: string;
  readonly runs: number;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The figures of each run, by case, subject and metric, in the order in which they came. */
export class Samples {
  readonly #bench: string;
  readonly #values = new Map<string, number[]>();

  constructor(bench: string) {
    this.#bench = bench;
  }

  add(name: string, subject: string, metric: string, value: number): void {
    const key = [name, subject, metric].join("\0");
    const values = this.#values.get(key) ?? [];
    values.push(value);
    this.#values.set(key, values);
  }

  rows(): readonly ResultRow[] {
    return [...this.#values].map(([key, values]) => {
      const [name = "", subject = "", metric = ""] = key.split("\0");
      const sorted = values.toSorted((one, other) => one - other);
      return {
        bench: this.#bench,
        case: name,
        subject,
        metric,
        unit: metric.slice(metric.lastIndexOf("_") + 1),
        runs: values.length,
        min: tenth(sorted[0] ?? Number.NaN),
        median: tenth(medianOf(sorted)),
        max: tenth(sorted.at(-1) ?? Number.NaN),
      };
    });
  }
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  if (!Number.isInteger(middle)) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

const tenth = (value: number): number => Math.round(value * 10) / 10;

/**
 * One table per case: medians with least and greatest, and how many times the peer's median is ours.
 * @param titles a line for each case
 */
export function comparison(
  rows: readonly ResultRow[],
  titles: ReadonlyMap<string, string>,
): string {
  const cases = [...new Set(rows.map((row) => row.case))];
  return cases
    .map((name) => {
      const own = rows.filter((row) => row.case === name);
      const peer = own.find(({ subject }) => subject !== "baton")?.subject ?? "";
      const metrics = [...new Set(own.map(({ metric }) => metric))];
      const find = (metric: string, subject: string): ResultRow | undefined =>
        own.find((row) => row.metric === metric && row.subject === subject);
      const lines = metrics.map((metric) => {
        const [baton, other] = [find(metric, "baton"), find(metric, peer)];
        const ratio =
          baton === undefined || other === undefined || baton.median <= 0
            ? ""
            : `${(other.median / baton.median).toFixed(2)} x`;
        return [metric, show(baton), show(other), ratio];
      });
      const head = ["metric", "baton", peer, `${peer} / baton`];
      return `${name}: ${titles.get(name) ?? ""}\n${table([head, ...lines])}`;
    })
    .join("\n\n");
}

function show(row: ResultRow | undefined): string {
  if (row === undefined) return "-";
  const { median, min, max, runs } = row;
  return `${median.toFixed(1)} (${min.toFixed(1)} .. ${max.toFixed(1)}) n=${runs}`;
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join("   "),
    )
    .join("\n");
}

/** When, of which commit, on what kind of machine: the head of a kept result. */
export function provenance(root: string): readonly string[] {
  const git = (...args: readonly string[]): string => {
    try {
      return execFileSync("git", ["-C", root, ...args], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }).trim();
    } catch {
      return ""; // Not a checkout: the figures are as good, only their origin is not known.
    }
  };
  const dirty = git("status", "--porcelain", "--untracked-files=no", "--", "src") === "" ? "" : "+";
  const kernel = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  const processors = cpus();
  const load = readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
  return [
    `date     ${new Date().toISOString()}`,
    `commit   ${git("rev-parse", "--short=12", "HEAD") || "unknown"}${dirty}`,
    `machine  ${processors.length} x ${processors[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${kernel}`,
    `node     ${process.version}`,
    `load     ${load} (1, 5, 15 minutes)`,
  ];
}
