import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { afterSplitBrainPolicies } from "../wire/enums.ts";
import { type SplitBrain, solveSplitBrain } from "./split-brain.ts";
import { decideSync, type SyncSituation } from "./sync-decision.ts";

const split: SplitBrain = {
  policies: ["disconnect", "disconnect", "disconnect"],
  role: "Secondary",
  peerRole: "Secondary",
  wasPrimary: false,
  peerWasPrimary: false,
  changes: 5,
  peerChanges: 2,
  resolveConflicts: false,
};
const mirrored = (of: SplitBrain): SplitBrain => ({
  ...of,
  policies: of.policies.map((policy) =>
    policy === "discard-local"
      ? "discard-remote"
      : policy === "discard-remote"
        ? "discard-local"
        : policy,
  ) as unknown as SplitBrain["policies"],
  role: of.peerRole,
  peerRole: of.role,
  wasPrimary: of.peerWasPrimary,
  peerWasPrimary: of.wasPrimary,
  changes: of.peerChanges,
  peerChanges: of.changes,
  resolveConflicts: !of.resolveConflicts,
});

const rows: readonly (readonly [SplitBrain["policies"][0], Partial<SplitBrain>, number])[] = [
  ["disconnect", {}, -100],
  ["discard-younger-primary", { peerWasPrimary: true }, -1],
  ["discard-younger-primary", { wasPrimary: true }, 1],
  ["discard-younger-primary", {}, 1],
  ["discard-older-primary", { peerWasPrimary: true }, 1],
  ["discard-older-primary", { wasPrimary: true }, -1],
  ["discard-older-primary", { changes: 0 }, -1],
  ["discard-zero-changes", { changes: 0, peerChanges: 0 }, 1],
  ["discard-zero-changes", { changes: 0, peerChanges: 0, resolveConflicts: true }, -1],
  ["discard-zero-changes", { peerChanges: 0 }, 1],
  ["discard-zero-changes", { changes: 0 }, -1],
  ["discard-zero-changes", {}, -100],
  ["discard-least-changes", {}, 1],
  ["discard-least-changes", { changes: 2, resolveConflicts: true }, -1],
  ["discard-local", {}, -1],
  ["discard-remote", {}, 1],
  ["consensus", {}, -100],
];
for (const [policy, more, verdict] of rows) {
  test(`after-sb-0pri ${policy} with ${JSON.stringify(more)}: ${verdict}`, () => {
    equal(
      solveSplitBrain({ ...split, ...more, policies: [policy, "disconnect", "disconnect"] })
        .verdict,
      verdict,
    );
  });
}

test("one Primary: consensus, discard-secondary, violently-as0p, call-pri-lost-after-sb", () => {
  const one = (policy: SplitBrain["policies"][0], more: Partial<SplitBrain>) => {
    const policies = ["discard-least-changes", policy, "disconnect"] as const;
    const { verdict, mustDemote } = solveSplitBrain({ ...split, ...more, policies });
    return [verdict, mustDemote];
  };
  const primary = { role: "Primary" } as const;
  const loser = { ...primary, changes: 1 } as const;
  deepEqual(one("consensus", primary), [1, false]);
  deepEqual(one("consensus", loser), [-100, false]);
  deepEqual(one("discard-secondary", loser), [1, false]);
  deepEqual(one("discard-secondary", { peerRole: "Primary" }), [-1, false]);
  deepEqual(one("violently-as0p", loser), [-1, false]);
  deepEqual(one("call-pri-lost-after-sb", loser), [-1, true]);
  deepEqual(one("discard-zero-changes", primary), [-100, false]);
});

test("both sides reach opposite verdicts by every policy", () => {
  const bools = [false, true];
  for (const zero of afterSplitBrainPolicies) {
    for (const one of afterSplitBrainPolicies) {
      for (const [role, peerRole] of [
        ["Secondary", "Secondary"],
        ["Primary", "Secondary"],
        ["Primary", "Primary"],
      ] as const) {
        for (const wasPrimary of bools) {
          for (const peerWasPrimary of bools) {
            for (const changes of [0, 2, 3]) {
              const situation: SplitBrain = {
                ...split,
                policies: [zero, one, one],
                role,
                peerRole,
                wasPrimary,
                peerWasPrimary,
                changes,
              };
              const a = solveSplitBrain(situation).verdict;
              const b = solveSplitBrain(mirrored(situation)).verdict;
              equal(a === -100 ? b : a + b, a === -100 ? -100 : 0, JSON.stringify(situation));
            }
          }
        }
      }
    }
  }
});

