/**
 * Who may hold a group (epoch and owner, durable), and what must be true before a silent or absent
 * host is replaced: R5, R21 and the mitigations of reliability 3.1 and 3.2.
 *
 * While both hosts live only the owner starts a group, and only when the peer said, under the same
 * epoch, that it runs nothing of it. The owner alone gives a group away (epoch + 1); the other takes
 * it only from a host that is `dead` or `left` (epoch + 1). The higher epoch wins.
 */
import { after, type Instant } from "../base/index.ts";
import { permission } from "./arbiter.ts";
import type { GroupState } from "./contract.ts";
import { diskRefusal } from "./disk-gate.ts";
import type { HeldGroup } from "./messages.ts";
import { groupOf } from "./ownership-groups.ts";
import type { FailoverReason } from "./reasons.ts";
import { elapsed, isReleased } from "./state.ts";
import type { Turn } from "./turn.ts";

/**
 * How we stand with the peer: `talking`: what it says is new; `mute`: it lives but has not answered
 * yet; `left`: it said goodbye; `dead`: silent for deadtime; `unsure`: wait.
 */
export type Situation = "talking" | "mute" | "left" | "dead" | "unsure";

/** What can be known of the peer now, in one word. */
export function situation(turn: Turn): Situation {
  const { peer } = turn;
  switch (peer.verdict) {
    case "alive":
    case "late":
      if (peer.kind === "unknown") return "unsure";
      if (peer.kind === "classic") return isClassicMute(turn) ? "mute" : "talking";
      return peer.fresh && peer.holdings !== null ? "talking" : "mute";
    case "left":
      return "left";
    case "dead":
      return turn.state.communicationUp ? "dead" : "unsure";
    case "unsure":
    case "unheard":
      return "unsure";
    default:
      return peer.verdict satisfies never;
  }
}

/** Legacy mode knows no word on what is held (heartbeat.md 8.5): its statuses are all that it says. */
const isClassicMute = (turn: Turn): boolean =>
  turn.options.autoFailback !== "legacy" && turn.state.classic.other === null;

/** True if nothing can be expected of the peer: it left or is taken to be dead. */
export function isGone(turn: Turn): boolean {
  const now = situation(turn);
  return now === "left" || now === "dead";
}

export const isAlive = (turn: Turn): boolean =>
  turn.peer.verdict === "alive" || turn.peer.verdict === "late";

/** What the peer last said of a group. */
export const toldBy = (turn: Turn, name: string): HeldGroup | undefined =>
  turn.peer.holdings?.groups[name];

/** The peer's state of a group as far as it is known. */
export function stateThere(turn: Turn, name: string): GroupState {
  return toldBy(turn, name)?.state ?? "unknown";
}

/** Do the configurations agree? Null: not told yet. */
export function digestsAgree(turn: Turn): boolean | null {
  const { holdings } = turn.peer;
  return holdings === null ? null : holdings.digest === turn.options.configurationDigest;
}

/** Passes a group to its next epoch. */
export function nextEpoch(turn: Turn, name: string, owner: string, unproven: boolean): void {
  turn.keep(name, { epoch: turn.own(name).epoch + 1, owner, unproven });
  const run = turn.run(name);
  run.transfer = null;
  run.failbackAt = null;
  run.failbackDue = false;
  run.yields = false;
  run.pristine = false;
}

export type Gate =
  | {
      readonly open: true;
      readonly reason: FailoverReason;
      readonly detail: string;
      readonly unproven: boolean;
    }
  | { readonly open: false; readonly reason: FailoverReason; readonly detail: string };

const shut = (reason: FailoverReason, detail = ""): Gate => ({ open: false, reason, detail });

/**
 * May this host start `name` while the peer is gone? The order is that of growing cost: what we know
 * ourselves, what policy says, what can be compared, what an arbiter says.
 */
