/**
 * Communication up (heartbeat.md 7.3): each configured host and ping node was heard, or is dead.
 *
 *   waiting --all heard or dead--> asking --repnodes, or nobody to ask, or 5 s--> up
 *
 * `reqnodes` is for peers that run heartbeat: the original asks before it goes on, once a second.
 * Baton peers are not asked, but answer. Without an answer we go on, and say so: nothing of ours
 * depends on it.
 */
import { after, type Instant } from "../base/index.ts";

/** Plain JSON: part of the snapshot. */
export type Communication =
  | { readonly phase: "waiting" }
  | { readonly phase: "asking"; readonly nextAt: Instant; readonly asked: number }
  | { readonly phase: "up" };

const askEveryMs = 1_000;
const asksMax = 5;

export interface CommunicationView {
  /** All hosts and ping nodes were heard or are dead. */
  readonly complete: boolean;
  /** Peers that run heartbeat and are alive: whom to ask. */
  readonly askable: readonly string[];
}

/** What follows: the new phase, and whom to ask now. */
export function advanceCommunication(
  phase: Communication,
  view: CommunicationView,
  now: Instant,
): { readonly next: Communication; readonly ask: string | undefined } {
  if (phase.phase === "up" || (phase.phase === "waiting" && !view.complete)) {
    return { next: phase, ask: undefined };
  }
  const asked = phase.phase === "asking" ? phase.asked : 0;
  if (phase.phase === "asking" && now < phase.nextAt) return { next: phase, ask: undefined };
  const ask = view.askable[asked % Math.max(1, view.askable.length)];
  if (ask === undefined || asked === asksMax) return { next: { phase: "up" }, ask: undefined };
  return { next: { phase: "asking", nextAt: after(now, askEveryMs), asked: asked + 1 }, ask };
}
