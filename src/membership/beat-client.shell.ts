/**
 * The agent's side of the beat process: finds the running one by its socket or starts it detached, gives it signs of
 * life, and comes back to it, or starts another, when the connection is lost (DESIGN 7.3, 7.4).
 */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, BatonError } from "../base/index.ts";
import { monotonicClock } from "../system/clock.ts";
import { connectLines, type LineClient } from "../system/lines.ts";
import { settingsDigest, writeBeatSettings } from "./beat-settings.shell.ts";
import { BEAT_SOCKET, BEAT_VERB, type BeatPush, type BeatSettings } from "./beat-settings.ts";
import type { BeatEvent, BeatRequest, BeatState } from "./contract.ts";

/** Half of what the contract asks for at least, with room for a late timer. */
const ALIVE_EVERY_MS = 200;
/** A beat process that does not answer for so long is stopped or stuck: the connection counts as lost. */
const ANSWER_MAX_MS = 2_000;
const START_MAX_MS = 10_000;
const LOOK_EVERY_MS = 25;
const RECONNECT_FIRST_MS = 50;
const RECONNECT_MAX_MS = 2_000;
const LOG_TAIL_BYTES = 500;

export interface BeatClientOptions {
  readonly settings: BeatSettings;
  /**
   * What starts the beat process: program and arguments up to the verb, such as
   * `[node, "--disable-warning=ExperimentalWarning", "src/main.ts", "beat"]`; `--settings FILE` is added.
   */
  readonly command: readonly string[];
  /** Output of the process; appended to. */
  readonly logFile: string;
  /** Limit for the process to answer. @default 10000 */
  readonly startLimitMs?: number;
  /** The whole state: after each connecting, and after each change. */
  onState(state: BeatState): void;
  onEvent(event: BeatEvent): void;
  /** The process is gone or does not answer; the client is already trying to get one again. */
  onLost(detail: string): void;
}

/** The agent's connection to its beat process; comes back by itself when it is lost. */
export class BeatClient {
  readonly #options: BeatClientOptions;
  readonly #path: string;
  readonly #digest: string;
  #lines: LineClient | undefined;
  #alive: NodeJS.Timeout | undefined;
  #closed = false;
  #joined = false;
  #settingsMatch = false;

  constructor(options: BeatClientOptions) {
    this.#options = options;
    this.#path = join(options.settings.runDirectory, BEAT_SOCKET);
    this.#digest = settingsDigest(options.settings);
  }

  /** True if the process ran before we came. */
  get joined(): boolean {
    return this.#joined;
  }

  /** False if the process was started with other settings: it must be replaced for ours to count. */
  get settingsMatch(): boolean {
    return this.#settingsMatch;
  }

  get connected(): boolean {
    return this.#lines !== undefined;
  }

  get pid(): number | undefined {
    return this.#lines?.greeting?.pid;
  }

  /**
   * Joins the beat process of this run directory, or starts one; resolves after its first state was given to
   * `onState`, from where on requests can be made.
   * @throws {BatonError} BTN-BEAT-NO-START with the end of its log
   */
  async open(): Promise<void> {
    this.#joined = await this.#tryConnect();
    if (!this.#joined) await this.#start();
    else if (this.#settingsMatch) await this.#tellKeys();
  }

  /** @throws {BatonError} refused by the process, or BTN-SOCKET-UNREACHABLE while there is none */
  async request(request: BeatRequest): Promise<void> {
    if (this.#lines === undefined) {
      throw new BatonError({
        code: "BTN-SOCKET-UNREACHABLE",
        message: `Cannot ask "${request.kind}" of the beat process: it is not connected`,
        consequence: "Nothing was sent; the agent is trying to reach the process again",
      });
    }
    await this.#lines.request(BEAT_VERB, request, { timeoutMs: ANSWER_MAX_MS });
  }

  /** Leaves the process running: for a restart of the agent. */
  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /** Ends the process and waits until it has let go of its socket; at most `limitMs`. */
  async end(limitMs = START_MAX_MS): Promise<void> {
    const lines = this.#lines;
    this.#closed = true;
    clearInterval(this.#alive);
    if (lines === undefined) return;
    const deadline = after(monotonicClock.now(), limitMs);
    // It may be gone before its answer is written: that is what was asked for.
    await this.request({ kind: "end" }).catch(() => undefined);
    while (!lines.closed && monotonicClock.now() < deadline) await sleep(LOOK_EVERY_MS);
    this.#drop();
  }

  /** The process was started with the keys of its time. */
  async #tellKeys(): Promise<void> {
    const { auth, clusterId } = this.#options.settings;
    await this.request({ kind: "rereadKeys", keys: { auth, clusterId } });
  }

  /** @returns false if no process answers */
  async #tryConnect(): Promise<boolean> {
    const first = Promise.withResolvers<boolean>();
    // Held until requests can be sent: who is told something may answer at once.
    const early: BeatPush[] = [];
    let lines: LineClient | undefined;
    try {
      lines = await connectLines(this.#path, {
        software: `baton/${this.#options.settings.softwareVersion}`,
        timeoutMs: ANSWER_MAX_MS,
        onEvent: (push) => {
          if (lines !== undefined && lines === this.#lines) this.#take(push as BeatPush);
          else early.push(push as BeatPush);
          first.resolve(true);
        },
        onClose: () => {
          first.resolve(false);
          if (lines !== undefined && lines === this.#lines) this.#lost("the connection ended");
        },
      });
    } catch {
      return false; // Nobody there, or nobody who answers: the caller starts one or tries again.
    }
    if (!(await first.promise) || lines.closed) return false;
    if (this.#closed) {
      lines.close();
      return true;
    }
    this.#lines = lines;
    this.#giveSignsOfLife(lines);
    for (const push of early) this.#take(push);
    return true;
  }

  #take(push: BeatPush): void {
    if (push.kind === "event") {
      this.#options.onEvent(push.event);
      return;
    }
    this.#settingsMatch = push.settingsDigest === this.#digest;
    this.#options.onState(push.state);
  }

  #giveSignsOfLife(lines: LineClient): void {
    const tell = (): void => {
      lines.request(BEAT_VERB, { kind: "alive" }, { timeoutMs: ANSWER_MAX_MS }).catch(() => {
        // No answer in time, or the connection ended: closing it is the way to "lost" for both.
        lines.close();
      });
    };
    tell();
    this.#alive = setInterval(tell, ALIVE_EVERY_MS);
  }