export function gate(turn: Turn, name: string): Gate {
  const { peer, options } = turn;
  const run = turn.run(name);
  const left = peer.verdict === "left";
  if (!isGone(turn) && !run.forced) return shut("BTN-FAILOVER-PEER-UNSURE");
  const claim = claimGate(turn, name, run.forced);
  const disk = diskRefusal(turn, name, true, run.forced);
  if (disk !== undefined) return shut(disk.reason, disk.detail);
  if (run.forced) {
    if (claim !== undefined) return claim;
    return { open: true, reason: "BTN-FAILOVER-TAKEOVER-FORCED", detail: "", unproven: true };
  }
  if (peer.incompatible && !left) return shut("BTN-FAILOVER-INCOMPATIBLE");
  if (left && stateThere(turn, name) === "blocked") return shut("BTN-FAILOVER-PEER-BLOCKED");
  if (!left) {
    const refused = silenceGate(turn);
    if (refused !== undefined) return refused;
  }
  const compared = peer.met ? undefined : compareGate(turn, name);
  if (compared?.open === false) return compared;
  if (claim !== undefined) return claim;
  if (!left) {
    const allowed = permission(turn, name, turn.own(name).epoch + (run.claimed ? 0 : 1));
    if (allowed.answer === "pending") return shut("BTN-FAILOVER-ARBITER-WAIT");
    if (allowed.answer === "refused") return shut("BTN-FAILOVER-ARBITER-REFUSED", allowed.reason);
  }
  if (compared !== undefined) return compared;
  const reason = left ? "BTN-FAILOVER-TAKEOVER-LEFT" : "BTN-FAILOVER-TAKEOVER-DEAD";
  const detail = `${options.self} takes over from ${peer.host}`;
  return { open: true, reason, detail, unproven: !left };
}

/** What silence alone does not allow. */
function silenceGate(turn: Turn): Gate | undefined {
  const { peer, options } = turn;
  if (turn.now < (answerHolds(turn) ?? turn.now)) return shut("BTN-FAILOVER-PEER-ASKED", peer.host);
  if (options.splitBrainPolicy === "safe") return shut("BTN-FAILOVER-SAFE-POLICY");
  if (peer.kind === "baton" && digestsAgree(turn) === false) {
    return shut("BTN-FAILOVER-CONFIG-DIFFERS");
  }
  if (options.pings.length > 0 && pingsUp(turn) === 0) return shut("BTN-FAILOVER-NO-PING");
  return undefined;
}

/**
 * Until when an answer of ours binds: the peer may have started what it owns on it, even if none of
 * its beats came through since. By then it has noticed that it is cut off or not heard (`safety.ts`).
 */
export function answerHolds(turn: Turn): Instant | undefined {
  const { askedAt } = turn.peer;
  return askedAt === null ? undefined : after(askedAt, turn.options.timing.deadtimeMs);
}

/** R5 for a peer that was not met in this run (DESIGN 7.8); undefined never: open or shut. */
function compareGate(turn: Turn, name: string): Gate {
  const { options, peer, state } = turn;
  const record = turn.own(name);
  const open = (reason: FailoverReason, detail: string): Gate => ({
    open: true,
    reason,
    detail,
    unproven: peer.verdict !== "left",
  });
  if (state.recordAbsent.includes(name)) {
    return open("BTN-FAILOVER-START-ALONE-FRESH", `${peer.host} was not heard`);
  }
  if (record.owner === options.self) {
    return open("BTN-FAILOVER-START-ALONE-HELD", `${peer.host} was not heard`);
  }
  const { hasProof } = groupOf(turn, name);
  if (hasProof === "disk")
    return open("BTN-FAILOVER-START-EXCLUDED", "its side of the disk is behind");
  if (hasProof === "none") {
    return open("BTN-FAILOVER-START-UNCOMPARED", `${peer.host} held it last and was not heard`);
  }
  const { proof } = turn.run(name);
  if (proof === null) return shut("BTN-FAILOVER-PROOF-WAIT");
  if (proof.kind === "unreadable") return shut("BTN-FAILOVER-PROOF-UNREADABLE", proof.detail);
  return open("BTN-FAILOVER-START-COMPARED", "the claim of the other host stood still");
}

/**
 * The claim on a shared disk is a witness of its own: while it moves, its holder lives, whatever the
 * network says. Undefined: nothing speaks against it.
 */
function claimGate(turn: Turn, name: string, forced: boolean): Gate | undefined {
  if (groupOf(turn, name).hasProof !== "claim") return undefined;
  const { proof } = turn.run(name);
  if (proof === null) return forced ? undefined : shut("BTN-FAILOVER-PROOF-WAIT");
  if (proof.kind === "unreadable") {
    return forced ? undefined : shut("BTN-FAILOVER-PROOF-UNREADABLE", proof.detail);
  }
  if (proof.kind !== "claim" || proof.still) return undefined;
  if (proof.holder === null || proof.holder === turn.options.self) return undefined;
  return shut("BTN-FAILOVER-CLAIM-ALIVE", `${proof.holder} renews its claim`);
}

