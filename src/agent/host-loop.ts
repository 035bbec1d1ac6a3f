/**
 * One host's deciding loop: events in, through the cores, effects out to the world (DESIGN 7.1). One
 * queue, so that no core is entered twice. It holds no socket and no file: the agent gives it the real
 * world, the simulator a virtual one, and both run these same lines.
 */
import type { Clock, Instant } from "../base/index.ts";
import { assert, earliest, unreachable } from "../base/index.ts";
import type { Failover, FailoverEffect, FailoverEvent, FailoverRecord } from "../failover/index.ts";
import type {
  BeatEvent,
  BeatRequest,
  BeatState,
  Membership,
  MembershipEffect,
  MembershipEvent,
} from "../membership/index.ts";
import { messageForFailover, routeMembership } from "./wiring.ts";

/** Effects that the world performs; the others are the loop's own. */
export type WorldEffect = Exclude<FailoverEffect, { readonly kind: "persist" }>;

/** What passes through the loop, for the journal. */
export type LoopRecord =
  | { readonly kind: "input"; readonly room: "membership"; readonly value: MembershipEvent }
  | { readonly kind: "input"; readonly room: "failover"; readonly value: FailoverEvent }
  | { readonly kind: "effect"; readonly room: "membership"; readonly value: MembershipEffect }
  | { readonly kind: "effect"; readonly room: "failover"; readonly value: FailoverEffect };

/** The world of one host. Nothing here may call back into the loop before it returns. */
export interface HostWorld {
  readonly clock: Clock;
  /** Asks the beat process; lost while it is not connected (its state tells what was lost). */
  beat(request: BeatRequest): void;
  /** Makes the record durable, then calls `done`; in the order of the calls. */
  persist(record: FailoverRecord, done: () => void): void;
  perform(effect: WorldEffect): void;
  record(entry: LoopRecord): void;
}

/** An effect that waits for the disk, and when it was decided on. */
interface Waiting {
  readonly effect: FailoverEffect;
  readonly decidedAt: Instant;
}

/** More events than this at once mean a loop that feeds itself. */
const QUEUE_MAX = 10_000;

type Job =
  | { readonly for: "membership"; readonly event: MembershipEvent }
  | { readonly for: "failover"; readonly event: FailoverEvent }
  /** The oldest record that was being written is on disk. */
  | { readonly for: "durable" };

/**
 * Effects that pass a record that is still being written: they stop, tell or ask of this host alone.
 * Everything else rests on decisions that must survive a power loss first (style P4).
 */
const passesBarrier: ReadonlySet<FailoverEffect["kind"]> = new Set([
  "release",
  "decision",
  "progress",
  "probe",
  "compare",
]);

/** Drives the membership and failover cores of one host. */
export class HostLoop {
  readonly #membership: Membership;
  readonly #failover: Failover;
  readonly #world: HostWorld;
  readonly #queue: Job[] = [];
  /** One list per record being written, oldest first: what is to follow it. */
  readonly #barriers: Waiting[][] = [];
  /** End of the newest stall of this host that membership told. */
  #stalledAt: Instant | undefined;
  /** Newest operation carried out, by group. */
  readonly #operations = new Map<string, number>();
  /** As failover was told; it takes for granted that there are beats. */
  #beatsSent = true;
  #draining = false;
  #cancel: () => void = () => undefined;
  #disposed = false;

  constructor(
    cores: { readonly membership: Membership; readonly failover: Failover },
    world: HostWorld,
  ) {
    this.#membership = cores.membership;
    this.#failover = cores.failover;
    this.#world = world;
  }

  /** First turn: lets both cores say what they need. */
  start(): void {
    this.#push({ for: "membership", event: { kind: "tick" } });
    this.#push({ for: "failover", event: { kind: "tick" } });
  }

  /** Something that the beat process reported. Messages go on to failover. */
  beatEvent(event: BeatEvent): void {
    this.#push({ for: "membership", event });
    const message = messageForFailover(event);
    if (message !== undefined) this.#push({ for: "failover", event: message });
  }

  /** The level state of the beat process: on connecting, and after each change of it. */
  beatState(state: BeatState): void {
    this.#push({ for: "membership", event: { kind: "beatState", state } });
    // A process that waits for its generation to be durable is there, but nobody hears of us yet.
    this.#tellBeats(state.sequence > 0);
  }

  /** The beat process can not be reached. */
  beatLost(): void {
    this.#push({ for: "membership", event: { kind: "beatLost" } });
    this.#tellBeats(false);
  }

