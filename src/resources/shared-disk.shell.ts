/**
 * The claim on a shared disk, with a real device and a real clock. Reads and writes go past the page
 * cache in a thread of the pool: never two at a time, so a device that hangs holds one thread and nothing else.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after } from "../base/index.ts";
import { DirectFile } from "../system/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import { CLAIM_BYTES, CLAIM_COPY_BYTES, decodeClaims, encodeClaim } from "./claim.ts";
import type { ResourceEnvironment } from "./environment.ts";
import {
  type ClaimProof,
  SharedDisk,
  type SharedDiskEffect,
  type SharedDiskEvent,
} from "./shared-disk.ts";
import type { SharedDiskSpec } from "./spec.ts";

/** Longest wait for one look at the claim. */
const LOOK_LIMIT_MS = 1_000;
/** Kept of an action's time, so that the reason arrives before the caller's own limit. */
const RESERVE_MS = 200;
/** Bounds of the pause between a claim and the read that confirms it; in between, half a keepalive. */
const CONFIRM_MIN_MS = 50;
const CONFIRM_MAX_MS = 250;

/** A resource agent that can also be asked what the claim says. Reads it each keepalive from its creation on. */
export interface SharedDiskAgent extends ResourceAgent {
  readonly spec: SharedDiskSpec;
  /** What the claim says now: the proof of the comparison before serving (R5). Never waits longer than a second. */
  readProof(): Promise<ClaimProof>;
  /** Calls `listener` whenever the proof changes; the returned function ends that. */
  onProof(listener: (proof: ClaimProof) => void): () => void;
}

/** @param spec data and claim device; `environment.notify` is told when the claim is lost or in doubt */
export function createSharedDiskAgent(
  spec: SharedDiskSpec,
  environment: ResourceEnvironment,
  incarnation: string = bootIncarnation(),
): SharedDiskAgent {
  return new ClaimedDisk(spec, environment, incarnation);
}

/**
 * Tells one start of this host from another: the kernel's boot and the start of process 1, which in a
 * container or a lab host is a boot of its own. 32 hexadecimal digits.
 */
export function bootIncarnation(): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
  const init = readFileSync("/proc/1/stat", "utf8");
  // Field 22, start time; the name in field 2 may hold spaces.
  const startTime = init.slice(init.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  return createHash("sha256").update(`${boot} ${startTime}`).digest("hex").slice(0, 32);
}

class ClaimedDisk implements SharedDiskAgent {
  readonly spec: SharedDiskSpec;
  readonly #environment: ResourceEnvironment;
  readonly #core: SharedDisk;
  readonly #listeners = new Set<(proof: ClaimProof) => void>();
  #looking: (() => void)[] = [];
  #answer: ((result: ActionResult) => void) | undefined;
  #cancelTimer = (): void => undefined;
  #file: DirectFile | undefined;
  #disposed = false;

