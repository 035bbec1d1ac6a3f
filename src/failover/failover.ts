/**
 * Failover: who should hold which group, and why. The composition of this room's parts into one core
 * (style section 4): feed `step`, perform what it returns in order, come back by `wakeAt`.
 *
 * `persist` is a barrier: no effect after it, of this or a later step, is performed before the record
 * is durable; only `release`, `decision`, `progress`, `probe` and `compare` do not wait.
 */
import { assert, earliest, type Instant, unreachable } from "../base/index.ts";
import type { Verdict } from "../membership/index.ts";
import { arbiterAnswered, forgetQuestions } from "./arbiter.ts";
import { announce, batonDeadlines, batonPeerSeen, heardBaton, judgeBaton } from "./baton-peer.ts";
import {
  advanceClassic,
  classicDeadlines,
  classicPeerSeen,
  classicStalled,
  heardClassic,
  judgeClassic,
  peerLeft,
} from "./classic-peer.ts";
import { advanceCommands, commandDeadlines, heardAnswer, startCommand } from "./commands.ts";
import type {
  FailoverEffect,
  FailoverEvent,
  FailoverRecord,
  GroupView,
  MessageFields,
} from "./contract.ts";
import {
  askProbes,
  drive,
  forgetOldFailures,
  groupDeadlines,
  operationDone,
  probed,
  resourceFailed,
} from "./group.ts";
import { advanceClassicIpfail, heardIpfail, judgeIpfail, pingChanged } from "./ipfail.ts";
import { askProofs, isAlive, proofDeadlines } from "./ownership.ts";
import { isBeatless, judgeSafety, newQuestion, safetyDeadlines, stalled } from "./safety.ts";
import {
  copyOf,
  elapsed,
  type FailoverOptions,
  initialState,
  later,
  newClassic,
  type State,
} from "./state.ts";
import { advanceStop, stopDeadlines } from "./stopping.ts";
import { Turn } from "./turn.ts";
import { type RscStatus, viewGroups, viewRscStatus } from "./view.ts";

/** All that a core keeps, as plain JSON data; only `Failover.restore` reads it. */
export interface FailoverSnapshot {
  readonly version: 1;
  readonly state: State;
}

/** Who should hold what on this host, and why: the state tables are in the README of this room. */
export class Failover {
  readonly #options: FailoverOptions;
  #state: State;

  /** `durable`: the newest record that was persisted here; undefined: this host was never used. */
  constructor(options: FailoverOptions, durable: FailoverRecord | undefined, now: Instant) {
    this.#options = options;
    this.#state = initialState(options, durable, now);
  }

  /** A core that goes on from `snapshot`. The options must be those of the core that made it. */
  static restore(options: FailoverOptions, snapshot: FailoverSnapshot): Failover {
    const core = new Failover(options, undefined, snapshot.state.now);
    core.#state = copyOf(snapshot.state);
    return core;
  }

