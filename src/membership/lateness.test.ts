import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import { beatGap, newLateness, ownGap } from "./lateness.ts";

const doubt = 400;

test("a stall of the whole host is told once, by whoever notices first", () => {
  const state = newLateness();
  equal(ownGap(state, instant(1_000), doubt), undefined);
  equal(ownGap(state, instant(5_000), doubt), 4_000);
  equal(beatGap(state, { at: instant(5_001), gapMs: 4_000 }, doubt), undefined);
});

test("what of the beat process's stall came after ours is news", () => {
  const state = newLateness();
  ownGap(state, instant(1_000), doubt);
  equal(ownGap(state, instant(2_000), doubt), 1_000);
  equal(beatGap(state, { at: instant(3_500), gapMs: 3_000 }, doubt), 1_500);
  deepEqual(state.resumedAt, instant(3_500));
});

test("a hiccup raises no doubt", () => {
  const state = newLateness();
  equal(beatGap(state, { at: instant(900), gapMs: 400 }, doubt), undefined);
});
