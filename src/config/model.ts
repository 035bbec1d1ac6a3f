/**
 * The configuration that the rest of Baton sees: every default filled in, every duration in
 * milliseconds, names in lower case. Both cluster.yaml and the classic files end here.
 */
import type { DiskSpec } from "../replication/index.ts";
import type { GroupSpec } from "../resources/index.ts";

export type Role = "data" | "director" | "replica" | "witness";

export interface HostConfig {
  /** As in `uname -n`, lower case. */
  readonly name: string;
  readonly roles: readonly Role[];
}

/** Reliability 2.3; DESIGN 7.12. */
export interface Timing {
  readonly profile: "default" | "fast" | "chapter" | "custom";
  readonly keepaliveMs: number;
  readonly warntimeMs: number;
  readonly deadtimeMs: number;
  readonly initdeadMs: number;
  readonly deadpingMs: number;
  /** DESIGN 7.3: how long the beat process goes on without a sign of life from the agent. */
  readonly agentGraceMs: number;
}

export type DigestMethod = "crc" | "md5" | "sha1" | "sha256";

/** A key of the wire. The secret itself is read by the process that needs it. */
export interface KeyConfig {
  readonly index: number;
  readonly method: DigestMethod;
  readonly secret: SecretSource | undefined;
}

/** Where a secret is; never the secret itself (DESIGN 3). */
export type SecretSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "environment"; readonly variable: string }
  | { readonly kind: "credential"; readonly name: string }
  /** The key of that index in an authkeys file. */
  | { readonly kind: "authkeys"; readonly path: string; readonly index: number };

export interface AuthConfig {
  /** `classic`: digests that 3.0.6 knows; `sha256`: between Baton hosts only. Never negotiated (DESIGN 7.5). */
  readonly mode: "classic" | "sha256";
  /** All are accepted; `sendIndex` signs. */
  readonly keys: readonly KeyConfig[];
  readonly sendIndex: number;
}

/** One network path. On a host, `peer` addresses are those of the other data hosts. */
export type LinkConfig =
  | {
      readonly medium: "ucast" | "ucast6";
      /** Link name as in heartbeat's log: the device. */
      readonly device: string;
      readonly port: number;
      /** Where to send: by host name where that is known (cluster.yaml), else in order (ha.cf). */
      readonly peers: readonly { readonly host: string | undefined; readonly address: string }[];
    }
  | { readonly medium: "bcast"; readonly device: string; readonly port: number }
  | {
      readonly medium: "mcast" | "mcast6";
      readonly device: string;
      readonly port: number;
      readonly group: string;
      readonly ttl: number;
      readonly loop: boolean;
    };

/** A ping node (one member) or a ping group (several; up if any answers). */
export interface PingConfig {
  readonly name: string;
  readonly group: boolean;
  readonly addresses: readonly string[];
}

export interface FailoverConfig {
  readonly autoFailback: "on" | "off" | "legacy";
  readonly ipfail: boolean;
  readonly arbiter: { readonly kind: "none" };
  /** Reliability 3.1: `safe` never takes over on silence alone. */
  readonly splitBrainPolicy: "classic" | "safe";
}

export interface ClusterConfig {
  /** Where it came from; messages cite it. */
  readonly origin:
    | { readonly kind: "native"; readonly file: string }
    | { readonly kind: "classic"; readonly directory: string };
  readonly clusterName: string;
  readonly clusterId: string;
  readonly hosts: readonly HostConfig[];
  readonly timing: Timing;
  readonly auth: AuthConfig;
  readonly links: readonly LinkConfig[];
  readonly pings: readonly PingConfig[];
  readonly failover: FailoverConfig;
  readonly groups: readonly GroupSpec[];
  /**
   * Replicated disks, in the order of the file. Their first host is this one where `configForHost` knows it, and
   * `discard-local` and `discard-remote` are as the first host sees them.
   */
  readonly disks: readonly DiskSpec[];
  /** heartbeat's `hopfudge` (default 1): part of the ttl field. */
  readonly hopfudge: number;
  /** `classic`: inner digest too (what 3.0.6 sends by default); `netstring`: without. */
  readonly messageFormat: "classic" | "netstring";
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly journalDirectory: string;
  /** Where hb_generation and hb_uuid are (DESIGN 7.7). */
  readonly heartbeatDirectory: string;
}

/** One thing that a check found. */
export interface Finding {
  readonly severity: "error" | "advice";
  readonly code: string;
  readonly file: string;
  readonly line: number | undefined;
  readonly message: string;
  readonly consequence: string | undefined;
  readonly fix: string | undefined;
}
