/** Numbers of the wire that are neither commands nor states (drbd.md 1.5, 2.4, 2.6, 5.2). */
import type { AfterSplitBrainPolicy, Protocol } from "../options.ts";

/** In the order of their numbers, 0 to 10 (drbd.md 2.4). */
export const afterSplitBrainPolicies = [
  "disconnect",
  "discard-younger-primary",
  "discard-older-primary",
  "discard-zero-changes",
  "discard-least-changes",
  "discard-local",
  "discard-remote",
  "consensus",
  "discard-secondary",
  "call-pri-lost-after-sb",
  "violently-as0p",
] as const satisfies readonly AfterSplitBrainPolicy[];

/** The number of a policy in P_PROTOCOL. */
export const afterSplitBrainNumber = (policy: AfterSplitBrainPolicy): number =>
  afterSplitBrainPolicies.indexOf(policy);

/** The policy that a peer with the same intention announces: discard-local and discard-remote change places. */
export function mirrorAfterSplitBrain(policy: AfterSplitBrainPolicy): AfterSplitBrainPolicy {
  if (policy === "discard-local") return "discard-remote";
  return policy === "discard-remote" ? "discard-local" : policy;
}

/** The number of a replication protocol in P_PROTOCOL. */
export const protocolNumber = (protocol: Protocol): number => "ABC".indexOf(protocol) + 1;

/** The replication protocol of a number; undefined if there is none. */
export const protocolOfNumber = (number: number): Protocol | undefined =>
  (["A", "B", "C"] as const)[number - 1];

/** connection_flags of P_PROTOCOL. */
export const connectionFlag = { discardMyData: 1, dryRun: 2 } as const;
/** Flags of P_SIZES. */
export const sizesFlag = { forced: 1, noResync: 2 } as const;
/** Flags of P_UUIDS. */
export const uuidFlag = {
  discardMyData: 1,
  crashedPrimary: 2,
  inconsistent: 4,
  skipInitialSync: 8,
} as const;
/** The low half of the block id of P_OV_RESULT; the high half is 0. */
export const verifyResult = { inSync: 4711, outOfSync: 4712 } as const;
