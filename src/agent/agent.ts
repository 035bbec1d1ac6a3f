/**
 * The daemon of one host: wires the cores to their shells, owns the control sockets and the journal
 * (DESIGN 2). It decides nothing: `HostLoop` runs the cores, this file gives them the world.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { BatonError, type Clock, type Instant, unreachable } from "../base/index.ts";
import { loadSecret } from "../config/config.shell.ts";
import { type ClusterConfig, configurationDigestInput } from "../config/index.ts";
import { type Command, Failover, type FailoverRecord } from "../failover/index.ts";
import type { FencingRecord } from "../fencing/index.ts";
import { BeatClient } from "../membership/beat-client.shell.ts";
import { type BeatEvent, type BeatState, beatSettings, Membership } from "../membership/index.ts";
import { entryOf } from "../recorder/index.ts";
import { Journal } from "../recorder/journal.shell.ts";
import type { DiskSpec } from "../replication/index.ts";
import type { GroupSpec, RunnerEffect } from "../resources/index.ts";
import { monotonicClock } from "../system/clock.ts";
import { groupId } from "../system/lines.ts";
import { type FileLock, takeLock } from "../system/lock.ts";
import { CommandDesk } from "./commands.ts";
import type {
  CodedText,
  CommandProgress,
  CommandResult,
  KeyReport,
  StatusReport,
} from "./control.ts";
import { DiskDesk, type DiskLink } from "./disk-desk.ts";
import { DurableValue } from "./durable.ts";
import { HostLoop, type HostWorld, type LoopRecord, type WorldEffect } from "./host-loop.ts";
import { failoverOptions, membershipOptions } from "./options.ts";
import { Repeats } from "./repeats.ts";
import { ResourceDesk } from "./resource-desk.ts";
import { ControlServer } from "./server.ts";
import { buildStatus } from "./status.ts";

/** How an agent comes up. */
export interface AgentSetup {
  readonly config: ClusterConfig;
  /** This host's name in the configuration. */
  readonly host: string;
  readonly version: string;
  /** Program and arguments that start the beat process, up to the verb. */
  readonly beatCommand: readonly string[];
  /** Opens the link to the process of a disk, starting that if need be. */
  openDisk(disk: DiskSpec, changed: () => void): DiskLink;
  /** What `hbparameter` answers. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Lines for the terminal or the system log. */
  say(line: string): void;
}

/** Status goes to watchers at most this often: a burst of events is one change. */
const STATUS_EVERY_MS = 100;

/** How long status shows what a resource noticed, such as a second owner of its address. */
const NOTICE_SHOWN_MS = 15 * 60_000;

/** A beat process that could not be started is tried again after this long. */
const BEAT_AGAIN_MS = 2_000;

/** One running agent. */
export class Agent {
  readonly #setup: AgentSetup;
  readonly #clock: Clock = monotonicClock;
  readonly #startedAt: Instant = monotonicClock.now();
  readonly #started = new Date().toISOString();
  readonly #journal: Journal;
  readonly #record: DurableValue;
  readonly #membership: Membership;
  readonly #failover: Failover;
  readonly #loop: HostLoop;
  readonly #resources: ResourceDesk;
  readonly #disks: DiskDesk;
  readonly #exclusions: DurableValue;
  readonly #desk: CommandDesk;
  readonly #keys: readonly KeyReport[];
  readonly #lock: FileLock;
  readonly #durable: FailoverRecord | undefined;
  readonly #verdicts = new Map<string, { readonly reason: string }>();
  readonly #heardAt = new Map<string, Instant>();
  readonly #repeats = new Repeats();
  /** What is wrong until it is taken out again. */
  readonly #warnings = new Map<string, CodedText>();
  /** The newest word of each resource, by group and name: shown for a while. */
  readonly #notices = new Map<string, CodedText & { readonly at: Instant }>();
  readonly #ended = Promise.withResolvers<"stopped" | "left">();
  #beat: BeatClient | undefined;
  #beatState: BeatState | undefined;
  #server: ControlServer | undefined;
  #revision = 0;
  #statusTimer: NodeJS.Timeout | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #stopping = false;
  #closed = false;

