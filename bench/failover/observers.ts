/**
 * Those who watch a run from outside of the subjects. All stamps are CLOCK_MONOTONIC in milliseconds,
 * taken when the thing was seen; none of them asks the subject anything while it works.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readSync, watch } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Instant, instant } from "../../src/base/index.ts";
import { monotonicClock } from "../../src/system/index.ts";

/** Notes when an address appears in a namespace, by the kernel's own messages. */
export class AddressMonitor implements Disposable {
  readonly #child: ChildProcess;
  readonly seen: Instant[] = [];

  constructor(namespace: string, address: string) {
    this.#child = spawn("ip", ["-n", namespace, "-ts", "-o", "monitor", "address"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    eachLine(this.#child, (line) => {
      if (line.includes(` ${address}/`) && !line.includes("Deleted")) this.seen.push(stampOf(line));
    });
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** `[2026-08-05T20:04:03.123456] ...`: when `ip` read it, which our own delay does not blur. */
function stampOf(line: string): Instant {
  const now = monotonicClock.now();
  const match = /^\[(\S+?)\.(\d{6})\]/.exec(line);
  if (match === null) return now;
  const wallMs = Date.parse(match[1] ?? "") + Number(match[2]) / 1_000;
  // The wall clock here has whole milliseconds: half of one is its mean error.
  const ageMs = Date.now() + 0.5 - wallMs;
  return ageMs >= 0 && ageMs < 5_000 ? instant(now - ageMs) : now;
}

/** Stamps the lines of a log as they are written (its own clock has whole seconds only). */
export class LogWatcher implements Disposable {
  readonly #file: number;
  readonly #stop: () => void;
  readonly #pattern: RegExp;
  #offset: number;
  #rest = "";
  readonly seen: Instant[] = [];

  constructor(path: string, pattern: RegExp) {
    this.#pattern = pattern;
    this.#file = openSync(path, "r");
    this.#offset = fstatSync(this.#file).size;
    const watcher = watch(path, () => this.#read());
    this.#stop = () => watcher.close();
  }

  #read(): void {
    const at = monotonicClock.now();
    const buffer = Buffer.alloc(64 * 1024);
    const length = readSync(this.#file, buffer, 0, buffer.length, this.#offset);
    this.#offset += length;
    const lines = (this.#rest + buffer.toString("utf8", 0, length)).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) if (this.#pattern.test(line)) this.seen.push(at);
  }

  [Symbol.dispose](): void {
    this.#stop();
    closeSync(this.#file);
  }
}

/** What a client process said. */
export interface ClientLine {
  readonly at: Instant;
  readonly server?: string;
  readonly loaded?: boolean;
}

/** A client in a namespace: a process of its own, so that it shares no event loop with the observers. */
export class Client implements Disposable {
  readonly #child: ChildProcess;
  readonly lines: ClientLine[] = [];
  error = "";

  constructor(namespace: string, ...args: readonly string[]) {
    const file = fileURLToPath(new URL("client.ts", import.meta.url));
    this.#child = spawn(
      "ip",
      [
        ...["netns", "exec", namespace, process.execPath],
        ...["--disable-warning=ExperimentalWarning", file, ...args],
      ],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    eachLine(this.#child, (line) => this.lines.push(JSON.parse(line) as ClientLine));
    this.#child.stderr?.on("data", (chunk) => {
      this.error += String(chunk);
    });
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The first line at or after `from` that `fits`. */
  first(from: Instant, fits: (line: ClientLine) => boolean = () => true): Instant | undefined {
    return this.lines.find((line) => line.at >= from && fits(line))?.at;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

function eachLine(child: ChildProcess, take: (line: string) => void): void {
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", take);
}

/** The first stamp at or after `from`. */
export function firstAfter(seen: readonly Instant[], from: Instant): Instant | undefined {
  return seen.find((at) => at >= from);
}
