/**
 * Everything that leaves the transport core in one step, in order: messages that are numbered, signed
 * and remembered here, and what the agent is told.
 */
import type { BeatEvent, BeatState, HeartbeatFields } from "./contract.ts";
import { isControlType, unsendable, withControlFields } from "./control-fields.ts";
import { formatHeard } from "./heard.ts";
import { remember } from "./history.ts";
import { noteRefusal } from "./refusals.ts";
import { ackDue, dueRanges } from "./sequence.ts";
import { signingKey } from "./signing.ts";
import type { Ambient, TransportEffect, TransportOptions } from "./transport-model.ts";
import { newPing } from "./transport-ping.ts";
import type { Refusal } from "./transport-receive.ts";
import { beatState, isSilent, type PeerState, type TransportState } from "./transport-state.ts";
import {
  type Field,
  type Keyring,
  type Message,
  sealNetstring,
  sentBytesMax,
} from "./wire/index.ts";

/** heartbeat announces a longer deadtime while it starts (heartbeat.md 7.1); so do we, until active. */
const startingMs = 5_000;
const startingExtraMs = 2_000;
const countersEveryMs = 1_000;
/** Messages that wait for the generation to become durable. */
const pendingMax = 64;

/** Everything that the transport says in one step, in order: messages, reports, records. */
export class Outbox {
  readonly #options: TransportOptions;
  readonly #state: TransportState;
  #keyring: Keyring;
  #ambient: Ambient = { wallMs: 0, loadAverage: "n/a" };
  #effects: TransportEffect[] = [];

  constructor(options: TransportOptions, state: TransportState) {
    this.#options = options;
    this.#state = state;
    this.#keyring = options.keyring;
  }

  get keyring(): Keyring {
    return this.#keyring;
  }

  set keyring(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** Begins a step. */
  open(ambient: Ambient): void {
    this.#ambient = ambient;
    this.#effects = [];
  }

  /** Ends a step: all that was put in, in order. */
  take(): readonly TransportEffect[] {
    return this.#effects;
  }

  put(effect: TransportEffect): void {
    this.#effects.push(effect);
  }

  // To the peers.

  announcedDeadtimeMs(): number {
    const { status, burstAt, deadtimeMs, now } = this.#state;
    const starting = status !== "active" && (burstAt === null || now - burstAt < startingMs);
    return starting ? deadtimeMs + startingExtraMs : deadtimeMs;
  }

  /** One status to all, and one echo request to each ping node (heartbeat.md 9.1). */
  sendStatus(): void {
    const { status, peers, now } = this.#state;
    this.#state.spokenAt = now;
    const heard = Object.entries(peers).flatMap(([host, peer]) =>
      Object.entries(peer.links).flatMap(([link, { sequence }]) =>
        sequence === null ? [] : [{ host, link, sequence }],
      ),
    );
    this.send({
      t: "status",
      st: status,
      dt: this.announcedDeadtimeMs().toString(16),
      protocol: "1",
      btn: this.#options.softwareVersion,
      btnheard: formatHeard(heard),
    });
    this.#sendPings();
  }

  #sendPings(): void {
    this.#state.pingSequence += 1;
    for (const ping of this.#options.pings) {
      const payload = this.#seal(newPing(ping, this.#state, this.#ambient));
      if (payload === undefined) return;
      const sequence = this.#state.pingSequence & 0xffff;
      this.put({ kind: "ping", ping: ping.name, sequence, payload });
    }
  }

  /** A message of the agent: sent if it can be, kept while the generation is being written. */
  sendForAgent(fields: HeartbeatFields): void {
    const { phase, pending } = this.#state;
    const wrong = unsendable(fields);
    if (wrong !== undefined) this.#notSent(wrong);
    else if (phase.phase === "beating") this.send(fields);
    else if (pending.length === pendingMax) this.#notSent("too many wait already");
    else pending.push(fields);
  }

  /** Numbers, signs and sends one message; keeps it if it may be asked for again. */
  send(own: HeartbeatFields): void {
    const state = this.#state;
    const control = isControlType(own["t"] ?? "");
    const numbered = !control || this.#signingKey()?.method === "sha256";
    const sequence = control ? state.sequence : state.sequence + 1;
    const { host, uuid, hopfudge, peers, pings } = this.#options;
    const fields = withControlFields(own, {
      host,
      uuid,
      destinationUuid: this.#uuidOf(own["dest"]),
      sequence: numbered ? sequence : undefined,
      generation: state.generation ?? 0,
      wallMs: this.#ambient.wallMs,
      loadAverage: control ? undefined : this.#ambient.loadAverage,
      ttl: hopfudge + 1 + peers.length + pings.length,
    });
    if (!this.transmit(fields) || control) return;
    state.sequence = sequence;
    remember(state.history, { sequence, fields, sentAt: state.now });
  }

