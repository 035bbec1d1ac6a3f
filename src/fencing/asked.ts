/** Being asked: the other host wants the copy here outdated (diagram in `outdate.ts`). */
import { after } from "../base/index.ts";
import { answerOutdate, codeOfOutdateExit, type DopMessage, dopCode } from "./dopd.ts";
import type { FencingReason } from "./reasons.ts";
import { SERVE_MS, WAITERS_MAX } from "./state.ts";
import type { Turn } from "./turn.ts";

/** A question: handed on to the disk, unless that is under way; strangers get "failed". */
export function heardQuestion(
  turn: Turn,
  host: string,
  { disk, question }: Extract<DopMessage, { kind: "ask" }>,
): void {
  const known = turn.options.disks.find(({ name }) => name === disk);
  if (known?.peer !== host) {
    const why = known === undefined ? "no such disk here" : `its peer is ${known.peer}`;
    turn.decide("BTN-FENCE-STRANGER", { disk, host }, why);
    turn.emit({ kind: "send", fields: answerOutdate(host, disk, dopCode.failed, question) });
    return;
  }
  const asker = { host, question: question ?? null };
  const running = turn.state.serving[disk];
  if (running !== undefined) {
    // Each question gets its answer: the original counts on that.
    if (running.askers.length < WAITERS_MAX) running.askers.push(asker);
    return;
  }
  const request = ++turn.state.counter;
  turn.state.serving[disk] = { request, until: after(turn.now, SERVE_MS), askers: [asker] };
  turn.emit({ kind: "outdateHere", disk, request });
}

/** The disk did it, or did not. */
export function outdatedHere(turn: Turn, disk: string, request: number, exit: number): void {
  const { serving } = turn.state;
  const running = Object.hasOwn(serving, disk) ? serving[disk] : undefined;
  if (running?.request === request) answer(turn, disk, codeOfOutdateExit(exit), `exit ${exit}`);
}

/** Questions whose disk does not answer are answered "failed": whatever comes later proves nothing to the asker. */
export function judgeServing(turn: Turn): void {
  for (const [disk, { until }] of Object.entries(turn.state.serving)) {
    if (turn.now >= until) answer(turn, disk, dopCode.failed, `no answer in ${SERVE_MS} ms`);
  }
}

const reasons: Readonly<Record<number, FencingReason>> = {
  [dopCode.outdated]: "BTN-FENCE-SERVED",
  [dopCode.inconsistent]: "BTN-FENCE-SERVED",
  [dopCode.primary]: "BTN-FENCE-SERVED-REFUSED",
};

function answer(turn: Turn, disk: string, code: number, detail: string): void {
  const { [disk]: running, ...serving } = turn.state.serving;
  if (running === undefined) return;
  turn.state.serving = serving;
  const host = running.askers[0]?.host ?? "";
  turn.decide(reasons[code] ?? "BTN-FENCE-SERVED-FAILED", { disk, host }, detail);
  for (const asker of running.askers) {
    const fields = answerOutdate(asker.host, disk, code, asker.question ?? undefined);
    turn.emit({ kind: "send", fields });
  }
}
