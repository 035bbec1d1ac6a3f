/**
 * The other side of a disk process's socket, for the agent: finds the running process or starts it detached, follows its
 * state, gives it requests, and comes back, or starts another, when the connection is lost. The process lives on when the
 * agent ends.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BatonError } from "../../base/index.ts";
import {
  type DiskProcessState,
  type DiskRequest,
  diskDownPath,
  diskSocketPath,
} from "../../replication/index.ts";
import { connectLines, type LineClient } from "../../system/lines.ts";
import { stateFromJson } from "./state-json.ts";

const ANSWER_MAX_MS = 2_000;
/** A command may wait for a peer, a resync step or a handler. */
const COMMAND_MAX_MS = 600_000;
const START_MAX_MS = 15_000;
const LOOK_EVERY_MS = 25;
const RECONNECT_FIRST_MS = 50;
const RECONNECT_MAX_MS = 2_000;

export interface DiskClientOptions {
  /** The disk. */
  readonly name: string;
  readonly runDirectory: string;
  readonly software: string;
  /**
   * Program and arguments that start the process, such as
   * `[node, "--disable-warning=ExperimentalWarning", "src/main.ts", "disk", "serve", "r0", "--config", FILE]`; undefined:
   * it is never started from here.
   */
  readonly command: readonly string[] | undefined;
  /** Output of the process; appended to. */
  readonly logFile: string;
  /** After each change of `state()`. */
  onChange(): void;
  /** A process that was started from here answers for the first time; nothing is attached in it. */
  onStarted?(): void;
  /** For the journal: why there is no process, or no connection. */
  onTrouble?(detail: string): void;
}

/** In an object, because a promise for a promise would be waited for as one. */
interface Joined {
  /** Resolves when the connection is lost. */
  readonly lost: Promise<void>;
}

/** One disk process, as its clients see it. */
export class DiskClient {
  readonly #options: DiskClientOptions;
  readonly #path: string;
  #lines: LineClient | undefined;
  #state: DiskProcessState | undefined;
  #started = false;
  #closed = false;

  constructor(options: DiskClientOptions) {
    this.#options = options;
    this.#path = diskSocketPath(options.runDirectory, options.name);
  }

  /** Joins or starts the process, now and whenever it is lost. Returns at once. */
  open(): void {
    void this.#keepConnected();
  }

  /** `absent`: nothing listens and nothing was started; `unreachable`: there should be a process, and it does not answer. */
  state(): DiskProcessState | "absent" | "unreachable" {
    if (this.#state !== undefined) return this.#state;
    if (this.#isDown()) return "absent";
    return this.#started || this.#options.command !== undefined ? "unreachable" : "absent";
  }

  /** @throws {BatonError} refused by the process, or BTN-SOCKET-UNREACHABLE, BTN-SOCKET-TIMEOUT */
  async request(request: DiskRequest, progress?: (line: string) => void): Promise<unknown> {
    const lines = this.#lines;
    if (lines === undefined) {
      throw new BatonError({
        code: "BTN-SOCKET-UNREACHABLE",
        message: `Cannot ask "${request.verb}" of the disk ${this.#options.name}: its process does not answer`,
        consequence: "Nothing was sent",
      });
    }
    const { verb, ...args } = request;
    return await lines.request(verb, args, {
      timeoutMs: verb === "command" ? COMMAND_MAX_MS : ANSWER_MAX_MS,
      ...(progress === undefined ? {} : { onProgress: (value) => progress(String(value)) }),
    });
  }

  /** Leaves the process running. */
  close(): void {
    this.#closed = true;
    this.#lines?.close();
  }

  async #keepConnected(): Promise<void> {
    for (
      let waitMs = RECONNECT_FIRST_MS;
      !this.#closed;
      waitMs = Math.min(waitMs * 2, RECONNECT_MAX_MS)
    ) {
      const joined = (await this.#join()) ?? (await this.#start());
      if (joined === undefined) {
        await sleep(waitMs);
        continue;
      }
      waitMs = RECONNECT_FIRST_MS;
      await joined.lost;
      this.#state = undefined;
      this.#lines = undefined;
      if (!this.#closed) this.#options.onChange();
    }
  }

  /** Undefined if nobody answers. */
  async #join(): Promise<Joined | undefined> {
    const lost = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    let lines: LineClient | undefined;
    try {
      lines = await connectLines(this.#path, {
        software: this.#options.software,
        timeoutMs: ANSWER_MAX_MS,
        onEvent: (event) => {
          const state = stateFromJson(event);
          if (state === undefined || this.#closed) return;
          this.#state = state;
          // Who is told something may ask at once.
          if (this.#lines !== undefined) this.#options.onChange();
          first.resolve();
        },
        onClose: () => {
          lost.resolve();
          first.resolve();
        },
      });
    } catch {
      return undefined; // Nobody there, or nobody who answers: the caller starts one or tries again.
    }
    await first.promise;
    if (this.#closed) lines.close();
    this.#started = true;
    this.#lines = lines;
    if (!this.#closed && this.#state !== undefined) this.#options.onChange();
    return { lost: lost.promise };
  }

  async #start(): Promise<Joined | undefined> {
    const { command } = this.#options;
    // Taken down by a person: `baton disk up` brings it back.
    if (command === undefined || this.#closed || this.#isDown()) return undefined;
    const child = this.#spawn(command);
    for (const end = Date.now() + START_MAX_MS; Date.now() < end && !this.#closed; ) {
      const joined = await this.#join();
      if (joined !== undefined) {
        this.#options.onStarted?.();
        return joined;
      }
      const ended = child.ended();
      if (ended !== undefined) {
        this.#options.onTrouble?.(`${ended}; see ${this.#options.logFile}`);
        return undefined;
      }
      await sleep(LOOK_EVERY_MS);
    }
    return undefined;
  }

  #isDown(): boolean {
    return existsSync(diskDownPath(this.#options.runDirectory, this.#options.name));
  }

  #spawn(command: readonly string[]): { ended: () => string | undefined } {
    const [program = "", ...args] = command;
    const output = openLog(this.#options.logFile);
    let ended: string | undefined;
    try {
      const child = spawn(program, args, {
        detached: true,
        env: { ...process.env, BATON_RUN_DIR: this.#options.runDirectory },
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
    this.#started = true;
    return { ended: () => ended };
  }
}

/** The log of the process. A disk without room for it is no reason not to serve. */
function openLog(path: string): number | "ignore" {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    return openSync(path, "a", 0o640);
  } catch {
    return "ignore";
  }
}
