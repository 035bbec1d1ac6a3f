import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { killGroup, run } from "./process.ts";

test("a program's output, exit code and input are carried", async () => {
  const result = await run("/bin/sh", ["-c", "cat; echo oops >&2; exit 3"], {
    timeoutMs: 5_000,
    input: "hello",
  });
  deepEqual(result, {
    code: 3,
    signal: null,
    stdout: "hello",
    stderr: "oops\n",
    timedOut: false,
    truncated: false,
  });
});

test("nothing of our environment reaches the program unless it is given", async () => {
  process.env["BATON_TEST_SECRET"] = "x";
  const result = await run("env", [], { timeoutMs: 5_000 });
  match(result.stdout, /^PATH=/m);
  equal(result.stdout.includes("BATON_TEST_SECRET"), false);
});

test("a program that outlives its time is ended with all its children", async () => {
  const result = await run("/bin/sh", ["-c", "sleep 60 & echo $!; wait"], { timeoutMs: 300 });
  equal(result.timedOut, true);
  equal(result.signal, "SIGKILL");
  const child = Number(result.stdout.trim());
  equal(isRunning(child), false);
});

test("with a grace, a program may end itself on SIGTERM", async () => {
  const script = "trap 'echo bye; exit 0' TERM; sleep 60 & wait";
  const result = await run("/bin/sh", ["-c", script], { timeoutMs: 500, terminateGraceMs: 5_000 });
  deepEqual([result.timedOut, result.code, result.stdout], [true, 0, "bye\n"]);
});

test("a daemon that keeps the pipe open does not keep us", async () => {
  const result = await run("/bin/sh", ["-c", "sleep 60 & echo $!"], { timeoutMs: 10_000 });
  equal(result.code, 0);
  const daemon = Number(result.stdout.trim());
  equal(isRunning(daemon), true);
  process.kill(daemon, "SIGKILL");
});

test("output beyond the limit is dropped, not kept, and said so", async () => {
  const result = await run("/bin/sh", ["-c", "head -c 100000 /dev/zero"], {
    timeoutMs: 5_000,
    maxOutputBytes: 1_000,
  });
  deepEqual([result.stdout.length, result.truncated, result.code], [1_000, true, 0]);
});

test("an abort ends the group and rejects with its reason", async () => {
  const abort = new AbortController();
  const running = run("sleep", ["60"], { timeoutMs: 10_000, signal: abort.signal });
  abort.abort(new Error("no longer wanted"));
  await rejects(running, /no longer wanted/);
});

test("a file that is not there is an error that names it", async () => {
  await rejects(run("/nonexistent/tool", [], { timeoutMs: 1_000 }), {
    code: "BTN-SYSTEM-CANNOT-RUN",
    message: /"\/nonexistent\/tool".*ENOENT/,
  });
});

test("a program that does not read its input is no error", async () => {
  const result = await run("true", [], { timeoutMs: 5_000, input: "x".repeat(200_000) });
  equal(result.code, 0);
});

test("ending a group that is gone is not an error", () => {
  equal(killGroup(2 ** 22 + 1, "SIGKILL"), false);
});

/** Zombies, which init has not reaped yet, do not count. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/\) Z /.test(stat);
  } catch {
    return false; // no such process
  }
}