  private constructor(
    setup: AgentSetup,
    parts: {
      readonly journal: Journal;
      readonly record: DurableValue;
      readonly exclusions: { readonly store: DurableValue; readonly value: unknown };
      readonly durable: FailoverRecord | undefined;
      readonly keys: readonly KeyReport[];
      readonly lock: FileLock;
    },
  ) {
    const { config, host } = setup;
    this.#setup = setup;
    this.#journal = parts.journal;
    this.#record = parts.record;
    this.#exclusions = parts.exclusions.store;
    this.#keys = parts.keys;
    this.#lock = parts.lock;
    this.#durable = parts.durable;
    this.#desk = new CommandDesk(this.#clock);
    const now = this.#clock.now();
    this.#membership = new Membership(membershipOptions(config, host), now);
    const session = `${bootId()}-${process.pid}-${Math.round(now)}`;
    const digest = digestOf(config, parts.keys);
    const options = failoverOptions(config, host, digest, session);
    this.#failover = new Failover(options, parts.durable, now);
    this.#loop = new HostLoop(
      { membership: this.#membership, failover: this.#failover },
      this.#world(),
    );
    this.#disks = this.#openDisks(parts.exclusions.value as FencingRecord | undefined);
    this.#resources = new ResourceDesk({
      config,
      host,
      clock: this.#clock,
      disks: this.#disks,
      feed: (event) => this.#enter(() => this.#loop.failoverEvent(event)),
      report: (group, effect) => this.#runnerSaid(group, effect),
      line: (group, resource, line) =>
        this.#desk.tellAll(`${group.name}: ${resource}: ${line}`, null),
      notice: (notice) => {
        const { group, resource, reason, detail } = notice;
        this.#note("resources", "notice", reason, group, { resource, detail });
        const text = `${group}, ${resource}: ${detail}`;
        const at = this.#clock.now();
        this.#notices.set(`${group} ${resource}`, { code: reason, text, at });
        this.#statusChanged();
      },
    });
  }

  /**
   * Brings an agent up: state, journal, sockets, beat process, cores; in this order, so that a second
   * agent on the same host is refused before it touches anything.
   * @throws {BatonError} BTN-AGENT-ALREADY-RUNNING, BTN-SOCKET-IN-USE, BTN-STATE-DAMAGED, BTN-BEAT-NO-START, a key's error
   */
  static async start(setup: AgentSetup): Promise<Agent> {
    const { config } = setup;
    const lock = lockState(config.stateDirectory);
    const agent = await Agent.#make(setup, lock).catch((error: unknown) => {
      lock.release();
      throw error;
    });
    try {
      await agent.#open();
      return agent;
    } catch (error) {
      agent.#beat?.close();
      await agent.#close();
      throw error;
    }
  }

  static async #make(setup: AgentSetup, lock: FileLock): Promise<Agent> {
    const { config, host } = setup;
    const keys = await readKeys(config);
    const told: { agent?: Agent } = {};
    const { store, value } = await DurableValue.open(config.stateDirectory, "failover", {
      onTrouble: (trouble) => {
        if (told.agent !== undefined) told.agent.#stateTrouble(trouble);
      },
    });
    const exclusions = await DurableValue.open(config.stateDirectory, "fencing");
    const journal = new Journal({
      directory: config.journalDirectory,
      host,
      bootId: bootId(),
      clock: monotonicClock,
      gid: groupId("haclient"),
      onTrouble: (text) => setup.say(text),
    });
    const durable = value as FailoverRecord | undefined;
    told.agent = new Agent(setup, { journal, record: store, exclusions, durable, keys, lock });
    return told.agent;
  }

  /** Whether an agent could read the keys of `config`, asked before this one makes way. @throws {BatonError} */
  static async readable(config: ClusterConfig): Promise<void> {
    await readKeys(config);
  }

  /** Resolves when the agent is done: `stopped` after a graceful stop, `left` after `leave`. */
  get ended(): Promise<"stopped" | "left"> {
    return this.#ended.promise;
  }

  /** Graceful end: hands over, says goodbye, ends the beat process. */
  async stop(): Promise<CommandResult> {
    this.#setup.say("stopping: handing over what this host holds");
    return await this.#command({ verb: "stop" }, ({ line }) => this.#setup.say(line));
  }

  /** Ends this process and leaves everything as it runs, for a restart within agent_grace. */
  async leave(): Promise<void> {
    this.#note("agent", "leaving", "BTN-AGENT-LEAVES", null, {});
    this.#beat?.close();
    await this.#close();
    this.#ended.resolve("left");
  }

  /** A fault was found: written down at once, because the process is about to end. */
  fault(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#setup.say(`[BTN-AGENT-FAULT] ${text}`);
    this.#note("agent", "fault", "BTN-AGENT-FAULT", null, { text: text.slice(0, 4_000) });
    this.#journal.flushSync();
  }

  status(): StatusReport {
    const { config, host, version } = this.#setup;
    const now = this.#clock.now();
    const journal = this.#journal.state.failing;
    return buildStatus({
      revision: this.#revision,
      now,
      host,
      config,
      version,
      pid: process.pid,
      started: this.#started,
      startedAt: this.#startedAt,
      membership: this.#membership.view(now),
      verdicts: this.#verdicts,
      beat: this.#beatState,
      heardAt: this.#heardAt,
      beatPid: this.#beat?.pid,
      groups: this.#failover.view(),
      resources: this.#resources.reports(),
      rscStatus: this.#failover.rscStatus(),
      disks: this.#disks.reports(),
      moves: this.#desk.moves(),
      warnings: [
        ...this.#warnings.values(),
        ...this.#disks.warnings(),
        ...(journal === null ? [] : [journal]),
        ...this.#recentNotices(now),
      ],
      counters: { ...this.#beatState?.counters, journalDropped: this.#journal.state.dropped },
      keys: this.#keys,
    });
  }

  /** A notice tells of a moment: it goes after a while, and the journal keeps it. */
  #recentNotices(now: Instant): readonly CodedText[] {
    for (const [key, { at }] of this.#notices) {
      if (now - at > NOTICE_SHOWN_MS) this.#notices.delete(key);
    }
    return [...this.#notices.values()].map(({ code, text, at }) => {
      const minutes = Math.floor((now - at) / 60_000);
      return { code, text: minutes === 0 ? text : `${text} (${minutes} min ago)` };
    });
  }

  async #open(): Promise<void> {
    const { config, host, version, parameters } = this.#setup;
    this.#server = await ControlServer.open({
      software: `baton/${version}`,
      runDirectory: config.runDirectory,
      journalDirectory: config.journalDirectory,
      host,
      parameters,
      status: () => this.status(),
      command: (command, progress) => this.#command(command, progress),
    });
    this.#note("agent", "started", "BTN-AGENT-STARTED", null, { version, pid: process.pid });
    this.#sweep();
    this.#loop.start();
    await this.#openBeat();
  }

  /** Addresses that a crash left behind go before anybody is told that this host is back. */
  #sweep(): void {
    const swept = this.#resources.sweep((group) => this.#durable?.groups[group]?.heldHere === true);
    for (const { group, address } of swept) {
      this.#note("agent", "swept", "BTN-ADDRESS-LEFT-OVER", group, { address });
      this.#setup.say(`[BTN-ADDRESS-LEFT-OVER] ${group}: ${address} was left over from before`);
    }
  }

  /**
   * An agent that finds groups running stays also without a beat process: only it can let them go before
   * the peer, which hears nothing, takes them. One that has nothing to lose says why and ends.
   */
  async #openBeat(): Promise<void> {
    try {
      await this.#connectBeat();
    } catch (error) {
      const holds = Object.values(this.#durable?.groups ?? {}).some((group) => group.heldHere);
      if (!holds) throw error;
      this.#beatMissing(error);
    }
  }

  #beatMissing(error: unknown): void {
    const detail = describeFault(error);
    this.#setup.say(`[BTN-AGENT-BEAT-LOST] ${detail}`);
    this.#note("beat", "lost", "BTN-AGENT-BEAT-LOST", null, { detail });
    this.#enter(() => this.#loop.beatLost());
    this.#beatTimer = setTimeout(() => {
      this.#connectBeat().catch((again: unknown) => {
        if (!this.#closed && !this.#stopping) this.#beatMissing(again);
      });
    }, BEAT_AGAIN_MS);
  }

  async #connectBeat(): Promise<void> {
    const { config, host, version, beatCommand } = this.#setup;
    const options = {
      settings: beatSettings(config, host, version),
      command: beatCommand,
      logFile: join(config.journalDirectory, "beat.log"),
      onState: (state: BeatState) => this.#beatSaysAll(state),
      onEvent: (event: BeatEvent) => this.#beatSays(event),
      onLost: (detail: string) => {
        this.#note("beat", "lost", "BTN-AGENT-BEAT-LOST", null, { detail });
        this.#beatState = undefined;
        this.#enter(() => this.#loop.beatLost());
        this.#statusChanged();
      },
    };
    // Known before it connects: the cores answer to its first state with requests.
    this.#beat = new BeatClient(options);
    await this.#beat.open();
    if (!this.#beat.settingsMatch) {
      this.#note("beat", "replaced", "BTN-AGENT-BEAT-REPLACED", null, {});
      await this.#beat.end();
      this.#beat = new BeatClient(options);
      await this.#beat.open();
    }
  }

  #beatSaysAll(state: BeatState): void {
    this.#beatState = state;
    this.#enter(() => this.#loop.beatState(state));
    this.#statusChanged();
  }

  #beatSays(event: BeatEvent): void {
    if (event.kind === "status" || event.kind === "linkHeard") {
      const { at, host, link } = event;
      this.#heardAt.set(`${host} ${link}`, at);
      const generation = event.kind === "status" ? event.generation : 0;
      const sequence = event.kind === "status" ? Number.parseInt(event.fields["seq"] ?? "", 16) : 0;
      this.#journal.recordBeat({ at, host, link, generation, sequence: sequence || 0 });
    }
    if (event.kind === "pingReply") this.#heardAt.set(`ping ${event.ping}`, event.at);
    this.#enter(() => this.#loop.beatEvent(event));
    if (event.kind === "message") this.#disks.message(event.host, event.fields);
  }

  #command(command: Command, progress: (value: CommandProgress) => void): Promise<CommandResult> {
    return this.#desk.run(command, progress, (id) =>
      this.#enter(() => this.#loop.failoverEvent({ kind: "command", id, command })),
    );
  }

  /**
   * A core that threw is half changed and must not go on, whoever catches the error on its way up: a
   * socket would answer with it, a reconnection would be tried again.
   */
  #enter(work: () => void): void {
    try {
      work();
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
      throw error;
    }
  }

  #world(): HostWorld {
    return {
      clock: this.#clock,
      beat: (request) => {
        // While it can not be reached its level state will tell; `onLost` has the trouble.
        this.#beat?.request(request).catch(() => undefined);
      },
      persist: (record, done) => {
        // It is tried until it succeeds; what fails for good has its effects wait for ever, as it must.
        this.#record.save(record).then(done, (error: unknown) => this.#stateTrouble(error));
      },
      perform: (effect) => this.#perform(effect),
      record: (entry) => this.#journalLoop(entry),
    };
  }

  #perform(effect: WorldEffect): void {
    switch (effect.kind) {
      case "probe":
        this.#resources.probe(effect.group);
        return;
      case "compare":
        void this.#resources.compare(effect.group);
        return;
      case "acquire":
        this.#disks.ordered(effect.group, effect.reason);
        this.#resources.acquire(effect.group, effect.operation, effect.epoch);
        return;
      case "release":
        this.#resources.release(effect.group, effect.operation, effect.urgent);
        return;
      case "adopt":
        this.#resources.adopt(effect.group, effect.epoch);
        return;
      case "rejoin":
        this.#beat?.request({ kind: "rejoin" }).catch(() => undefined);
        return;
      case "decision":
        this.#setup.say(
          `[${effect.reason}] ${effect.group ?? this.#setup.host}: ${effect.detail}`.trimEnd(),
        );
        return;
      case "progress":
        this.#desk.progress(effect.command, effect.line, null);
        return;
      case "commandDone":
        this.#desk.done(effect);
        return;
      case "readyToStop":
        void this.#finish();
        return;
      case "send":
      case "askArbiter":
        return; // `send` is the loop's own; kind `none` is answered inside the core.
      default:
        unreachable(effect);
    }
  }

  /** Journal, status and incidents: everything passes here once. */
  #journalLoop(entry: LoopRecord): void {
    const { value } = entry;
    const line = this.#repeats.isRepeat(entry) ? undefined : entryOf(entry.kind, entry.room, value);
    if (line !== undefined) this.#journal.record(line);
    if (entry.kind === "effect" && value.kind === "verdict") {
      this.#verdicts.set(value.host, { reason: value.reason });
      // After failover has heard it, in the same turn: exclusion follows the verdict, never the other way.
      setImmediate(() => this.#disks.verdict(value.host, value.verdict));
      if (value.verdict !== "alive") this.#journal.dumpBeats();
      // What only the network can tell is asked now, so that a takeover does not wait for it (DESIGN 7.12).
      if (value.verdict === "late") this.#resources.prepareTakeover();
    }
    if (entry.kind === "effect" || value.kind === "operationDone") this.#statusChanged();
  }

  #runnerSaid(group: GroupSpec, effect: RunnerEffect): void {
    if (effect.kind === "note" || effect.kind === "resetHost") {
      const { reason, resource, detail } = effect;
      this.#note("resources", effect.kind, reason, group.name, { resource, detail });
    }
    if (effect.kind !== "phase") return;
    const { resource, action, result, durationMs, detail } = effect;
    const kind = group.resources.find((spec) => spec.name === resource)?.kind ?? "unknown";
    const name = phaseNames[action];
    // What was said of an earlier run of it is over.
    if (action === "start" && result === "begun") this.#notices.delete(`${group.name} ${resource}`);
    if (result !== "begun" && name !== undefined) {
      this.#journal.record({
        kind: "result",
        room: "resources",
        name,
        group: group.name,
        reason: null,
        data: { resource, kind, tookMs: durationMs, ok: result === "ok", detail },
      });
      const took = `${action} ${result} in ${Math.round(durationMs)} ms`;
      this.#desk.tellAll(`${group.name}: ${resource} ${took}`, null);
    }
    this.#statusChanged();
  }

  #note(
    room: "agent" | "beat" | "resources" | "disk",
    name: string,
    reason: string,
    group: string | null,
    data: unknown,
  ): void {
    this.#journal.record({ kind: "note", room, name, reason, group, data });
  }

  #stateTrouble(error: unknown): void {
    const code = error === null ? "BTN-STATE-WRITABLE" : "BTN-STATE-UNWRITABLE";
    const text = error === null ? "the record can be written again" : describeFault(error);
    this.#setup.say(`[${code}] ${text}`);
    this.#note("agent", "state", code, null, { text });
    if (error === null) this.#warnings.delete("state");
    else this.#warnings.set("state", { code, text });
    this.#statusChanged();
  }

  #statusChanged(): void {
    this.#revision++;
    const views = this.#failover.view();
    this.#resources.noteHolders(views);
    this.#disks.epochs(views);
    if (this.#statusTimer !== undefined) return;
    this.#statusTimer = setTimeout(() => {
      this.#statusTimer = undefined;
      this.#server?.statusChanged();
    }, STATUS_EVERY_MS);
  }

  #openDisks(record: FencingRecord | undefined): DiskDesk {
    const { config, host, openDisk } = this.#setup;
    return new DiskDesk({
      config,
      host,
      clock: this.#clock,
      record,
      persist: (next, done) => {
        this.#exclusions.save(next).then(done, (error: unknown) => this.#stateTrouble(error));
      },
      open: openDisk,
      feed: (event) => this.#enter(() => this.#loop.failoverEvent(event)),
      send: (fields) => void this.#beat?.request({ kind: "send", fields }).catch(() => undefined),
      note: (disk, name, reason, data) => this.#note("disk", name, reason, disk, data),
      changed: () => this.#statusChanged(),
    });
  }

  /** Everything is released and said: the beat process ends after it, then the sockets. */
  async #finish(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#note("agent", "stopped", "BTN-AGENT-STOPPED", null, {});
    try {
      await this.#beat?.end();
    } catch (error) {
      this.#setup.say(`the beat process did not end by itself: ${(error as Error).message}`);
    }
    await this.#close();
    this.#ended.resolve("stopped");
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#statusTimer);
    clearTimeout(this.#beatTimer);
    this.#loop.dispose();
    this.#resources.dispose();
    this.#disks.dispose();
    await this.#server?.close();
    await this.#journal.close();
    await this.#record.close();
    await this.#exclusions.close();
    this.#lock.release();
  }
}

