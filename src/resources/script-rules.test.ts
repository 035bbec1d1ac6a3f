import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import {
  classicStatus,
  endOf,
  lsbStatus,
  ocfStarted,
  ocfStatus,
  ocfStopped,
  scriptActed,
  statusByText,
} from "./script-rules.ts";

const end = (code: number | null, stdout = "", stderr = "") => ({ code, stdout, stderr });

test("the text of status is read as the original reads it", () => {
  const rows: readonly (readonly [string, "running" | "stopped" | undefined])[] = [
    ["mysqld (pid 17) is running...", "running"],
    ["INFO:  Running OK", "running"],
    ["OK", "running"],
    ["ok", undefined],
    ["mysqld is not running", "stopped"],
    ["Not yet Running", "stopped"],
    ["NOT\nrunning", "running"], // a blank must follow "not"
    ["notrunning", "running"],
    ["stopped", undefined],
    ["not there\nis running", "stopped"], // patterns cross lines
    ["running, not", "running"],
    ["", undefined],
  ];
  for (const [text, state] of rows) equal(statusByText(text), state, text);
});

test("classic scripts: the exit code is ignored, and no word means stopped", () => {
  equal(classicStatus(end(0, "")).state, "stopped");
  equal(classicStatus(end(0, "alive")).state, "stopped");
  equal(classicStatus(end(3, "running")).state, "running");
  equal(classicStatus(end(0, "not running")).state, "stopped");
  equal(classicStatus(end(0, "", "running")).state, "stopped", "only stdout counts");
});

test("LSB scripts: the exit code, unless exit 0 says the opposite in words", () => {
  const rows: readonly (readonly [number | null, string, string])[] = [
    [0, "Uptime: 3 min", "running"], // T11: Debian's mariadb script
    [0, "running", "running"],
    [0, "not running", "stopped"],
    [1, "dead but pid file exists", "stopped"],
    [2, "", "stopped"],
    [3, "running", "stopped"],
    [4, "", "unknown"],
    [150, "", "unknown"],
    [null, "", "unknown"],
  ];
  for (const [code, text, state] of rows)
    equal(lsbStatus(end(code, text)).state, state, `${code} ${text}`);
});

test("OCF monitor: what is not installed does not run; what is not well is not stopped", () => {
  const probes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, null].map(
    (code) => ocfStatus(end(code), "probe").state,
  );
  deepEqual(probes, [
    "running",
    "failed",
    "unknown",
    "unknown",
    "unknown",
    "stopped",
    "unknown",
    "stopped",
    "running",
    "failed",
    "unknown",
  ]);
  equal(ocfStatus(end(5), "monitor").state, "failed");
});

test("OCF actions: hard errors are not tried again on this host; not running is stopped", () => {
  deepEqual(ocfStarted(end(0)), { ok: true });
  const retryable = [1, 2, 3, 4, 5, 6, 7, 255, null].map((code) => {
    const result = ocfStarted(end(code));
    return result.ok ? "ok" : result.retryable;
  });
  deepEqual(retryable, [true, false, false, false, false, false, true, true, true]);
  deepEqual(ocfStopped(end(7)), { ok: true });
  equal(ocfStopped(end(1)).ok, false);
});

test("start and stop of scripts succeed by exit 0 alone", () => {
  deepEqual(scriptActed(end(0, "not running")), { ok: true });
  deepEqual(scriptActed(end(5, "", "no\tdisk\u001b[0m\n")), {
    ok: false,
    reason: "BTN-SCRIPT-FAILED",
    detail: "exit code 5: no disk [0m",
    retryable: true,
  });
});

test("a script's last words are one line without control characters, and few", () => {
  equal(endOf(end(null)), "ended by a signal");
  equal(endOf(end(1, `${"x".repeat(1_000)}end`)).length, "exit code 1: ".length + 300);
});
