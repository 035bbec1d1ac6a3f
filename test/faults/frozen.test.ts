/**
 * A holder stands still and goes on later: FM04 (its agent and beat process), FM05 (the whole host). With two
 * hosts and no fence nothing can keep what such a host still writes from the shared disk (reliability 4.2:
 * N in mode none, and status says so before). Promised and asserted: the other host takes over, the resumed
 * one lets go of everything and writes nothing in order to do so, and nobody steps back without need.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { delay } from "../../src/system/clock.ts";
import { waitFor } from "../support/wait.ts";
import { full, pauseMs, phasesOf, Stage, skip, Watch } from "./stage.ts";

/** What status promises beforehand: the loss of what a frozen holder does is no surprise to anybody. */
async function saidBefore(test: TestContext, stage: Stage, host: string): Promise<void> {
  const modes = (await stage.status(host))?.modes ?? [];
  test.diagnostic(
    `status before: ${modes.map(({ code, text }) => `${text} [${code}]`).join("; ")}`,
  );
  ok(modes.some(({ code }) => code === "BTN-MODE-CLAIM"));
}

/** Neither data nor address nor server are left on the host. */
async function hasLetGo(stage: Stage, host: string): Promise<void> {
  await waitFor(
    `${host} lets go`,
    () => !stage.hasData(host) && !stage.hasAddress(host) && stage.server(host) === undefined,
    20_000,
  );
}

const both = (watch: Watch): string =>
  `two hosts had the address for ${watch.bothMs("address")} ms, the data for ${watch.bothMs("data")} ms`;

for (let run = 0; run < (full ? 10 : 1); run++) {
  test("FM05: the holder is frozen for 5 s: the other takes over, the resumed one lets go", {
    skip,
  }, async (test) => {
    await using stage = await Stage.open(`frozen${run}`);
    const holder = await stage.calm();
    const survivor = stage.other(holder);
    await saidBefore(test, stage, holder);
    using watch = new Watch(stage);
    let [from, to] = [0, 0];
    const report = await stage.underLoad(
      test,
      async (load) => {
        from = Date.now();
        await stage.lab.pause(holder, 5);
        await stage.serviceOn(survivor);
        await load.grow(20);
        to = Date.now();
        test.diagnostic(phasesOf(await stage.incident(survivor)));
        await delay(4_000);
        equal(await stage.calm(), survivor);
        test.diagnostic(phasesOf(await stage.incident(holder)));
      },
      { mayLose: true },
    );
    await hasLetGo(stage, holder);
    test.diagnostic(`writes blocked for ${pauseMs(report, from, to)} ms; ${both(watch)}`);
    const check = await stage.lab.sql("CHECK TABLE baton_lab.append EXTENDED");
    test.diagnostic(`afterwards: ${(check.stdout || check.stderr).trim()}`);
  });
}

test("FM04: agent and beat process stand still for 5 s: they let go when they go on", {
  skip,
}, async (test) => {
  await using stage = await Stage.open("stopped");
  const holder = await stage.calm();
  await saidBefore(test, stage, holder);
  using watch = new Watch(stage);
  const pids = (["agent", "beat"] as const).map((verb) => stage.program(holder, verb));
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  await stage.serviceOn(stage.other(holder));
  // Its server is alive and could write: no client may reach it here, and the test gives it nothing to do.
  await delay(3_000);
  for (const pid of pids) process.kill(pid, "SIGCONT");
  await hasLetGo(stage, holder);
  test.diagnostic(both(watch));
  const hosts = [holder, stage.other(holder)];
  deepEqual(
    hosts.filter((host) => stage.hasAddress(host)),
    [stage.other(holder)],
  );
});
