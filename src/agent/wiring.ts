/**
 * How the rooms meet: what one core says, put as an event for the next (DESIGN 2, four ways). Pure
 * translation without a decision, shared by the agent and the simulator.
 */
import { unreachable } from "../base/index.ts";
import type { FailoverEvent } from "../failover/index.ts";
import type { BeatEvent, BeatRequest, MembershipEffect } from "../membership/index.ts";

/** Where an effect of membership goes. */
export type MembershipRoute =
  | { readonly to: "failover"; readonly event: FailoverEvent }
  | { readonly to: "beat"; readonly request: BeatRequest }
  /** Journal and status only. */
  | { readonly to: "journal" };

/** The next station of one effect of the membership core. */
export function routeMembership(effect: MembershipEffect): MembershipRoute {
  switch (effect.kind) {
    case "verdict": {
      const { kind, host, verdict, reason } = effect;
      return { to: "failover", event: { kind, host, verdict, reason } };
    }
    case "peerSeen":
    case "peerStatus":
    case "heardByPeer":
    case "communicationUp":
    case "ping":
    case "stalled":
      return { to: "failover", event: effect };
    case "beat":
      return { to: "beat", request: effect.request };
    case "link":
    case "note":
      return { to: "journal" };
    default:
      return unreachable(effect);
  }
}

/** A beat event that failover must see too: messages of peers, after membership took them. */
export function messageForFailover(event: BeatEvent): FailoverEvent | undefined {
  if (event.kind !== "message") return undefined;
  return { kind: "message", host: event.host, fields: event.fields };
}
