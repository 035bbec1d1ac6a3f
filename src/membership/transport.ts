/**
 * Transport: the core of the beat process (DESIGN 7.3). It owns digests, sequence numbers, the
 * generation, retransmission, acknowledgements and the replay window; it judges nobody.
 *
 *   new --start--> writing --persisted--> quiet --sign of life--> beating
 *                     ^                     ^                        |
 *                  rejoin                   '-- agentGrace expired --'     any --end--> ended
 *
 * To a classic peer, a silence of ours long enough to be taken for our death is a rejoin as well.
 *
 * Promises: nothing is sent before the own generation is durable; nothing is sent without a recent
 * sign of life from the agent; no number of a peer is taken twice; nothing is parsed before its
 * digest is right. Source: heartbeat.md 5.3, 6, 7.1, 9.1, 15; reliability 9.2.
 */
import { after, assert, earliest, type Instant, unreachable } from "../base/index.ts";
import type { BeatRequest, BeatState } from "./contract.ts";
import { Outbox } from "./outbox.ts";
import { noteRefusal } from "./refusals.ts";
import type {
  TransportEffect,
  TransportEvent,
  TransportOptions,
  TransportRecord,
} from "./transport-model.ts";
import { readPing } from "./transport-ping.ts";
import { type Arrival, receive } from "./transport-receive.ts";
import {
  durableRecord,
  isSilent,
  newTransportState,
  type TransportState,
} from "./transport-state.ts";

export type {
  Ambient,
  TransportEffect,
  TransportEvent,
  TransportInput,
  TransportOptions,
  TransportRecord,
} from "./transport-model.ts";

/** Plain JSON; without secrets. */
export type TransportSnapshot = TransportState;

