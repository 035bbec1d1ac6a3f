/**
 * A pair of hosts in namespaces of this test's own, each with a real Heartbeat 3.0.6 or a Baton agent
 * on the classic files: two links, a switch that answers pings, and one address that moves.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait.ts";

export type Daemon = "heartbeat" | "baton";
export const hostNames = ["dbm157", "dbm158"] as const;
export type HostName = (typeof hostNames)[number];

export interface PairOptions {
  /** Lines of ha.cf beside node, ucast and log lines. */
  readonly timing: string;
  readonly haresources: string;
  readonly authkeys: string;
  /** More scripts for resource.d: name -> text. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Arguments of `baton` for the agent. @default agent --ha-dir /etc/ha.d */
  readonly agentArguments?: string;
}

/** The times of the captures: fast enough for a test, slow enough for a loaded machine. */
export const quickTiming =
  "keepalive 200ms\nwarntime 1\ndeadtime 2\ninitdead 4\nauto_failback off\n";
export const classicAuth = "auth 1\n1 sha1 HA_JACKBILLOW\n";
export const address = "192.168.0.222";
export const oneAddress = `dbm157 IPaddr2::${address}/24/eth0\n`;

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const boot = fileURLToPath(new URL("pair-boot.sh", import.meta.url));
let pairs = 0;

const pidOf = (command: ChildProcess): number => command.pid ?? 0;

