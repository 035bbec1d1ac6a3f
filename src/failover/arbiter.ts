/**
 * The seam for whoever grants the right to replace a silent host (DESIGN 5). Kind `none` grants what
 * the mitigations of reliability 3.2 allowed; `external` (a witness, etcd) is asked by an effect and
 * answers by an event, for exactly the epoch that it was asked for.
 */
import type { FailoverEvent } from "./contract.ts";
import type { Turn } from "./turn.ts";

export type Permission =
  | { readonly answer: "granted" }
  | { readonly answer: "pending" }
  | { readonly answer: "refused"; readonly reason: string };

/** May `group` be held here under `epoch`? Asks once per epoch; call again when events arrive. */
export function permission(turn: Turn, group: string, epoch: number): Permission {
  if (turn.options.arbiter.kind === "none") return { answer: "granted" };
  const run = turn.run(group);
  if (run.question?.epoch !== epoch) {
    run.question = { id: ++turn.state.questions, epoch, answer: null, reason: "" };
    turn.emit({ kind: "askArbiter", group, question: run.question.id, epoch });
  }
  const { answer, reason } = run.question;
  if (answer === null) return { answer: "pending" };
  return answer ? { answer: "granted" } : { answer: "refused", reason };
}

/** An arbiter answered. Answers to older questions are ignored; a later one may change its mind. */
export function arbiterAnswered(
  turn: Turn,
  event: Extract<FailoverEvent, { kind: "arbiter" }>,
): void {
  const run = turn.state.groups[event.group];
  if (run?.question?.id !== event.question) return;
  run.question.answer = event.granted;
  run.question.reason = event.reason;
}

/** The peer is there again: a right granted for its absence is void. */
export function forgetQuestions(turn: Turn): void {
  for (const { name } of turn.options.groups) turn.run(name).question = null;
}
