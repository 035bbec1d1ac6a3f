/** `baton sim run|replay`: schedules of faults against the real cores, by seed. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import type { CampaignReport, MutantOutcome, Profile, Schedule } from "../sim/index.ts";

interface RunOptions {
  readonly seeds: readonly [number, number];
  readonly budget?: number;
  readonly jobs: number;
  readonly profile?: Profile;
  readonly keepGoing?: boolean;
  readonly mutants?: boolean;
  readonly json?: boolean;
}

/** As in `sim/schedule.ts`, which is loaded only when it is needed. */
const profileNames: readonly Profile[] = [
  "swarm",
  "writes",
  "splits",
  "stalls",
  "starts",
  "rebirths",
];

/** Adds the verb `sim` to the program. */
export function registerSim(program: Command): void {
  const sim = program
    .command("sim")
    .description("run the real cores through schedules of faults in virtual time, by seed");
  sim
    .command("run")
    .description("run many seeds; stops at the first violation")
    .option("--seeds <range>", "seeds to run, such as 7 or 1..5000", parseRange, [
      1, 1_000,
    ] as const)
    .option("--budget <time>", "take no new seed after this long, such as 60s", parseTime)
    .option("--jobs <count>", "worker threads", parseCount, availableParallelism())
    .option("--profile <name>", "only schedules of this profile", parseProfile)
    .option("--keep-going", "run on after a violation")
    .option("--mutants", "then plant known bugs one by one and show that each is found")
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExample:\n  baton sim run --seeds 1..5000 --budget 60s")
    .action(runSeeds);
  sim
    .command("replay")
    .description("run one schedule again and print its story")
    .argument("<seed|file>", "the seed that a run printed, or a schedule as JSON")
    .option("--profile <name>", "draw the seed's schedule of this profile", parseProfile)
    .option("--last <lines>", "lines of the story", parseCount, 80)
    .option("--json", "print schedule and result as JSON")
    .addHelpText("after", "\nExample:\n  baton sim replay 4711")
    .action(replaySeed);
}

async function runSeeds(options: RunOptions): Promise<void> {
  const { runCampaign, runMutants } = await import("../sim/index.ts");
  const [firstSeed, lastSeed] = options.seeds;
  const quiet = options.json === true;
  let shownAt = Date.now();
  const report = await runCampaign({
    firstSeed,
    lastSeed,
    budgetMs: options.budget,
    jobs: options.jobs,
    profile: options.profile,
    stopAtFirst: options.keepGoing !== true,
    onProgress: (done, violations) => {
      if (quiet || Date.now() - shownAt < 5_000) return;
      shownAt = Date.now();
      process.stderr.write(`${done} schedules, ${violations} violations\n`);
    },
  });
  if (!quiet) printReport(report, options.profile);
  const mutants =
    options.mutants === true
      ? await runMutants({
          jobs: options.jobs,
          onOutcome: (outcome) => {
            if (!quiet) printMutant(outcome);
          },
        })
      : undefined;
  if (quiet) process.stdout.write(`${JSON.stringify({ ...report, mutants }, null, 2)}\n`);
  const missed = mutants?.some((mutant) => mutant.foundBy === undefined) === true;
  if (report.failures.length > 0 || report.notExercised.length > 0 || missed) process.exitCode = 5;
}

function printReport(report: CampaignReport, profile: Profile | undefined): void {
  const seconds = Math.max(report.elapsedSeconds, 0.001);
  const rate = Math.round(report.events / seconds);
  const speed = Math.round(report.simulatedSeconds / seconds);
  process.stdout.write(
    `${report.seeds} schedules (seeds ${report.firstSeed}..${report.lastSeed}), ${report.failures.length} violations, ` +
      `${report.events} events in ${report.elapsedSeconds.toFixed(1)} s: ${rate} events/s, ${speed} simulated seconds per second\n`,
  );
  const shown = Object.entries(report.counts)
    .filter(([name]) => !/^(decision|fault|verdict|command|refused BTN-BEAT-BEFORE)/.test(name))
    .map(([name, count]) => `${name} ${count}`);
  process.stdout.write(`exercised: ${shown.join(", ")}\n`);
  process.stdout.write(
    `whole again after a storm: ${(report.settledMsMax / 1_000).toFixed(1)} s at most\n`,
  );
  for (const name of report.notExercised) process.stdout.write(`not exercised: ${name}\n`);
  const drawn = profile === undefined ? "" : ` --profile ${profile}`;
  for (const failure of report.failures.slice(0, 10)) {
    process.stdout.write(
      `seed ${failure.seed}: ${failure.checker} at ${failure.atMs.toFixed(1)} ms: ${failure.message}\n` +
        `  again: ./baton sim replay ${failure.seed}${drawn}\n`,
    );
  }
}

function printMutant(mutant: MutantOutcome): void {
  const found =
    mutant.foundBy === undefined
      ? `NOT FOUND in ${mutant.seeds} schedules`
      : `found by ${mutant.foundBy} at seed ${mutant.seed}`;
  process.stdout.write(`planted bug "${mutant.name}" (${mutant.breaks}): ${found}\n`);
}

async function replaySeed(
  what: string,
  options: { readonly last: number; readonly profile?: Profile; readonly json?: boolean },
): Promise<void> {
  const { drawSchedule, runSchedule } = await import("../sim/index.ts");
  const schedule = what.endsWith(".json")
    ? (JSON.parse(readFileSync(what, "utf8")) as Schedule)
    : drawSchedule(parseCount(what), options.profile);
  const result = runSchedule(schedule, options.last);
  if (options.json === true) {
    const counts = Object.fromEntries(result.counts);
    process.stdout.write(
      `${JSON.stringify({ schedule, result: { ...result, counts } }, null, 2)}\n`,
    );
  } else {
    process.stdout.write(`${result.story.join("\n")}\n`);
    process.stdout.write(
      `seed ${schedule.seed}: ${result.events} events, ${(result.simulatedMs / 1_000).toFixed(1)} s, trace ${result.hash}, ` +
        `${result.violations.length === 0 ? "no violation" : result.violations.map(({ checker, message }) => `${checker}: ${message}`).join("; ")}\n`,
    );
  }
  if (result.violations.length > 0) process.exitCode = 5;
}

function parseProfile(text: string): Profile {
  const profile = profileNames.find((name) => name === text);
  if (profile === undefined) {
    throw new InvalidArgumentError(`There are ${profileNames.join(", ")}.`);
  }
  return profile;
}

function parseRange(text: string): readonly [number, number] {
  const match = /^(\d+)(?:\.\.(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last < first || !Number.isSafeInteger(last)) {
    throw new InvalidArgumentError("Write one seed or a range, such as 7 or 1..5000.");
  }
  return [first, last];
}

function parseTime(text: string): number {
  const match = /^(\d+)(ms|s|m)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Write a time with a unit, such as 60s.");
  return Number(match[1]) * (match[2] === "ms" ? 1 : match[2] === "s" ? 1_000 : 60_000);
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Write a whole number.");
  return Number(text);
}
