/**
 * What people ask for: switch, standby, takeover, clear, stop. Each command becomes one step per
 * group and ends with one `commandDone` within a bounded time: done, negative (the other side did
 * not answer), refused (for safety; nothing was changed) or failed.
 */
import { after, type Instant, unreachable } from "../base/index.ts";
import type { BatonAnswer } from "./baton-peer.ts";
import { classicStandby, classicTakeover, judgeClassicStep, scopeOf } from "./classic-commands.ts";
import type { Command, MoveScope } from "./contract.ts";
import { clearFailures } from "./group.ts";
import { encodeBaton } from "./messages.ts";
import { peerCanTake, startTransfer } from "./moves.ts";
import { gate, isAlive, isGone, situation, toldBy } from "./ownership.ts";
import { type FailoverReason, isFailoverReason } from "./reasons.ts";
import type { CommandRun, CommandStep } from "./state.ts";
import { beginStop } from "./stopping.ts";
import type { Turn } from "./turn.ts";

/** A start may include crash recovery of a database; nobody waits longer for one move. */
const COMMAND_LIMIT_MS = 900_000;
/** A live peer answers a request at once; it is repeated while it does not. */
const ANSWER_LIMIT_MS = 5_000;
const ASK_AGAIN_MS = 500;
/** More commands at once than this are refused. */
const COMMANDS_MAX = 16;

type Outcome = "done" | "negative" | "refused" | "failed";

function finish(
  turn: Turn,
  id: string,
  outcome: Outcome,
  reason: FailoverReason,
  detail = "",
): void {
  turn.emit({ kind: "commandDone", command: id, outcome, reason, detail });
}

/** Takes a command; its steps are followed by `advanceCommands`. */
export function startCommand(turn: Turn, id: string, command: Command): void {
  const { state, options } = turn;
  // However busy: a host that is told to stop stops.
  if (command.verb === "stop") {
    beginStop(turn, id);
    return;
  }
  if (state.commands.length >= COMMANDS_MAX) {
    finish(turn, id, "refused", "BTN-FAILOVER-BUSY");
    return;
  }
  if (state.stopping !== null) {
    finish(turn, id, "refused", "BTN-FAILOVER-HOST-STOPPING");
    return;
  }
  switch (command.verb) {
    case "clear":
      clear(turn, id, command.group);
      return;
    case "switch":
      startSwitch(turn, id, command.group, command.to);
      return;
    case "standby": {
      const names = inScope(turn, command.scope, options.self);
      startMoves(turn, id, "standby", names, turn.peer.host, command.scope);
      return;
    }
    case "takeover":
      startTakeover(turn, id, command.scope, command.peerIsDead);
      return;
    default:
      unreachable(command);
  }
}

/** Groups of a scope that are the given host's to give, the scope seen from this host. */
function inScope(turn: Turn, scope: MoveScope, owner: string): readonly string[] {
  const { self, groups } = turn.options;
  return groups
    .filter(({ prefers }) => {
      if (scope === "all") return true;
      return scope === "local" ? prefers === self : prefers !== self;
    })
    .map((group) => group.name)
    .filter((name) => turn.own(name).owner === owner);
}

function clear(turn: Turn, id: string, group: string | null): void {
  const names = turn.options.groups.map((one) => one.name);
  if (group !== null && !names.includes(group)) {
    finish(turn, id, "refused", "BTN-FAILOVER-UNKNOWN-GROUP", group);
    return;
  }
  for (const name of group === null ? names : [group]) {
    clearFailures(turn, name);
    if (turn.peer.kind !== "baton" || !isAlive(turn)) continue;
    // One message may be lost: then the command is given again, there or here.
    const request = { id: `${turn.options.session}/${id}/clear/${name}`, group: name } as const;
    sendRequest(turn, { ...request, action: "clear" });
  }
  finish(turn, id, "done", "BTN-FAILOVER-CLEARED", group ?? "all groups");
}

function sendRequest(
  turn: Turn,
  request: { readonly id: string; readonly action: "give" | "clear"; readonly group: string },
): void {
  turn.emit({ kind: "send", fields: encodeBaton(turn.peer.host, { kind: "request", request }) });
}

