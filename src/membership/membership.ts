/**
 * Membership: who is alive, judged in the agent by what the beat process forwards (DESIGN 7.3). The
 * rules of silence are in `peer-life.ts`, of our own stalls in `lateness.ts`, of one-way cuts in
 * `one-way.ts`, of the start in `communication.ts`; this core feeds them and says what changed.
 *
 * Statuses alone keep a peer alive; other messages and late copies do not. Deadlines are exact: no
 * quantum of 250 ms as in the original (heartbeat.md 17.10). A heartbeat that comes late kills
 * nobody (7.2 is not copied). Judged only at ticks, and only while the beat process is connected.
 */
import { after, assert, earliest, type Instant, instant, unreachable } from "../base/index.ts";
import { advanceCommunication } from "./communication.ts";
import type {
  BeatEvent,
  BeatPeerState,
  BeatState,
  HeartbeatFields,
  MembershipEffect,
} from "./contract.ts";
import { answerHosts, namesSameHosts } from "./host-list.ts";
import { beatGap, doubtMs, lookAgainMs, ownGap } from "./lateness.ts";
import { newsOfLevel, type StatusNews } from "./level.ts";
import {
  type BeatConnection,
  type MemberState,
  type MembershipOptions,
  type MembershipState,
  type MembershipView,
  membershipView,
  newMembershipState,
  type PingState,
} from "./membership-state.ts";
import { forgetTold, noteTold } from "./one-way.ts";
import {
  type Judgement,
  judgeSilence,
  lifeDeadline,
  noteDeaf,
  noteHeard,
  noteLeft,
  type PeerTiming,
} from "./peer-life.ts";
import type { MembershipReason } from "./reasons.ts";
import { judgeSign, noteSign, type Sign, signDeadline } from "./signs.ts";
import { printable } from "./wire/index.ts";

export type { MembershipOptions, MembershipView } from "./membership-state.ts";

export type MembershipEvent =
  | BeatEvent
  /** The level state: on connecting to the beat process, and after each change. */
  | { readonly kind: "beatState"; readonly state: BeatState }
  /** The beat process can not be reached. */
  | { readonly kind: "beatLost" }
  | { readonly kind: "tick" };

/** Plain JSON. */
export type MembershipSnapshot = MembershipState;

interface Silence {
  readonly lookSince: Instant | null;
  readonly deadline: Instant | undefined;
}

/** Judges who is alive; one per agent. */
export class Membership {
  readonly #options: MembershipOptions;
  #state: MembershipState;
  #effects: MembershipEffect[] = [];

  /** @param now when the agent started */
  constructor(options: MembershipOptions, now: Instant) {
    this.#options = options;
    this.#state = newMembershipState(options, now);
  }

  static restore(options: MembershipOptions, snapshot: MembershipSnapshot): Membership {
    const copy = new Membership(options, snapshot.now);
    copy.#state = structuredClone(snapshot);
    return copy;
  }

  snapshot(): MembershipSnapshot {
    return structuredClone(this.#state);
  }

  view(now: Instant): MembershipView {
    return membershipView(this.#state, now);
  }

  /** Takes one event at `now`; returns what to do, in order. */
  step(now: Instant, event: MembershipEvent): readonly MembershipEffect[] {
    assert(now >= this.#state.now, `Clock went back from ${this.#state.now} to ${now}`);
    this.#state.now = now;
    this.#effects = [];
    this.#doubtOwnGap();
    this.#take(event);
    this.#advanceCommunication();
    return this.#effects;
  }

  /**
   * When a tick is next needed: the next deadline, and at least every keepalive, so that a stall of
   * this process shows as one. Undefined without a beat process: then time changes nothing.
   */
  wakeAt(): Instant | undefined {
    const { beat, now, communication } = this.#state;
    if (beat.state !== "connected") return undefined;
    // What was looked at already waits for the answer of the beat process, not for its deadline.
    const deadlines = this.#silences().map(({ lookSince, deadline }) =>
      lookSince === null ? deadline : after(now, lookAgainMs),
    );
    return earliest(
      after(now, this.#options.keepaliveMs),
      ...deadlines,
      communication.phase === "asking" ? communication.nextAt : undefined,
    );
  }

  #take(event: MembershipEvent): void {
    switch (event.kind) {
      case "status":
        this.#status(event);
        break;
      case "linkHeard":
        this.#linkHeard(event.host, event.link, event.at);
        break;
      case "message":
        this.#message(event.host, event.generation, event.fields);
        break;
      case "pingReply":
        this.#pingReply(event.ping, event.at);
        break;
      case "awake":
        this.#awake(event.asked);
        break;
      case "stalled":
        this.#doubtBeatGap(event);
        break;
      case "refused":
      case "linkError":
        break; // the agent journals every input; nothing here follows from these
      case "beatState":
        this.#beatState(event.state);
        break;
      case "beatLost":
        this.#beatLost();
        break;
      case "tick":
        this.#judge();
        break;
      default:
        unreachable(event);
    }
  }

  // What is heard.

  #status(event: Extract<BeatEvent, { kind: "status" }>): void {
    this.#linkHeard(event.host, event.link, event.at);
    this.#noteStatus(event.host, { ...event, kind: event.peer, reason: "BTN-MEMBER-HEARD" });
  }

  #noteStatus(host: string, news: StatusNews): void {
    const peer = this.#peer(host);
    if (peer === undefined) return;
    if (news.status === "dead") {
      this.#note("BTN-MEMBER-STATUS-DEAD", host, `generation ${news.generation}`);
      return;
    }
    const older = news.generation < (peer.generation ?? 0);
    // After a goodbye statuses go on for a second or two (heartbeat.md 7.7).
    const leaving = peer.life.verdict === "left" && news.generation === peer.generation;
    if (older || leaving) return;
    this.#noteLateHeartbeat(host, peer, news.at);
    this.#introduce(host, peer, news);
    peer.announcedDeadtimeMs = news.announcedDeadtimeMs;
    peer.kind = news.kind;
    this.#say(host, noteHeard(peer.life, news.at, news.reason));
    if (peer.status !== news.status) {
      peer.status = news.status;
      this.#effects.push({ kind: "peerStatus", host, status: news.status });
    }
    this.#noteTold(host, peer, news);
  }

