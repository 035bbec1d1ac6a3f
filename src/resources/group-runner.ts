/**
 * Group runner: starts, stops, watches and restarts the resources of one group on this host.
 * Sources: haresources (heartbeat.md 2.4, 2.5), reliability R19, R20, DESIGN 7.9.
 *
 *   rest --acquire--> acquire --all started, opened--> held --monitor failed--> stop(restart) --> restart --> held
 *     ^                  | start failed                 |  ^                                        |
 *     |                  v                              |  '-- no restart left: resourceFailed -----'
 *     |<-all stopped- stop(giveUp)                      |
 *     |<-all stopped- stop(release) <--release, from anywhere
 *     |                  | a stop failed for good
 *     '---release---- blocked   (never reported as released)
 *
 * A plan is not a list of steps but a wish; after each event the runner compares it with what is known of each
 * resource and asks for the next step. So a plan may be replaced after any step, run twice, or begin half done.
 * Order: starts left to right, each after a probe unless it is known to be stopped; `activate` last of all;
 * `deactivate` first, then stops right to left. An urgent release stops addresses at once, beside the rest.
 */
import { after, assert, earliest, type Instant, unreachable } from "../base/index.ts";
import type { ActionResult, ProbeResult } from "./agent.ts";
import type { ResourcesReason } from "./reasons.ts";
import type {
  AfterStop,
  CallResult,
  Failure,
  GroupRunnerOptions,
  GroupRunnerSnapshot,
  ResourceProgress,
  ResourceView,
  RunnerAction,
  RunnerEffect,
  RunnerEvent,
  RunnerPlan,
} from "./runner-contract.ts";
import type { ResourceSpec } from "./spec.ts";

/** Pause before a failed stop is tried again; doubles up to the maximum. */
const STOP_RETRY_MS = 250;
const STOP_RETRY_MAX_MS = 4_000;
/** `deactivate` is a courtesy to clients; the stop that follows does not wait longer for it. */
const DEACTIVATE_TIMEOUT_MAX_MS = 2_000;

/** Runs one group; one per group and host. */
export class GroupRunner {
  readonly #options: GroupRunnerOptions;
  readonly #state: GroupRunnerSnapshot;
  #now: Instant;
  #out: RunnerEffect[] = [];

