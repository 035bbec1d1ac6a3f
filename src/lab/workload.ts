/**
 * The append workload and its judge (reliability 8.3). The client inserts rows with ids that nobody else
 * uses, one after the other, and notes what it was told of each *before* it goes on. Afterwards the
 * judge compares the notes with the table: what was acknowledged is there once, what was refused is not.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { delay } from "../system/clock.ts";
import { SqlConnection, SqlFailure, type SqlTarget } from "./sql.ts";

/** `ok`: acknowledged; `fail`: certainly not done; `unknown`: sent, but no answer tells what became of it. */
export type Outcome = "ok" | "fail" | "unknown";

/** One line of the notes after the first. */
export interface AppendNote {
  readonly sequence: number;
  readonly outcome: Outcome;
  /** Milliseconds from the start of the workload to the answer. */
  readonly atMs: number;
  /** How long the answer took. */
  readonly tookMs: number;
  /** Who acknowledged it, by `@@hostname`; what went wrong otherwise. */
  readonly from?: string;
  readonly error?: string;
}

/** The first line of the notes. */
export interface AppendHeader {
  readonly run: string;
  readonly startedWallMs: number;
}

export interface AppendOptions {
  readonly target: SqlTarget;
  /** Letters, digits and `-`: no other workload on this data may have the same. */
  readonly run: string;
  readonly seconds: number;
  /** Pause between two inserts. @default 0 */
  readonly gapMs?: number;
  /** After this an insert has outcome `unknown`. @default 2000 */
  readonly timeoutMs?: number;
  /** After this a connection that does not come about is tried anew. @default timeoutMs */
  readonly connectMs?: number;
  /** Pause before a new connection after a failure. @default 20 */
  readonly retryMs?: number;
  readonly signal?: AbortSignal;
  /** Takes each note as soon as it is certain. */
  readonly note: (note: AppendNote) => void;
}

/** What is printed at the end of a workload. */
export interface AppendFigures {
  readonly ok: number;
  readonly fail: number;
  readonly unknown: number;
  /** The longest time from one acknowledgement to the next, in milliseconds. */
  readonly longestGapMs: number;
  /** Who acknowledged, in the order of their first answers. */
  readonly servers: readonly string[];
}

const table = "baton_lab.append";
const createTable = `CREATE TABLE IF NOT EXISTS ${table} (
  position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, run VARCHAR(64) NOT NULL, sequence BIGINT NOT NULL,
  server VARCHAR(64) NOT NULL, KEY (run, sequence)) ENGINE=InnoDB`;

/** ER_SERVER_SHUTDOWN, ER_QUERY_INTERRUPTED, ER_CONNECTION_KILLED: the server may have been past its commit. */
const undecidedErrors = new Set([1053, 1317, 1927]);

/** Appends until the time is up or `signal` aborts; reconnects after each failure. */
export async function runAppend(options: AppendOptions): Promise<AppendFigures> {
  const started = performance.now();
  const { gapMs = 0, retryMs = 20, signal } = options;
  const figures = new Figures();
  let connection: SqlConnection | undefined;
  const timeUp = (): boolean =>
    signal?.aborted === true || performance.now() - started >= options.seconds * 1_000;
  for (let sequence = 1; !timeUp(); sequence++) {
    const before = performance.now();
    const result = await appendOne(options, sequence, connection);
    connection = result.connection;
    const now = performance.now();
    const note = {
      sequence,
      ...result.note,
      atMs: round(now - started),
      tookMs: round(now - before),
    };
    options.note(note);
    figures.count(note);
    const pauseMs = note.outcome === "ok" ? gapMs : retryMs;
    if (pauseMs > 0) await delay(pauseMs);
  }
  connection?.close();
  return figures.sum();
}

interface Attempt {
  readonly note: Pick<AppendNote, "outcome" | "from" | "error">;
  readonly connection: SqlConnection | undefined;
}

async function appendOne(
  { target, run, timeoutMs = 2_000, connectMs = timeoutMs }: AppendOptions,
  sequence: number,
  existing: SqlConnection | undefined,
): Promise<Attempt> {
  let connection = existing?.usable === true ? existing : undefined;
  let inserting = false;
  try {
    if (connection === undefined) {
      connection = await SqlConnection.open(target, connectMs);
      await prepare(connection, timeoutMs);
    }
    const values = `('${run}', ${sequence}, @@hostname)`;
    inserting = true;
    const rows = await connection.query(
      `INSERT INTO ${table} (run, sequence, server) VALUES ${values} RETURNING server`,
      timeoutMs,
    );
    return { note: { outcome: "ok", from: rows[0]?.[0] ?? "" }, connection };
  } catch (error) {
    connection?.close();
    if (!(error instanceof SqlFailure)) throw error;
    const outcome = inserting && mayHaveHappened(error) ? "unknown" : "fail";
    return { note: { outcome, error: error.message }, connection: undefined };
  }
}

