import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import { GroupRunner } from "./group-runner.ts";
import { chapterGroup, RunnerWorld, testGroup, testResource } from "./runner.test-support.ts";

/** A group that is started and watched. */
function held(world = new RunnerWorld()): RunnerWorld {
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll();
  world.said();
  return world;
}

test("a group of one address is started in the step that orders it, and done in the step that tells", () => {
  const world = new RunnerWorld(testGroup(testResource("address", "vip")));
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  deepEqual(world.said(), ["start vip"]);
  world.answer("start vip");
  deepEqual(world.said(), ["done 1 done"]);
});

test("starts go left to right, each after a probe; what is opened is opened last", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll();
  deepEqual(world.said(), [
    "start vip",
    "probe disk",
    "start disk",
    "probe db",
    "start db",
    "activate db",
    "done 1 done",
  ]);
});

test("what a probe found stopped is started at once, what it found running is not started again", () => {
  const world = new RunnerWorld();
  world.running.add(1);
  world.feed({ kind: "probeAll" });
  world.answerAll();
  deepEqual(world.said(), ["probe vip", "probe disk", "probe db", "probed partial"]);
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll();
  deepEqual(world.said(), [
    "start vip",
    "probe disk",
    "note BTN-RESOURCE-ALREADY-RUNNING disk",
    "start db",
    "activate db",
    "done 1 done",
  ]);
});

test("the epoch of the order is part of every call", () => {
  const world = held();
  deepEqual(
    new Set(world.effects.flatMap((effect) => (effect.kind === "call" ? [effect.epoch] : []))),
    new Set([7]),
  );
});

test("a release closes first, then stops right to left; asked again it succeeds again", () => {
  const world = held();
  for (const operation of [2, 3]) {
    world.feed({ kind: "release", operation, urgent: false });
    world.answerAll();
  }
  deepEqual(world.said(), [
    "deactivate db",
    "stop db",
    "stop disk",
    "stop vip",
    "done 2 done",
    "stop db",
    "stop disk",
    "stop vip",
    "done 3 done",
  ]);
});

test("an urgent release drops addresses at once beside the rest and skips the courtesy", () => {
  const world = held();
  world.feed({ kind: "release", operation: 2, urgent: true });
  deepEqual(world.said(), ["stop db urgently", "stop vip urgently"]);
  world.answer("stop vip");
  world.answer("stop db");
  world.answer("stop disk");
  deepEqual(world.said(), ["stop disk urgently", "done 2 done"]);
});

test("a release that becomes urgent breaks off the patient stop and stays urgent", () => {
  const world = held();
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.answer("deactivate db");
  world.feed({ kind: "release", operation: 3, urgent: true });
  world.feed({ kind: "release", operation: 4, urgent: false });
  deepEqual(world.said(), [
    "deactivate db",
    "stop db",
    "note BTN-RESOURCE-SUPERSEDED",
    "cancel stop db",
    "stop vip urgently",
    "note BTN-RESOURCE-SUPERSEDED",
  ]);
  world.answer("stop db", { ok: false, reason: "X", detail: "broken off", retryable: true });
  world.answerAll();
  deepEqual(world.said(), ["stop db urgently", "stop disk urgently", "done 4 done"]);
});

test("what another host has taken is stopped without writing, also by a stop that is under way", () => {
  const world = held();
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.answer("deactivate db");
  world.feed({ kind: "abandon" });
  deepEqual(world.said(), ["deactivate db", "stop db", "cancel stop db"]);
  world.answer("stop db", { ok: false, reason: "X", detail: "broken off", retryable: true });
  world.answerAll();
  deepEqual(world.said(), [
    "stop db abandoning",
    "stop disk abandoning",
    "stop vip abandoning",
    "done 2 done",
  ]);
  world.feed({ kind: "acquire", operation: 3, epoch: 9 });
  world.answerAll();
  world.said();
  world.feed({ kind: "release", operation: 4, urgent: true });
  deepEqual(world.said(), ["stop db urgently", "stop vip urgently"]);
});

