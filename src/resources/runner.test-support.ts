/** A world of pretended resources for the group runner: knows what really runs, plays scripts, keeps a log. */
import type { Instant } from "../base/index.ts";
import { after, instant } from "../base/index.ts";
import type { ActionResult, ProbeResult } from "./agent.ts";
import { GroupRunner } from "./group-runner.ts";
import type {
  GroupRunnerOptions,
  RunnerAction,
  RunnerEffect,
  RunnerEvent,
} from "./runner-contract.ts";
import type { GroupSpec, ResourcePolicy, ResourceSpec } from "./spec.ts";

export const testPolicy: ResourcePolicy = {
  startTimeoutMs: 10_000,
  stopTimeoutMs: 3_000,
  monitorTimeoutMs: 500,
  monitorIntervalMs: 1_000,
  monitorFailures: 2,
  localRestarts: 1,
  restartWindowMs: 60_000,
  onStartFailure: "move",
  onStopFailure: "block",
};

type Kind = "address" | "classic-script" | "mysqld";

/** A resource of that kind under that name; of its settings only the policy matters here. */
export function testResource(
  kind: Kind,
  name: string,
  policy: Partial<ResourcePolicy> = {},
): ResourceSpec {
  const common = { name, policy: { ...testPolicy, ...policy } };
  switch (kind) {
    case "address":
      return {
        ...common,
        kind,
        address: "192.0.2.222",
        prefixLength: 24,
        device: "eth0",
        broadcast: undefined,
      };
    case "classic-script":
      return { ...common, kind, script: name, arguments: [], searchPath: [], environment: {} };
    default:
      return {
        ...common,
        kind: "mysqld",
        binary: undefined,
        defaultsFile: undefined,
        dataDirectory: "/nonexistent",
        socket: "/nonexistent/mysql.sock",
        pidFile: "/nonexistent/mysqld.pid",
        port: 3306,
        bindAddress: undefined,
        user: "mysql",
        monitorUser: "root",
        monitorPasswordFile: undefined,
        requiredMount: undefined,
        recoveryStallMs: 120_000,
        killAfterMs: 10_000,
        extraArguments: [],
      };
  }
}

export function testGroup(...resources: readonly ResourceSpec[]): GroupSpec {
  return { name: "db", prefers: "dbm157", resources, classicKey: undefined };
}

/** The chapter's group in Baton's own kinds: address, a script for the disk, mysqld. */
export const chapterGroup = testGroup(
  testResource("address", "vip"),
  testResource("classic-script", "disk"),
  testResource("mysqld", "db"),
);

export type Answer = ActionResult | ProbeResult | "timeout" | "crash";

/**
 * Drives one runner. Calls wait until `answer` or `answerAll`; answers are as the world is, unless told otherwise.
 * `log` holds one line per effect of interest.
 */
export class RunnerWorld {
  readonly runner: GroupRunner;
  readonly options: GroupRunnerOptions;
  readonly running = new Set<number>();
  readonly open = new Set<number>();
  readonly calls = new Map<number, RunnerEffect & { readonly kind: "call" }>();
  readonly effects: RunnerEffect[] = [];
  log: string[] = [];
  now: Instant = instant(0);

  constructor(group: GroupSpec = chapterGroup, runner?: GroupRunner) {
    const activatable = [...group.resources.keys()].filter(
      (index) => group.resources[index]?.kind === "mysqld",
    );
    this.options = { group, activatable };
    this.runner = runner ?? new GroupRunner(this.options, this.now);
  }

  /** Takes the log so far. */
  said(): readonly string[] {
    const said = this.log;
    this.log = [];
    return said;
  }

  feed(event: RunnerEvent): void {
    for (const effect of this.runner.step(this.now, event)) this.#see(effect);
  }

  /** Lets time pass in one step, waking the runner when it asks. */
  pass(ms: number): void {
    const end = after(this.now, ms);
    for (let rounds = 0; rounds < 1_000; rounds++) {
      const wakeAt = this.runner.wakeAt();
      if (wakeAt === undefined || wakeAt > end) break;
      this.now = instant(Math.max(wakeAt, this.now));
      this.feed({ kind: "tick" });
      if (this.calls.size > 0) break;
    }
    this.now = instant(Math.max(this.now, end));
  }

