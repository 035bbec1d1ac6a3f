/** How failover looks from outside: for status, and for `cl_status rscstatus`. */
import { classOf } from "./classic-holds.ts";
import { holdWord } from "./classic-messages.ts";
import type { GroupState, GroupView } from "./contract.ts";
import { isAlive, toldBy } from "./ownership.ts";
import type { Turn } from "./turn.ts";

/** What `rscstatus` prints (heartbeat.md 10.1). */
export type RscStatus = "none" | "local" | "foreign" | "all" | "transition";

/** Each group as `baton status` shows it. */
export function viewGroups(turn: Turn): readonly GroupView[] {
  return turn.options.groups.map((group) => {
    const { name, prefers } = group;
    const run = turn.run(name);
    const { epoch, owner, unproven } = turn.own(name);
    const there = thereOf(turn, name);
    const holder = run.here === "running" ? turn.options.self : null;
    return {
      group: name,
      prefers,
      ownership: { epoch, owner },
      here: run.here,
      there: { [turn.peer.host]: there },
      holder: holder ?? (there === "running" ? turn.peer.host : null),
      reason: run.reason,
      detail: run.detail,
      unproven,
    };
  });
}

function thereOf(turn: Turn, name: string): GroupState {
  if (!isAlive(turn)) return turn.peer.verdict === "left" ? "stopped" : "unknown";
  if (turn.peer.kind === "baton") return toldBy(turn, name)?.state ?? "unknown";
  const { other } = turn.state.classic;
  if (other === null) return "unknown";
  // Our local groups are foreign to the peer, and the other way round.
  const held = classOf(turn, name) === "local" ? other.foreign : other.local;
  return held ? "running" : "stopped";
}

/** heartbeat's word for what this host holds (heartbeat.md 10.1). */
export function viewRscStatus(turn: Turn): RscStatus {
  const { groups, autoFailback } = turn.options;
  const runs = groups.map(({ name }) => turn.run(name));
  if (runs.some(({ here }) => here === "starting" || here === "stopping")) return "transition";
  if (turn.peer.kind === "classic") {
    // Legacy mode has no such status (8.5).
    if (autoFailback === "legacy") return "none";
    const { phase, standby, hold } = turn.state.classic;
    if (phase !== "stable" || standby.role !== "none") return "transition";
    return holdWord(hold);
  }
  const holds = (which: "local" | "foreign"): boolean =>
    groups.some(({ name }) => classOf(turn, name) === which && turn.run(name).here === "running");
  return holdWord({ local: holds("local"), foreign: holds("foreign") });
}