test("after a failed start everything is stopped again right to left, and what was not begun is left alone", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "probeAll" });
  world.answerAll();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll({
    "start disk": { ok: false, reason: "X", detail: "no disk", retryable: true },
  });
  deepEqual(world.said().slice(4), [
    "start vip",
    "start disk",
    "note BTN-RESOURCE-START-FAILED disk",
    "stop disk",
    "stop vip",
    "done 1 failed disk X clean",
  ]);
  equal(world.running.size, 0);
});

test("a failed start whose undoing fails is not clean, and the group is blocked", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll({
    "start db": { ok: false, reason: "X", detail: "no", retryable: true },
    "stop db": { ok: false, reason: "Y", detail: "stuck", retryable: false },
  });
  deepEqual(world.said().slice(-4), [
    "deactivate db",
    "stop db",
    "note BTN-RESOURCE-STOP-FAILED db",
    "done 1 failed db X not clean",
  ]);
  equal(world.runner.snapshot().plan.phase, "blocked");
});

test("a resource that can not be opened counts as one that can not be started", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answerAll({
    "activate db": { ok: false, reason: "X", detail: "denied", retryable: false },
  });
  deepEqual(world.said().slice(-2), ["stop vip", "done 1 failed db X clean"]);
});

test("a probe that can not tell is not taken for stopped: nothing is started over it", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answer("start vip");
  world.answer("probe disk", "timeout");
  world.answerAll();
  deepEqual(world.said(), [
    "start vip",
    "probe disk",
    "note BTN-RESOURCE-START-FAILED disk",
    "deactivate db",
    "stop db",
    "stop disk",
    "stop vip",
    "done 1 failed disk BTN-RESOURCE-TIMEOUT clean",
  ]);
});

test("what is there but not well is stopped before it is started", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answer("start vip");
  world.answer("probe disk");
  world.answer("start disk");
  world.answer("probe db", { state: "failed", reason: "X", detail: "hung" });
  world.answerAll();
  deepEqual(world.said().slice(4), ["stop db", "start db", "activate db", "done 1 done"]);
});

test("a failed stop is tried again with growing pauses until its limit; then the group is blocked, not released", () => {
  const world = held();
  const failed = { ok: false, reason: "X", detail: "busy", retryable: true } as const;
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.answer("deactivate db");
  for (let tries = 1; world.asked().includes("stop db"); tries++) {
    world.answer("stop db", failed);
    world.pass((world.runner.wakeAt() ?? world.now) - world.now);
    equal(tries < 10, true);
  }
  deepEqual(world.said(), [
    "deactivate db",
    "stop db",
    "note BTN-RESOURCE-STOP-RETRY db",
    "stop db",
    "note BTN-RESOURCE-STOP-RETRY db",
    "stop db",
    "note BTN-RESOURCE-STOP-RETRY db",
    "stop db",
    "note BTN-RESOURCE-STOP-FAILED db",
    "done 2 failed db BTN-RESOURCE-STOP-FAILED not clean",
  ]);
  deepEqual([...world.running], [0, 1, 2], "what the server needs is left to it");
  world.feed({ kind: "release", operation: 3, urgent: false });
  world.answerAll();
  deepEqual(world.said().at(-1), "done 3 done", "an order to try again is obeyed");
});

test("a stop that takes its whole limit is not tried again; the policy may ask for a reset of the host", () => {
  const world = held(
    new RunnerWorld(
      testGroup(testResource("classic-script", "disk", { onStopFailure: "reset-host" })),
    ),
  );
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.now = instant(3_000);
  world.answer("stop disk", "timeout");
  deepEqual(world.said(), [
    "stop disk",
    "note BTN-RESOURCE-STOP-FAILED disk",
    "done 2 failed disk BTN-RESOURCE-STOP-FAILED not clean",
    "resetHost disk",
  ]);
});

test("an urgent release that is blocked has dropped its address all the same", () => {
  const world = held();
  world.feed({ kind: "release", operation: 2, urgent: true });
  world.answerAll({ "stop db": { ok: false, reason: "X", detail: "D state", retryable: false } });
  deepEqual([...world.running], [1, 2]);
  equal(world.said().at(-1), "done 2 failed db BTN-RESOURCE-STOP-FAILED not clean");
});

