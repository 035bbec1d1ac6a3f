/** The plain JSON state of the outdating core, and the pure questions about it. */
import { after, type Instant } from "../base/index.ts";
import type { FencingPolicy } from "../replication/index.ts";
import type { FencingRecord, PeerVerdict } from "./contract.ts";
import type { FencingReason } from "./reasons.ts";

/** The process of a disk waits for the exclusion of its peer. */
export interface Ask {
  readonly attempt: number;
  readonly policy: FencingPolicy;
  readonly since: Instant;
  /** Decisions that were told once. */
  readonly told: FencingReason[];
}

/** A fence-peer handler waits. */
export interface Waiter {
  readonly client: string;
  readonly until: Instant;
}

/** All that concerns one disk whose other copy is on `host`. */
export interface Exchange {
  readonly disk: string;
  readonly host: string;
  ask: Ask | null;
  waiters: Waiter[];
  /** The mark of the newest question; null: none was ever asked. */
  question: string | null;
  /** Questions of this round. */
  tries: number;
  /** When the next question is due. */
  sendAt: Instant;
  /** When questions were sent whose answers did not come. */
  unanswered: Instant[];
  /** So many answers without a mark still belong to earlier rounds. */
  stale: number;
}

/** The other host asked us to outdate our copy. */
export interface Serving {
  readonly request: number;
  readonly until: Instant;
  readonly askers: { readonly host: string; readonly question: string | null }[];
}

export interface OutdateState {
  exchanges: Record<string, Exchange>;
  serving: Record<string, Serving>;
  verdicts: Record<string, PeerVerdict>;
  /** Fenced by a device or declared down by a person, and not heard since. */
  excluded: string[];
  record: FencingRecord;
  /** Part of the marks of questions: another life of this agent has another one. */
  mark: string;
  counter: number;
}

/** How long `resource-only` waits for a proof (DESIGN 7.8). */
export const RESOURCE_ONLY_MS = 1_000;
/** Questions of one round come after these times, the last one again and again: the original's dopd may be respawning. */
const REPEAT_MS = [500, 500, 1_000, 2_000, 5_000];
/** A question without an answer for so long gets none any more. */
export const ANSWER_MS = 60_000;
/** The asked side says "failed" if its own disk has not answered by then. */
export const SERVE_MS = 10_000;
/** Handlers that wait for one disk, and questions that wait for one answer; more is a loop of somebody's. */
export const WAITERS_MAX = 64;

/** When the question after this many is due. */
export const repeatAt = (now: Instant, tries: number): Instant =>
  after(now, REPEAT_MS[Math.min(tries, REPEAT_MS.length) - 1] ?? 500);

/** Somebody waits for an answer. */
export const isOpen = (exchange: Exchange): boolean =>
  exchange.ask !== null || exchange.waiters.length > 0;

/** Membership says that the host does not answer: silence for deadtime, or a goodbye. */
export const isGone = (state: OutdateState, host: string): boolean => {
  const verdict = Object.hasOwn(state.verdicts, host) ? state.verdicts[host] : undefined;
  return verdict === "dead" || verdict === "left";
};

/** When the core must be called again for this exchange; undefined: not by itself. */
export function exchangeWakeAt(
  state: OutdateState,
  exchange: Exchange,
): readonly (Instant | undefined)[] {
  const { ask } = exchange;
  if (!isOpen(exchange)) return [];
  return [
    isGone(state, exchange.host) ? undefined : exchange.sendAt,
    ask?.policy === "resource-only" ? after(ask.since, RESOURCE_ONLY_MS) : undefined,
    ...exchange.waiters.map(({ until }) => until),
  ];
}

/** An exchange in which nothing was ever asked. */
export const newExchange = (disk: string, host: string, now: Instant): Exchange => ({
  disk,
  host,
  ask: null,
  waiters: [],
  question: null,
  tries: 0,
  sendAt: now,
  unanswered: [],
  stale: 0,
});
