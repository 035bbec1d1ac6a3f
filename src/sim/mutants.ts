/**
 * Planted bugs: proof that the checkers can fail (reliability 7.3). Each is a change of one line in a
 * copy of the sources; the same seeds are run there, and one of them must find it.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BatonError } from "../base/index.ts";
import { run } from "../system/process.ts";
import { type CampaignReport, runSeed } from "./campaign.ts";
import { mutants } from "./mutant-list.ts";
import type { Profile } from "./schedule.ts";

/** One planted bug. `find` must occur exactly once in `file`. */
export interface Mutant {
  readonly name: string;
  /** The invariant or rule that it breaks. */
  readonly breaks: string;
  /** The schedules that are tried. */
  readonly profile: Profile;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface MutantOutcome {
  readonly name: string;
  readonly breaks: string;
  /** Schedules run until it was found, or in all. */
  readonly seeds: number;
  readonly seed: number | undefined;
  /** Undefined as well if the code without the bug fails at that seed too. */
  readonly foundBy: string | undefined;
  readonly message: string | undefined;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Seeds given to each planted bug, and the time. */
const SEEDS_MAX = 1_000;
const BUDGET = "60s";
const LIMIT_MS = 150_000;

/** Plants each bug in a copy of its own and runs seeds there until one finds it; `jobs` at a time. */
export async function runMutants(options: {
  readonly jobs: number;
  onOutcome?(outcome: MutantOutcome): void;
}): Promise<readonly MutantOutcome[]> {
  const waiting = [...mutants.entries()];
  const outcomes: MutantOutcome[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, mutant] = next;
      const outcome = await runMutant(mutant);
      outcomes[index] = outcome;
      options.onOutcome?.(outcome);
    }
  };
  const jobs = Math.max(1, Math.min(options.jobs, availableParallelism()));
  await Promise.all(Array.from({ length: jobs }, work));
  return outcomes;
}

async function runMutant(mutant: Mutant): Promise<MutantOutcome> {
  const directory = mkdtempSync(join(tmpdir(), "btn-mutant-"));
  try {
    cpSync(join(root, "src"), join(directory, "src"), {
      recursive: true,
      filter: (source) => !/testdata$|\.test\.ts$/.test(source),
    });
    cpSync(join(root, "package.json"), join(directory, "package.json"));
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
    plant(mutant, directory);
    const result = await run(
      process.execPath,
      [
        "--disable-warning=ExperimentalWarning",
        join(directory, "src", "main.ts"),
        ...["sim", "run", "--seeds", `1..${SEEDS_MAX}`, "--profile", mutant.profile],
        ...["--budget", BUDGET, "--jobs", "1", "--json"],
      ],
      { timeoutMs: LIMIT_MS, maxOutputBytes: 1024 * 1024 },
    );
    const report = readReport(mutant, result.stdout, result.stderr);
    const first = report.failures[0];
    // Found is only what the code without the bug does not do.
    const isProof =
      first !== undefined && runSeed(first.seed, mutant.profile).violations.length === 0;
    return {
      name: mutant.name,
      breaks: mutant.breaks,
      seeds: report.seeds,
      seed: first?.seed,
      foundBy: isProof ? first.checker : undefined,
      message: first?.message,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function plant(mutant: Mutant, directory: string): void {
  const path = join(directory, mutant.file);
  const text = readFileSync(path, "utf8");
  const places = text.split(mutant.find).length - 1;
  if (places !== 1) {
    throw new BatonError({
      code: "BTN-SIM-MUTANT-STALE",
      message: `Cannot plant "${mutant.name}": its line occurs ${places} times in ${mutant.file}`,
      consequence: "Whether the checkers would find such a bug is not shown",
      fix: "Bring src/sim/mutant-list.ts up to date with the code",
    });
  }
  writeFileSync(
    path,
    text.replace(mutant.find, () => mutant.replace),
  );
}

function readReport(mutant: Mutant, stdout: string, stderr: string): CampaignReport {
  try {
    return JSON.parse(stdout) as CampaignReport;
  } catch (cause) {
    throw new BatonError({
      code: "BTN-SIM-MUTANT-BROKEN",
      message: `The copy with "${mutant.name}" did not run: ${stderr.slice(-500)}`,
      fix: "Mend the planted bug: it must still be a program",
      cause,
    });
  }
}
