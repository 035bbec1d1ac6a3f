/**
 * What the beat process is told when it starts: the part of the configuration that it needs, in a
 * file of the run directory. It has no secrets, only where they are.
 */

import type { Instant } from "../base/index.ts";
import type { AuthConfig, ClusterConfig, LinkConfig, PingConfig } from "../config/index.ts";
import type { BeatEvent, BeatState } from "./contract.ts";

/** Raised when a field changes its meaning; a beat process refuses settings of another version. */
export const BEAT_SETTINGS_VERSION = 1;

/** Durations in milliseconds. */
export interface BeatSettings {
  readonly version: typeof BEAT_SETTINGS_VERSION;
  /** Own name as on the wire. */
  readonly host: string;
  /** The other data hosts. */
  readonly peers: readonly string[];
  readonly clusterId: string;
  readonly keepaliveMs: number;
  readonly deadtimeMs: number;
  readonly agentGraceMs: number;
  readonly auth: AuthConfig;
  readonly links: readonly LinkConfig[];
  readonly pings: readonly PingConfig[];
  readonly hopfudge: number;
  readonly messageFormat: "classic" | "netstring";
  /** `btn=` of our statuses. */
  readonly softwareVersion: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly heartbeatDirectory: string;
}

/** What a host's beat process needs of the configuration. @param host one of its data hosts */
export function beatSettings(
  config: ClusterConfig,
  host: string,
  softwareVersion: string,
): BeatSettings {
  return {
    version: BEAT_SETTINGS_VERSION,
    host,
    peers: config.hosts
      .filter((other) => other.name !== host && other.roles.includes("data"))
      .map((other) => other.name),
    clusterId: config.clusterId,
    keepaliveMs: config.timing.keepaliveMs,
    deadtimeMs: config.timing.deadtimeMs,
    agentGraceMs: config.timing.agentGraceMs,
    auth: config.auth,
    links: config.links,
    pings: config.pings,
    hopfudge: config.hopfudge,
    messageFormat: config.messageFormat,
    softwareVersion,
    stateDirectory: config.stateDirectory,
    runDirectory: config.runDirectory,
    heartbeatDirectory: config.heartbeatDirectory,
  };
}

/** What the beat process pushes to each client of its socket, beside answers to requests. */
export type BeatPush =
  /** First after connecting, then after each change of the state. */
  | { readonly kind: "state"; readonly state: BeatState; readonly settingsDigest: string }
  | { readonly kind: "event"; readonly event: BeatEvent };

/** The verb of the socket whose `args` are a `BeatRequest`. */
export const BEAT_VERB = "beat";

/** Name of the socket in the run directory. */
export const BEAT_SOCKET = "beat.sock";

/** More than a second of messages at the highest rate that the links let through. */
const QUEUED_MAX = 1_000;

/**
 * What the agent must not miss while it restarts: messages of peers, which the transport has acknowledged, so they do
 * not come again. Everything else that is reported shows in the level state.
 *
 * Kept for `agentGraceMs` only: after that our beats have ceased, the peer has taken over, and what
 * it said before is void. At the limit of length the oldest are dropped.
 */
export class MissedEvents {
  readonly #keepMs: number;
  #events: BeatEvent[] = [];

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  add(event: BeatEvent): void {
    if (event.kind !== "message") return;
    this.#events.push(event);
    if (this.#events.length > QUEUED_MAX) this.#events.shift();
  }

  /** Takes all that is still young enough at `now`, oldest first; leaves nothing. */
  take(now: Instant): readonly BeatEvent[] {
    const young = this.#events.filter((event) => now - event.at <= this.#keepMs);
    this.#events = [];
    return young;
  }
}