  #tellBeats(sent: boolean): void {
    if (this.#beatsSent === sent) return;
    this.#beatsSent = sent;
    this.#push({ for: "failover", event: { kind: "beats", sent } });
  }

  /** A result, a proof or a command. */
  failoverEvent(event: FailoverEvent): void {
    this.#push({ for: "failover", event });
  }

  /** Ends the loop's timer; later events are ignored. */
  dispose(): void {
    this.#disposed = true;
    this.#cancel();
    this.#queue.length = 0;
  }

  #push(job: Job): void {
    if (this.#disposed) return;
    assert(this.#queue.length < QUEUE_MAX, `The event queue of the host grew to ${QUEUE_MAX}`);
    this.#queue.push(job);
    if (!this.#draining) this.#drain();
  }

  #drain(): void {
    this.#draining = true;
    try {
      for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
        this.#do(job);
      }
    } finally {
      this.#draining = false;
    }
    this.#arm();
  }

  #do(job: Job): void {
    const now = this.#world.clock.now();
    switch (job.for) {
      case "membership":
        this.#world.record({ kind: "input", room: "membership", value: job.event });
        for (const effect of this.#membership.step(now, job.event)) this.#route(effect);
        return;
      case "failover":
        this.#world.record({ kind: "input", room: "failover", value: job.event });
        this.#carryOut(this.#failover.step(now, job.event));
        return;
      case "durable":
        for (const waiting of this.#barriers.shift() ?? []) this.#performLate(waiting);
        return;
      default:
        unreachable(job);
    }
  }

  #route(effect: MembershipEffect): void {
    this.#world.record({ kind: "effect", room: "membership", value: effect });
    if (effect.kind === "stalled") this.#stalledAt = this.#world.clock.now();
    const route = routeMembership(effect);
    if (route.to === "beat") this.#world.beat(route.request);
    if (route.to === "failover") this.#push({ for: "failover", event: route.event });
  }

  /** A record is on disk. Membership looks first whether this host was run meanwhile (R13). */
  #durable(): void {
    this.#push({ for: "membership", event: { kind: "tick" } });
    this.#push({ for: "durable" });
  }

  #carryOut(effects: readonly FailoverEffect[]): void {
    const decidedAt = this.#world.clock.now();
    const waiting = (effect: FailoverEffect): Waiting => ({ effect, decidedAt });
    for (const effect of effects) {
      this.#world.record({ kind: "effect", room: "failover", value: effect });
      if (effect.kind === "persist") {
        this.#barriers.push(effect.then.map(waiting));
        this.#world.persist(effect.record, () => this.#durable());
        continue;
      }
      const barrier = passesBarrier.has(effect.kind) ? undefined : this.#barriers.at(-1);
      if (barrier === undefined) this.#perform(effect);
      else barrier.push(waiting(effect));
    }
  }

  /**
   * A start that was decided on before this host was frozen is not begun after it: the peer may have
   * taken the group meanwhile. Failover is told that it failed and decides anew.
   */
  #performLate({ effect, decidedAt }: Waiting): void {
    const stale = this.#stalledAt !== undefined && this.#stalledAt > decidedAt;
    if (effect.kind !== "acquire" || !stale) {
      this.#perform(effect);
      return;
    }
    const { operation, group } = effect;
    this.#push({
      for: "failover",
      event: {
        kind: "operationDone",
        operation,
        group,
        outcome: {
          result: "failed",
          resource: group,
          reason: "BTN-AGENT-STALE-START",
          detail: "this host was not run after it had decided to start it",
          clean: true,
        },
      },
    });
  }

  #perform(effect: FailoverEffect): void {
    assert(effect.kind !== "persist", "A record must not wait behind another record");
    if (effect.kind === "send") this.#world.beat({ kind: "send", fields: effect.fields });
    else if (this.#isCurrent(effect)) this.#world.perform(effect);
  }

  /**
   * An acquire that waited for the disk may come after the release that replaced it, which waits for
   * nothing: operations of a group are numbered, and an older one is not begun after a newer one.
   */
  #isCurrent(effect: WorldEffect): boolean {
    if (effect.kind !== "acquire" && effect.kind !== "release") return true;
    const newest = this.#operations.get(effect.group) ?? Number.NEGATIVE_INFINITY;
    if (effect.operation < newest) return false;
    this.#operations.set(effect.group, effect.operation);
    return true;
  }

  #arm(): void {
    this.#cancel();
    const at: Instant | undefined = earliest(this.#membership.wakeAt(), this.#failover.wakeAt());
    if (at === undefined || this.#disposed) return;
    this.#cancel = this.#world.clock.at(at, () => this.start());
  }
}