  constructor(options: GroupRunnerOptions, now: Instant) {
    this.#options = options;
    this.#now = now;
    this.#state = {
      now,
      plan: { phase: "rest" },
      epoch: 0,
      nextCall: 1,
      probing: false,
      abandoned: false,
      resources: options.group.resources.map(newProgress),
    };
  }

  /** A runner that goes on exactly where the snapshot was taken. */
  static restore(options: GroupRunnerOptions, snapshot: GroupRunnerSnapshot): GroupRunner {
    const runner = new GroupRunner(options, snapshot.now);
    Object.assign(runner.#state, structuredClone(snapshot));
    return runner;
  }

  snapshot(): GroupRunnerSnapshot {
    return structuredClone({ ...this.#state, now: this.#now });
  }

  /** How each resource stands, in start order. */
  view(): readonly ResourceView[] {
    return this.#state.resources.map((resource, index) => ({
      name: this.#name(index),
      kind: this.#spec(index).kind,
      state: standing(resource),
      detail: resource.trouble,
    }));
  }

  /** Takes one event at `now`; returns what to do, in order. */
  step(now: Instant, event: RunnerEvent): readonly RunnerEffect[] {
    assert(now >= this.#now, `Clock went back from ${this.#now} to ${now}`);
    this.#now = now;
    this.#out = [];
    this.#take(event);
    this.#advance();
    return this.#out;
  }

  /** When `step` must next be called even if nothing happens; undefined: never. */
  wakeAt(): Instant | undefined {
    const { plan, resources } = this.#state;
    const idle = resources.filter((resource) => resource.call === null);
    if (plan.phase === "held") return earliest(...idle.map((one) => one.monitorAt ?? undefined));
    if (plan.phase === "stop") return earliest(...idle.map((one) => one.retryAt ?? undefined));
    return undefined;
  }

  #take(event: RunnerEvent): void {
    switch (event.kind) {
      case "acquire":
        this.#state.epoch = event.epoch;
        this.#state.abandoned = false;
        for (const resource of this.#state.resources) resource.restarts = 0;
        this.#replace({ phase: "acquire", operation: event.operation });
        break;
      case "release":
        this.#replace({
          phase: "stop",
          from: 0,
          urgent: event.urgent || this.#isUrgent(),
          after: { kind: "release", operation: event.operation },
        });
        break;
      case "adopt":
        this.#adopt(event.epoch);
        break;
      case "abandon":
        this.#state.abandoned = true;
        // A stop that is under way still writes: it is asked again, to write nothing.
        this.#cancelCalls((action) => action === "stop" || action === "deactivate");
        break;
      case "probeAll":
        this.#probeAll();
        break;
      case "callDone":
        this.#callDone(event.call, event.result);
        break;
      case "tick":
        return;
      default:
        unreachable(event);
    }
  }

  #adopt(epoch: number): void {
    const { phase } = this.#state.plan;
    if (phase !== "rest" && phase !== "held") {
      this.#note("BTN-RESOURCE-BUSY", null, `Not adopted: ${phase} is under way`);
      return;
    }
    this.#state.epoch = epoch;
    this.#state.abandoned = false;
    this.#note("BTN-RESOURCE-ADOPTED", null, `Under epoch ${epoch}`);
    this.#enter({ phase: "adopt" });
  }

  #probeAll(): void {
    const { phase } = this.#state.plan;
    if (phase !== "rest" && phase !== "held" && phase !== "blocked") {
      this.#effect({ kind: "probed", found: "unknown", detail: `${phase} is under way` });
      return;
    }
    this.#state.probing = true;
    for (const resource of this.#state.resources) resource.answer = null;
  }

  /** A new order takes the place of the present plan. */
  #replace(plan: RunnerPlan): void {
    const before = this.#state.plan;
    const superseded = operationOf(before);
    if (superseded !== null && superseded !== operationOf(plan)) {
      this.#note("BTN-RESOURCE-SUPERSEDED", null, `Operation ${superseded} ends unfinished`);
    }
    if (this.#state.probing) {
      this.#state.probing = false;
      this.#effect({ kind: "probed", found: "unknown", detail: `${plan.phase} began` });
    }
    if (plan.phase === "stop") {
      const hurry = plan.urgent && !this.#isUrgent();
      this.#cancelCalls((action) => hurry || (action !== "stop" && action !== "deactivate"));
    }
    this.#enter(plan);
  }

  /** Once a release is urgent, a later one does not take its time again. */
  #isUrgent(): boolean {
    const { plan } = this.#state;
    return plan.phase === "stop" && plan.urgent;
  }

  #cancelCalls(which: (action: RunnerAction) => boolean): void {
    for (const resource of this.#state.resources) {
      const { call } = resource;
      if (call === null || call.cancelled || !which(call.action)) continue;
      resource.call = { ...call, cancelled: true };
      this.#effect({ kind: "cancelCall", id: call.id });
    }
  }

  /** Begins a plan: what was reached under the one before counts only as belief. */
  #enter(plan: RunnerPlan): void {
    this.#state.plan = plan;
    for (const resource of this.#state.resources) Object.assign(resource, freshPlanFields());
  }

  // --- what came back -------------------------------------------------------------------------------------

  #callDone(id: number, result: CallResult): void {
    const index = this.#state.resources.findIndex((resource) => resource.call?.id === id);
    const resource = this.#state.resources[index];
    const call = resource?.call;
    if (resource === undefined || call === null || call === undefined) return; // abandoned before
    resource.call = null;
    switch (call.action) {
      case "probe":
      case "monitor": {
        if (!call.cancelled) this.#found(index, call.action, probeOf(result));
        return;
      }
      default:
        this.#acted(index, actionOf(result, call.action), call);
        break;
    }
  }

  #found(index: number, action: "probe" | "monitor", probe: ProbeResult): void {
    const resource = this.#at(index);
    if (this.#state.probing) resource.answer = probe;
    if (this.#state.plan.phase === "held") {
      // A probe asked for in between proves an end, but is no substitute for the monitor.
      if (action === "monitor" || probe.state === "stopped") this.#watched(index, probe);
      return;
    }
    if (action === "monitor") return;
    resource.belief = probe.state;
    resource.probed = true;
    if (isStarting(this.#state.plan) && probe.state === "unknown") {
      this.#startFailed({ ...probe, resource: this.#name(index), retryable: true }, index);
    }
  }

  /** Judges a monitor's answer while the group is held. */
  #watched(index: number, probe: ProbeResult): void {
    const resource = this.#at(index);
    const { policy } = this.#spec(index);
    if (probe.state === "running") {
      if (resource.failures > 0 || resource.reported) {
        this.#note("BTN-RESOURCE-RECOVERED", index, `After ${resource.failures} failures`);
      }
      Object.assign(resource, { failures: 0, reported: false, belief: "running", trouble: "" });
      this.#scheduleMonitor(index);
      return;
    }
    resource.failures += 1;
    const { reason, detail } = describe(probe);
    resource.trouble = `${reason}: ${detail}`;
    this.#scheduleMonitor(index);
    if (!resource.reported) {
      this.#note("BTN-RESOURCE-MONITOR-FAILED", index, `${reason}: ${detail}`);
    }
    // What has ended does not come back by asking again; what is slow may.
    if (probe.state !== "stopped" && resource.failures < policy.monitorFailures) return;
    resource.belief = probe.state === "stopped" ? "stopped" : "failed";
    this.#trouble(index, { resource: this.#name(index), reason, detail, retryable: true });
  }

  #acted(
    index: number,
    result: ActionResult | "unknown",
    call: NonNullable<ResourceProgress["call"]>,
  ): void {
    const resource = this.#at(index);
    const ok = result !== "unknown" && result.ok;
    this.#effect({
      kind: "phase",
      resource: this.#name(index),
      action: call.action,
      result: result === "unknown" ? "unknown" : ok ? "ok" : "failed",
      durationMs: this.#now - call.since,
      detail: call.cancelled && !ok ? "broken off" : detailOf(result),
    });
    const failure = ok ? null : this.#failureOf(index, call.action, result);
    if (ok) resource.trouble = "";
    else if (failure !== null && !call.cancelled) {
      resource.trouble = `${call.action}: ${failure.reason}: ${failure.detail}`;
    }
    switch (call.action) {
      case "start":
        resource.belief = ok ? "running" : "unknown";
        resource.open = false;
        // A start under an older epoch does not count where the epoch is written down.
        if (ok)
          resource.settled = isStarting(this.#state.plan) && this.#startCounts(index, call.epoch);
        if (failure !== null && !call.cancelled) this.#startFailed(failure, index);
        return;
      case "activate":
        if (ok) resource.open = true;
        else if (failure !== null && !call.cancelled) this.#startFailed(failure, index);
        return;
      case "deactivate":
        resource.open = false;
        resource.closed = true;
        if (failure !== null) {
          this.#note("BTN-RESOURCE-DEACTIVATE-FAILED", index, failure.detail);
        }
        return;
      case "stop":
        resource.open = false;
        resource.belief = ok ? "stopped" : "unknown";
        if (this.#state.plan.phase === "stop") this.#stopped(index, failure, call.cancelled);
        else if (failure !== null && !call.cancelled) this.#startFailed(failure, index);
        return;
      default:
        assert(false, `${call.action} does not act`);
    }
  }

  #stopped(index: number, failure: Failure | null, cancelled: boolean): void {
    const resource = this.#at(index);
    if (failure === null) {
      resource.settled = true;
      return;
    }
    if (cancelled) return; // asked again at once, under the new plan's limits
    resource.stopAttempts += 1;
    const pauseMs = Math.min(STOP_RETRY_MS * 2 ** (resource.stopAttempts - 1), STOP_RETRY_MAX_MS);
    const retryAt = after(this.#now, pauseMs);
    if (failure.retryable && resource.stopUntil !== null && retryAt < resource.stopUntil) {
      resource.retryAt = retryAt;
      this.#note("BTN-RESOURCE-STOP-RETRY", index, `In ${pauseMs} ms: ${failure.detail}`);
    } else {
      resource.stuck = failure;
    }
  }

  /** Something could not be started, found out or opened under the present plan. */
  #startFailed(failure: Failure, index: number): void {
    const { plan } = this.#state;
    if (plan.phase === "acquire") {
      this.#note("BTN-RESOURCE-START-FAILED", index, `${failure.reason}: ${failure.detail}`);
      this.#enter({
        phase: "stop",
        from: 0,
        urgent: false,
        after: { kind: "giveUp", operation: plan.operation, failure },
      });
    } else if (plan.phase === "adopt" || plan.phase === "restart" || plan.phase === "held") {
      this.#trouble(index, failure);
    }
  }

  /** A resource of a held group failed: a local restart if one is left, else whoever decides is told. */
  #trouble(index: number, failure: Failure): void {
    const resource = this.#at(index);
    const { policy } = this.#spec(index);
    const quietMs = this.#now - (resource.lastFailureAt ?? this.#now);
    if (quietMs >= policy.restartWindowMs) resource.restarts = 0;
    resource.lastFailureAt = this.#now;
    if (failure.retryable && resource.restarts < policy.localRestarts) {
      resource.restarts += 1;
      const which = `Restart ${resource.restarts} of ${policy.localRestarts}`;
      this.#note("BTN-RESOURCE-RESTART", index, `${which}: ${failure.reason}: ${failure.detail}`);
      this.#enter({ phase: "stop", from: index, urgent: false, after: { kind: "restart" } });
      return;
    }
    this.#giveToFailover(index, failure);
  }

  #giveToFailover(index: number, failure: Failure): void {
    const resource = this.#at(index);
    this.#enter({ phase: "held" });
    // What the failed restart left stopped is not watched; the failed one is: it may recover.
    for (const one of this.#state.resources) if (one.belief !== "running") one.monitorAt = null;
    this.#scheduleMonitor(index);
    if (resource.reported) return;
    resource.reported = true;
    this.#effect({
      kind: "resourceFailed",
      resource: failure.resource,
      reason: failure.reason,
      detail: failure.detail,
    });
  }

  // --- what to ask next -----------------------------------------------------------------------------------

  #advance(): void {
    if (this.#state.probing) this.#advanceProbes();
    // Each round either ends, waits for a call, or settles one resource or plan: the bound is generous.
    const rounds = 4 * (this.#state.resources.length + 4);
    for (let round = 0; round < rounds; round++) {
      const before = this.#state.plan;
      this.#advancePlan(before);
      if (this.#state.plan === before) return;
    }
    assert(false, "The group runner does not come to rest");
  }

  #advancePlan(plan: RunnerPlan): void {
    switch (plan.phase) {
      case "acquire":
      case "adopt":
      case "restart":
        this.#advanceStart(plan.phase);
        break;
      case "stop":
        this.#advanceStop(plan);
        break;
      case "held":
        this.#advanceMonitors();
        break;
      case "rest":
      case "blocked":
        return;
      default:
        unreachable(plan);
    }
  }

  #advanceProbes(): void {
    const { resources } = this.#state;
    resources.forEach((resource, index) => {
      if (resource.answer === null && resource.call === null) this.#call(index, "probe");
    });
    if (resources.some((resource) => resource.answer === null)) return;
    this.#state.probing = false;
    const detail = resources
      .map((resource, index) => `${this.#name(index)} ${resource.answer?.state}`)
      .join(", ");
    this.#effect({
      kind: "probed",
      found: sum(resources.map((one) => one.answer?.state)),
      detail,
    });
  }

  #advanceStart(phase: "acquire" | "adopt" | "restart"): void {
    for (const [index, resource] of this.#state.resources.entries()) {
      if (!resource.settled && !this.#settleStart(index, resource, phase)) return;
    }
    for (const index of this.#options.activatable) {
      const resource = this.#at(index);
      if (resource.open) continue;
      if (resource.call === null) this.#call(index, "activate");
      return;
    }
    this.#started();
  }

  /** Asks for the next step towards a running resource. True if it is there. */
  #settleStart(
    index: number,
    resource: ResourceProgress,
    phase: "acquire" | "adopt" | "restart",
  ): boolean {
    if (resource.call !== null) return false;
    if (startsByItself(this.#spec(index))) {
      this.#call(index, "start");
      return false;
    }
    switch (resource.belief) {
      case "stopped":
        this.#call(index, "start");
        return false;
      case "running":
        if (!resource.probed && phase !== "adopt") {
          this.#call(index, "probe");
          return false;
        }
        if (phase === "acquire")
          this.#note("BTN-RESOURCE-ALREADY-RUNNING", index, "Found by probe");
        resource.settled = true;
        return true;
      case "failed":
        if (resource.probed) this.#clear(index);
        else this.#call(index, "probe");
        return false;
      case "unknown":
        this.#call(index, "probe");
        return false;
      default:
        return unreachable(resource.belief);
    }
  }

  /** There, but not well: only after a stop, of what depends on it first, can a start mean anything. */
  #clear(index: number): void {
    const { plan } = this.#state;
    if (plan.phase === "acquire") {
      const again = { kind: "acquire", operation: plan.operation } as const;
      this.#enter({ phase: "stop", from: index, urgent: false, after: again });
      return;
    }
    const detail = "Found by probe: there, but not well";
    const reason = "BTN-RESOURCE-MONITOR-FAILED";
    this.#trouble(index, { resource: this.#name(index), reason, detail, retryable: true });
  }

  #started(): void {
    const { plan, resources } = this.#state;
    this.#enter({ phase: "held" });
    for (const [index, resource] of resources.entries()) {
      Object.assign(resource, { failures: 0, reported: false });
      this.#scheduleMonitor(index);
    }
    const operation = operationOf(plan);
    if (operation !== null) this.#effect({ kind: "done", operation, outcome: { result: "done" } });
  }

  #advanceStop(plan: RunnerPlan & { readonly phase: "stop" }): void {
    const hurry = plan.urgent || this.#state.abandoned;
    if (!hurry && !this.#closeAll(plan.from)) return;
    const { resources } = this.#state;
    for (let index = resources.length - 1; index >= plan.from; index--) {
      const resource = this.#at(index);
      if (resource.settled || resource.stuck !== null || resource.call !== null) continue;
      if (!this.#mayStop(index, plan)) continue;
      // A release asks everyone, whatever was believed; to give up is to undo what was done.
      if (plan.after.kind !== "release" && resource.belief === "stopped") resource.settled = true;
      else if (resource.retryAt === null || resource.retryAt <= this.#now)
        this.#callStop(index, plan);
    }
    const meant = resources.slice(plan.from);
    if (meant.every((resource) => resource.settled)) {
      this.#allStopped(plan);
      return;
    }
    const stuck = meant.find((resource) => resource.stuck !== null)?.stuck;
    const waiting = meant.some((one) => one.call !== null || one.retryAt !== null);
    if (stuck !== undefined && stuck !== null && !waiting) this.#stopFailed(plan, stuck);
  }

  /** Asks everything that is open to close, all at once. True when all were asked and have answered. */
  #closeAll(from: number): boolean {
    let closed = true;
    for (const index of this.#options.activatable) {
      const resource = this.#at(index);
      // What is stopped needs no closing, what is not well could not answer: its stop does what it can.
      if (index < from || resource.closed) continue;
      if (resource.belief === "stopped" || resource.belief === "failed") continue;
      if (resource.settled || resource.stopUntil !== null) continue; // its stop has begun
      closed = false;
      if (resource.call === null) this.#call(index, "deactivate");
    }
    return closed;
  }

  /** Whether everything that must be stopped before it is. */
  #mayStop(index: number, plan: RunnerPlan & { readonly phase: "stop" }): boolean {
    const beside = (at: number): boolean => plan.urgent && this.#spec(at).kind === "address";
    if (beside(index)) return true;
    return this.#state.resources.every((one, at) => at <= index || one.settled || beside(at));
  }

  #callStop(index: number, plan: RunnerPlan & { readonly phase: "stop" }): void {
    const resource = this.#at(index);
    resource.stopUntil ??= after(this.#now, this.#spec(index).policy.stopTimeoutMs);
    resource.retryAt = null;
    this.#call(index, "stop", plan.urgent || this.#state.abandoned);
  }

  #allStopped(plan: RunnerPlan & { readonly phase: "stop" }): void {
    const { after: next } = plan;
    switch (next.kind) {
      case "release":
        this.#enter({ phase: "rest" });
        this.#effect({ kind: "done", operation: next.operation, outcome: { result: "done" } });
        return;
      case "giveUp":
        this.#enter({ phase: "rest" });
        this.#failedOperation(next.operation, next.failure, true);
        return;
      case "acquire":
        this.#enter({ phase: "acquire", operation: next.operation });
        this.#keepSettled(plan.from);
        return;
      case "restart":
        this.#enter({ phase: "restart" });
        this.#keepSettled(plan.from);
        return;
      default:
        unreachable(next);
    }
  }

  /** What is left of what was stopped runs and needs no second look. */
  #keepSettled(from: number): void {
    for (const resource of this.#state.resources.slice(0, from)) resource.settled = true;
  }

  /** A stop failed for good: what depends on it stays as it is, and nobody is told that it is free. */
  #stopFailed(plan: RunnerPlan & { readonly phase: "stop" }, stuck: Failure): void {
    const index = this.#state.resources.findIndex((resource) => resource.stuck !== null);
    const { after: next } = plan;
    const detail = `${stuck.reason}: ${stuck.detail}`;
    const failure: Failure = { ...stuck, reason: "BTN-RESOURCE-STOP-FAILED", detail };
    if (next.kind === "restart") {
      this.#giveToFailover(index, failure);
      return;
    }
    this.#enter({ phase: "blocked", failure });
    this.#note("BTN-RESOURCE-STOP-FAILED", index, detail);
    if (next.kind !== "giveUp") this.#failedOperation(next.operation, failure, false);
    else {
      const both = `${next.failure.detail}; then ${failure.resource} could not be stopped: ${detail}`;
      this.#failedOperation(next.operation, { ...next.failure, detail: both }, false);
    }
    if (this.#spec(index).policy.onStopFailure === "reset-host") {
      this.#effect({
        kind: "resetHost",
        resource: failure.resource,
        reason: "BTN-RESOURCE-RESET-WANTED",
        detail,
      });
    }
  }

  #failedOperation(operation: number, failure: Failure, clean: boolean): void {
    const { resource, reason, detail } = failure;
    this.#effect({
      kind: "done",
      operation,
      outcome: { result: "failed", resource, reason, detail, clean },
    });
  }

  #advanceMonitors(): void {
    this.#state.resources.forEach((resource, index) => {
      const due = resource.monitorAt !== null && resource.monitorAt <= this.#now;
      if (due && resource.call === null) this.#call(index, "monitor");
    });
  }

  #scheduleMonitor(index: number): void {
    const { monitorIntervalMs } = this.#spec(index).policy;
    this.#at(index).monitorAt = monitorIntervalMs > 0 ? after(this.#now, monitorIntervalMs) : null;
  }

  #call(index: number, action: RunnerAction, urgent = false): void {
    const { policy } = this.#spec(index);
    const resource = this.#at(index);
    const { epoch } = this.#state;
    const id = this.#state.nextCall++;
    resource.call = { id, action, epoch, since: this.#now, cancelled: false };
    const leftMs = Math.max(
      1,
      (resource.stopUntil ?? after(this.#now, policy.stopTimeoutMs)) - this.#now,
    );
    const timeoutMs = {
      probe: policy.monitorTimeoutMs,
      monitor: policy.monitorTimeoutMs,
      start: policy.startTimeoutMs,
      activate: policy.startTimeoutMs,
      deactivate: Math.min(policy.stopTimeoutMs, DEACTIVATE_TIMEOUT_MAX_MS),
      stop: leftMs,
    }[action];
    if (action !== "probe" && action !== "monitor") {
      const resourceName = this.#name(index);
      this.#effect({
        kind: "phase",
        resource: resourceName,
        action,
        result: "begun",
        durationMs: 0,
        detail: "",
      });
    }
    const call = { kind: "call", id, resource: index, action, timeoutMs, epoch, urgent } as const;
    const abandon = action === "stop" && this.#state.abandoned;
    this.#effect(abandon ? { ...call, abandon } : call);
  }

  // --- small things ---------------------------------------------------------------------------------------

  #startCounts(index: number, epoch: number): boolean {
    return epoch === this.#state.epoch || !startsByItself(this.#spec(index));
  }

  #failureOf(
    index: number,
    action: RunnerAction,
    result: ActionResult | "unknown",
  ): Failure | null {
    const resource = this.#name(index);
    if (result === "unknown") {
      const detail = `${action} of ${resource} did not end in time`;
      return { resource, reason: "BTN-RESOURCE-TIMEOUT", detail, retryable: true };
    }
    if (result.ok) return null;
    return { resource, reason: result.reason, detail: result.detail, retryable: result.retryable };
  }

  #at(index: number): ResourceProgress {
    const resource = this.#state.resources[index];
    assert(resource !== undefined, `Group ${this.#options.group.name} has no resource ${index}`);
    return resource;
  }

  #spec(index: number): ResourceSpec {
    const spec = this.#options.group.resources[index];
    assert(spec !== undefined, `Group ${this.#options.group.name} has no resource ${index}`);
    return spec;
  }

  #name(index: number): string {
    return this.#spec(index).name;
  }

  #note(reason: ResourcesReason, index: number | null, detail: string): void {
    const resource = index === null ? null : this.#name(index);
    this.#effect({ kind: "note", reason, resource, detail });
  }

  #effect(effect: RunnerEffect): void {
    this.#out.push(effect);
  }
}

