/** When a resync or verify may ask for more, and how much: the two rates of rate.ts behind one face, and `c-min-rate`. */
import { after, type Instant } from "../../base/index.ts";
import type { ResyncOptions } from "../options.ts";
import type { DataContext } from "./context.ts";
import { RateController, TURN_MS, WindowRate } from "./rate.ts";

/** Application I/O above this, in sectors per turn, counts as significant. */
const significantSectors = 64;
/** The speed that c-min-rate is compared with is measured over about this long. */
const measureTurns = 60;

/** One for each resync or verify, made anew when its options change. */
export class Pace {
  readonly #ctx: DataContext;
  readonly #controller: RateController | undefined;
  readonly #window: WindowRate | undefined;
  readonly #minRate: number;
  #turnAt: Instant;
  #units = 0;
  #inFlightBytes = 0;
  #applicationSectors: number;
  /** Blocks done in each of the last turns. */
  readonly #done: number[] = [];
  #doneNow = 0;
  #windowWakeAt: Instant | undefined;

  constructor(ctx: DataContext, options: ResyncOptions) {
    this.#ctx = ctx;
    const { maxBuffers } = ctx.options.spec.net;
    if (ctx.session?.baton === true) this.#window = new WindowRate(options, ctx.now);
    else this.#controller = new RateController(options, maxBuffers);
    this.#minRate = options.minRateKibPerSecond;
    this.#turnAt = ctx.now;
    this.#applicationSectors = ctx.applicationSectors;
  }

  get wantKibPerSecond(): number {
    return this.#window?.wantKibPerSecond ?? this.#controller?.wantKibPerSecond ?? 0;
  }

  /** Blocks of 4 KiB that may be asked for now. */
  room(): number {
    if (this.#ctx.now >= this.#turnAt) this.#turn();
    if (this.#window === undefined) return this.#units;
    return this.#units === 0 ? 0 : this.#window.room(this.#ctx.now, this.#inFlightBytes);
  }

  issued(units: number): void {
    this.#inFlightBytes += units * 4096;
    if (this.#window !== undefined) this.#window.issued(units);
    else {
      this.#units = Math.max(0, this.#units - units);
      this.#controller?.issued(units);
    }
  }

  /** An answer of any kind came. */
  received(sectors: number): void {
    this.#inFlightBytes = Math.max(0, this.#inFlightBytes - sectors * 512);
    this.#doneNow += sectors / 8;
    this.#controller?.received(sectors);
  }

  /** When `room` may be larger than it was. */
  wakeAt(): Instant {
    return this.#windowWakeAt !== undefined && this.#windowWakeAt < this.#turnAt
      ? this.#windowWakeAt
      : this.#turnAt;
  }

  /** There was more to ask for than there was room: sets the time of the next look. */
  wantsMore(): void {
    if (this.#window === undefined || this.#units === 0) return;
    const wait = this.#window.waitMs(64);
    this.#windowWakeAt = wait === 0 ? undefined : after(this.#ctx.now, wait);
  }

  #turn(): void {
    const { now, applicationSectors, applicationWaits } = this.#ctx;
    this.#turnAt = after(now, TURN_MS);
    this.#windowWakeAt = undefined;
    const busy =
      applicationSectors - this.#applicationSectors > significantSectors || applicationWaits > 0;
    this.#applicationSectors = applicationSectors;
    this.#done.push(this.#doneNow);
    this.#doneNow = 0;
    if (this.#done.length > measureTurns) this.#done.shift();
    const units = this.#controller?.turn() ?? 1;
    this.#units = busy && this.#minRate > 0 && this.#speed() > this.#minRate ? 0 : units;
  }

  /** KiB/s of late. */
  #speed(): number {
    let blocks = 0;
    for (const done of this.#done) blocks += done;
    return (blocks * 4 * 1000) / (this.#done.length * TURN_MS);
  }
}
