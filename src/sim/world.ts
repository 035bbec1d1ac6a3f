/** One simulated run: two hosts on two links, a schedule of faults, checkers after every step. */
import { AssertionFailure, instant, Prng, unreachable } from "../base/index.ts";
import { Failover, type FailoverEffect } from "../failover/index.ts";
import {
  type Hmac,
  type Keyring,
  Membership,
  type MembershipEffect,
  type TransportOptions,
} from "../membership/index.ts";
import { allCheckers, type CheckedWorld, type Checker, type Violation } from "./checkers.ts";
import { SharedClaims } from "./disk.ts";
import { EventQueue } from "./event-queue.ts";
import { SimHost } from "./host.ts";
import { fairWeather, Network } from "./network.ts";
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

/** More events than this in one run: something feeds itself. */
const EVENTS_MAX = 2_000_000;

export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly simulatedMs: number;
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
  readonly #events = new EventQueue();
  readonly #claims = new SharedClaims();
  readonly #random: Prng;
  readonly #checkers: readonly Checker[] = allCheckers();
  readonly #violations: Violation[] = [];
  readonly #firstSent = new Map<string, number>();
  #commands = 0;
  #apartSince: number | undefined;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
    this.#random = new Prng(schedule.seed).fork("world");
    this.network = new Network(this.#events, this.#random.fork("network"), schedule.links);
    this.hosts = schedule.hosts.map((name) => this.#makeHost(name));
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
        if (this.#violations.length > 0 || events >= EVENTS_MAX) break;
      }
      if (events >= EVENTS_MAX) this.#violate("S13 bounded", `${EVENTS_MAX} events in one run`);
      if (this.#violations.length === 0) this.#judgeEnd();
    } catch (error) {
      if (!(error instanceof AssertionFailure)) throw error;
      this.#violate("assertions of the cores", error.message);
    }
    return {
      seed: this.schedule.seed,
      hash: this.truth.hash,
      events,
      simulatedMs: this.nowMs,
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
      claims: this.#claims,
      groups: this.schedule.groups.map((group) => ({
        name: group,
        claimed: group === "database",
        resources: group === "database" ? 4 : 1,
      })),
      transmit: (bytes) => {
        const statusSentAt = this.#statusSentAt(bytes);
        this.network.send({ from: name, bytes }, peer, (link, at, copy) => {
          const to = this.hosts.find((host) => host.name === peer);
          this.#events.schedule(at, () => this.#arrive(name, to, link, copy, statusSentAt));
        });
      },
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
      observe: (host, _room, value) => this.#saw(host, value as MembershipEffect | FailoverEffect),
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

  #arrive(
    from: string,
    to: SimHost | undefined,
    link: string,
    bytes: Uint8Array,
    statusSentAt: number | undefined,
  ): void {
    if (to === undefined || !to.powered || !to.beat.alive) return;
    if (statusSentAt !== undefined) {
      for (const checker of this.#checkers) checker.heard?.(this, from, to.name, statusSentAt);
    }
    to.receive(link, this.nowMs, bytes);
  }

  /** When a status was first sent; undefined for other messages. A retransmission is no sign of life. */
  #statusSentAt(bytes: Uint8Array): number | undefined {
    const text = String.fromCharCode(...bytes);
    if (!text.includes("t=status,")) return undefined;
    const digest = text.slice(-40);
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
        host.crashAtPersist(fault.nth, fault.when);
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
        host.feed({ kind: "command", id: `c${++this.#commands}`, command: fault.command });
        return;
      default:
        unreachable(fault);
    }
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

  /** The storm is over: every cable is whole, every host up, nothing is broken; failures are cleared. */
  #calm(): void {
    this.truth.tell(this.nowMs, "world", "all is healed");
    this.network.healAll();
    this.network.weather = fairWeather;
    this.network.pingAnswers = true;
    for (const host of this.hosts) {
      host.crashAtPersist(Number.POSITIVE_INFINITY, "after");
      for (const runner of host.runners.values()) runner.startBroken = false;
      host.boot();
      host.startBeat();
      host.startAgent();
    }
    // A person looks after the storm and clears what failed, once the pair had time to meet.
    this.#events.schedule(this.nowMs + 25_000, () => {
      for (const host of this.hosts) {
        host.feed({
          kind: "command",
          id: `c${++this.#commands}`,
          command: { verb: "clear", group: null },
        });
      }
    });
  }

  #watch(): void {
    const [one, other] = this.hosts;
    const apart =
      one === undefined ||
      other === undefined ||
      !this.network.connected(one.name, other.name) ||
      !this.network.connected(other.name, one.name) ||
      // A side whose agent is away can not tell what it holds.
      this.hosts.some((host) => host.powered && !host.agent.alive);
    if (!apart) this.#apartSince = undefined;
    else this.#apartSince ??= this.nowMs;
    if (this.#apartSince !== undefined && this.nowMs - this.#apartSince > timing.deadtimeMs / 2) {
      this.truth.counts.set("partings", 1);
    }
    for (const checker of this.#checkers) {
      const message = checker.after?.(this);
      if (message !== undefined) this.#violate(checker.name, message);
    }
  }

  #saw(host: string, effect: MembershipEffect | FailoverEffect): void {
    if (effect.kind === "verdict") {
      const what = `verdict ${effect.host} ${effect.verdict} [${effect.reason}]`;
      this.truth.tell(this.nowMs, host, what, `verdict ${effect.verdict}`);
    } else if (effect.kind === "decision") {
      const what = `decision [${effect.reason}] ${effect.group ?? ""} ${effect.detail}`;
      this.truth.tell(this.nowMs, host, what, `decision ${effect.reason}`);
    } else if (effect.kind === "acquire" || effect.kind === "release") {
      const what = `${effect.kind} ${effect.group} [${effect.reason}]`;
      this.truth.tell(this.nowMs, host, what, effect.kind);
    } else if (effect.kind === "commandDone") {
      const what = `command ${effect.command} ${effect.outcome} [${effect.reason}] ${effect.detail}`;
      this.truth.tell(this.nowMs, host, what, `command ${effect.outcome}`);
    }
    for (const checker of this.#checkers) {
      const message = checker.saw?.(this, host, effect);
      if (message !== undefined) this.#violate(checker.name, message);
    }
  }

  #judgeEnd(): void {
    for (const checker of this.#checkers) {
      const message = checker.end?.(this);
      if (message !== undefined) this.#violate(checker.name, message);
    }
  }

  #violate(checker: string, message: string): void {
    this.truth.tell(this.nowMs, "checker", `VIOLATION ${checker}: ${message}`);
    this.#violations.push({ checker, atMs: this.nowMs, message });
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
