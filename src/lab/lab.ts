/**
 * The lab as its verbs see it. Each method that changes something holds the lock, and keeps the state file
 * abreast of what exists.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BatonError } from "../base/index.ts";
import { delay } from "../system/clock.ts";
import type { ClientTask } from "./client-main.ts";
import { markedEnvironment } from "./commands.ts";
import { LabError } from "./errors.ts";
import { Freezer } from "./freezer.ts";
import { detachFuseLoops, endFuse, fuseDisks, loopsOn } from "./fuse-disks.ts";
import { bootHost, insideHost, killHost, onNetworkOf, pauseHost, stopTimer } from "./host.ts";
import { clientUser, paths } from "./host-files.ts";
import { type LabLock, lockLab } from "./lock.ts";
import {
  clientPasswordPath,
  defaultLabDirectory,
  type ImageName,
  type LabNames,
  labNames,
} from "./names.ts";
import { applyCuts, buildSwitch, darken, plugIn, unplug } from "./network.ts";
import { requirePrograms, requireRoot } from "./packages.ts";
import { cutPowerOfFilesystems, deviceNumbers, mountsBelow } from "./power.ts";
import { isAlive, markedProcesses, processFile, signalProcess } from "./processes.ts";
import {
  type Cut,
  type HostState,
  type LabProfile,
  type LabState,
  type LabStorage,
  readState,
  writeState,
} from "./state.ts";
import {
  attachLoop,
  detachLoops,
  loopDevices,
  loopsOfLab,
  makeDatabase,
  makeHostDisk,
  makeSecrets,
  makeTree,
  removeLoopNodes,
} from "./storage.ts";
import {
  findHost,
  type LabHost,
  type LinkName,
  labHosts,
  sqlPort,
  switchHost,
  writeAddress,
} from "./topology.ts";

/** How long `up` waits for the first answer of the write address: twice the longest initdead. */
const serviceLimitMs = 60_000;
/** And of a lab that was up already. */
const checkLimitMs = 3_000;
const lockWaitMs = 15_000;
const reapLimitMs = 5_000;

export interface LabOptions {
  /** @default "default" */
  readonly lab?: string | undefined;
  /** @default $BATON_LAB_DIR, else /var/lib/baton-lab */
  readonly directory?: string | undefined;
  /** Takes each line that tells a person how far a command is. */
  readonly progress?: ((line: string) => void) | undefined;
}

export interface UpOptions {
  readonly profile: LabProfile;
  /** What the database lies on. @default "shared" */
  readonly storage?: LabStorage | undefined;
  /**
   * Run by the boot script of data hosts instead of the agent; `BATON_LAB_AGENT_COMMAND`.
   * Empty: no agent, and `up` waits for no service.
   */
  readonly agentCommand?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An append workload; see `AppendOptions` for its times. */
export interface AppendOrder {
  readonly seconds: number;
  readonly out: string;
  /** @default a name that no other run has */
  readonly run?: string;
  readonly gapMs?: number;
  readonly timeoutMs?: number;
  readonly connectMs?: number;
}

/** What became of a client that ran to its end. */
export interface ClientResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One lab of this machine, up or not. */
export class Lab {
  readonly names: LabNames;
  readonly freezer: Freezer;
  readonly #progress: (line: string) => void;

  /** @throws {LabError} if the name can not be used, or this process is not root */
  constructor({ lab = "default", directory, progress }: LabOptions = {}) {
    requireRoot();
    this.names = labNames(lab, directory ?? process.env["BATON_LAB_DIR"] ?? defaultLabDirectory);
    this.freezer = new Freezer(this.names.cgroup);
    this.#progress = progress ?? (() => undefined);
  }

  /** The state as it is written; undefined if there is no lab. */
  state(): LabState | undefined {
    return readState(this.names.stateFile);
  }

