/**
 * A pair of hosts in namespaces of this test's own, each with a real Heartbeat 3.0.6 or a Baton agent
 * on the classic files: two links, a switch that answers pings, and one address that moves.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { controlSocketName, type StatusReport } from "../../src/agent/control.ts";
import { connectLines } from "../../src/system/lines.ts";
import { AddressWatch } from "./address-watch.ts";
import { PacketTap, sendAgain } from "./packet-tap.ts";
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
  /** The media lines of a host's ha.cf; `peer` is the last octet of the other. @default ucast on both links */
  readonly media?: (peer: string) => string;
  /** The whole ha.cf, as it is, instead of `timing`, media and node lines. */
  readonly haCf?: (host: HostName) => string;
  /** Scripts for init.d: name -> text. */
  readonly initScripts?: Readonly<Record<string, string>>;
}

const twoUcast = (peer: string): string =>
  `ucast eth0 192.168.0.${peer}\nucast eth1 192.168.1.${peer}\n`;

/** The times of the captures: fast enough for a test, slow enough for a loaded machine. */
export const quickTiming =
  "keepalive 200ms\nwarntime 1\ndeadtime 2\ninitdead 4\nauto_failback off\n";
export const classicAuth = "auth 1\n1 sha1 HA_JACKBILLOW\n";
export const address = "192.168.0.222";
export const oneAddress = `dbm157 IPaddr2::${address}/24/eth0\n`;

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const boot = fileURLToPath(new URL("pair-boot.sh", import.meta.url));
let pairs = 0;
const lostWords = /NV failure \(msgfromsteam\)/;

