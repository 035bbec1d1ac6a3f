/**
 * Links of a peer and ping nodes: up at the first sign, down after silence (heartbeat.md 7.4, 9.1).
 *
 *             unknown -> up         up -> down                         down -> up
 *   link      first beat on it      deadtime of the peer without one   a beat on it
 *   ping      first reply           deadping without one               a reply
 *   ping      (unknown -> down)     initdead without any
 *
 * As for peers, silence counts from the moment from which we listened without a break.
 */
import { after, type Instant, instant } from "../base/index.ts";
import { isAnswered } from "./lateness.ts";

/** One path, or one ping node. Plain JSON. */
export interface Sign {
  seenAt: Instant | null;
  /** Null before the first sign; of a link that never was up heartbeat says nothing either. */
  up: boolean | null;
  /** Since when a tick found it silent for long enough; then the beat process is asked, as for peers. */
  lookSince: Instant | null;
}

export const newSign = (): Sign => ({ seenAt: null, up: null, lookSince: null });

/** Takes a sign into account; true if it is up only now. */
export function noteSign(sign: Sign, at: Instant): boolean {
  if (sign.seenAt === null || at > sign.seenAt) sign.seenAt = at;
  sign.lookSince = null;
  const isNews = sign.up !== true;
  sign.up = true;
  return isNews;
}

/** When silence takes it down; `firstMs` is for what never gave a sign, undefined: never. */
export function signDeadline(
  sign: Sign,
  listenFrom: Instant,
  limits: { readonly deadMs: number; readonly firstMs: number | undefined },
): Instant | undefined {
  if (sign.up === false) return undefined;
  const limitMs = sign.up === null ? limits.firstMs : limits.deadMs;
  if (limitMs === undefined) return undefined;
  return after(instant(Math.max(sign.seenAt ?? listenFrom, listenFrom)), limitMs);
}

/**
 * Takes it down if it was silent until its deadline and the beat process has answered since.
 * @param awakeAt newest sign that the beat process is run
 */
export function judgeSign(
  sign: Sign,
  deadline: Instant | undefined,
  now: Instant,
  awakeAt: Instant | null,
): boolean {
  if (deadline === undefined || now < deadline) {
    sign.lookSince = null;
    return false;
  }
  sign.lookSince ??= now;
  if (!isAnswered(sign.lookSince, awakeAt)) return false;
  sign.lookSince = null;
  sign.up = false;
  return true;
}
