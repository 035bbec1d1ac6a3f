/**
 * The agent of a simulated host, as far as a disk needs one: heartbeat and a simple verdict, the real outdating core, the
 * epoch, a supervisor of the disk's process, and a policy of promotion by the rules of `failover/disk-gate.ts`: only what the core
 * allows without force. What is durable here is written at once.
 */
import { type Instant, instant } from "../../base/index.ts";
import {
  codeOfOutdateExit,
  type FencingRecord,
  type OutdateEffect,
  type OutdateEvent,
  Outdating,
} from "../../fencing/index.ts";
import { diskRank, type FencingPolicy } from "../../replication/index.ts";
import type { EventQueue } from "../event-queue.ts";
import type { Application } from "./application.ts";
import type { DiskProcess, Outcome } from "./disk-process.ts";
import type { Side } from "./wire.ts";

export const KEEPALIVE_MS = 200;
const DEADTIME_MS = 1_200;
const INITDEAD_MS = 3_000;
const POLICY_MS = 100;
const BACK_OFF_MS = 1_000;
/** A demotion that does not come to an end: the process is killed (R19). */
const DEMOTION_MAX_MS = 6_000;

/** What a beat tells. */
export interface Beat {
  readonly primary: boolean;
  readonly epoch: number;
  /** Its disk could be promoted. */
  readonly ready: boolean;
}

export type Heartbeat =
  | { readonly kind: "beat"; readonly beat: Beat }
  | { readonly kind: "fields"; readonly fields: Readonly<Record<string, string>> };

export interface AgentParts {
  readonly side: Side;
  readonly host: string;
  readonly peer: string;
  readonly disk: string;
  readonly events: EventQueue;
  readonly process: DiskProcess;
  readonly application: Application;
  readonly policy: FencingPolicy;
  /** R5: a disk that is only Consistent is never promoted while the peer is silent. */
  readonly strict: boolean;
  /** Epochs are told to the disk. */
  readonly epochs: boolean;
  readonly send: (message: Heartbeat) => void;
  /** Cuts the power of the peer, for certain; false: it can not be reached. */
  readonly shoot: (done: (ok: boolean) => void) => void;
  /** Where a person wants the group. */
  readonly preferred: () => Side;
  readonly prefer: (side: Side) => void;
  readonly tell: (what: string, count?: string) => void;
  readonly supervised: () => boolean;
}

/** The agent of one simulated host: heartbeat, verdict, the outdating core and a promotion policy. */
export class SimAgent {
  readonly #parts: AgentParts;
  alive = false;
  verdict: "unknown" | "alive" | "dead" = "unknown";
  #life = 0;
  #outdating: Outdating | undefined;
  #cancel: () => void = () => undefined;
  #bootedAt = 0;
  #heardAt = 0;
  #lookedAt = 0;
  #beat: Beat | undefined;
  #asking: number | null = null;
  #connected = false;
  #busy = false;
  #busySince = 0;
  #retryAt = 0;
  #refusal = "";
  #shooting = false;
  #consistentSince = 0;
  #heldEpoch = 0;
  // Durable.
  #record: FencingRecord | undefined;
  epoch = 1;
  heldLast = false;

  constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  get #now(): Instant {
    return instant(this.#parts.events.now + 5_000);
  }
  get beat(): Beat {
    const { process } = this.#parts;
    const { role, disk, conn } = process.state;
    const primary = process.alive && (role === "Primary" || this.#busy);
    return {
      primary,
      epoch: this.epoch,
      ready: process.alive && disk === "UpToDate" && conn === "Connected",
    };
  }
  get unproven(): boolean {
    return Object.keys(this.#record?.unproven ?? {}).length > 0;
  }

  start(): void {
    const { disk, peer, host, events } = this.#parts;
    this.alive = true;
    this.#life += 1;
    this.verdict = "unknown";
    this.#beat = undefined;
    this.#bootedAt = events.now;
    this.#lookedAt = events.now;
    this.#asking = null;
    this.#connected = false;
    this.#shooting = false;
    this.#outdating = new Outdating(
      { self: host, disks: [{ name: disk, peer }], hosts: [peer] },
      this.#record,
      this.#now,
    );
    this.#outdate({ kind: "tick" });
    // At once: else a disk may be connected while its host still counts as dead.
    this.#parts.send({ kind: "beat", beat: this.beat });
    this.#every(KEEPALIVE_MS, () => this.#parts.send({ kind: "beat", beat: this.beat }));
    this.#every(POLICY_MS, () => this.#look());
    this.startDisk();
  }

  die(): void {
    this.alive = false;
    this.#life += 1;
    this.#outdating = undefined;
    this.#busy = false;
    this.#cancel();
  }

  #every(ms: number, run: () => void): void {
    const { events, process } = this.#parts;
    const life = this.#life;
    const again = (): void => {
      events.schedule(events.now + ms, () => {
        if (life !== this.#life) return;
        if (!process.paused) run();
        again();
      });
    };
    again();
  }

  /** The process of the disk: attached and connected, as the agent's resource does it. */
  startDisk(): void {
    const { process, epochs } = this.#parts;
    if (!this.alive || process.alive) return;
    this.#busy = false;
    this.#asking = null;
    this.#connected = false;
    process.start();
    if (epochs) this.tellEpoch();
    process.command({ verb: "attach" });
    process.command({ verb: "connect", discardMyData: false });
  }

  tellEpoch(): void {
    if (this.#parts.epochs)
      this.#parts.process.feed({ kind: "epoch", clusterId: "sim", epoch: this.epoch });
  }

  /** The process ended by itself: it is started anew. */
  diskDied(): void {
    this.#busy = false;
    const { events } = this.#parts;
    const life = this.#life;
    this.#outdate({ kind: "fenceWithdrawn", disk: this.#parts.disk });
    events.schedule(events.now + 150, () => {
      if (life === this.#life && this.#parts.supervised()) this.startDisk();
    });
  }

  // -- heartbeat ----------------------------------------------------------------------------------------------------

  heard(message: Heartbeat): void {
    if (!this.alive) return;
    const { events, peer } = this.#parts;
    this.#heardAt = events.now;
    if (this.verdict !== "alive") {
      this.verdict = "alive";
      this.#outdate({ kind: "verdict", host: peer, verdict: "alive" });
    }
    if (message.kind === "fields") {
      this.#outdate({ kind: "message", host: peer, fields: message.fields });
      return;
    }
    this.#beat = message.beat;
    if (message.beat.epoch > this.epoch) {
      this.epoch = message.beat.epoch;
      this.heldLast = false;
      this.tellEpoch();
    }
  }

  #judge(): void {
    const { events, peer } = this.#parts;
    const gap = events.now - this.#lookedAt;
    this.#lookedAt = events.now;
    // R13: we ourselves stood still; what came meanwhile is heard first.
    if (gap > DEADTIME_MS / 2) {
      this.#heardAt = events.now;
      return;
    }
    const since = Math.max(this.#heardAt, this.#bootedAt);
    const limit = this.verdict === "alive" ? DEADTIME_MS : INITDEAD_MS;
    if (this.verdict === "dead" || events.now - since < limit) return;
    this.verdict = "dead";
    this.#beat = undefined;
    this.#parts.tell(`${peer} is dead to it`, "verdicts dead");
    this.#outdate({ kind: "verdict", host: peer, verdict: "dead" });
  }

  // -- outdating ----------------------------------------------------------------------------------------------------

  /** The state of the disk's process changed. */
  diskChanged(): void {
    if (!this.alive) return;
    const { process, disk, policy } = this.#parts;
    const asking = process.core?.asking() ?? null;
    const { connected } = process;
    if (connected && !this.#connected) this.#outdate({ kind: "connected", disk });
    this.#connected = connected;
    if (asking !== null && asking.attempt !== this.#asking) {
      this.#outdate({ kind: "fenceAsked", disk, attempt: asking.attempt, policy });
    }
    if (asking === null && this.#asking !== null) this.#outdate({ kind: "fenceWithdrawn", disk });
    this.#asking = asking?.attempt ?? null;
  }

  #outdate(event: OutdateEvent): void {
    const core = this.#outdating;
    if (core === undefined) return;
    for (const effect of core.step(this.#now, event)) this.#perform(effect);
    this.#cancel();
    const at = core.wakeAt();
    if (at === undefined) return;
    const life = this.#life;
    const { events, process } = this.#parts;
    const wake = (): void => {
      this.#cancel = events.schedule(Math.max(at - 5_000, events.now + 0.1), () => {
        if (life !== this.#life) return;
        if (process.paused) this.#cancel = events.schedule(events.now + 10, wake);
        else this.#outdate({ kind: "tick" });
      });
    };
    wake();
  }

  #perform(effect: OutdateEffect): void {
    const { events, process, send, tell } = this.#parts;
    const life = this.#life;
    const soon = (ms: number, run: () => void): void => {
      events.schedule(events.now + ms, () => {
        if (life === this.#life) run();
      });
    };
    switch (effect.kind) {
      case "persist":
        soon(3, () => {
          this.#record = effect.record;
          for (const next of effect.then) this.#perform(next);
        });
        return;
      case "send":
        send({ kind: "fields", fields: effect.fields });
        return;
      case "outdateHere":
        soon(1, () => this.#outdateHere(effect.disk, effect.request));
        return;
      case "fenceDone": {
        const { attempt, result, detail } = effect;
        tell(`fenced: ${result}`, `fence ${result}`);
        soon(1, () => process.feed({ kind: "fenceDone", attempt, result, detail }));
        return;
      }
      case "decision":
        tell(`${effect.reason} ${effect.detail}`);
        return;
      case "clientDone":
        return;
      default:
        effect satisfies never;
    }
  }

  #outdateHere(disk: string, request: number): void {
    const { process } = this.#parts;
    const life = this.#life;
    const answer = (exit: number): void => {
      this.#parts.tell(
        `outdates its copy: exit ${exit}, code ${codeOfOutdateExit(exit)}`,
        `outdate ${exit}`,
      );
      if (life === this.#life) this.#outdate({ kind: "outdated", disk, request, exit });
    };
    if (!process.alive) {
      answer(20);
      return;
    }
    process.command({ verb: "outdate" }, ({ outcome, code }: Outcome) => {
      if (outcome === "done") answer(0);
      else if (code === -16) answer(5);
      else answer(code === -1 || code === -2 ? 17 : 20);
    });
  }

  // -- policy -------------------------------------------------------------------------------------------------------

  #look(): void {
    this.#judge();
    const { process, events, policy } = this.#parts;
    if (policy === "resource-and-stonith" && this.#asking !== null) this.#shoot();
    if (process.state.disk !== "Consistent") this.#consistentSince = events.now;
    if (!process.alive || process.paused) return;
    if (this.#busy) {
      this.#endDemotion();
      return;
    }
    if (process.state.role === "Primary") this.#asPrimary();
    else if (events.now >= this.#retryAt) this.#asSecondary();
  }

  /** STONITH: whoever is silent and has to be excluded loses its power. */
  #shoot(): void {
    if (this.#shooting || this.verdict !== "dead") return;
    this.#shooting = true;
    const life = this.#life;
    this.#parts.shoot((ok) => {
      if (life !== this.#life) return;
      this.#shooting = false;
      if (ok) this.#outdate({ kind: "excluded", host: this.#parts.peer, by: "device" });
    });
  }

  #asPrimary(): void {
    const { process, application, side, preferred, tell } = this.#parts;
    const beat = this.#beat;
    if (!process.frozen && process.writable && !application.running) application.start();
    const wanted =
      preferred() !== side && beat?.ready === true && process.state.conn === "Connected";
    const usurped =
      beat?.primary === true &&
      beat.epoch > 0 &&
      this.verdict === "alive" &&
      beat.epoch > this.#heldEpoch;
    if (!wanted && !usurped) return;
    tell(
      usurped ? "gives way to the other Primary" : "hands over",
      usurped ? "usurped" : "switches",
    );
    this.#demote();
  }

  #demote(): void {
    const { process, application, events } = this.#parts;
    this.#busy = true;
    this.#busySince = events.now;
    const { generation } = process;
    application.stop(() => {
      process.command({ verb: "secondary" }, ({ outcome }) => {
        this.#busy = false;
        this.#retryAt = events.now + BACK_OFF_MS;
        if (outcome === "done") this.heldLast = false;
        else if (process.generation === generation)
          this.#parts.tell("could not step down", "failed demotions");
      });
    });
  }

  #endDemotion(): void {
    const { process, events, tell } = this.#parts;
    if (process.state.role !== "Primary" || events.now - this.#busySince < DEMOTION_MAX_MS) return;
    tell("could not step down in time: its process is killed", "killed demotions");
    process.die("kill");
  }

  #asSecondary(): void {
    const refusal = this.#gate();
    if (refusal !== undefined) {
      if (refusal !== "" && refusal !== this.#refusal) {
        this.#parts.tell(`does not promote: ${refusal}`, `refused: ${refusal}`);
      }
      this.#refusal = refusal;
      return;
    }
    this.#refusal = "";
    this.#promote();
  }

  /** Why nothing is promoted here now; "" if it is nobody's wish. */
  #gate(): string | undefined {
    const { process, side, preferred, prefer, strict, events } = this.#parts;
    const { disk, pdsk, peer } = process.state;
    const beat = this.#beat;
    if (this.verdict === "unknown") return "the peer is not known yet";
    const alone = this.verdict === "dead";
    if (!alone) {
      if (beat === undefined || beat.primary) return "";
      if (preferred() !== side) {
        // The other one can not.
        if (process.connected && disk === "UpToDate" && diskRank(pdsk) < diskRank("Consistent"))
          prefer(side);
        return "";
      }
    }
    if (process.connected && peer === "Primary") return "the other side is Primary";
    switch (disk) {
      case "UpToDate":
        return undefined;
      case "Consistent":
        if (!alone) {
          const isLate = events.now - this.#consistentSince >= DEADTIME_MS;
          return process.connected || isLate ? undefined : "the disks are not connected yet";
        }
        if (strict) return "only Consistent, and alone";
        if (!this.heldLast) return "only Consistent, and the other held it last";
        this.#outdate({ kind: "excluded", host: this.#parts.peer, by: "operator" });
        return undefined;
      case "Attaching":
      case "Negotiating":
      case "DUnknown":
        return "the disk is not there yet";
      default:
        if (process.connected && pdsk === "UpToDate") {
          if (!alone && beat?.ready === true) prefer(side === 0 ? 1 : 0);
          return undefined;
        }
        return `the disk is ${disk}`;
    }
  }

  #promote(): void {
    const { process, application, events, tell } = this.#parts;
    this.#busy = true;
    this.#busySince = events.now;
    this.epoch += 1;
    this.tellEpoch();
    tell(`promotes, epoch ${this.epoch}`, "promotions tried");
    process.command({ verb: "primary", force: false }, ({ outcome, reason }) => {
      this.#busy = false;
      if (outcome === "done") {
        this.heldLast = true;
        this.#heldEpoch = this.epoch;
        this.#parts.prefer(this.#parts.side);
        tell(`is Primary with ${process.state.disk} data`, "promotions");
        application.start();
        return;
      }
      this.#retryAt = events.now + BACK_OFF_MS;
      tell(`could not be promoted: ${reason}`, `refused: ${reason}`);
    });
  }
}
