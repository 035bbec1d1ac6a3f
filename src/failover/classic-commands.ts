/** Commands beside a classic peer: it knows two classes of groups, not single groups. */
import { after } from "../base/index.ts";
import { classOf, namesOf } from "./classic-holds.ts";
import { beginStandby, scopeClasses, standbyHindrance } from "./classic-standby.ts";
import type { MoveScope } from "./contract.ts";
import type { FailoverReason } from "./reasons.ts";
import { type CommandStep, isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

/** The peer's script answers 0.24 s after `hb_takeover` (14.8); then its own 10 s apply. */
const TAKEOVER_ANSWER_MS = 10_000;

export type Refusal = { readonly reason: FailoverReason; readonly detail: string };

/** Gives `scope` to a classic peer; a refusal changes nothing. */
export function classicStandby(turn: Turn, command: string, scope: MoveScope): Refusal | undefined {
  const refusal = refuse(turn);
  if (refusal !== undefined) return refusal;
  beginStandby(turn, scope, command);
  return undefined;
}

/** Asks a classic peer to give `scope`, seen from here (14.8). */
export function classicTakeover(
  turn: Turn,
  command: string,
  scope: MoveScope,
): Refusal | undefined {
  const refusal = refuse(turn);
  if (refusal !== undefined) return refusal;
  // The original takes `failback` for all (3.2); foreign is what it documents.
  const word = scope === "failback" ? "foreign" : scope;
  turn.state.classic.asked = { command, until: after(turn.now, TAKEOVER_ANSWER_MS) };
  turn.emit({ kind: "send", fields: { t: "hb_takeover", rsc_hold: word } });
  return undefined;
}

function refuse(turn: Turn): Refusal | undefined {
  if (turn.options.autoFailback === "legacy") {
    return { reason: "BTN-FAILOVER-LEGACY", detail: "" };
  }
  const hindrance = standbyHindrance(turn);
  return hindrance === undefined
    ? undefined
    : { reason: "BTN-FAILOVER-STANDBY-REFUSED", detail: hindrance };
}

/** The scope that moves exactly `groups` away from (or to) this host; undefined: there is none. */
export function scopeOf(
  turn: Turn,
  groups: readonly string[],
  here: boolean,
): MoveScope | undefined {
  const movable = (scope: MoveScope): readonly string[] =>
    namesOf(turn, scopeClasses(scope)).filter(
      (name) => turn.state.classic.hold[classOf(turn, name)] === here,
    );
  const wanted = [...groups].sort().join(" ");
  return (["local", "foreign", "all"] as const).find(
    (scope) => [...movable(scope)].sort().join(" ") === wanted,
  );
}

/** How one group of a command stands beside a classic peer. */
export function judgeClassicStep(
  turn: Turn,
  step: CommandStep,
): Pick<CommandStep, "state" | "reason" | "detail"> | undefined {
  const { standby, asked, hold } = turn.state.classic;
  const run = turn.run(step.group);
  if (run.here === "blocked") {
    return { state: "failed", reason: "BTN-FAILOVER-STOP-BLOCKED", detail: run.failureDetail };
  }
  const idle = standby.role === "none" && asked === null;
  if (step.to === turn.options.self) {
    if (run.here === "running") return { state: "done", reason: "BTN-FAILOVER-MOVED", detail: "" };
    if (run.here === "failed" && run.operation === null && hold[classOf(turn, step.group)]) {
      return { state: "failed", reason: "BTN-FAILOVER-START-FAILED", detail: run.failureDetail };
    }
    if (!idle || hold[classOf(turn, step.group)]) return undefined;
    return { state: "negative", reason: "BTN-FAILOVER-STANDBY-NO-REPLY", detail: "" };
  }
  if (!idle) return undefined;
  const given = turn.own(step.group).owner === turn.peer.host && isReleased(run.here);
  return given
    ? { state: "done", reason: "BTN-FAILOVER-MOVED", detail: "" }
    : { state: "negative", reason: "BTN-FAILOVER-STANDBY-NO-REPLY", detail: "" };
}
