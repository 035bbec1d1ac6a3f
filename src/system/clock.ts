import { after, type Clock, type Instant, instant } from "../base/index.ts";

/** `setTimeout` fires at once beyond this; a longer wait is made of several (2^31 - 1 ms). */
const TIMER_MAX_MS = 2_147_483_647;

/** CLOCK_MONOTONIC, shared by all threads and processes of this host (DESIGN 7.2). */
export const monotonicClock: Clock = {
  now: monotonicNow,
  at: (at, wake) => {
    let timer: NodeJS.Timeout;
    function arm(): void {
      const leftMs = at - monotonicNow();
      // Timers of Node may fire up to a millisecond early against this clock: look again.
      if (leftMs <= 0) wake();
      else timer = setTimeout(arm, Math.min(Math.ceil(leftMs), TIMER_MAX_MS));
    }
    timer = setTimeout(arm, Math.min(Math.max(0, Math.ceil(at - monotonicNow())), TIMER_MAX_MS));
    return () => clearTimeout(timer);
  },
};

function monotonicNow(): Instant {
  return instant(Number(process.hrtime.bigint()) / 1e6);
}

/** Resolves after `ms` milliseconds. @throws the reason of `signal` if that is aborted before */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const cancel = monotonicClock.at(after(monotonicNow(), ms), () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    function abort(): void {
      cancel();
      reject(signal?.reason);
    }
    signal?.addEventListener("abort", abort, { once: true });
  });
}
