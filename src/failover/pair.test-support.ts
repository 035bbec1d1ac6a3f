/**
 * Two hosts with their failover cores on a virtual clock: a pipe that loses, delays and reorders, a
 * small stand-in for membership (beats, verdicts), runners that start and stop groups in virtual time,
 * and the truth about what runs where. For tests of this room only; `src/sim` has the real cores.
 */
import { assert, type Instant, instant, Prng } from "../base/index.ts";
import type { Verdict } from "../membership/index.ts";
import type {
  Command,
  FailoverEffect,
  FailoverEvent,
  FailoverRecord,
  MessageFields,
  OperationOutcome,
} from "./contract.ts";
import { Failover } from "./failover.ts";
import type { FailoverGroup, FailoverOptions } from "./state.ts";

export const group = (name: string, prefers: string): FailoverGroup => ({
  name,
  prefers,
  classicKey: undefined,
  hasProof: "none",
});

export const timing = { keepaliveMs: 200, warntimeMs: 600, deadtimeMs: 1_200, initdeadMs: 3_000 };

export interface PairOptions {
  readonly seed?: number;
  readonly groups?: readonly FailoverGroup[];
  readonly options?: Partial<FailoverOptions>;
  /** Overrides for one host. */
  readonly perHost?: Readonly<Record<string, Partial<FailoverOptions>>>;
  /** Share of messages lost, 0 .. 1. */
  readonly loss?: number;
  readonly delayMaxMs?: number;
  /** How long a start or stop takes. */
  readonly workMaxMs?: number;
}

type Truth = "stopped" | "running" | "partial";

class Host {
  readonly name: string;
  core: Failover | undefined;
  session = 0;
  generation = 0;
  record: FailoverRecord | undefined;
  bootedAt = 0;
  pausedUntil = 0;
  inbox: FailoverEvent[] = [];
  readonly truth = new Map<string, Truth>();
  /** Newest operation per group; older ones have no effect any more. */
  readonly operations = new Map<string, number>();
  heardAt = -1;
  heardGeneration = 0;
  verdict: Verdict | "unheard" = "unheard";
  saidHeard = true;
  communicationUp = false;
  wakeAt = Infinity;
  ended = false;
  constructor(name: string) {
    this.name = name;
  }
}

export class Pair {
  now = 0;
  readonly log: string[] = [];
  readonly hosts: readonly [Host, Host] = [new Host("a"), new Host("b")];
  readonly groups: readonly FailoverGroup[];
  readonly random: Prng;
  /** Directions that are cut, such as "a>b". */
  readonly cut = new Set<string>();
  /** Ping nodes that do not answer, per host. */
  readonly deafTo = new Map<string, Set<string>>();
  /** Outcome of the next starts or stops of "host group acquire|release"; counts down. */
  readonly failures = new Map<string, number>();
  /** Groups that ran on both hosts at once: "at ms: group". */
  readonly doubles: string[] = [];
  /** Crash this host before the n-th durable write from now (then: after it, before what follows). */
  crashAt: { host: string; in: number; after: boolean } | undefined;
  /** A host that was up was taken for dead: only then two holders can be. */
  falseDeaths = 0;
  readonly done: { command: string; outcome: string; reason: string; detail: string }[] = [];
  #loss: number;
  readonly #delayMaxMs: number;
  readonly #workMaxMs: number;
  readonly #setup: PairOptions;
  #queue: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;

  constructor(setup: PairOptions = {}) {
    this.#setup = setup;
    this.groups = setup.groups ?? [group("g", "a")];
    this.random = new Prng(setup.seed ?? 1);
    this.#loss = setup.loss ?? 0;
    this.#delayMaxMs = setup.delayMaxMs ?? 5;
    this.#workMaxMs = setup.workMaxMs ?? 100;
  }

  host(name: string): Host {
    const host = this.hosts.find((one) => one.name === name);
    assert(host !== undefined, `No host ${name}`);
    return host;
  }

