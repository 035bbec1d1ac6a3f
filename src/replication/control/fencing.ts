/**
 * Excluding the peer (drbd.md 8.1, 8.2; reliability R2, R9, R17). A Primary that loses its peer freezes, asks the agent,
 * and goes on only when the answer means that the peer can not be used in its place.
 *
 *   idle --lost, or a promotion needs it--> asked --3, 4, 7 (5: not everywhere)--> proven: new generation, I/O goes on
 *     |                                       |--5, 6, broken--> failed (asked again after 5 s if `native`)
 *     '--our own epoch changed--> delayed ----'
 *   any --the connection is back--> idle: what was in flight is sent again
 *
 * `resource-only` goes on without a proof after 1 s, and says so; `dont-care` never freezes.
 */
import { after, earliest, type Instant, unreachable } from "../../base/index.ts";
import { connectionRank, type DiskEvent, diskRank, type FenceResult } from "../contract.ts";
import type { FencingPolicy } from "../options.ts";
import type { Core } from "./core.ts";
import { codes } from "./result-codes.ts";
import { isConnected, isFencing } from "./transitions.ts";

/** DESIGN 7.8: how long `resource-only` waits for a proof. */
const UNPROVEN_AFTER_MS = 1_000;
/** How often `native` asks again after an answer that proves nothing. */
const ASK_AGAIN_MS = 5_000;

const policyOf = (core: Core): FencingPolicy => core.options.spec.disk.fencing;

/** After a connection ended: freeze has already happened with the state; here the question is asked. */
export function fenceAfterLoss(core: Core, delayMs: number): void {
  const { memory } = core;
  const { state } = memory;
  if (!isFencing(policyOf(core)) || state.role !== "Primary" || isConnected(state)) return;
  if (diskRank(state.pdsk) < diskRank("DUnknown")) return;
  if (diskRank(state.disk) < diskRank("Consistent")) {
    if (state.suspFencing) core.force({ suspFencing: false });
    return;
  }
  const reason = "the connection to the peer of a Primary was lost";
  if (delayMs > 0) memory.fence = { phase: "delayed", at: after(core.now, delayMs), reason };
  else askToFence(core, reason);
}

/** Asks, unless the question is open already. */
export function askToFence(core: Core, reason: string): void {
  const { memory } = core;
  if (memory.fence.phase === "asked") return;
  memory.fenceAttempts += 1;
  const attempt = memory.fenceAttempts;
  memory.fence = { phase: "asked", attempt, since: core.now, reason };
  core.decide("BTN-DISK-FENCING", reason);
  core.emit({ kind: "fencePeer", attempt, reason });
}

/** The connection comes back: whatever is answered now is stale. */
export function cancelFence(core: Core): void {
  core.memory.fence = { phase: "idle" };
}

/** The answer of the agent or the handler. */
export function fenceDone(core: Core, event: Extract<DiskEvent, { kind: "fenceDone" }>): void {
  const { memory } = core;
  const { fence } = memory;
  if (fence.phase !== "asked" || fence.attempt !== event.attempt) return;
  if (memory.link.phase === "parameters" || memory.link.phase === "up") return;
  const pdsk = excludedAs(core, event.result);
  if (pdsk !== undefined) {
    memory.fence = { phase: "proven", attempt: event.attempt };
    core.force({ pdsk });
    core.decide("BTN-DISK-PEER-EXCLUDED", `answer ${event.result}: ${event.detail}`);
    thaw(core);
    return;
  }
  if (event.result === 6) {
    core.force({ disk: "Outdated" });
    core.decide("BTN-DISK-PEER-IS-PRIMARY", event.detail);
  } else {
    core.decide("BTN-DISK-FENCE-FAILED", `answer ${event.result}: ${event.detail}`);
  }
  const again = policyOf(core) === "native" && event.result !== 6 && core.isPrimary;
  memory.fence = {
    phase: "failed",
    attempt: event.attempt,
    retryAt: again ? after(core.now, ASK_AGAIN_MS) : null,
  };
}

