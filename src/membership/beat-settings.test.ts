import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import { MissedEvents } from "./beat-settings.ts";
import type { BeatEvent } from "./contract.ts";

const message = (at: number): BeatEvent => ({
  kind: "message",
  at: instant(at),
  host: "dbm158",
  link: "eth0",
  generation: 7,
  fields: { t: "resource" },
});

test("messages wait for an agent that restarts; what the state shows does not", () => {
  const missed = new MissedEvents(3_000);
  missed.add(message(100));
  missed.add({ kind: "pingReply", at: instant(150), ping: "192.168.0.1" });
  missed.add(message(200));
  deepEqual(missed.take(instant(2_000)), [message(100), message(200)]);
  deepEqual(missed.take(instant(2_000)), []);
});

test("what was said before our beats ceased is void", () => {
  const missed = new MissedEvents(3_000);
  missed.add(message(100));
  missed.add(message(2_000));
  deepEqual(missed.take(instant(4_000)), [message(2_000)]);
});

test("at the limit the oldest are dropped", () => {
  const missed = new MissedEvents(60_000);
  for (let at = 0; at < 1_500; at++) missed.add(message(at));
  const kept = missed.take(instant(1_500));
  equal(kept.length, 1_000);
  deepEqual(kept[0], message(500));
});
