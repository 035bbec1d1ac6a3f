/**
 * A short scripted rehearsal on a lab that is up: an append workload runs while the holder loses power,
 * comes back, and the group is moved to the other host and back; then the judge counts.
 */
import { delay } from "../system/clock.ts";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import { Load } from "./load.ts";
import { dataHosts } from "./topology.ts";
import type { AppendFigures, Verdict } from "./workload.ts";

const stepLimitMs = 60_000;
/** Acknowledged inserts wanted between two steps, so that each has load before and after it. */
const loadBetween = 100;

export interface DrillReport {
  readonly figures: AppendFigures;
  readonly verdict: Verdict;
  readonly passed: boolean;
}

/** @throws {LabError} if a step does not come to its end within a minute */
export async function drill(lab: Lab, progress: (line: string) => void): Promise<DrillReport> {
  const started = performance.now();
  const say = (line: string): void =>
    progress(`${String(Math.round(performance.now() - started)).padStart(6)} ms  ${line}`);
  const first = await holderOf(lab);
  const second = dataHosts.find(({ name }) => name !== first)?.name ?? "";
  await using load = new Load(lab);
  await load.grow(loadBetween);
  say(`power loss of ${first}, which holds the group`);
  await lab.crash(first);
  say(`${await serviceOn(lab, second)} answers on the write address`);
  await lab.start(first);
  say(`${first} is on again`);
  await load.grow(loadBetween);
  for (const to of [first, second]) {
    await moved(lab, { from: to === first ? second : first, to });
    say(`${await serviceOn(lab, to)} answers: switched to ${to}`);
    await load.grow(loadBetween);
  }
  const { figures, verdict, passed } = await load.finish();
  return { figures, verdict, passed };
}

async function holderOf(lab: Lab): Promise<string> {
  const answer = await lab.sql("SELECT @@hostname");
  if (answer.code === 0) return answer.stdout.trim();
  throw failed(`the write address does not answer: ${answer.stderr.trim()}`);
}

/** Waits until that host, and no other, is the one that answers. */
async function serviceOn(lab: Lab, host: string): Promise<string> {
  const task = { verb: "wait", sql: "SELECT @@hostname", timeoutMs: stepLimitMs } as const;
  const answer = await lab.client(task);
  if (answer.code === 0 && answer.stdout.trim() === host) return host;
  throw failed(`${host} should answer, but: ${(answer.stdout || answer.stderr).trim()}`);
}

/** A host that has just been powered on may not take the group yet: asked again until it does. */
async function moved(lab: Lab, { from, to }: { from: string; to: string }): Promise<void> {
  const command = ["baton", "switch", "--to", to];
  for (let leftMs = stepLimitMs; ; leftMs -= 1_000) {
    const result = await lab.execQuietly(from, command);
    if (result.code === 0) return;
    if (leftMs <= 0) throw failed(`${command.join(" ")} on ${from}: ${result.stderr.trim()}`);
    await delay(1_000);
  }
}

function failed(what: string): LabError {
  return new LabError(5, {
    code: "BTN-LAB-DRILL",
    message: `The drill did not come to its end: ${what}`,
    fix: "Look at `baton lab status`, and at `baton timeline` on the hosts",
  });
}
