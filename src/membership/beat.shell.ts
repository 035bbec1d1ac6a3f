/**
 * The beat process (DESIGN 2, 7.3): drives the transport core with sockets, one timer and files, and serves the agent
 * over a socket. Nothing else runs here, so that nothing else can hold up a beat.
 */
import { randomInt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { BatonError, type Clock, unreachable } from "../base/index.ts";
import { monotonicClock } from "../system/clock.ts";
import { type LineServer, serveLines } from "../system/lines.ts";
import { type FileLock, takeLock } from "../system/lock.ts";
import { RecordWriter, readBeatFiles } from "./beat-files.shell.ts";
import { parseBeatRequest } from "./beat-request.ts";
import { settingsDigest } from "./beat-settings.shell.ts";
import {
  BEAT_SOCKET,
  BEAT_VERB,
  type BeatPush,
  type BeatSettings,
  MissedEvents,
} from "./beat-settings.ts";
import type { BeatEvent, KeySources } from "./contract.ts";
import { nodeHmac } from "./hmac.shell.ts";
import { loadKeyring, type SecretLoader } from "./keyring.shell.ts";
import { Links } from "./links.shell.ts";
import { Pings } from "./ping.shell.ts";
import {
  Transport,
  type TransportEffect,
  type TransportInput,
  type TransportRecord,
} from "./transport.ts";

/** How old the load average in a beat may be: it is for people, and reading it costs a system call. */
const LOAD_AVERAGE_AGE_MS = 1_000;
/** Dropped datagrams are told to the core in sums. */
const RATE_LIMITED_EVERY_MS = 1_000;
/** After a record could not be written, the next attempt comes this much later. */
const PERSIST_AGAIN_MS = 2_000;
/** Below most that the kernel would end first when memory is short (reliability 9.2 `privileges`). */
const OOM_SCORE_ADJUST = "-900";

/**
 * Runs the beat process until it is told to end, by the agent or by SIGTERM.
 * @throws {BatonError} BTN-BEAT-ALREADY-RUNNING, BTN-BEAT-KEYS, BTN-BEAT-GENERATION-UNREADABLE, BTN-BEAT-UNWRITABLE
 */
export async function runBeat(settings: BeatSettings, loadSecret: SecretLoader): Promise<void> {
  preferThisProcess();
  // Now, because writing it later would hold up a beat; all that this process needs is loaded.
  flushCompileCache();
  const beat = await BeatProcess.start(settings, loadSecret);
  const end = (): void => beat.end();
  const reread = (): void => beat.rereadKeys();
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", reread);
  try {
    await beat.ended;
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", reread);
    await beat.close();
  }
}

/** The beat process: sockets, files, one timer and the agent's socket around the transport core. */
export class BeatProcess {
  readonly #settings: BeatSettings;
  readonly #loadSecret: SecretLoader;
  readonly #clock: Clock;
  readonly #lock: FileLock;
  readonly #core: Transport;
  readonly #writer: RecordWriter;
  readonly #missed: MissedEvents;
  readonly #digest: string;
  #keys: KeySources;
  readonly #ended = Promise.withResolvers<void>();
  readonly #inbox: TransportInput[] = [];
  readonly #rateLimited = new Map<string, number>();
  readonly #loggedByLink = new Map<string, string>();
  #draining = false;
  #closed = false;
  #cancelTimer = (): void => undefined;
  #rateLimitedTimer: NodeJS.Timeout | undefined;
  #persistTimer: NodeJS.Timeout | undefined;
  /** The record that was asked for last. */
  #newest: TransportRecord | undefined;
  #unwritable = false;
  #loadAverage = "n/a";
  #loadAverageAt = Number.NEGATIVE_INFINITY;
  #links: Links | undefined;
  #pings: Pings | undefined;
  #server: LineServer | undefined;

  private constructor(parts: {
    readonly settings: BeatSettings;
    readonly loadSecret: SecretLoader;
    readonly lock: FileLock;
    readonly core: Transport;
    readonly clock: Clock;
  }) {
    this.#settings = parts.settings;
    this.#loadSecret = parts.loadSecret;
    this.#lock = parts.lock;
    this.#core = parts.core;
    this.#clock = parts.clock;
    this.#writer = new RecordWriter(parts.settings);
    this.#missed = new MissedEvents(parts.settings.agentGraceMs);
    this.#digest = settingsDigest(parts.settings);
    this.#keys = parts.settings;
  }

  /** Takes the lock, reads files and keys, opens sockets, starts the core. */
  static async start(settings: BeatSettings, loadSecret: SecretLoader): Promise<BeatProcess> {
    const lock = await takeBeatLock(settings.runDirectory);
    try {
      const clock = monotonicClock;
      const files = await readBeatFiles(settings);
      for (const remark of files.remarks) log(remark);
      const keyring = await loadKeyring(settings.auth, settings.clusterId, loadSecret);
      const options = { ...settings, uuid: files.uuid, keyring, hmac: nodeHmac };
      const links = [...new Set(settings.links.map((link) => link.device))];
      const core = new Transport(
        { ...options, links, seed: randomInt(2 ** 32) },
        files.record,
        clock.now(),
      );
      const beat = new BeatProcess({ settings, loadSecret, lock, core, clock });
      await beat.#open();
      return beat;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Resolves when the core has ended; rejects if what must be durable can not be written. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** For SIGTERM. Past the core, where every request is a sign of life of the agent. */
  end(): void {
    this.#ended.resolve();
  }

  /** For SIGHUP, as the original does (heartbeat.md 12.2); past the core as well. */
  rereadKeys(): void {
    void this.#rereadKeys();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    clearTimeout(this.#rateLimitedTimer);
    clearTimeout(this.#persistTimer);
    await Promise.all([this.#links?.close(), this.#pings?.close(), this.#server?.close()]);
    this.#lock.release();
  }

  async #open(): Promise<void> {
    const { runDirectory } = this.#settings;
    this.#server = await serveLines({
      path: join(runDirectory, BEAT_SOCKET),
      mode: 0o600,
      software: `baton-beat/${this.#settings.softwareVersion}`,
      onConnect: (connection) => {
        connection.push(this.#statePush());
        for (const event of this.#missed.take(this.#clock.now())) {
          connection.push({ kind: "event", event } satisfies BeatPush);
        }
      },
      onRequest: (request) => this.#serve(request.verb, request.args),
    });
    this.#openLinks();
    this.#openPings();
    log(`started, process ${process.pid}, ${this.#settings.links.length} links`);
    this.#feed({ kind: "start" });
  }

  #openLinks(): void {
    const { links, host } = this.#settings;
    this.#links = new Links({
      links,
      host,
      clock: this.#clock,
      handlers: {
        datagram: (link, at, bytes) => this.#feed({ kind: "datagram", at, link, bytes }),
        rateLimited: (link) => this.#countRateLimited(link),
        failed: (link, sending, detail) => this.#linkFailed(link, sending, detail),
      },
    });
  }

  #openPings(): void {
    this.#pings = new Pings({
      pings: this.#settings.pings,
      identifier: process.pid,
      clock: this.#clock,
      handlers: {
        reply: (ping, at, payload) => this.#feed({ kind: "pingReply", at, ping, payload }),
        rateLimited: (ping) => this.#countRateLimited(ping),
        failed: (ping, detail) => this.#linkFailed(ping, true, detail),
      },
    });
  }

  /** Events are taken one after the other: no core is entered twice (DESIGN 7.1). */
  #feed(input: TransportInput): void {
    this.#inbox.push(input);
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        const event = { ...next, ambient: this.#ambient() };
        for (const effect of this.#core.step(this.#clock.now(), event)) this.#perform(effect);
      }
    } finally {
      this.#draining = false;
    }
    this.#cancelTimer();
    const wakeAt = this.#core.wakeAt();
    if (wakeAt !== undefined && !this.#closed) {
      this.#cancelTimer = this.#clock.at(wakeAt, () => this.#feed({ kind: "tick" }));
    }
  }

  #perform(effect: TransportEffect): void {
    switch (effect.kind) {
      case "send":
        this.#links?.send(effect.bytes);
        return;
      case "ping":
        this.#pings?.send(effect.ping, effect.sequence, effect.payload);
        return;
      case "persist":
        void this.#persist(effect);
        return;
      case "report":
        this.#report(effect.event);
        return;
      case "reportState":
        this.#server?.broadcast(this.#statePush());
        return;
      case "silenced":
        log(effect.silenced ? "the agent is silent: beats are held back" : "beats go on");
        return;
      case "rereadKeys":
        void this.#rereadKeys();
        return;
      case "end":
        this.#ended.resolve();
        return;
      default:
        unreachable(effect);
    }
  }

  async #persist(effect: Extract<TransportEffect, { kind: "persist" }>): Promise<void> {
    this.#newest = effect.record;
    try {
      await this.#writer.write(effect.record);
    } catch (error) {
      // Our own generation must be on disk before it is used. What is known of peers is written for our
      // next start: a full disk must not silence a host for it.
      if (effect.confirm) this.#ended.reject(error);
      else this.#persistLater(error);
      return;
    }
    this.#unwritable = false;
    const { generation } = effect.record;
    if (effect.confirm && generation !== null) this.#feed({ kind: "persisted", generation });
  }

  #persistLater(error: unknown): void {
    if (!this.#unwritable) log(error instanceof Error ? error.message : String(error));
    this.#unwritable = true;
    if (this.#closed || this.#persistTimer !== undefined) return;
    this.#persistTimer = setTimeout(() => {
      this.#persistTimer = undefined;
      // The newest, never the one that failed: it may have been written meanwhile.
      if (this.#newest !== undefined) {
        void this.#persist({ kind: "persist", record: this.#newest, confirm: false });
      }
    }, PERSIST_AGAIN_MS);
  }

  async #rereadKeys(): Promise<void> {
    const { auth, clusterId } = this.#keys;
    try {
      const keyring = await loadKeyring(auth, clusterId, this.#loadSecret);
      this.#feed({ kind: "keys", keyring });
      log("keys read again");
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      log(`keys kept as they were: ${detail}`);
      this.#report({ kind: "refused", at: this.#clock.now(), reason: "BTN-BEAT-KEYS", detail });
    }
  }

  #report(event: BeatEvent): void {
    if (this.#server === undefined || this.#server.connections === 0) this.#missed.add(event);
    else this.#server.broadcast({ kind: "event", event } satisfies BeatPush);
  }

  #statePush(): BeatPush {
    return { kind: "state", state: this.#core.state(), settingsDigest: this.#digest };
  }

  async #serve(verb: string, args: unknown): Promise<null> {
    const request = parseBeatRequest(verb === BEAT_VERB ? args : { kind: verb });
    if (!request.ok) throw request.error;
    if (request.value.kind === "rereadKeys") this.#keys = request.value.keys ?? this.#keys;
    // The answer promises that what had arrived was read: the other sockets that are readable in this
    // turn of the loop come first. Two turns, because they may have been polled after this one.
    if (request.value.kind === "alive") {
      await setImmediate();
      await setImmediate();
    }
    this.#feed({ kind: "request", request: request.value });
    return null;
  }

  #linkFailed(link: string, sending: boolean, detail: string): void {
    if (this.#loggedByLink.get(link) !== detail) log(`link ${link}: ${detail}`);
    this.#loggedByLink.set(link, detail);
    this.#feed({ kind: "linkError", link, sending, detail });
  }

  #countRateLimited(link: string): void {
    this.#rateLimited.set(link, (this.#rateLimited.get(link) ?? 0) + 1);
    this.#rateLimitedTimer ??= setTimeout(() => {
      this.#rateLimitedTimer = undefined;
      const counts = [...this.#rateLimited];
      this.#rateLimited.clear();
      for (const [name, count] of counts) this.#feed({ kind: "rateLimited", link: name, count });
    }, RATE_LIMITED_EVERY_MS);
  }

  #ambient(): { readonly wallMs: number; readonly loadAverage: string } {
    const now = this.#clock.now();
    if (now - this.#loadAverageAt >= LOAD_AVERAGE_AGE_MS) {
      this.#loadAverageAt = now;
      this.#loadAverage = readLoadAverage();
    }
    return { wallMs: Date.now(), loadAverage: this.#loadAverage };
  }
}