/** A server that is still read-only refuses this, and so the insert is never sent. */
async function prepare(connection: SqlConnection, timeoutMs: number): Promise<void> {
  const found = await connection.query(
    "SELECT 1 FROM information_schema.tables WHERE table_schema='baton_lab' AND table_name='append'",
    timeoutMs,
  );
  if (found.length > 0) return;
  await connection.query("CREATE DATABASE IF NOT EXISTS baton_lab", timeoutMs);
  await connection.query(createTable, timeoutMs);
}

function mayHaveHappened(error: SqlFailure): boolean {
  return error.sent && (error.number === 0 || undecidedErrors.has(error.number));
}

class Figures {
  readonly #counts: Record<Outcome, number> = { ok: 0, fail: 0, unknown: 0 };
  readonly #servers = new Set<string>();
  #lastOkMs: number | undefined;
  #longestGapMs = 0;

  count({ outcome, atMs, from }: AppendNote): void {
    this.#counts[outcome]++;
    if (outcome !== "ok") return;
    if (from !== undefined) this.#servers.add(from);
    this.#longestGapMs = Math.max(this.#longestGapMs, atMs - (this.#lastOkMs ?? atMs));
    this.#lastOkMs = atMs;
  }

  sum(): AppendFigures {
    return {
      ...this.#counts,
      longestGapMs: round(this.#longestGapMs),
      servers: [...this.#servers],
    };
  }
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** Opens a file of notes and writes its first line. */
export function openNotes(
  file: string,
  header: AppendHeader,
): { add(note: AppendNote): void; close(): void } {
  const descriptor = openSync(file, "w", 0o644);
  const add = (line: AppendHeader | AppendNote): void => {
    writeSync(descriptor, `${JSON.stringify(line)}\n`);
  };
  add(header);
  return { add, close: () => closeSync(descriptor) };
}

/** Reads the notes back. A last line that was cut off by a kill is one insert of outcome `unknown`. */
export function readNotes(file: string): { header: AppendHeader; notes: AppendNote[] } {
  const [first, ...lines] = readFileSync(file, "utf8").split("\n");
  const header = JSON.parse(first ?? "") as AppendHeader;
  const whole = lines.filter((line) => line.endsWith("}"));
  return { header, notes: whole.map((line) => JSON.parse(line) as AppendNote) };
}

/**
 * The longest time from one acknowledgement to the next, as far as it lies between two moments of the
 * notes; from `fromMs` on if none came before, until `toMs` if none came after.
 */
export function longestPauseMs(
  notes: readonly AppendNote[],
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): number {
  let last: number | undefined;
  let longest = 0;
  for (const { outcome, atMs } of notes) {
    if (outcome !== "ok") continue;
    if (atMs > fromMs) longest = Math.max(longest, atMs - (last ?? fromMs));
    last = atMs;
    if (atMs >= toMs) return longest;
  }
  return Math.max(longest, toMs - Math.max(last ?? fromMs, fromMs));
}

/** What the judge found. Lost, duplicated and phantom must all be 0. */
export interface Verdict {
  readonly acknowledged: number;
  /** Acknowledged, but not there. */
  readonly lost: readonly number[];
  /** There more than once. */
  readonly duplicated: readonly number[];
  /** There, although refused or never sent. */
  readonly phantom: readonly number[];
  /** Of those without an answer: how many turned out to be there. */
  readonly unknownPresent: number;
  readonly unknownAbsent: number;
}

/**
 * Compares notes with the sequence numbers that the table holds. The insert after the last note may
 * have been under way when the client was killed, so it may be there or not.
 */
export function judge(notes: readonly AppendNote[], present: readonly number[]): Verdict {
  const counts = new Map<number, number>();
  for (const sequence of present) counts.set(sequence, (counts.get(sequence) ?? 0) + 1);
  const outcomes = new Map(notes.map(({ sequence, outcome }) => [sequence, outcome]));
  const last = Math.max(0, ...notes.slice(-1).map(({ sequence }) => sequence));
  const having = (wanted: Outcome): number[] =>
    notes.filter(({ outcome }) => outcome === wanted).map(({ sequence }) => sequence);
  const unknown = having("unknown");
  const unknownPresent = unknown.filter((sequence) => counts.has(sequence)).length;
  return {
    acknowledged: having("ok").length,
    lost: having("ok").filter((sequence) => !counts.has(sequence)),
    duplicated: [...counts].filter(([, count]) => count > 1).map(([sequence]) => sequence),
    phantom: [...counts.keys()].filter((sequence) => {
      const outcome = outcomes.get(sequence);
      return outcome === "fail" || (outcome === undefined && sequence !== last + 1);
    }),
    unknownPresent,
    unknownAbsent: unknown.length - unknownPresent,
  };
}

/** Judges a file of notes against the table, through the write address. @throws {SqlFailure} */
export async function verifyAppend(
  file: string,
  target: SqlTarget,
  timeoutMs = 30_000,
): Promise<Verdict> {
  const { header, notes } = readNotes(file);
  const connection = await SqlConnection.open(target, timeoutMs);
  try {
    const rows = await connection.query(
      `SELECT sequence FROM ${table} WHERE run='${header.run}'`,
      timeoutMs,
    );
    return judge(
      notes,
      rows.map(([sequence]) => Number(sequence)),
    );
  } finally {
    connection.close();
  }
}