  snapshot(): FailoverSnapshot {
    return { version: 1, state: copyOf(this.#state) };
  }

  /** Takes one event at `now`; returns what to do, in order. */
  step(now: Instant, event: FailoverEvent): readonly FailoverEffect[] {
    assert(now >= this.#state.now, `Clock went back from ${this.#state.now} to ${now}`);
    this.#state.now = now;
    this.#state.started = true;
    const turn = new Turn(this.#options, this.#state, now);
    take(turn, event);
    reconcile(turn);
    return turn.finish();
  }

  /** When `step` must next be called even if nothing happens. */
  wakeAt(): Instant | undefined {
    const { now, started } = this.#state;
    if (!started) return now;
    const turn = new Turn(this.#options, this.#state, now);
    const deadlines = [
      ...this.#options.groups.flatMap(({ name }) => groupDeadlines(turn.run(name))),
      ...proofDeadlines(turn),
      ...safetyDeadlines(turn),
      ...batonDeadlines(turn),
      ...classicDeadlines(turn),
      ...commandDeadlines(turn),
      ...stopDeadlines(turn),
      this.#state.ipfailAt,
    ];
    // A deadline of the past was looked at in the last step; it waits for something else.
    return earliest(...deadlines.map((at) => (at == null || at <= now ? undefined : at)));
  }

  /** What status shows of each group. */
  view(): readonly GroupView[] {
    return viewGroups(new Turn(this.#options, this.#state, this.#state.now));
  }

  rscStatus(): RscStatus {
    return viewRscStatus(new Turn(this.#options, this.#state, this.#state.now));
  }
}

/** Puts one event into the state. Hosts and groups that are not configured are ignored. */
function take(turn: Turn, event: FailoverEvent): void {
  if ("host" in event && event.host !== turn.peer.host) return;
  switch (event.kind) {
    case "tick":
      return;
    case "verdict":
      takeVerdict(turn, event.verdict);
      return;
    case "peerSeen":
      takePeerSeen(turn, event);
      return;
    case "peerStatus":
      turn.peer.status = event.status;
      return;
    case "heardByPeer":
      takeHeard(turn, event.heard, event.sinceMs);
      return;
    case "communicationUp":
      turn.state.communicationUp = true;
      return;
    case "ping":
      takePing(turn, event.ping, event.up);
      return;
    case "message":
      takeMessage(turn, event.fields);
      return;
    case "probed":
      probed(turn, event);
      return;
    case "proof": {
      const run = turn.state.groups[event.group];
      if (run === undefined) return;
      if (JSON.stringify(run.proof) !== JSON.stringify(event.proof)) run.proofSince = turn.now;
      run.proof = event.proof;
      return;
    }
    case "operationDone":
      operationDone(turn, event);
      return;
    case "resourceFailed":
      resourceFailed(turn, event);
      return;
    case "beats":
      turn.state.beatlessSince = event.sent ? null : (turn.state.beatlessSince ?? turn.now);
      return;
    case "stalled":
      if (turn.peer.kind === "classic") {
        classicStalled(turn, event.gapMs);
        return;
      }
      stalled(turn, event.gapMs);
      return;
    case "arbiter":
      arbiterAnswered(turn, event);
      return;
    case "command":
      startCommand(turn, event.id, event.command);
      return;
    default:
      unreachable(event);
  }
}

function takeVerdict(turn: Turn, verdict: Verdict): void {
  const { peer } = turn;
  const before = peer.verdict;
  peer.verdict = verdict;
  if (verdict !== "unsure") peer.firmVerdict = verdict;
  const { warntimeMs, deadtimeMs } = turn.options.timing;
  if (verdict === "late") peer.silentSince = (turn.now - warntimeMs) as Instant;
  else if (verdict === "dead") peer.silentSince ??= (turn.now - deadtimeMs) as Instant;
  else peer.silentSince = null;
  if (verdict === "alive" || verdict === "late") {
    for (const { name } of turn.options.groups) turn.run(name).forced = false;
    // After a silence, however short, what the peer answered before it binds nobody any more.
    if (before === "late" && verdict === "alive") newQuestion(turn);
    if (before === "alive" || before === "late") return;
    peer.aliveSince = turn.now;
    peer.unheardSince = null;
    forgetQuestions(turn);
    newQuestion(turn);
    return;
  }
  peer.fresh = false;
  peer.aliveSince = null;
  if (verdict === "left" && peer.kind === "classic") peerLeft(turn);
}

function takePeerSeen(turn: Turn, event: Extract<FailoverEvent, { kind: "peerSeen" }>): void {
  const { peer, state } = turn;
  const changed = peer.kind !== event.peer;
  // A host that appears after we were alone is as new to us as one that restarted.
  const wasGone = peer.firmVerdict === "dead" || peer.firmVerdict === "left";
  const restarted = event.restarted || (peer.generation === null && wasGone);
  peer.generation = event.generation;
  peer.kind = event.peer;
  peer.incompatible = false;
  if (changed) {
    peer.holdings = null;
    state.classic = newClassic();
  }
  // Who is seen is alive; its verdict follows in an event of its own.
  if (!isAlive(turn)) takeVerdict(turn, "alive");
  newQuestion(turn);
  if (event.peer === "classic") {
    classicPeerSeen(turn, restarted, event.returned);
    return;
  }
  if (event.peer === "baton") batonPeerSeen(turn, restarted);
}

function takeHeard(turn: Turn, heard: boolean, sinceMs: number): void {
  const { peer } = turn;
  // After a healed split the peer's first word is old: only the time in which we hear it counts.
  const since = later((turn.now - sinceMs) as Instant, peer.aliveSince ?? turn.now);
  peer.unheardSince = heard ? null : (peer.unheardSince ?? since);
}

function takePing(turn: Turn, name: string, up: boolean): void {
  const ping = turn.state.pings[name];
  if (ping === undefined || ping.up === up) return;
  turn.state.pings[name] = { up, since: turn.now };
  pingChanged(turn);
}

function takeMessage(turn: Turn, fields: MessageFields): void {
  const { kind } = turn.peer;
  if (fields["t"] === "baton") {
    // Its kind is known before its first message; otherwise the next announcement is soon.
    if (kind !== "baton") return;
    // Who is taken for dead is heard again by a beat first: a message alone may be an old one, and
    // two hosts that each act on such messages would depose one another without end.
    if (turn.peer.verdict === "dead" || turn.peer.verdict === "left") return;
    for (const answer of heardBaton(turn, fields)) heardAnswer(turn, answer);
    return;
  }
  if (kind !== "classic") return;
  if (fields["to_id"] !== undefined || fields["t"] === "query-cstatus") heardIpfail(turn, fields);
  // An ipfail gives up by ask_resources, which is for us as well.
  heardClassic(turn, fields);
}

/** Makes effects of what is true now. Idempotent: run again, it adds nothing. */
function reconcile(turn: Turn): void {
  const classic = turn.peer.kind === "classic";
  askProbes(turn);
  askProofs(turn);
  forgetOldFailures(turn);
  judgeSafety(turn);
  if (classic) {
    if (!turn.state.rejoining && isBeatless(turn))
      classicStalled(turn, elapsed(turn.now, turn.state.beatlessSince ?? turn.now));
    advanceClassic(turn);
    advanceClassicIpfail(turn);
  } else judgeIpfail(turn);
  advanceStop(turn);
  for (const { name } of turn.options.groups) {
    drive(turn, name, classic ? judgeClassic(turn, name) : judgeBaton(turn, name));
  }
  advanceCommands(turn);
  announce(turn);
}
