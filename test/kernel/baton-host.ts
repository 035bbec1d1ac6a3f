/**
 * The host on which Baton's disk process runs: the network of a `Lan`, and a mount and a UTS namespace of its own, with /run and
 * /dev of its own, so that names such as /dev/baton/r0 and /dev/drbd0 never touch this machine. Loop devices belong to
 * the machine: whoever closes this host takes those that are left.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../support/wait.ts";
import { batonRunDirectory, dropLoops, ended, type Lan } from "./lan.ts";

export const batonHostName = "baton";
const shellLimitMs = 120_000;

const boot = `set -e
hostname ${batonHostName}
mount -t tmpfs run /run
mkdir -p /run/lock
mkdir /run/dev
mount -t tmpfs -o mode=755 dev /run/dev
cd /dev
cp -a null zero full random urandom tty fuse loop-control /run/dev/
mkdir /run/dev/net /run/dev/shm /run/dev/pts
for n in $(seq 0 127); do mknod -m 660 /run/dev/loop$n b 7 $n; done
mount --move /run/dev /dev
mkdir /run/mnt
echo ready
exec sleep infinity
`;

/** One such host; it is up until it is closed. */
export class BatonHost implements AsyncDisposable {
  readonly lan: Lan;
  readonly #init: ChildProcess;

  /** Where Baton's process has its socket. */
  get runDirectory(): string {
    return batonRunDirectory(this.lan.namespace);
  }

  private constructor(lan: Lan, init: ChildProcess) {
    this.lan = lan;
    this.#init = init;
  }

  static async start(lan: Lan): Promise<BatonHost> {
    const unshare = ["unshare", "--mount", "--uts", "--propagation", "private"];
    const [program = "", ...words] = lan.command([...unshare, "sh", "-c", boot]);
    const init = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    init.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    await waitFor("Baton's host is up", () => said.includes("ready"), 10_000);
    return new BatonHost(lan, init);
  }

  /** A path of this host as the test sees it. */
  path(inside: string): string {
    return `/proc/${this.#init.pid}/root${inside}`;
  }

  /** Starts a program there; its output goes to `log` below the network's directory. */
  spawn(words: readonly string[], log: string): ChildProcess {
    const file = openSync(join(this.lan.directory, log), "a");
    const [program = "", ...rest] = this.#command(words);
    const child = spawn(program, rest, {
      stdio: ["ignore", file, file],
      env: { ...process.env, BATON_RUN_DIR: this.runDirectory },
    });
    closeSync(file);
    return child;
  }

  /** Runs shell text there. @returns its output @throws {Error} if its status is not 0 */
  async shell(text: string, input?: Uint8Array): Promise<string> {
    const [program = "", ...words] = this.#command(["bash", "-e", "-o", "pipefail", "-c", text]);
    const child = spawn(program, words, { stdio: "pipe" });
    const timer = setTimeout(() => child.kill("SIGKILL"), shellLimitMs);
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.stdin.on("error", () => undefined); // It ended without reading: its status tells.
    child.stdin.end(input);
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    clearTimeout(timer);
    const said = Buffer.concat(output).toString("latin1");
    if (status === 0) return said;
    throw new Error(
      `On ${batonHostName}: ${text}\nstatus ${status}\n${said}${Buffer.concat(errors).toString()}`,
    );
  }

  log(name: string): string {
    return readFileSync(join(this.lan.directory, name), "utf8");
  }

  /** Detaches the loop devices whose file was on this host, as a restart of a machine does. */
  dropLoops(): void {
    dropLoops(this.runDirectory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropLoops();
    this.#init.kill("SIGKILL");
    await ended(this.#init, 5_000);
  }

  #command(words: readonly string[]): readonly string[] {
    return ["nsenter", "-t", `${this.#init.pid}`, "-m", "-u", "-n", "--", ...words];
  }
}