/** One agent for one state directory. @throws {BatonError} BTN-AGENT-ALREADY-RUNNING */
function lockState(directory: string): FileLock {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "agent.pid");
  const lock = takeLock(path);
  if (lock !== undefined) return lock;
  throw new BatonError({
    code: "BTN-AGENT-ALREADY-RUNNING",
    message: `Cannot start a second agent: ${path} is locked by process ${readFileSync(path, "utf8").trim()}`,
    consequence: "Nothing changed; the running agent goes on",
    fix: "Use the running one, or stop it first: `baton stop` hands over, HUP restarts it in place",
  });
}

function describeFault(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the timeline calls the end of an action; probes and monitors have no line. */
const phaseNames: Readonly<Record<string, string>> = {
  start: "resourceStarted",
  stop: "resourceStopped",
  activate: "resourceOpened",
  deactivate: "resourceClosed",
};

/** Name of this boot: instants of another boot mean nothing. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return `unknown-${hostname()}`; // No /proc: the journal still tells hosts apart.
  }
}

/** Fingerprints for status: never the key (reliability 9.2). */
async function readKeys(config: ClusterConfig): Promise<readonly KeyReport[]> {
  const reports: KeyReport[] = [];
  for (const { index, method, secret } of config.auth.keys) {
    let fingerprint = "none";
    if (secret !== undefined) {
      const loaded = await loadSecret(secret);
      if (!loaded.ok) throw loaded.error;
      const hash = createHash("sha256").update("baton key fingerprint\0").update(loaded.value);
      fingerprint = hash.digest("hex").slice(0, 8);
    }
    reports.push({ index, method, fingerprint, sends: index === config.auth.sendIndex });
  }
  return reports;
}

/** R21: what must be the same on both hosts, keys included by fingerprint. */
function digestOf(config: ClusterConfig, keys: readonly KeyReport[]): string {
  const fingerprints = keys.map((key) => `${key.index} ${key.method} ${key.fingerprint}`);
  return createHash("sha256")
    .update(configurationDigestInput(config))
    .update(JSON.stringify(fingerprints))
    .digest("hex");
}

/** The name under which this machine is in the configuration. @throws {BatonError} BTN-AGENT-NOT-A-HOST */
export function ownHost(config: ClusterConfig, name: string): string {
  const wanted = name.toLowerCase();
  const found = config.hosts.find((host) => host.name === wanted && host.roles.includes("data"));
  if (found !== undefined) return found.name;
  const hosts = config.hosts.map((host) => host.name).join(", ");
  throw new BatonError({
    code: "BTN-AGENT-NOT-A-HOST",
    message: `Cannot run as ${wanted}: the data hosts are ${hosts}`,
    consequence: "Peers would refuse whatever this host says",
    fix: "Correct the machine's name or the list of hosts, on every host alike; `--name` says it for one run",
  });
}
