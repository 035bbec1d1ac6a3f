import { after, BatonError, type Clock } from "../base/index.ts";
import type { ActionContext, ResourceAgent } from "./agent.ts";
import { GroupRunner } from "./group-runner.ts";
import type {
  CallResult,
  GroupRunnerSnapshot,
  ResourceView,
  RunnerAction,
  RunnerEffect,
  RunnerEvent,
} from "./runner-contract.ts";
import type { GroupSpec } from "./spec.ts";

/** An agent that was asked to end has this long; then its call counts as timed out and is awaited no more. */
const ABANDON_AFTER_MS = 2_000;

export interface GroupRunnerShellOptions {
  readonly group: GroupSpec;
  /** One per resource of the group, in its order. */
  readonly agents: readonly ResourceAgent[];
  readonly clock: Clock;
  /** Gets every effect in order, calls included; for journal, status and failover. Must not throw. */
  readonly onEffect: (effect: RunnerEffect) => void;
  /** A line that a resource says while an action goes on. Must not throw. */
  readonly onProgress?: (resource: string, line: string) => void;
  readonly snapshot?: GroupRunnerSnapshot;
}

interface Running {
  readonly abort: AbortController;
  /** It was cancelled: the limit that follows is the abandonment. */
  readonly giveUpSoon: () => void;
}

/** Drives one `GroupRunner`: carries its calls to the agents, their answers and the time back into it. */
export class GroupRunnerShell {
  readonly #core: GroupRunner;
  readonly #options: GroupRunnerShellOptions;
  readonly #running = new Map<number, Running>();
  #cancelTimer: () => void = () => undefined;
  #queue: RunnerEvent[] = [];
  #busy = false;
  #disposed = false;

  constructor(options: GroupRunnerShellOptions) {
    const { group, agents, clock, snapshot } = options;
    const activatable = [...agents.keys()].filter((index) => agents[index]?.activate !== undefined);
    this.#options = options;
    this.#core =
      snapshot === undefined
        ? new GroupRunner({ group, activatable }, clock.now())
        : GroupRunner.restore({ group, activatable }, snapshot);
  }

  /** Starts the group under that epoch; ends with a `done`. */
  acquire(operation: number, epoch: number): void {
    this.feed({ kind: "acquire", operation, epoch });
  }

  /** Stops it; ends with a `done`, or is replaced by a newer order. */
  release(operation: number, urgent: boolean): void {
    this.feed({ kind: "release", operation, urgent });
  }

  /** Another host has taken the data: stops from now on write nothing. */
  abandon(): void {
    this.feed({ kind: "abandon" });
  }

  /** Finds out what runs here; answered by a `probed`. */
  probeAll(): void {
    this.feed({ kind: "probeAll" });
  }

  /** After a restart of the agent: what was found running is watched and opened again, without a stop. */
  adopt(epoch: number): void {
    this.feed({ kind: "adopt", epoch });
  }

  /** How each resource stands, in start order, for status. */
  resources(): readonly ResourceView[] {
    return this.#core.view();
  }

  /** Takes an order. Its effects arrive at `onEffect` before this returns, unless it is called from there. */
  feed(event: RunnerEvent): void {
    if (this.#disposed) return;
    this.#queue.push(event);
    if (this.#busy) return; // an effect led to an event: after this one, never inside it
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        for (const effect of this.#core.step(this.#options.clock.now(), next))
          this.#perform(effect);
      }
    } finally {
      this.#busy = false;
    }
    this.#arm();
  }

  snapshot(): GroupRunnerSnapshot {
    return this.#core.snapshot();
  }

  /** Ends timers and calls and lets the agents go. What runs goes on running. */
  dispose(): void {
    this.#disposed = true;
    this.#queue = [];
    this.#cancelTimer();
    for (const { abort } of this.#running.values()) abort.abort(disposed());
    this.#running.clear();
    for (const agent of this.#options.agents) agent.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #arm(): void {
    this.#cancelTimer();
    const wakeAt = this.#core.wakeAt();
    this.#cancelTimer =
      wakeAt === undefined
        ? () => undefined
        : this.#options.clock.at(wakeAt, () => this.feed({ kind: "tick" }));
  }

  #perform(effect: RunnerEffect): void {
    this.#options.onEffect(effect);
    if (effect.kind === "cancelCall") {
      const running = this.#running.get(effect.id);
      running?.abort.abort(cancelled());
      running?.giveUpSoon();
    } else if (effect.kind === "call") {
      this.#call(effect);
    }
  }

  #call(effect: RunnerEffect & { readonly kind: "call" }): void {
    const agent = this.#options.agents[effect.resource];
    const { clock } = this.#options;
    const abort = new AbortController();
    let timedOut = false;
    let stopTimer: () => void = () => undefined;
    const settle = (result: CallResult): void => {
      if (!this.#running.delete(effect.id)) return; // answered or abandoned before
      stopTimer();
      this.feed({ kind: "callDone", call: effect.id, result });
    };
    const giveUpSoon = (): void => {
      stopTimer();
      stopTimer = clock.at(after(clock.now(), ABANDON_AFTER_MS), () =>
        settle({ kind: "timedOut", detail: `${effect.action} did not end when told to` }),
      );
    };
    stopTimer = clock.at(after(clock.now(), effect.timeoutMs), () => {
      timedOut = true;
      abort.abort(new DOMException(`${effect.action} took ${effect.timeoutMs} ms`, "TimeoutError"));
      giveUpSoon();
    });
    this.#running.set(effect.id, { abort, giveUpSoon });
    if (agent === undefined) {
      settle({ kind: "crashed", detail: `No agent for resource ${effect.resource}` });
      return;
    }
    const context: ActionContext = {
      signal: abort.signal,
      epoch: effect.epoch,
      timeoutMs: effect.timeoutMs,
      urgent: effect.urgent,
      abandon: effect.abandon === true,
      progress: (line) => this.#options.onProgress?.(agent.spec.name, line),
    };
    ask(agent, effect.action, context).then(
      (result) => settle(timedOut ? late(result, effect) : result),
      (error: unknown) =>
        settle(
          abort.signal.aborted
            ? { kind: "timedOut", detail: `${effect.action} was broken off` }
            : { kind: "crashed", detail: describe(error) },
        ),
    );
  }
}

async function ask(
  agent: ResourceAgent,
  action: RunnerAction,
  context: ActionContext,
): Promise<CallResult> {
  switch (action) {
    case "probe":
    case "monitor":
      return { kind: "probed", probe: await agent[action](context) };
    default: {
      const result = await agent[action]?.(context);
      return { kind: "acted", result: result ?? { ok: true } };
    }
  }
}

/** What came after its limit counts only if it settles the question. */
function late(result: CallResult, effect: RunnerEffect & { readonly kind: "call" }): CallResult {
  if (result.kind === "acted" && result.result.ok) return result;
  if (result.kind === "probed" && result.probe.state !== "unknown") return result;
  const why = result.kind === "acted" && !result.result.ok ? `: ${result.result.detail}` : "";
  return { kind: "timedOut", detail: `${effect.action} took over ${effect.timeoutMs} ms${why}` };
}

function describe(error: unknown): string {
  if (error instanceof BatonError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function cancelled(): DOMException {
  return new DOMException("The action was cancelled", "AbortError");
}

function disposed(): DOMException {
  return new DOMException("The runner was disposed of", "AbortError");
}
