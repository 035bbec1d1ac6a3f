/**
 * What the failover core keeps: options and plain JSON state, nothing hidden.
 */
import { assert, type Instant, instant } from "../base/index.ts";
import type { FailoverConfig, Timing } from "../config/index.ts";
import type { PeerKind, Verdict } from "../membership/index.ts";
import type { FailoverRecord, GroupRecord, GroupState, MoveScope, Proof } from "./contract.ts";
import type { Holdings } from "./messages.ts";
import type { FailoverReason } from "./reasons.ts";

/** One group as failover needs to know it. */
export interface FailoverGroup {
  readonly name: string;
  /** The data host on which a fresh cluster starts it. */
  readonly prefers: string;
  /** Its name on the wire of 3.0.6 (`ipaddr=`); only legacy mode needs it. */
  readonly classicKey: string | undefined;
  /** What there is to compare before serving (R5). */
  readonly hasProof: "none" | "claim" | "disk";
  /** A failed start: try the other host (default), or stay down here. */
  readonly onStartFailure?: "move" | "stay" | undefined;
}

/** What decides whether a silent host may be replaced. `external` asks by effect and waits. */
export interface ArbiterOptions {
  readonly kind: "none" | "external";
}

export interface FailoverOptions {
  readonly self: string;
  /** The data hosts, this one included: exactly two. */
  readonly hosts: readonly string[];
  readonly groups: readonly FailoverGroup[];
  readonly autoFailback: FailoverConfig["autoFailback"];
  readonly ipfail: boolean;
  /** Names of the ping nodes, as membership reports them. */
  readonly pings: readonly string[];
  readonly timing: Pick<Timing, "keepaliveMs" | "warntimeMs" | "deadtimeMs" | "initdeadMs">;
  readonly splitBrainPolicy: FailoverConfig["splitBrainPolicy"];
  /** Hash of the safety-relevant configuration (R21), compared with that of a Baton peer. */
  readonly configurationDigest: string;
  readonly arbiter: ArbiterOptions;
  /**
   * Names this run of the agent, different at each start (such as boot id and pid): an answer to a
   * question of an earlier run is then not taken for one of this run.
   */
  readonly session: string;
}

export type Writable<Shape> = { -readonly [Key in keyof Shape]: Shape[Key] };

export interface PeerState {
  readonly host: string;
  kind: PeerKind;
  /** `unheard`: no verdict yet. */
  verdict: Verdict | "unheard";
  /** The newest verdict that was not `unsure`. */
  firmVerdict: Verdict | "unheard";
  status: string | null;
  generation: number | null;
  /** It was heard and compared with in this run: R5 is answered. */
  met: boolean;
  /** Estimated instant of the last beat heard, while it is late or dead. */
  silentSince: Instant | null;
  /** Since when it has been heard without a `dead`, `left` or `unsure` in between. */
  aliveSince: Instant | null;
  /** Since when none of our beats reach it (`heardByPeer`); null while they do. */
  unheardSince: Instant | null;
  holdings: Holdings | null;
  /** When its newest question was answered: it may start what it owns on that answer. */
  askedAt: Instant | null;
  /** The holdings answer a question that was asked after the last moment of doubt. */
  fresh: boolean;
  /** It sent a message that must be understood and is not (R22). */
  incompatible: boolean;
}

export interface Transfer {
  readonly to: string;
  readonly why: FailoverReason;
  readonly automatic: boolean;
}

