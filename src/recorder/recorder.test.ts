import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import { BeatsRing, beatsKeptMs, beatsMax } from "./beats-ring.ts";
import { entryOf } from "./entry-of.ts";
import { ReasonIndex } from "./explain.ts";

const beat = (at: number) => ({
  at: instant(at),
  host: "dbm157",
  link: "eth0",
  generation: 1,
  sequence: at,
});

test("beats are kept for ten minutes and taken once", () => {
  const ring = new BeatsRing();
  for (let at = 0; at <= beatsKeptMs + 5_000; at += 1_000) ring.push(beat(at));
  const taken = ring.take();
  deepEqual([taken[0]?.at, taken.at(-1)?.at], [5_000, beatsKeptMs + 5_000]);
  ring.push(beat(beatsKeptMs + 6_000));
  deepEqual(
    ring.take().map(({ at }) => at),
    [beatsKeptMs + 6_000],
  );
});

test("a flood of beats is bounded", () => {
  const ring = new BeatsRing();
  for (let index = 0; index < beatsMax + 10; index++) ring.push({ ...beat(0), sequence: index });
  equal(ring.length, beatsMax);
  equal(ring.take()[0]?.sequence, 10);
});

test("an event becomes a line under its own name, and beats, ticks and signs of life do not", () => {
  const acquire = { kind: "acquire", group: "mysql", reason: "BTN-A", operation: 1 };
  deepEqual(entryOf("effect", "failover", acquire), {
    kind: "effect",
    room: "failover",
    name: "acquire",
    reason: "BTN-A",
    group: "mysql",
    peer: null,
    data: acquire,
  });
  equal(entryOf("effect", "failover", { kind: "decision" })?.kind, "decision");
  equal(entryOf("input", "failover", { kind: "operationDone" })?.kind, "result");
  // biome-ignore lint/suspicious/noThenProperty: the contract of failover names it so.
  const persist = { kind: "persist", record: { groups: {} }, then: [acquire] };
  deepEqual(entryOf("effect", "failover", persist)?.data, {
    kind: "persist",
    record: { groups: {} },
  });
  for (const kind of ["tick", "status", "linkHeard", "pingReply", "beatState"]) {
    equal(entryOf("input", "membership", { kind }), undefined);
  }
  const alive = { kind: "beat", request: { kind: "alive" } };
  equal(entryOf("effect", "membership", alive), undefined);
  const rejoin = { kind: "beat", request: { kind: "rejoin" } };
  equal(entryOf("effect", "membership", rejoin)?.name, "beat");
});

const text = { title: "t", meaning: "m", action: "a" };
const index = new ReasonIndex([
  { "BTN-FENCE-UNCONFIRMED": text, "BTN-FENCE-DONE": text },
  { "BTN-JOURNAL-NONE": text },
]);

test("a code is found in any case and without its prefix", () => {
  for (const word of ["BTN-FENCE-DONE", "btn-fence-done", "fence_done", " FENCE-DONE "]) {
    equal(index.find(word)?.code, "BTN-FENCE-DONE");
  }
  equal(index.find("nonsense"), undefined);
});

test("a misspelt code gets the likeliest first, nonsense gets none", () => {
  equal(index.suggest("BTN-FENCE-UNCONFIMED")[0], "BTN-FENCE-UNCONFIRMED");
  equal(index.suggest("UNCONFIRMED-FENCE")[0], "BTN-FENCE-UNCONFIRMED");
  deepEqual(index.suggest("zzzz"), []);
  deepEqual(index.suggest(""), []);
});

test("a code that two rooms explain differently is a collision", () => {
  const other = new ReasonIndex([{ "BTN-A": text }, { "BTN-A": { ...text, title: "other" } }]);
  deepEqual(other.collisions, ["BTN-A"]);
});