  #peerOf(host: Host): Host {
    return host === this.hosts[0] ? this.hosts[1] : this.hosts[0];
  }

  set loss(share: number) {
    this.#loss = share;
  }

  optionsOf(name: string): FailoverOptions {
    return {
      self: name,
      hosts: ["a", "b"],
      groups: this.groups,
      autoFailback: "off",
      ipfail: false,
      pings: [],
      timing,
      splitBrainPolicy: "classic",
      configurationDigest: "d1",
      arbiter: { kind: "none" },
      session: `${name}${this.host(name).session}`,
      ...this.#setup.options,
      ...this.#setup.perHost?.[name],
    };
  }

  // What tests do

  boot(name: string): this {
    const host = this.host(name);
    assert(host.core === undefined, `${name} is up`);
    host.generation += 1;
    host.bootedAt = this.now;
    host.heardAt = -1;
    host.heardGeneration = 0;
    host.verdict = "unheard";
    host.communicationUp = false;
    host.ended = false;
    host.saidHeard = true;
    this.#startAgent(host);
    this.#beatLoop(host, host.generation);
    return this;
  }

  /** Power loss: nothing runs there any more. */
  crash(name: string): this {
    const host = this.host(name);
    this.log.push(`${this.now} ${name} crash`);
    this.#endAgent(host);
    host.truth.clear();
    host.operations.clear();
    return this;
  }

  /** The agent alone restarts; resources and beats go on. */
  restartAgent(name: string): this {
    const host = this.host(name);
    this.#endAgent(host);
    this.#startAgent(host);
    return this;
  }

  pause(name: string, ms: number): this {
    const host = this.host(name);
    const from = this.now;
    host.pausedUntil = this.now + ms;
    this.#at(ms, () => this.#resume(host, this.now - from));
    return this;
  }

  command(name: string, id: string, command: Command): this {
    this.#feed(this.host(name), { kind: "command", id, command });
    return this;
  }

  feed(name: string, event: FailoverEvent): this {
    this.#feed(this.host(name), event);
    return this;
  }

  ping(name: string, ping: string, up: boolean): this {
    return this.feed(name, { kind: "ping", ping, up });
  }

  /** Runs for `ms` of virtual time. */
  run(ms: number): this {
    const until = this.now + ms;
    for (;;) {
      const next = this.#queue[0];
      if (next === undefined || next.at > until) break;
      this.#queue.shift();
      this.now = Math.max(this.now, next.at);
      next.run();
      this.#watch();
    }
    this.now = until;
    return this;
  }

  /** Hosts on which the group runs now. */
  runsOn(name: string): string {
    return this.hosts
      .filter((host) => host.truth.get(name) === "running")
      .map((host) => host.name)
      .join("+");
  }

  view(name: string, groupName = "g") {
    return this.host(name)
      .core?.view()
      .find((one) => one.group === groupName);
  }

  // The machinery

  #watch(): void {
    for (const { name } of this.groups) {
      const both = this.hosts.every((host) => (host.truth.get(name) ?? "stopped") !== "stopped");
      if (both) this.doubles.push(`${this.now}: ${name}`);
    }
  }

  #at(ms: number, run: () => void): void {
    const entry = { at: this.now + ms, order: this.#order++, run };
    const index = this.#queue.findIndex((one) => one.at > entry.at);
    if (index < 0) this.#queue.push(entry);
    else this.#queue.splice(index, 0, entry);
  }

  #startAgent(host: Host): void {
    host.session += 1;
    host.core = new Failover(this.optionsOf(host.name), host.record, instant(this.now));
    const again = host.heardAt >= 0 && host.generation > 0 && host.communicationUp;
    this.#feed(host, { kind: "tick" });
    if (again) {
      // Membership restores what it knew from the beat process.
      const peer = this.#peerOf(host).name;
      this.#feed(host, this.#seen(host, false, false));
      if (host.verdict !== "unheard") {
        this.#feed(host, {
          kind: "verdict",
          host: peer,
          verdict: host.verdict,
          reason: "restored",
        });
      }
      this.#feed(host, { kind: "communicationUp" });
    }
  }

  #endAgent(host: Host): void {
    host.core = undefined;
    host.inbox = [];
    host.wakeAt = Infinity;
    // Work under way ends in the middle.
    for (const [name, operation] of host.operations) {
      if (operation < 0) continue;
      host.operations.set(name, -1);
    }
  }

  #seen(host: Host, restarted: boolean, returned: boolean): FailoverEvent {
    return {
      kind: "peerSeen",
      host: this.#peerOf(host).name,
      peer: "baton",
      generation: host.heardGeneration,
      restarted,
      returned,
    };
  }

  #paused(host: Host): boolean {
    return this.now < host.pausedUntil;
  }

  #resume(host: Host, gapMs: number): void {
    if (host.core === undefined || this.#paused(host)) return;
    const peer = this.#peerOf(host).name;
    host.pausedUntil = 0;
    if (gapMs > timing.keepaliveMs) {
      host.verdict = "unsure";
      host.heardAt = this.now;
      this.#feed(host, { kind: "verdict", host: peer, verdict: "unsure", reason: "stalled" });
      this.#feed(host, { kind: "stalled", gapMs });
    }
    for (const event of host.inbox.splice(0)) this.#feed(host, event);
    this.#feed(host, { kind: "tick" });
  }

  #feed(host: Host, event: FailoverEvent): void {
    if (host.core === undefined) return;
    if (this.#paused(host)) {
      host.inbox.push(event);
      return;
    }
    const { core } = host;
    const effects = core.step(instant(this.now), event);
    this.#perform(host, core, effects);
    const wakeAt = core.wakeAt();
    if (host.core !== core || wakeAt === undefined || wakeAt >= host.wakeAt) return;
    host.wakeAt = wakeAt;
    this.#at(Math.max(0, wakeAt - this.now), () => {
      if (host.core !== core || host.wakeAt > this.now) return;
      host.wakeAt = Infinity;
      this.#feed(host, { kind: "tick" });
    });
  }

  #perform(host: Host, core: Failover, effects: readonly FailoverEffect[]): void {
    for (const effect of effects) {
      if (host.core !== core) return;
      this.#performOne(host, core, effect);
    }
  }

  #performOne(host: Host, core: Failover, effect: FailoverEffect): void {
    const note = (text: string): void => void this.log.push(`${this.now} ${host.name} ${text}`);
    switch (effect.kind) {
      case "persist": {
        const crash = this.crashAt?.host === host.name ? this.crashAt : undefined;
        if (crash !== undefined) crash.in -= 1;
        const now = crash !== undefined && crash.in <= 0;
        if (now && !crash.after) {
          this.#crashNow(host);
          return;
        }
        host.record = effect.record;
        if (now) {
          this.#crashNow(host);
          return;
        }
        this.#perform(host, core, effect.then);
        return;
      }
      case "send":
        this.#send(host, effect.fields);
        return;
      case "acquire":
        note(`acquire ${effect.group} epoch ${effect.epoch} ${effect.reason}`);
        this.#work(host, core, effect);
        return;
      case "release":
        note(`release ${effect.group}${effect.urgent ? " urgent" : ""} ${effect.reason}`);
        this.#work(host, core, effect);
        return;
      case "probe": {
        const truth = host.truth.get(effect.group) ?? "stopped";
        this.#at(1, () => {
          const found = host.truth.get(effect.group) ?? truth;
          if (host.core === core) {
            this.#feed(host, { kind: "probed", group: effect.group, found, detail: "" });
          }
        });
        return;
      }
      case "decision":
        note(`decision ${effect.reason} ${effect.group ?? ""} ${effect.detail}`.trim());
        return;
      case "commandDone":
        note(`done ${effect.command} ${effect.outcome} ${effect.reason} ${effect.detail}`.trim());
        this.done.push(effect);
        return;
      case "readyToStop":
        note("readyToStop");
        host.ended = true;
        this.#endAgent(host);
        return;
      default:
        return;
    }
  }

  #crashNow(host: Host): void {
    this.crashAt = undefined;
    this.crash(host.name);
  }

  #work(
    host: Host,
    core: Failover,
    effect: Extract<FailoverEffect, { kind: "acquire" | "release" }>,
  ): void {
    const { group: name, operation, kind } = effect;
    // What ran is at once neither running nor stopped; an older operation has no say any more.
    host.operations.set(name, operation);
    const before = host.truth.get(name) ?? "stopped";
    const already = kind === "acquire" ? before === "running" : before === "stopped";
    if (!already) host.truth.set(name, "partial");
    this.#at(already ? 1 : this.random.between(1, this.#workMaxMs), () => {
      if (host.operations.get(name) !== operation || host.core !== core) return;
      const key = `${host.name} ${name} ${kind}`;
      const left = this.failures.get(key) ?? 0;
      if (left > 0) this.failures.set(key, left - 1);
      const failed = left > 0;
      let outcome: OperationOutcome = { result: "done" };
      if (failed) {
        outcome = {
          result: "failed",
          resource: "r1",
          reason: "BTN-TEST",
          detail: "planned",
          clean: kind === "acquire",
        };
      }
      host.truth.set(
        name,
        kind === "acquire" ? (failed ? "stopped" : "running") : failed ? "partial" : "stopped",
      );
      this.log.push(`${this.now} ${host.name} ${kind} ${name} ${outcome.result}`);
      this.#feed(host, { kind: "operationDone", operation, group: name, outcome });
    });
  }

  #send(host: Host, fields: MessageFields): void {
    const peer = this.#peerOf(host);
    if (this.#isLost(host, peer)) return;
    const { generation } = host;
    this.#at(this.random.between(0, this.#delayMaxMs), () => {
      if (peer.core === undefined) return;
      if (fields["t"] === "shutdone") {
        // Membership drops messages of an older generation.
        if (peer.heardGeneration === generation) this.#verdict(peer, "left");
        return;
      }
      this.#feed(peer, { kind: "message", host: host.name, fields });
    });
  }

  #isLost(host: Host, peer: Host): boolean {
    return this.cut.has(`${host.name}>${peer.name}`) || this.random.chance(this.#loss);
  }

  #beatLoop(host: Host, generation: number): void {
    if (host.generation !== generation || host.ended) return;
    if (host.core !== undefined && !this.#paused(host)) {
      this.#beat(host);
      this.#judge(host);
    }
    if (host.core === undefined && !host.ended) return;
    this.#at(timing.keepaliveMs, () => this.#beatLoop(host, generation));
  }

  #beat(host: Host): void {
    const peer = this.#peerOf(host);
    if (this.#isLost(host, peer)) return;
    const heardMs = host.heardAt < 0 ? Infinity : this.now - host.heardAt;
    const generation = host.generation;
    this.#at(this.random.between(0, this.#delayMaxMs), () => {
      if (peer.core !== undefined) this.#heard(peer, generation, heardMs);
    });
  }

  #heard(host: Host, generation: number, heardMs: number): void {
    if (this.#paused(host)) return;
    const fresh = host.heardGeneration !== generation;
    if (fresh && generation < host.heardGeneration) return;
    const known = host.heardGeneration > 0;
    const returned = !fresh && host.verdict === "dead";
    host.heardAt = this.now;
    host.heardGeneration = generation;
    if (fresh || returned) this.#feed(host, this.#seen(host, fresh && known, returned));
    if (!(host.verdict === "left" && !fresh)) this.#verdict(host, "alive");
    const heard = heardMs < timing.warntimeMs;
    if (heard !== host.saidHeard && (heard || host.communicationUp)) {
      host.saidHeard = heard;
      const sinceMs = Number.isFinite(heardMs) ? heardMs : timing.warntimeMs;
      const peer = this.#peerOf(host).name;
      this.#feed(host, { kind: "heardByPeer", host: peer, heard, sinceMs });
    }
    this.#communicate(host);
  }

  #communicate(host: Host): void {
    if (host.communicationUp || host.core === undefined) return;
    host.communicationUp = true;
    this.#feed(host, { kind: "communicationUp" });
  }

  #verdict(host: Host, verdict: Verdict): void {
    if (host.verdict === verdict) return;
    host.verdict = verdict;
    const peer = this.#peerOf(host).name;
    this.log.push(`${this.now} ${host.name} verdict ${verdict}`);
    if (verdict === "dead" && this.#peerOf(host).core !== undefined) this.falseDeaths += 1;
    this.#feed(host, { kind: "verdict", host: peer, verdict, reason: "test" });
  }

  #judge(host: Host): void {
    if (host.verdict === "left") return;
    const since = host.heardAt < 0 ? host.bootedAt : host.heardAt;
    const silentMs = this.now - since;
    if (host.heardAt < 0) {
      if (silentMs < timing.initdeadMs) return;
      this.#verdict(host, "dead");
      this.#communicate(host);
      return;
    }
    if (silentMs >= timing.deadtimeMs) this.#verdict(host, "dead");
    else if (silentMs >= timing.warntimeMs && host.verdict === "alive") this.#verdict(host, "late");
  }
}

/** The instant 0, for cores that are stepped by hand. */
export const start: Instant = instant(0);
