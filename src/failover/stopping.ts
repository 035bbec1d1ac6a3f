/**
 * The graceful end of this host: hand over what the peer can take, stop the rest, say goodbye, and
 * only then `readyToStop`. A group that can not be stopped keeps the host from saying goodbye (R19).
 *
 * Classic peer: "resource none isstable=0 info=shutdown", release, "shutdone st=dead" (7.7).
 */
import { after, type Instant } from "../base/index.ts";
import { announce } from "./baton-peer.ts";
import { giveAway, sendResource } from "./classic-holds.ts";
import { shutdoneFields } from "./classic-messages.ts";
import { allReleased } from "./group.ts";
import { peerCanTake, startTransfer } from "./moves.ts";
import { isAlive, situation, toldBy } from "./ownership.ts";
import type { Turn } from "./turn.ts";

/** A live peer confirms an epoch within a round trip; a standby under way is waited for as well. */
const HAND_OVER_MS = 10_000;

/** Begins the graceful end of this host: hand over or stop each group, then say goodbye. */
export function beginStop(turn: Turn, command: string): void {
  const { state } = turn;
  if (state.stopping !== null) {
    state.stopping.commands.push(command);
    return;
  }
  const handOverBy = after(turn.now, HAND_OVER_MS);
  state.stopping = { commands: [command], handOverBy, announced: false, ready: false };
  turn.note("BTN-FAILOVER-HOST-STOPPING", "asked to stop");
}

/** Goes on with the end of this host as far as it can. */
export function advanceStop(turn: Turn): void {
  const { state, peer } = turn;
  const { stopping } = state;
  if (stopping === null || stopping.ready) return;
  if (peer.kind === "classic") {
    if (!announceClassic(turn)) return;
  } else offerGroups(turn);
  reportBlocked(turn);
  if (!allReleased(turn)) return;
  if (peer.kind !== "classic" && turn.now < stopping.handOverBy && !handedOver(turn)) return;
  stopping.ready = true;
  if (peer.kind === "classic" && isAlive(turn)) {
    giveAway(
      turn,
      turn.options.groups.map((group) => group.name),
    );
  }
  announce(turn);
  if (peer.kind !== "unknown") turn.emit({ kind: "send", fields: shutdoneFields });
  endCommands(turn, "done");
  turn.emit({ kind: "readyToStop" });
}

/** True once the shutdown is announced; a standby under way comes to its end first. */
function announceClassic(turn: Turn): boolean {
  const { classic, stopping } = turn.state;
  if (classic.phase === "shutdown") return true;
  const busy = classic.standby.role !== "none";
  if (busy && stopping !== null && turn.now < stopping.handOverBy) return false;
  classic.phase = "shutdown";
  classic.standby = { role: "none" };
  classic.hold = { local: false, foreign: false };
  sendResource(turn, "shutdown");
  return true;
}

/** A peer whose start failed meanwhile is not asked again: it may take all once we left. */
function offerGroups(turn: Turn): void {
  for (const { name } of turn.options.groups) {
    if (turn.own(name).owner !== turn.options.self || turn.run(name).transfer !== null) continue;
    if (toldBy(turn, name)?.failed != null || !peerCanTake(turn, name, false).able) continue;
    startTransfer(turn, name, "BTN-FAILOVER-HOST-STOPPING", false);
  }
}

function handedOver(turn: Turn): boolean {
  if (situation(turn) !== "talking" || turn.peer.holdings?.stopping === true) return true;
  return turn.options.groups.every(({ name }) => {
    const record = turn.own(name);
    const told = toldBy(turn, name);
    if (told === undefined || told.failed !== null || told.state === "blocked") return true;
    return record.owner === turn.peer.host && told.epoch >= record.epoch;
  });
}

function reportBlocked(turn: Turn): void {
  const blocked = turn.options.groups.find(({ name }) => turn.run(name).here === "blocked");
  if (blocked !== undefined) endCommands(turn, "failed", turn.run(blocked.name).failureDetail);
}

function endCommands(turn: Turn, outcome: "done" | "failed", detail = ""): void {
  const { stopping } = turn.state;
  const reason = outcome === "done" ? "BTN-FAILOVER-STOPPED" : "BTN-FAILOVER-STOP-BLOCKED";
  for (const command of stopping?.commands.splice(0) ?? []) {
    turn.emit({ kind: "commandDone", command, outcome, reason, detail });
  }
}

/** When a graceful end next needs a tick. */
export function stopDeadlines(turn: Turn): readonly (Instant | null)[] {
  const { stopping } = turn.state;
  return stopping === null || stopping.ready ? [] : [stopping.handOverBy];
}
