import { test } from "node:test";
import { assert, type Instant, instant, Prng } from "../base/index.ts";
import type { BeatEvent, BeatRequest, MembershipEffect } from "./contract.ts";
import { nodeHmac } from "./hmac.shell.ts";
import { Membership, type MembershipEvent } from "./membership.ts";
import { Transport, type TransportEffect, type TransportInput } from "./transport.ts";

/**
 * Two hosts, two links, both cores of each, on a bad wire with crashes and freezes. The judge keeps its
 * own account: what arrived, who was frozen, what was sent. It never asks the cores.
 */
const timing = {
  keepaliveMs: 200,
  warntimeMs: 600,
  deadtimeMs: 1_200,
  initdeadMs: 10_000,
  deadpingMs: 1_200,
};
const links = ["eth0", "eth1"];
const names = ["dbm157", "dbm158"] as const;
type Name = (typeof names)[number];
const faultsEndMs = 60_000;
/** Loss goes on when crashes and cuts are over: what it takes must be asked for and sent again. */
const lossEndMs = 75_000;
const endMs = 80_000;
/** `max(2 x keepalive, deadtime / 3)`: a shorter freeze goes unnoticed. */
const doubtMs = 400;

const one = process.env["SEED"];
const count = Number(process.env["BATON_SIM_SEEDS"] ?? "25");
const seeds = one === undefined ? Array.from({ length: count }, (_, run) => run) : [Number(one)];

for (const seed of seeds) {
  test(`membership keeps its promises on a bad wire; replay with SEED=${seed}`, () => {
    new World(seed).run();
  });
}

interface Job {
  readonly at: number;
  readonly order: number;
  readonly host: Host | undefined;
  /** Timers run after what waited in sockets. */
  readonly timer: boolean;
  readonly run: () => void;
}

class World {
  readonly random: Prng;
  readonly hosts: ReadonlyMap<Name, Host>;
  readonly lossByLink: readonly number[];
  readonly delayMaxMs: number;
  readonly cuts = new Map<string, number>();
  now = 0;
  #order = 0;
  #jobs: Job[] = [];

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.lossByLink = links.map(() => this.random.between(0, 30) / 100);
    this.delayMaxMs = this.random.pick([0, 1, 20, 150]);
    this.hosts = new Map(names.map((name) => [name, new Host(this, name)] as const));
  }

  run(): void {
    for (const host of this.hosts.values()) {
      this.at(this.random.between(0, 3_000), undefined, () => host.boot());
    }
    for (let ms = 5_000; ms < faultsEndMs - 1_000; ms += this.random.between(1_000, 6_000)) {
      this.at(ms, undefined, () => this.#fault());
    }
    for (let ms = 0; ms <= endMs; ms += 100) this.at(ms, undefined, () => this.#look());
    while (this.#jobs.length > 0 && this.now <= endMs) this.#next();
  }

  at(ms: number, host: Host | undefined, run: () => void, timer = false): void {
    this.#jobs.push({ at: Math.max(ms, this.now), order: this.#order++, host, timer, run });
  }

  #next(): void {
    let first = 0;
    for (let at = 1; at < this.#jobs.length; at++) {
      if (before(this.#jobs[at], this.#jobs[first])) first = at;
    }
    const [job] = this.#jobs.splice(first, 1);
    if (job === undefined) return;
    this.now = job.at;
    const thawAt = job.host?.frozenUntil ?? 0;
    if (this.now < thawAt) this.at(thawAt, job.host, job.run, job.timer);
    else job.run();
  }

  /** One datagram on both links to the other host. */
  send(from: Name, bytes: Uint8Array): void {
    const to = this.hosts.get(from === "dbm157" ? "dbm158" : "dbm157");
    for (const [index, link] of links.entries()) {
      const copies = this.random.chance(0.02) ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        if (this.#isLost(from, link, index)) continue;
        const at = this.now + this.random.between(0, this.delayMaxMs);
        this.at(at, to, () => to?.receive(link, bytes));
      }
    }
  }

  #isLost(from: Name, link: string, index: number): boolean {
    if (this.now >= lossEndMs) return false;
    if (this.now < (this.cuts.get(`${from} ${link}`) ?? 0)) return true;
    return this.random.chance(this.lossByLink[index] ?? 0);
  }

  #fault(): void {
    const host = this.hosts.get(this.random.pick(names));
    const untilMs = Math.min(
      faultsEndMs - 1_000,
      this.now + this.random.pick([300, 900, 2_000, 6_000]),
    );
    switch (this.random.between(0, 5)) {
      case 0:
        host?.freeze(untilMs);
        break;
      case 1:
        host?.crash();
        this.at(untilMs, undefined, () => host?.boot());
        break;
      case 2:
        for (const name of names)
          for (const link of links) this.cuts.set(`${name} ${link}`, untilMs);
        break;
      case 3:
        for (const link of links) this.cuts.set(`${this.random.pick(names)} ${link}`, untilMs);
        break;
      case 4: // frozen, and nothing arrives before or after it
        for (const link of links) this.cuts.set(`${host?.peer} ${link}`, untilMs + 600);
        this.at(this.now + 200, undefined, () => host?.freeze(untilMs));
        break;
      default:
        this.cuts.set(`${this.random.pick(names)} ${this.random.pick(links)}`, untilMs);
    }
  }

  #look(): void {
    for (const host of this.hosts.values()) host.judge.look();
    if (this.now !== endMs) return;
    for (const host of this.hosts.values()) host.judge.atEnd();
  }
}

