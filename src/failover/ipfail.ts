/**
 * ipfail, built in (heartbeat.md 9.3): while both hosts live, the one that sees fewer ping nodes
 * gives its groups to the one that sees more, after 2 x keepalive in which that stays so.
 * Between Baton hosts by level (`pings` in the holdings); with a classic peer by the messages of the
 * original's ipfail. Ping nodes that come back move nothing.
 */
import { after, type Instant } from "../base/index.ts";
import { beginStandby, standbyHindrance } from "./classic-standby.ts";
import type { MessageFields } from "./contract.ts";
import { mayMoveAgain, peerCanTake, peerSeesMore, startTransfer } from "./moves.ts";
import { isAlive, pingsUp } from "./ownership.ts";
import { isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

const isOn = (turn: Turn): boolean => turn.options.ipfail && turn.options.pings.length > 0;
const delayed = (turn: Turn): Instant => after(turn.now, 2 * turn.options.timing.keepaliveMs);

/** Between Baton hosts. */
export function judgeIpfail(turn: Turn): void {
  const { state } = turn;
  if (!isOn(turn) || state.stopping !== null || !peerSeesMore(turn)) {
    state.ipfailAt = null;
    return;
  }
  state.ipfailAt ??= delayed(turn);
  if (turn.now < state.ipfailAt) return;
  for (const { name } of turn.options.groups) {
    if (turn.own(name).owner !== turn.options.self || turn.run(name).transfer !== null) continue;
    const ability = peerCanTake(turn, name, true);
    turn.noteOnce(`ipfail ${name}`, ability.able ? null : ability.reason, `ipfail: ${name}`);
    if (!ability.able || !mayMoveAgain(turn, name)) continue;
    turn.note("BTN-FAILOVER-IPFAIL", `${pingsUp(turn)} ping nodes here, more there`, name);
    startTransfer(turn, name, "BTN-FAILOVER-IPFAIL", true);
  }
}

const addressed = (turn: Turn, fields: MessageFields): MessageFields => ({
  ...fields,
  dest: turn.peer.host,
  from_id: "ipfail",
  to_id: "ipfail",
  client_gen: "0",
});

const speaks = (turn: Turn): boolean =>
  isOn(turn) && turn.peer.kind === "classic" && turn.options.autoFailback !== "legacy";

/** A ping node changed: tells a classic peer how many answer here. */
export function pingChanged(turn: Turn): void {
  if (!speaks(turn) || !isAlive(turn) || !turn.state.communicationUp) return;
  tellCount(turn);
}

function tellCount(turn: Turn): void {
  const fields = { t: "num_ping_nodes", num_ping: String(pingsUp(turn)) };
  turn.emit({ kind: "send", fields: addressed(turn, fields) });
}

/** Messages of the peer's ipfail, and questions about ours. */
export function heardIpfail(turn: Turn, fields: MessageFields): void {
  if (!speaks(turn) || !isAlive(turn)) return;
  const { state } = turn;
  switch (fields["t"]) {
    case "num_ping_nodes":
      heardCount(turn, fields["num_ping"] ?? "");
      return;
    case "you_are_dead":
      state.ipfailAt ??= delayed(turn);
      state.ipfailScope = "all";
      return;
    case "abort_giveup":
      state.ipfailAt = null;
      return;
    case "hbapi-clstat":
      if (fields["st"] === "join" && fields["from_id"] === "ipfail") tellCount(turn);
      return;
    case "query-cstatus":
      if (fields["cn"] !== "ipfail") return;
      turn.emit({
        kind: "send",
        fields: {
          t: "respond-cstatus",
          dest: turn.peer.host,
          result: "OK",
          cn: "ipfail",
          to_id: fields["from_id"] ?? "ipfail",
          cs: "online",
        },
      });
      return;
    default:
      return;
  }
}

function heardCount(turn: Turn, text: string): void {
  if (!/^\d{1,4}$/.test(text)) return;
  const { state } = turn;
  const [here, there] = [pingsUp(turn), Number(text)];
  if (here > there) {
    turn.emit({ kind: "send", fields: addressed(turn, { t: "you_are_dead" }) });
    return;
  }
  if (here < there) {
    state.ipfailAt ??= delayed(turn);
    state.ipfailScope = "all";
    return;
  }
  turn.emit({ kind: "send", fields: addressed(turn, { t: "abort_giveup" }) });
  state.ipfailAt = null;
}

/** Joins as an ipfail client, and gives up when the delay is over. */
export function advanceClassicIpfail(turn: Turn): void {
  if (!speaks(turn)) return;
  const { state } = turn;
  if (!state.classic.joined && state.communicationUp && isAlive(turn)) {
    state.classic.joined = true;
    const fields = { t: "hbapi-clstat", st: "join", from_id: "ipfail", to_id: "ipfail" };
    turn.emit({ kind: "send", fields: { ...fields, info: "signon", client_gen: "0" } });
  }
  if (state.ipfailAt === null) return;
  if (!isAlive(turn) || state.stopping !== null) {
    state.ipfailAt = null;
    return;
  }
  if (turn.now < state.ipfailAt) return;
  // In flux: tried again at the next event after that.
  if (standbyHindrance(turn) !== undefined) return;
  state.ipfailAt = null;
  const { hold } = state.classic;
  const names = turn.options.groups.map((group) => group.name);
  const held = names.filter((name) => !isReleased(turn.run(name).here));
  if ((!hold.local && !hold.foreign) || !held.every((name) => mayMoveAgain(turn, name))) return;
  for (const name of held) turn.run(name).moves.push(turn.now);
  turn.note("BTN-FAILOVER-IPFAIL", `${pingsUp(turn)} ping nodes here, more there`);
  beginStandby(turn, state.ipfailScope, null);
}
