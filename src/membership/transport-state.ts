/**
 * All that the transport core remembers, as plain JSON: the snapshot is a copy of this. Keys are
 * not in it.
 */
import { type Instant, Prng } from "../base/index.ts";
import type {
  BeatCounters,
  BeatPeerState,
  BeatState,
  HeartbeatFields,
  PeerKind,
} from "./contract.ts";
import type { SentMessage } from "./history.ts";
import { ackEvery, newSequenceState, type SequenceState } from "./sequence.ts";
import type { TransportOptions, TransportRecord } from "./transport-model.ts";

/**
 *   new --start--> writing --persisted--> quiet --sign of life--> beating
 *                     ^                     ^                        |
 *                  rejoin                   '-- agentGrace expired --'     any --end--> ended
 */
export type Phase =
  | { readonly phase: "new" }
  /** The own generation is not durable yet: nothing may be sent. */
  | { readonly phase: "writing" }
  /** Nothing is sent, because the agent gives no sign of life (or never gave one). */
  | { readonly phase: "quiet" }
  | { readonly phase: "beating"; readonly nextBeatAt: Instant }
  | { readonly phase: "ended" };

export interface LinkState {
  lastHeardAt: Instant | null;
  /** Newest sequence number of the peer that came over this link. */
  sequence: number | null;
  /** Newest own number that the peer says it heard here. */
  peerHeard: number | null;
}

export interface PeerState {
  generation: number | null;
  /** Numbers up to this were taken before our restart; only for `generation` as it was stored. */
  sequenceFloor: number;
  uuid: string | null;
  kind: PeerKind;
  softwareVersion: string | null;
  status: string | null;
  announcedDeadtimeMs: number | null;
  lastStatusAt: Instant | null;
  /** Number of its newest status in this generation; 0 before the first. */
  statusSequence: number;
  /** Key that signed the newest status. */
  keyIndex: number | null;
  sequence: SequenceState;
  /** Our number that the peer acknowledged. */
  acked: number;
  /** Last digit (base ten) of the numbers that we acknowledge to this peer. */
  ackResidue: number;
  ackSent: number;
  links: Record<string, LinkState>;
}

export interface PingState {
  lastReplyAt: Instant | null;
  /** Newest echo that was answered. */
  repliedSequence: number;
}

/** One kind of refusal, so that a flood of them makes few lines. */
export interface RefusalState {
  nextReportAt: Instant;
  suppressed: number;
}

export interface TransportState {
  now: Instant;
  startedAt: Instant;
  phase: Phase;
  revision: number;
  generation: number | null;
  sequence: number;
  status: "init" | "up" | "active";
  deadtimeMs: number;
  /** When this generation sent its first status; null before. */
  burstAt: Instant | null;
  agentSeenAt: Instant | null;
  /** When this generation sent its newest status; null before the first. */
  spokenAt: Instant | null;
  /** When a generation was begun because the one before had been silent for too long. */
  rejoinedAt: Instant | null;
  silenced: boolean;
  pingSequence: number;
  /** Numbers drawn from the seed so far. */
  draws: number;
  history: SentMessage[];
  /** Messages that the agent asked to send while the generation was being written. */
  pending: HeartbeatFields[];
  peers: Record<string, PeerState>;
  pings: Record<string, PingState>;
  refusals: Record<string, RefusalState>;
  counters: { -readonly [Counter in keyof BeatCounters]: number };
  /** What the agent was last told of them, and when. */
  told: { readonly refusals: number; readonly at: Instant };
}

/** The state before `start`. */
export function newTransportState(
  options: TransportOptions,
  durable: TransportRecord,
  now: Instant,
): TransportState {
  const state: TransportState = {
    now,
    startedAt: now,
    phase: { phase: "new" },
    revision: 0,
    generation: durable.generation,
    sequence: 0,
    status: "init",
    deadtimeMs: options.deadtimeMs,
    burstAt: null,
    agentSeenAt: null,
    spokenAt: null,
    rejoinedAt: null,
    silenced: true,
    pingSequence: 0,
    draws: 0,
    history: [],
    pending: [],
    peers: {},
    pings: {},
    refusals: {},
    counters: {
      received: 0,
      authFailures: 0,
      malformed: 0,
      replays: 0,
      strangers: 0,
      rateLimited: 0,
      sendErrors: 0,
    },
    told: { refusals: 0, at: now },
  };
  for (const host of options.peers) {
    const known = durable.peers[host];
    state.peers[host] = newPeer(
      options,
      known?.generation ?? null,
      known?.sequenceFloor ?? 0,
      draw(state, options, 0, ackEvery - 1),
    );
  }
  for (const { name } of options.pings) {
    state.pings[name] = { lastReplyAt: null, repliedSequence: 0 };
  }
  return state;
}

function newPeer(
  options: TransportOptions,
  generation: number | null,
  sequenceFloor: number,
  ackResidue: number,
): PeerState {
  const links = options.links.map(
    (name) => [name, { lastHeardAt: null, sequence: null, peerHeard: null }] as const,
  );
  return {
    generation,
    sequenceFloor,
    uuid: null,
    kind: "unknown",
    softwareVersion: null,
    status: null,
    announcedDeadtimeMs: null,
    lastStatusAt: null,
    statusSequence: 0,
    keyIndex: null,
    sequence: newSequenceState(),
    acked: 0,
    ackResidue,
    ackSent: 0,
    links: Object.fromEntries(links),
  };
}

/** A number from the seed, min .. max; the count of draws is all that must be remembered of it. */
export function draw(
  state: TransportState,
  options: TransportOptions,
  min: number,
  max: number,
): number {
  state.draws += 1;
  return new Prng(options.seed + state.draws).between(min, max);
}

/** What must be durable now. */
export function durableRecord(state: TransportState): TransportRecord {
  const peers = Object.entries(state.peers).flatMap(([host, peer]) =>
    peer.generation === null
      ? []
      : [[host, { generation: peer.generation, sequenceFloor: peer.sequenceFloor }] as const],
  );
  return { generation: state.generation, peers: Object.fromEntries(peers) };
}

/** A peer from whom no new status came for its own deadtime (ours, if it announced none). */
export function isSilent(peer: PeerState, deadtimeMs: number, now: Instant): boolean {
  if (peer.lastStatusAt === null) return true;
  return now - peer.lastStatusAt >= (peer.announcedDeadtimeMs ?? deadtimeMs);
}

/** The state in the form of the contract. */
export function beatState(
  state: TransportState,
  options: TransportOptions,
  announcedDeadtimeMs: number,
): BeatState {
  return {
    revision: state.revision,
    host: options.host,
    generation: state.generation ?? 0,
    uuid: options.uuid,
    startedAt: state.startedAt,
    status: state.status,
    announcedDeadtimeMs,
    sequence: state.sequence,
    peers: Object.entries(state.peers).map(([host, peer]) => peerView(host, peer)),
    pings: Object.entries(state.pings).map(([name, ping]) => ({
      name,
      lastReplyAt: ping.lastReplyAt,
    })),
    counters: { ...state.counters },
    silenced: state.silenced,
  };
}

function peerView(host: string, peer: PeerState): BeatPeerState {
  return {
    host,
    kind: peer.kind,
    softwareVersion: peer.softwareVersion,
    generation: peer.generation,
    status: peer.status,
    announcedDeadtimeMs: peer.announcedDeadtimeMs,
    lastStatusAt: peer.lastStatusAt,
    links: Object.entries(peer.links).map(([name, link]) => ({
      name,
      lastHeardAt: link.lastHeardAt,
      peerHeardSequence: link.peerHeard,
    })),
  };
}