  /**
   * Builds the lab and returns once the write address answers. What an interrupted `up` left is cleared
   * away first.
   * @returns false if the lab was up already, in the same shape
   * @throws {LabError} also when it is up in another shape, or no answer came
   */
  async up({ profile, storage = "shared", agentCommand, signal }: UpOptions): Promise<boolean> {
    requirePrograms();
    using lock = await this.#lock("up");
    const command = agentCommand ?? `exec baton agent --config ${paths.clusterConfig}`;
    const existing = this.state();
    if (existing?.phase === "up")
      return await this.#alreadyUp(existing, { profile, storage, command });
    if (existing !== undefined || this.#leftovers().length > 0) {
      this.#progress("an earlier lab was not finished, or not taken down: clearing it away");
      await this.#clear();
    }
    try {
      await this.#build({ profile, storage, command, signal });
    } catch (error) {
      if (signal?.aborted !== true) throw error;
      this.#progress("interrupted: taking down what was built");
      await this.#clear();
      lock.removeFile();
      throw new LabError(5, {
        code: "BTN-LAB-INTERRUPTED",
        message: `The lab did not come up: ${errorText(signal.reason)}`,
      });
    }
    return true;
  }

  async #alreadyUp(
    state: LabState,
    asked: { profile: LabProfile; storage: LabStorage; command: string },
  ): Promise<false> {
    const { profile, storage, command } = asked;
    if (state.profile !== profile || state.storage !== storage || state.agentCommand !== command) {
      throw new LabError(1, {
        code: "BTN-LAB-OTHER-SHAPE",
        message: `Lab ${this.names.lab} is up already, with profile ${state.profile} and storage ${state.storage}`,
        fix: "Run `baton lab down` first, or use another name with --lab NAME",
      });
    }
    if (asked.command === "") return false;
    const task = { verb: "wait", sql: "SELECT 1", timeoutMs: checkLimitMs } as const;
    const answer = await this.client(task);
    if (answer.code === 0) return false;
    throw new LabError(1, {
      code: "BTN-LAB-NO-SERVICE",
      message: `Lab ${this.names.lab} is up already, but ${writeAddress} does not answer: ${answer.stderr.trim()}`,
      fix: "Look at `baton lab status`; `baton lab down` and `up` build it anew",
    });
  }

