/** What the directives of ha.cf add up to, while they are read in order (heartbeat.md 2.1). */
import type { LinkConfig, PingConfig } from "../model.ts";

export type TimeName = "keepalive" | "deadtime" | "warntime" | "initdead" | "deadping";

/** Mutable: directives act when met. */
export interface HaCfDraft {
  readonly nodes: string[];
  readonly times: Map<TimeName, { readonly ms: number; readonly line: number }>;
  /** Of the media below; `udpport` changes it. */
  port: number;
  readonly links: LinkConfig[];
  /** Media that Baton has no counterpart of, such as serial. */
  foreignMedia: number;
  readonly pings: PingConfig[];
  autoFailback: { readonly value: "on" | "off" | "legacy"; readonly line: number } | undefined;
  ipfail: boolean;
  hopfudge: number;
  messageFormat: "classic" | "netstring";
  clusterName: string;
  /** Line of `watchdog`. */
  watchdog: number | undefined;
  /** Directives that may be there once only: name to line. */
  readonly once: Map<string, number>;
  readonly apiClients: Set<string>;
  /** For the scripts (heartbeat.md 3.3). */
  readonly environment: Map<string, string>;
  /** Names to addresses, as resolved by the shell; undefined: names are left as they are. */
  readonly resolved: Readonly<Record<string, string>> | undefined;
  /** Names met where an address is needed. */
  readonly namesMet: Set<string>;
}

/** ha.cf before its first line: heartbeat's own defaults. */
export function emptyDraft(
  port: number,
  resolved: Readonly<Record<string, string>> | undefined,
): HaCfDraft {
  return {
    nodes: [],
    times: new Map(),
    port,
    links: [],
    foreignMedia: 0,
    pings: [],
    autoFailback: undefined,
    ipfail: false,
    hopfudge: 1,
    messageFormat: "classic",
    clusterName: "linux-ha",
    watchdog: undefined,
    once: new Map(),
    apiClients: new Set(),
    environment: new Map(),
    resolved,
    namesMet: new Set(),
  };
}
