/**
 * Sizes and rates as people write them in cluster.yaml: a number with its unit, always, and binary units only, as
 * in drbd.conf. Sizes become bytes, rates KiB/s.
 */

const units: readonly (readonly [unit: string, bytes: number])[] = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
  ["B", 1],
];

export type SizeReading =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly problem: string; readonly fix: string };

/** Reads `512B`, `4KiB`, `1.5MiB`, `10GiB`, `1TiB`, and `0`. */
export function parseSize(source: string): SizeReading {
  if (source === "0") return { ok: true, bytes: 0 };
  const match = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?([A-Za-z]{1,3})$/u.exec(source);
  const number = match?.[1] ?? "";
  const factor = units.find(([unit]) => unit === match?.[2])?.[1];
  if (factor === undefined) {
    const bare = /^[0-9]+$/u.test(source) && source.length <= 15;
    const shown = bare ? source : number === "" ? "10" : number;
    return {
      ok: false,
      problem: bare ? "it has no unit" : "it is not a size",
      fix: `write a number and its unit, such as ${shown}MiB or ${shown}GiB (KiB, MiB, GiB and TiB are powers of 1024)`,
    };
  }
  const bytes = Number(number) * factor;
  if (!Number.isInteger(bytes) || bytes > Number.MAX_SAFE_INTEGER)
    return { ok: false, problem: "it is no whole number of bytes", fix: "use the smaller unit" };
  return { ok: true, bytes };
}

/** Reads `100MiB/s`; KiB/s. */
export function parseRate(source: string): SizeReading {
  const hint = "write a size per second, such as 100MiB/s";
  if (source === "0") return { ok: true, bytes: 0 };
  if (!source.endsWith("/s"))
    return { ok: false, problem: "it is not a size per second", fix: hint };
  const reading = parseSize(source.slice(0, -2).trimEnd());
  if (!reading.ok) return { ...reading, fix: hint };
  return reading.bytes % 1_024 === 0
    ? { ok: true, bytes: reading.bytes / 1_024 }
    : { ok: false, problem: "it is no whole number of KiB/s", fix: hint };
}

/** The shortest form that `parseSize` reads back. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return "0";
  const [unit, factor] = units.find(([, each]) => bytes % each === 0) ?? (["B", 1] as const);
  return `${bytes / factor}${unit}`;
}

/** The shortest form that `parseRate` reads back. */
export const formatRate = (kibPerSecond: number): string =>
  kibPerSecond === 0 ? "0" : `${formatSize(kibPerSecond * 1_024)}/s`;