  async #build(options: {
    profile: LabProfile;
    storage: LabStorage;
    command: string;
    signal: AbortSignal | undefined;
  }): Promise<void> {
    const { profile, storage, command, signal } = options;
    const say = stopwatch(this.#progress);
    mkdirSync(this.names.directory, { recursive: true, mode: 0o700 });
    this.#write({
      version: 1,
      phase: "coming-up",
      profile,
      storage,
      agentCommand: command,
      hosts: {},
      cuts: {},
      loopsBefore: loopDevices(),
    });
    const secrets = makeSecrets();
    for (const host of [switchHost, ...labHosts]) {
      makeTree(this.names, host, { profile, storage, secrets });
    }
    const withDisk = labHosts.filter(({ role }) => role === "data");
    await settled([
      makeDatabase(this.names, storage, secrets, signal).then(() =>
        say(`${storage === "disk" ? "replicated" : "shared"} disk made, MariaDB's data in it`),
      ),
      ...withDisk.map((host) => makeHostDisk(this.names, host, signal)),
      this.#powerOnSwitch().then(() =>
        say("switch on: 192.168.0.0/24, 192.168.1.0/24, ping node 192.168.0.1"),
      ),
    ]);
    signal?.throwIfAborted();
    await settled(
      labHosts.map(async (host) => {
        await this.#powerOn(host);
        say(`${host.name} on`);
      }),
    );
    signal?.throwIfAborted();
    if (command !== "") await this.#awaitService(say, signal);
    this.#update((state) => {
      state.phase = "up";
    });
  }

  async #awaitService(say: (line: string) => void, signal: AbortSignal | undefined): Promise<void> {
    say(`waiting for SQL on ${writeAddress}:${sqlPort}`);
    const task = {
      verb: "wait",
      sql: "SELECT @@hostname, @@version",
      timeoutMs: serviceLimitMs,
    } as const;
    const result = await this.client(task, signal);
    signal?.throwIfAborted();
    if (result.code === 0) {
      const [host, version] = result.stdout.trim().split("\t");
      say(`${writeAddress} answers: MariaDB ${version} on ${host}`);
      return;
    }
    // It stands, and can be looked at; the next `up` says that it is there.
    this.#update((state) => {
      state.phase = "up";
    });
    throw new LabError(5, {
      code: "BTN-LAB-NO-SERVICE",
      message: `No answer from ${writeAddress}:${sqlPort} in ${serviceLimitMs / 1_000} s: ${result.stderr.trim()}`,
      fix: "Look at `baton lab status` and `baton lab exec dbm157 -- cat /var/log/baton/agent.out`",
    });
  }

  /** Removes everything that carries the lab's name, whatever the state file says. @throws {LabError} if something stays */
  async down(): Promise<void> {
    const lock = await lockLab(this.names, "down", { waitMs: 20_000, end: true });
    try {
      await this.#clear();
    } finally {
      lock.release(!existsSync(this.names.directory));
      removeIfEmpty(this.names.base);
    }
  }

  /** What of this lab exists at this moment: processes, loop devices, mounts, cgroups, files. */
  #leftovers(): string[] {
    return [
      ...new Set([...this.freezer.allProcesses(), ...markedProcesses(this.names)]),
      ...loopsOfLab(this.names),
      ...mountsBelow(this.names.directory),
    ].map(String);
  }

  async #clear(): Promise<void> {
    const state = this.state();
    if (state !== undefined) this.#write({ ...state, phase: "going-down" });
    // Their caches are of no use any more: without this the kernel would write them out first.
    const members = [...this.freezer.allProcesses(), ...hostProcesses(state)];
    const disks = fuseDisks(members);
    const replicated = loopsOn(disks);
    await endFuse(this.names, disks);
    try {
      cutPowerOfFilesystems(members, deviceNumbers(loopsOfLab(this.names)));
    } catch {
      // then they are written out: slower, and just as gone afterwards
    }
    await this.#endProcesses(state);
    const stuck = [
      ...(await detachFuseLoops(this.names, replicated)),
      ...(await detachLoops(this.names, loopsOfLab(this.names))),
    ];
    const groups = this.freezer.removeAll();
    if (state !== undefined) removeLoopNodes(state.loopsBefore);
    if (stuck.length > 0 || groups.length > 0) throw leftovers([...stuck, ...groups]);
    rmSync(this.names.directory, { recursive: true, force: true });
  }

  async #endProcesses(state: LabState | undefined): Promise<void> {
    const ended = new Set<number>();
    for (let leftMs = 10_000; leftMs > 0; leftMs -= 20) {
      const found = [
        ...new Set([
          ...this.freezer.allProcesses(),
          ...markedProcesses(this.names),
          ...hostProcesses(state),
        ]),
      ];
      if (found.length === 0) {
        await reaped(ended);
        return;
      }
      for (const pid of found) {
        ended.add(pid);
        signalProcess(pid, "SIGKILL");
      }
      this.#thawAll(state);
      await delay(20);
    }
    throw leftovers(
      [...this.freezer.allProcesses(), ...markedProcesses(this.names)].map(
        (pid) => `process ${pid}`,
      ),
    );
  }

  #thawAll(state: LabState | undefined): void {
    for (const { name } of [switchHost, ...labHosts]) {
      this.freezer.thaw(name, state?.hosts[name]?.init?.pid);
    }
  }

  /**
   * Power loss, in the order of DESIGN 7.9: cables, file systems, PID 1, loop devices. Returns when the
   * host and its devices are gone; nothing tells the survivor.
   */
  async crash(name: string): Promise<void> {
    using _lock = await this.#lock("crash");
    const host = this.#known(name);
    const state = this.#hostOn(name);
    const switchPid = this.#switchPid();
    await darken(this.names, switchPid, host);
    const members = this.freezer.processes(name, state.init?.pid);
    const disks = fuseDisks(members);
    const replicated = loopsOn(disks);
    // First: without its peer the disk is frozen, and to shut down a file system on it would wait for ever.
    await endFuse(this.names, disks);
    cutPowerOfFilesystems(members, deviceNumbers(Object.values(state.loops)));
    await this.#endHost(host, state, switchPid);
    const stuck = await detachFuseLoops(this.names, replicated);
    if (stuck.length > 0) throw leftovers(stuck);
  }

  async #endHost(host: LabHost, state: HostState, switchPid: number): Promise<void> {
    stopTimer(state);
    await killHost(this.freezer, host.name, state.init);
    const stuck = await detachLoops(this.names, Object.values(state.loops));
    if (stuck.length > 0) throw leftovers(stuck);
    this.#setHost(host.name, { power: "off", loops: {} });
    await unplug(this.names, switchPid, host);
  }

  /** Powers a host on again. @throws {LabError} if it runs */
  async start(name: string): Promise<void> {
    using _lock = await this.#lock("start");
    const host = this.#known(name);
    const state = this.#require();
    const old = state.hosts[name];
    if (old !== undefined && isAlive(old.init)) {
      throw new LabError(1, { code: "BTN-LAB-HOST-UP", message: `Host ${name} runs already` });
    }
    // It may have ended by itself, as after `reboot`: then its devices are still there.
    if (old !== undefined) await this.#endHost(host, old, this.#switchPid());
    await this.#powerOn(host);
  }

  async #powerOnSwitch(): Promise<void> {
    this.#setHost(switchHost.name, { power: "off", loops: {} });
    const { names, freezer } = this;
    const booted = await bootHost({
      names,
      freezer,
      host: switchHost.name,
      loops: {},
      agentCommand: "",
    });
    this.#setHost(switchHost.name, { power: "on", init: booted.init, loops: {} });
    await buildSwitch(names, booted.init.pid);
    booted.go();
  }

  async #powerOn(host: LabHost): Promise<void> {
    const { names, freezer } = this;
    const loops: Record<string, string> = {};
    const images = host.role === "data" ? imagesOf(host, this.#require().storage) : {};
    for (const [name, image] of Object.entries(images)) {
      loops[name] = await attachLoop(names, image);
      this.#setHost(host.name, { power: "off", loops: { ...loops } });
    }
    const agentCommand = host.role === "data" ? this.#require().agentCommand : "";
    const booted = await bootHost({ names, freezer, host: host.name, loops, agentCommand });
    this.#setHost(host.name, { power: "on", init: booted.init, loops });
    const switchPid = this.#switchPid();
    await plugIn(names, { host, hostPid: booted.init.pid, switchPid });
    await this.#applyCuts(host);
    booted.go();
  }

  /** Freezes a host and returns; it thaws by itself, even if this machine's user has gone home. */
  async pause(name: string, seconds: number): Promise<void> {
    using _lock = await this.#lock("pause");
    this.#known(name);
    if (!(seconds > 0 && seconds <= 86_400)) {
      throw usage(`Cannot pause for "${seconds}" seconds`, "Give a number above 0, at most 86400");
    }
    const state = this.#hostOn(name);
    const { names, freezer } = this;
    const paused = await pauseHost({ names, freezer, host: name, state }, seconds);
    this.#setHost(name, { ...state, paused });
  }

  /** Cuts cables: both unless `link` is given, both ways unless `way` is. */
  async cut(
    name: string,
    options: { link?: LinkName | undefined; way?: "in" | "out" | undefined } = {},
  ): Promise<void> {
    using _lock = await this.#lock("cut");
    const host = this.#known(name);
    const links = options.link === undefined ? host.links : [options.link];
    if (options.link !== undefined && !host.links.includes(options.link)) {
      throw usage(`Host ${name} has no ${options.link}`, `Its cables: ${host.links.join(", ")}`);
    }
    this.#update((state) => {
      for (const link of links) {
        const key = `${name}.${link}`;
        state.cuts[key] = joinCuts(state.cuts[key], options.way ?? "both");
      }
    });
    await this.#applyCuts();
  }

  /** Mends every cable of a host, or of all hosts. */
  async heal(name?: string): Promise<void> {
    using _lock = await this.#lock("heal");
    if (name !== undefined) this.#known(name);
    this.#update((state) => {
      for (const key of Object.keys(state.cuts)) {
        if (name === undefined || key.startsWith(`${name}.`)) delete state.cuts[key];
      }
    });
    await this.#applyCuts();
  }

  /** Runs a command inside a host, with this process's standard streams; returns its exit status. */
  async exec(name: string, command: readonly string[]): Promise<number> {
    if (name !== switchHost.name) this.#known(name);
    const pid = this.#hostOn(name).init?.pid ?? 0;
    const [file, ...args] = insideHost(this.freezer, { host: name, pid, command });
    const child = spawn(file, args, { stdio: "inherit", env: markedEnvironment(this.names) });
    // The terminal sends its signals to the command as well: it decides what they mean.
    const ignore = (): void => undefined;
    process.on("SIGINT", ignore);
    try {
      return await new Promise<number>((settle, reject) => {
        child.on("error", reject);
        child.on("exit", (code, signal) => settle(code ?? 128 + signalNumber(signal)));
      });
    } finally {
      process.off("SIGINT", ignore);
    }
  }

  /** The same, with its output returned instead of shown; for tests and drills. */
  async execQuietly(name: string, command: readonly string[]): Promise<ClientResult> {
    if (name !== switchHost.name) this.#known(name);
    const pid = this.#hostOn(name).init?.pid ?? 0;
    return this.#collect(insideHost(this.freezer, { host: name, pid, command }), "", undefined);
  }

  /** Runs a client on the network of the host `client`, to its end. Aborting asks it to end early. */
  async client(task: ClientTask, signal?: AbortSignal): Promise<ClientResult> {
    // Without the lock: clients come and go while hosts crash.
    const pid = this.#hostOn("client").init?.pid ?? 0;
    const command = [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      fileURLToPath(new URL("client-main.ts", import.meta.url)),
    ];
    const password = readFileSync(clientPasswordPath(this.names), "utf8").trim();
    const target = { host: writeAddress, port: sqlPort, user: clientUser, password };
    return this.#collect(
      onNetworkOf(this.freezer, { host: "client", pid, command }),
      JSON.stringify({ target, task }),
      signal,
    );
  }

  /** One statement on the write address. Rows are lines of values with tabs between. */
  sql(statement: string, timeoutMs = 10_000): Promise<ClientResult> {
    return this.client({ verb: "sql", sql: statement, timeoutMs });
  }

  /** Appends for that long; `out` takes the notes, line by line, as they are certain. */
  append(options: AppendOrder, signal?: AbortSignal): Promise<ClientResult> {
    const { seconds, gapMs = 0, timeoutMs = 2_000, connectMs = timeoutMs } = options;
    const run = options.run ?? `run-${process.pid}-${Date.now().toString(36)}`;
    const out = resolve(options.out);
    return this.client({ verb: "append", run, seconds, gapMs, timeoutMs, connectMs, out }, signal);
  }

  /** Judges the notes of an append workload; code 1 if anything is lost, duplicated or phantom. */
  verify(file: string): Promise<ClientResult> {
    return this.client({ verb: "verify", file: resolve(file) });
  }

  #collect(
    [file, ...args]: readonly [string, ...string[]],
    input: string,
    signal: AbortSignal | undefined,
  ): Promise<ClientResult> {
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own: Ctrl-C reaches this process, which then decides.
      detached: true,
      cwd: process.cwd(),
      env: markedEnvironment(this.names),
    });
    const end = (): void => void child.kill("SIGTERM");
    signal?.addEventListener("abort", end, { once: true });
    child.stdin.on("error", () => undefined); // it ended before reading: its exit status tells
    child.stdin.end(input);
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (chunk: string) => {
        output[stream] += chunk;
      });
    }
    return new Promise((settle, reject) => {
      child.on("error", reject);
      child.on("close", (code, killedBy) => {
        signal?.removeEventListener("abort", end);
        settle({ code: code ?? 128 + signalNumber(killedBy), ...output });
      });
    });
  }

  /** Of one host, or of all that have power. */
  async #applyCuts(only?: LabHost): Promise<void> {
    const { cuts, hosts } = this.#require();
    const powered = labHosts.filter(({ name }) => isAlive(hosts[name]?.init));
    const switchPid = this.#switchPid();
    for (const host of only === undefined ? powered : [only]) {
      await applyCuts(this.names, switchPid, { host, cuts });
    }
  }

  #known(name: string): LabHost {
    const host = findHost(name);
    if (host !== undefined) return host;
    const all = labHosts.map((each) => each.name).join(", ");
    throw usage(`There is no host "${name}" in the lab`, `Use one of ${all}`);
  }

  #require(): LabState {
    const state = this.state();
    if (state !== undefined) return state;
    throw new LabError(5, {
      code: "BTN-LAB-NOT-UP",
      message: `Lab ${this.names.lab} is not up (nothing in ${this.names.directory})`,
      fix: "Run `baton lab up`",
    });
  }

  #hostOn(name: string): HostState {
    const host = this.#require().hosts[name];
    if (host !== undefined && isAlive(host.init)) return host;
    throw new LabError(5, {
      code: "BTN-LAB-HOST-DOWN",
      message: `Host ${name} has no power`,
      fix: `Run \`baton lab start ${name}\``,
    });
  }

  #switchPid(): number {
    return this.#hostOn(switchHost.name).init?.pid ?? 0;
  }

  #write(state: LabState): void {
    writeState(this.names.stateFile, state);
  }

  #update(change: (draft: LabState) => void): void {
    const draft = structuredClone(this.#require());
    change(draft);
    this.#write(draft);
  }

  #setHost(name: string, host: HostState): void {
    this.#update((draft) => {
      draft.hosts[name] = host;
    });
  }

  async #lock(verb: string): Promise<Disposable & { removeFile(): void }> {
    const lock: LabLock = await lockLab(this.names, verb, { waitMs: lockWaitMs });
    let remove = false;
    return {
      removeFile: () => {
        remove = true;
      },
      [Symbol.dispose]: () => {
        lock.release(remove);
        if (remove) removeIfEmpty(this.names.base);
      },
    };
  }
}

