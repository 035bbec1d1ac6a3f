/**
 * The payload of an echo request to a ping node, and what its reply must be (heartbeat.md 9.1): a
 * complete signed message `t=NS_st st=ping`. We add our generation and a number of our own, so that
 * a reply counts once and a recorded one not at all; a ping node returns whatever it gets.
 */
import { parseHex, wireTime } from "./control-fields.ts";
import type { Ambient, TransportOptions } from "./transport-model.ts";
import type { Refusal } from "./transport-receive.ts";
import type { PingState, TransportState } from "./transport-state.ts";
import { type Keyring, type Message, openDatagram, stringField } from "./wire/index.ts";

export interface PingNode {
  readonly name: string;
  readonly group: boolean;
}

/** The message of the newest echo request. */
export function newPing(ping: PingNode, state: TransportState, ambient: Ambient): Message {
  const fields = {
    t: "NS_st",
    st: "ping",
    info: ping.group ? "ping_group" : "ping",
    src: ping.name,
    seq: state.pingSequence.toString(16),
    hg: (state.generation ?? 0).toString(16),
    ts: wireTime(ambient.wallMs),
  };
  return {
    fields: Object.entries(fields).map(([name, value]) => ({ type: "string", name, value })),
  };
}

export type PingReading =
  | { readonly outcome: "reply"; readonly state: PingState; readonly sequence: number }
  /** Another member of the group was faster, or the same reply came twice. */
  | { readonly outcome: "again" }
  | { readonly outcome: "refused"; readonly refusal: Refusal };

/** Judges the payload of an echo reply. */
export function readPing(
  options: TransportOptions,
  keyring: Keyring,
  state: TransportState,
  reply: { readonly ping: string; readonly payload: Uint8Array },
): PingReading {
  const opened = openDatagram(reply.payload, keyring, options.hmac);
  if (!opened.ok) {
    const { reason, detail } = opened.error;
    const counter = reason === "BTN-WIRE-DIGEST-WRONG" ? "authFailures" : "malformed";
    return refused({ reason, detail: `echo reply: ${detail}`, host: "", counter });
  }
  const known = Object.hasOwn(state.pings, reply.ping) ? state.pings[reply.ping] : undefined;
  const sequence = parseHex(stringField(opened.value, "seq"));
  const ours =
    stringField(opened.value, "t") === "NS_st" &&
    stringField(opened.value, "src") === reply.ping &&
    parseHex(stringField(opened.value, "hg")) === state.generation;
  if (!ours || known === undefined || sequence === undefined || sequence > state.pingSequence) {
    const detail = "it is not the echo of a request of this generation";
    return refused({ reason: "BTN-BEAT-PING-FOREIGN", detail, host: "", counter: undefined });
  }
  if (sequence <= known.repliedSequence) return { outcome: "again" };
  return { outcome: "reply", state: known, sequence };
}

const refused = (refusal: Refusal): PingReading => ({ outcome: "refused", refusal });
