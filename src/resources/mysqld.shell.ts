/**
 * A MySQL or MariaDB server as a resource (mysql.md 6.6): started directly, ready when a query answers, opened
 * for writes last, closed first, ended by SIGTERM and SIGKILL on exactly its own process.
 */
import { access, open, stat } from "node:fs/promises";
import { BatonError } from "../base/index.ts";
import { delay, mountAt, readMountTable } from "../system/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import type { ResourceEnvironment } from "./environment.ts";
import { killAfter, lastWords, recoveryProgress } from "./mysqld.ts";
import { MysqldClient, type Row, ServerError } from "./mysqld-client.shell.ts";
import {
  findBinary,
  findLog,
  findServers,
  isAlive,
  type ServerProcess,
  signalServer,
  spawnServer,
} from "./mysqld-process.shell.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { MysqldSpec } from "./spec.ts";

/** mysql.md 6.6: a server that has nothing to repair answers after 0.2 s; waiting longer than this adds to it. */
const READY_POLL_MS = 15;
const LOG_POLL_MS = 200;
const EXIT_POLL_MS = 20;
/** One query over the local socket takes well under a millisecond; a server that needs this long is not well. */
const QUERY_TIMEOUT_MS = 2_000;
/** `SET GLOBAL read_only` waits for commits under way; after this their sessions are ended. */
const CLOSE_PATIENCE_MS = 300;
const CLOSE_TIMEOUT_MS = 2_000;
/** Read of the error log at a time and for messages. */
const LOG_CHUNK_BYTES = 65_536;

/** Sessions of clients: not ours, not the server's own threads, not replicas that wait for the last events. */
const SESSIONS_SQL =
  "SELECT id AS id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user NOT IN " +
  "('system user', 'event_scheduler') AND command NOT IN ('Binlog Dump', 'Binlog Dump GTID', 'Daemon')";

/** A resource that can be opened and closed for writes. */
export interface MysqldAgent extends ResourceAgent {
  readonly spec: MysqldSpec;
  activate(context: ActionContext): Promise<ActionResult>;
  deactivate(context: ActionContext): Promise<ActionResult>;
}

/** The server is a process of its own: it outlives this one and is found again by its data directory. */
export function createMysqldAgent(spec: MysqldSpec, environment: ResourceEnvironment): MysqldAgent {
  return new Mysqld(spec, environment);
}

type Failed = Extract<ActionResult, { readonly ok: false }>;

class Mysqld implements MysqldAgent {
  readonly spec: MysqldSpec;
  readonly #environment: ResourceEnvironment;
  readonly #client: MysqldClient;
  /** We opened it; undefined: not known, as after a restart of the agent. */
  #open: boolean | undefined;
  /** When it was last looked at there was a process, but no answer. */
  #hung = false;
  /** Said once, until it changes. */
  readonly #said = new Set<ResourcesReason>();

  constructor(spec: MysqldSpec, environment: ResourceEnvironment) {
    this.spec = spec;
    this.#environment = environment;
    this.#client = new MysqldClient(spec);
  }

  async probe(context: ActionContext): Promise<ProbeResult> {
    return await this.#look(context);
  }

  async monitor(context: ActionContext): Promise<ProbeResult> {
    const found = await this.#look(context);
    if (found.state === "stopped") this.#client.disconnect();
    return found;
  }

  async start(context: ActionContext): Promise<ActionResult> {
    const running = await findServers(this.spec);
    const foreign = running.find((server) => !server.ours);
    if (foreign !== undefined) return inUse(this.spec, foreign);
    const [server] = running;
    const log = await findLog(this.spec);
    if (server !== undefined) {
      return await this.#untilReady(server, await LogTail.atEnd(log.path), context);
    }
    const refusal = await precheck(this.spec);
    if (refusal !== undefined) return refusal;
    const binary = await findBinary(this.spec);
    if (binary === undefined) {
      return failed("BTN-MYSQLD-NOT-INSTALLED", this.spec.binary ?? "no mariadbd or mysqld", false);
    }
    if (context.signal.aborted) return brokenOff("before the server was started");
    const tail = await LogTail.atEnd(log.path);
    this.#client.disconnect();
    this.#open = false;
    try {
      const started = await spawnServer(this.spec, binary, log);
      return await this.#untilReady(started.server, tail, context);
    } catch (error) {
      return failed("BTN-MYSQLD-NOT-INSTALLED", `Cannot run ${binary}: ${String(error)}`, false);
    }
  }