async function takeBeatLock(runDirectory: string): Promise<FileLock> {
  await mkdir(runDirectory, { recursive: true, mode: 0o750 });
  const path = join(runDirectory, "beat.pid");
  const lock = takeLock(path);
  if (lock !== undefined) return lock;
  throw new BatonError({
    code: "BTN-BEAT-ALREADY-RUNNING",
    message: `Cannot start a second beat process: ${path} is locked by process ${readFileSync(path, "utf8").trim()}`,
    consequence: "Nothing changed; the running process goes on",
    fix: "Use the running one, or end it first",
  });
}

/** A host that is short of processor or memory must still beat: it is busy, not dead. */
function preferThisProcess(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    log("no higher priority: not permitted");
  }
  try {
    writeFileSync("/proc/self/oom_score_adj", OOM_SCORE_ADJUST);
  } catch {
    log("no protection from the out-of-memory killer: not permitted");
  }
}

function readLoadAverage(): string {
  try {
    return readFileSync("/proc/loadavg", "latin1").trim();
  } catch {
    return "n/a"; // heartbeat.md 5.3 says what to write then
  }
}

/** For people; what the agent must know goes over the socket. */
function log(text: string): void {
  process.stderr.write(`${new Date().toISOString()} beat: ${text}\n`);
}
