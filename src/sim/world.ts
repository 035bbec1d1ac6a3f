/** One simulated run: two hosts on two links, a schedule of faults, checkers after every step. */
import { AssertionFailure, instant, Prng, unreachable } from "../base/index.ts";
import { type Command, Failover, type FailoverEffect } from "../failover/index.ts";
import {
  type BeatEvent,
  type Hmac,
  type Keyring,
  Membership,
  type MembershipEffect,
  type TransportOptions,
} from "../membership/index.ts";
import {
  allCheckers,
  type CheckedWorld,
  type Checker,
  unsettled,
  type Violation,
} from "./checkers.ts";
import { Circumstances } from "./circumstances.ts";
import { SharedClaims } from "./disk.ts";
import { EventQueue } from "./event-queue.ts";
import { SimHost } from "./host.ts";
import { fairWeather, Network, type SentDatagram } from "./network.ts";
import type { Fault, Schedule } from "./schedule.ts";
import { Truth } from "./truth.ts";

/** Times of the default profile (DESIGN 7.12), in milliseconds. */
const timing = {
  keepaliveMs: 200,
  warntimeMs: 600,
  deadtimeMs: 1_200,
  initdeadMs: 10_000,
  deadpingMs: 1_200,
  agentGraceMs: 3_000,
};

/** Whole for so long after the storm, a pair has settled: the rest of the time would show nothing new. */
const SETTLED_MS = 8_000;
const LOOK_MS = 500;
/** A person looks after the storm so much later and clears what failed. */
const PERSON_MS = 25_000;

/** More events than this in one run: something feeds itself. */
const EVENTS_MAX = 2_000_000;

export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly simulatedMs: number;
  /** From the end of the storm until all was whole; undefined if it never was. */
  readonly settledMs: number | undefined;
  readonly violations: readonly Violation[];
  readonly counts: ReadonlyMap<string, number>;
  /** The last occurrences before the first violation, or before the end. */
  readonly story: readonly string[];
}

/** Runs a schedule to its end or to the first violation. The same schedule gives the same hash. */
export function runSchedule(schedule: Schedule, storyLines = 60): RunResult {
  return new World(schedule).run(storyLines);
}