const base: SyncSituation = {
  ...split,
  comparison: 0,
  rule: 40,
  disk: "UpToDate",
  peerDisk: "UpToDate",
  inUse: true,
  alwaysAfterSplitBrain: false,
  roleConflict: "disconnect",
  discardMine: false,
  discardPeers: false,
  dryRun: false,
  canDemote: true,
};
const outcomes: readonly (readonly [string, Partial<SyncSituation>, string])[] = [
  ["no sync", {}, "connected BTN-DISK-COMPARED"],
  ["source by bitmap", { comparison: 1 }, "source BTN-DISK-COMPARED"],
  ["full target", { comparison: -2 }, "target full BTN-DISK-COMPARED"],
  ["unrelated", { comparison: -1000 }, "drop BTN-DISK-UNRELATED"],
  ["too old", { comparison: -1001 }, "drop BTN-DISK-PEER-TOO-OLD"],
  [
    "the whole disk is the source",
    { comparison: -1, peerDisk: "Inconsistent" },
    "source BTN-DISK-COMPARED",
  ],
  [
    "the broken disk is the target",
    { comparison: 0, disk: "Inconsistent" },
    "target BTN-DISK-COMPARED",
  ],
  [
    "fully, if the sets say so",
    { comparison: 2, disk: "Inconsistent" },
    "target full BTN-DISK-COMPARED",
  ],
  [
    "fully, if they were ambiguous",
    { comparison: -100, disk: "Inconsistent" },
    "target full BTN-DISK-COMPARED",
  ],
  [
    "two broken disks",
    { comparison: 1, disk: "Inconsistent", peerDisk: "Inconsistent" },
    "drop BTN-DISK-SOURCE-INCONSISTENT",
  ],
  [
    "a Primary is no target",
    { comparison: -1, role: "Primary" },
    "drop BTN-DISK-PRIMARY-IS-TARGET",
  ],
  [
    "unless its disk is only being attached",
    { comparison: -1, role: "Primary", inUse: false },
    "target BTN-DISK-COMPARED",
  ],
  [
    "or it is told so",
    { comparison: -1, role: "Primary", roleConflict: "violently" },
    "target BTN-DISK-COMPARED",
  ],
  ["split brain", { comparison: 100 }, "drop BTN-DISK-SPLIT-BRAIN"],
  [
    "ours is discarded",
    { comparison: 100, discardMine: true },
    "target BTN-DISK-SPLIT-BRAIN-SOLVED",
  ],
  [
    "theirs is discarded",
    { comparison: -100, discardPeers: true },
    "source BTN-DISK-SPLIT-BRAIN-SOLVED",
  ],
  [
    "a policy solves it",
    { comparison: 100, policies: ["discard-least-changes", "disconnect", "disconnect"] },
    "source BTN-DISK-SPLIT-BRAIN-SOLVED",
  ],
  [
    "an ambiguous one is not solved",
    { comparison: -100, policies: ["discard-least-changes", "disconnect", "disconnect"] },
    "drop BTN-DISK-SPLIT-BRAIN",
  ],
  [
    "but by always-asbp, fully",
    {
      comparison: -100,
      alwaysAfterSplitBrain: true,
      policies: ["discard-least-changes", "disconnect", "disconnect"],
    },
    "source full BTN-DISK-SPLIT-BRAIN-SOLVED",
  ],
  ["a dry run does nothing", { comparison: 1, dryRun: true }, "drop BTN-DISK-DRY-RUN"],
];
for (const [name, more, expected] of outcomes) {
  test(`decision: ${name}`, () => {
    const { outcome, full, reason } = decideSync({ ...base, ...more });
    equal(`${outcome}${full ? " full" : ""} ${reason}`, expected);
  });
}

test("handlers of a split brain: first noticed, then unresolved; a Primary that can not step down is told", () => {
  deepEqual(decideSync({ ...base, comparison: 100 }).handlers, [
    "initial-split-brain",
    "split-brain",
  ]);
  const policies = ["discard-least-changes", "call-pri-lost-after-sb", "disconnect"] as const;
  const loser = { ...base, comparison: 100, policies, role: "Primary", changes: 1 } as const;
  equal(decideSync(loser).demote, true);
  deepEqual(decideSync({ ...loser, canDemote: false }).handlers, [
    "initial-split-brain",
    "pri-lost-after-sb",
    "split-brain",
  ]);
});
