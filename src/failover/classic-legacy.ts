/**
 * auto_failback legacy with a classic peer (heartbeat.md 8.5): no resource messages at all. Each host
 * asks for its own groups by key; whoever runs one gives it up and answers. Groups always fail back.
 *
 *   asked --ip-request, again every second--> peer answers, or 10 s pass with the peer alive --> ours
 *   peer's ip-request: release if it runs here, then ip-request-resp (weown yes or no)
 *   peer's ip-request-resp to itself: it takes its group, so release
 */
import { after, type Instant } from "../base/index.ts";
import { giveAway, namesOf, take } from "./classic-holds.ts";
import type { MessageFields } from "./contract.ts";
import { isAlive } from "./ownership.ts";
import { isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

const ASK_AGAIN_MS = 1_000;
/** The original waits for ever; a key that nobody answers for is then held by nobody. */
const ASK_LIMIT_MS = 10_000;

/** Takes a message of legacy mode. */
export function heardLegacy(turn: Turn, fields: MessageFields): void {
  if (!isAlive(turn)) return;
  const group = turn.options.groups.find((one) => one.classicKey === fields["ipaddr"]);
  if (group === undefined) return;
  const { classic } = turn.state;
  if (fields["t"] === "ip-request") {
    const owned = !isReleased(turn.run(group.name).here);
    if (turn.state.stopping !== null || group.prefers === turn.options.self) return;
    classic.hold.foreign = false;
    if (owned) classic.legacyOwed[group.name] = group.classicKey ?? "";
    else answer(turn, group.classicKey ?? "", false);
    giveAway(turn, namesOf(turn, { local: false, foreign: true }));
    return;
  }
  if (fields["t"] !== "ip-request-resp") return;
  // To itself: it takes its group without asking, because it did not see us as active yet.
  if (fields["dest"] === turn.peer.host && group.prefers === turn.peer.host) {
    classic.hold.foreign = false;
    giveAway(turn, namesOf(turn, { local: false, foreign: true }));
    return;
  }
  if (fields["dest"] !== turn.options.self) return;
  if (fields["ok"] !== "OK") return;
  delete classic.legacyAsked[group.name];
  takeIfAnswered(turn);
}

function answer(turn: Turn, key: string, owned: boolean): void {
  const weown = owned ? "yes" : "no";
  const fields = { t: "ip-request-resp", dest: turn.peer.host, ipaddr: key, weown, ok: "OK" };
  turn.emit({ kind: "send", fields });
}

/** Asks for the own groups once communication is up, and answers when a release is done. */
export function advanceLegacy(turn: Turn): void {
  const { classic } = turn.state;
  for (const [name, key] of Object.entries(classic.legacyOwed)) {
    if (!isReleased(turn.run(name).here)) continue;
    delete classic.legacyOwed[name];
    answer(turn, key, true);
  }
  if (classic.phase === "starting") {
    classic.phase = "received";
    if (!classic.hold.local && turn.peer.status === "active") {
      for (const name of namesOf(turn, { local: true, foreign: false })) {
        classic.legacyAsked[name] = { nextAt: turn.now, until: after(turn.now, ASK_LIMIT_MS) };
      }
    }
  }
  for (const [name, asked] of Object.entries(classic.legacyAsked)) {
    if (turn.now >= asked.until) {
      turn.note("BTN-FAILOVER-NO-ANSWER", `${turn.peer.host} is silent about ${name}`, name);
      delete classic.legacyAsked[name];
      continue;
    }
    if (turn.now < asked.nextAt) continue;
    asked.nextAt = after(turn.now, ASK_AGAIN_MS);
    const key = turn.options.groups.find((group) => group.name === name)?.classicKey ?? "";
    turn.emit({ kind: "send", fields: { t: "ip-request", ipaddr: key } });
  }
  if (classic.phase === "received") takeIfAnswered(turn);
}

function takeIfAnswered(turn: Turn): void {
  const { classic } = turn.state;
  if (classic.phase !== "received" || Object.keys(classic.legacyAsked).length > 0) return;
  classic.phase = "stable";
  take(turn, "local");
}

/** When legacy mode next needs a tick. */
export function legacyDeadlines(turn: Turn): readonly (Instant | null)[] {
  return Object.values(turn.state.classic.legacyAsked).map((asked) => asked.nextAt);
}
