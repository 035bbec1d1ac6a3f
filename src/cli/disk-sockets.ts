/** The processes of disks, found by their sockets and asked directly: no agent, no configuration, no process is started. */
import { readdirSync } from "node:fs";
import { BatonError } from "../base/index.ts";
import type { DiskCommand, DiskOutcome, DiskProcessState } from "../replication/index.ts";
import { connectLines, type LineClient } from "../system/lines.ts";
import { demandSafeDirectory, unlimitedMs } from "./agent-client.ts";
import { socketOfDisk } from "./disk-states.ts";
import { softwareVersion } from "./version.ts";

/** A process that does not say its state within this time is stuck, and is told apart from one that is absent. */
const stateTimeoutMs = 2_000;

/** Where the sockets are. */
export const runDirectory = (): string => process.env["BATON_RUN_DIR"] || "/run/baton";

/** Names of the disks that have a socket, in order. */
export function disksWithSocket(directory: string = runDirectory()): readonly string[] {
  try {
    return readdirSync(directory)
      .flatMap((name) => /^disk-(.+)\.sock$/u.exec(name)?.[1] ?? [])
      .toSorted();
  } catch {
    return []; // No directory: nothing has ever run.
  }
}

/** What is known of one disk's process. */
export type DiskSeen =
  | { readonly name: string; readonly kind: "here"; readonly state: DiskProcessState }
  | { readonly name: string; readonly kind: "absent" }
  | { readonly name: string; readonly kind: "silent"; readonly error: BatonError };

/** The state of one disk, as it pushes it on connecting. */
export async function seeDisk(name: string): Promise<DiskSeen> {
  let connection: DiskConnection | undefined;
  try {
    connection = await DiskConnection.open(name);
    return { name, kind: "here", state: await connection.state() };
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    return isAbsent(error) ? { name, kind: "absent" } : { name, kind: "silent", error };
  } finally {
    connection?.close();
  }
}

/** True if there is no process, as opposed to one that can not be asked. */
export function isAbsent(error: unknown): boolean {
  if (!(error instanceof BatonError) || error.code !== "BTN-SOCKET-UNREACHABLE") return false;
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** One connection to the process of a disk. */
export class DiskConnection {
  readonly name: string;
  readonly #client: LineClient;
  readonly #listeners = new Set<(state: DiskProcessState) => void>();
  #latest: DiskProcessState | undefined;
  readonly #goneListeners: (() => void)[] = [];
  #gone = false;

  private constructor(name: string, client: LineClient) {
    this.name = name;
    this.#client = client;
  }

  /** @throws {BatonError} BTN-SOCKET-UNREACHABLE, BTN-CLI-SOCKET-UNSAFE */
  static async open(name: string): Promise<DiskConnection> {
    const path = socketOfDisk(runDirectory(), name);
    demandSafeDirectory(path);
    let made: DiskConnection | undefined;
    const early: unknown[] = [];
    const client = await connectLines(path, {
      software: `baton ${softwareVersion()}`,
      timeoutMs: stateTimeoutMs,
      onEvent: (event) => {
        if (made === undefined) early.push(event);
        else made.#take(event);
      },
      onClose: () => {
        if (made !== undefined) made.#lost();
      },
    });
    made = new DiskConnection(name, client);
    for (const event of early) made.#take(event);
    return made;
  }

  /** The last state pushed; waits for the first. @throws {BatonError} */
  async state(): Promise<DiskProcessState> {
    if (this.#latest !== undefined) return this.#latest;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        stop();
        reject(silent(this.name));
      }, stateTimeoutMs);
      const stop = this.follow((state) => {
        clearTimeout(timer);
        stop();
        resolve(state);
      });
    });
  }

  /** Calls back with every state from now on; the returned function ends it. */
  follow(listener: (state: DiskProcessState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls back once when the process has hung up. */
  whenGone(listener: () => void): void {
    if (this.#gone) listener();
    else this.#goneListeners.push(listener);
  }

  /** True once the process hung up. */
  get gone(): boolean {
    return this.#gone;
  }

  /** @throws {BatonError} as the process refuses */
  async command(
    command: DiskCommand,
    onProgress: (line: string) => void = () => undefined,
  ): Promise<DiskOutcome> {
    const result = await this.#client.request(
      "command",
      { command },
      { timeoutMs: unlimitedMs, onProgress: (value) => onProgress(String(value)) },
    );
    return outcomeOf(result);
  }

  close(): void {
    this.#client.close();
  }

  #lost(): void {
    this.#gone = true;
    for (const listener of this.#goneListeners.splice(0)) listener();
  }

  #take(event: unknown): void {
    if (!isState(event)) return;
    this.#latest = event;
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function isState(value: unknown): value is DiskProcessState {
  return (
    typeof value === "object" &&
    value !== null &&
    (value as { readonly kind?: unknown }).kind === "disk" &&
    typeof (value as { readonly view?: unknown }).view === "object"
  );
}

function outcomeOf(value: unknown): DiskOutcome {
  const given = (typeof value === "object" && value !== null ? value : {}) as Partial<DiskOutcome>;
  const outcome = (["done", "refused", "failed"] as const).find((each) => each === given.outcome);
  return {
    outcome: outcome ?? "failed",
    reason: typeof given.reason === "string" ? given.reason : "BTN-INTERNAL",
    code: typeof given.code === "number" ? given.code : 0,
    detail: typeof given.detail === "string" ? given.detail : "the process gave no outcome",
  };
}

function silent(name: string): BatonError {
  return new BatonError({
    code: "BTN-SOCKET-TIMEOUT",
    message: `The process of disk ${name} did not say its state within ${stateTimeoutMs} ms`,
    consequence: "What the disk does now is not known; a device below it may hang",
    fix: `Look at the kernel's log and at the process (\`ps -ef | grep "disk serve ${name}"\`)`,
  });
}