function startSwitch(turn: Turn, id: string, group: string | null, to: string | null): void {
  const { groups, hosts, self } = turn.options;
  const names = groups.map((one) => one.name);
  if (group !== null && !names.includes(group)) {
    finish(turn, id, "refused", "BTN-FAILOVER-UNKNOWN-GROUP", group);
    return;
  }
  if (to !== null && !hosts.includes(to)) {
    finish(turn, id, "refused", "BTN-FAILOVER-UNKNOWN-HOST", to);
    return;
  }
  const wanted = group === null ? names : [group];
  const owners = new Set(wanted.map((name) => turn.own(name).owner));
  const [owner] = owners;
  if (to === null && (owners.size !== 1 || owner === undefined)) {
    finish(turn, id, "refused", "BTN-FAILOVER-NAME-THE-TARGET", wanted.join(" "));
    return;
  }
  const target = to ?? (owner === self ? turn.peer.host : self);
  const elsewhere = wanted.filter(
    (name) => turn.own(name).owner !== target || !runsAt(turn, name, target),
  );
  startMoves(turn, id, "switch", elsewhere, target, undefined);
}

function runsAt(turn: Turn, name: string, host: string): boolean {
  if (host === turn.options.self) return turn.run(name).here === "running";
  if (turn.peer.kind === "classic") return turn.own(name).owner === host;
  return toldBy(turn, name)?.state === "running";
}

function startTakeover(turn: Turn, id: string, scope: MoveScope, peerIsDead: boolean): void {
  const { peer, options } = turn;
  const all = options.groups.map((group) => group.name);
  const names = all.filter(
    (name) =>
      (inScope(turn, scope, peer.host).includes(name) ||
        inScope(turn, scope, options.self).includes(name)) &&
      turn.run(name).here !== "running",
  );
  if (peerIsDead) {
    if (isAlive(turn)) {
      finish(turn, id, "refused", "BTN-FAILOVER-PEER-IS-ALIVE", peer.host);
      return;
    }
    // Before initdead silence says nothing yet, whatever a person believes.
    if (peer.verdict === "unsure" || peer.verdict === "unheard") {
      finish(turn, id, "refused", "BTN-FAILOVER-PEER-UNSURE");
      return;
    }
    for (const name of names) {
      turn.run(name).forced = true;
      clearFailures(turn, name);
    }
    turn.note("BTN-FAILOVER-TAKEOVER-FORCED", `a person said that ${peer.host} is dead`);
  }
  if (startMoves(turn, id, "takeover", names, options.self, scope)) return;
  // What was refused must not happen by itself later: the person looks again, and says it again.
  if (peerIsDead) for (const name of names) turn.run(name).forced = false;
}

/** @returns false if it was refused, and so nothing was begun */
function startMoves(
  turn: Turn,
  id: string,
  verb: string,
  names: readonly string[],
  to: string,
  scope: MoveScope | undefined,
): boolean {
  if (names.length === 0) {
    finish(turn, id, "done", "BTN-FAILOVER-NOTHING-TO-MOVE");
    return true;
  }
  const busy = names.find((name) => turn.state.commands.some((one) => covers(one, name)));
  if (busy !== undefined) {
    finish(turn, id, "refused", "BTN-FAILOVER-BUSY", busy);
    return false;
  }
  const classic = turn.peer.kind === "classic" && isAlive(turn);
  if (classic) {
    const refusal = startClassic(turn, id, names, to, scope);
    if (refusal !== undefined) {
      finish(turn, id, "refused", refusal.reason, refusal.detail);
      return false;
    }
  }
  const steps = names.map((name) => newStep(turn, name, to));
  if (!classic) {
    // All or nothing: a refusal of one group leaves the others where they are.
    for (const step of steps) {
      const refusal = refusalOf(turn, step);
      if (refusal !== undefined) {
        finish(turn, id, "refused", refusal.reason, refusal.detail);
        return false;
      }
    }
    for (const step of steps) begin(turn, step);
  }
  const until = after(turn.now, COMMAND_LIMIT_MS);
  const answerBy = after(turn.now, ANSWER_LIMIT_MS);
  turn.state.commands.push({ id, verb, until, answerBy, steps });
  return true;
}

const covers = (command: CommandRun, group: string): boolean =>
  command.steps.some((step) => step.group === group && step.state === "pending");

