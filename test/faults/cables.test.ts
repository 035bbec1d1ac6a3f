/** Cables are cut and mended: FM06 (all), FM08 (one link), FM09 (one way). */
import { deepEqual, equal } from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { delay } from "../../src/system/clock.ts";
import { full, Stage, skip, Watch } from "./stage.ts";

let stage: Stage;
before(async () => {
  if (skip === false) stage = await Stage.open("cables");
});
after(async () => await stage?.[Symbol.asyncDispose]());

/** How long cables stay cut: many times deadtime. */
const cutMs = full ? 15_000 : 4_000;

interface Case {
  /** Whose cables. */
  readonly victim: "holder" | "standby";
  readonly link?: "eth0" | "eth1";
  readonly way?: "in" | "out";
  /** Who holds the group while they are cut. */
  readonly group: "stays" | "moves";
}

const cases: Readonly<Record<string, Case>> = {
  "FM06: all cables of the holder": { victim: "holder", group: "moves" },
  "FM06: all cables of the standby": { victim: "standby", group: "stays" },
  "FM09: the holder is not heard": { victim: "holder", way: "out", group: "moves" },
  "FM09: the holder hears nothing": { victim: "holder", way: "in", group: "moves" },
  "FM09: the standby is not heard": { victim: "standby", way: "out", group: "stays" },
  "FM09: the standby hears nothing": { victim: "standby", way: "in", group: "stays" },
  "FM08: one of two links": { victim: "holder", link: "eth1", group: "stays" },
  "FM08: one of two links, one way": {
    victim: "standby",
    link: "eth1",
    way: "in",
    group: "stays",
  },
};

for (const [name, one] of Object.entries(cases)) {
  test(`${name}: at no moment two hosts with the data, one holder at the end`, { skip }, (test) =>
    cut(test, one),
  );
}

async function cut(test: TestContext, { victim, link, way, group }: Case): Promise<void> {
  const holder = await stage.calm();
  const next = group === "moves" ? stage.other(holder) : holder;
  const host = victim === "holder" ? holder : stage.other(holder);
  const server = stage.server(holder);
  using watch = new Watch(stage);
  const report = await stage.underLoad(test, async () => {
    await stage.lab.cut(host, { link, way });
    try {
      if (group === "moves") await stage.serviceOn(next);
      await delay(cutMs);
      equal(stage.hasData(next), true);
      equal(stage.hasAddress(next), true);
    } finally {
      await stage.lab.heal(host);
    }
    equal(await stage.calm(), next);
  });
  test.diagnostic(
    `writes paused for ${report.figures.longestGapMs} ms; no host had the address for ${watch.neitherMs("address")} ms; ` +
      `two had the data for ${watch.bothMs("data")} ms, the address for ${watch.bothMs("address")} ms`,
  );
  equal(watch.bothMs("data"), 0);
  if (group === "stays") {
    deepEqual(stage.server(holder), server);
    deepEqual([watch.neitherMs("address"), watch.neitherMs("data")], [0, 0]);
  }
}
