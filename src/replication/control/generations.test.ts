import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/index.ts";
import type { Generations } from "../contract.ts";
import {
  type ComparisonContext,
  clearBitmapGeneration,
  compareGenerations,
  finishAsTarget,
  newCurrent,
  rotateBitmap,
  SYNC_OFFSET,
  sameGeneration,
  startAsSource,
  startAsTarget,
  withRole,
} from "./generations.ts";

const set = (current: bigint, bitmap = 0n, history0 = 0n, history1 = 0n): Generations => ({
  current,
  bitmap,
  history0,
  history1,
});
const calm: ComparisonContext = {
  role: "Secondary",
  peerRole: "Secondary",
  crashed: false,
  peerCrashed: false,
  knowsRule41: true,
  resolveConflicts: false,
};
const [A, B, C, D, E, F] = [0x10n, 0x20n, 0x30n, 0x40n, 0x50n, 0x60n] as const;
const sync = (identity: bigint): bigint => identity + SYNC_OFFSET;

const table: readonly (readonly [
  string,
  Generations,
  Generations,
  Partial<ComparisonContext>,
  number,
  number,
])[] = [
  ["both just created", set(4n), set(4n), {}, 10, 0],
  ["we are just created", set(4n), set(A, 4n), {}, 20, -2],
  ["we are empty", set(0n), set(A), {}, 20, -2],
  ["the peer is just created", set(A, 4n), set(4n), {}, 30, 2],
  ["just created is known whatever bit 0 says", set(5n), set(4n), {}, 10, 0],
  ["we missed the end of the resync", set(A, B, C), set(A, 0n, B, C), {}, 34, 1],
  ["the peer lost the sync uuid", set(A, B, C), set(A, 0n, D, E), {}, 36, 1],
  ["the peer missed the end of the resync", set(A, 0n, B, C), set(A, B, C), {}, 35, -1],
  ["we lost the sync uuid", set(A, 0n, D, E), set(A, B, C), {}, 37, -1],
  ["equal", set(A), set(A | 1n), {}, 40, 0],
  ["equal, only we crashed", set(A), set(A), { crashed: true }, 40, 1],
  ["equal, only the peer crashed", set(A), set(A), { peerCrashed: true }, 40, -1],
  ["equal, both crashed", set(A), set(A), { crashed: true, peerCrashed: true }, 40, 1],
  [
    "equal, both crashed, we accepted meta",
    set(A),
    set(A),
    { crashed: true, peerCrashed: true, resolveConflicts: true },
    40,
    -1,
  ],
  [
    "equal, the peer crashed, we are Primary",
    set(A),
    set(A),
    { peerCrashed: true, role: "Primary" },
    41,
    1,
  ],
  [
    "equal, we crashed, the peer is Primary",
    set(A),
    set(A),
    { crashed: true, peerRole: "Primary" },
    41,
    -1,
  ],
  [
    "equal, crashed, the peer is too old",
    set(A),
    set(A),
    { crashed: true, peerRole: "Primary", knowsRule41: false },
    41,
    -1001,
  ],
  ["the peer went on without us", set(A), set(B, A | 1n), {}, 50, -1],
  ["its sync uuid never reached us", set(A), set(B, sync(A), A), {}, 51, -1],
  ["the peer went on twice", set(A), set(B, C, A), {}, 60, -2],
  ["the peer went on long ago", set(A), set(B, C, D, A), {}, 60, -2],
  ["we went on without the peer", set(B, A), set(A), {}, 70, 1],
  ["our sync uuid was lost", set(B, sync(A), A), set(A), {}, 71, 1],
  ["we went on twice", set(B, C, A), set(A), {}, 80, 2],
  ["both went on from the same data", set(B, A), set(C, A), {}, 90, 100],
  ["something in common long ago", set(B, D, A, E), set(C, F, A, 0n), {}, 100, -100],
  ["empty slots are equal", set(A), set(B), {}, 100, -100],
  ["nothing in common", set(A, 0n, C, D), set(B, 0n, E, F), {}, 0, -1000],
];

for (const [name, own, peer, context, rule, result] of table) {
  test(`comparison: ${name} is rule ${rule}`, () => {
    const compared = compareGenerations(own, peer, { ...calm, ...context });
    deepEqual([compared.rule, compared.result], [rule, result]);
  });
}

test("corrections: 34 and 71 change our set, 35 and 51 our copy of the peer's", () => {
  deepEqual(compareGenerations(set(A, B, C), set(A, 0n, B, C), calm).own, set(A, 0n, B, C));
  deepEqual(compareGenerations(set(A, 0n, B, C), set(A, B, C), calm).peer, set(A, 0n, B, C));
  deepEqual(compareGenerations(set(A), set(B, sync(A), A), calm).peer, set(B, A));
  deepEqual(compareGenerations(set(B, sync(A), A), set(A), calm).own, set(B, A));
});

