import { deepEqual, equal, notDeepEqual } from "node:assert/strict";
import { test } from "node:test";
import { drawSchedule, profiles } from "./schedule.ts";

test("a seed always draws the same schedule, and survives being written as JSON", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const schedule = drawSchedule(seed);
    deepEqual(drawSchedule(seed), schedule);
    deepEqual(JSON.parse(JSON.stringify(schedule)), schedule);
  }
  notDeepEqual(drawSchedule(1), drawSchedule(2));
});

test("the faults of a schedule are in order and begin before the calm", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const { steps, calmAtMs, endMs } = drawSchedule(seed);
    const times = steps.map(({ atMs }) => atMs);
    deepEqual(
      times,
      times.toSorted((one, other) => one - other),
    );
    equal((times[0] ?? 0) < calmAtMs && calmAtMs < endMs, true);
  }
});

test("every profile is drawn, and a wanted one is given whatever the seed says", () => {
  const drawn = new Set(Array.from({ length: 100 }, (_, seed) => drawSchedule(seed).profile));
  deepEqual([...drawn].sort(), [...profiles].sort());
  for (const profile of profiles) equal(drawSchedule(1, profile).profile, profile);
});