  /** Lets clients write (R20). */
  async activate(_context: ActionContext): Promise<ActionResult> {
    const done = await this.#statement("SET GLOBAL read_only = 0", QUERY_TIMEOUT_MS);
    if (done.ok) {
      this.#open = true;
      this.#said.delete("BTN-MYSQLD-READ-ONLY");
    }
    return done;
  }

  /** Ends writes and then the sessions of clients, so that no commit is acknowledged late (R19). */
  async deactivate(context: ActionContext): Promise<ActionResult> {
    if ((await findServers(this.spec)).length === 0) {
      this.#open = false;
      return { ok: true, detail: "not running" };
    }
    return await this.#close(Math.min(context.timeoutMs ?? CLOSE_TIMEOUT_MS, CLOSE_TIMEOUT_MS));
  }

  /** All of it within `limitMs`. */
  async #close(limitMs: number): Promise<ActionResult> {
    const { clock } = this.#environment;
    const begunAt = clock.now();
    const leftMs = (): number => Math.max(1, limitMs - (clock.now() - begunAt));
    const killer = new MysqldClient(this.spec);
    this.#open = false;
    try {
      // Fails at once on a server that does not answer; after this the kept connection is there.
      await this.#ask(Math.min(limitMs, CLOSE_PATIENCE_MS));
      const closing = this.#statement("SET GLOBAL read_only = 1", leftMs());
      await Promise.race([closing, delay(CLOSE_PATIENCE_MS)]);
      const ended = await endSessions(killer, this.#client.threadId, leftMs());
      const closed = await closing;
      if (!closed.ok) return closed;
      // Who came while the statement waited.
      const more = await endSessions(killer, this.#client.threadId, leftMs());
      return { ok: true, detail: `${new Set([...ended, ...more]).size} client sessions ended` };
    } catch (error) {
      return this.#explain(error);
    } finally {
      killer.disconnect();
    }
  }

  async stop(context: ActionContext): Promise<ActionResult> {
    const servers = await findServers(this.spec);
    if (servers.length === 0) return { ok: true, detail: "not running" };
    const urgent = context.urgent === true;
    // One that does not answer can not be asked to close either.
    if (!urgent && !this.#hung && this.#open !== false) await this.#close(CLOSE_TIMEOUT_MS);
    this.#client.disconnect();
    // Whoever started it: a server left on the data would make the release a lie.
    for (const server of servers) {
      const result = await this.#end(server, urgent, context);
      if (!result.ok) return result;
    }
    this.#open = false;
    this.#hung = false;
    return { ok: true };
  }

  dispose(): void {
    this.#client.disconnect();
  }

  async #look(context: ActionContext): Promise<ProbeResult> {
    const limitMs = Math.min(QUERY_TIMEOUT_MS, (context.timeoutMs ?? QUERY_TIMEOUT_MS) * 0.8);
    let rows: readonly Row[];
    try {
      rows = await this.#ask(limitMs);
    } catch (error) {
      return await this.#judge(error);
    }
    this.#hung = false;
    this.#said.delete("BTN-MYSQLD-SATURATED");
    if (this.#open === true && Number(rows[0]?.["readOnly"]) !== 0) {
      this.#sayOnce("BTN-MYSQLD-READ-ONLY", `@@read_only is ${String(rows[0]?.["readOnly"])}`);
    } else {
      this.#said.delete("BTN-MYSQLD-READ-ONLY");
    }
    return { state: "running" };
  }

  /** Over the kept connection; if that was lost, once more over a new one. */
  async #ask(limitMs: number): Promise<readonly Row[]> {
    const sql = "SELECT @@global.server_id AS serverId, @@global.read_only AS readOnly";
    const kept = this.#client.threadId !== undefined;
    try {
      return await this.#client.query(sql, limitMs);
    } catch (error) {
      if (!kept || !(error instanceof ServerError) || error.answer !== "error") throw error;
      return await this.#client.query(sql, limitMs);
    }
  }