/** What the peer's disk is by an answer; undefined: the answer proves nothing. */
function excludedAs(core: Core, result: FenceResult): "Inconsistent" | "Outdated" | undefined {
  switch (result) {
    case 3:
      return "Inconsistent";
    case 4:
    case 7:
      return "Outdated";
    case 5: {
      // "Not reachable, assumed dead" is no proof (R17): it counts only where the original's rule was chosen.
      const believed = policyOf(core) === "resource-only" || policyOf(core) === "dont-care";
      return believed && core.state.disk === "UpToDate" ? "Outdated" : undefined;
    }
    case 6:
    case "broken":
      return undefined;
    default:
      return unreachable(result);
  }
}

/** Ends a freeze for good: the generation that only we have is durable before anything is answered (R9). */
export function thaw(core: Core): void {
  const { memory } = core;
  if (!memory.state.suspFencing || memory.higherEpoch > memory.epoch) return;
  makeDueGeneration(core);
  core.force({ suspFencing: false });
}

/** The new generation that was put off while I/O was suspended. */
export function makeDueGeneration(core: Core): void {
  const { memory } = core;
  if (!memory.newCurrentDue) return;
  memory.newCurrentDue = false;
  if (memory.disk === null || core.generations.bitmap !== 0n) return;
  core.renewCurrent(true);
  core.persist();
}

/**
 * Connected again: nothing was excluded, what is in flight is sent again. With a resync ahead only once the peer's whole
 * bitmap has come: by then it has durably said of itself that it is outdated, so that it can not be used in our place.
 * (The kernel goes on earlier, and makes a generation for a peer that restarted; since everything that is not behind a
 * barrier ack is sent again, that is not needed here.) True: I/O goes on now.
 */
export function returnProgress(core: Core): boolean {
  const { memory } = core;
  const { state } = memory;
  if (!isConnected(state)) return false;
  const hasData = state.disk === "UpToDate" || state.pdsk === "UpToDate";
  if (state.suspNoData && hasData) return core.force({ suspNoData: false }) === codes.success;
  if (!state.suspFencing || memory.higherEpoch > memory.epoch) return false;
  const exchanging =
    state.conn !== "Connected" && connectionRank(state.conn) < connectionRank("SyncSource");
  if (exchanging) return false;
  memory.newCurrentDue = false;
  return core.force({ suspFencing: false }) === codes.success;
}

/** Deadlines: a delayed question, a second one, and the end of the patience of `resource-only`. */
export function fenceTick(core: Core): void {
  const { memory } = core;
  const { fence } = memory;
  if (fence.phase === "delayed" && core.now >= fence.at) {
    memory.fence = { phase: "idle" };
    fenceAfterLoss(core, 0);
  }
  if (fence.phase === "failed" && fence.retryAt !== null && core.now >= fence.retryAt) {
    memory.fence = { phase: "idle" };
    fenceAfterLoss(core, 0);
  }
  const at = unprovenAt(core);
  if (at !== undefined && core.now >= at) {
    core.decide("BTN-DISK-FENCE-UNPROVEN", "no proof within 1 s; fencing is resource-only");
    thaw(core);
  }
}

/** When the next deadline of fencing is. */
export function fenceWakeAt(core: Core): Instant | undefined {
  const { fence } = core.memory;
  const next =
    fence.phase === "delayed" ? fence.at : fence.phase === "failed" ? fence.retryAt : null;
  return earliest(next ?? undefined, unprovenAt(core));
}

function unprovenAt(core: Core): Instant | undefined {
  const { state, frozenSince, higherEpoch, epoch } = core.memory;
  if (policyOf(core) !== "resource-only" || !state.suspFencing || frozenSince === null) return;
  // Told that the peer is Primary: going on would be writing beside it.
  if (state.disk !== "UpToDate" || higherEpoch > epoch) return undefined;
  return after(frozenSince, UNPROVEN_AFTER_MS);
}
