/**
 * `npm run bench -- failover`: the holder of a group loses power; how long until the survivor knows, has
 * the address, answers, and commits. Baton and Heartbeat 3.0.6 alternate, with the same times, the same
 * fault and the same observers. What is compared and how to read it: bench/README.md.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Prng } from "../src/base/index.ts";
import type { Daemon } from "../test/support/pair.ts";
import { type BenchCase, benchCases } from "./failover/cases.ts";
import { makeTemplate } from "./failover/database.ts";
import { measure } from "./failover/measure.ts";
import { type BenchTiming, timingsOf } from "./failover/timings.ts";
import { comparison, provenance, Samples } from "./report.ts";

const usage = `npm run bench -- failover [options]
  --runs N         runs of each subject in each case (default 3)
  --timing LIST    quick (default: fixture,tuned), fixture, tuned, default, fast, chapter
  --case LIST      ${benchCases.map(({ name }) => name).join(", ")} (default: all)
  --subject LIST   baton, heartbeat (default: both, alternating)
  --seed N         places the faults between the beats (default: drawn, and printed)
  --json FILE      writes the figures there
  --save           keeps figures and table under bench/results/
  --logs DIR       keeps logs and journals of the survivor there
`;

interface Options {
  readonly runs: number;
  readonly timings: readonly BenchTiming[];
  readonly cases: readonly BenchCase[];
  readonly subjects: readonly Daemon[];
  readonly seed: number;
  readonly json: string | undefined;
  readonly save: boolean;
  readonly logs: string | undefined;
}

/** @throws {RangeError | TypeError} with what is wrong */
function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: "string", default: "3" },
      timing: { type: "string", default: "quick" },
      case: { type: "string", default: benchCases.map(({ name }) => name).join(",") },
      subject: { type: "string", default: "baton,heartbeat" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      json: { type: "string" },
      save: { type: "boolean", default: false },
      logs: { type: "string" },
    },
  });
  const whole = (name: string, text: string): number => {
    if (!/^[0-9]{1,9}$/.test(text)) throw new RangeError(`--${name} "${text}" is no whole number`);
    return Number(text);
  };
  const cases = values.case.split(",").map((wanted) => {
    const found = benchCases.find(({ name }) => name === wanted);
    if (found === undefined) throw new RangeError(`There is no case "${wanted}"`);
    return found;
  });
  const subjects = values.subject.split(",").map((name): Daemon => {
    if (name === "baton" || name === "heartbeat") return name;
    throw new RangeError(`There is no subject "${name}"`);
  });
  return {
    runs: Math.max(1, whole("runs", values.runs)),
    timings: timingsOf(values.timing),
    cases,
    subjects,
    seed: whole("seed", values.seed),
    json: values.json,
    save: values.save,
    logs: values.logs,
  };
}

const root = fileURLToPath(new URL("..", import.meta.url));

async function main(options: Options, signal: AbortSignal): Promise<boolean> {
  const { runs, timings, cases, subjects, seed } = options;
  const samples = new Samples("failover");
  const random = new Prng(seed);
  const titles = new Map<string, string>();
  const head = provenance(root);
  process.stderr.write(`${head.join("\n")}\nseed     ${seed}\n`);
  const needsDatabase = cases.some(({ database }) => database);
  const template = needsDatabase ? makeTemplate() : undefined;
  let allWell = true;
  try {
    for (let round = 1; round <= runs && !signal.aborted; round++) {
      for (const timing of timings) {
        for (const benchCase of cases) {
          const name = `${benchCase.name}/${timing.name}`;
          titles.set(name, `${benchCase.what}; ${times(timing)}`);
          // Who goes first changes, so that a drift of the machine's load favours nobody.
          const order = round % 2 === 1 ? subjects : subjects.toReversed();
          for (const subject of order) {
            const phaseMs = random.between(0, 2 * timing.keepaliveMs);
            const plan = { benchCase, timing, subject, phaseMs, signal, logsTo: options.logs };
            allWell =
              (await one(`${round}/${runs} ${name}`, samples, {
                ...plan,
                template: benchCase.database ? template : undefined,
              })) && allWell;
            if (signal.aborted) return false;
          }
        }
      }
    }
  } finally {
    if (template !== undefined) rmSync(template, { recursive: true, force: true });
    publish(options, samples, [...head, `seed     ${seed}`], titles);
  }
  return allWell;
}

/** A run that fails is told and left out; the others go on. */
async function one(
  label: string,
  samples: Samples,
  plan: Parameters<typeof measure>[0],
): Promise<boolean> {
  const { benchCase, timing, subject } = plan;
  try {
    const figures = await measure(plan);
    const shown = Object.entries(figures).map(([metric, ms]) => `${metric} ${ms.toFixed(1)}`);
    process.stderr.write(`${label} ${subject}: ${shown.join(", ")}\n`);
    for (const [metric, ms] of Object.entries(figures)) {
      samples.add(`${benchCase.name}/${timing.name}`, subject, metric, ms);
    }
    return true;
  } catch (error) {
    if (plan.signal.aborted) return false;
    process.stderr.write(`${label} ${subject}: FAILED: ${(error as Error).stack}\n`);
    return false;
  }
}

function publish(
  { json, save }: Options,
  samples: Samples,
  head: readonly string[],
  titles: ReadonlyMap<string, string>,
): void {
  const rows = samples.rows();
  if (rows.length === 0) return;
  const text = `${head.join("\n")}\n\n${comparison(rows, titles)}\n`;
  process.stdout.write(`\n${text}`);
  const figures = `${JSON.stringify(rows, undefined, 1)}\n`;
  if (json !== undefined) writeFileSync(json, figures);
  if (!save) return;
  const commit = /^commit +(\S+)/m.exec(text)?.[1]?.replace("+", "-changed") ?? "unknown";
  const directory = join(root, "bench", "results");
  mkdirSync(directory, { recursive: true });
  const base = join(directory, `${new Date().toISOString().slice(0, 10)}-${commit}-failover`);
  writeFileSync(`${base}.json`, figures);
  writeFileSync(`${base}.txt`, text);
  process.stderr.write(`kept as ${base}.json and .txt\n`);
}

function times({ keepaliveMs, warntimeMs, deadtimeMs, initdeadMs }: BenchTiming): string {
  return `keepalive ${keepaliveMs}, warntime ${warntimeMs}, deadtime ${deadtimeMs}, initdead ${initdeadMs} ms`;
}

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // A pair ends the process at once; here the run is taken down in order and its figures are shown.
  process.removeAllListeners(name);
  process.once(name, () => stop.abort(new Error(`Ended by ${name}`)));
}
try {
  if (process.getuid?.() !== 0) throw new Error("This needs root: network and PID namespaces");
  const allWell = await main(readOptions(process.argv.slice(2)), stop.signal);
  process.exitCode = stop.signal.aborted ? 130 : allWell ? 0 : 5;
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${usage}`);
  process.exitCode = 2;
}
