export { beatReasons } from "./beat-reasons.ts";
export { BEAT_SOCKET, type BeatPush, type BeatSettings, beatSettings } from "./beat-settings.ts";
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
export { type MembershipReason, membershipReasons } from "./reasons.ts";
export {
  type Ambient,
  Transport,
  type TransportEffect,
  type TransportEvent,
  type TransportInput,
  type TransportOptions,
  type TransportRecord,
} from "./transport.ts";
export type { Hmac, Keyring, WireKey } from "./wire/index.ts";
