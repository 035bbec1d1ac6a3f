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