test("operations do what recording 01 shows: forced Primary, full sync, disconnect", () => {
  const forced = newCurrent(set(4n), 0xfan, true);
  deepEqual(forced, set(0xfbn, 4n));
  const source = startAsSource(forced, 0x100n);
  deepEqual(source, set(0xfbn, sync(0x100n), 4n));
  const target = startAsTarget(set(4n), source.bitmap, false);
  deepEqual(target, set(source.bitmap));
  const finished = clearBitmapGeneration(source);
  deepEqual(finished, set(0xfbn, 0n, sync(0x100n), 4n));
  deepEqual(finishAsTarget(target, forced, false), set(0xfan, 0n, sync(0x100n), 4n));
  equal(rotateBitmap(set(A, B, C), D).history0, B);
});

interface Model {
  g: Generations;
  primary: boolean;
  crashed: boolean;
}

/** One random life of a pair: every comparison must be opposite, every finished resync leave equal sets (I6). */
function live(seed: number): void {
  const random = new Prng(seed);
  const fresh = (): bigint =>
    (BigInt(random.between(1, 0xffff_fffe)) << 32n) | BigInt(random.between(8, 0xffff_fffe));
  const one: Model = { g: set(4n), primary: false, crashed: false };
  const two: Model = { g: set(4n), primary: false, crashed: false };
  let connected = false;
  const alone = (model: Model): void => {
    if (model.primary && model.g.bitmap === 0n) model.g = newCurrent(model.g, fresh(), true);
  };
  const part = (): void => {
    connected = false;
    alone(one);
    alone(two);
  };
  const resync = (source: Model, target: Model): void => {
    const peers = source.g;
    source.g = startAsSource(source.g, fresh());
    if (random.chance(0.2)) {
      part();
      return;
    }
    target.g = startAsTarget(target.g, source.g.bitmap, target.primary);
    if (random.chance(0.2)) {
      part();
      return;
    }
    target.g = finishAsTarget(target.g, peers, target.primary);
    target.crashed = false;
    if (random.chance(0.2)) {
      part();
      return;
    }
    source.g = clearBitmapGeneration(source.g);
    source.crashed = false;
    connected = true;
    for (const slot of ["current", "bitmap", "history0", "history1"] as const) {
      ok(sameGeneration(source.g[slot], target.g[slot]), `${slot} differs after a resync`);
    }
    equal(source.g.bitmap, 0n);
  };
  const meet = (): void => {
    if (one.primary && two.primary) return;
    const tie = random.chance(0.5);
    const role = (model: Model) => (model.primary ? "Primary" : "Secondary");
    const seen = (self: Model, other: Model, resolveConflicts: boolean) =>
      compareGenerations(self.g, other.g, {
        role: role(self),
        peerRole: role(other),
        crashed: self.crashed,
        peerCrashed: other.crashed,
        knowsRule41: true,
        resolveConflicts,
      });
    const [a, b] = [seen(one, two, tie), seen(two, one, !tie)];
    const apart = Math.abs(a.result) >= 100;
    equal(
      apart ? a.result : a.result + b.result,
      apart ? b.result : 0,
      `rules ${a.rule}, ${b.rule}`,
    );
    one.g = a.own;
    two.g = b.own;
    if (a.result === 0) {
      connected = true;
      if (a.rule === 40) [one.crashed, two.crashed] = [false, false];
      return;
    }
    const first = apart ? random.chance(0.5) : a.result > 0;
    // A Primary is no target, and a person gives one side up after a split brain.
    if ((first ? two : one).primary) return;
    resync(first ? one : two, first ? two : one);
  };
  for (let step = 0; step < 60; step++) {
    const [self, other] = random.chance(0.5) ? [one, two] : [two, one];
    switch (random.between(0, 5)) {
      case 0:
      case 1:
        if (!connected) meet();
        break;
      case 2:
        if (connected) part();
        break;
      case 3:
        if (self.primary || (connected && other.primary)) break;
        if (self.g.current === 4n || (!connected && self.g.bitmap === 0n)) {
          const forced = self.g.current === 4n;
          self.g = newCurrent(self.g, fresh(), false);
          self.primary = true;
          self.g = withRole(self.g, true);
          if (connected && forced) resync(self, other);
        } else {
          self.primary = true;
          self.g = withRole(self.g, true);
        }
        break;
      case 4:
        self.primary = false;
        self.g = withRole(self.g, false);
        break;
      default:
        self.crashed ||= self.primary;
        self.primary = false;
        self.g = withRole(self.g, false);
        if (connected) part();
    }
  }
}

test("both sides conclude oppositely from all sets that the operations can make", () => {
  for (let seed = 1; seed <= 2_000; seed++) live(seed);
});
