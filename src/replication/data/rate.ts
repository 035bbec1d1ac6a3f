/**
 * How fast a target asks for blocks: the controller of drbd.md 6.5 as it is for kernel peers, and a window for a Baton
 * peer, whose replies need no 0.1 s steps to keep a fast link full.
 */
import type { ResyncOptions } from "../options.ts";

/** One turn of the controller. */
export const TURN_MS = 100;

/** The controller for kernel peers; `turn` every 0.1 s. */
export class RateController {
  readonly #plan: Int32Array;
  readonly #options: ResyncOptions;
  readonly #maxBuffers: number;
  #head = 0;
  #total = 0;
  #inFlight = 0;
  #received = 0;
  #want: number;

  constructor(options: ResyncOptions, maxBuffers: number) {
    this.#options = options;
    this.#maxBuffers = maxBuffers;
    this.#plan = new Int32Array(Math.max(1, options.planAheadSteps));
    this.#want = options.rateKibPerSecond;
  }

  /** Sectors asked for and not yet answered. */
  get inFlightSectors(): number {
    return this.#inFlight;
  }

  /** KiB/s that the last turn aimed at: `want` of /proc/drbd. */
  get wantKibPerSecond(): number {
    return this.#want;
  }

  /** A reply, an in-sync notice or a refusal: the sectors are back. */
  received(sectors: number): void {
    this.#received += sectors;
  }

  /** Blocks of 4 KiB that were asked for after the last `turn`. */
  issued(units: number): void {
    this.#inFlight += units * 8;
  }

  /** Once per 0.1 s: how many blocks of 4 KiB may be asked for. At least one: a fixed rate under 40 KiB/s would round to none. */
  turn(): number {
    const sectorsIn = this.#received;
    this.#received = 0;
    this.#inFlight = Math.max(0, this.#inFlight - sectorsIn);
    const { planAheadSteps, rateKibPerSecond } = this.#options;
    let units: number;
    if (planAheadSteps > 0) {
      const sectors = this.#planned(sectorsIn);
      units = sectors >> 3;
      this.#want = sectors * 5;
    } else {
      units = Math.floor(rateKibPerSecond / 40);
      this.#want = rateKibPerSecond;
    }
    const room = Math.floor(this.#maxBuffers / 2 - this.#inFlight / 8);
    if (room <= 0) return this.#inFlight === 0 ? 1 : 0;
    return Math.max(1, Math.min(units, room));
  }

  #planned(sectorsIn: number): number {
    const {
      planAheadSteps,
      rateKibPerSecond,
      fillTargetSectors,
      delayTargetSteps,
      maxRateKibPerSecond,
    } = this.#options;
    const plan = this.#plan;
    const wanted =
      this.#inFlight + sectorsIn === 0
        ? Math.trunc((rateKibPerSecond * 2 * planAheadSteps) / 10)
        : fillTargetSectors !== 0
          ? fillTargetSectors
          : sectorsIn * delayTargetSteps;
    const correction = wanted - this.#inFlight - this.#total;
    const perSlot = Math.trunc(correction / planAheadSteps);
    for (let slot = 0; slot < plan.length; slot++) plan[slot] = (plan[slot] ?? 0) + perSlot;
    this.#total += perSlot * planAheadSteps;
    const current = plan[this.#head] ?? 0;
    plan[this.#head] = 0;
    this.#head = (this.#head + 1) % plan.length;
    this.#total -= current;
    const ceiling = Math.trunc((maxRateKibPerSecond * 2) / 10);
    return Math.min(Math.max(sectorsIn + current, 0), ceiling);
  }
}

/** The most that may be under way to a Baton peer: enough for 500 MB/s at 60 ms. */
const windowBytes = 32 * 1024 * 1024;

/**
 * Between two Baton hosts: a bounded window, filled up as replies come, and never more than c-max-rate (or the fixed rate)
 * in a second, with a tenth of a second of it at once.
 */
export class WindowRate {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #credit: number;
  #at: number;

  constructor(options: ResyncOptions, now: number) {
    const kib = options.planAheadSteps > 0 ? options.maxRateKibPerSecond : options.rateKibPerSecond;
    this.#bytesPerMs = Math.max(40, kib) * 1.024;
    this.#burstBytes = Math.max(4096, this.#bytesPerMs * TURN_MS);
    this.#credit = this.#burstBytes;
    this.#at = now;
  }

  get wantKibPerSecond(): number {
    return Math.round(this.#bytesPerMs / 1.024);
  }

  /** Blocks of 4 KiB that may be asked for now; at least one if nothing is under way. */
  room(now: number, inFlightBytes: number): number {
    this.#credit = Math.min(this.#burstBytes, this.#credit + (now - this.#at) * this.#bytesPerMs);
    this.#at = now;
    return Math.max(0, Math.floor(Math.min(this.#credit, windowBytes - inFlightBytes) / 4096));
  }

  issued(units: number): void {
    this.#credit -= units * 4096;
  }

  /** Milliseconds until a request of `units` blocks is in credit. */
  waitMs(units: number): number {
    const missing = Math.min(units * 4096, this.#burstBytes) - this.#credit;
    return missing <= 0 ? 0 : Math.max(1, Math.ceil(missing / this.#bytesPerMs));
  }
}
