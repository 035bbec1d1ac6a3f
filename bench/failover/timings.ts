/** The times under which both subjects run: always the same for the two of a comparison. */

/** Milliseconds, as in ha.cf. */
export interface BenchTiming {
  readonly name: string;
  readonly keepaliveMs: number;
  readonly warntimeMs: number;
  readonly deadtimeMs: number;
  readonly initdeadMs: number;
}

const figures: Readonly<Record<string, readonly [number, number, number, number]>> = {
  // The times of the captures of real pairs, and of the tests with a real heartbeat.
  fixture: [200, 1_000, 2_000, 4_000],
  // As short as operators who tune the original dare to go.
  tuned: [100, 300, 500, 4_000],
  // Baton's profiles; `chapter` is the seed's own ha.cf.
  default: [200, 600, 1_200, 10_000],
  fast: [100, 300, 400, 5_000],
  chapter: [1_000, 5_000, 15_000, 30_000],
};
/** `quick` stands for these. */
const quick = ["fixture", "tuned"];

/** The timings that a comma-separated list names. @throws {RangeError} naming those that there are */
export function timingsOf(list: string): readonly BenchTiming[] {
  const names = list.split(",").flatMap((name) => (name === "quick" ? quick : [name.trim()]));
  return [...new Set(names)].map((name) => {
    const row = Object.hasOwn(figures, name) ? figures[name] : undefined;
    if (row === undefined) {
      throw new RangeError(
        `There is no timing "${name}"; there is: quick, ${Object.keys(figures).join(", ")}`,
      );
    }
    const [keepaliveMs, warntimeMs, deadtimeMs, initdeadMs] = row;
    return { name, keepaliveMs, warntimeMs, deadtimeMs, initdeadMs };
  });
}

/** The lines of ha.cf. */
export function haCfLines(timing: BenchTiming): string {
  const { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs } = timing;
  return `keepalive ${keepaliveMs}ms\nwarntime ${warntimeMs}ms\ndeadtime ${deadtimeMs}ms\ninitdead ${initdeadMs}ms\nauto_failback off\n`;
}
