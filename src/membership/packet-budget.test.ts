import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import {
  OTHER_PACKETS_PER_SECOND,
  PacketBudget,
  PEER_PACKETS_PER_SECOND,
} from "./packet-budget.ts";

test("a flood of strangers is cut to its share and leaves the peers theirs", () => {
  const budget = new PacketBudget(instant(0));
  let strangers = 0;
  let peers = 0;
  for (let packet = 0; packet < 1_000_000; packet++) {
    const now = instant(packet / 100); // 10 s of 100,000 packets a second
    if (budget.take(now, false)) strangers++;
    if (packet % 10_000 === 0 && budget.take(now, true)) peers++;
  }
  equal(peers, 100);
  ok(Math.abs(strangers - 11 * OTHER_PACKETS_PER_SECOND) <= 1, `${strangers} let through`);
});

test("a burst of one second's worth passes at once, then the bucket fills again", () => {
  const budget = new PacketBudget(instant(0));
  let taken = 0;
  while (budget.take(instant(0), true)) taken++;
  equal(taken, PEER_PACKETS_PER_SECOND);
  equal(budget.take(instant(0.5), true), false);
  equal(budget.take(instant(1), true), true);
});