/** One group on this host, beside its durable record. */
export interface GroupRun {
  here: GroupState;
  probed: "no" | "asked" | "done" | "unclear";
  /** Part of it runs: neither running nor stopped. */
  partial: boolean;
  /** Until then a part that was found may be completed; after it, it is stopped. */
  partialUntil: Instant | null;
  operation: {
    readonly id: number;
    readonly kind: "acquire" | "release";
    readonly urgent: boolean;
  } | null;
  /** Starts that failed in a row, here. */
  tries: number;
  /** Monitored as failed: it must stop here first. */
  failing: boolean;
  /** Another host has what it needs: it stops here at once, whatever else is wanted. */
  lost: boolean;
  /** Next try of a failed start, a failed stop or an unclear probe. */
  retryAt: Instant | null;
  stopTries: number;
  blockedBy: "start" | "stop" | null;
  failureDetail: string;
  /** Running since, to forget old failures. */
  runningSince: Instant | null;
  proof: Proof | null;
  /** Since when it says what it says now. */
  proofSince: Instant | null;
  askedProofAt: Instant | null;
  transfer: Transfer | null;
  /** The preferred host came back or was replaced by us: moving back is due (auto_failback on). */
  failbackDue: boolean;
  failbackAt: Instant | null;
  /** Instants of automatic moves of a running group, for the flap guard. */
  moves: Instant[];
  /** A person said that the peer is dead. */
  forced: boolean;
  /** The epoch was raised for the present absence of the peer. */
  claimed: boolean;
  /** Equal epochs, the peer wins and runs it: stop. */
  yields: boolean;
  /** Neither started nor given nor taken in this run: the owner is still that of the record. */
  pristine: boolean;
  question: {
    readonly id: number;
    readonly epoch: number;
    answer: boolean | null;
    reason: string;
  } | null;
  reason: FailoverReason;
  detail: string;
}

export interface CommandStep {
  readonly group: string;
  readonly to: string;
  readonly startEpoch: number;
  /** Next time to repeat a request that has no answer. */
  askAt: Instant | null;
  state: "pending" | "done" | "negative" | "refused" | "failed";
  reason: FailoverReason;
  detail: string;
  line: string;
}

export interface CommandRun {
  readonly id: string;
  readonly verb: string;
  readonly until: Instant;
  /** Requests without an answer are given up then. */
  readonly answerBy: Instant;
  readonly steps: CommandStep[];
}

export interface Holds {
  local: boolean;
  foreign: boolean;
}

/** State of the resource protocol of 3.0.6 (heartbeat.md 8.2). */
export interface ClassicState {
  phase: "init" | "starting" | "received" | "stable" | "shutdown";
  startingSent: boolean;
  peerStarting: boolean;
  hold: Holds;
  /** From the peer's point of view; null: it has not said since it (re)appeared. */
  other: Holds | null;
  otherStable: boolean;
  peerLeaving: boolean;
  timerAt: Instant | null;
  needsFailback: boolean;
  failbackAt: Instant | null;
  standby:
    | { readonly role: "none" }
    | {
        readonly role: "me" | "releasing" | "done" | "other" | "acquiring";
        readonly scope: MoveScope;
        readonly until: Instant;
        readonly command: string | null;
      };
  asked: { readonly command: string; readonly until: Instant } | null;
  /** `req_our_resources()` is still to be said when the own groups are started. */
  reportLocal: boolean;
  reportForeign: boolean;
  /** A healed split: by then the real peer has restarted itself, or it never saw the split. */
  returnedBy: Instant | null;
  seized: Holds;
  orphanSince: Instant | null;
  /** Both claim a class: when the peer is asked for it, and when we give it up ourselves. */
  contest: { readonly askAt: Instant; readonly yieldAt: Instant | null } | null;
  joined: boolean;
  /** Legacy mode: own keys asked of the peer, and until when. */
  legacyAsked: Record<string, { nextAt: Instant; until: Instant }>;
  legacyOwed: Record<string, string>;
}

export interface State {
  now: Instant;
  started: boolean;
  operations: number;
  questions: number;
  nonces: number;
  nonce: string;
  /** The newest question of the peer, echoed so that it knows our word to be newer. */
  echo: string | null;
  communicationUp: boolean;
  peer: PeerState;
  pings: Record<string, { up: boolean | null; since: Instant }>;
  record: Record<string, Writable<GroupRecord>>;
  /** Groups that the record named as held here when this run began. */
  heldAtStart: string[];
  recordAbsent: string[];
  groups: Record<string, GroupRun>;
  commands: CommandRun[];
  answers: { id: string; ok: boolean; reason: FailoverReason; detail: string }[];
  holdBack: { reason: FailoverReason; since: Instant } | null;
  /** Since when this host sends no beats, as far as it knows. */
  beatlessSince: Instant | null;
  stall: { readonly until: Instant; readonly peerWasGone: boolean } | null;
  rejoining: boolean;
  stopping: {
    readonly commands: string[];
    readonly handOverBy: Instant;
    announced: boolean;
    ready: boolean;
  } | null;
  sent: { body: string; nextAt: Instant };
  ipfailAt: Instant | null;
  ipfailScope: "all" | "foreign";
  classic: ClassicState;
  said: Record<string, string>;
}