  /** Answers the oldest call of that form, such as "start disk"; by what is true unless `answer` is given. */
  answer(what: string, answer?: Answer): void {
    for (const call of this.calls.values()) {
      if (`${call.action} ${this.#name(call.resource)}` !== what) continue;
      this.#reply(call, answer);
      return;
    }
    throw new Error(`Nobody asked for "${what}"; asked: ${this.asked().join(", ")}`);
  }

  /** Answers truly until nothing is asked, apart from the calls named. */
  answerAll(answers: Readonly<Record<string, Answer>> = {}): void {
    for (let rounds = 0; rounds < 1_000 && this.calls.size > 0; rounds++) {
      for (const call of [...this.calls.values()]) {
        this.#reply(call, answers[`${call.action} ${this.#name(call.resource)}`]);
      }
    }
  }

  /** The calls that wait for an answer. */
  asked(): readonly string[] {
    return [...this.calls.values()].map((call) => `${call.action} ${this.#name(call.resource)}`);
  }

  #reply(call: RunnerEffect & { readonly kind: "call" }, told?: Answer): void {
    this.calls.delete(call.id);
    const answer = told ?? this.#perform(call.resource, call.action);
    if (answer === "timeout") {
      const result = { kind: "timedOut", detail: "no answer" } as const;
      this.feed({ kind: "callDone", call: call.id, result });
    } else if (answer === "crash") {
      const result = { kind: "crashed", detail: "a bug" } as const;
      this.feed({ kind: "callDone", call: call.id, result });
    } else if ("state" in answer) {
      const result = { kind: "probed", probe: answer } as const;
      this.feed({ kind: "callDone", call: call.id, result });
    } else {
      this.feed({ kind: "callDone", call: call.id, result: { kind: "acted", result: answer } });
    }
  }

  /** Does to the world what the action does. */
  #perform(index: number, action: RunnerAction): ActionResult | ProbeResult {
    switch (action) {
      case "start":
        this.running.add(index);
        return { ok: true };
      case "stop":
        this.running.delete(index);
        this.open.delete(index);
        return { ok: true };
      case "activate":
        this.open.add(index);
        return { ok: true };
      case "deactivate":
        this.open.delete(index);
        return { ok: true };
      default:
        return { state: this.running.has(index) ? "running" : "stopped" };
    }
  }

  #see(effect: RunnerEffect): void {
    this.effects.push(effect);
    switch (effect.kind) {
      case "call": {
        const busy = [...this.calls.values()].some((call) => call.resource === effect.resource);
        if (busy) throw new Error(`Two calls at once for ${this.#name(effect.resource)}`);
        this.calls.set(effect.id, effect);
        const urgent = effect.abandon === true ? " abandoning" : effect.urgent ? " urgently" : "";
        this.log.push(`${effect.action} ${this.#name(effect.resource)}${urgent}`);
        return;
      }
      case "cancelCall": {
        const call = this.calls.get(effect.id);
        if (call !== undefined) this.log.push(`cancel ${call.action} ${this.#name(call.resource)}`);
        return;
      }
      case "done": {
        const { operation, outcome } = effect;
        const why =
          outcome.result === "done"
            ? ""
            : ` ${outcome.resource} ${outcome.reason} ${outcome.clean ? "clean" : "not clean"}`;
        this.log.push(`done ${operation} ${outcome.result}${why}`);
        return;
      }
      case "probed":
        this.log.push(`probed ${effect.found}`);
        return;
      case "resourceFailed":
        this.log.push(`resourceFailed ${effect.resource} ${effect.reason}`);
        return;
      case "resetHost":
        this.log.push(`resetHost ${effect.resource}`);
        return;
      case "note":
        this.log.push(
          `note ${effect.reason}${effect.resource === null ? "" : ` ${effect.resource}`}`,
        );
        return;
      default: // phases repeat what the calls say
    }
  }

  #name(index: number): string {
    return this.options.group.resources[index]?.name ?? `?${index}`;
  }
}
