/**
 * The last messages that we sent, to send them again when a peer asks (heartbeat.md 6.4).
 *
 *   asked for             answer
 *   acknowledged by them  nothing
 *   in the history        the same message again, if not sent within 240 ms
 *   too old               NS_nak_rexmit "seqno too low", once per request
 *   never sent            nothing (the original logs it)
 */
import type { Instant } from "../base/index.ts";
import type { Field } from "./wire/index.ts";

/** heartbeat keeps 500 too. */
export const historyMax = 500;
/** max_rexmit_delay less 10 ms: two links and two peers may ask for the same at once. */
export const resendIntervalMs = 240;
/** Messages served per request. */
export const servedMax = 50;

/** A message as it was sent, without what depends on the key. */
export interface SentMessage {
  readonly sequence: number;
  readonly fields: readonly Field[];
  sentAt: Instant;
}

export interface Served {
  readonly again: readonly SentMessage[];
  /** Numbers asked for that the history no longer has. */
  readonly gone: readonly number[];
}

/** Remembers one more message; forgets the oldest beyond `historyMax`. */
export function remember(history: SentMessage[], message: SentMessage): void {
  history.push(message);
  if (history.length > historyMax) history.splice(0, history.length - historyMax);
}

/** What to do for a request of `first` to `last` by a peer that acknowledged up to `acked`. */
export function serve(
  history: readonly SentMessage[],
  request: { readonly first: number; readonly last: number; readonly acked: number },
  now: Instant,
): Served {
  const again: SentMessage[] = [];
  const gone: number[] = [];
  const newest = history.at(-1)?.sequence ?? 0;
  const first = Math.max(request.first, request.acked + 1);
  const last = Math.min(request.last, newest, first + servedMax - 1);
  for (let sequence = first; sequence <= last; sequence++) {
    const oldest = history[0]?.sequence ?? 1;
    const message = history[sequence - oldest];
    if (message === undefined) gone.push(sequence);
    else if (now - message.sentAt >= resendIntervalMs) {
      message.sentAt = now;
      again.push(message);
    }
  }
  return { again, gone };
}