/**
 * Kinds whose duties live in this process (repeated ARP, the renewal of a claim): their start finds out by
 * itself what is there already, takes the duty up and learns the epoch, so it needs no probe before it.
 */
function startsByItself(spec: ResourceSpec): boolean {
  return spec.kind === "address" || spec.kind === "shared-disk";
}

function standing(resource: ResourceProgress): ResourceView["state"] {
  if (resource.call?.action === "start") return "starting";
  if (resource.call?.action === "stop") return "stopping";
  return resource.stuck === null && !resource.reported ? resource.belief : "failed";
}

function isStarting(plan: RunnerPlan): boolean {
  return plan.phase === "acquire" || plan.phase === "adopt" || plan.phase === "restart";
}

function operationOf(plan: RunnerPlan): number | null {
  if (plan.phase === "acquire") return plan.operation;
  if (plan.phase !== "stop") return null;
  const next: AfterStop = plan.after;
  return next.kind === "restart" ? null : next.operation;
}

function newProgress(): ResourceProgress {
  return {
    belief: "unknown",
    call: null,
    open: false,
    monitorAt: null,
    failures: 0,
    trouble: "",
    reported: false,
    restarts: 0,
    lastFailureAt: null,
    answer: null,
    ...freshPlanFields(),
  };
}

