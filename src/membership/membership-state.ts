/** All that the membership core remembers, as plain JSON: the snapshot is a copy of this. */
import type { Instant } from "../base/index.ts";
import type { Communication } from "./communication.ts";
import type { PeerKind, Verdict } from "./contract.ts";
import { type Lateness, newLateness } from "./lateness.ts";
import { newOneWay, type OneWay } from "./one-way.ts";
import { newPeerLife, type PeerLife, silentSince } from "./peer-life.ts";
import { newSign, type Sign } from "./signs.ts";

/** Durations in milliseconds. */
export interface MembershipOptions {
  /** Own name, lower case. */
  readonly host: string;
  /** The other data hosts. */
  readonly peers: readonly string[];
  /** Names of the links: the devices. */
  readonly links: readonly string[];
  /** Names of the ping nodes and ping groups. */
  readonly pings: readonly string[];
  readonly keepaliveMs: number;
  readonly warntimeMs: number;
  readonly deadtimeMs: number;
  readonly initdeadMs: number;
  readonly deadpingMs: number;
}

export interface MemberState {
  life: PeerLife;
  /** Generation of its newest status. */
  generation: number | null;
  kind: PeerKind;
  status: string | null;
  announcedDeadtimeMs: number | null;
  links: Record<string, Sign>;
  oneWay: OneWay;
}

export interface PingState {
  listenFrom: Instant;
  sign: Sign;
}

/** `never`: not yet connected; then nobody is judged. */
export type BeatConnection =
  | { readonly state: "never" }
  | { readonly state: "lost" }
  | {
      readonly state: "connected";
      readonly generation: number;
      readonly startedAt: Instant;
      readonly silenced: boolean;
    };

export interface MembershipState {
  now: Instant;
  beat: BeatConnection;
  communication: Communication;
  lateness: Lateness;
  peers: Record<string, MemberState>;
  pings: Record<string, PingState>;
}

/** Nothing heard yet. */
export function newMembershipState(options: MembershipOptions, now: Instant): MembershipState {
  const peers = options.peers.map((host) => [host, newMember(options.links, now)] as const);
  const pings = options.pings.map((name) => [name, { listenFrom: now, sign: newSign() }] as const);
  return {
    now,
    beat: { state: "never" },
    communication: { phase: "waiting" },
    lateness: newLateness(),
    peers: Object.fromEntries(peers),
    pings: Object.fromEntries(pings),
  };
}

function newMember(links: readonly string[], now: Instant): MemberState {
  return {
    life: newPeerLife(now),
    generation: null,
    kind: "unknown",
    status: null,
    announcedDeadtimeMs: null,
    links: Object.fromEntries(links.map((name) => [name, newSign()] as const)),
    oneWay: newOneWay(),
  };
}

/** What membership says of everybody now, for status. */
export interface MembershipView {
  readonly communicationUp: boolean;
  readonly beat: "connected" | "lost" | "never";
  readonly peers: readonly {
    readonly host: string;
    readonly verdict: Verdict | "unheard";
    /** Silence that counts; null before the peer was heard. */
    readonly silentMs: number | null;
    readonly generation: number | null;
    readonly status: string | null;
    /** Do our beats arrive there; null if the peer does not tell. */
    readonly heardByPeer: boolean | null;
    readonly links: readonly { readonly name: string; readonly up: boolean }[];
  }[];
  readonly pings: readonly { readonly name: string; readonly up: boolean | null }[];
}

/** What membership says of everybody at `now`, for status. */
export function membershipView(state: MembershipState, now: Instant): MembershipView {
  return {
    communicationUp: state.communication.phase === "up",
    beat: state.beat.state,
    peers: Object.entries(state.peers).map(([host, peer]) => ({
      host,
      verdict: peer.life.verdict,
      silentMs: peer.life.heardAt === null ? null : Math.max(0, now - silentSince(peer.life)),
      generation: peer.generation,
      status: peer.status,
      heardByPeer: peer.oneWay.heard,
      links: Object.entries(peer.links).map(([name, link]) => ({ name, up: link.up === true })),
    })),
    pings: Object.entries(state.pings).map(([name, ping]) => ({ name, up: ping.sign.up })),
  };
}
