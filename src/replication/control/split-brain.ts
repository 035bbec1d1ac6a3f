/**
 * What is done when both sides wrote while apart (drbd.md 5.5). Both run this with their own values and must conclude
 * oppositely. +1: keep mine; -1: give mine up; -100: a person decides.
 */
import type { DiskRole } from "../contract.ts";
import type { AfterSplitBrainPolicy } from "../options.ts";

/** What the policies look at. */
export interface SplitBrain {
  readonly policies: readonly [AfterSplitBrainPolicy, AfterSplitBrainPolicy, AfterSplitBrainPolicy];
  readonly role: DiskRole;
  readonly peerRole: DiskRole;
  /** Bit 0 of the BITMAP identities: was this one Primary when they parted. */
  readonly wasPrimary: boolean;
  readonly peerWasPrimary: boolean;
  /** Blocks changed since, as both sent them in P_UUIDS. */
  readonly changes: number;
  readonly peerChanges: number;
  readonly resolveConflicts: boolean;
}
export type SplitBrainVerdict = 1 | -1 | -100;

/** The verdict, and whether we must stop being Primary to follow it. */
export interface SplitBrainDecision {
  readonly verdict: SplitBrainVerdict;
  readonly primaries: 0 | 1 | 2;
  readonly policy: AfterSplitBrainPolicy;
  readonly mustDemote: boolean;
}

/** Applies the policy for the number of Primaries there are now. */
export function solveSplitBrain(split: SplitBrain): SplitBrainDecision {
  const count = (split.role === "Primary" ? 1 : 0) + (split.peerRole === "Primary" ? 1 : 0);
  const primaries = count === 2 ? 2 : count === 1 ? 1 : 0;
  const policy = split.policies[primaries];
  const base = split.policies[0];
  const none = withoutPrimaries(primaries === 0 ? policy : base, split);
  const primary = split.role === "Primary";
  const say = (verdict: SplitBrainVerdict, mustDemote = false): SplitBrainDecision => ({
    verdict,
    primaries,
    policy,
    mustDemote,
  });
  if (primaries === 0) return say(none);
  switch (policy) {
    case "consensus":
      if (primaries === 2) return say(-100);
      return say((none === -1 && !primary) || (none === 1 && primary) ? none : -100);
    case "discard-secondary":
      return say(primaries === 1 ? (primary ? 1 : -1) : -100);
    case "violently-as0p":
      return say(none);
    case "call-pri-lost-after-sb":
      return say(none, none === -1 && primary);
    default:
      return say(-100);
  }
}

function withoutPrimaries(policy: AfterSplitBrainPolicy, split: SplitBrain): SplitBrainVerdict {
  const { wasPrimary, peerWasPrimary } = split;
  switch (policy) {
    case "discard-younger-primary":
      if (wasPrimary !== peerWasPrimary) return wasPrimary ? 1 : -1;
      return leastChanges(split);
    case "discard-older-primary":
      if (wasPrimary !== peerWasPrimary) return wasPrimary ? -1 : 1;
      return leastChanges(split);
    case "discard-zero-changes":
      return split.changes === 0 || split.peerChanges === 0 ? leastChanges(split) : -100;
    case "discard-least-changes":
      return leastChanges(split);
    case "discard-local":
      return -1;
    case "discard-remote":
      return 1;
    default:
      return -100;
  }
}

/** Who changed less gives up; of a tie the side that accepted the meta socket. Zero changes are the least there are. */
function leastChanges(split: SplitBrain): SplitBrainVerdict {
  if (split.changes < split.peerChanges) return -1;
  if (split.changes > split.peerChanges) return 1;
  return split.resolveConflicts ? -1 : 1;
}
