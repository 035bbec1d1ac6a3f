/**
 * Durations as people write them. cluster.yaml: a number with its unit, always. Classic files:
 * heartbeat.md 2.1, where a bare number means seconds. Both become whole milliseconds here, once.
 */

/** 7 days: no timer of ours is longer, and all sums stay exact. */
export const durationMsMax = 7 * 24 * 3_600_000;

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

export type DurationReading =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly problem: string; readonly fix: string };

/** Reads `200ms`, `1.2s`, `1m`, `2h`. A number without unit is refused: 200 of what? */
export function parseDuration(source: string): DurationReading {
  const match = /^([0-9]{1,12}(?:\.[0-9]{1,6})?)\s?(ms|s|m|h)$/u.exec(source);
  if (match === null) {
    if (/^[0-9]+(?:\.[0-9]+)?$/u.test(source)) {
      const shown = source.length > 20 ? "200" : source;
      return {
        ok: false,
        problem: "it has no unit",
        fix: `write ${shown}ms for milliseconds or ${shown}s for seconds`,
      };
    }
    const problem = source.startsWith("-") ? "a duration is not negative" : "it is not a duration";
    return { ok: false, problem, fix: "write a number and its unit, such as 200ms, 1.2s or 1m" };
  }
  const ms = Number(match[1]) * (unitMs[match[2] ?? ""] ?? Number.NaN);
  const rounded = Math.round(ms);
  if (Math.abs(ms - rounded) > 1e-6) {
    return {
      ok: false,
      problem: "it is finer than one millisecond",
      fix: "write whole milliseconds",
    };
  }
  if (rounded > durationMsMax) {
    return { ok: false, problem: "it is longer than 7 days", fix: "write at most 168h" };
  }
  return { ok: true, ms: rounded };
}

/** The shortest form that `parseDuration` reads back: 90000 is `90s`, 1200 is `1200ms`. */
export function formatDuration(ms: number): string {
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  if (ms >= 1_000 && ms % 100 === 0) return `${ms / 1_000}s`;
  return `${ms}ms`;
}

/**
 * A time of ha.cf in milliseconds: decimal number, then nothing (seconds), `ms`, `msec`, `us` or
 * `usec`, blanks allowed between. Undefined for anything else, also `1s` (heartbeat.md 2.1).
 */
export function parseClassicTime(source: string): number | undefined {
  const match = /^([0-9]{0,15})(?:\.([0-9]{0,15}))?[ \t]*(ms|msec|us|usec)?$/u.exec(source);
  if (match === null) return undefined;
  const [, whole = "", fraction = "", unit] = match;
  if (whole === "" && fraction === "") return undefined;
  const value = Number(`${whole === "" ? "0" : whole}.${fraction === "" ? "0" : fraction}`);
  const factor = unit === undefined ? 1_000 : unit.startsWith("ms") ? 1 : 0.001;
  const ms = Math.round(value * factor);
  return ms > durationMsMax ? undefined : ms;
}
