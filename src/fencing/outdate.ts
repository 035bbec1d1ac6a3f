/**
 * Outdating the other copy of a disk by way of heartbeat, as dopd does (heartbeat.md 9.4; drbd.md 8; DESIGN 7.8;
 * reliability R2, R17). Both sides of it; the other one may be a real dopd.
 *
 *   asking, for each disk          fenceAsked
 *        idle ----------------------------------------> asked --(start_outdate, again after 0.5, 0.5, 1, 2, 5, 5 ... s)
 *         ^                                               |
 *         |   answer 4 outdated, 3 inconsistent           | fenceDone 4, 3      a proof
 *         |   answer 6 it is primary                      | fenceDone 6
 *         |   excluded by a device or a person            | fenceDone 7         a proof
 *         |   dont-care: at once                          | fenceDone 5   \
 *         |   resource-only: 1 s, or the peer is gone     | fenceDone 5    > without proof: durable first
 *         |   native: the peer is gone                    | fenceDone 7   /
 *         |   resource-and-stonith: none of these         | (goes on waiting)
 *         '-- fenceWithdrawn <----------------------------'
 *
 *   asked      start_outdate --> outdateHere --outdated(exit)--> outdate_rc: 0 -> 4, 5 -> 3, 17 -> 6, else 20; 20 after 10 s
 *
 * (asking.ts, asked.ts)
 *
 * "Gone" is membership's `dead` or `left`, never `late` or `unsure`. Only the peer of the disk is looked at: a dead ping
 * node blocks nothing. An answer counts only for the round in which it was asked for (`isFresh` in asking.ts).
 */
import { assert, earliest, type Instant, unreachable } from "../base/index.ts";
import { heardQuestion, judgeServing, outdatedHere } from "./asked.ts";
import {
  clientAsked,
  clientGone,
  fenceAsked,
  fenceWithdrawn,
  heardAnswer,
  judgeExchange,
  settle,
} from "./asking.ts";
import type {
  FencingRecord,
  MessageFields,
  OutdateEffect,
  OutdateEvent,
  OutdateOptions,
  OutdateView,
  PeerVerdict,
} from "./contract.ts";
import { answerQuery, parseDop } from "./dopd.ts";
import { exchangeWakeAt, newExchange, type OutdateState } from "./state.ts";
import { Turn } from "./turn.ts";

/** The core of one host, for all its disks. */
export class Outdating {
  readonly #options: OutdateOptions;
  #state: OutdateState;
  #now: Instant;

  /** @param record what was durable; undefined: nothing ever was */
  constructor(options: OutdateOptions, record: FencingRecord | undefined, now: Instant) {
    this.#options = options;
    this.#now = now;
    this.#state = {
      exchanges: Object.fromEntries(
        options.disks.map(({ name, peer }) => [name, newExchange(name, peer, now)]),
      ),
      serving: {},
      verdicts: {},
      excluded: [],
      record: record ?? { unproven: {} },
      mark: String(Math.floor(now)),
      counter: 0,
    };
  }

  /** A core with the state that `snapshot` gave. */
  static restore(options: OutdateOptions, snapshot: OutdateState, now: Instant): Outdating {
    const core = new Outdating(options, undefined, now);
    core.#state = structuredClone(snapshot);
    return core;
  }

  /** The whole state, as plain JSON data. */
  snapshot(): OutdateState {
    return structuredClone(this.#state);
  }

  /** Takes one event at `now`; returns what to do, in order. */
  step(now: Instant, event: OutdateEvent): readonly OutdateEffect[] {
    assert(now >= this.#now, `Clock went back from ${this.#now} to ${now}`);
    this.#now = now;
    const turn = new Turn(now, this.#options, this.#state);
    take(turn, event);
    for (const exchange of Object.values(this.#state.exchanges)) judgeExchange(turn, exchange);
    judgeServing(turn);
    return turn.effects;
  }

  /** When `step` must next be called even if nothing happens. */
  wakeAt(): Instant | undefined {
    const { exchanges, serving } = this.#state;
    return earliest(
      ...Object.values(exchanges).flatMap((exchange) => exchangeWakeAt(this.#state, exchange)),
      ...Object.values(serving).map(({ until }) => until),
    );
  }

  /** How each disk stands. */
  view(): readonly OutdateView[] {
    return Object.values(this.#state.exchanges).map(({ disk, host, ask }) => ({
      disk,
      host,
      asking: ask === null ? null : { attempt: ask.attempt, policy: ask.policy, since: ask.since },
      unproven: this.#state.record.unproven[disk] ?? null,
    }));
  }
}

function take(turn: Turn, event: OutdateEvent): void {
  switch (event.kind) {
    case "tick":
      break;
    case "fenceAsked":
      fenceAsked(turn, event.disk, event.attempt, event.policy);
      break;
    case "fenceWithdrawn":
      fenceWithdrawn(turn, event.disk);
      break;
    case "connected":
      settle(turn, event.disk, "BTN-FENCE-MET", []);
      break;
    case "message":
      heard(turn, event.host, event.fields);
      break;
    case "verdict":
      judged(turn, event.host, event.verdict);
      break;
    case "excluded":
      if (!turn.state.excluded.includes(event.host)) turn.state.excluded.push(event.host);
      break;
    case "outdated":
      outdatedHere(turn, event.disk, event.request, event.exit);
      break;
    case "clientAsked":
      clientAsked(turn, event);
      break;
    case "clientGone":
      clientGone(turn, event.client);
      break;
    default:
      unreachable(event);
  }
}

function heard(turn: Turn, host: string, fields: MessageFields): void {
  const message = parseDop(fields);
  switch (message?.kind) {
    case "ask":
      heardQuestion(turn, host, message);
      break;
    case "answer":
      heardAnswer(turn, host, message);
      break;
    case "query":
      if (turn.options.disks.length === 0) break;
      turn.emit({ kind: "send", fields: answerQuery(host, message.asker) });
      break;
    case undefined:
      break;
    default:
      unreachable(message);
  }
}

function judged(turn: Turn, host: string, verdict: PeerVerdict): void {
  turn.state.verdicts[host] = verdict;
  if (verdict !== "alive") return;
  turn.state.excluded = turn.state.excluded.filter((one) => one !== host);
  for (const exchange of Object.values(turn.state.exchanges)) {
    // It can answer again: asked now, not after the next pause.
    if (exchange.host === host) exchange.sendAt = turn.now;
  }
}