class World implements CheckedWorld {
  readonly schedule: Schedule;
  readonly truth = new Truth();
  readonly hosts: readonly SimHost[];
  readonly network: Network;
  readonly timing = timing;
  readonly claims = new SharedClaims();
  readonly circumstances: Circumstances;
  readonly #events = new EventQueue();
  readonly #random: Prng;
  readonly #checkers: readonly Checker[] = allCheckers();
  readonly #violations: Violation[] = [];
  readonly #firstSent = new Map<string, number>();
  readonly #verbs = new Map<string, Command["verb"]>();
  #wholeSince: number | undefined;
  #settled = false;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
    this.#random = new Prng(schedule.seed).fork("world");
    this.network = new Network(this.#events, this.#random.fork("network"), schedule.links);
    this.hosts = schedule.hosts.map((name) => this.#makeHost(name));
    const { hosts, network } = this;
    this.circumstances = new Circumstances({ hosts, network, deadtimeMs: timing.deadtimeMs });
  }

  get nowMs(): number {
    return this.#events.now;
  }

  run(storyLines: number): RunResult {
    for (const host of this.hosts) {
      this.#events.schedule(this.#random.between(0, 3_000), () => host.boot());
    }
    for (const step of this.schedule.steps) {
      this.#events.schedule(step.atMs, () => this.#apply(step.fault));
    }
    this.#events.schedule(this.schedule.calmAtMs, () => this.#calm());
    let events = 0;
    try {
      while (this.#events.advance(this.schedule.endMs)) {
        events++;
        this.#watch();
        if (this.#violations.length > 0 || this.#settled || events >= EVENTS_MAX) break;
      }
      if (events >= EVENTS_MAX) this.#violate("S13 bounded", `${EVENTS_MAX} events in one run`);
      if (this.#violations.length === 0) this.#judgeEnd();
    } catch (error) {
      if (!(error instanceof AssertionFailure)) throw error;
      this.#violate("assertions of the cores", error.message);
    }
    this.truth.count("healed splits", this.circumstances.healedSplits);
    return {
      seed: this.schedule.seed,
      hash: this.truth.hash,
      events,
      simulatedMs: this.nowMs,
      settledMs:
        this.#wholeSince === undefined ? undefined : this.#wholeSince - this.schedule.calmAtMs,
      violations: this.#violations,
      counts: this.truth.counts,
      story: this.truth.story(storyLines),
    };
  }

  #makeHost(name: string): SimHost {
    const peer = this.schedule.hosts.find((other) => other !== name) ?? "";
    const pings = this.schedule.pings ? ["192.168.0.1"] : [];
    return new SimHost({
      name,
      peer,
      pings,
      timing,
      events: this.#events,
      random: this.#random.fork(name),
      network: this.network,
      truth: this.truth,
      claims: this.claims,
      groups: this.schedule.groups.map((group) => ({
        name: group,
        claimed: group === "database",
        resources: group === "database" ? 4 : 1,
      })),
      transmit: (host, bytes) => this.#transmit(host, peer, bytes),
      transportOptions: (seed) => this.#transportOptions(name, peer, pings, seed),
      makeMembership: (now) =>
        new Membership(
          { host: name, peers: [peer], links: this.schedule.links, pings, ...timing },
          instant(now),
        ),
      makeFailover: (record, now) =>
        new Failover(
          {
            self: name,
            hosts: this.schedule.hosts,
            groups: this.schedule.groups.map((group, index) => ({
              name: group,
              prefers: this.schedule.hosts[index % 2] ?? name,
              classicKey: undefined,
              hasProof: group === "database" ? "claim" : "none",
            })),
            autoFailback: this.schedule.autoFailback,
            ipfail: this.schedule.pings,
            pings,
            timing,
            splitBrainPolicy: "classic",
            configurationDigest: "5eed",
            arbiter: { kind: "none" },
            session: `${name}-${now}`,
          },
          record,
          instant(now),
        ),
      observe: (host, effect) => this.#saw(host, effect),
      decided: (host, operation) =>
        this.#ask((checker) => checker.decided?.(this, host, operation)),
      began: (host, operation) => this.#ask((checker) => checker.began?.(this, host, operation)),
      told: (host, event) => this.#told(host, event),
    });
  }

  #transportOptions(
    host: string,
    peer: string,
    pings: readonly string[],
    seed: number,
  ): TransportOptions {
    return {
      host,
      uuid: (host === this.schedule.hosts[0] ? "a1" : "b2").repeat(16),
      peers: [peer],
      links: this.schedule.links,
      pings: pings.map((name) => ({ name, group: false })),
      ...timing,
      hopfudge: 1,
      messageFormat: "netstring",
      softwareVersion: "sim",
      seed,
      keyring,
      hmac: cheapHmac,
    };
  }

  #transmit(from: SimHost, peer: string, bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.truth.count("sent");
    this.truth.mix(this.nowMs + bytes.length);
    this.#ask((checker) => checker.sent?.(this, from, buffer));
    const statusSentAt = this.#statusSentAt(buffer);
    const to = this.hosts.find((host) => host.name === peer);
    const datagram: SentDatagram = { from: from.name, bytes };
    this.network.send(datagram, peer, (link, at) => {
      this.#events.schedule(at, () => this.#arrive(datagram, to, link, statusSentAt));
    });
  }