/** The core of the beat process; the rules are in the comment above and the README. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #state: TransportState;
  readonly #outbox: Outbox;

  /** @param durable what the last beat process of this host had persisted */
  constructor(options: TransportOptions, durable: TransportRecord, now: Instant) {
    this.#options = options;
    this.#state = newTransportState(options, durable, now);
    this.#outbox = new Outbox(options, this.#state);
  }

  /** The keys come from `options`: a snapshot has no secrets. */
  static restore(options: TransportOptions, snapshot: TransportSnapshot): Transport {
    const copy = new Transport(options, { generation: null, peers: {} }, snapshot.now);
    Object.assign(copy.#state, structuredClone(snapshot));
    return copy;
  }

  snapshot(): TransportSnapshot {
    return structuredClone(this.#state);
  }

  /** Takes one event at `now`; returns what to do, in order. First event: `start`. */
  step(now: Instant, event: TransportEvent): readonly TransportEffect[] {
    const state = this.#state;
    assert(now >= state.now, `Clock went back from ${state.now} to ${now}`);
    this.#outbox.open(event.ambient);
    this.#noteStall(now);
    state.now = now;
    this.#expireAgent();
    if (state.phase.phase === "beating") this.#rejoinIfMissed(event.ambient.wallMs);
    this.#take(event);
    this.#sendDue();
    return this.#outbox.take();
  }

  /** When `step` must next be called even if nothing happens. */
  wakeAt(): Instant | undefined {
    const { phase, agentSeenAt, peers, now } = this.#state;
    if (phase.phase !== "beating" || agentSeenAt === null) return undefined;
    const requests = Object.values(peers).flatMap((peer) =>
      isSilent(peer, this.#options.deadtimeMs, now)
        ? []
        : peer.sequence.missing.map((missing) => missing.dueAt),
    );
    const graceEnd = after(agentSeenAt, this.#options.agentGraceMs);
    return earliest(phase.nextBeatAt, graceEnd, ...requests);
  }

  /** The level state, for an agent that connects. */
  state(): BeatState {
    return this.#outbox.beatState();
  }

  #take(event: TransportEvent): void {
    switch (event.kind) {
      case "start":
        this.#nextGeneration(event.ambient.wallMs);
        break;
      case "persisted":
        this.#persisted(event.generation);
        break;
      case "datagram":
        this.#receive(event);
        break;
      case "pingReply":
        this.#pingReply(event.at, event.ping, event.payload);
        break;
      case "request":
        this.#request(event.request, event.ambient.wallMs);
        break;
      case "keys":
        this.#outbox.keyring = event.keyring;
        break;
      case "linkError":
        this.#linkError(event.link, event.sending, event.detail);
        break;
      case "rateLimited":
        this.#rateLimited(event.link, event.count);
        break;
      case "tick":
        break;
      default:
        unreachable(event);
    }
  }

  #nextGeneration(wallMs: number): void {
    const state = this.#state;
    const first = Math.max(1, Math.floor(wallMs / 1_000));
    state.generation = state.generation === null ? first : state.generation + 1;
    state.sequence = 0;
    state.history = [];
    state.status = "init";
    state.burstAt = null;
    state.spokenAt = null;
    state.phase = { phase: "writing" };
    for (const peer of Object.values(state.peers)) peer.acked = 0;
    this.#outbox.put({ kind: "persist", record: durableRecord(state), confirm: true });
  }

  /**
   * A heartbeat that took this host for dead gives up its groups and restarts itself when it hears the
   * same generation again (heartbeat.md 7.6). So the word after such a silence, of whatever cause, is
   * that of a new one. A keepalive earlier than that: the next beat must still arrive.
   */
  #rejoinIfMissed(wallMs: number): boolean {
    const { spokenAt, deadtimeMs, peers, now } = this.#state;
    if (spokenAt === null || now - spokenAt < deadtimeMs - this.#options.keepaliveMs) return false;
    if (!Object.values(peers).some(({ kind }) => kind === "classic")) return false;
    this.#state.rejoinedAt = now;
    this.#nextGeneration(wallMs);
    return true;
  }

  /** The agent asks for it after the same silence: once is enough. */
  #hasRejoined(): boolean {
    const { phase, rejoinedAt, deadtimeMs, now } = this.#state;
    return phase.phase === "writing" || (rejoinedAt !== null && now - rejoinedAt < deadtimeMs);
  }

  #persisted(generation: number): void {
    const state = this.#state;
    if (state.phase.phase !== "writing" || generation !== state.generation) return;
    state.phase = { phase: "quiet" };
    this.#outbox.stateChanged();
    const { agentSeenAt } = state;
    if (agentSeenAt === null) return;
    if (state.now - agentSeenAt < this.#options.agentGraceMs) this.#wake();
    else if (!state.silenced) this.#setSilenced(true);
  }

  #expireAgent(): void {
    const { phase, agentSeenAt, now } = this.#state;
    if (phase.phase !== "beating" || agentSeenAt === null) return;
    if (now - agentSeenAt < this.#options.agentGraceMs) return;
    this.#state.phase = { phase: "quiet" };
    this.#setSilenced(true);
  }

  /** Leaves `quiet`: the first words of a generation, or going on with it. */
  #wake(): void {
    const state = this.#state;
    state.phase = { phase: "beating", nextBeatAt: after(state.now, this.#options.keepaliveMs) };
    if (state.silenced) this.#setSilenced(false);
    if (state.burstAt === null) this.#sendFirstWords();
    else this.#outbox.sendStatus();
    for (const fields of state.pending.splice(0)) this.#outbox.sendForAgent(fields);
  }

  /** init, up, up: as heartbeat starts (heartbeat.md 7.1). */
  #sendFirstWords(): void {
    const state = this.#state;
    state.burstAt = state.now;
    const wanted = state.status === "init" ? "up" : state.status;
    for (const status of ["init", "up", wanted] as const) {
      state.status = status;
      this.#outbox.sendStatus();
    }
    this.#outbox.stateChanged();
  }

  #setSilenced(silenced: boolean): void {
    this.#state.silenced = silenced;
    this.#outbox.put({ kind: "silenced", silenced });
    this.#outbox.stateChanged();
  }

  /** R13: were we run when we wanted to be? Looked at before anything else that waits. */
  #noteStall(now: Instant): void {
    const wanted = this.wakeAt();
    if (wanted === undefined || now - wanted <= this.#options.keepaliveMs) return;
    this.#outbox.report({ kind: "stalled", at: now, gapMs: now - this.#state.now });
  }

  #request(request: BeatRequest, wallMs: number): void {
    const state = this.#state;
    if (state.phase.phase === "ended" || state.phase.phase === "new") return;
    state.agentSeenAt = state.now;
    if (state.phase.phase === "quiet" && !this.#rejoinIfMissed(wallMs)) this.#wake();
    switch (request.kind) {
      case "alive":
        this.#outbox.tellCounters();
        this.#outbox.report({ kind: "awake", at: state.now, asked: request.asked ?? null });
        break;
      case "announce":
        this.#announce(request.status, request.deadtimeMs);
        break;
      case "send":
        this.#outbox.sendForAgent(request.fields);
        break;
      case "rejoin":
        if (!this.#hasRejoined()) this.#nextGeneration(wallMs);
        break;
      case "rereadKeys":
        this.#outbox.put({ kind: "rereadKeys" });
        break;
      case "end":
        state.phase = { phase: "ended" };
        this.#outbox.put({ kind: "end" });
        break;
      default:
        unreachable(request);
    }
  }

  #announce(status: "up" | "active", deadtimeMs: number): void {
    const state = this.#state;
    if (state.status === status && state.deadtimeMs === deadtimeMs) return;
    state.status = status;
    state.deadtimeMs = deadtimeMs;
    if (state.phase.phase === "beating") this.#outbox.sendStatus();
    this.#outbox.stateChanged();
  }

  /** What time has made due. */
  #sendDue(): void {
    const { phase, now } = this.#state;
    if (phase.phase !== "beating") return;
    if (now >= phase.nextBeatAt) {
      const { keepaliveMs } = this.#options;
      const planned = after(phase.nextBeatAt, keepaliveMs);
      const nextBeatAt = planned > now ? planned : after(now, keepaliveMs);
      this.#state.phase = { phase: "beating", nextBeatAt };
      this.#outbox.sendStatus();
    }
    this.#outbox.sendUpkeep();
  }

  #receive(arrival: Arrival): void {
    const { phase } = this.#state.phase;
    if (phase === "new" || phase === "ended") return;
    this.#state.counters.received += 1;
    const { keyring } = this.#outbox;
    const before = this.#generations();
    const received = receive({ options: this.#options, keyring, state: this.#state }, arrival);
    if (received.refusal !== undefined) this.#outbox.refused(received.refusal);
    if (received.persist) {
      this.#outbox.put({ kind: "persist", record: durableRecord(this.#state), confirm: false });
    }
    if (received.changed) this.#outbox.stateChanged();
    for (const event of received.events) this.#outbox.report(event);
    if (phase !== "beating") return;
    if (this.#generations() !== before) this.#beatNow();
    for (const reply of received.replies) this.#outbox.send(reply);
    for (const message of received.again) this.#outbox.transmit(message.fields);
  }

  #generations(): string {
    return Object.values(this.#state.peers)
      .map((peer) => peer.generation)
      .join();
  }

  /**
   * A host that just started hears our state before anything else of us. An acknowledgement alone would
   * do for its communication (heartbeat.md 7.3), and in legacy mode a 3.0.6 that has not seen our status
   * takes its groups without asking.
   */
  #beatNow(): void {
    const { phase, now } = this.#state;
    if (phase.phase === "beating") this.#state.phase = { ...phase, nextBeatAt: now };
  }

  #pingReply(at: Instant, ping: string, payload: Uint8Array): void {
    const reply = { ping, payload };
    const read = readPing(this.#options, this.#outbox.keyring, this.#state, reply);
    if (read.outcome === "refused") this.#outbox.refused(read.refusal);
    if (read.outcome !== "reply") return;
    read.state.lastReplyAt = at;
    read.state.repliedSequence = read.sequence;
    this.#outbox.report({ kind: "pingReply", at, ping });
  }

  #linkError(link: string, sending: boolean, detail: string): void {
    const { counters, refusals, now } = this.#state;
    if (sending) counters.sendErrors += 1;
    const text = noteRefusal(refusals, `link ${link}`, detail, now);
    if (text !== undefined) this.#outbox.report({ kind: "linkError", at: now, link, detail: text });
  }

  #rateLimited(link: string, count: number): void {
    this.#state.counters.rateLimited += count;
    const detail = `${link}: ${count}`;
    this.#outbox.refused({
      reason: "BTN-BEAT-RATE-LIMITED",
      detail,
      host: link,
      counter: undefined,
    });
  }
}
