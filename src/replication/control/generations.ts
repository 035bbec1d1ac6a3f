/**
 * Data generations: how they change and what two sets of them mean (drbd.md 5.1, 5.3, 5.4). Pure.
 *
 * Bit 0 of an identity says "was Primary" and is no part of it: masked in every comparison. 4 is "just created", 0 empty.
 */
import type { DiskRole, Generations } from "../contract.ts";

const ALL = 0xffff_ffff_ffff_ffffn;
const IDENTITY = ALL & ~1n;
/** The value of CURRENT in fresh metadata. */
export const JUST_CREATED = 4n;
/** What a sync adds to the BITMAP identity, so that each attempt has its own. */
export const SYNC_OFFSET = 0x0001_0000_0000_0000n;

export const noGenerations: Generations = { current: 0n, bitmap: 0n, history0: 0n, history1: 0n };
/** Whether two identities are the same, whoever was Primary. */
export const sameGeneration = (a: bigint, b: bigint): boolean => (a & IDENTITY) === (b & IDENTITY);

const plus = (value: bigint): bigint => (value + SYNC_OFFSET) & ALL;

/** CURRENT with bit 0 as the role demands. */
export const withRole = (generations: Generations, primary: boolean): Generations => ({
  ...generations,
  current: (generations.current & IDENTITY) | (primary ? 1n : 0n),
});

/** A new generation: the old one becomes what the bitmap counts from. */
export const newCurrent = (g: Generations, random: bigint, primary: boolean): Generations =>
  withRole({ ...g, bitmap: g.current, current: random & ALL }, primary);

/** BITMAP := 0, the old value goes into the history. */
export const clearBitmapGeneration = (g: Generations): Generations =>
  g.bitmap === 0n ? g : { ...g, bitmap: 0n, history0: g.bitmap, history1: g.history0 };

/** BITMAP := value, the old value goes into the history unless it was empty. */
export const rotateBitmap = (g: Generations, value: bigint): Generations => ({
  ...clearBitmapGeneration(g),
  bitmap: value,
});

/** What a source becomes when a resync starts: the new BITMAP is what P_SYNC_UUID says. */
export function startAsSource(g: Generations, random: bigint): Generations {
  const base = g.bitmap === 0n || g.bitmap === JUST_CREATED ? random & ALL : g.bitmap;
  return rotateBitmap(g, plus(base));
}

/** What a target becomes when it receives P_SYNC_UUID. */
export const startAsTarget = (g: Generations, syncUuid: bigint, primary: boolean): Generations =>
  withRole({ ...g, current: syncUuid, bitmap: 0n }, primary);

/** What a target becomes when a resync is complete, by the peer's set. */
export function finishAsTarget(own: Generations, peer: Generations, primary: boolean): Generations {
  const taken = rotateBitmap({ ...peer, current: own.current }, own.current);
  return clearBitmapGeneration(withRole({ ...taken, current: peer.current }, primary));
}

/** Who the two are in a comparison. */
export interface ComparisonContext {
  readonly role: DiskRole;
  readonly peerRole: DiskRole;
  readonly crashed: boolean;
  readonly peerCrashed: boolean;
  /** FF_WSAME is agreed: rule 41 is allowed. */
  readonly knowsRule41: boolean;
  /** We accepted the meta socket: breaks ties. */
  readonly resolveConflicts: boolean;
}

/**
 * +1/-1: source or target by bitmaps; +2/-2: with a full sync; 0: none; 100: split brain that policies may solve; -100:
 * ambiguous split brain; -1000: unrelated data; -1001: this peer is too old for the case.
 */
export type Comparison = 0 | 1 | -1 | 2 | -2 | 100 | -100 | -1000 | -1001;

/** The rule that matched, what it says, and both sets as they are after the corrections of rules 34, 35, 51, 71. */
export interface Compared {
  readonly rule: number;
  readonly result: Comparison;
  readonly own: Generations;
  readonly peer: Generations;
}

/** Compares both sets (drbd.md 5.4): the first rule that matches. Of sets that the rules can make, both sides conclude oppositely. */
export function compareGenerations(
  own: Generations,
  peer: Generations,
  context: ComparisonContext,
): Compared {
  const is = (rule: number, result: Comparison, fixed?: Partial<Compared>): Compared => ({
    rule,
    result,
    own,
    peer,
    ...fixed,
  });
  const [mine, theirs] = [own.current & IDENTITY, peer.current & IDENTITY];
  if (mine === JUST_CREATED && theirs === JUST_CREATED) return is(10, 0);
  if ((mine === JUST_CREATED || mine === 0n) && theirs !== JUST_CREATED) return is(20, -2);
  if (mine !== JUST_CREATED && (theirs === JUST_CREATED || theirs === 0n)) return is(30, 2);
  if (mine === theirs) return compareEqual(own, peer, context, is);
  if (sameGeneration(own.current, peer.bitmap)) return is(50, -1);
  if (
    sameGeneration(own.current, peer.history0) &&
    sameGeneration(plus(peer.history0), peer.bitmap)
  ) {
    return is(51, -1, { peer: { ...peer, bitmap: peer.history0, history0: peer.history1 } });
  }
  const inHistory = (set: Generations, identity: bigint): boolean =>
    sameGeneration(set.history0, identity) || sameGeneration(set.history1, identity);
  if (inHistory(peer, own.current)) return is(60, -2);
  if (sameGeneration(own.bitmap, peer.current)) return is(70, 1);
  if (
    sameGeneration(own.history0, peer.current) &&
    sameGeneration(plus(own.history0), own.bitmap)
  ) {
    return is(71, 1, { own: { ...own, bitmap: own.history0, history0: own.history1 } });
  }
  if (inHistory(own, peer.current)) return is(80, 2);
  if (sameGeneration(own.bitmap, peer.bitmap) && (own.bitmap & IDENTITY) !== 0n) return is(90, 100);
  if (inHistory(peer, own.history0) || inHistory(peer, own.history1)) return is(100, -100);
  return is(0, -1000);
}

type Verdict = (rule: number, result: Comparison, fixed?: Partial<Compared>) => Compared;

/** Rules 34 to 41: the same current generation. */
function compareEqual(
  own: Generations,
  peer: Generations,
  context: ComparisonContext,
  is: Verdict,
): Compared {
  if (peer.bitmap === 0n && own.bitmap !== 0n) {
    // The source missed that the target had finished: the target already rotated.
    const missed =
      sameGeneration(own.bitmap, peer.history0) && sameGeneration(own.history0, peer.history1);
    return missed ? is(34, 1, { own: clearBitmapGeneration(own) }) : is(36, 1);
  }
  if (own.bitmap === 0n && peer.bitmap !== 0n) {
    const missed =
      sameGeneration(own.history0, peer.bitmap) && sameGeneration(own.history1, peer.history0);
    return missed ? is(35, -1, { peer: clearBitmapGeneration(peer) }) : is(37, -1);
  }
  const { crashed, peerCrashed, role, peerRole } = context;
  if (!crashed && !peerCrashed) return is(40, 0);
  if (role === "Primary" || peerRole === "Primary") {
    if (!context.knowsRule41) return is(41, -1001);
    if (role === "Primary" && peerRole === "Primary") return is(41, -100);
    return is(41, role === "Primary" ? 1 : -1);
  }
  if (crashed && peerCrashed) return is(40, context.resolveConflicts ? -1 : 1);
  return is(40, crashed ? 1 : -1);
}
