/** Writing to a terminal or a pipe: what every verb prints with. */
import { styleText } from "node:util";

/** The few looks that verbs use. */
export type Look = "good" | "bad" | "warning" | "faint" | "strong";

/** Gives text a look; the identity where there is no terminal. */
export type Paint = (look: Look, text: string) => string;

const styles = {
  good: "green",
  bad: "red",
  warning: "yellow",
  faint: "gray",
  strong: "bold",
} as const satisfies Record<Look, Parameters<typeof styleText>[0]>;

/** Colours on a terminal that wants them (NO_COLOR and the like are heeded), else plain text. */
export const paint: Paint = (look, text) =>
  process.stdout.isTTY ? styleText(styles[look], text, { stream: process.stdout }) : text;

/** No colours: for pipes and tests. */
export const plain: Paint = (_look, text) => text;

/** Prints one line, or several. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a value as one JSON document. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints a value as one JSON line, for streams of them. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** A reader that had enough, as `head`, ends the program quietly; nothing else is hidden. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      process.exit(process.exitCode ?? 0);
    });
  }
}

/**
 * For the processes that stay: a log that can not be written (a full disk, a reader that went away) must not
 * end what keeps a service up. What mattered is in the journal as well.
 */
export function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}

/** Text from a peer or a script, made harmless for a terminal: no control characters. */
export function harmless(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cf}/gu, "?");
}

/** Cuts to a width, with a mark where something is missing. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** A duration for people: `85 ms`, `1.2 s`, `3 min 20 s`, `4 h 5 min`, `3 d 2 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  const seconds = Math.round(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return two(minutes, "min", seconds % 60, "s");
  const days = Math.floor(hours / 24);
  return days === 0 ? two(hours, "h", minutes % 60, "min") : two(days, "d", hours % 24, "h");
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** Pads the columns of a table to the widest cell; the last column is left as it is. */
export function columns(rows: readonly (readonly string[])[], gap = "  "): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join(gap)
      .trimEnd(),
  );
}
