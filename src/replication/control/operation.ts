/** A command under way: how it begins, waits and ends. One at a time; the others wait in order. */
import { after, type Instant } from "../../base/index.ts";
import type { DiskCommand } from "../contract.ts";
import type { Core } from "./core.ts";
import type { Operation } from "./memory.ts";
import { codes, reasonOf, succeeded } from "./result-codes.ts";

/** After so long without progress a command fails; a question to the agent about the peer is waited for without limit. */
export const COMMAND_LIMIT_MS = 60_000;
export const MAX_WAITING = 32;

export const newOperation = (id: string, command: DiskCommand, now: Instant): Operation => ({
  id,
  command,
  since: now,
  phase: "begin",
  tries: 0,
  patch: {},
  assumedOutdated: false,
  mark: 0,
  result: null,
  until: null,
});

/** Tells the end of the command; the next one begins. */
export function endOperation(core: Core, operation: Operation, code: number, detail = ""): void {
  core.memory.operation = null;
  answer(core, operation.id, code, reasonOf(code), detail);
}

/** The same with a reason of its own. */
export function failOperation(
  core: Core,
  operation: Operation,
  reason: string,
  detail: string,
  code: number = codes.unknown,
): void {
  core.memory.operation = null;
  core.emit({
    kind: "commandDone",
    id: operation.id,
    outcome: code < codes.unknown || code > 100 ? "refused" : "failed",
    reason,
    code,
    detail,
  });
}

/** The one `commandDone` of a command that ends without an operation, or with one. */
export function answer(core: Core, id: string, code: number, reason: string, detail: string): void {
  const done = succeeded(code) && code < 100;
  core.emit({ kind: "commandDone", id, outcome: done ? "done" : "refused", reason, code, detail });
}

/** Waits this long, then goes on in `phase`. */
export function pause(core: Core, operation: Operation, ms: number, phase: string): void {
  operation.until = after(core.now, ms);
  operation.phase = phase;
}

/** Whether the pause is over. */
export const pauseOver = (core: Core, operation: Operation): boolean =>
  operation.until === null || core.now >= operation.until;