  /** Signs and sends what has its number already; false if it can not be sent. */
  transmit(fields: readonly Field[]): boolean {
    const bytes = this.#seal({ fields });
    if (bytes === undefined) return false;
    if (bytes.length > sentBytesMax) {
      this.#notSent(`it has ${bytes.length} bytes`);
      return false;
    }
    this.put({ kind: "send", bytes });
    return true;
  }

  #seal(message: Message): Uint8Array | undefined {
    const key = this.#signingKey();
    if (key === undefined) {
      this.#notSent(`there is no key ${this.#keyring.sendIndex}`);
      return undefined;
    }
    const inner = this.#options.messageFormat === "classic";
    const signing = { key, inner, clusterId: this.#keyring.clusterId };
    return sealNetstring(message, signing, this.#options.hmac);
  }

  #signingKey() {
    return signingKey(this.#keyring, Object.values(this.#state.peers));
  }

  #uuidOf(destination: string | undefined): string | undefined {
    if (destination === undefined) return undefined;
    if (destination === this.#options.host) return this.#options.uuid;
    const { peers } = this.#state;
    return Object.hasOwn(peers, destination) ? (peers[destination]?.uuid ?? undefined) : undefined;
  }

  /** Acknowledgements that are due, and requests for what is missing from peers that are heard. */
  sendUpkeep(): void {
    for (const [host, peer] of Object.entries(this.#state.peers)) {
      this.#acknowledge(host, peer);
      if (!isSilent(peer, this.#options.deadtimeMs, this.#state.now)) {
        this.#askForMissing(host, peer);
      }
    }
  }

  #acknowledge(host: string, peer: PeerState): void {
    const due = ackDue(peer.sequence, peer.ackResidue, peer.ackSent);
    if (due === undefined) return;
    peer.ackSent = due;
    this.send({ t: "NS_ackmsg", dest: host, ackseq: due.toString(16) });
  }

  #askForMissing(host: string, peer: PeerState): void {
    const { ranges, lost } = dueRanges(peer.sequence, this.#state.now);
    for (const { first, last } of ranges) {
      this.send({ t: "NS_rexmit", dest: host, firstseq: `${first}`, lastseq: `${last}` });
    }
    const lostFirst = lost[0];
    if (lostFirst === undefined) return;
    const detail = `${host}: ${lost.length} from number ${lostFirst}, asked for in vain`;
    this.refused({ reason: "BTN-BEAT-MESSAGE-LOST", detail, host, counter: undefined });
  }

  // To the agent.

  report(event: BeatEvent): void {
    this.put({ kind: "report", event });
  }

  beatState(): BeatState {
    return beatState(this.#state, this.#options, this.announcedDeadtimeMs());
  }

  /** Refused input changes nothing but counters: those are told in sums, so that a flood is no flood. */
  tellCounters(): void {
    const { told, now } = this.#state;
    if (told.refusals === this.#refusals() || now - told.at < countersEveryMs) return;
    this.stateChanged();
  }

  #refusals(): number {
    const { received, ...refused } = this.#state.counters;
    return Object.values(refused).reduce((sum, count) => sum + count, 0);
  }

  stateChanged(): void {
    this.#state.told = { refusals: this.#refusals(), at: this.#state.now };
    this.#state.revision += 1;
    this.put({ kind: "reportState", state: this.beatState() });
  }

  /** Counts what was refused, and says so unless that was said lately. */
  refused(refusal: Refusal): void {
    const { counters, refusals, now } = this.#state;
    if (refusal.counter !== undefined) counters[refusal.counter] += 1;
    const key = `${refusal.reason} ${refusal.host}`;
    const detail = noteRefusal(refusals, key, refusal.detail, now);
    if (detail !== undefined) {
      this.report({ kind: "refused", at: now, reason: refusal.reason, detail });
    }
  }

  #notSent(detail: string): void {
    this.refused({ reason: "BTN-BEAT-SEND-REFUSED", detail, host: "", counter: undefined });
  }
}
