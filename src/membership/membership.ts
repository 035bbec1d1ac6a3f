/** Membership: core in the agent. Signatures first; bodies follow. */
import type { Instant } from "../base/index.ts";
import type { BeatEvent, BeatState, MembershipEffect, Verdict } from "./contract.ts";

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

export type MembershipEvent =
  | BeatEvent
  /** The level state: on connecting to the beat process, and after each change. */
  | { readonly kind: "beatState"; readonly state: BeatState }
  /** The beat process can not be reached. */
  | { readonly kind: "beatLost" }
  | { readonly kind: "tick" };

/** What membership says of everybody now, for status. */
export interface MembershipView {
  readonly communicationUp: boolean;
  readonly beat: "connected" | "lost" | "never";
  readonly peers: readonly {
    readonly host: string;
    readonly verdict: Verdict | "unheard";
    readonly silentMs: number | null;
    readonly generation: number | null;
    readonly status: string | null;
    readonly heardByPeer: boolean | null;
    readonly links: readonly { readonly name: string; readonly up: boolean }[];
  }[];
  readonly pings: readonly { readonly name: string; readonly up: boolean | null }[];
}

/** Plain JSON. */
export type MembershipSnapshot = Readonly<Record<string, unknown>>;

export class Membership {
  /** @param now when the agent started: initdead counts from here */
  constructor(_options: MembershipOptions, _now: Instant) {}

  /** Takes one event at `now`; returns what to do, in order. */
  step(_now: Instant, _event: MembershipEvent): readonly MembershipEffect[] {
    return [];
  }

  /** When `step` must next be called with a tick. */
  wakeAt(): Instant | undefined {
    return undefined;
  }

  view(_now: Instant): MembershipView {
    return { communicationUp: false, beat: "never", peers: [], pings: [] };
  }

  snapshot(): MembershipSnapshot {
    return {};
  }

  static restore(options: MembershipOptions, _snapshot: MembershipSnapshot): Membership {
    return new Membership(options, 0 as Instant);
  }
}
