/**
 * What one datagram means (heartbeat.md 6.2, 15; reliability 9.2): whether it counts, what the agent
 * is told, and what is answered. It changes the state of the peer and sends nothing itself.
 *
 *   message                                      what happens
 *   digest, frame or header wrong                counted, refused
 *   own name                                     ignored; with another uuid or newer generation: refused
 *   unknown name                                 counted, refused
 *   older generation                             counted as replay, refused
 *   status of a newer generation                 introduces it: tracking starts anew, made durable
 *   other message of an unheard generation       refused
 *   other message of a silent (dead) peer        refused without being tracked, so it is asked for again
 *   NS_ackmsg, NS_rexmit, NS_nak_rexmit to us    handled here; never refreshes a link
 *   new number                                   reported if it is for us
 *   newest number again, over another link       refreshes that link
 *   number taken before                          nothing
 */
import { type Instant, ok, type Result } from "../base/index.ts";
import type { BeatEvent, HeartbeatFields } from "./contract.ts";
import {
  agentFields,
  type Header,
  isControlType,
  parseDecimal,
  parseHex,
  readHeader,
} from "./control-fields.ts";
import { parseHeard } from "./heard.ts";
import { type SentMessage, serve } from "./history.ts";
import type { MembershipReason } from "./reasons.ts";
import {
  giveUp,
  missingMaxClassic,
  missingMaxWindow,
  newSequenceState,
  rexmitFirstDelayMs,
  type Taken,
  take,
} from "./sequence.ts";
import type { TransportOptions } from "./transport-model.ts";
import {
  draw,
  isSilent,
  type LinkState,
  type PeerState,
  type TransportState,
} from "./transport-state.ts";
import {
  type Keyring,
  type OpenedMessage,
  openDatagram,
  printable,
  stringField,
} from "./wire/index.ts";

/** What follows from a datagram. */
export interface Received {
  readonly events: readonly BeatEvent[];
  /** NS_ messages to send. */
  readonly replies: readonly HeartbeatFields[];
  readonly again: readonly SentMessage[];
  /** The peer's generation or floor must be written. */
  readonly persist: boolean;
  /** The level state changed. */
  readonly changed: boolean;
  readonly refusal: Refusal | undefined;
}
export interface Refusal {
  readonly reason: MembershipReason;
  readonly detail: string;
  /** Known peer that it claims to come from; bounds the table of refusals. */
  readonly host: string;
  readonly counter: "authFailures" | "malformed" | "replays" | "strangers" | undefined;
}

export interface Arrival {
  readonly at: Instant;
  readonly link: string;
  readonly bytes: Uint8Array;
}

export interface ReceiveContext {
  readonly options: TransportOptions;
  readonly keyring: Keyring;
  readonly state: TransportState;
}

const nothing: Received = {
  events: [],
  replies: [],
  again: [],
  persist: false,
  changed: false,
  refusal: undefined,
};
/** How far a peer's numbers advance between two writes of its floor. */
const floorStep = 256;
/** NS_nak_rexmit per request: the others are asked for again anyway. */
const naksMax = 10;
const authenticationReasons: ReadonlySet<MembershipReason> = new Set([
  "BTN-WIRE-DIGEST-MISSING",
  "BTN-WIRE-DIGEST-WRONG",
  "BTN-WIRE-KEY-UNKNOWN",
  "BTN-WIRE-FOREIGN-CLUSTER",
]);

/** Judges one datagram and updates the peer that sent it. */
export function receive(context: ReceiveContext, arrival: Arrival): Received {
  const { options, keyring, state } = context;
  const opened = openDatagram(arrival.bytes, keyring, options.hmac);
  if (!opened.ok) {
    const { reason, detail } = opened.error;
    const counter = authenticationReasons.has(reason) ? "authFailures" : "malformed";
    return refuse({ reason, detail: `${arrival.link}: ${detail}`, host: "", counter });
  }
  const header = headerOf(opened.value, keyring);
  if (!header.ok) return header.error;
  const { source } = header.value;
  if (source === options.host) return judgeOwnName(context, header.value);
  const peer = Object.hasOwn(state.peers, source) ? state.peers[source] : undefined;
  if (peer === undefined) {
    const detail = `${printable(source)} on ${arrival.link}`;
    return refuse({ reason: "BTN-BEAT-STRANGER", detail, host: "", counter: "strangers" });
  }
  return new Judgement(context, arrival, opened.value, header.value, peer).judge();
}