  constructor(spec: SharedDiskSpec, environment: ResourceEnvironment, incarnation: string) {
    const { keepaliveMs, deadtimeMs } = environment.timing;
    const confirmMs = Math.min(CONFIRM_MAX_MS, Math.max(CONFIRM_MIN_MS, keepaliveMs / 2));
    const { host } = environment;
    this.spec = spec;
    this.#environment = environment;
    this.#core = new SharedDisk(
      { host, incarnation, keepaliveMs, deadtimeMs, confirmMs },
      environment.clock.now(),
    );
    this.#feed({ kind: "tick" });
  }

  async probe(_context: ActionContext): Promise<ProbeResult> {
    await this.#look();
    return this.#core.state();
  }

  async monitor(_context: ActionContext): Promise<ProbeResult> {
    await this.#look();
    // After a stall of this host the first look finds the claim ours, and the second follows its renewal.
    if (this.#core.isHeld() && this.#core.state().state !== "running") await this.#look();
    return this.#core.state();
  }

  start(context: ActionContext): Promise<ActionResult> {
    const limitMs = this.#limitMs(context, this.spec.policy.startTimeoutMs);
    return this.#act({ kind: "start", epoch: context.epoch, limitMs }, context.signal);
  }

  stop(context: ActionContext): Promise<ActionResult> {
    const limitMs = this.#limitMs(context, this.spec.policy.stopTimeoutMs);
    return this.#act({ kind: "stop", limitMs }, context.signal);
  }

  /** Goes on renewing after an agent restart; nothing to do after a start. */
  activate(context: ActionContext): Promise<ActionResult> {
    const limitMs = this.#limitMs(context, this.spec.policy.startTimeoutMs);
    return this.#act({ kind: "adopt", limitMs }, context.signal);
  }

  async readProof(): Promise<ClaimProof> {
    await this.#look();
    return this.#core.proof();
  }

  onProof(listener: (proof: ClaimProof) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops renewing: after deadtime the claim may be replaced. It is not released. */
  dispose(): void {
    this.#disposed = true;
    this.#cancelTimer();
    for (const wake of this.#looking.splice(0)) wake();
    this.#closeFile();
  }

  /** Ends when the claim was read once more, or does not answer. */
  async #look(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock } = this.#environment;
    const cancel = clock.at(after(clock.now(), LOOK_LIMIT_MS), resolve);
    this.#looking.push(resolve);
    this.#feed({ kind: "look" });
    await promise;
    cancel();
    // Time has passed: what is overdue or hangs shows.
    this.#feed({ kind: "tick" });
  }

  async #act(event: SharedDiskEvent, signal: AbortSignal): Promise<ActionResult> {
    const { promise, resolve } = Promise.withResolvers<ActionResult>();
    // One order at a time: a newer one ends the wait for the older.
    this.#answer?.({
      ok: false,
      reason: "BTN-RESOURCE-SUPERSEDED",
      detail: "Replaced by a newer order",
      retryable: true,
    });
    this.#answer = resolve;
    const cancel = (): void => this.#feed({ kind: "cancel" });
    this.#feed(event);
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    const result = await promise;
    signal.removeEventListener("abort", cancel);
    return result;
  }

  #feed(event: SharedDiskEvent): void {
    if (this.#disposed) return;
    const { clock } = this.#environment;
    for (const effect of this.#core.step(clock.now(), event)) this.#perform(effect);
    this.#cancelTimer();
    const wakeAt = this.#core.wakeAt();
    this.#cancelTimer =
      wakeAt === undefined ? () => undefined : clock.at(wakeAt, () => this.#feed({ kind: "tick" }));
  }

  #perform(effect: SharedDiskEffect): void {
    switch (effect.kind) {
      case "read":
      case "write":
        void this.#work(effect);
        return;
      case "done":
        this.#answer?.(effect.result);
        this.#answer = undefined;
        return;
      case "looked":
        for (const wake of this.#looking.splice(0)) wake();
        return;
      case "notice": {
        const { group, notify } = this.#environment;
        const { reason, detail } = effect;
        notify({ group, resource: this.spec.name, reason, detail });
        return;
      }
      case "proofChanged":
        for (const listener of this.#listeners) listener(this.#core.proof());
    }
  }

  async #work(effect: SharedDiskEffect & { readonly kind: "read" | "write" }): Promise<void> {
    let answer: SharedDiskEvent;
    try {
      this.#file ??= await DirectFile.open(this.spec.claimDevice, "read-write");
      if (effect.kind === "read") {
        const reading = decodeClaims(await this.#file.read(0, CLAIM_BYTES));
        answer = { kind: "read", reading };
      } else {
        await this.#file.write(effect.copy * CLAIM_COPY_BYTES, encodeClaim(effect.claim));
        if (effect.durable) await this.#file.flush();
        answer = { kind: "wrote" };
      }
    } catch (error) {
      // A device that was gone and is back needs a new descriptor.
      this.#closeFile();
      const detail = error instanceof Error ? error.message : String(error);
      answer = { kind: "failed", detail: `${this.spec.claimDevice}: ${detail}` };
    }
    if (this.#disposed) this.#closeFile();
    this.#feed(answer);
  }

  #closeFile(): void {
    const file = this.#file;
    this.#file = undefined;
    // Whatever close says, the descriptor is gone.
    file?.close().catch(() => undefined);
  }

  #limitMs(context: ActionContext, policyMs: number): number {
    return Math.max(1, (context.timeoutMs ?? policyMs) - RESERVE_MS);
  }
}