test("a release in the middle of a start breaks the start off, waits for its end, and stops everything", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answer("start vip");
  world.answer("probe disk");
  world.said();
  world.feed({ kind: "release", operation: 2, urgent: false });
  deepEqual(world.said(), ["note BTN-RESOURCE-SUPERSEDED", "cancel start disk", "deactivate db"]);
  world.answer("deactivate db");
  world.answer("stop db");
  deepEqual(world.said(), ["stop db"], "the stop of the disk waits for the end of its start");
  world.answer("start disk", "timeout");
  world.answerAll();
  deepEqual(world.said(), ["stop disk", "stop vip", "done 2 done"]);
});

test("an acquire in the middle of a release lets the stop end and starts again from there", () => {
  const world = held();
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.answer("deactivate db");
  world.feed({ kind: "acquire", operation: 3, epoch: 8 });
  world.answerAll();
  deepEqual(world.said(), [
    "deactivate db",
    "stop db",
    "note BTN-RESOURCE-SUPERSEDED",
    "start vip",
    "probe disk",
    "note BTN-RESOURCE-ALREADY-RUNNING disk",
    "start db",
    "activate db",
    "done 3 done",
  ]);
});

test("a monitor that fails for long enough restarts the resource and those to its right", () => {
  const world = held();
  const hung = { state: "failed", reason: "X", detail: "hung" } as const;
  world.pass(1_000);
  world.answer("monitor disk", hung);
  world.answerAll();
  world.pass(1_000);
  world.said();
  world.answer("monitor disk", hung);
  world.answer("monitor vip");
  world.answer("monitor db");
  world.answerAll();
  deepEqual(world.said(), [
    "note BTN-RESOURCE-MONITOR-FAILED disk",
    "note BTN-RESOURCE-RESTART disk",
    "deactivate db",
    "stop db",
    "stop disk",
    "start disk",
    "start db",
    "activate db",
  ]);
});

test("what has ended is not asked twice; without a restart left it is failover's, and said once", () => {
  const world = held();
  for (const kill of [2, 2, 2]) {
    world.running.delete(kill);
    world.pass(1_000);
    world.answerAll();
  }
  deepEqual(
    world.said().filter((line) => !line.startsWith("monitor")),
    [
      "note BTN-RESOURCE-MONITOR-FAILED db",
      "note BTN-RESOURCE-RESTART db",
      "start db",
      "activate db",
      "note BTN-RESOURCE-MONITOR-FAILED db",
      "resourceFailed db BTN-RESOURCE-NOT-RUNNING",
    ],
  );
});

test("a restart is forgotten after the window", () => {
  const world = held(new RunnerWorld(testGroup(testResource("mysqld", "db"))));
  for (const pauseMs of [1_000, 61_000]) {
    world.said();
    for (let left = pauseMs; left > 0; left -= 1_000) {
      world.pass(1_000);
      if (left > 1_000) world.answerAll();
    }
    world.running.delete(0);
    world.answerAll();
    equal(world.said().includes("note BTN-RESOURCE-RESTART db"), true, `after ${pauseMs} ms`);
  }
});

test("a local restart that fails goes to failover; the release that follows stops everything", () => {
  const world = held();
  world.running.delete(2);
  world.pass(1_000);
  world.answerAll({ "start db": { ok: false, reason: "X", detail: "corrupt", retryable: true } });
  equal(world.said().at(-1), "resourceFailed db X");
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.answerAll();
  equal(world.said().at(-1), "done 2 done");
  equal(world.running.size, 0);
});

test("a slow monitor that comes back starts its count from zero", () => {
  const world = held();
  for (const answer of ["timeout", undefined, "timeout", undefined] as const) {
    world.pass(1_000);
    world.answer("monitor db", answer);
    world.answerAll();
  }
  deepEqual(
    world.said().filter((line) => line.startsWith("note")),
    [
      "note BTN-RESOURCE-MONITOR-FAILED db",
      "note BTN-RESOURCE-RECOVERED db",
      "note BTN-RESOURCE-MONITOR-FAILED db",
      "note BTN-RESOURCE-RECOVERED db",
    ],
  );
});

