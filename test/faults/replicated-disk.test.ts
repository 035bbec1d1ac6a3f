/** The database lies on a disk in two places: hosts lose power (FM01, FM02), and the replication link is cut (FM07). */
import { equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { waitFor } from "../support/wait.ts";
import { full, pauseMs, phasesOf, Stage, skip, spread } from "./stage.ts";

let stage: Stage;
before(async () => {
  if (skip === false) stage = await Stage.open("disk", "default", "disk");
});
after(async () => await stage?.[Symbol.asyncDispose]());

test("FM01: the holder of a replicated disk loses power, comes back and is brought up to date", {
  skip,
}, async (test) => {
  const faults: { from: number; to: number }[] = [];
  const report = await stage.underLoad(test, async (load) => {
    for (let run = 0; run < (full ? 20 : 3); run++) {
      const holder = await stage.calm();
      await load.grow(30);
      const from = Date.now();
      await stage.lab.crash(holder);
      await load.grow(10);
      faults.push({ from, to: Date.now() });
      if (run < 2) test.diagnostic(phasesOf(await stage.incident(stage.other(holder))));
      await stage.lab.start(holder);
    }
    await stage.calm();
  });
  const pauses = faults.map(({ from, to }) => pauseMs(report, from, to));
  test.diagnostic(`from power loss to the next acknowledged write: ${spread(pauses)} ms`);
});

test("FM02: the standby loses power: writes wait until it is excluded, and go on", {
  skip,
}, async (test) => {
  const holder = await stage.calm();
  const server = stage.server(holder);
  let from = 0;
  let to = 0;
  const report = await stage.underLoad(test, async (load) => {
    from = Date.now();
    await stage.lab.crash(stage.other(holder));
    await load.grow(100);
    to = Date.now();
    await stage.lab.start(stage.other(holder));
    equal(await stage.calm(), holder);
  });
  equal(JSON.stringify(stage.server(holder)), JSON.stringify(server));
  test.diagnostic(`writes frozen for ${pauseMs(report, from, to)} ms`);
});

test("FM07: replication alone is cut: the standby is outdated over heartbeat, and brought up to date after", {
  skip,
}, async (test) => {
  const holder = await stage.calm();
  const standby = stage.other(holder);
  let from = 0;
  let to = 0;
  const report = await stage.underLoad(test, async (load) => {
    from = Date.now();
    await stage.lab.cut(standby, { link: "eth1" });
    await load.grow(100);
    to = Date.now();
    await waitFor(
      "the standby knows that its copy is old",
      async () => (await stage.status(standby))?.disks[0]?.disk === "Outdated",
      20_000,
    );
    // A takeover would lose what was acknowledged since (S4).
    const refused = await stage.baton(standby, "takeover");
    ok(refused.code !== 0, "an outdated standby does not take over");
    equal((await stage.status(holder))?.groups[0]?.holder, holder);
    await stage.lab.heal(standby);
    equal(await stage.calm(), holder);
  });
  test.diagnostic(`writes frozen for ${pauseMs(report, from, to)} ms`);
});