  #arrive(
    datagram: SentDatagram,
    to: SimHost | undefined,
    link: string,
    statusSentAt: number | undefined,
  ): void {
    if (to === undefined || !to.powered || !to.beat.alive) return;
    datagram.arrived = true;
    if (statusSentAt !== undefined) {
      for (const checker of this.#checkers)
        checker.heard?.(this, datagram.from, to.name, statusSentAt);
    }
    to.receive(link, this.nowMs, datagram.bytes);
  }

  /** When a status was first sent; undefined for other messages. A retransmission is no sign of life. */
  #statusSentAt(bytes: Buffer): number | undefined {
    if (!bytes.includes("t=status,")) return undefined;
    const digest = bytes.toString("latin1", bytes.length - 40);
    const first = this.#firstSent.get(digest);
    if (first !== undefined) return first;
    this.#firstSent.set(digest, this.nowMs);
    return this.nowMs;
  }

  #apply(fault: Fault): void {
    if (this.nowMs >= this.schedule.calmAtMs && fault.kind !== "boot") return;
    const name = "host" in fault ? fault.host : "world";
    this.truth.tell(this.nowMs, name, `fault ${JSON.stringify(fault)}`, `fault ${fault.kind}`);
    const host = this.hosts.find((candidate) => candidate.name === name);
    switch (fault.kind) {
      case "cut":
        this.network.cut(fault.host, fault.link, fault.direction);
        return;
      case "heal":
        this.network.heal(fault.host, fault.link, fault.direction);
        return;
      case "weather":
        this.network.weather = fault.weather;
        return;
      case "pingNode":
        this.network.pingAnswers = fault.answers;
        return;
      case "replay":
        this.#replay(fault.from, fault.count);
        return;
      default:
        if (host !== undefined) this.#applyToHost(fault, host);
    }
  }

  #applyToHost(
    fault: Exclude<Fault, { kind: "cut" | "heal" | "weather" | "pingNode" | "replay" }>,
    host: SimHost,
  ): void {
    switch (fault.kind) {
      case "crash":
        host.crash();
        return;
      case "crashAtPersist":
        host.crashAtPersist(fault.nth, fault.when, fault.process);
        return;
      case "boot":
        host.boot();
        return;
      case "pauseHost":
        host.beat.pause(fault.ms);
        host.agent.pause(fault.ms);
        return;
      case "pauseAgent":
        host.agent.pause(fault.ms);
        return;
      case "pauseBeat":
        host.beat.pause(fault.ms);
        return;
      case "stopHost":
        this.#command(host, { verb: "stop" });
        this.#events.schedule(this.nowMs + fault.ms, () => host.restartService());
        return;
      case "killAgent":
        host.killAgent();
        this.#events.schedule(this.nowMs + fault.ms, () => host.startAgent());
        return;
      case "killBeat":
        host.killBeat();
        this.#events.schedule(this.nowMs + fault.ms, () => host.startBeat());
        return;
      case "breakStart":
      case "mendStart": {
        const runner = host.runners.get(fault.group);
        if (runner !== undefined) runner.startBroken = fault.kind === "breakStart";
        return;
      }
      case "breakResource":
        if (host.agent.alive) host.runners.get(fault.group)?.breakResource();
        return;
      case "command":
        this.#command(host, fault.command);
        return;
      default:
        unreachable(fault);
    }
  }

  #command(host: SimHost, command: Command): void {
    const id = `c${this.#verbs.size + 1}`;
    this.#verbs.set(id, command.verb);
    host.feed({ kind: "command", id, command });
  }

  /** Everything recorded of a host is sent again to the other, on every link. */
  #replay(from: string, count: number): void {
    const to = this.hosts.find((host) => host.name !== from);
    for (const datagram of this.network.recorded(from).slice(0, count)) {
      for (const link of this.schedule.links) {
        to?.receive(link, this.nowMs + 0.1, datagram.bytes);
      }
    }
  }

  /** The storm is over: every cable is whole, every host up, nothing is broken. */
  #calm(): void {
    this.truth.tell(this.nowMs, "world", "all is healed");
    this.network.healAll();
    this.network.weather = fairWeather;
    this.network.pingAnswers = true;
    for (const host of this.hosts) {
      host.forgetCrash();
      for (const runner of host.runners.values()) runner.startBroken = false;
      host.boot();
      host.restartService();
    }
    this.#events.schedule(this.nowMs + PERSON_MS, () => {
      for (const host of this.hosts) this.#command(host, { verb: "clear", group: null });
    });
    this.#look();
  }

  /** Ends the run once all is whole for long enough. */
  #look(): void {
    if (unsettled(this) !== undefined) this.#wholeSince = undefined;
    else this.#wholeSince ??= this.nowMs;
    this.#settled = this.#wholeSince !== undefined && this.nowMs - this.#wholeSince >= SETTLED_MS;
    this.#events.schedule(this.nowMs + LOOK_MS, () => this.#look());
  }

  #watch(): void {
    this.circumstances.note(this.nowMs);
    this.#ask((checker) => checker.after?.(this));
  }

  /** Puts a question to each checker; an answer is a violation. */
  #ask(question: (checker: Checker) => string | undefined): void {
    for (const checker of this.#checkers) {
      const message = question(checker);
      if (message !== undefined) this.#violate(checker.name, message);
    }
  }

  #told(host: SimHost, event: BeatEvent): void {
    if (event.kind === "refused") this.truth.count(`refused ${event.reason}`);
    this.#ask((checker) => checker.told?.(this, host, event));
  }

  #saw(host: SimHost, effect: MembershipEffect | FailoverEffect): void {
    const story = storyOf(effect);
    if (story !== undefined) this.truth.tell(this.nowMs, host.name, story.what, story.count);
    if (effect.kind === "acquire" && effect.reason === "BTN-FAILOVER-TAKEOVER-DEAD") {
      this.truth.count("failovers");
    }
    if (effect.kind === "commandDone") {
      const verb = this.#verbs.get(effect.command) ?? "lost";
      this.truth.count(`${verb} ${effect.outcome}`);
    }
    this.#ask((checker) => checker.saw?.(this, host, effect));
  }

  #judgeEnd(): void {
    this.#ask((checker) => checker.end?.(this));
  }

  #violate(checker: string, message: string): void {
    this.truth.tell(this.nowMs, "checker", `VIOLATION ${checker}: ${message}`);
    this.#violations.push({ checker, atMs: this.nowMs, message });
  }
}

