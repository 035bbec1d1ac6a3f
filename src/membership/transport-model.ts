/**
 * What goes into the transport core of the beat process and what comes out. Shapes only;
 * the rules are in `transport.ts` and the README of this room.
 */
import type { Instant } from "../base/index.ts";
import type { BeatEvent, BeatRequest, BeatState } from "./contract.ts";
import type { Hmac, Keyring } from "./wire/index.ts";

/** What the beat process is told once, when it starts. Durations in milliseconds. */
export interface TransportOptions {
  /** Own name as on the wire, lower case. */
  readonly host: string;
  /** Own heartbeat uuid: 32 hex digits, lower case, without dashes. */
  readonly uuid: string;
  /** The other data hosts. */
  readonly peers: readonly string[];
  /** Names of the links, as in heartbeat's "Link node:NAME": the devices. */
  readonly links: readonly string[];
  readonly pings: readonly { readonly name: string; readonly group: boolean }[];
  readonly keepaliveMs: number;
  readonly deadtimeMs: number;
  /** After this long without a sign of life from the agent no beat is sent (DESIGN 7.3). */
  readonly agentGraceMs: number;
  /** ha.cf `hopfudge`: added to the number of hosts and ping nodes to form ttl. */
  readonly hopfudge: number;
  /** `classic`: with the inner digest `auth`, as 3.0.6 sends by default; `netstring`: without. */
  readonly messageFormat: "classic" | "netstring";
  /** `btn=` of our statuses. */
  readonly softwareVersion: string;
  /** Seed of the random delays before retransmission is requested; from a random source. */
  readonly seed: number;
  readonly keyring: Keyring;
  readonly hmac: Hmac;
}

/**
 * What must survive a crash of the beat process. `generation` goes to hb_generation in its 16-byte
 * form, `peers` to a file of Baton's. Written whole each time.
 */
export interface TransportRecord {
  /** Own generation; null if hb_generation was never written. */
  readonly generation: number | null;
  /** By host: the newest generation known, and a sequence number below which all is a replay. */
  readonly peers: Readonly<
    Record<string, { readonly generation: number; readonly sequenceFloor: number }>
  >;
}

/** What a message says of the world beside the core: read by the shell at each step. */
export interface Ambient {
  /** Wall clock, milliseconds since 1970: only written into `ts`, never compared (R12). */
  readonly wallMs: number;
  /** Text of /proc/loadavg without line end, `n/a` if it can not be read. */
  readonly loadAverage: string;
}

export type TransportInput =
  /** First event: takes the next generation. */
  | { readonly kind: "start" }
  /** The record with this own generation is on disk (answer to `persist` with `confirm`). */
  | { readonly kind: "persisted"; readonly generation: number }
  /** A datagram read from a link. `at`: when it was read. */
  | {
      readonly kind: "datagram";
      readonly at: Instant;
      readonly link: string;
      readonly bytes: Uint8Array;
    }
  /** An ICMP echo reply to this process. `payload`: what follows the ICMP header. */
  | {
      readonly kind: "pingReply";
      readonly at: Instant;
      readonly ping: string;
      readonly payload: Uint8Array;
    }
  /** From the agent's socket. Any request is a sign of life. */
  | { readonly kind: "request"; readonly request: BeatRequest }
  /** New keys, read again after `rereadKeys`. */
  | { readonly kind: "keys"; readonly keyring: Keyring }
  /** A link could not send or receive; `detail` names device and errno. `sending`: counts as such. */
  | {
      readonly kind: "linkError";
      readonly link: string;
      readonly sending: boolean;
      readonly detail: string;
    }
  /** Datagrams of a link that the packet budget dropped unread, since the last such event. */
  | { readonly kind: "rateLimited"; readonly link: string; readonly count: number }
  /** The deadline of `wakeAt` has come. */
  | { readonly kind: "tick" };

export type TransportEvent = TransportInput & { readonly ambient: Ambient };

export type TransportEffect =
  /** One datagram to every peer address on every link. Failures come back as `linkError`. */
  | { readonly kind: "send"; readonly bytes: Uint8Array }
  /** One ICMP echo request with this payload to each address of the ping node. */
  | {
      readonly kind: "ping";
      readonly ping: string;
      /** ICMP sequence, 0..65535. */
      readonly sequence: number;
      readonly payload: Uint8Array;
    }
  /**
   * Write the record (fsync file and directory). With `confirm` feed `persisted` when it is
   * durable: nothing is sent before that (reliability 9.2). If it can not be written, end.
   */
  | { readonly kind: "persist"; readonly record: TransportRecord; readonly confirm: boolean }
  /** To the agent, if one is connected; else lost, since the state says it all. */
  | { readonly kind: "report"; readonly event: BeatEvent }
  /** The level state changed: send it whole to the agent. */
  | { readonly kind: "reportState"; readonly state: BeatState }
  /** Beats are held back from now on (renew no lease), or again allowed. */
  | { readonly kind: "silenced"; readonly silenced: boolean }
  /** Read the keys from their files and feed `keys`; on failure keep the old ones and say so. */
  | { readonly kind: "rereadKeys" }
  /** Everything was sent: close and end with status 0. */
  | { readonly kind: "end" };
