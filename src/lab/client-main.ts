/**
 * A client of the lab: a process of its own, started on the network of the host `client`. Reads one JSON
 * line of arguments from stdin; writes rows or figures to stdout, errors to stderr; exits with 0, 1 or 5.
 */
import { readFileSync } from "node:fs";
import { delay } from "../system/clock.ts";
import { defaultDatabase } from "./host-files.ts";
import { formatRow, SqlConnection, SqlFailure, type SqlTarget } from "./sql.ts";
import { openNotes, runAppend, verifyAppend } from "./workload.ts";

/** What a client is asked to do. Limits are for the whole of it. */
export type ClientTask =
  | { readonly verb: "sql"; readonly sql: string; readonly timeoutMs: number }
  /** Tries again until the statement succeeds. */
  | { readonly verb: "wait"; readonly sql: string; readonly timeoutMs: number }
  | {
      readonly verb: "append";
      readonly run: string;
      readonly seconds: number;
      readonly gapMs: number;
      readonly timeoutMs: number;
      readonly connectMs: number;
      readonly out: string;
    }
  | { readonly verb: "verify"; readonly file: string };

/** The arguments of the process: where to, and what. */
export interface ClientOrder {
  readonly target: SqlTarget;
  readonly task: ClientTask;
}

/** ER_BAD_DB_ERROR. */
const unknownDatabase = 1049;

async function perform({ target, task }: ClientOrder): Promise<number> {
  switch (task.verb) {
    case "sql":
      return print(await once(target, task.sql, task.timeoutMs));
    case "wait":
      return print(await untilAnswered(target, task.sql, task.timeoutMs));
    case "append":
      return append(target, task);
    case "verify": {
      const verdict = await verifyAppend(task.file, target);
      process.stdout.write(`${JSON.stringify(verdict)}\n`);
      const faults = verdict.lost.length + verdict.duplicated.length + verdict.phantom.length;
      return faults === 0 ? 0 : 1;
    }
    default:
      throw new Error(`Unknown task ${JSON.stringify(task satisfies never)}`);
  }
}

async function once(target: SqlTarget, sql: string, timeoutMs: number): Promise<string[]> {
  const started = performance.now();
  const connection = await openDefault(target, timeoutMs);
  try {
    const leftMs = Math.max(1, timeoutMs - (performance.now() - started));
    return (await connection.query(sql, leftMs)).map(formatRow);
  } finally {
    connection.close();
  }
}

/** A statement may name its tables without a database; it is no fault if somebody dropped the default. */
async function openDefault(target: SqlTarget, timeoutMs: number): Promise<SqlConnection> {
  try {
    return await SqlConnection.open({ ...target, database: defaultDatabase }, timeoutMs);
  } catch (error) {
    if (!(error instanceof SqlFailure) || error.number !== unknownDatabase) throw error;
    return await SqlConnection.open(target, timeoutMs);
  }
}

async function untilAnswered(target: SqlTarget, sql: string, timeoutMs: number): Promise<string[]> {
  const started = performance.now();
  for (;;) {
    const leftMs = timeoutMs - (performance.now() - started);
    try {
      return await once(target, sql, Math.max(1, Math.min(1_000, leftMs)));
    } catch (error) {
      if (!(error instanceof SqlFailure) || leftMs <= 0) throw error;
      await delay(50);
    }
  }
}

async function append(target: SqlTarget, task: ClientTask & { verb: "append" }): Promise<number> {
  const notes = openNotes(task.out, { run: task.run, startedWallMs: Date.now() });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  const { run, seconds, gapMs, timeoutMs, connectMs } = task;
  const note = notes.add;
  const figures = await runAppend({
    target,
    run,
    seconds,
    gapMs,
    timeoutMs,
    connectMs,
    note,
    signal: stop.signal,
  });
  notes.close();
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  return 0;
}

function print(rows: readonly string[]): number {
  process.stdout.write(rows.map((row) => `${row}\n`).join(""));
  return 0;
}

try {
  process.exitCode = await perform(JSON.parse(readFileSync(0, "utf8")) as ClientOrder);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 5;
}
