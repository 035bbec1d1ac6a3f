/** An append workload that runs beside something else: a drill, or a test of faults. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay } from "../system/clock.ts";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import { type AppendFigures, type AppendNote, readNotes, type Verdict } from "./workload.ts";

/** Longer than anything that a load runs beside: it is stopped by its owner. */
const secondsMax = 14_400;

export interface LoadOptions {
  /** Pause between two inserts. @default 0 */
  readonly gapMs?: number;
  /** After this an insert without answer is `unknown`, and the client connects anew. @default 2000 */
  readonly timeoutMs?: number;
  /** After this a connection that does not come about is tried anew. @default timeoutMs */
  readonly connectMs?: number;
}

/** What a load came to, and what the judge says of it. */
export interface LoadReport {
  readonly figures: AppendFigures;
  readonly verdict: Verdict;
  /** Nothing lost, duplicated or phantom. */
  readonly passed: boolean;
  readonly notes: readonly AppendNote[];
  /** Wall clock at which `atMs` of the notes begins. */
  readonly startedWallMs: number;
}

/** One running workload. Disposing ends it without a verdict. */
export class Load implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #directory: string;
  readonly #file: string;
  readonly #stop = new AbortController();
  readonly #client: ReturnType<Lab["append"]>;
  #ended = false;
  #readTo = 0;
  #rest = "";
  #acknowledged = 0;

  constructor(lab: Lab, options: LoadOptions = {}) {
    this.#lab = lab;
    this.#directory = mkdtempSync(join(tmpdir(), "baton-load-"));
    this.#file = join(this.#directory, "notes");
    this.#client = lab.append(
      { seconds: secondsMax, out: this.#file, ...options },
      this.#stop.signal,
    );
    const end = (): void => {
      this.#ended = true;
    };
    this.#client.then(end, end);
  }

  /** Inserts that were acknowledged until now. */
  acknowledged(): number {
    this.#readOn();
    return this.#acknowledged;
  }

  /** Waits until that many more are acknowledged. @throws {LabError} if they are not within the limit */
  async grow(more = 100, limitMs = 60_000): Promise<void> {
    const wanted = this.acknowledged() + more;
    for (let leftMs = limitMs; this.acknowledged() < wanted; leftMs -= 20) {
      if (leftMs <= 0 || this.#ended) {
        const state = this.#ended ? "the client has ended" : `none within ${limitMs} ms`;
        throw new LabError(5, {
          code: "BTN-LAB-DRILL",
          message: `Inserts are not acknowledged any more: ${state}`,
          fix: "Look at `baton lab status`, and at `baton timeline` on the hosts",
        });
      }
      await delay(20);
    }
  }

  /** Stops the client and judges its notes, through the write address. @throws {LabError} if either fails */
  async finish(): Promise<LoadReport> {
    this.#stop.abort();
    const ended = await this.#client;
    if (ended.code !== 0) throw unfinished("The workload", ended.stderr);
    const verified = await this.#lab.verify(this.#file);
    if (verified.stdout === "") throw unfinished("The judge", verified.stderr);
    const { header, notes } = readNotes(this.#file);
    return {
      figures: JSON.parse(ended.stdout) as AppendFigures,
      verdict: JSON.parse(verified.stdout) as Verdict,
      passed: verified.code === 0,
      notes,
      startedWallMs: header.startedWallMs,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#client.catch(() => undefined); // what was wrong with it was told by `finish` or `grow`
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Counts what was added to the notes since the last look. */
  #readOn(): void {
    let descriptor: number;
    try {
      descriptor = openSync(this.#file, "r");
    } catch {
      return; // the client has not opened its notes yet
    }
    const chunk = Buffer.alloc(65_536);
    for (;;) {
      const length = readSync(descriptor, chunk, 0, chunk.length, this.#readTo);
      if (length === 0) break;
      this.#readTo += length;
      const lines = (this.#rest + chunk.toString("latin1", 0, length)).split("\n");
      this.#rest = lines.pop() ?? "";
      this.#acknowledged += lines.filter((line) => line.includes('"outcome":"ok"')).length;
    }
    closeSync(descriptor);
  }
}

function unfinished(who: string, stderr: string): LabError {
  return new LabError(5, {
    code: "BTN-LAB-DRILL",
    message: `${who} did not come to an end: ${stderr.trim()}`,
    fix: "Look at `baton lab status`, and at `baton timeline` on the hosts",
  });
}