function startClassic(
  turn: Turn,
  id: string,
  names: readonly string[],
  to: string,
  scope: MoveScope | undefined,
): { readonly reason: FailoverReason; readonly detail: string } | undefined {
  const away = to !== turn.options.self;
  const word = scope ?? scopeOf(turn, names, away);
  if (word === undefined) {
    return { reason: "BTN-FAILOVER-CLASSIC-WHOLE-CLASS", detail: names.join(" ") };
  }
  return away ? classicStandby(turn, id, word) : classicTakeover(turn, id, word);
}

function newStep(turn: Turn, group: string, to: string): CommandStep {
  return {
    group,
    to,
    startEpoch: turn.own(group).epoch,
    askAt: null,
    state: "pending",
    reason: "BTN-FAILOVER-HANDING-OVER",
    detail: "",
    line: "",
  };
}

function refusalOf(
  turn: Turn,
  step: CommandStep,
): { readonly reason: FailoverReason; readonly detail: string } | undefined {
  const { self } = turn.options;
  const mine = turn.own(step.group).owner === self;
  if (step.to !== self) {
    if (!mine)
      return { reason: "BTN-FAILOVER-NOT-OWNER", detail: `${step.group} is there already` };
    if (turn.run(step.group).here === "blocked") {
      return { reason: "BTN-FAILOVER-STOP-BLOCKED", detail: turn.run(step.group).failureDetail };
    }
    const ability = peerCanTake(turn, step.group, false);
    return ability.able ? undefined : { reason: ability.reason, detail: ability.detail };
  }
  if (isGone(turn) || turn.run(step.group).forced) {
    const open = gate(turn, step.group);
    return open.open ? undefined : { reason: open.reason, detail: open.detail };
  }
  if (mine) return undefined;
  if (situation(turn) !== "talking") return { reason: "BTN-FAILOVER-PEER-UNSURE", detail: "" };
  return undefined;
}

function begin(turn: Turn, step: CommandStep): void {
  const { self } = turn.options;
  if (step.to !== self) {
    startTransfer(turn, step.group, "BTN-FAILOVER-ASKED", false);
    return;
  }
  clearFailures(turn, step.group);
  if (turn.own(step.group).owner !== self && !isGone(turn)) step.askAt = turn.now;
}

/** Follows every command: asks, tells progress, ends. */
export function advanceCommands(turn: Turn): void {
  const { state } = turn;
  for (const command of state.commands) {
    for (const step of command.steps) {
      if (step.state === "pending") advanceStep(turn, command, step);
    }
    if (turn.now >= command.until) {
      for (const step of command.steps) {
        if (step.state === "pending") conclude(step, "failed", "BTN-FAILOVER-TIMEOUT", step.line);
      }
    }
  }
  const over = state.commands.filter((one) => one.steps.every((step) => step.state !== "pending"));
  if (over.length === 0) return;
  state.commands = state.commands.filter((one) => !over.includes(one));
  for (const command of over) report(turn, command);
}

function report(turn: Turn, command: CommandRun): void {
  const order = ["failed", "refused", "negative", "done"] as const;
  for (const outcome of order) {
    const steps = command.steps.filter((step) => step.state === outcome);
    const [first] = steps;
    if (first === undefined) continue;
    const names = steps.map(
      (step) => `${step.group}${step.detail === "" ? "" : `: ${step.detail}`}`,
    );
    finish(turn, command.id, outcome, first.reason, names.join("; "));
    return;
  }
}

function conclude(
  step: CommandStep,
  state: CommandStep["state"],
  reason: FailoverReason,
  detail: string,
): void {
  step.state = state;
  step.reason = reason;
  step.detail = detail;
}

function advanceStep(turn: Turn, command: CommandRun, step: CommandStep): void {
  const line = progressOf(turn, step);
  if (line !== step.line) {
    step.line = line;
    turn.emit({ kind: "progress", command: command.id, line });
  }
  if (turn.peer.kind === "classic" && isAlive(turn)) {
    const judged = judgeClassicStep(turn, step);
    if (judged !== undefined) conclude(step, judged.state, judged.reason, judged.detail);
    return;
  }
  ask(turn, command, step);
  if (step.to === turn.options.self) judgeToSelf(turn, step);
  else judgeToPeer(turn, step);
}

