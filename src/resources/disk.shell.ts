/**
 * A replicated disk as a resource: started is Primary here, stopped is Secondary. What `drbddisk` was to the original
 * (drbd.md 9.5). The disk's own process decides whether it may; this asks, and asks again while the answer is "not yet".
 */
import type { DiskOutcome, DiskProcessState } from "../replication/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import type { DiskAccess } from "./disk-access.ts";
import type { ResourceEnvironment } from "./environment.ts";
import type { DiskResourceSpec } from "./spec.ts";

/** Results of drbd.md 4.2 that pass by themselves: two Primaries for a moment, no current data yet, in transition. */
const passing: ReadonlySet<number> = new Set([-1, -2, -18, -19]);
/** The device is still open: what uses it is being stopped. */
const DEVICE_IN_USE = -12;
/** Pause between two tries of the same order, unless the disk's state changes before. */
const AGAIN_MS = 200;
/** How long the block device may take to appear after a promotion. */
const DEVICE_MS = 5_000;

/** The agent of a replicated disk. Without `environment.disks` it refuses everything with a reason. */
export function createDiskAgent(
  spec: DiskResourceSpec,
  environment: ResourceEnvironment,
): ResourceAgent {
  return new DiskAgent(spec, environment.disks);
}

class DiskAgent implements ResourceAgent {
  readonly spec: DiskResourceSpec;
  readonly #disks: DiskAccess | undefined;

  constructor(spec: DiskResourceSpec, disks: DiskAccess | undefined) {
    this.spec = spec;
    this.#disks = disks;
  }

  async probe(): Promise<ProbeResult> {
    const state = this.#state();
    if (state === "absent") return { state: "stopped" };
    if (state === "unreachable") return this.#unreachable();
    return state.view.state.role === "Primary" ? { state: "running" } : { state: "stopped" };
  }

  async monitor(): Promise<ProbeResult> {
    const state = this.#state();
    if (typeof state === "string" || state.view.state.role !== "Primary") return this.probe();
    const { disk, pdsk } = state.view.state;
    if (disk !== "Diskless" && disk !== "Failed") return { state: "running" };
    const reason = pdsk === "UpToDate" ? "BTN-DISK-SERVED-BY-PEER" : "BTN-DISK-LOST";
    return { state: "failed", reason, detail: `${this.spec.disk} is ${disk}/${pdsk} here` };
  }

  async start(context: ActionContext): Promise<ActionResult> {
    const outcome = await this.#insist({ verb: "primary", force: false }, passing, context);
    if (outcome.outcome !== "done") return this.#failed(outcome);
    const limit = AbortSignal.any([context.signal, AbortSignal.timeout(DEVICE_MS)]);
    while (!limit.aborted) {
      const state = this.#state();
      if (typeof state !== "string" && state.device !== null) return { ok: true };
      await this.#disks?.changed(this.spec.disk, limit);
    }
    const detail = `${this.spec.disk} is Primary, but its block device did not appear`;
    return { ok: false, reason: "BTN-DISK-NO-DEVICE", detail, retryable: true };
  }

  async stop(context: ActionContext): Promise<ActionResult> {
    const state = this.#state();
    if (state === "absent") return { ok: true, detail: "no process holds it" };
    const busy = new Set([DEVICE_IN_USE, -18]);
    const outcome = await this.#insist({ verb: "secondary" }, busy, context);
    return outcome.outcome === "done" ? { ok: true } : this.#failed(outcome);
  }

  dispose(): void {
    // Nothing is held here: the process of the disk lives on.
  }

  #state(): DiskProcessState | "absent" | "unreachable" {
    return this.#disks?.state(this.spec.disk) ?? "unreachable";
  }

  #unreachable(): ProbeResult {
    const detail = `the process of the disk ${this.spec.disk} does not answer`;
    return { state: "unknown", reason: "BTN-DISK-NO-PROCESS", detail };
  }

  /** Gives an order until it is done, refused for good, or the time is over. */
  async #insist(
    command: { readonly verb: "primary"; readonly force: boolean } | { readonly verb: "secondary" },
    again: ReadonlySet<number>,
    context: ActionContext,
  ): Promise<DiskOutcome> {
    let told = "";
    for (;;) {
      const outcome = await this.#order(command, context);
      const final = outcome.outcome === "done" || !again.has(outcome.code);
      if (final || context.signal.aborted) return outcome;
      if (told !== outcome.detail) context.progress(`${outcome.detail} (${outcome.reason})`);
      told = outcome.detail;
      const pause = AbortSignal.any([context.signal, AbortSignal.timeout(AGAIN_MS)]);
      await this.#disks?.changed(this.spec.disk, pause);
    }
  }

  async #order(
    command: { readonly verb: "primary"; readonly force: boolean } | { readonly verb: "secondary" },
    context: ActionContext,
  ): Promise<DiskOutcome> {
    if (this.#disks === undefined || typeof this.#state() === "string") {
      const detail = `nothing on this host runs the disk ${this.spec.disk}`;
      // Counted as passing: the agent is starting the process.
      return { outcome: "refused", reason: "BTN-DISK-NO-PROCESS", code: -18, detail };
    }
    const { signal, progress } = context;
    return await this.#disks.command(this.spec.disk, command, { signal, progress });
  }

  #failed({ reason, detail }: DiskOutcome): ActionResult {
    return { ok: false, reason, detail: `${this.spec.disk}: ${detail}`, retryable: true };
  }
}
