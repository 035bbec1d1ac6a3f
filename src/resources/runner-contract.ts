/** Events, effects and state of the group runner. Shapes only; the rules are in `group-runner.ts`. */
import type { Instant } from "../base/index.ts";
import type { OperationOutcome } from "../failover/index.ts";
import type { ActionResult, ProbeResult } from "./agent.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { GroupSpec } from "./spec.ts";

/** What can be asked of a resource. */
export type RunnerAction = "probe" | "start" | "stop" | "monitor" | "activate" | "deactivate";

/** How a call to a resource ended, as the shell reports it. */
export type CallResult =
  /** Answer of probe and monitor. */
  | { readonly kind: "probed"; readonly probe: ProbeResult }
  /** Answer of the other actions. */
  | { readonly kind: "acted"; readonly result: ActionResult }
  /** Its limit passed without success; it may or may not have been abandoned. */
  | { readonly kind: "timedOut"; readonly detail: string }
  /** It threw: a fault of ours. */
  | { readonly kind: "crashed"; readonly detail: string };

export type RunnerEvent =
  | { readonly kind: "acquire"; readonly operation: number; readonly epoch: number }
  | { readonly kind: "release"; readonly operation: number; readonly urgent: boolean }
  | { readonly kind: "callDone"; readonly call: number; readonly result: CallResult }
  /** After an agent restart: what the probe found running goes on under this epoch, without a stop. */
  | { readonly kind: "adopt"; readonly epoch: number }
  /** Another host has taken the data: from now on stops write nothing. Until the next acquire or adopt. */
  | { readonly kind: "abandon" }
  /** What runs here? Answered by `probed`. */
  | { readonly kind: "probeAll" }
  | { readonly kind: "tick" };

export type RunnerEffect =
  /** Ask one resource; answered by `callDone`. Never two for one resource at a time. */
  | {
      readonly kind: "call";
      readonly id: number;
      /** Index within the group. */
      readonly resource: number;
      readonly action: RunnerAction;
      readonly timeoutMs: number;
      readonly epoch: number;
      readonly urgent: boolean;
      /** Of stops: see `ActionContext`. */
      readonly abandon?: true;
    }
  /** Break it off; it is still answered by `callDone`. */
  | { readonly kind: "cancelCall"; readonly id: number }
  /**
   * The end of an operation. A release that comes to `failed` with `clean: false` is a blocked group: it may
   * still run here and must never be taken as released (R19).
   */
  | { readonly kind: "done"; readonly operation: number; readonly outcome: OperationOutcome }
  | {
      readonly kind: "probed";
      readonly found: "running" | "stopped" | "partial" | "unknown";
      readonly detail: string;
    }
  /** Beyond its local restarts; at most once until it recovers or an operation comes. */
  | {
      readonly kind: "resourceFailed";
      readonly resource: string;
      readonly reason: string;
      readonly detail: string;
    }
  /** `onStopFailure: reset-host`: this host is to be reset, by whoever can. */
  | {
      readonly kind: "resetHost";
      readonly resource: string;
      readonly reason: ResourcesReason;
      readonly detail: string;
    }
  | {
      readonly kind: "note";
      readonly reason: ResourcesReason;
      readonly resource: string | null;
      readonly detail: string;
    }
  /** For journal, timeline and whoever follows a command live. Probes and monitors make none. */
  | {
      readonly kind: "phase";
      readonly resource: string;
      readonly action: RunnerAction;
      readonly result: "begun" | "ok" | "failed" | "unknown";
      /** 0 when it begins. */
      readonly durationMs: number;
      readonly detail: string;
    };

export interface GroupRunnerOptions {
  readonly group: GroupSpec;
  /** Indexes of the resources that are opened after the whole group is started (`activate`). */
  readonly activatable: readonly number[];
}

/** What is known of one resource; `failed`: there, but not well. */
export type Belief = "unknown" | "stopped" | "running" | "failed";

/** Why something could not be started or went on no longer. */
export interface Failure {
  readonly resource: string;
  readonly reason: string;
  readonly detail: string;
  /** False: trying again on this host can not help. */
  readonly retryable: boolean;
}

export interface CallInFlight {
  readonly id: number;
  readonly action: RunnerAction;
  readonly epoch: number;
  readonly since: Instant;
  /** It was asked to end: its failure says nothing about the resource. */
  readonly cancelled: boolean;
}

/** What the runner keeps of one resource; plain data. */
export interface ResourceProgress {
  belief: Belief;
  call: CallInFlight | null;
  /** Activated since its start. */
  open: boolean;
  monitorAt: Instant | null;
  /** Failed monitors in a row. */
  failures: number;
  /** Why it is not well: of the newest failure since it was well. */
  trouble: string;
  /** `resourceFailed` was said and it has not recovered. */
  reported: boolean;
  /** Local restarts that are not forgotten yet. */
  restarts: number;
  lastFailureAt: Instant | null;
  /** Answer to `probeAll`; null while it is awaited. */
  answer: ProbeResult | null;
  // Of the present plan only:
  /** It is as the plan wants it. */
  settled: boolean;
  /** It was probed under this plan. */
  probed: boolean;
  /** `deactivate` was tried under this plan. */
  closed: boolean;
  stopUntil: Instant | null;
  stopAttempts: number;
  retryAt: Instant | null;
  /** Its stop failed for good under this plan. */
  stuck: Failure | null;
}

/** What follows once everything meant is stopped. */
export type AfterStop =
  | { readonly kind: "release"; readonly operation: number }
  /** The end of an acquire that failed. */
  | { readonly kind: "giveUp"; readonly operation: number; readonly failure: Failure }
  /** What was not well is stopped: the acquire goes on. */
  | { readonly kind: "acquire"; readonly operation: number }
  | { readonly kind: "restart" };

export type RunnerPlan =
  /** Nothing is wanted of the group; what runs, if anything, is as the beliefs say. */
  | { readonly phase: "rest" }
  | { readonly phase: "acquire"; readonly operation: number }
  | { readonly phase: "adopt" }
  | { readonly phase: "restart" }
  | { readonly phase: "held" }
  | {
      readonly phase: "stop";
      /** Resources from this index on are stopped. */
      readonly from: number;
      readonly urgent: boolean;
      readonly after: AfterStop;
    }
  | { readonly phase: "blocked"; readonly failure: Failure };

/** Plain JSON data; restores a runner exactly. */
export interface GroupRunnerSnapshot {
  now: Instant;
  plan: RunnerPlan;
  epoch: number;
  nextCall: number;
  /** `probeAll` is not answered yet. */
  probing: boolean;
  /** Another host has taken the data. */
  abandoned: boolean;
  resources: ResourceProgress[];
}

/** How one resource stands on this host, for status. */
export interface ResourceView {
  readonly name: string;
  readonly kind: string;
  readonly state: "running" | "stopped" | "starting" | "stopping" | "failed" | "unknown";
  /** Why it is not well; empty if there is nothing to say. */
  readonly detail: string;
}