function progressOf(turn: Turn, step: CommandStep): string {
  const { self } = turn.options;
  const there = toldBy(turn, step.group)?.state;
  const peer = there === undefined ? "" : `, ${there} on ${turn.peer.host}`;
  const { epoch, owner } = turn.own(step.group);
  const here = turn.run(step.group).here;
  return `${step.group}: ${here} on ${self}${peer}; owner ${owner ?? "none"}, epoch ${epoch}`;
}

function ask(turn: Turn, command: CommandRun, step: CommandStep): void {
  if (step.askAt === null || turn.now < step.askAt) return;
  if (turn.now >= command.answerBy) {
    step.askAt = null;
    conclude(step, "negative", "BTN-FAILOVER-NO-ANSWER", turn.peer.host);
    return;
  }
  step.askAt = after(turn.now, ASK_AGAIN_MS);
  sendRequest(turn, { id: requestId(turn, command, step), action: "give", group: step.group });
}

const requestId = (turn: Turn, command: CommandRun, step: CommandStep): string =>
  `${turn.options.session}/${command.id}/${step.group}`;

/** The peer answered a request. */
export function heardAnswer(turn: Turn, answer: BatonAnswer): void {
  for (const command of turn.state.commands) {
    for (const step of command.steps) {
      if (step.state !== "pending" || requestId(turn, command, step) !== answer.id) continue;
      step.askAt = null;
      if (answer.ok) continue;
      const reason = isFailoverReason(answer.reason) ? answer.reason : "BTN-FAILOVER-PEER-REFUSED";
      conclude(step, "refused", reason, answer.detail);
    }
  }
}

function judgeToSelf(turn: Turn, step: CommandStep): void {
  const run = turn.run(step.group);
  const record = turn.own(step.group);
  if (record.owner === turn.options.self) {
    step.askAt = null;
    if (run.here === "running" && !run.failing) {
      conclude(step, "done", "BTN-FAILOVER-MOVED", "");
      return;
    }
    if (run.here === "failed") {
      conclude(step, "failed", "BTN-FAILOVER-START-FAILED", run.failureDetail);
      return;
    }
    if (run.here === "blocked") {
      conclude(step, "failed", "BTN-FAILOVER-STOP-BLOCKED", run.failureDetail);
      return;
    }
    return;
  }
  // It was ours in between: the start failed here and the peer has it again.
  if (record.epoch >= step.startEpoch + 2) {
    conclude(step, "failed", "BTN-FAILOVER-START-FAILED", run.failureDetail);
    return;
  }
  const told = toldBy(turn, step.group);
  if (told?.state === "blocked" && step.askAt === null) {
    conclude(step, "failed", "BTN-FAILOVER-PEER-BLOCKED", "");
  }
}

function judgeToPeer(turn: Turn, step: CommandStep): void {
  const { peer } = turn;
  const record = turn.own(step.group);
  const run = turn.run(step.group);
  const told = toldBy(turn, step.group);
  if (record.owner === peer.host) {
    if (isGone(turn)) {
      conclude(step, "failed", "BTN-FAILOVER-PEER-CANNOT-TAKE", "it is gone");
      return;
    }
    if (told?.epoch === record.epoch && told.state === "running") {
      conclude(step, "done", "BTN-FAILOVER-MOVED", "");
      return;
    }
    return;
  }
  if (record.epoch > step.startEpoch) {
    conclude(step, "failed", "BTN-FAILOVER-START-FAILED", told?.failed ?? "");
    return;
  }
  if (run.transfer !== null) return;
  const why =
    run.here === "blocked" || run.blockedBy !== null ? "BTN-FAILOVER-STOP-BLOCKED" : undefined;
  conclude(step, "failed", why ?? "BTN-FAILOVER-MOVE-CANCELLED", run.failureDetail);
}

/** When a command under way next needs a tick: to ask again, or to be given up. */
export function commandDeadlines(turn: Turn): readonly (Instant | null)[] {
  return turn.state.commands.flatMap((command) => [
    command.until,
    ...command.steps.map((step) => (step.state === "pending" ? step.askAt : null)),
  ]);
}
