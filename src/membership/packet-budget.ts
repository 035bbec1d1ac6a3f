/**
 * How many datagrams of one link may cost a digest. A flood must not take the processor from the beats, and it must
 * not crowd them out either.
 * Source: reliability 9.2, "token bucket 2000 pkt/s per interface then drop before MAC".
 *
 * Two buckets per link: senders whose address is that of a configured peer have the larger one for
 * themselves; all other addresses share the smaller. Addresses prove nothing and none is refused for its own
 * sake (heartbeat never checks them): they only decide which bucket pays.
 */
import type { Instant } from "../base/index.ts";

/** Together 2000 packets a second. A pair at `keepalive` 100 ms sends 20 and some. */
export const PEER_PACKETS_PER_SECOND = 1_500;
export const OTHER_PACKETS_PER_SECOND = 500;

/** Token buckets in front of the digest: one for configured peers, one for everybody else. */
export class PacketBudget {
  readonly #peer: TokenBucket;
  readonly #other: TokenBucket;

  constructor(now: Instant) {
    this.#peer = new TokenBucket(PEER_PACKETS_PER_SECOND, now);
    this.#other = new TokenBucket(OTHER_PACKETS_PER_SECOND, now);
  }

  /** True if a datagram read at `now` may be looked at; false if it is to be dropped unread. */
  take(now: Instant, fromPeerAddress: boolean): boolean {
    return fromPeerAddress ? this.#peer.take(now) : this.#other.take(now);
  }
}

/** Holds at most one second's worth. */
class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #at: Instant;

  constructor(perSecond: number, now: Instant) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#at = now;
  }

  take(now: Instant): boolean {
    const earned = ((now - this.#at) / 1_000) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + earned);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
