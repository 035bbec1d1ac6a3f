import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { type Clock, type Instant, instant } from "../base/index.ts";
import type { ActionContext, ActionResult, ResourceAgent } from "./agent.ts";
import { GroupRunnerShell } from "./group-runner.shell.ts";
import { testGroup, testResource } from "./runner.test-support.ts";
import type { RunnerEffect } from "./runner-contract.ts";

/** A clock that stands until it is moved. */
class ManualClock implements Clock {
  #now = 0;
  readonly #wakes = new Set<{ readonly at: number; readonly wake: () => void }>();
  now(): Instant {
    return instant(this.#now);
  }
  at(at: Instant, wake: () => void): () => void {
    const entry = { at, wake };
    this.#wakes.add(entry);
    return () => this.#wakes.delete(entry);
  }
  move(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#wakes].filter((one) => one.at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#wakes.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
    this.#now = end;
  }
  get waiting(): number {
    return this.#wakes.size;
  }
}

type Start = (context: ActionContext) => Promise<ActionResult>;

function fakeAgent(start: Start): ResourceAgent & { readonly said: string[] } {
  const said: string[] = [];
  return {
    said,
    spec: testResource("address", "vip"),
    start: (context) => {
      said.push(`start ${context.epoch}`);
      return start(context);
    },
    stop: (context) => {
      said.push(`stop${context.urgent === true ? " urgently" : ""}`);
      return Promise.resolve({ ok: true });
    },
    probe: () => Promise.resolve({ state: "stopped" }),
    monitor: () => Promise.resolve({ state: "running" }),
    dispose: () => said.push("dispose"),
  };
}

function shell(start: Start) {
  const clock = new ManualClock();
  const agent = fakeAgent(start);
  const effects: RunnerEffect[] = [];
  const lines: string[] = [];
  const runner = new GroupRunnerShell({
    group: testGroup(agent.spec),
    agents: [agent],
    clock,
    onEffect: (effect) => effects.push(effect),
    onProgress: (resource, line) => lines.push(`${resource}: ${line}`),
  });
  const outcomes = (): unknown[] =>
    effects.flatMap((effect) => (effect.kind === "done" ? [effect.outcome] : []));
  return { clock, agent, effects, lines, runner, outcomes };
}

/** Lets promises that are ready run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("orders reach the agent, answers reach the core, progress reaches the listener", async () => {
  const { agent, runner, outcomes, lines } = shell((context) => {
    context.progress("half way");
    return Promise.resolve({ ok: true });
  });
  runner.feed({ kind: "acquire", operation: 1, epoch: 5 });
  await settled();
  runner.feed({ kind: "release", operation: 2, urgent: true });
  await settled();
  deepEqual(agent.said, ["start 5", "stop urgently"]);
  deepEqual(outcomes(), [{ result: "done" }, { result: "done" }]);
  deepEqual(lines, ["vip: half way"]);
  runner.dispose();
});

test("a start that never ends, not even when told to, is given up and stopped", async () => {
  const { agent, clock, runner, outcomes } = shell(() => new Promise(() => undefined));
  runner.feed({ kind: "acquire", operation: 1, epoch: 5 });
  await settled();
  clock.move(10_000);
  deepEqual(agent.said, ["start 5"]);
  clock.move(2_000);
  await settled();
  deepEqual(agent.said, ["start 5", "stop"]);
  deepEqual(outcomes(), [
    {
      result: "failed",
      resource: "vip",
      reason: "BTN-RESOURCE-TIMEOUT",
      detail: "start of vip did not end in time",
      clean: true,
    },
  ]);
  equal(clock.waiting, 0);
  runner.dispose();
});

test("a release aborts the start under way and does not wait long for it", async () => {
  const { agent, clock, runner, outcomes } = shell(
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  );
  runner.feed({ kind: "acquire", operation: 1, epoch: 5 });
  runner.feed({ kind: "release", operation: 2, urgent: false });
  await settled();
  deepEqual(agent.said, ["start 5", "stop"]);
  deepEqual(outcomes(), [{ result: "done" }]);
  equal(clock.waiting, 0);
  runner.dispose();
});

test("an agent that throws is a failed action with its own reason", async () => {
  const { runner, outcomes } = shell(() => {
    throw new TypeError("x is not a function");
  });
  runner.feed({ kind: "acquire", operation: 1, epoch: 5 });
  await settled();
  deepEqual(outcomes(), [
    {
      result: "failed",
      resource: "vip",
      reason: "BTN-RESOURCE-AGENT-ERROR",
      detail: "TypeError: x is not a function",
      clean: true,
    },
  ]);
  runner.dispose();
});

test("a monitor is asked by the clock, and nothing after dispose", async () => {
  const { agent, clock, effects, runner } = shell(() => Promise.resolve({ ok: true }));
  runner.feed({ kind: "acquire", operation: 1, epoch: 5 });
  await settled();
  clock.move(1_000);
  equal(effects.filter((one) => one.kind === "call" && one.action === "monitor").length, 1);
  await settled();
  runner.dispose();
  clock.move(10_000);
  deepEqual(agent.said, ["start 5", "dispose"]);
  equal(clock.waiting, 0);
});