/** The images that a data host sees, by what they are to it. */
function imagesOf({ name }: LabHost, storage: LabStorage): Readonly<Record<string, ImageName>> {
  const own = { disk: `disk-${name}` } as const;
  return storage === "disk"
    ? { ...own, data: `data-${name}` }
    : { ...own, database: "database", claim: "claim" };
}

/** The machine's init takes its orphans away when it gets to it: nothing to fail for, but worth a moment. */
async function reaped(pids: ReadonlySet<number>): Promise<void> {
  const left = (): boolean =>
    [...pids].some((pid) => /^State:\s+Z/m.test(processFile(pid, "status")));
  for (let leftMs = reapLimitMs; leftMs > 0 && left(); leftMs -= 20) await delay(20);
}

/** Init processes that the state file knows, should there be no cgroups to find them by. */
function hostProcesses(state: LabState | undefined): number[] {
  return Object.values(state?.hosts ?? {}).flatMap(({ init }) =>
    init !== undefined && isAlive(init) ? [init.pid] : [],
  );
}

/** A cable of which one way was cut, and now the other, is cut. */
function joinCuts(before: Cut | undefined, added: Cut): Cut {
  return before === undefined || before === added ? added : "both";
}

/** Waits for all, also when one fails: nothing goes on in the background while `down` is at work. */
async function settled(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function stopwatch(progress: (line: string) => void): (line: string) => void {
  const started = performance.now();
  return (line) =>
    progress(`${String(Math.round(performance.now() - started)).padStart(6)} ms  ${line}`);
}

function usage(message: string, fix: string): LabError {
  return new LabError(2, { code: "BTN-LAB-USAGE", message, fix });
}

function leftovers(things: readonly string[]): LabError {
  return new LabError(5, {
    code: "BTN-LAB-LEFTOVERS",
    message: `Cannot remove ${things.join(", ")}`,
    fix: "Run `baton lab down` again; `fuser -v` shows who holds a device",
  });
}

function removeIfEmpty(directory: string): void {
  if (directory !== defaultLabDirectory) return; // a directory that somebody gave is theirs
  try {
    rmdirSync(directory);
  } catch {
    // other labs are in it
  }
}

function errorText(reason: unknown): string {
  return reason instanceof BatonError || reason instanceof Error ? reason.message : String(reason);
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

function signalNumber(signal: NodeJS.Signals | null): number {
  return (signal === null ? undefined : signalNumbers[signal]) ?? 0;
}
