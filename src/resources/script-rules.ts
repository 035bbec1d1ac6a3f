/**
 * How the answers of resource scripts are read.
 * Sources: heartbeat.md 2.5 (text of status), mysql.md 6.1 (OCF exit codes), 6.2 (LSB exit codes), T11.
 */
import type { ActionResult, ProbeResult } from "./agent.ts";
import type { ResourcesReason } from "./reasons.ts";

/** How a script ended. */
export interface ScriptEnd {
  /** Null: a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the text of `status` says; undefined: neither word is in it. */
export function statusByText(stdout: string): "running" | "stopped" | undefined {
  // The shell patterns *[Nn][Oo][Tt] *[Rr]unning*, then *[Rr]unning* and *OK*, in that order.
  if (/[Nn][Oo][Tt] [\s\S]*[Rr]unning/.test(stdout)) return "stopped";
  return /[Rr]unning|OK/.test(stdout) ? "running" : undefined;
}

/** Classic scripts: only the text on stdout counts, never the exit code; no word of it means stopped. */
export function classicStatus(end: ScriptEnd): ProbeResult {
  return { state: statusByText(end.stdout) ?? "stopped" };
}

/**
 * LSB scripts: the exit code, except that a script which exits 0 with "not running" is believed by its text: many
 * old ones always exit 0. One that exits 0 without either word runs (T11; the original would say stopped).
 */
export function lsbStatus(end: ScriptEnd): ProbeResult {
  switch (end.code) {
    case 0:
      return { state: statusByText(end.stdout) ?? "running" };
    case 1: // dead, its pid file is left
    case 2: // dead, its lock file is left
    case 3:
      return { state: "stopped" };
    default:
      return { state: "unknown", reason: "BTN-SCRIPT-STATUS", detail: endOf(end) };
  }
}

/** OCF monitor. A probe asks whether it runs at all; a periodic monitor, whether it runs well. */
export function ocfStatus(end: ScriptEnd, action: "probe" | "monitor"): ProbeResult {
  switch (end.code) {
    case 0:
    case 8: // promoted: Baton promotes nothing, but it does run
      return { state: "running" };
    case 7:
      return { state: "stopped" };
    case 5:
      // What is not installed does not run; a resource that ran a moment ago is another matter.
      if (action === "probe") return { state: "stopped" };
      return { state: "failed", reason: "BTN-OCF-NOT-INSTALLED", detail: endOf(end) };
    case 1:
    case 9:
      return { state: "failed", reason: "BTN-SCRIPT-STATUS", detail: endOf(end) };
    default:
      return { state: "unknown", reason: ocfReason(end.code), detail: endOf(end) };
  }
}

/** OCF start. The codes above 1 say that trying again on this host can not help. */
export function ocfStarted(end: ScriptEnd): ActionResult {
  if (end.code === 0) return { ok: true };
  const retryable = end.code === null || end.code === 1 || end.code > 6;
  return { ok: false, reason: ocfReason(end.code), detail: endOf(end), retryable };
}

/** OCF stop. What is not running is stopped. */
export function ocfStopped(end: ScriptEnd): ActionResult {
  if (end.code === 0 || end.code === 7) return { ok: true };
  return { ok: false, reason: ocfReason(end.code), detail: endOf(end), retryable: true };
}

/** Start or stop of a classic or LSB script: exit 0 is success. */
export function scriptActed(end: ScriptEnd): ActionResult {
  if (end.code === 0) return { ok: true };
  const retryable = end.code !== 126 && end.code !== 127; // not executable, interpreter not found
  return { ok: false, reason: "BTN-SCRIPT-FAILED", detail: endOf(end), retryable };
}

function ocfReason(code: number | null): ResourcesReason {
  switch (code) {
    case 2:
      return "BTN-OCF-ARGUMENTS";
    case 3:
      return "BTN-OCF-UNIMPLEMENTED";
    case 4:
      return "BTN-OCF-PERMISSION";
    case 5:
      return "BTN-OCF-NOT-INSTALLED";
    case 6:
      return "BTN-OCF-CONFIGURED";
    default:
      return "BTN-SCRIPT-FAILED";
  }
}

/** How much of a script's words goes into a message; the journal has the whole. */
const WORDS_MAX = 300;

/** One line: exit code and the last words, without control characters (reliability 9.2, logs). */
export function endOf(end: ScriptEnd): string {
  const how = end.code === null ? "ended by a signal" : `exit code ${end.code}`;
  const words = `${end.stdout}\n${end.stderr}`.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return words === "" ? how : `${how}: ${words.slice(-WORDS_MAX)}`;
}
