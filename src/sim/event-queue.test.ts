import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventQueue } from "./event-queue.ts";

test("what is due first happens first, and equal times keep the order in which they were planned", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (times) => {
      const events = new EventQueue();
      const happened: [number, number][] = [];
      times.forEach((at, index) => {
        events.schedule(at, () => happened.push([events.now, index]));
      });
      while (events.advance(100));
      const expected = times
        .map((at, index): [number, number] => [at, index])
        .sort(([one, first], [other, second]) => one - other || first - second);
      deepEqual(happened, expected);
    }),
  );
});

test("what is cancelled does not happen, and nothing happens after the end", () => {
  const events = new EventQueue();
  const happened: string[] = [];
  const cancel = events.schedule(5, () => happened.push("cancelled"));
  events.schedule(10, () => happened.push("in time"));
  events.schedule(11, () => happened.push("too late"));
  cancel();
  while (events.advance(10));
  deepEqual(happened, ["in time"]);
  equal(events.now, 10);
});

test("nothing is planned for the past", () => {
  const events = new EventQueue();
  const happened: number[] = [];
  events.schedule(10, () => events.schedule(3, () => happened.push(events.now)));
  while (events.advance(20));
  deepEqual(happened, [10]);
});
