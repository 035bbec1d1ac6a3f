/** Finding, trusting and running resource scripts (reliability 9.2, "scripts and agents"). */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { access, type FileHandle, open, realpath, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cleanEnvironment, killGroup } from "../system/index.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { ScriptEnd } from "./script-rules.ts";

/** Kept of each stream of each call. */
const OUTPUT_MAX_BYTES = 65_536;
/** How often a running script's output is cut back, so that it can not fill the disk. */
const OUTPUT_CHECK_MS = 500;
/** A killed process in uninterruptible sleep is not awaited longer than this. */
const REAP_MAX_MS = 1_000;
const OTHERS_MAY_WRITE = 0o022;

export interface ScriptRefusal {
  readonly reason: ResourcesReason;
  readonly detail: string;
}

/** Where the script is: the first executable regular file of that name. */
export async function findScript(
  name: string,
  directories: readonly string[],
): Promise<string | undefined> {
  // A name with a slash is a path; it is not searched for.
  const candidates = name.startsWith("/") ? [name] : directories.map((one) => join(one, name));
  for (const path of candidates) {
    try {
      await access(path, constants.X_OK);
      if ((await stat(path)).isFile()) return path;
    } catch {
      // Not there, or not executable: the next directory may have it, as in the original.
    }
  }
  return undefined;
}

/**
 * Resolves symlinks and makes sure that nobody but root can replace what would be run: the file and each
 * directory above it. To be asked again before each run.
 */
export async function trustScript(
  path: string,
): Promise<{ readonly path: string } | ScriptRefusal> {
  try {
    const resolved = await realpath(path);
    for (let at = resolved; ; at = dirname(at)) {
      const complaint = distrust(await stat(at));
      if (complaint !== undefined) {
        return { reason: "BTN-SCRIPT-UNSAFE", detail: `${at} ${complaint} (running ${path})` };
      }
      if (at === "/") return { path: resolved };
    }
  } catch (error) {
    return { reason: "BTN-SCRIPT-NOT-FOUND", detail: `${path}: ${String(error)}` };
  }
}

function distrust(stats: Stats): string | undefined {
  if (stats.uid !== 0) return `is owned by user ${stats.uid}, not by root`;
  if ((stats.mode & OTHERS_MAY_WRITE) === 0) return undefined;
  return `may be written by others (mode ${(stats.mode & 0o7777).toString(8)})`;
}

export interface RunScriptOptions {
  /** Added to the clean environment; nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** Kills the script's process group when aborted. */
  readonly signal: AbortSignal;
}

export interface ScriptRun extends ScriptEnd {
  /** It was killed because its time was over or it was no longer wanted. */
  readonly killed: boolean;
}

/**
 * Runs `path`, no shell, in a session and process group of its own, to its end. Its output goes to files
 * without a name, not to pipes: a daemon that it leaves behind may keep writing, and nobody waits for it.
 * @throws if it can not be started at all
 */
export async function runScript(
  path: string,
  args: readonly string[],
  options: RunScriptOptions,
): Promise<ScriptRun> {
  await using out = await Output.open();
  await using err = await Output.open();
  let end = await untilEnd(path, args, options, [out, err]);
  // A script without its first line: the original is a shell and so runs it by a shell.
  if (end === "not a program")
    end = await untilEnd("/bin/sh", [path, ...args], options, [out, err]);
  if (end === "not a program") end = { code: 126, killed: false };
  return { ...end, stdout: await out.text(), stderr: await err.text() };
}

function untilEnd(
  path: string,
  args: readonly string[],
  { environment, signal }: RunScriptOptions,
  outputs: readonly [Output, Output],
): Promise<{ readonly code: number | null; readonly killed: boolean } | "not a program"> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve({ code: null, killed: true });
      return;
    }
    const child = spawn(path, args, {
      env: { ...cleanEnvironment, ...environment },
      cwd: "/",
      detached: true,
      stdio: ["ignore", outputs[0].fd, outputs[1].fd],
    });
    const cutting = setInterval(() => {
      for (const output of outputs) void output.cut();
    }, OUTPUT_CHECK_MS);
    let reaping: NodeJS.Timeout | undefined;
    let killed = false;
    function kill(): void {
      killed = true;
      if (child.pid !== undefined) killGroup(child.pid, "SIGKILL");
      reaping = setTimeout(() => settle(null), REAP_MAX_MS);
    }
    function settle(code: number | null): void {
      clearInterval(cutting);
      clearTimeout(reaping);
      signal.removeEventListener("abort", kill);
      resolve({ code, killed });
    }
    child.once("exit", settle);
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return; // of a kill; the exit tells the rest
      if (error.code === "ENOEXEC") resolve("not a program");
      else reject(error);
      settle(null);
    });
    signal.addEventListener("abort", kill, { once: true });
  });
}

/** A file without a name that takes one stream of a script. */
class Output {
  readonly #file: FileHandle;
  #kept = "";
  #cutting: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(): Promise<Output> {
    const path = join(tmpdir(), `baton-script-${randomUUID()}`);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND;
    const file = await open(path, flags | constants.O_NOFOLLOW, 0o600);
    await unlink(path);
    return new Output(file);
  }

  get fd(): number {
    return this.#file.fd;
  }

  /** Keeps the beginning and empties the file once it is larger than is kept. */
  cut(): Promise<void> {
    this.#cutting = this.#cutting.then(async () => {
      if ((await this.#file.stat()).size <= OUTPUT_MAX_BYTES) return;
      if (this.#kept === "") this.#kept = await this.#read();
      await this.#file.truncate(0);
    });
    return this.#cutting;
  }

  /** What was written, up to the limit. */
  async text(): Promise<string> {
    await this.#cutting;
    return this.#kept === "" ? await this.#read() : this.#kept;
  }

  async #read(): Promise<string> {
    const { buffer, bytesRead } = await this.#file.read(
      Buffer.alloc(OUTPUT_MAX_BYTES),
      0,
      OUTPUT_MAX_BYTES,
      0,
    );
    return buffer.toString("utf8", 0, bytesRead);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cutting.catch(() => undefined); // its file is let go now
    await this.#file.close();
  }
}