  /** What a server that gave no result is: stopped, if there is no process. */
  async #judge(error: unknown): Promise<ProbeResult> {
    this.#hung = false;
    const servers = await findServers(this.spec);
    if (servers.length === 0) return { state: "stopped" };
    if (!servers.some((server) => server.ours)) {
      const { reason, detail } = inUse(this.spec, servers[0]);
      return { state: "failed", reason, detail };
    }
    if (error instanceof ServerError && error.answer === "saturated") {
      this.#sayOnce("BTN-MYSQLD-SATURATED", error.message);
      return { state: "running" };
    }
    const { reason, detail } = this.#explain(error);
    this.#hung = reason === "BTN-MYSQLD-HUNG";
    return { state: "failed", reason, detail };
  }

  async #untilReady(
    server: ServerProcess,
    log: LogTail,
    context: ActionContext,
  ): Promise<ActionResult> {
    const { clock } = this.#environment;
    let lookedAt = clock.now();
    let progressAt = clock.now();
    for (;;) {
      const answer = await this.#isReady();
      if (answer !== undefined) return answer;
      if (context.signal.aborted) return brokenOff("while the server was starting");
      if (!isAlive(server)) return await this.#exited(log);
      if (clock.now() - lookedAt >= LOG_POLL_MS) {
        lookedAt = clock.now();
        const lines = await log.read();
        if (lines.length > 0) progressAt = clock.now();
        this.#tellProgress(lines, context);
      }
      const quietMs = clock.now() - progressAt;
      if (quietMs >= this.spec.recoveryStallMs) return this.#stalled(server, quietMs);
      await delay(READY_POLL_MS);
    }
  }

  /** Undefined: not yet. */
  async #isReady(): Promise<ActionResult | undefined> {
    try {
      await access(this.spec.socket);
      await this.#ask(QUERY_TIMEOUT_MS);
      return { ok: true };
    } catch (error) {
      if (error instanceof BatonError) return this.#explain(error);
      if (!(error instanceof ServerError)) return undefined; // no socket yet
      if (error.answer === "saturated") return { ok: true, detail: error.message };
      return error.answer === "denied" ? this.#explain(error) : undefined;
    }
  }

  #tellProgress(lines: readonly string[], context: ActionContext): void {
    for (const line of lines) {
      const words = recoveryProgress(line);
      if (words === undefined) continue;
      context.progress(`crash recovery: ${words}`);
      this.#notify("BTN-MYSQLD-RECOVERING", words);
    }
  }

  async #exited(log: LogTail): Promise<ActionResult> {
    await log.read();
    return failed("BTN-MYSQLD-EXITED", lastWords(log.seen) || "It left no word in its log", true);
  }

  #stalled(server: ServerProcess, quietMs: number): ActionResult {
    signalServer(server, "SIGKILL");
    const seconds = Math.round(quietMs / 1_000);
    return failed("BTN-MYSQLD-STALLED", `No new line in the error log for ${seconds} s`, false);
  }

  /** TERM, then KILL, on that process; returns when it is gone or `signal` aborts. */
  async #end(
    server: ServerProcess,
    urgent: boolean,
    context: ActionContext,
  ): Promise<ActionResult> {
    const { clock } = this.#environment;
    const termAt = clock.now();
    const abandon = context.abandon === true;
    const killAfterMs = killAfter(
      this.spec,
      { urgent, hung: this.#hung, abandon },
      context.timeoutMs,
    );
    let killed = false;
    signalServer(server, "SIGTERM");
    while (isAlive(server)) {
      if (context.signal.aborted) {
        const how = killed ? "outlived SIGKILL" : "has not ended yet";
        return failed("BTN-MYSQLD-STOP-FAILED", `Process ${server.pid} ${how}`, true);
      }
      if (!killed && clock.now() - termAt >= killAfterMs) {
        killed = signalServer(server, "SIGKILL");
        const after = `Process ${server.pid}, ${Math.round(killAfterMs)} ms after SIGTERM`;
        if (killed) this.#notify("BTN-MYSQLD-KILLED", after);
      }
      await delay(EXIT_POLL_MS);
    }
    return { ok: true };
  }

  async #statement(sql: string, limitMs: number): Promise<ActionResult> {
    try {
      await this.#client.query(sql, limitMs);
      return { ok: true };
    } catch (error) {
      return this.#explain(error);
    }
  }

  #explain(error: unknown): Failed {
    if (error instanceof BatonError) return failed(error.code, error.message, false);
    if (!(error instanceof ServerError))
      return failed("BTN-MYSQLD-QUERY-FAILED", String(error), true);
    switch (error.answer) {
      case "denied":
        return failed("BTN-MYSQLD-ACCESS-DENIED", error.message, false);
      case "silent":
      case "absent":
        return failed("BTN-MYSQLD-HUNG", error.message, true);
      default:
        return failed("BTN-MYSQLD-QUERY-FAILED", error.message, true);
    }
  }

  #sayOnce(reason: ResourcesReason, detail: string): void {
    if (this.#said.has(reason)) return;
    this.#said.add(reason);
    this.#notify(reason, detail);
  }

  #notify(reason: ResourcesReason, detail: string): void {
    const { group } = this.#environment;
    this.#environment.notify({ group, resource: this.spec.name, reason, detail });
  }
}

