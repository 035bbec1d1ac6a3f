/** Starts and ends an echo disk for tests, and cleans up after it however the test ends. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseMountInfo, type RunResult, run } from "../system/index.ts";
import { type AttachedDevice, type Leftovers, removeLeftovers } from "./device.shell.ts";

const LIMIT_MS = 30_000;
const program = fileURLToPath(new URL("./testing-echo-disk.shell.ts", import.meta.url));

/** What the disk prints when it is there. */
export interface Started extends AttachedDevice {
  /** Of the FUSE file. */
  readonly path: string;
  readonly leftovers: Leftovers;
}

export interface EchoDiskOptions {
  readonly mebibytes?: number;
  readonly minor?: number;
  readonly blockBytes?: 512 | 4096;
  /** Runs it below this cgroup (its `cgroup.procs`). */
  readonly cgroupProcs?: string;
}

/** A place for disks of one name on one backing file; several processes may serve it one after the other. */
export class EchoPlace {
  readonly name = `btn-${process.pid}`;
  readonly directory = mkdtempSync(join(tmpdir(), "btn-blockdev-"));
  readonly backing = join(this.directory, "backing");
  readonly dev = join(this.directory, "dev");
  readonly mountPoint = join(this.directory, "mnt");
  readonly #options: EchoDiskOptions;
  readonly #children: ChildProcessWithoutNullStreams[] = [];

  constructor(options: EchoDiskOptions = {}) {
    this.#options = options;
    writeFileSync(this.backing, "");
    truncateSync(this.backing, (options.mebibytes ?? 512) * 1_048_576);
    mkdirSync(this.mountPoint);
  }

  /** Starts a server; ends when its device is there. */
  async start(): Promise<EchoDisk> {
    const { minor, blockBytes = 512, cgroupProcs } = this.#options;
    const { name, backing, dev } = this;
    const settings = { name, minor, backing, run: join(this.directory, "run"), dev, blockBytes };
    const flags = ["--disable-warning=ExperimentalWarning", program, JSON.stringify(settings)];
    const child =
      cgroupProcs === undefined
        ? spawn(process.execPath, flags)
        : spawn("sh", [
            "-c",
            `echo $$ > ${cgroupProcs}; exec "$0" "$@"`,
            process.execPath,
            ...flags,
          ]);
    this.#children.push(child);
    child.stderr.pipe(process.stderr);
    const disk = new EchoDisk(child);
    await disk.begin();
    return disk;
  }

  /** Grows the backing file; the disk is told with `grow`. */
  grow(mebibytes: number): void {
    truncateSync(this.backing, mebibytes * 1_048_576);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    // First of all the connection is ended, so that nothing below waits for a server.
    await removeLeftovers({
      name: this.name,
      mountDirectory: join(this.directory, "run", this.name),
      directory: this.dev,
      minor: this.#options.minor,
      timeoutMs: LIMIT_MS,
    });
    const isOurs = (mount: { mountPoint: string }): boolean => mount.mountPoint === this.mountPoint;
    while (parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).mounts.some(isOurs)) {
      const { code } = await run("umount", [this.mountPoint], { timeoutMs: LIMIT_MS });
      if (code !== 0) await run("umount", ["-l", this.mountPoint], { timeoutMs: LIMIT_MS });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One serving process. */
export class EchoDisk {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #started: Started | undefined;
  readonly #ended: Promise<void>;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => child.once("exit", () => resolve()));
  }

  async begin(): Promise<void> {
    this.#started = (await this.#next()) as Started;
  }

  get shown(): Started {
    if (this.#started === undefined) throw new Error("The disk has not begun");
    return this.#started;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Sends a line; the answer. */
  async ask(line: string): Promise<Record<string, unknown>> {
    this.#child.stdin.write(`${line}\n`);
    return (await this.#next()) as Record<string, unknown>;
  }

  /** SIGKILL; ends when the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async #next(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error("The disk process ended");
    return JSON.parse(line.value);
  }
}

/** Runs a program to its end. @throws {Error} with what it said, if it fails */
export async function must(file: string, ...args: string[]): Promise<RunResult> {
  const result = await run(file, args, { timeoutMs: LIMIT_MS, maxOutputBytes: 1_048_576 });
  if (result.code === 0) return result;
  throw new Error(
    `${file} ${args.join(" ")}: ${result.timedOut ? "no end in time" : result.code}\n${result.stdout}${result.stderr}`,
  );
}

/** Why the tests of this room can not run here; false if they can. */
export function blockDeviceSkip(): string | false {
  if (process.getuid?.() !== 0) return "needs root: FUSE mounts and loop devices";
  return false;
}