function headerOf(message: OpenedMessage, keyring: Keyring): Result<Header, Received> {
  const header = readHeader(message);
  const key = keyring.keys.find((candidate) => candidate.index === message.keyIndex);
  const unnumbered = header.ok && key?.method === "sha256" && header.value.sequence === undefined;
  if (header.ok && !unnumbered) return ok(header.value);
  const source = printable(stringField(message, "src") ?? "?");
  const detail = `${source}: ${header.ok ? "no sequence number" : header.error}`;
  return {
    ok: false,
    error: refuse({ reason: "BTN-BEAT-FIELDS", detail, host: "", counter: "malformed" }),
  };
}

/** Broadcast, and links to own addresses, bring our own messages back: they are nobody's news. */
function judgeOwnName({ options, state }: ReceiveContext, header: Header): Received {
  const foreignUuid = header.sourceUuid !== undefined && header.sourceUuid !== options.uuid;
  const newer = header.generation > (state.generation ?? 0);
  if (!foreignUuid && !newer) return nothing;
  const detail = foreignUuid
    ? `uuid ${header.sourceUuid}`
    : `generation ${header.generation}, ours is ${state.generation ?? "none"}`;
  return refuse({ reason: "BTN-BEAT-OWN-NAME", detail, host: "", counter: undefined });
}

const refuse = (refusal: Refusal): Received => ({ ...nothing, refusal });

/** One message of one known peer. */
class Judgement {
  readonly #context: ReceiveContext;
  readonly #arrival: Arrival;
  readonly #message: OpenedMessage;
  readonly #header: Header;
  readonly #peer: PeerState;

  constructor(
    context: ReceiveContext,
    arrival: Arrival,
    message: OpenedMessage,
    header: Header,
    peer: PeerState,
  ) {
    this.#context = context;
    this.#arrival = arrival;
    this.#message = message;
    this.#header = header;
    this.#peer = peer;
  }