/** By time; at the same time what waited in sockets before timers, as on a real host. */
function before(left: Job | undefined, right: Job | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  if (left.at !== right.at) return left.at < right.at;
  if (left.timer !== right.timer) return right.timer;
  return left.order < right.order;
}

/** Shells of one host: no decisions, only carrying. */
class Host {
  readonly name: Name;
  readonly peer: Name;
  readonly judge: Judge;
  readonly #world: World;
  frozenUntil = 0;
  frozenFrom = 0;
  life = 0;
  #transport: Transport | undefined;
  #membership: Membership | undefined;
  #record: ConstructorParameters<typeof Transport>[1] = { generation: 7, peers: {} };
  #timerVersion = 0;
  #number = 0;

  constructor(world: World, name: Name) {
    this.#world = world;
    this.name = name;
    this.peer = name === "dbm157" ? "dbm158" : "dbm157";
    this.judge = new Judge(world, this);
  }

  get isUp(): boolean {
    return this.#transport !== undefined;
  }

  boot(): void {
    if (this.isUp) return;
    this.life += 1;
    this.judge.booted();
    const now = this.#now();
    const common = { host: this.name, peers: [this.peer], links };
    this.#transport = new Transport(
      {
        ...common,
        ...timing,
        uuid: this.name === "dbm157" ? "1".repeat(32) : "2".repeat(32),
        pings: [],
        agentGraceMs: 3_000,
        hopfudge: 1,
        messageFormat: "classic",
        softwareVersion: "0.1.0",
        seed: this.#world.random.next(),
        keyring: {
          mode: "classic",
          clusterId: "c1",
          keys: [{ index: 1, method: "sha256", secret: "k" }],
          sendIndex: 1,
        },
        hmac: nodeHmac,
      },
      this.#record,
      now,
    );
    this.#membership = new Membership({ ...common, ...timing, pings: [] }, now);
    this.#beat({ kind: "start" });
    this.#every(250, () => this.#ask({ kind: "alive" }));
    this.#every(700, () => this.#speak());
  }

  crash(): void {
    this.#transport = undefined;
    this.#membership = undefined;
    this.frozenUntil = 0;
  }

  freeze(untilMs: number): void {
    if (!this.isUp || this.#world.now < this.frozenUntil) return;
    this.frozenFrom = this.#world.now;
    this.frozenUntil = untilMs;
  }

  receive(link: string, bytes: Uint8Array): void {
    this.#beat({ kind: "datagram", at: this.#now(), link, bytes });
  }

  #now(): Instant {
    return instant(this.#world.now);
  }

  #every(ms: number, run: () => void): void {
    const { life } = this;
    const again = (): void => {
      if (life !== this.life || !this.isUp) return;
      run();
      this.#world.at(this.#world.now + ms, this, again, true);
    };
    again();
  }

  #speak(): void {
    this.#number += 1;
    this.judge.sent(this.#number);
    this.#ask({ kind: "send", fields: { t: "app", n: `${this.#number}` } });
  }

  #ask(request: BeatRequest): void {
    this.#beat({ kind: "request", request });
  }

  #beat(input: TransportInput): void {
    const ambient = { wallMs: 1_000_000, loadAverage: "n/a" };
    const effects = this.#transport?.step(this.#now(), { ...input, ambient }) ?? [];
    for (const effect of effects) this.#perform(effect);
    this.#arm();
  }

  #perform(effect: TransportEffect): void {
    switch (effect.kind) {
      case "send":
        this.#world.send(this.name, effect.bytes);
        break;
      case "persist": {
        this.#record = effect.record;
        const { generation } = effect.record;
        if (effect.confirm && generation !== null) {
          const { life } = this;
          this.#world.at(this.#world.now + 5, this, () => {
            if (life === this.life) this.#beat({ kind: "persisted", generation });
          });
        }
        break;
      }
      case "report":
        this.judge.reported(effect.event);
        this.#judgeEvent(effect.event);
        break;
      case "reportState":
        this.#judgeEvent({ kind: "beatState", state: effect.state });
        break;
      default:
        break;
    }
  }

  #judgeEvent(event: MembershipEvent): void {
    const effects = this.#membership?.step(this.#now(), event) ?? [];
    for (const effect of effects) {
      this.judge.concluded(effect);
      if (effect.kind === "beat")
        this.#world.at(this.#world.now, this, () => this.#ask(effect.request));
    }
    this.#arm();
  }

  #arm(): void {
    this.#timerVersion += 1;
    const version = this.#timerVersion;
    const [beat, agent] = [this.#transport?.wakeAt(), this.#membership?.wakeAt()];
    const wakes = [beat, agent].filter((wake) => wake !== undefined);
    if (wakes.length === 0) return;
    this.#world.at(
      Math.min(...wakes),
      this,
      () => {
        if (version !== this.#timerVersion || !this.isUp) return;
        if (beat !== undefined && beat <= this.#world.now) this.#beat({ kind: "tick" });
        if (agent !== undefined && agent <= this.#world.now) this.#judgeEvent({ kind: "tick" });
      },
      true,
    );
  }
}

/** What must be true of one host's conclusions. */
class Judge {
  readonly #world: World;
  readonly #host: Host;
  #statusAt: number | undefined;
  #announcedMs = timing.deadtimeMs;
  #bootedAt = 0;
  #verdict = "unheard";
  #taken = new Set<string>();
  #sent = new Map<number, number>();

  constructor(world: World, host: Host) {
    this.#world = world;
    this.#host = host;
  }

  booted(): void {
    this.#bootedAt = this.#world.now;
    this.#statusAt = undefined;
    this.#verdict = "unheard";
    this.#taken = new Set();
  }

  sent(number: number): void {
    this.#sent.set(number, this.#world.now);
  }

  reported(event: BeatEvent): void {
    if (event.kind === "status") {
      this.#statusAt = this.#world.now;
      this.#announcedMs = event.announcedDeadtimeMs ?? timing.deadtimeMs;
    }
    if (event.kind === "message") {
      const key = event.fields["n"] ?? "";
      assert(!this.#taken.has(key), `${this.#host.name} took message ${key} twice`);
      this.#taken.add(key);
    }
  }

  concluded(effect: MembershipEffect): void {
    if (effect.kind !== "verdict") return;
    this.#verdict = effect.verdict;
    if (effect.verdict !== "dead") return;
    const { now } = this.#world;
    if (this.#statusAt === undefined) {
      assert(now - this.#bootedAt >= timing.initdeadMs, `Dead before initdead at ${now}`);
      return;
    }
    const silentMs = now - this.#statusAt;
    assert(silentMs >= this.#announcedMs, `Dead after ${silentMs} ms of silence at ${now}`);
    const { frozenFrom, frozenUntil } = this.#host;
    const doubted = frozenUntil - frozenFrom > doubtMs + timing.keepaliveMs && now >= frozenUntil;
    const listenedMs = now - frozenUntil;
    assert(!doubted || listenedMs >= this.#announcedMs, `Dead ${listenedMs} ms after a freeze`);
  }

  /** Progress: no death is missed while this host is run. */
  look(): void {
    const { now } = this.#world;
    if (!this.#host.isUp || now < this.#host.frozenUntil || this.#statusAt === undefined) return;
    const since = Math.max(this.#statusAt, this.#host.frozenUntil, this.#bootedAt);
    const overdue = now - since > this.#announcedMs + 1;
    assert(!overdue || this.#verdict === "dead", `Missed a death at ${now}: ${this.#verdict}`);
  }

  /** The wire has been good for a while: everybody lives, and what was said lately has arrived. */
  atEnd(): void {
    assert(this.#verdict === "alive", `${this.#host.name} says ${this.#verdict} at the end`);
    const peer = this.#world.hosts.get(this.#host.peer);
    for (const number of peer?.judge.lately() ?? []) {
      assert(this.#taken.has(`${number}`), `${this.#host.name} never got message ${number}`);
    }
  }

  /** Numbers sent since nothing but loss is wrong, apart from those under way. */
  lately(): readonly number[] {
    const [from, to] = [faultsEndMs + 10_000, lossEndMs];
    return [...this.#sent].filter(([, at]) => at >= from && at <= to).map(([number]) => number);
  }
}