/** State of a run that begins at `now` with what was durable. */
export function initialState(
  options: FailoverOptions,
  durable: FailoverRecord | undefined,
  now: Instant,
): State {
  const host = options.hosts.find((name) => name !== options.self);
  assert(
    options.hosts.length === 2 && options.hosts.includes(options.self) && host !== undefined,
    `Failover needs two data hosts, ${options.self} among them`,
  );
  const record: State["record"] = {};
  const groups: State["groups"] = {};
  for (const group of options.groups) {
    assert(
      options.hosts.includes(group.prefers),
      `${group.name} prefers a host that is no data host`,
    );
    const kept = durable?.groups[group.name];
    record[group.name] =
      kept === undefined
        ? { epoch: 0, owner: group.prefers, heldHere: false, failedHere: null, unproven: false }
        : { ...kept, owner: kept.owner ?? group.prefers };
    groups[group.name] = newGroupRun();
  }
  const names = options.groups.map((group) => group.name);
  return {
    now,
    started: false,
    operations: 0,
    questions: 0,
    nonces: 0,
    nonce: `${options.session}.0`,
    echo: null,
    communicationUp: false,
    peer: newPeer(host),
    pings: Object.fromEntries(options.pings.map((name) => [name, { up: null, since: now }])),
    record,
    heldAtStart: names.filter((name) => durable?.groups[name]?.heldHere === true),
    recordAbsent: names.filter((name) => durable?.groups[name] === undefined),
    groups,
    commands: [],
    answers: [],
    holdBack: null,
    beatlessSince: null,
    stall: null,
    rejoining: false,
    stopping: null,
    sent: { body: "", nextAt: now },
    ipfailAt: null,
    ipfailScope: "all",
    classic: newClassic(),
    said: {},
  };
}

function newPeer(host: string): PeerState {
  return {
    host,
    kind: "unknown",
    verdict: "unheard",
    firmVerdict: "unheard",
    status: null,
    generation: null,
    met: false,
    silentSince: null,
    aliveSince: null,
    unheardSince: null,
    holdings: null,
    askedAt: null,
    fresh: false,
    incompatible: false,
  };
}

function newGroupRun(): GroupRun {
  return {
    here: "unknown",
    probed: "no",
    partial: false,
    partialUntil: null,
    operation: null,
    tries: 0,
    failing: false,
    lost: false,
    retryAt: null,
    stopTries: 0,
    blockedBy: null,
    failureDetail: "",
    runningSince: null,
    proof: null,
    proofSince: null,
    askedProofAt: null,
    transfer: null,
    failbackDue: false,
    failbackAt: null,
    moves: [],
    forced: false,
    claimed: false,
    yields: false,
    pristine: true,
    question: null,
    reason: "BTN-FAILOVER-NOT-PROBED",
    detail: "",
  };
}

/** The state of a talk with a real heartbeat that has not begun. */
export function newClassic(): ClassicState {
  return {
    phase: "init",
    startingSent: false,
    peerStarting: false,
    hold: { local: false, foreign: false },
    other: null,
    otherStable: false,
    peerLeaving: false,
    timerAt: null,
    needsFailback: false,
    failbackAt: null,
    standby: { role: "none" },
    asked: null,
    reportLocal: false,
    reportForeign: false,
    returnedBy: null,
    seized: { local: false, foreign: false },
    orphanSince: null,
    contest: null,
    joined: false,
    legacyAsked: {},
    legacyOwed: {},
  };
}

/** Groups in the given states have nothing running on that host. `failed`: its start was undone. */
export function isReleased(state: GroupState): boolean {
  return state === "stopped" || state === "failed";
}

/** Milliseconds from `since` to `now`. */
export const elapsed = (now: Instant, since: Instant): number => now - since;

/** An independent copy of plain JSON data. */
export const copyOf = <Plain>(value: Plain): Plain => JSON.parse(JSON.stringify(value)) as Plain;

/** The later of two instants. */
export const later = (one: Instant, other: Instant): Instant => instant(Math.max(one, other));