test("after an agent restart what runs is adopted without a stop", () => {
  const world = new RunnerWorld();
  for (const index of [0, 1, 2]) world.running.add(index);
  world.feed({ kind: "probeAll" });
  world.answerAll();
  world.feed({ kind: "adopt", epoch: 7 });
  world.answerAll();
  deepEqual(world.said(), [
    "probe vip",
    "probe disk",
    "probe db",
    "probed running",
    "note BTN-RESOURCE-ADOPTED",
    "start vip",
    "activate db",
  ]);
  world.pass(1_000);
  deepEqual(world.said(), ["monitor vip", "monitor disk", "monitor db"]);
});

test("an adopted group that lost a resource gets it back by a local restart", () => {
  const world = new RunnerWorld();
  for (const index of [0, 1, 2]) world.running.add(index);
  world.feed({ kind: "probeAll" });
  world.answerAll();
  world.running.delete(2);
  world.feed({ kind: "adopt", epoch: 7 });
  world.answerAll();
  world.said();
  world.pass(1_000);
  world.answerAll();
  deepEqual(world.said().slice(-3), ["note BTN-RESOURCE-RESTART db", "start db", "activate db"]);
});

test("what runs here is unknown while an order is carried out", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "probeAll" });
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.feed({ kind: "probeAll" });
  deepEqual(
    world.said().filter((line) => line.startsWith("probed")),
    ["probed unknown", "probed unknown"],
  );
  world.answerAll();
  equal(world.said().at(-1), "done 1 done");
});

test("an acquire interrupted after each step by a release leaves nothing running; by itself, all", () => {
  for (const order of ["release", "urgent", "acquire"] as const) {
    for (let steps = 0; steps < 12; steps++) {
      const world = new RunnerWorld();
      world.feed({ kind: "acquire", operation: 1, epoch: 7 });
      for (let step = 0; step < steps && world.calls.size > 0; step++) {
        const [next] = world.asked();
        if (next !== undefined) world.answer(next);
      }
      if (order === "acquire") world.feed({ kind: "acquire", operation: 2, epoch: 8 });
      else world.feed({ kind: "release", operation: 2, urgent: order === "urgent" });
      world.answerAll();
      equal(world.said().at(-1), "done 2 done", `${order} after ${steps} steps`);
      equal(world.running.size, order === "acquire" ? 3 : 0, `${order} after ${steps} steps`);
      equal(world.open.size, order === "acquire" ? 1 : 0, `${order} after ${steps} steps`);
    }
  }
});

test("a release interrupted after each step by an acquire, or run by a restored runner, ends as ordered", () => {
  for (let steps = 0; steps < 8; steps++) {
    const world = held();
    world.feed({ kind: "release", operation: 2, urgent: false });
    for (let step = 0; step < steps && world.calls.size > 0; step++) {
      const [next] = world.asked();
      if (next !== undefined) world.answer(next);
    }
    const copy = new RunnerWorld(
      chapterGroup,
      GroupRunner.restore(world.options, JSON.parse(JSON.stringify(world.runner.snapshot()))),
    );
    copy.now = world.now;
    for (const index of world.running) copy.running.add(index);
    for (const [id, call] of world.calls) copy.calls.set(id, call);
    world.said();
    copy.answerAll();
    world.answerAll();
    deepEqual(copy.said(), world.said(), "the copy does what the original does");
    world.feed({ kind: "acquire", operation: 3, epoch: 8 });
    world.answerAll();
    equal(world.said().at(-1), "done 3 done");
    deepEqual([...world.running].sort(), [0, 1, 2]);
  }
});

test("an answer to a call that is no longer known changes nothing", () => {
  const world = held();
  const before = world.runner.snapshot();
  world.feed({ kind: "callDone", call: 999, result: { kind: "timedOut", detail: "late" } });
  deepEqual(world.runner.snapshot(), before);
});

test("a probe that a release broke off says nothing to the acquire that follows", () => {
  const world = new RunnerWorld();
  world.feed({ kind: "acquire", operation: 1, epoch: 7 });
  world.answer("start vip");
  world.feed({ kind: "release", operation: 2, urgent: false });
  world.feed({ kind: "acquire", operation: 3, epoch: 8 });
  world.answer("probe disk", "timeout");
  world.answerAll();
  equal(world.said().at(-1), "done 3 done");
});