  judge(): Received {
    const { generation, type } = this.#header;
    const known = this.#peer.generation;
    if (known !== null && generation < known) {
      const detail = `${type} of generation ${generation}, known is ${known}`;
      return this.#refuse("BTN-BEAT-REPLAY-GENERATION", detail, "replays");
    }
    if (isControlType(type)) return generation === known ? this.#control() : nothing;
    if (type === "status") return this.#status();
    if (generation !== known || this.#peer.sequence.last === null) {
      return this.#refuse("BTN-BEAT-BEFORE-STATUS", `${type} of generation ${generation}`);
    }
    if (isSilent(this.#peer, this.#context.options.deadtimeMs, this.#arrival.at)) {
      return this.#refuse("BTN-BEAT-FROM-DEAD", type, "replays");
    }
    return this.#sequenced();
  }

  /** NS_ messages: acknowledgements and retransmission. */
  #control(): Received {
    const { type, sequence } = this.#header;
    const newest = this.#peer.sequence.last ?? 0;
    if (sequence !== undefined && sequence + missingMaxWindow < newest) {
      return this.#refuse("BTN-BEAT-REPLAY-SEQUENCE", `${type} at ${sequence}`, "replays");
    }
    if (type === "NS_nak_rexmit") return this.#nak();
    if (!this.#isForUs()) return nothing;
    if (type === "NS_ackmsg") return this.#ack();
    return type === "NS_rexmit" ? this.#rexmit() : nothing;
  }

  #ack(): Received {
    const acked = parseHex(stringField(this.#message, "ackseq"));
    // Above ours: meant for our generation before this one, which acknowledgements do not name.
    if (acked === undefined || acked > this.#context.state.sequence) return nothing;
    this.#peer.acked = Math.max(this.#peer.acked, acked);
    return nothing;
  }

  #rexmit(): Received {
    const first = parseDecimal(stringField(this.#message, "firstseq"));
    const last = parseDecimal(stringField(this.#message, "lastseq"));
    if (first === undefined || last === undefined || last < first) {
      return this.#refuse("BTN-BEAT-FIELDS", "NS_rexmit without a range", "malformed");
    }
    const { state } = this.#context;
    const request = { first, last, acked: this.#peer.acked };
    const { again, gone } = serve(state.history, request, state.now);
    const replies = gone.slice(0, naksMax).map((sequence) => ({
      t: "NS_nak_rexmit",
      dest: this.#header.source,
      firstseq: sequence.toString(16),
      info: "seqno too low",
    }));
    return { ...nothing, again, replies };
  }

  #nak(): Received {
    const sequence = parseHex(stringField(this.#message, "firstseq"));
    if (sequence === undefined || !giveUp(this.#peer.sequence, sequence)) return nothing;
    return this.#refuse("BTN-BEAT-MESSAGE-LOST", `number ${sequence}: the peer has it no longer`);
  }

  #status(): Received {
    const { generation, sequence } = this.#header;
    if (sequence === undefined) return nothing;
    const peer = this.#peer;
    const introduced = peer.generation === null || generation > peer.generation;
    if (introduced) this.#introduce(generation);
    else if (peer.sequence.last === null && sequence <= peer.sequenceFloor) {
      const detail = `status ${sequence}, taken before this host restarted`;
      return this.#refuse("BTN-BEAT-REPLAY-SEQUENCE", detail, "replays");
    }
    const received = this.#sequenced();
    return introduced ? { ...received, persist: true, changed: true } : received;
  }

  #introduce(generation: number): void {
    const peer = this.#peer;
    peer.generation = generation;
    peer.sequence = newSequenceState();
    peer.sequenceFloor = 0;
    peer.statusSequence = 0;
    peer.ackSent = 0;
    peer.acked = 0;
    for (const link of Object.values(peer.links)) {
      link.sequence = null;
      link.peerHeard = null;
    }
  }

  #sequenced(): Received {
    const sequence = this.#header.sequence ?? 0;
    const { state, options } = this.#context;
    const { min, max } = rexmitFirstDelayMs;
    const sha256 = this.#context.keyring.keys.some(
      (key) => key.index === this.#message.keyIndex && key.method === "sha256",
    );
    const missingMax = sha256 ? missingMaxWindow : missingMaxClassic;
    const before = this.#peer.sequence.last ?? sequence;
    const delayMs = sequence > before + 1 ? draw(state, options, min, max) : min;
    const taken = take(this.#peer.sequence, sequence, { now: state.now, delayMs, missingMax });
    return this.#taken(taken, sequence, before);
  }

  #taken(taken: Taken, sequence: number, before: number): Received {
    switch (taken) {
      case "old":
        return this.#old(sequence, before);
      case "repeat":
        return this.#repeat(sequence);
      case "filled":
        this.#noteOnLink(sequence);
        return this.#news(sequence);
      default:
        this.#noteOnLink(sequence);
        this.#refreshLink();
        return this.#withFloor(this.#news(sequence), taken === "reset" ? before : undefined);
    }
  }

  /**
   * Newer than all before, or one that was missing. A status counts if it is newer than all statuses
   * before (heartbeat.md 7.1): a message that overtook it on the wire does not make it old.
   */
  #news(sequence: number): Received {
    if (!this.#isForUs()) return nothing;
    const { at, link } = this.#arrival;
    const { source, generation, type } = this.#header;
    if (type === "status") {
      if (sequence <= this.#peer.statusSequence) return nothing;
      this.#peer.statusSequence = sequence;
      return this.#newStatus();
    }
    const fields = agentFields(this.#message);
    return {
      ...nothing,
      events: [{ kind: "message", at, host: source, link, generation, fields }],
    };
  }

  #newStatus(): Received {
    const { at, link } = this.#arrival;
    const { source, generation, sourceUuid } = this.#header;
    const peer = this.#peer;
    const fields = agentFields(this.#message);
    const status = fields["st"];
    if (status === undefined)
      return this.#refuse("BTN-BEAT-FIELDS", "status without st", "malformed");
    const kind = fields["btn"] === undefined ? "classic" : "baton";
    const deadtimeMs = parseHex(fields["dt"]) ?? null;
    const heard = parseHeard(fields["btnheard"], this.#context.options.host);
    const changed =
      peer.status !== status || peer.kind !== kind || peer.announcedDeadtimeMs !== deadtimeMs;
    peer.kind = kind;
    peer.softwareVersion = fields["btn"] === undefined ? null : printable(fields["btn"]);
    peer.status = status;
    peer.announcedDeadtimeMs = deadtimeMs;
    peer.lastStatusAt = at;
    peer.keyIndex = this.#message.keyIndex;
    peer.uuid = sourceUuid ?? peer.uuid;
    for (const [name, state] of Object.entries(peer.links)) state.peerHeard = heard?.[name] ?? null;
    const event: BeatEvent = {
      kind: "status",
      at,
      host: source,
      link,
      peer: kind,
      generation,
      status,
      announcedDeadtimeMs: deadtimeMs,
      heard,
      ownSequence: this.#context.state.sequence,
      fields,
    };
    return { ...nothing, events: [event], changed };
  }

  /** Writes the floor now and then, and tells of a loss too large to repair. */
  #withFloor(received: Received, lostAfter: number | undefined): Received {
    const peer = this.#peer;
    const last = peer.sequence.last ?? 0;
    const persist = last >= peer.sequenceFloor + floorStep;
    if (persist) peer.sequenceFloor = last;
    if (lostAfter === undefined) return { ...received, persist: persist || received.persist };
    const detail = `numbers ${lostAfter + 1} to ${last - 1}: too many to ask for`;
    return { ...received, persist, ...this.#refusal("BTN-BEAT-MESSAGE-LOST", detail) };
  }

  /** The newest number once more: the other link's copy, unless this link had it. */
  #repeat(sequence: number): Received {
    if (this.#link()?.sequence === sequence) {
      return this.#refuse("BTN-BEAT-REPLAY-SEQUENCE", `number ${sequence} again`, "replays");
    }
    this.#noteOnLink(sequence);
    this.#refreshLink();
    const { at, link } = this.#arrival;
    return { ...nothing, events: [{ kind: "linkHeard", at, host: this.#header.source, link }] };
  }

  /** Copies of other links come late at times; what is far behind, or was here, is a replay. */
  #old(sequence: number, last: number): Received {
    const here = this.#link()?.sequence ?? 0;
    if (this.#peer.sequence.filled.includes(sequence)) return nothing;
    if (sequence > here) {
      this.#noteOnLink(sequence);
      return nothing;
    }
    const detail = `${this.#header.type} ${sequence}, newest is ${last}`;
    return this.#refuse("BTN-BEAT-REPLAY-SEQUENCE", detail, "replays");
  }

  #link(): LinkState | undefined {
    return this.#peer.links[this.#arrival.link];
  }

  #noteOnLink(sequence: number): void {
    const link = this.#link();
    if (link !== undefined) link.sequence = Math.max(link.sequence ?? 0, sequence);
  }

  #refreshLink(): void {
    const link = this.#link();
    if (link !== undefined) link.lastHeardAt = this.#arrival.at;
  }

  #isForUs(): boolean {
    const { destination, destinationUuid } = this.#header;
    const { host, uuid } = this.#context.options;
    if (destinationUuid !== undefined) return destinationUuid === uuid;
    return destination === undefined || destination === host;
  }

  #refuse(reason: MembershipReason, detail: string, counter?: Refusal["counter"]): Received {
    return { ...nothing, ...this.#refusal(reason, detail, counter) };
  }

  #refusal(reason: MembershipReason, detail: string, counter?: Refusal["counter"]) {
    const host = this.#header.source;
    return { refusal: { reason, detail: `${host}: ${printable(detail, 200)}`, host, counter } };
  }
}