/** How an effect is told in the story, and under which name it is counted. */
function storyOf(
  effect: MembershipEffect | FailoverEffect,
): { readonly what: string; readonly count: string } | undefined {
  switch (effect.kind) {
    case "verdict":
      return {
        what: `verdict ${effect.host} ${effect.verdict} [${effect.reason}]`,
        count: `verdict ${effect.verdict}`,
      };
    case "decision":
      return {
        what: `decision [${effect.reason}] ${effect.group ?? ""} ${effect.detail}`,
        count: `decision ${effect.reason}`,
      };
    case "acquire":
      return {
        what: `acquire ${effect.group} epoch ${effect.epoch} [${effect.reason}]`,
        count: "acquire",
      };
    case "release":
      return { what: `release ${effect.group} [${effect.reason}]`, count: "release" };
    case "commandDone":
      return {
        what: `command ${effect.command} ${effect.outcome} [${effect.reason}] ${effect.detail}`,
        count: `command ${effect.outcome}`,
      };
    case "stalled":
      return { what: `was not run for ${effect.gapMs.toFixed(0)} ms`, count: "stalls" };
    default:
      return undefined;
  }
}

const keyring: Keyring = {
  mode: "sha256",
  keys: [{ index: 1, method: "sha256", secret: "simulated" }],
  sendIndex: 1,
  clusterId: "simulated",
};

/** Not a digest for the world: enough for the simulator, where nobody forges. */
const cheapHmac: Hmac = (_method, key, bytes) => {
  const digest = new Uint8Array(32);
  let [one, other] = [0x811c_9dc5 ^ key.length, 0x9e37_79b9];
  for (let index = 0; index < bytes.length; index++) {
    one = Math.imul(one ^ (bytes[index] ?? 0), 0x0100_0193);
    other = Math.imul(other + one, 0x85eb_ca6b) ^ (other >>> 13);
  }
  const view = new DataView(digest.buffer);
  for (let word = 0; word < 8; word++) view.setUint32(word * 4, Math.imul(one + word, other | 1));
  return digest;
};
