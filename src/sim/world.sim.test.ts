import { deepEqual, equal, notEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { drawSchedule, profiles, type Schedule } from "./schedule.ts";
import { runSchedule } from "./world.ts";

const regressions = new URL("./regress/", import.meta.url);

test("the same seed gives the same trace (S14)", () => {
  for (const seed of [2, 3, 5, 8, 13, 21]) {
    const [one, again] = [runSchedule(drawSchedule(seed)), runSchedule(drawSchedule(seed))];
    equal(one.hash, again.hash);
    deepEqual(one, again);
  }
  notEqual(runSchedule(drawSchedule(2)).hash, runSchedule(drawSchedule(3)).hash);
});

for (const profile of profiles) {
  test(`six storms of the profile ${profile} break no promise; replay by "baton sim replay SEED --profile ${profile}"`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      deepEqual(runSchedule(drawSchedule(seed, profile)).violations, [], `seed ${seed}`);
    }
  });
}

for (const file of readdirSync(regressions)) {
  test(`what was found once is not found again: ${file}`, () => {
    const schedule = JSON.parse(readFileSync(new URL(file, regressions), "utf8")) as Schedule;
    deepEqual(runSchedule(schedule).violations, []);
  });
}

test("without faults the pair starts both groups within seconds, and stays", () => {
  const quiet: Schedule = {
    ...drawSchedule(1, "swarm"),
    groups: ["database", "address"],
    steps: [],
  };
  const result = runSchedule(quiet);
  deepEqual(result.violations, []);
  equal(result.settledMs, 0);
  equal(result.counts.get("acquire"), 2);
  equal(result.counts.get("release"), undefined);
});
