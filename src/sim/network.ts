/**
 * The network of the simulated pair: each host has a cable per link to a switch, cut or whole in each
 * direction; a datagram may be lost, late, doubled and overtaken. The switch answers pings on the
 * first link. The seed decides everything.
 */
import type { Prng } from "../base/index.ts";
import type { EventQueue } from "./event-queue.ts";

/** How bad the wire is. Probabilities 0..1, delays in milliseconds. */
export interface Weather {
  readonly loss: number;
  readonly duplication: number;
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  /** Now and then one takes this long. */
  readonly spikeMs: number;
}

export const fairWeather: Weather = {
  loss: 0,
  duplication: 0,
  delayMinMs: 0.05,
  delayMaxMs: 0.5,
  spikeMs: 0,
};

export type Direction = "in" | "out";

/** A datagram as the wire saw it; kept for replays. */
export interface SentDatagram {
  readonly from: string;
  readonly bytes: Uint8Array;
  /** It reached the other host: sent again it is a replay, else it would only be late. */
  arrived?: boolean;
}

/** Datagrams kept per host for replays. */
const KEPT_MAX = 400;

/** Cables between hosts and the switch. */
export class Network {
  readonly #events: EventQueue;
  readonly #random: Prng;
  readonly #cuts = new Map<string, Map<string, Record<Direction, boolean>>>();
  readonly #kept = new Map<string, SentDatagram[]>();
  readonly links: readonly string[];
  weather: Weather = fairWeather;
  pingAnswers = true;
  /** Counts changes of the cables. */
  revision = 0;

  constructor(events: EventQueue, random: Prng, links: readonly string[]) {
    this.#events = events;
    this.#random = random;
    this.links = links;
  }

  cut(host: string, link: string, direction: Direction): void {
    const links = this.#cuts.get(host) ?? new Map<string, Record<Direction, boolean>>();
    this.#cuts.set(host, links);
    const ends = links.get(link) ?? { in: false, out: false };
    links.set(link, { ...ends, [direction]: true });
    this.revision++;
  }

  heal(host: string, link: string, direction: Direction): void {
    const ends = this.#cuts.get(host)?.get(link);
    if (ends === undefined) return;
    ends[direction] = false;
    this.revision++;
  }

  healAll(): void {
    this.#cuts.clear();
    this.revision++;
  }

  /** Whether a datagram of `from` can reach `to` on `link` at all. */
  carries(from: string, to: string, link: string): boolean {
    return !this.#isCut(from, link, "out") && !this.#isCut(to, link, "in");
  }

  #isCut(host: string, link: string, direction: Direction): boolean {
    return this.#cuts.get(host)?.get(link)?.[direction] === true;
  }

  /** Whether any link carries datagrams of `from` to `to`. */
  connected(from: string, to: string): boolean {
    return this.links.some((link) => this.carries(from, to, link));
  }

  /** Whether the switch sees `host`'s pings and its answers come back. */
  pings(host: string): boolean {
    const link = this.links[0] ?? "";
    const cut = this.#isCut(host, link, "out") || this.#isCut(host, link, "in");
    return this.pingAnswers && !cut;
  }

  /** Sends on every link; `arrive` is called for each copy that gets through, with its time. */
  send(
    datagram: SentDatagram,
    to: string,
    arrive: (link: string, at: number, bytes: Uint8Array) => void,
  ): void {
    const kept = this.#kept.get(datagram.from) ?? [];
    this.#kept.set(datagram.from, kept);
    kept.push(datagram);
    if (kept.length > KEPT_MAX) kept.shift();
    for (const link of this.links) {
      if (!this.carries(datagram.from, to, link)) continue;
      const copies = this.#random.chance(this.weather.duplication) ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        if (this.#random.chance(this.weather.loss)) continue;
        arrive(link, this.#events.now + this.#delayMs(), datagram.bytes);
      }
    }
  }

  /** What an attacker on the LAN recorded of a host, as far as it arrived. */
  recorded(from: string): readonly SentDatagram[] {
    return (this.#kept.get(from) ?? []).filter(({ arrived }) => arrived === true);
  }

  roundTripMs(): number {
    return this.#delayMs() + this.#delayMs();
  }

  #delayMs(): number {
    const { delayMinMs, delayMaxMs, spikeMs } = this.weather;
    const usual = delayMinMs + (this.#random.next() / 2 ** 32) * (delayMaxMs - delayMinMs);
    return spikeMs > 0 && this.#random.chance(0.02) ? usual + spikeMs : usual;
  }
}