/**
 * One-way cut, and the peer does not hear us. With a claim the peer is kept out for as long as we renew it,
 * whatever it believes; and if a ping node answers here, clients reach us. Then nothing need stop.
 */
export function holdsUnheard(turn: Turn, name: string): boolean {
  const { proof, here } = turn.run(name);
  const ours = proof?.kind === "claim" && proof.holder === turn.options.self;
  const holding = here === "running" || here === "starting";
  return holding && ours && pingsUp(turn) > 0;
}

/**
 * One-way cut, and the peer hears nobody: it says that no ping node answers there and that the group is
 * stopped, and its claim is released. It can not hear a question, so nothing better than this will come, until
 * its beats end with the hardware addresses it remembers. Should it hear an answer of ours just now and start
 * on it, the claim lets one of us through; later ours keeps it out.
 */
export function mayReplaceDeaf(turn: Turn, name: string): boolean {
  const { peer, options, state } = turn;
  const { proof } = turn.run(name);
  const told = toldBy(turn, name);
  const { epoch } = turn.own(name);
  if (proof?.kind !== "claim" || proof.holder !== null) return false;
  if (!isAlive(turn) || peer.unheardSince === null || state.stopping !== null) return false;
  if (turn.now < after(peer.unheardSince, options.timing.deadtimeMs)) return false;
  if (peer.incompatible || peer.holdings?.pings !== 0 || digestsAgree(turn) !== true) return false;
  if (options.splitBrainPolicy === "safe" || pingsUp(turn) === 0) return false;
  if (told?.state !== "stopped" || told.epoch > epoch) return false;
  return permission(turn, name, epoch + 1).answer === "granted";
}

/** How many ping nodes answer here. */
export function pingsUp(turn: Turn): number {
  return Object.values(turn.state.pings).filter((ping) => ping.up === true).length;
}

/** Reads the claims from the start on, so that a takeover does not wait for the first answer. */
export function askProofs(turn: Turn): void {
  for (const group of turn.options.groups) {
    if (group.hasProof === "none") continue;
    const run = turn.run(group.name);
    const again = run.askedProofAt === null ? Infinity : elapsed(turn.now, run.askedProofAt);
    if (run.proof !== null || again < PROOF_AGAIN_MS) continue;
    run.askedProofAt = turn.now;
    turn.emit({ kind: "compare", group: group.name });
  }
}

/** An unanswered question for the claim is asked again. */
const PROOF_AGAIN_MS = 2_000;

export const proofDeadlines = (turn: Turn): readonly (Instant | null)[] =>
  turn.options.groups.map((group) => {
    const run = turn.run(group.name);
    if (run.proof?.kind === "disk" && run.proofSince !== null) {
      const waited = after(run.proofSince, turn.options.timing.deadtimeMs);
      return waited > turn.now ? waited : null;
    }
    if (group.hasProof === "none" || run.proof !== null || run.askedProofAt === null) return null;
    return after(run.askedProofAt, PROOF_AGAIN_MS);
  });

/**
 * Two owners under one epoch: both sides changed it while apart. One host decides, the same by both
 * counts: the preferred one, or the first by name if the configurations differ. It keeps the group
 * unless only the other runs it, and makes that the next epoch. The other stops at once if the
 * deciding host runs it too, and else waits for the word.
 */
export function settleEqualEpochs(turn: Turn, name: string, told: HeldGroup): void {
  const { self } = turn.options;
  const run = turn.run(name);
  const byName = [self, turn.peer.host].sort()[0];
  const decider = digestsAgree(turn) === true ? groupOf(turn, name).prefers : byName;
  const activeThere = !isReleased(told.state);
  if (decider !== self) {
    run.yields = activeThere;
    turn.noteOnce(`split ${name}`, "BTN-FAILOVER-SPLIT-YIELD", `epoch ${told.epoch} of ${name}`);
    return;
  }
  const keep = !isReleased(run.here) || !activeThere;
  nextEpoch(turn, name, keep ? self : turn.peer.host, false);
  turn.note("BTN-FAILOVER-SPLIT-DECIDED", `${name} goes on at ${turn.own(name).owner}`, name);
}
