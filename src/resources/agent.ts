/**
 * The contract that each kind of resource fulfils; one shared test suite runs against all of them.
 * Implementations are shells. They decide nothing about the group: `GroupRunner` does.
 */
import type { ResourceSpec } from "./spec.ts";

/** What a probe or a monitor found. */
export type ProbeResult =
  | { readonly state: "running" }
  | { readonly state: "stopped" }
  /** There, but not well: a hung server, a mount gone read-only. */
  | { readonly state: "failed"; readonly reason: string; readonly detail: string }
  /** Could not be found out; never taken for `stopped`. */
  | { readonly state: "unknown"; readonly reason: string; readonly detail: string };

/** What a start or a stop came to. */
export type ActionResult =
  | { readonly ok: true; readonly detail?: string }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly detail: string;
      /** False: trying again here, or on this host, can not help (not installed, bad arguments). */
      readonly retryable: boolean;
    };

/** What an action is given. Each must end soon after `signal` aborts. */
export interface ActionContext {
  readonly signal: AbortSignal;
  /** The epoch under which the group is held; a shared disk writes it into its claim. */
  readonly epoch: number;
  /** A line for the journal and for whoever follows the command live. */
  readonly progress: (line: string) => void;
  /** Milliseconds until `signal` aborts: lets a stop escalate in time. */
  readonly timeoutMs?: number;
  /** The peer may be taking over: no courtesy, kill early (R19). */
  readonly urgent?: boolean;
  /**
   * Another host has the data: nothing of it may be written from here any more. A server is killed at once, a
   * file system is shut down with what it has not written.
   */
  readonly abandon?: boolean;
}

/** One resource on this host. Starting what runs and stopping what does not are successes (R19, R20). */
export interface ResourceAgent {
  readonly spec: ResourceSpec;
  probe(context: ActionContext): Promise<ProbeResult>;
  start(context: ActionContext): Promise<ActionResult>;
  stop(context: ActionContext): Promise<ActionResult>;
  /** The periodic check; may be dearer than `probe`. */
  monitor(context: ActionContext): Promise<ProbeResult>;
  /**
   * Opens the resource for use. Called once the whole group is started, left to right, and again after an
   * agent restart: opening what is open is a success. A server that starts read-only is opened here (R20).
   */
  activate?(context: ActionContext): Promise<ActionResult>;
  /** Closes it again: first of all on a release (R19). A failure is noted; the stop follows anyhow. */
  deactivate?(context: ActionContext): Promise<ActionResult>;
  /** Lets go of what this process holds (timers, connections), without stopping the resource. */
  dispose(): void;
}

/** Reports of what a resource saw between calls, such as a claim seen to move or an address conflict. */
export interface ResourceNotice {
  readonly group: string;
  readonly resource: string;
  readonly reason: string;
  readonly detail: string;
}
