/**
 * What leaves the core, in order (I9: what is not durable is not visible).
 *
 * While a superblock write is under way every effect that comes after it waits behind it, whoever emitted it. What
 * passes: the metadata writes themselves, pings and their answers, and what only informs. Metadata writes of both
 * halves of the core go through one queue: one is in flight, those that come meanwhile go out together.
 */
import type { Instant } from "../../base/index.ts";
import type { DiskEffect, MetadataWrite } from "../contract.ts";

interface Held {
  readonly effect: DiskEffect;
  /** Token of the superblock write that must be durable first. */
  readonly behind: number;
}
interface Queued {
  readonly token: number;
  readonly writes: readonly MetadataWrite[];
}
interface Flight {
  readonly token: number;
  readonly tokens: readonly number[];
  readonly since: Instant;
}

/** What came of a metadata write: the tokens that are done, and local I/O that was given up. */
export interface MetadataResult {
  readonly tokens: readonly number[];
  readonly abandonedIo: readonly number[];
}

/** See the top of this file. */
export class Output {
  #effects: DiskEffect[] = [];
  #held: Held[] = [];
  #queued: Queued[] = [];
  #flight: Flight | null = null;
  #nextToken = 1;
  #nextIo = 1;
  /** Of superblock writes: the newest that was queued, the newest that is durable. */
  #gate = 0;
  #durable = 0;
  readonly #localIo = new Map<number, Instant>();
  #now: Instant;

  constructor(now: Instant) {
    this.#now = now;
  }

  begin(now: Instant): void {
    this.#now = now;
  }

  /** The effects of this step. */
  take(): readonly DiskEffect[] {
    this.#startFlight();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  emit(effect: DiskEffect): void {
    if ((this.#held.length === 0 && this.#gate <= this.#durable) || passes(effect)) {
      this.#release(effect);
    } else {
      this.#held.push({ effect: keepBytes(effect), behind: this.#gate });
    }
  }

  nextIo(): number {
    return this.#nextIo++;
  }

  /** Queues writes; `superblock`: what is emitted from now on waits for it. */
  writeMetadata(writes: readonly MetadataWrite[], superblock: boolean): number {
    const token = this.#nextToken++;
    this.#queued.push({ token, writes });
    if (superblock) this.#gate = token;
    return token;
  }

  metadataDone(token: number, ok: boolean): MetadataResult {
    const flight = this.#flight;
    if (flight === null || flight.token !== token) return { tokens: [], abandonedIo: [] };
    this.#flight = null;
    const newest = flight.tokens.at(-1) ?? 0;
    if (ok) {
      this.#durable = Math.max(this.#durable, newest);
      this.#releaseHeld();
      return { tokens: flight.tokens, abandonedIo: [] };
    }
    return { tokens: flight.tokens, abandonedIo: [] };
  }

  /**
   * The metadata device is gone: nothing can become durable any more. Writes that waited are not made, and no
   * application is told that one succeeded. Answers with the tokens that will never be done.
   */
  abandonMetadata(): MetadataResult {
    const tokens = [...(this.#flight?.tokens ?? []), ...this.#queued.map(({ token }) => token)];
    this.#flight = null;
    this.#queued = [];
    this.#durable = this.#nextToken - 1;
    const abandonedIo: number[] = [];
    const held = this.#held;
    this.#held = [];
    for (const { effect } of held) {
      if (effect.kind === "answer" && effect.ok && effect.data === undefined) {
        this.#release({ kind: "answer", id: effect.id, ok: false, errno: "EIO" });
      } else if (isLocalIo(effect)) abandonedIo.push(effect.io);
      else this.#release(effect);
    }
    return { tokens, abandonedIo };
  }

  ioDone(io: number): void {
    this.#localIo.delete(io);
  }

  /** Whether local I/O or metadata writes are under way or waiting. */
  busy(): boolean {
    return this.#localIo.size > 0 || this.#flight !== null || this.#queued.length > 0;
  }

  /** Since when the oldest local I/O or metadata write is under way. */
  oldestIo(): Instant | undefined {
    const first = this.#localIo.values().next();
    const io = first.done === true ? undefined : first.value;
    const metadata = this.#flight?.since;
    if (io === undefined || metadata === undefined) return io ?? metadata;
    return io < metadata ? io : metadata;
  }

  snapshot(): unknown {
    return {
      held: this.#held,
      queued: this.#queued,
      flight: this.#flight,
      next: [this.#nextToken, this.#nextIo],
      gate: [this.#gate, this.#durable],
      localIo: [...this.#localIo],
    };
  }

  /** Becomes what a snapshot says. */
  load(found: unknown): void {
    const plain = found as {
      held: Held[];
      queued: Queued[];
      flight: Flight | null;
      next: [number, number];
      gate: [number, number];
      localIo: [number, Instant][];
    };
    this.#held = plain.held;
    this.#queued = plain.queued;
    this.#flight = plain.flight;
    [this.#nextToken, this.#nextIo] = plain.next;
    [this.#gate, this.#durable] = plain.gate;
    for (const [io, since] of plain.localIo) this.#localIo.set(io, since);
  }

  #release(effect: DiskEffect): void {
    if (isLocalIo(effect)) this.#localIo.set(effect.io, this.#now);
    this.#effects.push(effect);
  }

  #releaseHeld(): void {
    let count = 0;
    for (const { effect, behind } of this.#held) {
      if (behind > this.#durable) break;
      this.#release(effect);
      count += 1;
    }
    if (count > 0) this.#held = this.#held.slice(count);
  }

  #startFlight(): void {
    if (this.#flight !== null || this.#queued.length === 0) return;
    const tokens = this.#queued.map(({ token }) => token);
    const writes = this.#queued.flatMap((entry) => entry.writes);
    this.#queued = [];
    const token = tokens.at(-1) ?? 0;
    this.#flight = { token, tokens, since: this.#now };
    this.#effects.push({ kind: "metadata", token, writes });
  }
}

type LocalIo = Extract<DiskEffect, { io: number }>;
const isLocalIo = (effect: DiskEffect): effect is LocalIo => "io" in effect;

function passes(effect: DiskEffect): boolean {
  switch (effect.kind) {
    case "metadata":
    case "agreed":
    case "progress":
    case "decision":
    case "changed":
      return true;
    case "send":
      return effect.packet.command === "P_PING" || effect.packet.command === "P_PING_ACK";
    default:
      return false;
  }
}

/** Bytes of an event live only as long as the step: what waits longer has its own. */
function keepBytes(effect: DiskEffect): DiskEffect {
  if (effect.kind === "localWrite") return { ...effect, data: new Uint8Array(effect.data) };
  if (effect.kind === "answer" && effect.ok && effect.data !== undefined) {
    return { ...effect, data: new Uint8Array(effect.data) };
  }
  if (effect.kind === "send" && "data" in effect.packet && effect.packet.data !== undefined) {
    const packet = { ...effect.packet, data: new Uint8Array(effect.packet.data) };
    return { ...effect, packet: packet as typeof effect.packet };
  }
  return effect;
}