/** Runs a command, bounded; its output. */
function sh(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, {
    encoding: "utf8",
    timeout: 20_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Runs a command of which failing is an answer. */
function tryRun(
  file: string,
  ...args: readonly string[]
): { readonly code: number; readonly output: string } {
  try {
    return { code: 0, output: sh(file, ...args) };
  } catch (error) {
    const { status, stdout, stderr } = error as {
      status?: number;
      stdout?: string;
      stderr?: string;
    };
    return { code: status ?? 1, output: `${stdout ?? ""}${stderr ?? ""}` };
  }
}

interface Running {
  readonly daemon: Daemon;
  readonly shell: ChildProcess;
  /** PID, as this machine counts, of the process that is 1 inside. */
  readonly init: number;
}

/** Everything is gone after `close`, also when the test failed. */
export class Pair {
  readonly directory: string;
  readonly #prefix: string;
  readonly #options: PairOptions;
  readonly #running = new Map<HostName, Running>();

  constructor(options: PairOptions) {
    this.#options = options;
    this.#prefix = `btn-${process.pid}-${++pairs}`;
    this.directory = mkdtempSync(join(tmpdir(), "btn-pair-"));
    chmodSync(this.directory, 0o755);
    this.#buildNetwork();
    for (const host of hostNames) this.#writeFiles(host);
  }

  namespace(host: HostName | "switch"): string {
    return `${this.#prefix}-${host}`;
  }

  tree(host: HostName): string {
    return join(this.directory, host);
  }

  isUp(host: HostName): boolean {
    return this.#running.has(host);
  }

  /** Powers a host on with the daemon given. */
  async start(host: HostName, daemon: Daemon): Promise<void> {
    this.#cables(host, "up");
    rmSync(join(this.tree(host), "ready"), { force: true });
    const baton = [
      "mkdir -p /run/baton /var/log/baton;",
      `mount --bind ${this.tree(host)}/batonlib /var/lib/baton;`,
      `exec ${process.execPath} --disable-warning=ExperimentalWarning ${root}/src/main.ts`,
      this.#options.agentArguments ?? "agent --ha-dir /etc/ha.d",
      ">>/var/log/baton/agent.log 2>&1",
    ].join(" ");
    const shell = spawn(
      "ip",
      [
        ...["netns", "exec", this.namespace(host)],
        ...["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"],
        ...["tini", "-s", "--", boot],
      ],
      {
        stdio: ["ignore", "ignore", openSync(join(this.directory, `${host}.stderr`), "a")],
        env: {
          PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
          LC_ALL: "C",
          PAIR_HOST: host,
          PAIR_TREE: this.tree(host),
          PAIR_DAEMON: daemon === "heartbeat" ? "heartbeat" : baton,
        },
      },
    );
    const init = await waitFor(
      `${host} boots`,
      () => (existsSync(join(this.tree(host), "ready")) ? childOf(pidOf(shell)) : undefined),
      10_000,
    );
    this.#running.set(host, { daemon, shell, init });
    shell.once("exit", () => {
      if (this.#running.get(host)?.shell === shell) this.#running.delete(host);
    });
  }

  /** Power loss: cables first, then every process, then its addresses. */
  async crash(host: HostName): Promise<void> {
    this.#cables(host, "down");
    await this.#end(host, "SIGKILL");
  }

  /** SIGTERM to the daemon, as its init script does; waits for its end. */
  async stopGracefully(host: HostName): Promise<void> {
    const running = this.#running.get(host);
    if (running === undefined) return;
    const ended = new Promise((resolve) => running.shell.once("exit", resolve));
    process.kill(running.init, "SIGTERM");
    await waitFor(
      `${host} stops`,
      () => (this.#running.has(host) ? undefined : true),
      40_000,
      () => this.log(host).slice(-3_000),
    );
    await ended;
    this.#cables(host, "down");
  }

  /** Runs a command inside a host that is up. */
  inside(
    host: HostName,
    ...command: readonly string[]
  ): { readonly code: number; readonly output: string } {
    const running = this.#running.get(host);
    if (running === undefined) throw new Error(`${host} is not up`);
    return tryRun(
      "nsenter",
      "-t",
      `${running.init}`,
      "-m",
      "-p",
      "-u",
      "-i",
      "-n",
      "--",
      ...command,
    );
  }

  /** A baton verb inside a host. */
  baton(
    host: HostName,
    ...args: readonly string[]
  ): { readonly code: number; readonly output: string } {
    return this.inside(
      host,
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      `${root}/src/main.ts`,
      ...args,
    );
  }

  freeze(host: HostName, frozen: boolean): void {
    const running = this.#running.get(host);
    if (running === undefined) throw new Error(`${host} is not up`);
    for (const pid of descendants(running.init)) {
      process.kill(pid, frozen ? "SIGSTOP" : "SIGCONT");
    }
  }

  cut(host: HostName): void {
    this.#cables(host, "cut");
  }

  heal(host: HostName): void {
    this.#cables(host, "up");
  }

  /** Whether the address is configured on a host, as its kernel says. */
  hasAddress(host: HostName, which = address): boolean {
    return tryRun("ip", "-n", this.namespace(host), "-o", "addr", "show").output.includes(
      ` ${which}/`,
    );
  }

  /** The hosts that have the address. */
  holders(which = address): readonly HostName[] {
    return hostNames.filter((host) => this.#running.has(host) && this.hasAddress(host, which));
  }

  /** Waits until exactly this host has the address. */
  async holds(host: HostName, limitMs: number, which = address): Promise<void> {
    await waitFor(
      `${which} is on ${host} alone`,
      () => {
        const holders = this.holders(which);
        return holders.length === 1 && holders[0] === host;
      },
      limitMs,
      () => this.explain(),
    );
  }

  /** What the daemon of a host said. */
  log(host: HostName): string {
    const files = ["ha-log", "baton/agent.log"].map((name) => join(this.tree(host), "log", name));
    return files.map((file) => (existsSync(file) ? readFileSync(file, "utf8") : "")).join("");
  }

  explain(): string {
    return hostNames
      .map(
        (host) => `--- ${host} (holds ${this.hasAddress(host)})\n${this.log(host).slice(-4_000)}`,
      )
      .join("\n");
  }

  /** Lines that a real heartbeat writes when the other side misbehaves (heartbeat.md 16). */
  troubles(host: HostName): readonly string[] {
    const bad =
      /lost packet|hist queue|replay|Ignored standby message|Both machines own|No one owns|authentication failed|corrupted|returning after partition|changed its uuid|flow control disabled/;
    return this.log(host)
      .split("\n")
      .filter((line) => bad.test(line));
  }

  async close(): Promise<void> {
    for (const host of hostNames) await this.#end(host, "SIGKILL");
    for (const name of [...hostNames, "switch"] as const) {
      tryRun("ip", "netns", "del", this.namespace(name));
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #end(host: HostName, signal: NodeJS.Signals): Promise<void> {
    const running = this.#running.get(host);
    if (running === undefined) return;
    const ended = new Promise((resolve) => running.shell.once("exit", resolve));
    process.kill(running.init, signal);
    await ended;
    this.#running.delete(host);
    tryRun("ip", "-n", this.namespace(host), "addr", "flush", "dev", "eth0");
  }

  #buildNetwork(): void {
    const hub = this.namespace("switch");
    sh("ip", "netns", "add", hub);
    sh("ip", "-n", hub, "link", "set", "lo", "up");
    for (const bridge of ["br0", "br1"]) {
      sh("ip", "-n", hub, "link", "add", bridge, "type", "bridge", "forward_delay", "0");
      sh("ip", "-n", hub, "link", "set", bridge, "up");
    }
    sh("ip", "-n", hub, "addr", "add", "192.168.0.1/24", "dev", "br0");
    for (const host of hostNames) {
      const namespace = this.namespace(host);
      sh("ip", "netns", "add", namespace);
      for (const [index, device] of ["eth0", "eth1"].entries()) {
        const port = `${host}-${index}`;
        sh(
          "ip",
          "link",
          "add",
          "name",
          device,
          "netns",
          namespace,
          "type",
          "veth",
          "peer",
          "name",
          port,
          "netns",
          hub,
        );
        sh("ip", "-n", hub, "link", "set", port, "master", `br${index}`);
      }
    }
  }

  /** `up` gives a host its cables and own addresses, `cut` takes the cables, `down` both. */
  #cables(host: HostName, state: "up" | "down" | "cut"): void {
    const namespace = this.namespace(host);
    const hub = this.namespace("switch");
    const octet = host.slice(-3);
    for (const [index, device] of ["eth0", "eth1"].entries()) {
      sh("ip", "-n", hub, "link", "set", `${host}-${index}`, state === "up" ? "up" : "down");
      if (state === "cut") continue;
      if (state === "down") {
        tryRun("ip", "-n", namespace, "link", "set", device, "down");
        continue;
      }
      tryRun("ip", "-n", namespace, "addr", "add", `192.168.${index}.${octet}/24`, "dev", device);
      sh("ip", "-n", namespace, "link", "set", device, "up");
    }
  }

  #writeFiles(host: HostName): void {
    const tree = this.tree(host);
    const peer = host === "dbm157" ? "158" : "157";
    mkdirSync(join(tree, "init.d"), { recursive: true });
    mkdirSync(join(tree, "batonlib"), { recursive: true });
    mkdirSync(join(tree, "log"), { recursive: true });
    mkdirSync(join(tree, "lib"), { recursive: true });
    cpSync("/etc/ha.d", join(tree, "ha.d"), { recursive: true });
    writeFileSync(
      join(tree, "ha.d", "ha.cf"),
      `logfile /var/log/ha-log\n${this.#options.timing}ucast eth0 192.168.0.${peer}\nucast eth1 192.168.1.${peer}\nnode dbm157\nnode dbm158\n`,
    );
    writeFileSync(join(tree, "ha.d", "authkeys"), this.#options.authkeys, { mode: 0o600 });
    writeFileSync(join(tree, "ha.d", "haresources"), this.#options.haresources);
    for (const [name, text] of Object.entries(this.#options.scripts ?? {})) {
      writeFileSync(join(tree, "ha.d", "resource.d", name), text, { mode: 0o755 });
    }
  }
}

/** The first child of the process that `unshare --fork` leaves waiting: PID 1 inside. */
function childOf(pid: number): number | undefined {
  const children = (of: number): number[] => {
    try {
      return readFileSync(`/proc/${of}/task/${of}/children`, "utf8")
        .trim()
        .split(" ")
        .filter(Boolean)
        .map(Number);
    } catch {
      return []; // Ended meanwhile.
    }
  };
  return children(pid)[0];
}

function descendants(pid: number): number[] {
  const found = [pid];
  for (let index = 0; index < found.length && index < 1_000; index++) {
    const of = found[index] ?? 0;
    try {
      const text = readFileSync(`/proc/${of}/task/${of}/children`, "utf8").trim();
      found.push(...text.split(" ").filter(Boolean).map(Number));
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}