/** Pairs that are not closed: whatever ends this process, its hosts end with it. */
const open = new Set<Pair>();
process.on("exit", () => {
  for (const pair of open) pair.discard();
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}

/** Removes what a test left that was killed with SIGKILL: namespaces and files of processes that are no more. */
function sweepKilled(): void {
  for (const line of tryRun("ip", "netns", "list").output.split("\n")) {
    const [, name, pid] = /^(btn-(\d+)-\d+-(?:dbm157|dbm158|switch))\b/.exec(line) ?? [];
    if (name === undefined || existsSync(`/proc/${pid}`)) continue;
    removeNamespace(name);
  }
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = /^btn-pair-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function removeNamespace(name: string): void {
  const pids = tryRun("ip", "netns", "pids", name).output.split("\n").map(Number);
  for (const pid of pids.filter((one) => one > 1)) signalUnlessGone(pid, "SIGKILL");
  tryRun("ip", "netns", "del", name);
}

/** Sends a signal to a process that may have ended by itself meanwhile. */
function signalUnlessGone(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

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

export interface Outcome {
  readonly code: number;
  readonly output: string;
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
  #lostWords = false;
  readonly #watches: { close(): void }[] = [];

  constructor(options: PairOptions) {
    if (pairs === 0) sweepKilled();
    open.add(this);
    this.#options = options;
    this.#prefix = `btn-${process.pid}-${++pairs}`;
    this.directory = mkdtempSync(join(tmpdir(), `btn-pair-${process.pid}-`));
    chmodSync(this.directory, 0o755);
    this.#buildNetwork();
    for (const host of hostNames) this.#writeFiles(host);
  }

  /** Whether the real program is on this machine. */
  static isInstalled(): boolean {
    return ["/usr/libexec/heartbeat/heartbeat", "/usr/bin/tini", "/etc/ha.d/harc"].every((path) =>
      existsSync(path),
    );
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

  /** The same as `inside` without holding up other tests: for commands that take their time. */
  run(host: HostName, ...command: readonly string[]): Promise<Outcome> {
    const running = this.#running.get(host);
    if (running === undefined) throw new Error(`${host} is not up`);
    const args = ["-t", `${running.init}`, "-m", "-p", "-u", "-i", "-n", "--", ...command];
    return new Promise((resolve) => {
      execFile("nsenter", args, { timeout: 60_000 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, output: `${stdout}${stderr}` });
      });
    });
  }

  /** A baton verb inside a host; `name` is what it was started as, such as `cl_status`. */
  runBaton(host: HostName, name: string, ...args: readonly string[]): Promise<Outcome> {
    const program = [process.execPath, "--disable-warning=ExperimentalWarning"];
    return this.run(
      host,
      ...["env", `BATON_NAME=${name}`, ...program, `${root}/src/main.ts`, ...args],
    );
  }

  /** What the agent of a host says of the cluster; undefined while it can not be reached. */
  async status(host: HostName): Promise<StatusReport | undefined> {
    const running = this.#running.get(host);
    if (running?.daemon !== "baton") return undefined;
    const path = `/proc/${running.init}/root/run/baton/${controlSocketName}`;
    try {
      const client = await connectLines(path, { software: "baton test" });
      try {
        return (await client.request("status", {}, { timeoutMs: 5_000 })) as StatusReport;
      } finally {
        client.close();
      }
    } catch {
      return undefined; // Not up yet, or no more.
    }
  }

  /** A signal to the daemon, which init passes on. */
  signal(host: HostName, signal: NodeJS.Signals): void {
    const running = this.#running.get(host);
    if (running === undefined) throw new Error(`${host} is not up`);
    process.kill(running.init, signal);
  }

  /** Pings an address from the switch from now on, as a client would use it. */
  async watch(which = address): Promise<AddressWatch> {
    const watch = new AddressWatch(this.namespace("switch"), which);
    this.#watches.push(watch);
    await waitFor(
      `${which} answers`,
      () => watch.replies > 0,
      10_000,
      () => this.explain(),
    );
    return watch;
  }

  /** Records what a host sends on eth0, from now on until `close`. */
  async tap(host: HostName): Promise<PacketTap> {
    const tap = await PacketTap.open({
      namespace: this.namespace("switch"),
      bridge: "br0",
      source: `192.168.0.${host.slice(-3)}`,
      file: join(this.directory, `${host}.pcap`),
    });
    this.#watches.push(tap);
    return tap;
  }

  /** Sends recorded datagrams to a host's eth0, from the switch. */
  async replay(host: HostName, payloads: readonly Buffer[]): Promise<void> {
    const program = sendAgain(`192.168.0.${host.slice(-3)}`);
    const command = ["netns", "exec", this.namespace("switch"), process.execPath, "-e", program];
    const sender = spawn("ip", command, { stdio: ["pipe", "ignore", "inherit"] });
    sender.stdin.end(payloads.map((bytes) => bytes.toString("hex")).join("\n"));
    await new Promise((resolve) => sender.once("exit", resolve));
  }

  /** Keeps the hosts from each other on both links, while the switch goes on reaching both. */
  separate(separated: boolean): void {
    const [from, to] = [this.namespace("switch"), separated ? "on" : "off"];
    for (const host of hostNames) {
      for (const index of [0, 1]) {
        sh("bridge", "-n", from, "link", "set", "dev", `${host}-${index}`, "isolated", to);
      }
    }
  }

  /** Takes one cable of a host away, or puts it back. */
  cable(host: HostName, index: 0 | 1, state: "up" | "down"): void {
    sh("ip", "-n", this.namespace("switch"), "link", "set", `${host}-${index}`, state);
  }

  freeze(host: HostName, frozen: boolean): void {
    const running = this.#running.get(host);
    if (running === undefined) throw new Error(`${host} is not up`);
    // Scripts fork and end while the list is read: again until nothing new turns up.
    const done = new Set<number>();
    for (let round = 0; round < 20; round++) {
      const fresh = descendants(running.init).filter((pid) => !done.has(pid));
      if (fresh.length === 0) return;
      for (const pid of fresh) {
        done.add(pid);
        signalUnlessGone(pid, frozen ? "SIGSTOP" : "SIGCONT");
      }
    }
    throw new Error(`${host} goes on starting processes`);
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

  /** New keys in a host's authkeys; its daemon must be told. */
  writeKeys(host: HostName, authkeys: string): void {
    writeFileSync(join(this.tree(host), "ha.d", "authkeys"), authkeys, { mode: 0o600 });
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

  /**
   * Whether a real host lost a message of its own scripts, known after `close`: two that write to its FIFO
   * at the same time mix, and both are lost. What it should have done then, such as a takeover, it never does.
   */
  get lostWords(): boolean {
    return this.#lostWords;
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
    this.discard();
  }

  /** The same without waiting: for the end of this process. */
  discard(): void {
    open.delete(this);
    this.#lostWords ||= hostNames.some((host) => lostWords.test(this.log(host)));
    for (const watch of this.#watches) watch.close();
    for (const name of [...hostNames, "switch"] as const) removeNamespace(this.namespace(name));
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
    // A client asks again for a hardware address soon, so that what is measured is the hosts.
    const retry = "echo 100 > /proc/sys/net/ipv4/neigh/br0/retrans_time_ms";
    sh("ip", "netns", "exec", hub, "sh", "-c", retry);
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
      const own = `192.168.${index}.${octet}/24`;
      tryRun("ip", "-n", namespace, "addr", "add", own, "brd", "+", "dev", device);
      sh("ip", "-n", namespace, "link", "set", device, "up");
    }
  }

  #writeFiles(host: HostName): void {
    const tree = this.tree(host);
    const peer = host === "dbm157" ? "158" : "157";
    const { timing, media = twoUcast } = this.#options;
    mkdirSync(join(tree, "init.d"), { recursive: true });
    mkdirSync(join(tree, "batonlib"), { recursive: true });
    mkdirSync(join(tree, "log"), { recursive: true });
    mkdirSync(join(tree, "lib"), { recursive: true });
    cpSync("/etc/ha.d", join(tree, "ha.d"), { recursive: true });
    writeFileSync(
      join(tree, "ha.d", "ha.cf"),
      this.#options.haCf?.(host) ??
        `logfile /var/log/ha-log\n${timing}${media(peer)}node dbm157\nnode dbm158\n`,
    );
    writeFileSync(join(tree, "ha.d", "authkeys"), this.#options.authkeys, { mode: 0o600 });
    writeFileSync(join(tree, "ha.d", "haresources"), this.#options.haresources);
    for (const [name, text] of Object.entries(this.#options.scripts ?? {})) {
      rmSync(join(tree, "ha.d", "resource.d", name), { force: true });
      writeFileSync(join(tree, "ha.d", "resource.d", name), text, { mode: 0o755 });
    }
    for (const [name, text] of Object.entries(this.#options.initScripts ?? {})) {
      writeFileSync(join(tree, "init.d", name), text, { mode: 0o755 });
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
