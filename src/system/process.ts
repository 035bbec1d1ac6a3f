/** Runs a program to its end, with limits on everything: time, output, and what it leaves behind. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { BatonError } from "../base/index.ts";

export interface RunOptions {
  /** After this the whole process group is ended. */
  readonly timeoutMs: number;
  /** On timeout or abort: SIGTERM first, SIGKILL this much later. @default 0: SIGKILL at once */
  readonly terminateGraceMs?: number;
  /** Given on standard input; nothing otherwise. */
  readonly input?: string | Uint8Array;
  /** Kept of each stream; what follows is read and dropped. @default 65536 (reliability 9.2) */
  readonly maxOutputBytes?: number;
  /** Ends the process group when aborted; `run` then rejects with its reason. */
  readonly signal?: AbortSignal;
  /** The whole environment. @default `cleanEnvironment`: nothing is inherited */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Numeric user and group to run as. @default our own */
  readonly uid?: number;
  readonly gid?: number;
}

export interface RunResult {
  /** Exit code; null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** Output beyond `maxOutputBytes` was dropped. */
  readonly truncated: boolean;
}

/** What a program of ours starts with: no more than a path and plain messages. */
export const cleanEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
};

const OUTPUT_MAX_BYTES = 65_536;
/** How long output is awaited once the program has ended: a daemon that it left may hold the pipe for ever. */
const OUTPUT_GRACE_MS = 200;
/** A process in uninterruptible sleep does not even end by SIGKILL; Node reaps it whenever it does. */
const REAP_MAX_MS = 5_000;

/**
 * Runs `file` with `args`, no shell, in a session and process group of its own, and waits for its end. A
 * non-zero exit, a signal or a timeout is a result; daemons that a successful program left behind stay.
 * @param file absolute, or a name looked up in `env.PATH`
 * @throws {BatonError} BTN-SYSTEM-CANNOT-RUN if it cannot be started
 */
export async function run(
  file: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const child = spawn(file, args, {
    env: { ...(options.env ?? cleanEnvironment) },
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  const limit = options.maxOutputBytes ?? OUTPUT_MAX_BYTES;
  const output = [collect(child.stdout, limit), collect(child.stderr, limit)] as const;
  // A program may end without reading its input: EPIPE, and its exit code tells the rest.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input);
  const end = await untilEnd(child, file, options);
  options.signal?.throwIfAborted();
  return {
    ...end,
    stdout: output[0].text(),
    stderr: output[1].text(),
    truncated: output[0].truncated() || output[1].truncated(),
  };
}

/** Ends every process of a group. True if there was one. */
export function killGroup(leader: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-leader, signal);
    return true;
  } catch {
    return false; // ESRCH: gone already, which is what was wanted
  }
}

type End = Pick<RunResult, "code" | "signal" | "timedOut">;

function untilEnd(
  child: ChildProcessWithoutNullStreams,
  file: string,
  options: RunOptions,
): Promise<End> {
  return new Promise((resolve, reject) => {
    const timers = new Set<NodeJS.Timeout>();
    let ending: "no" | "timeout" | "abort" = "no";
    const later = (ms: number, action: () => void): void => {
      timers.add(setTimeout(action, ms));
    };
    const settle = (code: number | null, signal: NodeJS.Signals | null): void => {
      for (const timer of timers) clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ code, signal, timedOut: ending === "timeout" });
    };
    function endGroup(why: "timeout" | "abort"): void {
      const { pid } = child;
      if (ending !== "no" || pid === undefined) return;
      ending = why;
      const graceMs = options.terminateGraceMs ?? 0;
      killGroup(pid, graceMs > 0 ? "SIGTERM" : "SIGKILL");
      if (graceMs > 0) later(graceMs, () => killGroup(pid, "SIGKILL"));
      later(graceMs + REAP_MAX_MS, () => settle(null, null));
    }
    function abort(): void {
      endGroup("abort");
    }
    child.once("error", (error) => {
      // Also emitted for a failed kill; only a process that never had a pid did not start.
      if (child.pid !== undefined) return;
      for (const timer of timers) clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      reject(cannotRun(file, error));
    });
    child.once("exit", (code, signal) => {
      if (ending !== "no" && child.pid !== undefined) killGroup(child.pid, "SIGKILL");
      later(OUTPUT_GRACE_MS, () => settle(code, signal));
    });
    child.once("close", settle);
    later(options.timeoutMs, () => endGroup("timeout"));
    options.signal?.addEventListener("abort", abort, { once: true });
  });
}

function cannotRun(file: string, cause: Error): BatonError {
  return new BatonError({
    code: "BTN-SYSTEM-CANNOT-RUN",
    message: `Cannot run "${file}": ${cause.message}`,
    fix: `Check that ${file} exists and is executable`,
    cause,
  });
}

function collect(
  stream: Readable,
  limit: number,
): { text: () => string; truncated: () => boolean } {
  const chunks: Buffer[] = [];
  let kept = 0;
  let dropped = false;
  stream.on("error", () => undefined); // destroyed by us after the end
  stream.on("data", (chunk: Buffer) => {
    const part = chunk.subarray(0, limit - kept);
    dropped ||= part.length < chunk.length;
    kept += part.length;
    if (part.length > 0) chunks.push(part);
  });
  return { text: () => Buffer.concat(chunks).toString("utf8"), truncated: () => dropped };
}
