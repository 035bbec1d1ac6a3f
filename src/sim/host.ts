/** A simulated host: beat process, agent, runners and disk, around the real cores and the real loop. */
import { HostLoop, type HostWorld, type WorldEffect } from "../agent/host-loop.ts";
import { after, type Prng, unreachable } from "../base/index.ts";
import type { Failover, FailoverEffect, FailoverEvent, FailoverRecord } from "../failover/index.ts";
import {
  type Ambient,
  type BeatEvent,
  type BeatRequest,
  type Membership,
  type MembershipEffect,
  Transport,
  type TransportEffect,
  type TransportInput,
  type TransportOptions,
} from "../membership/index.ts";
import type { Operation } from "./checkers.ts";
import type { DurableState, SharedClaims } from "./disk.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Network } from "./network.ts";
import { SimProcess } from "./process.ts";
import { type SimGroup, SimRunner } from "./runner.ts";
import type { Truth } from "./truth.ts";

/** Local socket between two processes of one host. */
const LOCAL_SOCKET_MS = 0.1;
/** One fsync of the state disk takes up to this long; now and then a busy disk makes it slow. */
const PERSIST_MAX_MS = 15;
const SLOW_PERSIST_CHANCE = 0.04;
const SLOW_PERSIST_MAX_MS = 1_500;
const ALIVE_INTERVAL_MS = 200;
/** How long a supervisor needs to start a process anew. */
const SPAWN_MS = 50;

export interface HostParts {
  readonly name: string;
  readonly peer: string;
  readonly events: EventQueue;
  readonly random: Prng;
  readonly network: Network;
  readonly truth: Truth;
  readonly claims: SharedClaims;
  readonly groups: readonly SimGroup[];
  readonly pings: readonly string[];
  readonly timing: { readonly keepaliveMs: number; readonly deadtimeMs: number };
  /** A datagram for the other host. */
  transmit(host: SimHost, bytes: Uint8Array): void;
  transportOptions(seed: number): TransportOptions;
  makeMembership(now: number): Membership;
  makeFailover(record: FailoverRecord | undefined, now: number): Failover;
  /** What the checkers see: each effect of a core, operations begun, words of the beat process. */
  observe(host: SimHost, effect: MembershipEffect | FailoverEffect): void;
  decided(host: SimHost, operation: Operation): void;
  began(host: SimHost, operation: Operation): void;
  told(host: SimHost, event: BeatEvent): void;
}

/** One machine of the pair. */
export class SimHost {
  readonly parts: HostParts;
  readonly beat: SimProcess;
  readonly agent: SimProcess;
  readonly runners = new Map<string, SimRunner>();
  readonly durable: DurableState = {
    failover: undefined,
    transport: { generation: null, peers: {} },
  };
  #bootedAt = 0;
  powered = false;
  #transport: Transport | undefined;
  #failover: Failover | undefined;
  #cancelBeatTimer: () => void = () => undefined;
  #loop: HostLoop | undefined;
  /** Power goes at the n-th durable write from now on. */
  #crashAt:
    | { left: number; readonly when: "before" | "after"; readonly process?: "agent" | "beat" }
    | undefined;
  readonly #writtenAt = { agent: 0, beat: 0 };
  /** A stop was asked for; `ended`: all was handed over and both processes have gone. */
  #stop: "no" | "asked" | "ended" = "no";
  /** Since when no agent runs here, in simulated milliseconds; undefined while one does. */
  agentAwaySince: number | undefined = 0;

  constructor(parts: HostParts) {
    this.parts = parts;
    const bootedAt = (): number => this.#bootedAt;
    this.beat = new SimProcess(parts.events, bootedAt);
    this.agent = new SimProcess(parts.events, bootedAt);
    for (const group of parts.groups) {
      this.runners.set(
        group.name,
        new SimRunner(
          {
            ...parts,
            ...parts.timing,
            host: parts.name,
            agent: this.agent,
            feed: (event) => this.#loop?.failoverEvent(event),
          },
          group,
        ),
      );
    }
  }

  get name(): string {
    return this.parts.name;
  }

  /** Any resource of any group runs here. */
  get holdsAny(): boolean {
    for (const runner of this.runners.values()) if (runner.running > 0) return true;
    return false;
  }

  get failover(): Failover | undefined {
    return this.#failover;
  }

  boot(): void {
    if (this.powered) return;
    this.powered = true;
    this.#stop = "no";
    // Another origin at each boot, so that no instant of an older boot makes sense.
    this.#bootedAt = this.parts.events.now - this.parts.random.between(1_000, 1_000_000);
    this.#tell("boots", "boots");
    this.startBeat();
    this.startAgent();
  }

  /** Power loss. */
  crash(): void {
    if (!this.powered) return;
    this.#tell("loses power", "crashes");
    this.powered = false;
    this.#crashAt = undefined;
    this.killAgent();
    this.killBeat();
    for (const runner of this.runners.values()) {
      runner.powerOff();
      runner.startBroken = false;
    }
  }