function freshPlanFields() {
  return {
    settled: false,
    probed: false,
    closed: false,
    stopUntil: null,
    stopAttempts: 0,
    retryAt: null,
    stuck: null,
  };
}

function probeOf(result: CallResult): ProbeResult {
  switch (result.kind) {
    case "probed":
      return result.probe;
    case "timedOut":
      return { state: "unknown", reason: "BTN-RESOURCE-TIMEOUT", detail: result.detail };
    case "crashed":
      return { state: "unknown", reason: "BTN-RESOURCE-AGENT-ERROR", detail: result.detail };
    case "acted":
      return { state: "unknown", reason: "BTN-RESOURCE-AGENT-ERROR", detail: "Not a probe" };
    default:
      return unreachable(result);
  }
}

function actionOf(result: CallResult, action: RunnerAction): ActionResult | "unknown" {
  if (result.kind === "acted") return result.result;
  if (result.kind === "timedOut") return "unknown";
  const detail = result.kind === "crashed" ? result.detail : `Not an answer to ${action}`;
  return { ok: false, reason: "BTN-RESOURCE-AGENT-ERROR", detail, retryable: true };
}

function detailOf(result: ActionResult | "unknown"): string {
  if (result === "unknown") return "did not end in time";
  return result.ok ? (result.detail ?? "") : `${result.reason}: ${result.detail}`;
}

function describe(probe: ProbeResult): { reason: string; detail: string } {
  if (probe.state === "failed" || probe.state === "unknown") return probe;
  return { reason: "BTN-RESOURCE-NOT-RUNNING", detail: `It is ${probe.state}` };
}

/** One word for a whole group. Unknown outweighs all: it is never taken for stopped. */
function sum(
  states: readonly (ProbeResult["state"] | undefined)[],
): "running" | "stopped" | "partial" | "unknown" {
  if (states.some((state) => state === undefined || state === "unknown")) return "unknown";
  if (states.every((state) => state === "stopped")) return "stopped";
  return states.every((state) => state === "running") ? "running" : "partial";
}
