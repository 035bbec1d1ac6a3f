/** Asking: the other copy has to be outdated (diagram in `outdate.ts`). */
import { after, assert, unreachable } from "../base/index.ts";
import type { FenceResult, FencingPolicy } from "../replication/index.ts";
import type { OutdateEffect, OutdateEvent } from "./contract.ts";
import { askToOutdate, type DopMessage, dopCode } from "./dopd.ts";
import type { FencingReason } from "./reasons.ts";
import {
  ANSWER_MS,
  type Exchange,
  isGone,
  isOpen,
  newExchange,
  RESOURCE_ONLY_MS,
  repeatAt,
  WAITERS_MAX,
} from "./state.ts";
import type { Turn } from "./turn.ts";

const exchangeOf = (turn: Turn, disk: string): Exchange | undefined =>
  Object.hasOwn(turn.state.exchanges, disk) ? turn.state.exchanges[disk] : undefined;

/** The disk wants its peer excluded. */
export function fenceAsked(turn: Turn, disk: string, attempt: number, policy: FencingPolicy): void {
  const exchange = exchangeOf(turn, disk);
  if (exchange === undefined) {
    turn.emit(fenceDone(disk, attempt, "broken", `no disk ${disk} is configured`));
    return;
  }
  if (exchange.ask?.attempt === attempt) return;
  exchange.ask = { attempt, policy, since: turn.now, told: [] };
  beginRound(turn, exchange);
}

/** It wants that no longer. An answer that is under way belongs to no later attempt. */
export function fenceWithdrawn(turn: Turn, disk: string): void {
  const exchange = exchangeOf(turn, disk);
  if (exchange === undefined || exchange.ask === null) return;
  exchange.ask = null;
  turn.decide("BTN-FENCE-WITHDRAWN", exchange, "");
}

/** A fence-peer handler asks; answered at once where dopd would. */
export function clientAsked(
  turn: Turn,
  event: Extract<OutdateEvent, { kind: "clientAsked" }>,
): void {
  const { client, disk, host } = event;
  const exchange = exchangeOf(turn, disk) ?? newExchange(disk, host, turn.now);
  const refusal = clientRefusal(turn, exchange, host);
  if (refusal !== undefined) {
    turn.decide("BTN-FENCE-CLIENT-REFUSED", { disk, host }, refusal.detail);
    turn.emit({ kind: "clientDone", client, code: refusal.code });
    return;
  }
  turn.state.exchanges[disk] = exchange;
  exchange.waiters.push({ client, until: after(turn.now, event.timeoutMs) });
  beginRound(turn, exchange);
}

function clientRefusal(
  { options, state }: Turn,
  exchange: Exchange,
  host: string,
): { readonly code: number; readonly detail: string } | undefined {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(exchange.disk)) {
    return { code: dopCode.failed, detail: "that is no name of a disk" };
  }
  const hosts = [...options.hosts, ...options.disks.map(({ peer }) => peer)];
  if (host === options.self || !hosts.includes(host)) {
    return { code: dopCode.unreachable, detail: `${host} is no other host of this cluster` };
  }
  if (exchange.host !== host) {
    return { code: dopCode.unreachable, detail: `the peer is ${exchange.host}` };
  }
  const isFull =
    exchange.waiters.length >= WAITERS_MAX ||
    Object.keys(state.exchanges).length >= options.disks.length + WAITERS_MAX;
  return isFull ? { code: dopCode.busy, detail: "too many handlers wait" } : undefined;
}

/** A handler went away. */
export function clientGone(turn: Turn, gone: string): void {
  for (const exchange of Object.values(turn.state.exchanges)) {
    exchange.waiters = exchange.waiters.filter(({ client }) => client !== gone);
  }
}

/** What was asked before is not answered for this round. */
function beginRound(turn: Turn, exchange: Exchange): void {
  exchange.unanswered = exchange.unanswered.filter((at) => turn.now < after(at, ANSWER_MS));
  exchange.stale = exchange.unanswered.length;
  exchange.question = `${turn.state.mark}-${++turn.state.counter}`;
  exchange.tries = 0;
  exchange.sendAt = turn.now;
}

/** What time, verdicts and policy make of an exchange; asks again when that is due. */
export function judgeExchange(turn: Turn, exchange: Exchange): void {
  const gone = isGone(turn.state, exchange.host);
  const [over, waiting] = [
    exchange.waiters.filter(({ until }) => gone || turn.now >= until),
    exchange.waiters.filter(({ until }) => !gone && turn.now < until),
  ];
  exchange.waiters = waiting;
  for (const { client } of over) {
    turn.emit({ kind: "clientDone", client, code: dopCode.unreachable });
  }
  judgeAsk(turn, exchange, gone);
  if (isOpen(exchange)) {
    if (!gone && turn.now >= exchange.sendAt) ask(turn, exchange);
  } else if (!turn.options.disks.some(({ name }) => name === exchange.disk)) {
    delete turn.state.exchanges[exchange.disk];
  }
}

function judgeAsk(turn: Turn, exchange: Exchange, gone: boolean): void {
  if (exchange.ask === null) return;
  const { host } = exchange;
  if (turn.state.excluded.includes(host)) {
    finish(turn, exchange, 7, `${host} was fenced or declared down`);
    return;
  }
  const verdict = `${host} is ${turn.state.verdicts[host]}`;
  const { policy, since } = exchange.ask;
  switch (policy) {
    case "dont-care":
      goOnUnproven(turn, exchange, "BTN-FENCE-DONT-CARE", "fencing is dont-care");
      break;
    case "resource-only":
      if (gone) goOnUnproven(turn, exchange, "BTN-FENCE-PEER-DEAD", verdict);
      else if (turn.now >= after(since, RESOURCE_ONLY_MS)) {
        const detail = `no proof in ${RESOURCE_ONLY_MS} ms`;
        goOnUnproven(turn, exchange, "BTN-FENCE-UNPROVEN", detail);
      }
      break;
    case "native":
      // 7, not 5: by this policy the verdict is what a fencing device's word is by the others (DESIGN 7.8).
      if (gone) goOnUnproven(turn, exchange, "BTN-FENCE-PEER-DEAD", verdict, 7);
      break;
    case "resource-and-stonith":
      if (gone) tellOnce(turn, exchange, "BTN-FENCE-WAITING", verdict);
      break;
    default:
      unreachable(policy);
  }
}