  /** Power goes at the `nth` write from now on: of that process, or of either. */
  crashAtPersist(nth: number, when: "before" | "after", process?: "agent" | "beat"): void {
    this.#crashAt = { left: nth, when, ...(process === undefined ? {} : { process }) };
  }

  /** Nothing that was planned for a later write happens any more. */
  forgetCrash(): void {
    this.#crashAt = undefined;
  }

  startBeat(): void {
    if (!this.powered || this.beat.alive || this.#stop === "ended") return;
    this.beat.start();
    const clock = this.beat.clock();
    const options = this.parts.transportOptions(this.parts.random.next());
    this.#transport = new Transport(options, this.durable.transport, clock.now());
    this.#stepBeat({ kind: "start" });
    this.#connect();
  }

  killBeat(): void {
    if (!this.beat.alive) return;
    this.beat.kill();
    this.#transport = undefined;
    this.agent.deliver(this.parts.events.now + LOCAL_SOCKET_MS, () => {
      this.#loop?.beatLost();
      // The agent starts it anew (DESIGN 7.3: elsewhere than under systemd the agent does).
      this.agent.deliver(this.parts.events.now + SPAWN_MS, () => this.startBeat());
    });
  }

  startAgent(): void {
    if (!this.powered || this.agent.alive || this.#stop === "ended") return;
    this.agent.start();
    this.agentAwaySince = undefined;
    const clock = this.agent.clock();
    const failover = this.parts.makeFailover(this.durable.failover, clock.now());
    this.#failover = failover;
    const membership = this.parts.makeMembership(clock.now());
    this.#loop = new HostLoop({ membership, failover }, this.#world(clock));
    this.#loop.start();
    if (!this.beat.alive) this.startBeat();
    else this.#connect();
    this.#livingSigns();
    this.#tendClaims();
  }

  killAgent(): void {
    if (!this.agent.alive) return;
    this.agent.kill();
    this.agentAwaySince = this.parts.events.now;
    this.#loop?.dispose();
    this.#loop = undefined;
    this.#failover = undefined;
    for (const runner of this.runners.values()) runner.agentDied();
  }

  /** Starts the service after a stop: one that has not come to its end is cut short. */
  restartService(): void {
    if (!this.powered) return;
    if (this.#stop === "asked") this.killAgent();
    this.#stop = "no";
    this.startBeat();
    this.startAgent();
  }

  /** Everything is handed over and said: both processes go. */
  #end(): void {
    this.#stop = "ended";
    this.#tell("stops", "graceful stops");
    this.#toBeat({ kind: "end" });
    this.agent.deliver(this.parts.events.now + 1, () => this.killAgent());
  }

  /** A datagram arrives from the network; who is off or dead hears nothing. */
  receive(link: string, at: number, bytes: Uint8Array): void {
    this.beat.deliver(at, () => {
      const now = this.beat.clock().now();
      this.#stepBeat({ kind: "datagram", at: now, link, bytes });
    });
  }

  feed(event: FailoverEvent): void {
    if (event.kind === "command" && event.command.verb === "stop") this.#stop = "asked";
    this.agent.deliver(this.parts.events.now + LOCAL_SOCKET_MS, () =>
      this.#loop?.failoverEvent(event),
    );
  }

  // --- beat process

  #stepBeat(input: TransportInput): void {
    const transport = this.#transport;
    if (transport === undefined) return;
    const event = { ...input, ambient: this.#ambient() };
    for (const effect of transport.step(this.beat.clock().now(), event)) {
      this.#performBeat(effect);
      if (!this.beat.alive) return;
    }
    this.#cancelBeatTimer();
    const at = transport.wakeAt();
    if (at === undefined) return;
    this.#cancelBeatTimer = this.beat.clock().at(at, () => this.#stepBeat({ kind: "tick" }));
  }

  #performBeat(effect: TransportEffect): void {
    const { events, network, name } = this.parts;
    switch (effect.kind) {
      case "send":
        this.parts.transmit(this, effect.bytes);
        return;
      case "ping":
        if (!network.pings(name)) return;
        this.beat.deliver(events.now + network.roundTripMs(), () => {
          const { ping, payload } = effect;
          this.#stepBeat({ kind: "pingReply", at: this.beat.clock().now(), ping, payload });
        });
        return;
      case "persist":
        this.#persist("beat", () => {
          this.durable.transport = effect.record;
          const { generation } = effect.record;
          if (effect.confirm && generation !== null) {
            this.beat.deliver(events.now, () => this.#stepBeat({ kind: "persisted", generation }));
          }
        });
        return;
      case "report":
        this.parts.told(this, effect.event);
        this.#toAgent(() => this.#loop?.beatEvent(effect.event));
        return;
      case "reportState":
        this.#toAgent(() => this.#loop?.beatState(effect.state));
        return;
      case "silenced":
        this.#tell(`beats ${effect.silenced ? "held back" : "allowed"}`, "silences");
        return;
      case "rereadKeys":
        return;
      case "end":
        // An agent that was started meanwhile finds its socket closed.
        this.killBeat();
        return;
      default:
        unreachable(effect);
    }
  }

