/**
 * A short scripted rehearsal on a lab that is up: an append workload runs while the holder loses power,
 * comes back, and the group is moved to the other host and back; then the judge counts.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay } from "../system/clock.ts";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import { dataHosts } from "./topology.ts";
import { type AppendFigures, readNotes, type Verdict } from "./workload.ts";

/** Longer than any drill: the workload is stopped when the last step is done. */
const loadSeconds = 600;
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
  const directory = mkdtempSync(join(tmpdir(), "baton-drill-"));
  const notes = join(directory, "notes");
  const stop = new AbortController();
  const first = await holderOf(lab);
  const second = dataHosts.find(({ name }) => name !== first)?.name ?? "";
  const load = lab.append({ seconds: loadSeconds, out: notes }, stop.signal);
  try {
    await underLoad(notes);
    say(`power loss of ${first}, which holds the group`);
    await lab.crash(first);
    say(`${await serviceOn(lab, second)} answers on the write address`);
    await lab.start(first);
    say(`${first} is on again`);
    await underLoad(notes);
    for (const to of [first, second]) {
      await moved(lab, { from: to === first ? second : first, to });
      say(`${await serviceOn(lab, to)} answers: switched to ${to}`);
      await underLoad(notes);
    }
  } finally {
    stop.abort();
    await load.catch(() => undefined); // the step's own error says more
  }
  const figures = JSON.parse((await load).stdout) as AppendFigures;
  const verified = await lab.verify(notes);
  const verdict = JSON.parse(verified.stdout) as Verdict;
  rmSync(directory, { recursive: true });
  return { figures, verdict, passed: verified.code === 0 };
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

/** Waits for more acknowledged inserts. */
async function underLoad(notes: string): Promise<void> {
  const before = acknowledged(notes);
  for (let leftMs = stepLimitMs; acknowledged(notes) < before + loadBetween; leftMs -= 50) {
    if (leftMs <= 0) throw failed("inserts are not acknowledged any more");
    await delay(50);
  }
}

function acknowledged(notes: string): number {
  try {
    if (readFileSync(notes, "utf8").indexOf("\n") === -1) return 0;
    return readNotes(notes).notes.filter(({ outcome }) => outcome === "ok").length;
  } catch {
    return 0; // the client has not opened its notes yet
  }
}

function failed(what: string): LabError {
  return new LabError(5, {
    code: "BTN-LAB-DRILL",
    message: `The drill did not come to its end: ${what}`,
    fix: "Look at `baton lab status`, and at `baton timeline` on the hosts",
  });
}
