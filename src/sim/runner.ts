/**
 * A simulated resource runner of one host: starts and stops take time, may fail, and go on by
 * themselves when the agent that asked for them is killed. The truth is kept apart from what the
 * runner reports.
 */
import type { Prng } from "../base/index.ts";
import type { FailoverEvent, OperationOutcome, Proof } from "../failover/index.ts";
import type { SharedClaims } from "./disk.ts";
import type { EventQueue } from "./event-queue.ts";
import type { SimProcess } from "./process.ts";
import type { Truth } from "./truth.ts";

/** A group as the simulated host runs it. */
export interface SimGroup {
  readonly name: string;
  /** Its first resource is a claim on a shared disk. */
  readonly claimed: boolean;
  readonly resources: number;
}

export interface RunnerParts {
  readonly host: string;
  readonly events: EventQueue;
  readonly random: Prng;
  readonly agent: SimProcess;
  readonly truth: Truth;
  readonly claims: SharedClaims;
  readonly keepaliveMs: number;
  readonly deadtimeMs: number;
  feed(event: FailoverEvent): void;
}

/** Longest start of one resource, such as crash recovery of a small database. */
const START_MAX_MS = 300;
const STOP_MAX_MS = 100;

/** Runs one group on one host. Survives the agent; a power loss ends it (`powerOff`). */
export class SimRunner {
  readonly #parts: RunnerParts;
  readonly group: SimGroup;
  /** How many resources run, from the left. */
  #running = 0;
  /** Counts plans: an older one under way is dropped. */
  #plan = 0;
  #claimEpoch = 0;
  #proof = "";
  #failures = 0;
  startBroken = false;

  constructor(parts: RunnerParts, group: SimGroup) {
    this.#parts = parts;
    this.group = group;
  }

  /** It never failed here in this run of the world, and would not now. */
  get blameless(): boolean {
    return this.#failures === 0 && !this.startBroken;
  }

  get running(): number {
    return this.#running;
  }

  powerOff(): void {
    this.#plan++;
    this.#set(0);
  }

  /** The agent was killed: what it had begun may have got one step further by itself. */
  agentDied(): void {
    this.#plan++;
  }

