/** Hosts lose power under load (FM01, FM02), also in the middle of a planned move, and groups are moved (FM42). */
import { equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { Prng } from "../../src/base/index.ts";
import { delay } from "../../src/system/clock.ts";
import { full, pauseMs, phasesOf, Stage, skip, spread } from "./stage.ts";

const seed = Number(process.env["SEED"] ?? (full ? Date.now() % 1_000_000 : 1));
const random = new Prng(seed);

let stage: Stage;
before(async () => {
  if (skip === false) stage = await Stage.open("power");
});
after(async () => await stage?.[Symbol.asyncDispose]());

test("a lab with its real agent is up in less than a minute", { skip }, (test) => {
  test.diagnostic(`lab up took ${Math.round(stage.upMs)} ms`);
});

test("FM42: planned moves under load lose nothing", { skip }, async (test) => {
  const moves: { from: number; to: number }[] = [];
  const report = await stage.underLoad(test, async (load) => {
    for (let run = 0; run < (full ? 20 : 4); run++) {
      const holder = await stage.calm();
      await load.grow(50);
      const from = Date.now();
      const asked = run % 2 === 0 ? holder : stage.other(holder);
      const result = await stage.baton(asked, "switch", "--to", stage.other(holder));
      equal(result.code, 0, result.stderr);
      await load.grow(10);
      moves.push({ from, to: Date.now() });
      if (run < 2) test.diagnostic(phasesOf(await stage.incident(stage.other(holder))));
    }
  });
  const pauses = moves.map(({ from, to }) => pauseMs(report, from, to));
  test.diagnostic(`writes blocked by ${pauses.length} moves: ${spread(pauses)} ms`);
});

test("FM01: the holder loses power, comes back, and loses it again", { skip }, async (test) => {
  test.diagnostic(`SEED=${seed}`);
  const faults: { from: number; to: number }[] = [];
  const report = await stage.underLoad(test, async (load) => {
    for (let run = 0; run < (full ? 24 : 3); run++) {
      const holder = await stage.calm();
      const survivor = stage.other(holder);
      await load.grow(20 + random.between(0, 50));
      const from = Date.now();
      await stage.lab.crash(holder);
      await load.grow(10);
      faults.push({ from, to: Date.now() });
      await stage.serviceOn(survivor);
      if (run < 3) test.diagnostic(phasesOf(await stage.incident(survivor)));
      await stage.lab.start(holder);
    }
    await stage.calm();
  });
  const pauses = faults.map(({ from, to }) => pauseMs(report, from, to));
  test.diagnostic(
    `from power loss to the next acknowledged write, ${pauses.length} times: ${spread(pauses)} ms`,
  );
});

test("FM01 with profile fast", { skip }, async (test) => {
  await using fast = await Stage.open("fast", "fast");
  const faults: { from: number; to: number }[] = [];
  const report = await fast.underLoad(test, async (load) => {
    for (let run = 0; run < (full ? 10 : 2); run++) {
      const holder = await fast.calm();
      await load.grow(20 + random.between(0, 50));
      const from = Date.now();
      await fast.lab.crash(holder);
      await load.grow(10);
      faults.push({ from, to: Date.now() });
      if (run === 0) test.diagnostic(phasesOf(await fast.incident(fast.other(holder))));
      await fast.lab.start(holder);
    }
    await fast.calm();
  });
  const pauses = faults.map(({ from, to }) => pauseMs(report, from, to));
  test.diagnostic(`from power loss to the next acknowledged write: ${spread(pauses)} ms`);
});

test("FM02: the standby loses power and nothing happens", { skip }, async (test) => {
  const holder = await stage.calm();
  const [server, orders] = [stage.server(holder), stage.orders(holder)];
  const report = await stage.underLoad(test, async (load) => {
    await stage.lab.crash(stage.other(holder));
    await load.grow(300);
    const status = await stage.status(holder);
    equal(status?.groups[0]?.holder, holder);
    await stage.lab.start(stage.other(holder));
    equal(await stage.calm(), holder);
  });
  equal(JSON.stringify(stage.server(holder)), JSON.stringify(server));
  equal(JSON.stringify(stage.orders(holder)), JSON.stringify(orders));
  test.diagnostic(`longest pause ${report.figures.longestGapMs} ms`);
});

for (const victim of ["giver", "taker"] as const) {
  test(`a host loses power in the middle of a move: the ${victim}`, { skip }, async (test) => {
    for (let run = 0; run < (full ? 15 : 2); run++) {
      const faults: { from: number; to: number }[] = [];
      const report = await stage.underLoad(test, async (load) => {
        const holder = await stage.calm();
        const dying = victim === "giver" ? holder : stage.other(holder);
        // A move takes some 400 ms: the power goes somewhere in it.
        const move = stage.baton(stage.other(dying), "switch", "--to", stage.other(holder));
        await delay(random.between(100, 900));
        const from = Date.now();
        await stage.lab.crash(dying);
        await load.grow(10);
        faults.push({ from, to: Date.now() });
        await move;
        await stage.serviceOn(stage.other(dying));
        await stage.lab.start(dying);
        equal(await stage.calm(), stage.other(dying));
      });
      const pauses = faults.map(({ from, to }) => pauseMs(report, from, to));
      test.diagnostic(`next acknowledged write after ${spread(pauses)} ms`);
    }
  });
}

test("both hosts lose power and come back", { skip }, async (test) => {
  const report = await stage.underLoad(test, async (load) => {
    const holder = await stage.calm();
    await stage.lab.crash(holder);
    await stage.lab.crash(stage.other(holder));
    await stage.lab.start(stage.other(holder));
    await stage.lab.start(holder);
    await stage.calm();
    await load.grow(50);
  });
  ok(report.figures.ok > 0);
  test.diagnostic(`longest pause ${report.figures.longestGapMs} ms`);
});
