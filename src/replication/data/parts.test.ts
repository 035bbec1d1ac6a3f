import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { instant } from "../../base/index.ts";
import type { ResyncOptions } from "../options.ts";
import { Progress } from "./progress.ts";
import { type Range, RangeIndex } from "./range-index.ts";
import { RateController, WindowRate } from "./rate.ts";

const options: ResyncOptions = {
  rateKibPerSecond: 250,
  planAheadSteps: 20,
  delayTargetSteps: 10,
  fillTargetSectors: 100,
  maxRateKibPerSecond: 102_400,
  minRateKibPerSecond: 250,
  after: undefined,
};

const rangeOf = (sector: number, length: number, exclusive: boolean): Range<never> => ({
  sector,
  end: sector + length,
  exclusive,
  waiters: undefined,
  order: 0,
});

test("the index of ranges agrees with looking at all of them", () => {
  const command = fc.record({
    sector: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 300_000 })),
    length: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 262_144 })),
    exclusive: fc.boolean(),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const index = new RangeIndex<never>();
      const held: Range<never>[] = [];
      for (const { sector, length, exclusive, remove } of commands) {
        if (remove && held.length > 0) {
          const [gone] = held.splice(sector % held.length, 1);
          if (gone !== undefined) index.remove(gone);
        } else {
          const range = rangeOf(sector, length, exclusive);
          index.insert(range);
          held.push(range);
        }
        equal(index.size, held.length);
        const expected = held.some(
          (range) =>
            range.sector < sector + length && sector < range.end && (exclusive || range.exclusive),
        );
        equal(index.conflict(sector, sector + length, exclusive) !== undefined, expected);
        for (const range of held) {
          const earlier = held.some(
            (other) =>
              other.order < range.order &&
              other.sector < range.end &&
              range.sector < other.end &&
              (other.exclusive || range.exclusive),
          );
          const found = index.conflict(range.sector, range.end, range.exclusive, range.order);
          equal(found !== undefined, earlier);
        }
      }
    }),
  );
});

test("a fixed rate asks for its share of a tenth of a second, and for one block at least", () => {
  const share = (rateKibPerSecond: number) =>
    new RateController({ ...options, planAheadSteps: 0, rateKibPerSecond }, 8192).turn();
  deepEqual([share(20), share(60), share(250), share(30_720)], [1, 1, 6, 768]);
});

test("half of max-buffers bounds what is under way", () => {
  const fixed = { ...options, planAheadSteps: 0, rateKibPerSecond: 1_000_000 };
  const rate = new RateController(fixed, 128);
  equal(rate.turn(), 64);
  rate.issued(64);
  equal(rate.turn(), 0);
  rate.received(8 * 16);
  equal(rate.turn(), 16);
});

test("the controller starts with the plan of its start rate and then fills up to its target", () => {
  const rate = new RateController(options, 2048);
  // want = 250 KiB/s * 2 sectors * 2 s = 1000 sectors over 20 steps: 50 in the first.
  equal(rate.turn(), 6);
  rate.issued(6);
  equal(rate.inFlightSectors, 48);
  rate.received(48);
  // want 100, nothing in flight, 950 planned: -42 in each of the 20 slots; 48 that came + 50 - 42 planned.
  equal(rate.turn(), 7);
});

test("the controller never asks for more than c-max-rate, whatever comes back", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 200 }),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 0, max: 5000 }),
      (returned, planAheadSteps, fillTargetSectors) => {
        const rate = new RateController(
          { ...options, planAheadSteps, fillTargetSectors },
          1_000_000,
        );
        let inFlight = 0;
        for (const sectors of returned) {
          const back = Math.min(sectors, inFlight);
          rate.received(back);
          inFlight -= back;
          const units = rate.turn();
          ok(units >= 0 && units <= (options.maxRateKibPerSecond * 2) / 10 / 8);
          rate.issued(units);
          inFlight += units * 8;
          equal(rate.inFlightSectors, inFlight);
        }
      },
    ),
  );
});

test("between Baton hosts c-max-rate alone is the limit, and 500 MB/s are reached", () => {
  const rate = new WindowRate({ ...options, maxRateKibPerSecond: 600_000 }, 0);
  let blocks = 0;
  for (let ms = 0; ms < 1000; ms++) {
    const room = rate.room(ms, 0);
    rate.issued(room);
    blocks += room;
  }
  ok(blocks * 4096 > 500e6, `${blocks} blocks`);
  ok(blocks * 4096 < 1.15 * 600_000 * 1024, `${blocks} blocks`);
  equal(rate.room(1000, 32 * 1024 * 1024), 0);
  ok(rate.waitMs(1) >= 0);
});

test("progress: the last 18 seconds, the whole, and when nothing moves", () => {
  const progress = new Progress("resync", 100_000, instant(0));
  for (let second = 1; second <= 60; second++) {
    progress.update(100_000 - second * 256, instant(second * 1000));
  }
  const view = progress.view(100_000 - 60 * 256, 0, 1024, instant(60_000));
  equal(view.recentKibPerSecond, 1024);
  equal(view.overallKibPerSecond, 1024);
  equal(view.stalled, false);
  const later = progress.view(100_000 - 60 * 256, 0, 1024, instant(250_000));
  equal(later.stalled, true);
});