  probe(): void {
    this.#later(1, () => {
      const { name, resources } = this.group;
      const found =
        this.#running === 0 ? "stopped" : this.#running === resources ? "running" : "partial";
      this.#parts.feed({ kind: "probed", group: name, found, detail: "" });
    });
  }

  /** Watched again after a restart of the agent: what broke meanwhile shows. */
  adopt(): void {
    if (this.#running < this.group.resources) this.#tellFailure();
  }

  acquire(operation: number, epoch: number): void {
    const plan = ++this.#plan;
    this.#claimEpoch = epoch;
    this.#startNext(plan, operation, this.#parts.events.now + 3 * this.#parts.deadtimeMs);
  }

  release(operation: number): void {
    const plan = ++this.#plan;
    this.#stopNext(plan, operation, { result: "done" });
  }

  /** A resource of the running group dies for good. */
  breakResource(): void {
    if (this.#running !== this.group.resources) return;
    this.#failures++;
    this.#set(this.#running - 1);
    this.#tellFailure();
  }

  #tellFailure(): void {
    this.#later(0, () =>
      this.#parts.feed({
        kind: "resourceFailed",
        group: this.group.name,
        resource: `resource${this.group.resources}`,
        reason: "BTN-RESOURCE-MONITOR-FAILED",
        detail: "simulated",
      }),
    );
  }

  /** Reads what there is to compare; tells it if it changed or was asked for. */
  compare(asked: boolean): void {
    if (!this.group.claimed) {
      if (asked) this.#tellProof({ kind: "none" });
      return;
    }
    const claim = this.#parts.claims.read(this.group.name);
    const still = this.#parts.events.now - claim.renewedAtMs >= this.#parts.deadtimeMs;
    const proof: Proof = { kind: "claim", holder: claim.holder, epoch: claim.epoch, still };
    const text = JSON.stringify(proof);
    if (!asked && text === this.#proof) return;
    this.#proof = text;
    this.#tellProof(proof);
  }

  /** Renews the claim while held; a foreign claim of a higher epoch means that it was lost. */
  renewClaim(): void {
    if (!this.group.claimed || this.#running === 0) return;
    const { host, events, claims } = this.#parts;
    const claim = claims.read(this.group.name);
    if (claim.holder !== host) {
      this.#failures++;
      this.#parts.truth.tell(events.now, host, `claim of ${this.group.name} lost`, "claimsLost");
      this.#parts.feed({
        kind: "resourceFailed",
        group: this.group.name,
        resource: "resource1",
        reason: "BTN-CLAIM-LOST",
        detail: `claimed by ${claim.holder}`,
      });
      return;
    }
    claims.write(this.group.name, host, claim.epoch, events.now);
  }

  #tellProof(proof: Proof): void {
    this.#later(1, () => this.#parts.feed({ kind: "proof", group: this.group.name, proof }));
  }

  #startNext(plan: number, operation: number, claimUntil: number): void {
    if (plan !== this.#plan) return;
    if (this.#running === this.group.resources) {
      this.#report(operation, { result: "done" });
      return;
    }
    if (this.group.claimed && this.#running === 0) {
      this.#claim(plan, operation, claimUntil);
      return;
    }
    this.#later(this.#parts.random.between(1, START_MAX_MS), () => {
      if (plan !== this.#plan) return;
      if (this.startBroken) {
        this.#failures++;
        const { events, host, truth } = this.#parts;
        truth.tell(events.now, host, `a start of ${this.group.name} fails`, "failed starts");
        this.#stopNext(plan, operation, {
          result: "failed",
          resource: `resource${this.#running + 1}`,
          reason: "BTN-RESOURCE-START-FAILED",
          detail: "simulated",
          clean: true,
        });
        return;
      }
      this.#set(this.#running + 1);
      this.#startNext(plan, operation, claimUntil);
    });
  }

  /** Waits until a foreign claim stood still for deadtime, writes its own and goes on. */
  #claim(plan: number, operation: number, until: number): void {
    const { claims, events, host, deadtimeMs } = this.#parts;
    const claim = claims.read(this.group.name);
    const free =
      claim.holder === null ||
      claim.holder === host ||
      events.now - claim.renewedAtMs >= deadtimeMs;
    if (!free) {
      if (events.now >= until) {
        this.#failures++;
        this.#report(operation, {
          result: "failed",
          resource: "resource1",
          reason: "BTN-CLAIM-HELD-ELSEWHERE",
          detail: `held by ${claim.holder}`,
          clean: true,
        });
        return;
      }
      this.#later(20, () => {
        if (plan === this.#plan) this.#claim(plan, operation, until);
      });
      return;
    }
    claims.write(this.group.name, host, this.#claimEpoch, events.now);
    this.#later(2, () => {
      if (plan !== this.#plan) return;
      // Read again: whoever wrote last has it, the other waits on.
      if (claims.read(this.group.name).holder === host) this.#set(1);
      this.#startNext(plan, operation, until);
    });
  }

  #stopNext(plan: number, operation: number, outcome: OperationOutcome): void {
    if (plan !== this.#plan) return;
    if (this.#running === 0) {
      this.#report(operation, outcome);
      return;
    }
    this.#later(this.#parts.random.between(1, STOP_MAX_MS), () => {
      if (plan !== this.#plan) return;
      this.#set(this.#running - 1);
      this.#stopNext(plan, operation, outcome);
    });
  }

  #set(running: number): void {
    const { truth, host, events, claims } = this.#parts;
    if (running === this.#running) return;
    const before = this.#running;
    this.#running = running;
    truth.setActive(this.group.name, host, running > 0);
    truth.tell(events.now, host, `${this.group.name}: ${running}/${this.group.resources} run`);
    if (this.group.claimed && before > 0 && running === 0) {
      const claim = claims.read(this.group.name);
      // A power loss leaves the claim as it stood; a stop releases it. Only the agent can tell.
      if (claim.holder === host && this.#parts.agent.alive) {
        claims.write(this.group.name, null, claim.epoch, events.now);
      }
    }
  }

  #report(operation: number, outcome: OperationOutcome): void {
    this.#later(0, () =>
      this.#parts.feed({ kind: "operationDone", operation, group: this.group.name, outcome }),
    );
  }

  /** In the agent's own time: of a child process of it, and a paused agent starts nothing. */
  #later(ms: number, run: () => void): void {
    this.#parts.agent.deliver(this.#parts.events.now + ms, run);
  }
}
