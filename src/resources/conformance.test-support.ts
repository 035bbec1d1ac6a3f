/**
 * What every `ResourceAgent` promises, as cases that take a factory: run them against each kind
 * (`for (const promise of conformance) test(`${kind}: ${promise.name}`, () => promise.check(make))`).
 */
import { assert } from "../base/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";

/** A resource that is stopped, and how to get rid of it. */
export interface ConformanceSubject {
  /** A new agent for the same resource, as after a restart of the process. */
  open(): ResourceAgent;
  /** Undoes everything, whatever state the resource is in. */
  end(): Promise<void>;
}

export interface ConformanceCase {
  readonly name: string;
  check(make: () => Promise<ConformanceSubject>): Promise<void>;
}

/** What an action is given in these cases; generous, because nothing here is about speed. */
export function testContext(changes: Partial<ActionContext> = {}): ActionContext {
  return {
    signal: AbortSignal.timeout(60_000),
    epoch: 1,
    timeoutMs: 60_000,
    progress: () => undefined,
    ...changes,
  };
}

function promise(
  name: string,
  story: (agent: ResourceAgent, subject: ConformanceSubject) => Promise<void>,
): ConformanceCase {
  return {
    name,
    async check(make) {
      const subject = await make();
      const agent = subject.open();
      try {
        await story(agent, subject);
      } finally {
        agent.dispose();
        await subject.end();
      }
    },
  };
}

export const conformance: readonly ConformanceCase[] = [
  promise("what is stopped is found stopped, and stopping it succeeds", async (agent) => {
    found(await agent.probe(testContext()), "stopped");
    succeeded(await agent.stop(testContext()), "stop of what is stopped");
    found(await agent.probe(testContext()), "stopped");
  }),
  promise("start, probe, monitor, stop, probe, and each action twice", async (agent) => {
    for (const time of ["first", "second"]) {
      succeeded(await agent.start(testContext()), `${time} start`);
      found(await agent.probe(testContext()), "running");
      found(await agent.monitor(testContext()), "running");
    }
    for (const time of ["first", "second"]) {
      succeeded(await agent.stop(testContext()), `${time} stop`);
      found(await agent.probe(testContext()), "stopped");
    }
  }),
  promise("it starts again after a stop", async (agent) => {
    for (let times = 0; times < 2; times++) {
      succeeded(await agent.start(testContext()), "start");
      succeeded(await agent.stop(testContext()), "stop");
    }
    found(await agent.probe(testContext()), "stopped");
  }),
  promise("opening and closing twice are successes", async (agent) => {
    succeeded(await agent.start(testContext()), "start");
    for (const action of ["activate", "activate", "deactivate", "deactivate"] as const) {
      const result = await agent[action]?.(testContext());
      if (result !== undefined) succeeded(result, action);
    }
    succeeded(await agent.stop(testContext()), "stop");
  }),
  promise(
    "a new agent finds what runs, starts nothing twice, and can stop it",
    async (agent, subject) => {
      succeeded(await agent.start(testContext()), "start");
      agent.dispose();
      const next = subject.open();
      try {
        found(await next.probe(testContext()), "running");
        succeeded(await next.start(testContext()), "start of what runs");
        succeeded((await next.activate?.(testContext())) ?? { ok: true }, "activate");
        found(await next.monitor(testContext()), "running");
        succeeded(await next.stop(testContext()), "stop");
        found(await next.probe(testContext()), "stopped");
      } finally {
        next.dispose();
      }
    },
  ),
  promise("a start that is broken off at once can be stopped", async (agent) => {
    const broken = new AbortController();
    broken.abort(new DOMException("Enough", "AbortError"));
    await agent.start(testContext({ signal: broken.signal })).catch(() => undefined);
    succeeded(await agent.stop(testContext()), "stop");
    found(await agent.probe(testContext()), "stopped");
  }),
  promise("an urgent stop is a stop", async (agent) => {
    succeeded(await agent.start(testContext()), "start");
    succeeded(await agent.stop(testContext({ urgent: true })), "urgent stop");
    found(await agent.probe(testContext()), "stopped");
  }),
];

function found(probe: ProbeResult, state: ProbeResult["state"]): void {
  assert(probe.state === state, `Expected ${state}, found ${JSON.stringify(probe)}`);
}

function succeeded(result: ActionResult, what: string): void {
  assert(result.ok, `Failed: ${what}: ${JSON.stringify(result)}`);
}