  #drop(): void {
    clearInterval(this.#alive);
    const lines = this.#lines;
    this.#lines = undefined;
    lines?.close();
  }

  #lost(detail: string): void {
    this.#drop();
    if (this.#closed) return;
    this.#options.onLost(detail);
    void this.#recover();
  }

  async #recover(): Promise<void> {
    for (let waitMs = RECONNECT_FIRST_MS; !this.#closed; ) {
      try {
        if (await this.#tryConnect()) return;
        if (!this.#closed) await this.#start();
        return;
      } catch (error) {
        this.#options.onLost(error instanceof Error ? error.message : String(error));
      }
      await sleep(waitMs);
      waitMs = Math.min(waitMs * 2, RECONNECT_MAX_MS);
    }
  }

  /** Starts the process in a session of its own and waits until it answers. */
  async #start(): Promise<void> {
    const settingsFile = await writeBeatSettings(this.#options.settings);
    const child = this.#spawn(settingsFile);
    const deadline = after(monotonicClock.now(), this.#options.startLimitMs ?? START_MAX_MS);
    while (!this.#closed && monotonicClock.now() < deadline) {
      if (await this.#tryConnect()) return;
      const ended = child.ended();
      if (ended !== undefined) throw await this.#didNotStart(ended);
      await sleep(LOOK_EVERY_MS);
    }
    if (!this.#closed) throw await this.#didNotStart("it does not answer");
  }

  #spawn(settingsFile: string): { ended: () => string | undefined } {
    const { command, settings } = this.#options;
    const [program = "", ...args] = command;
    mkdirSync(settings.stateDirectory, { recursive: true, mode: 0o700 });
    const output = this.#openLog();
    let ended: string | undefined;
    try {
      const child = spawn(program, [...args, "--settings", settingsFile], {
        detached: true,
        env: this.#environment(),
        stdio: ["ignore", output, output],
      });
      child.once("error", (error) => {
        ended = error.message;
      });
      child.once("exit", (code, signal) => {
        ended = `it ended with ${signal ?? `status ${code}`}`;
      });
      child.unref();
    } finally {
      if (output !== "ignore") closeSync(output);
    }
    return { ended: () => ended };
  }

  /** The log of the process. A disk without room for it is no reason not to beat. */
  #openLog(): number | "ignore" {
    try {
      mkdirSync(dirname(this.#options.logFile), { recursive: true, mode: 0o750 });
      return openSync(this.#options.logFile, "a", 0o640);
    } catch {
      return "ignore";
    }
  }

  /**
   * Ours, since secrets and credentials may be in it. With a cache of compiled code in a directory that only root may
   * write, the process starts in a tenth of the time and needs a third less memory: it loads no compiler.
   */
  #environment(): NodeJS.ProcessEnv {
    const cache = join(this.#options.settings.stateDirectory, "compile-cache");
    return { NODE_COMPILE_CACHE: cache, ...process.env };
  }

  async #didNotStart(why: string): Promise<BatonError> {
    const { logFile } = this.#options;
    const tail = await readFile(logFile, "utf8").catch(() => "");
    return new BatonError({
      code: "BTN-BEAT-NO-START",
      message: `Cannot start the beat process: ${why}; its log ends in "${tail.slice(-LOG_TAIL_BYTES).trim()}"`,
      consequence: "This host sends no heartbeat: peers take it for dead",
      fix: `Look into ${logFile}`,
    });
  }
}
