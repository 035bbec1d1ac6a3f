/**
 * Statuses, from where they are told: as they happen, or out of the level state of the beat process
 * when this process was not there to be told.
 */
import type { Instant } from "../base/index.ts";
import type { BeatPeerState, PeerKind } from "./contract.ts";
import type { MembershipReason } from "./reasons.ts";

/** What one status says. */
export interface StatusNews {
  readonly at: Instant;
  readonly kind: PeerKind;
  readonly generation: number;
  readonly status: string;
  readonly announcedDeadtimeMs: number | null;
  readonly heard: Readonly<Record<string, number>> | null;
  readonly ownSequence: number;
  readonly reason: MembershipReason;
}

/** The newest status of a peer in the level state; undefined if the beat process heard none. */
export function newsOfLevel(
  level: BeatPeerState,
  ownSequence: number,
  reason: MembershipReason,
): StatusNews | undefined {
  const { lastStatusAt, generation, status, kind, announcedDeadtimeMs } = level;
  if (lastStatusAt === null || generation === null || status === null) return undefined;
  const told = level.links.flatMap(({ name, peerHeardSequence }) =>
    peerHeardSequence === null ? [] : [[name, peerHeardSequence] as const],
  );
  const heard = told.length === 0 ? null : Object.fromEntries(told);
  return {
    at: lastStatusAt,
    kind,
    generation,
    status,
    announcedDeadtimeMs,
    heard,
    ownSequence,
    reason,
  };
}
