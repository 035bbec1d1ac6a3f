/** poll(2) for a thread whose loop is its own: waits for several descriptors at once, up to a limit. */
import { EINTR } from "./descriptors.ts";
import { addressOf, bindNative, errno, SystemCallError } from "./ffi.ts";

export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
/** The other side has shut down its sending direction. */
export const POLLRDHUP = 0x2000;

/** No wait is longer, whatever is asked: a lost wake-up then costs this much and not for ever. */
export const POLL_WAIT_MAX_MS = 60_000;

const native = bindNative({
  poll: { arguments: ["pointer", "uint32", "int32"], return: "int32" },
});

/**
 * A fixed number of slots, each for one descriptor, in one reusable array of `struct pollfd`. Holds up the event loop
 * of its thread: only for workers that have nothing else to do.
 */
export class PollSet {
  readonly size: number;
  readonly #descriptors: Int32Array;
  readonly #events: Int16Array;
  readonly #address: bigint;

  constructor(size: number) {
    const memory = new ArrayBuffer(size * 8);
    this.size = size;
    this.#descriptors = new Int32Array(memory).fill(-1);
    this.#events = new Int16Array(memory);
    for (let slot = 0; slot < size; slot++) this.ignore(slot);
    this.#address = addressOf(memory);
  }

  /** Watches `fd` in this slot for `events`; errors and hang-ups are always told. */
  watch(slot: number, fd: number, events: number): void {
    this.#descriptors[slot * 2] = fd;
    this.#events[slot * 4 + 2] = events;
    this.#events[slot * 4 + 3] = 0;
  }

  /** Takes nothing from this slot until it is watched again. */
  ignore(slot: number): void {
    this.watch(slot, -1, 0);
  }

  /** What is true of the descriptor of this slot since the last `wait`: POLLIN, POLLOUT, POLLERR, ... */
  ready(slot: number): number {
    return this.#events[slot * 4 + 3] ?? 0;
  }

  /**
   * Waits until something is ready.
   * @param timeoutMs 0 returns at once; bounded by POLL_WAIT_MAX_MS; fractions are rounded up
   * @returns how many slots are ready; 0 after the time, or when a signal came in between
   * @throws {SystemCallError} a bug: EINVAL, EFAULT
   */
  wait(timeoutMs: number): number {
    const bounded = Math.min(Math.max(Math.ceil(timeoutMs), 0), POLL_WAIT_MAX_MS);
    const count = native.poll(this.#address, this.size, bounded);
    if (count !== -1) return count;
    const number = errno();
    if (number !== EINTR) throw new SystemCallError("poll", number);
    for (let slot = 0; slot < this.size; slot++) this.#events[slot * 4 + 3] = 0;
    return 0;
  }
}
