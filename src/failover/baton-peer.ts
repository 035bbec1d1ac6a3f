/**
 * Two Baton hosts: level announcements and what follows from them. Used as well while the peer was
 * never heard, then without a word on the wire.
 *
 * For each group, by owner and situation (`ownership.ts`); the first row that fits holds:
 *
 *   holdBack or yielding                    stop, urgently; unless not heard, claimed and in reach, or
 *                                           a deaf peer let go: epoch + 1, owner self; run
 *   owner is the peer  running here         stop, urgently (deposed), unless the gate is open
 *                      peer gone, gate open epoch + 1, owner self; run
 *                      else                 leave
 *   owner is self      being given, ending  stop; then epoch + 1, owner peer
 *                      failing              stop; then as a failed start
 *                      runs here            run
 *                      talking              run if the peer says, same epoch, that nothing runs there
 *                      gone, gate open      epoch + 1 if the peer is dead; run
 *                      else                 leave, and say why
 */
import { after, type Instant } from "../base/index.ts";
import { forgetQuestions } from "./arbiter.ts";
import type { MessageFields } from "./contract.ts";
import { betterThere, diskRefusal } from "./disk-gate.ts";
import { clearFailures, retryState, type Want } from "./group.ts";
import { encodeBaton, type HeldGroup, type Holdings, parseBaton } from "./messages.ts";
import {
  advanceTransfer,
  judgeFailback,
  peerCanTake,
  shouldTryPeer,
  startTransfer,
} from "./moves.ts";
import {
  answerHolds,
  digestsAgree,
  gate,
  holdsUnheard,
  isGone,
  mayReplaceDeaf,
  nextEpoch,
  pingsUp,
  settleEqualEpochs,
  situation,
  toldBy,
} from "./ownership.ts";
import { groupOf } from "./ownership-groups.ts";
import type { FailoverReason } from "./reasons.ts";
import { isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

/** The level is announced at each change and at least this often. */
const ANNOUNCE_MS = 1_000;
/** Answers kept for requests that are repeated. */
const ANSWERS_MAX = 32;

/** Takes a `t=baton` message. Unknown kinds are noted and change nothing, except critical ones (R22). */
export function heardBaton(turn: Turn, fields: MessageFields): readonly BatonAnswer[] {
  const message = parseBaton(fields);
  switch (message.kind) {
    case "holdings":
      heardHoldings(turn, message.holdings);
      return [];
    case "request":
      answerRequest(turn, message.request);
      return [];
    case "answer":
      return [message.answer];
    case "malformed":
      turn.noteOnce("malformed", "BTN-FAILOVER-MALFORMED", `kind ${message.name.slice(0, 40)}`);
      return [];
    case "unknown":
      if (message.critical) turn.peer.incompatible = true;
      turn.noteOnce(
        "unknown",
        message.critical ? "BTN-FAILOVER-INCOMPATIBLE" : "BTN-FAILOVER-UNKNOWN-KIND",
        message.name.slice(0, 40),
      );
      return [];
    default:
      return message satisfies never;
  }
}

export type BatonAnswer = Extract<ReturnType<typeof parseBaton>, { kind: "answer" }>["answer"];

function heardHoldings(turn: Turn, holdings: Holdings): void {
  const { peer, state } = turn;
  const known = peer.holdings?.groups ?? {};
  const groups: Record<string, HeldGroup> = {};
  for (const [name, told] of Object.entries(holdings.groups)) {
    const before = known[name];
    // Epochs of a host never go back: an older one is a message that was overtaken on the way.
    groups[name] = before !== undefined && before.epoch > told.epoch ? before : told;
  }
  peer.holdings = { ...holdings, groups };
  if (holdings.echo === state.nonce) {
    peer.fresh = true;
    peer.met = true;
  }
  if (holdings.ask !== null) {
    state.echo = holdings.ask;
    peer.askedAt = turn.now;
  }
  const differs = digestsAgree(turn) === false;
  turn.noteOnce("digest", differs ? "BTN-FAILOVER-CONFIG-DIFFERS" : null, `told by ${peer.host}`);
  for (const { name } of turn.options.groups) {
    const told = groups[name];
    if (told !== undefined && turn.options.hosts.includes(told.owner)) compare(turn, name, told);
  }
}

/** The higher epoch wins; under one epoch with two owners one host decides. */
function compare(turn: Turn, name: string, told: HeldGroup): void {
  const record = turn.own(name);
  const run = turn.run(name);
  const { self } = turn.options;
  if (told.epoch > record.epoch) {
    const wasMine = record.owner === self;
    turn.keep(name, { epoch: told.epoch, owner: told.owner, unproven: false });
    run.transfer = null;
    run.pristine = false;
    run.yields = false;
    run.claimed = false;
    run.failbackAt = null;
    run.failbackDue = false;
    if (wasMine && told.owner !== self) {
      const reason = isReleased(run.here) ? "BTN-FAILOVER-PEER-OWNS" : "BTN-FAILOVER-DEPOSED";
      turn.note(reason, `${told.owner} holds ${name} under epoch ${told.epoch}`, name);
    }
    return;
  }
  if (told.epoch < record.epoch) return;
  if (told.owner !== record.owner) {
    if (run.probed === "done") settleEqualEpochs(turn, name, told);
    return;
  }
  run.yields = false;
  if (turn.peer.fresh && record.unproven) turn.keep(name, { unproven: false });
}

/** The peer is back or new: what was said of it before counts no more. */
export function batonPeerSeen(turn: Turn, restarted: boolean): void {
  forgetQuestions(turn);
  if (restarted) turn.peer.holdings = null;
  turn.state.sent.nextAt = turn.now;
  if (!restarted) return;
  for (const { name, prefers } of turn.options.groups) {
    if (prefers === turn.peer.host) turn.run(name).failbackDue = true;
  }
}

function answerRequest(
  turn: Turn,
  request: { readonly id: string; readonly action: "give" | "clear"; readonly group: string },
): void {
  const { answers } = turn.state;
  let answer = answers.find((one) => one.id === request.id);
  if (answer === undefined) {
    answer = { id: request.id, ...decideRequest(turn, request.action, request.group) };
    answers.push(answer);
    if (answers.length > ANSWERS_MAX) answers.shift();
  }
  turn.emit({ kind: "send", fields: encodeBaton(turn.peer.host, { kind: "answer", answer }) });
}

type Answer = { ok: boolean; reason: FailoverReason; detail: string };

function decideRequest(turn: Turn, action: "give" | "clear", name: string): Answer {
  const { self, groups } = turn.options;
  const say = (ok: boolean, reason: FailoverReason, detail = ""): Answer => ({
    ok,
    reason,
    detail,
  });
  if (!groups.some((group) => group.name === name)) {
    return say(false, "BTN-FAILOVER-UNKNOWN-GROUP", name);
  }
  if (action === "clear") {
    clearFailures(turn, name);
    return say(true, "BTN-FAILOVER-CLEARED");
  }
  if (turn.own(name).owner !== self) return say(false, "BTN-FAILOVER-NOT-OWNER", self);
  if (turn.run(name).transfer !== null) return say(true, "BTN-FAILOVER-HANDING-OVER");
  if (turn.run(name).here === "blocked") {
    return say(false, "BTN-FAILOVER-STOP-BLOCKED", turn.run(name).failureDetail);
  }
  const ability = peerCanTake(turn, name, false);
  if (!ability.able) return say(false, ability.reason, ability.detail);
  startTransfer(turn, name, "BTN-FAILOVER-ASKED-BY-PEER", false);
  return say(true, "BTN-FAILOVER-HANDING-OVER");
}

/** What is wanted of one group now; see the table above. */
export function judgeBaton(turn: Turn, name: string): Want {
  const { state, options } = turn;
  const run = turn.run(name);
  if (isGone(turn)) run.transfer = null;
  if (!isGone(turn) && !run.forced) run.claimed = false;
  const unheard = state.holdBack?.reason === "BTN-FAILOVER-NOT-HEARD";
  if (state.holdBack !== null && !(unheard && holdsUnheard(turn, name))) {
    if (unheard && mayReplaceDeaf(turn, name)) return replaceDeaf(turn, name);
    return { to: "stop", urgent: true, reason: state.holdBack.reason };
  }
  if (run.lost) return { to: "stop", urgent: true, reason: "BTN-FAILOVER-MONITOR-FAILED" };
  if (run.yields) return { to: "stop", urgent: true, reason: "BTN-FAILOVER-SPLIT-YIELD" };
  if (turn.own(name).owner !== options.self) return judgeForeign(turn, name);
  judgeFailback(turn, name);
  advanceTransfer(turn, name);
  if (turn.own(name).owner !== options.self) return judgeForeign(turn, name);
  return judgeOwn(turn, name);
}

function replaceDeaf(turn: Turn, name: string): Want {
  const { self } = turn.options;
  const run = turn.run(name);
  if (turn.own(name).owner !== self) {
    run.tries = 0;
    nextEpoch(turn, name, self, false);
    run.failbackDue = groupOf(turn, name).prefers === turn.peer.host;
  }
  const detail = `${self} takes over from ${turn.peer.host}`;
  return startNow(turn, name, "BTN-FAILOVER-TAKEOVER-DEAF", detail);
}

function judgeForeign(turn: Turn, name: string): Want {
  const { state, peer } = turn;
  const run = turn.run(name);
  if ((isGone(turn) || run.forced) && state.stopping === null) {
    const open = gate(turn, name);
    if (open.open) {
      run.tries = 0;
      nextEpoch(turn, name, turn.options.self, open.unproven);
      run.claimed = true;
      run.failbackDue = groupOf(turn, name).prefers === peer.host;
      return { to: "run", reason: open.reason, detail: open.detail };
    }
    if (isReleased(run.here)) return { to: "leave", reason: open.reason, detail: open.detail };
  }
  if (!isReleased(run.here)) return { to: "stop", urgent: true, reason: "BTN-FAILOVER-PEER-OWNS" };
  const told = toldBy(turn, name);
  if (situation(turn) !== "talking") return { to: "leave", reason: "BTN-FAILOVER-PEER-UNSURE" };
  if (told?.state === "running") return { to: "leave", reason: "BTN-FAILOVER-HELD-BY-PEER" };
  if (told?.state === "blocked") return { to: "leave", reason: "BTN-FAILOVER-PEER-BLOCKED" };
  return { to: "leave", reason: "BTN-FAILOVER-PEER-OWNS", detail: told?.state ?? "not told" };
}

function judgeOwn(turn: Turn, name: string): Want {
  const run = turn.run(name);
  if (turn.state.stopping !== null) return { to: "stop", reason: "BTN-FAILOVER-HOST-STOPPING" };
  if (run.transfer !== null) return { to: "stop", reason: run.transfer.why };
  if (run.failing) return { to: "stop", reason: "BTN-FAILOVER-MONITOR-FAILED" };
  if (run.here === "running" || run.here === "starting") {
    const unheard = turn.state.holdBack !== null;
    return { to: "run", reason: unheard ? "BTN-FAILOVER-UNHEARD-HOLDS" : "BTN-FAILOVER-HOLDING" };
  }
  if (run.here === "stopping") return { to: "leave", reason: run.reason, detail: run.detail };
  const want = isGone(turn) || run.forced ? startAlone(turn, name) : startBeside(turn, name);
  return want.to === "leave" && isPartTooLong(turn, name)
    ? { to: "stop", urgent: true, reason: "BTN-FAILOVER-PARTIAL", detail: want.reason }
    : want;
}

/**
 * A part of the group that an earlier agent left and that may not be completed: after a deadtime the
 * peer may have taken the group, and nobody here would notice.
 */
function isPartTooLong(turn: Turn, name: string): boolean {
  const { partial, partialUntil } = turn.run(name);
  return partial && partialUntil !== null && turn.now >= partialUntil;
}

/** The owner starts while the peer lives: only beside a peer that runs nothing of it. */
function startBeside(turn: Turn, name: string): Want {
  const { peer } = turn;
  const told = toldBy(turn, name);
  const leave = (reason: FailoverReason, detail = ""): Want => ({ to: "leave", reason, detail });
  const now = situation(turn);
  if (now === "mute") return leave("BTN-FAILOVER-PEER-MUTE");
  if (now !== "talking" || peer.verdict !== "alive") return leave("BTN-FAILOVER-PEER-UNSURE");
  if (told === undefined)
    return leave("BTN-FAILOVER-CONFIG-DIFFERS", `${peer.host} has no ${name}`);
  if (peer.unheardSince !== null) return leave("BTN-FAILOVER-NOT-HEARD");
  const { epoch, owner } = turn.own(name);
  if (told.epoch !== epoch || told.owner !== owner) return leave("BTN-FAILOVER-WAIT-PEER-ACK");
  if (told.state === "blocked") return leave("BTN-FAILOVER-PEER-BLOCKED");
  if (!isReleased(told.state)) return leave("BTN-FAILOVER-PEER-NOT-RELEASED", told.state);
  if (turn.run(name).here === "failed" && shouldTryPeer(turn, name)) {
    nextEpoch(turn, name, peer.host, false);
    return leave("BTN-FAILOVER-FAILED-MOVED", `${name} to ${peer.host}`);
  }
  if (betterThere(turn, name) && peerCanTake(turn, name, true).able) {
    nextEpoch(turn, name, peer.host, false);
    return leave("BTN-FAILOVER-DISK-BETTER-THERE", `${name} to ${peer.host}`);
  }
  const disk = diskRefusal(turn, name, false, false);
  if (disk !== undefined) return leave(disk.reason, disk.detail);
  return startNow(turn, name, "BTN-FAILOVER-START-AS-OWNER");
}

function startAlone(turn: Turn, name: string): Want {
  const run = turn.run(name);
  const open = gate(turn, name);
  if (!open.open) return { to: "leave", reason: open.reason, detail: open.detail };
  if (open.unproven && !run.claimed && retryState(turn, run) === "now") {
    nextEpoch(turn, name, turn.options.self, true);
    run.claimed = true;
  }
  return startNow(turn, name, open.reason, open.detail);
}

function startNow(turn: Turn, name: string, reason: FailoverReason, detail = ""): Want {
  const run = turn.run(name);
  switch (retryState(turn, run)) {
    case "never":
      return { to: "leave", reason: "BTN-FAILOVER-GAVE-UP", detail: run.failureDetail };
    case "later":
      return { to: "leave", reason: "BTN-FAILOVER-RETRY-LATER", detail: run.failureDetail };
    default:
      return { to: "run", reason, detail };
  }
}

/** Sends the level if it changed, if it is time, or while an answer is missing. */
export function announce(turn: Turn): void {
  const { state, peer, options } = turn;
  if (peer.kind !== "baton") return;
  const body = encodeBaton(peer.host, { kind: "holdings", holdings: ownHoldings(turn) });
  const text = body["body"] ?? "";
  if (text === state.sent.body && turn.now < state.sent.nextAt) return;
  const { keepaliveMs } = options.timing;
  const repeatMs = peer.fresh ? ANNOUNCE_MS : Math.min(ANNOUNCE_MS, keepaliveMs);
  state.sent = { body: text, nextAt: after(turn.now, repeatMs) };
  turn.emit({ kind: "send", fields: body });
}

function ownHoldings(turn: Turn): Holdings {
  const { state, options, peer } = turn;
  const groups: Record<string, HeldGroup> = {};
  for (const { name } of options.groups) {
    const run = turn.run(name);
    const { epoch, owner, failedHere } = turn.own(name);
    const failed = failedHere?.slice(0, 200) ?? null;
    groups[name] = { epoch, owner: owner ?? "", state: run.here, failed, tries: run.tries };
  }
  return {
    digest: options.configurationDigest,
    ask: peer.fresh ? null : state.nonce,
    echo: state.echo,
    stopping: state.stopping !== null,
    pings: pingsUp(turn),
    groups,
  };
}

/** When the talk with a Baton peer next needs a tick. */
export function batonDeadlines(turn: Turn): readonly (Instant | null)[] {
  return turn.peer.kind === "baton" ? [turn.state.sent.nextAt, answerHolds(turn) ?? null] : [];
}
