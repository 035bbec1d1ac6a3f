export type {
  BeatCounters,
  BeatEvent,
  BeatLinkState,
  BeatPeerState,
  BeatPingState,
  BeatRequest,
  BeatState,
  HeartbeatFields,
  MembershipEffect,
  PeerKind,
  Verdict,
} from "./contract.ts";
export {
  Membership,
  type MembershipEvent,
  type MembershipOptions,
  type MembershipSnapshot,
  type MembershipView,
} from "./membership.ts";
export {
  Transport,
  type TransportEffect,
  type TransportEvent,
  type TransportOptions,
  type TransportRecord,
} from "./transport.ts";
export type { Hmac, Keyring, WireKey } from "./wire/index.ts";