/** Ends the sessions of clients; returns their numbers. @throws {ServerError} */
async function endSessions(
  client: MysqldClient,
  except: number | undefined,
  limitMs: number,
): Promise<readonly number[]> {
  const sessions = (await client.query(SESSIONS_SQL, limitMs))
    .map((row) => Number(row["id"]))
    .filter((id) => Number.isSafeInteger(id) && id !== except);
  for (const id of sessions) {
    // Unknown thread: it went by itself.
    await client.query(`KILL ${id}`, limitMs).catch(() => undefined);
  }
  return sessions;
}

/** What must be so before a server may be started; undefined: all is well. */
async function precheck(spec: MysqldSpec): Promise<Failed | undefined> {
  const { requiredMount, dataDirectory } = spec;
  if (requiredMount !== undefined && mountAt(await readMountTable(), requiredMount) === undefined) {
    return failed("BTN-MYSQLD-NOT-MOUNTED", `${requiredMount} is not a mount point`, false);
  }
  const exists = async (path: string): Promise<boolean> =>
    await stat(path).then(
      () => true,
      () => false,
    );
  if (!(await exists(dataDirectory))) {
    return failed("BTN-MYSQLD-NO-DATA", `${dataDirectory} does not exist`, false);
  }
  if ((await exists(`${dataDirectory}/ibdata1`)) || (await exists(`${dataDirectory}/mysql`))) {
    return undefined;
  }
  const detail = `${dataDirectory} holds neither ibdata1 nor mysql`;
  return failed("BTN-MYSQLD-NO-DATA", detail, false);
}

function inUse(spec: MysqldSpec, server: ServerProcess | undefined): Failed {
  const detail = `Process ${server?.pid} works in ${spec.dataDirectory}, with another socket and pid file`;
  return failed("BTN-MYSQLD-DATADIR-IN-USE", detail, false);
}

function failed(reason: string, detail: string, retryable: boolean): Failed {
  return { ok: false, reason, detail, retryable };
}

function brokenOff(when: string): Failed {
  return failed("BTN-RESOURCE-CANCELLED", `Broken off ${when}`, true);
}

/** What is added to a log from a moment on. */
class LogTail {
  readonly #path: string;
  #offset: number;
  #partial = "";
  /** What was read, for messages. */
  seen = "";

  private constructor(path: string, offset: number) {
    this.#path = path;
    this.#offset = offset;
  }

  static async atEnd(path: string): Promise<LogTail> {
    const size = await stat(path).then(
      (stats) => stats.size,
      () => 0,
    );
    return new LogTail(path, size);
  }

  /** The lines added since the last call; none if the log can not be read. */
  async read(): Promise<readonly string[]> {
    try {
      await using file = await open(this.#path, "r");
      // Shorter than before: it was rotated.
      if ((await file.stat()).size < this.#offset) this.#offset = 0;
      const buffer = Buffer.alloc(LOG_CHUNK_BYTES);
      const { bytesRead } = await file.read(buffer, 0, LOG_CHUNK_BYTES, this.#offset);
      this.#offset += bytesRead;
      const text = buffer.toString("utf8", 0, bytesRead);
      this.seen = (this.seen + text).slice(-LOG_CHUNK_BYTES);
      const lines = (this.#partial + text).split("\n");
      this.#partial = (lines.pop() ?? "").slice(-LOG_CHUNK_BYTES);
      return lines;
    } catch {
      return []; // no log yet
    }
  }
}
