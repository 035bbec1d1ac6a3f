/** What follows from the comparison of generations: the post-processing of drbd.md 5.4, steps 1 to 11. Pure. */
import { type DiskRole, type DiskStateName, diskRank } from "../contract.ts";
import type { AfterSplitBrainPolicy, HandlerName, NetOptions } from "../options.ts";
import type { Comparison } from "./generations.ts";
import { solveSplitBrain } from "./split-brain.ts";

/** What the decision looks at. Disk states are the real ones, also of a disk that is Negotiating. */
export interface SyncSituation {
  readonly comparison: Comparison;
  readonly rule: number;
  readonly role: DiskRole;
  readonly peerRole: DiskRole;
  readonly disk: DiskStateName;
  readonly peerDisk: DiskStateName;
  /** Our disk was in use as it is; false while it is Negotiating. */
  readonly inUse: boolean;
  readonly policies: readonly [AfterSplitBrainPolicy, AfterSplitBrainPolicy, AfterSplitBrainPolicy];
  readonly alwaysAfterSplitBrain: boolean;
  readonly roleConflict: NetOptions["roleConflict"];
  readonly wasPrimary: boolean;
  readonly peerWasPrimary: boolean;
  readonly changes: number;
  readonly peerChanges: number;
  readonly resolveConflicts: boolean;
  readonly discardMine: boolean;
  readonly discardPeers: boolean;
  readonly dryRun: boolean;
  /** Nothing has the block device open, so that a Primary could step down. */
  readonly canDemote: boolean;
}

/** To be done next. `drop` ends in StandAlone. */
export interface SyncDecision {
  readonly outcome: "connected" | "source" | "target" | "drop";
  /** All bits are set first. */
  readonly full: boolean;
  /** We were Primary and step down to be the target. */
  readonly demote: boolean;
  readonly handlers: readonly HandlerName[];
  readonly reason: string;
  readonly detail: string;
}

/** Decides. Both sides reach opposite outcomes, or the same `drop`. */
export function decideSync(situation: SyncSituation): SyncDecision {
  const handlers: HandlerName[] = [];
  const by = `rule ${situation.rule}`;
  const drop = (reason: string, detail: string): SyncDecision => ({
    outcome: "drop",
    full: false,
    demote: false,
    handlers,
    reason,
    detail,
  });
  let code: number = situation.comparison;
  if (code === -1000) return drop("BTN-DISK-UNRELATED", "the two disks never held the same data");
  if (code === -1001) return drop("BTN-DISK-PEER-TOO-OLD", `${by} needs a newer peer`);
  const forced = directionByDisks(situation);
  if (forced !== 0) code = code === -100 || Math.abs(code) === 2 ? 2 * forced : forced;
  let demote = false;
  let solvedBy = "";
  if (Math.abs(code) === 100) {
    handlers.push("initial-split-brain");
    const solved = solve(situation, code);
    code = solved.code;
    demote = solved.demote;
    solvedBy = solved.by;
    handlers.push(...solved.handlers);
  }
  if (code === -100) {
    handlers.push("split-brain");
    return drop(
      "BTN-DISK-SPLIT-BRAIN",
      `both sides were written apart: ${situation.changes} blocks here, ${situation.peerChanges} there`,
    );
  }
  if (code > 0 && diskRank(situation.disk) <= diskRank("Inconsistent")) {
    return drop(
      "BTN-DISK-SOURCE-INCONSISTENT",
      `${by} makes this disk the source, and it is not whole`,
    );
  }
  const overwritesPrimary =
    code < 0 &&
    situation.role === "Primary" &&
    situation.inUse &&
    diskRank(situation.disk) >= diskRank("Consistent") &&
    !demote;
  if (overwritesPrimary && situation.roleConflict !== "violently") {
    if (situation.roleConflict === "call-pri-lost") handlers.push("pri-lost");
    return drop(
      "BTN-DISK-PRIMARY-IS-TARGET",
      `${by} makes this disk the target, and it is Primary`,
    );
  }
  const outcome = code > 0 ? "source" : code < 0 ? "target" : "connected";
  const how = solvedBy === "" ? by : `${by}, ${solvedBy}`;
  if (situation.dryRun) return drop("BTN-DISK-DRY-RUN", `would become ${outcome} (${how})`);
  return {
    outcome,
    full: Math.abs(code) === 2,
    demote,
    handlers,
    reason: solvedBy === "" ? "BTN-DISK-COMPARED" : "BTN-DISK-SPLIT-BRAIN-SOLVED",
    detail: `${outcome}${Math.abs(code) === 2 ? " with a full sync" : ""} (${how})`,
  };
}

/** +1, -1 if exactly one of the two is whole. */
function directionByDisks({ disk, peerDisk }: SyncSituation): 1 | -1 | 0 {
  const whole = (state: DiskStateName): boolean => diskRank(state) > diskRank("Inconsistent");
  if (disk === "Inconsistent" && whole(peerDisk)) return -1;
  return peerDisk === "Inconsistent" && whole(disk) ? 1 : 0;
}

interface Solved {
  readonly code: number;
  readonly demote: boolean;
  readonly by: string;
  readonly handlers: readonly HandlerName[];
}

/** Steps 4 and 5: the policies, then --discard-my-data. */
function solve(situation: SyncSituation, code: number): Solved {
  const none: Solved = { code: -100, demote: false, by: "", handlers: [] };
  let open = none;
  if (code === 100 || situation.alwaysAfterSplitBrain) {
    const decision = solveSplitBrain(situation);
    const lost = decision.mustDemote && !situation.canDemote;
    if (lost) open = { ...none, handlers: ["pri-lost-after-sb"] };
    else if (decision.verdict !== -100) {
      const by = `after-sb-${decision.primaries}pri ${decision.policy}`;
      const full = code === -100 ? 2 : 1;
      return { code: decision.verdict * full, demote: decision.mustDemote, by, handlers: [] };
    }
  }
  if (situation.discardMine !== situation.discardPeers) {
    return { ...open, code: situation.discardMine ? -1 : 1, by: "discard-my-data" };
  }
  return open;
}
