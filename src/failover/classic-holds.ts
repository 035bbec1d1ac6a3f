/**
 * What this host holds in the eyes of a heartbeat 3.0.6: two classes, `local` and `foreign`
 * (heartbeat.md 8.1, 8.2), and how that is said and kept.
 */
import { after } from "../base/index.ts";
import { resourceFields } from "./classic-messages.ts";
import { isGone } from "./ownership.ts";
import { groupOf } from "./ownership-groups.ts";
import type { Holds } from "./state.ts";
import type { Turn } from "./turn.ts";

/** S6: the original's wait for a peer that says nothing conclusive. */
const START_WAIT_MS = 10_000;

/** One of the two classes. */
export type GroupClass = keyof Holds;

/** The class of a group, seen from this host. */
export const classOf = (turn: Turn, name: string): GroupClass =>
  groupOf(turn, name).prefers === turn.options.self ? "local" : "foreign";

/** The groups of the given classes. */
export const namesOf = (turn: Turn, classes: Holds): readonly string[] =>
  turn.options.groups.map((group) => group.name).filter((name) => classes[classOf(turn, name)]);

/** S3: any resource message before being stable, own ones too, starts the wait. */
export function beginWait(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.phase !== "starting") return;
  classic.phase = "received";
  classic.timerAt ??= after(turn.now, START_WAIT_MS);
}

/** Says what is held; `info` as in 8.1. */
export function sendResource(turn: Turn, info?: string): void {
  const { classic } = turn.state;
  // Legacy mode knows no such message (8.5).
  if (turn.options.autoFailback === "legacy") return;
  const stable = classic.phase === "stable" && info !== "standby" && info !== "shutdown";
  turn.emit({ kind: "send", fields: resourceFields(classic.hold, stable, info) });
  beginWait(turn);
}

/** Holds a class from now on; its groups start as soon as nothing forbids. */
export function take(turn: Turn, which: GroupClass, unproven = false): void {
  const { classic } = turn.state;
  if (classic.hold[which]) return;
  classic.hold[which] = true;
  if (which === "local") classic.reportLocal = true;
  else classic.reportForeign = isGone(turn);
  for (const name of namesOf(turn, { local: which === "local", foreign: which === "foreign" })) {
    ownNow(turn, name, unproven);
  }
}

function ownNow(turn: Turn, name: string, unproven: boolean): void {
  const { self } = turn.options;
  const record = turn.own(name);
  turn.run(name).pristine = false;
  if (record.owner === self && !unproven) {
    turn.keep(name, { unproven });
    return;
  }
  turn.keep(name, { owner: self, epoch: record.epoch + 1, unproven });
}

/** The classes are no longer ours: the peer is the owner from now on. */
export function giveAway(turn: Turn, names: readonly string[]): void {
  for (const name of names) {
    const record = turn.own(name);
    if (record.owner === turn.peer.host) continue;
    turn.keep(name, { owner: turn.peer.host, epoch: record.epoch + 1, unproven: false });
  }
}