function ask(turn: Turn, exchange: Exchange): void {
  const { disk, host, question } = exchange;
  assert(question !== null, "A round has a question");
  exchange.tries++;
  exchange.unanswered = [...exchange.unanswered, turn.now].slice(-WAITERS_MAX);
  exchange.sendAt = repeatAt(turn.now, exchange.tries);
  if (exchange.tries === 1) turn.decide("BTN-FENCE-ASKED", exchange, "");
  if (exchange.tries === 3) tellOnce(turn, exchange, "BTN-FENCE-UNCONFIRMED", "no answer yet");
  turn.emit({ kind: "send", fields: askToOutdate(host, disk, question) });
}

/** An answer of the other host. What no question was sent for is ignored. */
export function heardAnswer(
  turn: Turn,
  host: string,
  answer: Extract<DopMessage, { kind: "answer" }>,
): void {
  const exchange = exchangeOf(turn, answer.disk);
  if (exchange?.host !== host || exchange.unanswered.length === 0) return;
  if (!isFresh(exchange, answer.question)) {
    if (isOpen(exchange)) turn.decide("BTN-FENCE-STALE-ANSWER", exchange, `code ${answer.code}`);
    return;
  }
  const detail = `${host} answers ${answer.code}`;
  switch (answer.code) {
    case dopCode.outdated:
    case dopCode.inconsistent:
    case dopCode.primary:
      finish(turn, exchange, answer.code, detail);
      return;
    default:
      // A handler is told; a disk is not: it is asked again, or the policy ends it.
      for (const { client } of exchange.waiters) {
        turn.emit({ kind: "clientDone", client, code: answer.code });
      }
      exchange.waiters = [];
      tellOnce(turn, exchange, "BTN-FENCE-UNCONFIRMED", detail);
  }
}

/**
 * Whether an answer belongs to this round. Between two rounds the copies may have met, so an old "outdated" proves
 * nothing. A Baton host echoes the mark; of the original each question gets one answer, in order.
 */
function isFresh(exchange: Exchange, question: string | undefined): boolean {
  if (question !== undefined) {
    if (question !== exchange.question) return false;
    exchange.unanswered = [];
    exchange.stale = 0;
    return true;
  }
  exchange.unanswered = exchange.unanswered.slice(1);
  if (exchange.stale === 0) return true;
  exchange.stale--;
  return false;
}

const proven: Readonly<Record<3 | 4 | 6 | 7, FencingReason>> = {
  3: "BTN-FENCE-OUTDATED",
  4: "BTN-FENCE-OUTDATED",
  6: "BTN-FENCE-PEER-PRIMARY",
  7: "BTN-FENCE-ORDERED",
};

/** Certainty, for all who wait. */
function finish(turn: Turn, exchange: Exchange, result: 3 | 4 | 6 | 7, detail: string): void {
  const { ask: asked, disk, waiters } = exchange;
  exchange.ask = null;
  exchange.waiters = [];
  for (const { client } of waiters) turn.emit({ kind: "clientDone", client, code: result });
  if (asked !== null || result === 6) turn.decide(proven[result], exchange, detail);
  const then = asked === null ? [] : [fenceDone(disk, asked.attempt, result, detail)];
  if (result === 6) turn.emit(...then);
  else settle(turn, disk, asked === null ? "BTN-FENCE-PROVEN-LATE" : undefined, then);
}

/** Nothing is unproven of this disk any more: durable before `then`, which is done at once if nothing was unproven. */
export function settle(
  turn: Turn,
  disk: string,
  reason: FencingReason | undefined,
  then: readonly OutdateEffect[],
): void {
  const { [disk]: known, ...unproven } = turn.state.record.unproven;
  if (known === undefined) {
    turn.emit(...then);
    return;
  }
  turn.state.record = { unproven };
  if (reason !== undefined) turn.decide(reason, { disk, host: known.host }, "");
  turn.emit({ kind: "persist", record: turn.state.record, then });
}

/** Success without proof: the disk goes on once that is written down (R2, DESIGN 7.8). */
function goOnUnproven(
  turn: Turn,
  exchange: Exchange,
  reason: FencingReason,
  detail: string,
  result: 5 | 7 = 5,
): void {
  const { ask: asked, disk, host } = exchange;
  assert(asked !== null, "Nobody asked");
  exchange.ask = null;
  turn.decide(reason, exchange, detail);
  const { unproven } = turn.state.record;
  turn.state.record = { unproven: { ...unproven, [disk]: { host, reason } } };
  const then = [fenceDone(disk, asked.attempt, result, detail)];
  turn.emit({ kind: "persist", record: turn.state.record, then });
}

const fenceDone = (
  disk: string,
  attempt: number,
  result: FenceResult,
  detail: string,
): OutdateEffect => ({ kind: "fenceDone", disk, attempt, result, detail });

function tellOnce(turn: Turn, exchange: Exchange, reason: FencingReason, detail: string): void {
  if (exchange.ask === null || exchange.ask.told.includes(reason)) return;
  exchange.ask.told.push(reason);
  turn.decide(reason, exchange, detail);
}