  #ambient(): Ambient {
    return {
      wallMs: 1_700_000_000_000 + this.parts.events.now,
      loadAverage: "0.00 0.00 0.00 1/100 1",
    };
  }

  /** Writes durably after a while; a crash in between leaves what was there before. */
  #persist(who: "agent" | "beat", written: () => void): void {
    const { events, random, truth } = this.parts;
    // One file, one writer: a later record is not on disk before an earlier one.
    const longestMs = random.chance(SLOW_PERSIST_CHANCE) ? SLOW_PERSIST_MAX_MS : PERSIST_MAX_MS;
    const at = Math.max(this.#writtenAt[who], events.now + random.between(1, longestMs));
    this.#writtenAt[who] = at;
    const due = this.#crashAt;
    const isMeant = due !== undefined && (due.process === undefined || due.process === who);
    if (isMeant) due.left--;
    const isFatal = isMeant && due.left <= 0;
    const { generation } = this[who];
    // A write that was handed to the kernel ends even if its process is killed or frozen.
    events.schedule(at, () => {
      if (!this.powered || this[who].generation !== generation) return;
      const fatal = isFatal && this.#crashAt === due ? due.when : undefined;
      if (fatal !== undefined) truth.count(`crash ${fatal} a write of ${who}`);
      if (fatal === "before") this.crash();
      else written();
      if (fatal === "after") this.crash();
    });
  }

  // --- agent

  #world(clock: ReturnType<SimProcess["clock"]>): HostWorld {
    return {
      clock,
      beat: (request) => {
        if (request.kind === "send") this.parts.observe(this, request);
        this.#toBeat(request);
      },
      persist: (record, done) => {
        const { agent } = this;
        this.#persist("agent", () => {
          this.durable.failover = record;
          agent.deliver(this.parts.events.now, done);
        });
      },
      perform: (effect) => this.#perform(effect),
      record: (entry) => {
        // What failover wants is observed when it is carried out, not when it begins to wait.
        if (entry.kind !== "effect") return;
        if (entry.room === "membership") this.parts.observe(this, entry.value);
        else for (const operation of operationsOf(entry.value)) this.parts.decided(this, operation);
      },
    };
  }

  #perform(effect: WorldEffect): void {
    this.parts.observe(this, effect);
    switch (effect.kind) {
      case "probe":
        this.runners.get(effect.group)?.probe();
        return;
      case "compare":
        this.runners.get(effect.group)?.compare(true);
        return;
      case "acquire":
        this.parts.began(this, effect);
        this.runners.get(effect.group)?.acquire(effect.operation, effect.epoch);
        return;
      case "release":
        this.parts.began(this, effect);
        this.runners.get(effect.group)?.release(effect.operation);
        return;
      case "rejoin":
        this.#toBeat({ kind: "rejoin" });
        return;
      case "readyToStop":
        this.#end();
        return;
      case "adopt":
        this.runners.get(effect.group)?.adopt();
        return;
      case "send":
      case "askArbiter":
      case "decision":
      case "progress":
      case "commandDone":
        return; // Observed by the checkers; kind `none` of the arbiter answers within the core.
      default:
        unreachable(effect);
    }
  }

  #toBeat(request: BeatRequest): void {
    this.beat.deliver(this.parts.events.now + LOCAL_SOCKET_MS, () =>
      this.#stepBeat({ kind: "request", request }),
    );
  }

  #toAgent(run: () => void): void {
    this.agent.deliver(this.parts.events.now + LOCAL_SOCKET_MS, run);
  }

  /** The agent connects to the beat process's socket and is sent the whole state. */
  #connect(): void {
    this.beat.deliver(this.parts.events.now + 1, () => {
      const state = this.#transport?.state();
      if (state !== undefined) this.#toAgent(() => this.#loop?.beatState(state));
    });
  }

  #livingSigns(): void {
    this.#toBeat({ kind: "alive" });
    const clock = this.agent.clock();
    clock.at(after(clock.now(), ALIVE_INTERVAL_MS), () => this.#livingSigns());
  }

  #tendClaims(): void {
    for (const runner of this.runners.values()) {
      runner.renewClaim();
      runner.compare(false);
    }
    const clock = this.agent.clock();
    clock.at(after(clock.now(), this.parts.timing.keepaliveMs), () => this.#tendClaims());
  }

  #tell(what: string, count: string): void {
    this.parts.truth.tell(this.parts.events.now, this.name, what, count);
  }
}

/** Starts and stops that a core has just decided on, also those that wait for its record. */
function operationsOf(effect: FailoverEffect): readonly Operation[] {
  if (effect.kind === "persist") return effect.then.flatMap(operationsOf);
  return effect.kind === "acquire" || effect.kind === "release" ? [effect] : [];
}
