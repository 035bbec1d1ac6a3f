/** Many seeds, within a budget of time, spread over worker threads; figures that a run produced. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { drawSchedule, type Profile } from "./schedule.ts";
import { type RunResult, runSchedule } from "./world.ts";

export interface Campaign {
  readonly firstSeed: number;
  readonly lastSeed: number;
  /** Stop drawing new seeds after this long; undefined: run them all. */
  readonly budgetMs: number | undefined;
  readonly jobs: number;
  /** All schedules of this profile; undefined: as each seed says. */
  readonly profile?: Profile | undefined;
  /** Stop at the first violation. */
  readonly stopAtFirst: boolean;
  onProgress?(done: number, violations: number): void;
}

export interface Failure {
  readonly seed: number;
  readonly checker: string;
  readonly atMs: number;
  readonly message: string;
}

export interface CampaignReport {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly lastSeed: number;
  readonly events: number;
  readonly simulatedSeconds: number;
  readonly elapsedSeconds: number;
  readonly failures: readonly Failure[];
  /** Longest time from the end of a storm until all was whole. */
  readonly settledMsMax: number;
  /** How often what was exercised, by name. */
  readonly counts: Readonly<Record<string, number>>;
  /** What a run of this size should have exercised and did not. */
  readonly notExercised: readonly string[];
}

/** What a worker tells of one seed. */
interface SeedReport {
  readonly seed: number;
  readonly events: number;
  readonly simulatedMs: number;
  readonly settledMs: number | undefined;
  readonly failures: readonly Failure[];
  readonly counts: readonly (readonly [string, number])[];
}

/**
 * What a run of this many schedules must have exercised at least once (reliability 7.5), as the world
 * counts it; a smaller run is too short to ask for all.
 */
const COVERAGE_SEEDS_MIN = 500;
const mustExercise = [
  "failovers",
  "switch done",
  "graceful stops",
  "failed starts",
  "healed splits",
  "stalls",
  "crashes",
  "crash before a write of agent",
  "crash after a write of agent",
  "crash before a write of beat",
  "crash after a write of beat",
  "refused BTN-BEAT-REPLAY-GENERATION",
  "refused BTN-BEAT-REPLAY-SEQUENCE",
] as const;

/** Runs one seed. */
export function runSeed(seed: number, profile?: Profile): RunResult {
  return runSchedule(drawSchedule(seed, profile));
}

/** The form in which a worker reports a seed. */
export function summarise(result: RunResult): SeedReport {
  return {
    seed: result.seed,
    events: result.events,
    simulatedMs: result.simulatedMs,
    settledMs: result.settledMs,
    failures: result.violations.map((violation) => ({ seed: result.seed, ...violation })),
    counts: [...result.counts],
  };
}

/** Runs seeds first..last; each worker takes the next one until the budget is spent. */
export async function runCampaign(campaign: Campaign): Promise<CampaignReport> {
  const started = process.hrtime.bigint();
  const elapsedMs = (): number => Number(process.hrtime.bigint() - started) / 1e6;
  const counts = new Map<string, number>();
  const failures: Failure[] = [];
  let [next, done, events, simulatedMs, settledMsMax] = [campaign.firstSeed, 0, 0, 0, 0];
  let stopping = false;

  function take(): number | undefined {
    const spent = campaign.budgetMs !== undefined && elapsedMs() >= campaign.budgetMs;
    return stopping || spent || next > campaign.lastSeed ? undefined : next++;
  }

  function add(report: SeedReport): void {
    done++;
    events += report.events;
    simulatedMs += report.simulatedMs;
    settledMsMax = Math.max(settledMsMax, report.settledMs ?? 0);
    failures.push(...report.failures);
    if (report.failures.length > 0 && campaign.stopAtFirst) stopping = true;
    for (const [name, count] of report.counts) counts.set(name, (counts.get(name) ?? 0) + count);
    campaign.onProgress?.(done, failures.length);
  }

  const jobs = Math.max(1, Math.min(campaign.jobs, availableParallelism()));
  await Promise.all(Array.from({ length: jobs }, () => work(campaign.profile, take, add)));
  const asked = done >= COVERAGE_SEEDS_MIN && campaign.profile === undefined ? mustExercise : [];
  return {
    seeds: done,
    firstSeed: campaign.firstSeed,
    lastSeed: next - 1,
    events,
    simulatedSeconds: simulatedMs / 1_000,
    elapsedSeconds: elapsedMs() / 1_000,
    failures: failures.sort((one, other) => one.seed - other.seed),
    settledMsMax,
    counts: Object.fromEntries([...counts].sort(([one], [other]) => (one < other ? -1 : 1))),
    notExercised: asked.filter((name) => (counts.get(name) ?? 0) === 0),
  };
}

/** One worker thread: asked for one seed after the other. */
function work(
  profile: Profile | undefined,
  take: () => number | undefined,
  add: (report: SeedReport) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), {
      execArgv: [],
      workerData: { profile },
    });
    const feed = (): void => {
      const seed = take();
      if (seed === undefined) void worker.terminate().then(() => resolve(), reject);
      else worker.postMessage(seed);
    };
    worker.on("message", (report: SeedReport) => {
      add(report);
      feed();
    });
    worker.on("error", reject);
    feed();
  });
}