  #noteLateHeartbeat(host: string, peer: MemberState, at: Instant): void {
    const { verdict, heardAt } = peer.life;
    if (heardAt === null || (verdict !== "alive" && verdict !== "late")) return;
    const intervalMs = at - heardAt;
    const { deadtimeMs } = this.#timing(peer.announcedDeadtimeMs);
    if (intervalMs < deadtimeMs) return;
    this.#note("BTN-MEMBER-LATE-HEARTBEAT", host, `after ${Math.round(intervalMs)} ms`);
  }

  #introduce(host: string, peer: MemberState, news: StatusNews): void {
    const isNew = peer.generation !== news.generation;
    const returned = !isNew && peer.life.verdict === "dead";
    if (!isNew && !returned) return;
    const restarted = peer.generation !== null && isNew;
    peer.generation = news.generation;
    if (isNew) forgetTold(peer.oneWay);
    this.#effects.push({
      kind: "peerSeen",
      host,
      peer: news.kind,
      generation: news.generation,
      restarted,
      returned,
    });
  }

  #noteTold(host: string, peer: MemberState, news: StatusNews): void {
    const { heard, at, ownSequence } = news;
    if (heard === null) return;
    const change = noteTold(peer.oneWay, { at, heard, ownSequence }, this.#options.warntimeMs);
    if (change !== undefined) this.#effects.push({ kind: "heardByPeer", host, ...change });
  }

  #linkHeard(host: string, name: string, at: Instant): void {
    const peer = this.#peer(host);
    const link =
      peer !== undefined && Object.hasOwn(peer.links, name) ? peer.links[name] : undefined;
    if (link === undefined || !noteSign(link, at)) return;
    this.#effects.push({ kind: "link", host, link: name, up: true });
  }

  #message(host: string, generation: number, fields: HeartbeatFields): void {
    const peer = this.#peer(host);
    if (peer === undefined || generation !== peer.generation) return;
    switch (fields["t"]) {
      case "shutdone":
        this.#say(host, noteLeft(peer.life, this.#state.now));
        break;
      case "reqnodes":
        this.#send(answerHosts(host, this.#hosts()));
        break;
      case "repnodes":
        this.#readHosts(host, fields["nodelist"] ?? "");
        break;
      default:
        break;
    }
  }

  #readHosts(host: string, nodelist: string): void {
    if (!namesSameHosts(nodelist, this.#hosts())) {
      this.#note("BTN-MEMBER-NODES-DIFFER", host, `it lists ${printable(nodelist, 200)}`);
    }
    if (this.#state.communication.phase === "asking") this.#communicationIsUp();
  }

  #hosts(): readonly string[] {
    return [this.#options.host, ...this.#options.peers].toSorted();
  }

  #pingReply(name: string, at: Instant): void {
    const { pings } = this.#state;
    const ping = Object.hasOwn(pings, name) ? pings[name] : undefined;
    if (ping === undefined || !noteSign(ping.sign, at)) return;
    this.#effects.push({ kind: "ping", ping: name, up: true });
  }

  // The beat process.

  #beatState(beat: BeatState): void {
    const before = this.#state.beat;
    const { generation, startedAt, silenced } = beat;
    this.#state.beat = { state: "connected", generation, startedAt, silenced };
    if (before.state !== "connected") this.#listenAnew();
    if (isFreshVoice(before, beat)) {
      for (const peer of Object.values(this.#state.peers)) forgetTold(peer.oneWay);
    }
    const reason = before.state === "connected" ? "BTN-MEMBER-HEARD" : "BTN-MEMBER-KEPT";
    for (const peer of beat.peers) this.#levelOf(peer, beat.sequence, reason);
    for (const { name, lastReplyAt } of beat.pings) {
      if (lastReplyAt !== null && this.#isRecent(lastReplyAt, this.#options.deadpingMs)) {
        this.#pingReply(name, lastReplyAt);
      }
    }
    // By level: an announcement may have been lost on the way, or belong to an earlier generation.
    const isUp = this.#state.communication.phase === "up";
    if (isUp && beat.status !== "active") this.#announceActive();
  }

  /** Connected (again): what we did not listen to proves nothing. */
  #listenAnew(): void {
    const { now, lateness } = this.#state;
    lateness.steppedAt = now;
    lateness.awakeAt = now;
    for (const [host, peer] of Object.entries(this.#state.peers)) {
      this.#say(host, noteDeaf(peer.life, now, "stalled"));
    }
    for (const ping of Object.values(this.#state.pings)) ping.listenFrom = now;
  }

  /** Catches up with statuses whose events did not reach this process. */
  #levelOf(level: BeatPeerState, ownSequence: number, reason: MembershipReason): void {
    const peer = this.#peer(level.host);
    const news = newsOfLevel(level, ownSequence, reason);
    if (peer === undefined || news === undefined) return;
    const limitMs = level.announcedDeadtimeMs ?? this.#options.deadtimeMs;
    for (const { name, lastHeardAt } of level.links) {
      if (lastHeardAt !== null && this.#isRecent(lastHeardAt, limitMs)) {
        this.#linkHeard(level.host, name, lastHeardAt);
      }
    }
    const { heardAt, verdict } = peer.life;
    const isNews = heardAt === null || news.at > heardAt;
    const isUnsure = verdict === "unsure" || verdict === "unheard";
    if ((isNews || isUnsure) && this.#isRecent(news.at, limitMs)) {
      this.#noteStatus(level.host, news);
    }
  }

  #isRecent(at: Instant, limitMs: number): boolean {
    return this.#state.now - at < limitMs;
  }

  #beatLost(): void {
    if (this.#state.beat.state !== "connected") return;
    this.#state.beat = { state: "lost" };
    this.#state.lateness.steppedAt = null;
    for (const [host, peer] of Object.entries(this.#state.peers)) {
      this.#say(host, noteDeaf(peer.life, this.#state.now, "noBeat"));
    }
  }

  // Own stalls (R13).

  #doubtOwnGap(): void {
    if (this.#state.beat.state !== "connected") return;
    const gapMs = ownGap(this.#state.lateness, this.#state.now, this.#doubtMs());
    if (gapMs !== undefined) this.#doubt(gapMs);
  }

  #doubtBeatGap(stall: { readonly at: Instant; readonly gapMs: number }): void {
    const gapMs = beatGap(this.#state.lateness, stall, this.#doubtMs());
    if (gapMs !== undefined) this.#doubt(gapMs);
  }

  #doubtMs(): number {
    return doubtMs(this.#options.keepaliveMs, this.#options.deadtimeMs);
  }

  #doubt(gapMs: number): void {
    const { now, peers, pings } = this.#state;
    this.#effects.push({ kind: "stalled", gapMs });
    for (const [host, peer] of Object.entries(peers)) {
      peer.oneWay.stillSince = null;
      this.#say(host, noteDeaf(peer.life, now, "stalled"));
    }
    for (const ping of Object.values(pings)) ping.listenFrom = now;
  }

  // Silence.

  /** Everything that silence can change, as it stands. */
  #silences(): readonly Silence[] {
    const peers = Object.values(this.#state.peers).flatMap((peer) => [
      {
        lookSince: peer.life.lookSince,
        deadline: lifeDeadline(peer.life, this.#timing(peer.announcedDeadtimeMs)),
      },
      ...Object.values(peer.links).map((link) => ({
        lookSince: link.lookSince,
        deadline: this.#linkDeadline(peer, link),
      })),
    ]);
    const pings = Object.values(this.#state.pings).map((ping) => ({
      lookSince: ping.sign.lookSince,
      deadline: this.#pingDeadline(ping),
    }));
    return [...peers, ...pings];
  }

  /**
   * An answer to a question of ours: all that had arrived when it was asked has been read. Answers to
   * the regular signs of life, which may have waited before unread datagrams, say nothing.
   */
  #awake(asked: Instant | null): void {
    if (asked === null) return;
    const { lateness } = this.#state;
    lateness.awakeAt = instant(Math.max(asked, lateness.awakeAt ?? asked));
    this.#judge();
  }

  #judge(): void {
    const { beat, lateness, now } = this.#state;
    if (beat.state !== "connected") return;
    this.#judgeSilences();
    const { askedAt } = lateness;
    const isNew = this.#silences().some(
      ({ lookSince }) => lookSince !== null && (askedAt === null || lookSince > askedAt),
    );
    if (!isNew) return;
    lateness.askedAt = now;
    this.#effects.push({ kind: "beat", request: { kind: "alive", asked: now } });
  }

  #judgeSilences(): void {
    const { now, peers, pings, lateness } = this.#state;
    const { awakeAt } = lateness;
    for (const [host, peer] of Object.entries(peers)) {
      const timing = this.#timing(peer.announcedDeadtimeMs);
      this.#say(host, judgeSilence(peer.life, timing, now, awakeAt));
      for (const [name, link] of Object.entries(peer.links)) {
        if (!judgeSign(link, this.#linkDeadline(peer, link), now, awakeAt)) continue;
        this.#effects.push({ kind: "link", host, link: name, up: false });
      }
    }
    for (const [name, ping] of Object.entries(pings)) {
      if (!judgeSign(ping.sign, this.#pingDeadline(ping), now, awakeAt)) continue;
      this.#effects.push({ kind: "ping", ping: name, up: false });
    }
  }

  #timing(announcedDeadtimeMs: number | null): PeerTiming {
    const { warntimeMs, deadtimeMs, initdeadMs } = this.#options;
    return { warntimeMs, deadtimeMs: announcedDeadtimeMs ?? deadtimeMs, initdeadMs };
  }

  #linkDeadline(peer: MemberState, link: Sign): Instant | undefined {
    const deadMs = this.#timing(peer.announcedDeadtimeMs).deadtimeMs;
    return signDeadline(link, peer.life.listenFrom, { deadMs, firstMs: undefined });
  }

  #pingDeadline(ping: PingState): Instant | undefined {
    const { deadpingMs, initdeadMs } = this.#options;
    return signDeadline(ping.sign, ping.listenFrom, { deadMs: deadpingMs, firstMs: initdeadMs });
  }

  // Communication.

  #advanceCommunication(): void {
    const { communication, peers, pings, beat, now } = this.#state;
    if (beat.state !== "connected") return;
    const complete =
      Object.values(peers).every(({ life }) => isSettled(life.verdict)) &&
      Object.values(pings).every((ping) => ping.sign.up !== null);
    const askable = this.#options.peers.filter((host) => {
      const peer = this.#peer(host);
      return peer?.kind === "classic" && ["alive", "late"].includes(peer.life.verdict);
    });
    const { next, ask } = advanceCommunication(communication, { complete, askable }, now);
    if (next.phase === "up" && communication.phase !== "up") {
      this.#communicationIsUp();
      return;
    }
    this.#state.communication = next;
    if (ask === undefined) return;
    this.#note("BTN-MEMBER-REQNODES", ask, "it runs heartbeat");
    this.#send({ t: "reqnodes", dest: ask });
  }

  #communicationIsUp(): void {
    this.#state.communication = { phase: "up" };
    this.#announceActive();
    this.#effects.push({ kind: "communicationUp" });
    this.#note("BTN-MEMBER-COMMUNICATION-UP", null, "own status is active");
  }

  #announceActive(): void {
    const { deadtimeMs } = this.#options;
    this.#effects.push({
      kind: "beat",
      request: { kind: "announce", status: "active", deadtimeMs },
    });
  }

  #send(fields: HeartbeatFields): void {
    this.#effects.push({ kind: "beat", request: { kind: "send", fields } });
  }

  #say(host: string, judgement: Judgement | undefined): void {
    if (judgement !== undefined) this.#effects.push({ kind: "verdict", host, ...judgement });
  }

  #note(reason: MembershipReason, host: string | null, detail: string): void {
    this.#effects.push({ kind: "note", reason, host, detail });
  }

  #peer(host: string): MemberState | undefined {
    return Object.hasOwn(this.#state.peers, host) ? this.#state.peers[host] : undefined;
  }
}

const isSettled = (verdict: string): boolean => verdict !== "unheard" && verdict !== "unsure";

/** Our beats begin anew, or go on after a silence: what peers told of them before is no measure. */
function isFreshVoice(before: BeatConnection, beat: BeatState): boolean {
  if (before.state !== "connected") return true;
  return before.generation !== beat.generation || (before.silenced && !beat.silenced);
}
