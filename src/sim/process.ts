/**
 * A process of a simulated host: it can be killed, started anew and paused. While paused, what
 * arrives waits in its socket buffers; on resume the backlog comes first, in its order, and the late
 * timers after it, as a kernel does it (reliability 7.2).
 */
import { type Clock, type Instant, instant } from "../base/index.ts";
import type { EventQueue } from "./event-queue.ts";

/** Datagrams that a socket buffer of 212 KiB holds; the rest is dropped. */
const BACKLOG_MAX = 500;

/** No timer of a real process fires in the moment in which it is set. */
const TIMER_GRAIN_MS = 0.1;

/** One process; `generation` counts its starts, so that what an older one had armed is forgotten. */
export class SimProcess {
  readonly #events: EventQueue;
  readonly #bootedAt: () => number;
  #backlog: (() => void)[] = [];
  #lateTimers: (() => void)[] = [];
  #pausedUntil = 0;
  #pausedFrom = 0;
  alive = false;
  generation = 0;

  constructor(events: EventQueue, bootedAt: () => number) {
    this.#events = events;
    this.#bootedAt = bootedAt;
  }

  get paused(): boolean {
    return this.#events.now < this.#pausedUntil;
  }

  /** How long the present pause lasts already, in milliseconds; 0 while it is run. */
  get pausedForMs(): number {
    return this.paused ? this.#events.now - this.#pausedFrom : 0;
  }

  start(): void {
    this.alive = true;
    this.generation++;
    this.#backlog = [];
    this.#lateTimers = [];
  }

  kill(): void {
    this.alive = false;
    this.#pausedUntil = 0;
    this.#backlog = [];
    this.#lateTimers = [];
  }

  /** Freezes for `ms` from now; a longer pause under way goes on. */
  pause(ms: number): void {
    const until = this.#events.now + ms;
    if (!this.alive || until <= this.#pausedUntil) return;
    if (!this.paused) this.#pausedFrom = this.#events.now;
    this.#pausedUntil = until;
    const { generation } = this;
    this.#events.schedule(until, () => {
      if (this.generation === generation && this.alive && !this.paused) this.#resume();
    });
  }

  /** Something arrives for this process at `at`. */
  deliver(at: number, run: () => void): void {
    const { generation } = this;
    this.#events.schedule(at, () => {
      if (!this.alive || this.generation !== generation) return;
      if (!this.paused) run();
      else if (this.#backlog.length < BACKLOG_MAX) this.#backlog.push(run);
    });
  }

  /** CLOCK_MONOTONIC of the host and timers of this process; both end with this start of it. */
  clock(): Clock {
    const { generation } = this;
    return {
      now: (): Instant => instant(this.#events.now - this.#bootedAt()),
      at: (at, wake) => {
        let cancelled = false;
        const fire = (): void => {
          if (!cancelled && this.alive && this.generation === generation) wake();
        };
        const due = Math.max(at + this.#bootedAt(), this.#events.now + TIMER_GRAIN_MS);
        const cancel = this.#events.schedule(due, () => {
          if (this.paused) this.#lateTimers.push(fire);
          else fire();
        });
        return () => {
          cancelled = true;
          cancel();
        };
      },
    };
  }

  #resume(): void {
    const { generation } = this;
    const waiting = [...this.#backlog, ...this.#lateTimers];
    this.#backlog = [];
    this.#lateTimers = [];
    for (const run of waiting) if (this.alive && this.generation === generation) run();
  }
}
