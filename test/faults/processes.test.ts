/**
 * Baton's own processes end or stand still, or the standby does: FM03, FM04, and the restart of an agent.
 * What must not change is compared before and after. Holders that stand still: `frozen.test.ts`.
 */
import { deepEqual, equal } from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { delay } from "../../src/system/clock.ts";
import { waitFor } from "../support/wait.ts";
import { Stage, skip, Watch } from "./stage.ts";

let stage: Stage;
before(async () => {
  if (skip === false) stage = await Stage.open("processes");
});
after(async () => await stage?.[Symbol.asyncDispose]());

const verbs = { agent: ["agent"], beat: ["beat"], both: ["agent", "beat"] } as const;

/** Ends or disturbs something under load; the holder must keep what it has, and not notice. */
async function undisturbed(
  test: TestContext,
  disturb: (holder: string) => Promise<void>,
): Promise<void> {
  const holder = await stage.calm();
  const before = { server: stage.server(holder), orders: stage.orders(holder) };
  const standby = stage.orders(stage.other(holder));
  using watch = new Watch(stage);
  const report = await stage.underLoad(test, async () => {
    await disturb(holder);
    equal(await stage.calm(), holder);
  });
  deepEqual({ server: stage.server(holder), orders: stage.orders(holder) }, before);
  deepEqual(stage.orders(stage.other(holder)), standby);
  deepEqual([watch.neitherMs("address"), watch.neitherMs("data")], [0, 0]);
  test.diagnostic(`longest pause of the writes ${report.figures.longestGapMs} ms`);
}

for (const [what, killed] of Object.entries(verbs)) {
  test(`FM03: ${what} killed on the holder: no role changes, nothing stops`, {
    skip,
  }, async (test) => {
    await undisturbed(test, async (holder) => {
      const pids = killed.map((verb) => stage.program(holder, verb));
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await waitFor(
        "new processes",
        () =>
          killed.every((verb) => {
            const found = stage.programs(holder, verb);
            return found.length === 1 && !found.some((pid) => pids.includes(pid));
          }),
        20_000,
      );
    });
  });
}

test("an agent that restarts itself on SIGHUP changes no role and stops nothing", {
  skip,
}, async (test) => {
  await undisturbed(test, async (holder) => {
    const agent = stage.program(holder, "agent");
    const [beat, started] = [
      stage.program(holder, "beat"),
      (await stage.status(holder))?.agent.started,
    ];
    process.kill(agent, "SIGHUP");
    await waitFor(
      "the agent answers anew",
      async () => {
        const status = await stage.status(holder);
        return status !== undefined && status.agent.started !== started;
      },
      20_000,
    );
    equal(stage.program(holder, "agent"), agent); // it replaced itself
    equal(stage.program(holder, "beat"), beat);
  });
});

test("FM03: both killed on the standby: it comes back and seizes nothing", {
  skip,
}, async (test) => {
  await undisturbed(test, async (holder) => {
    const standby = stage.other(holder);
    for (const verb of verbs.both) process.kill(stage.program(standby, verb), "SIGKILL");
    await waitFor("a new agent", () => stage.programs(standby, "agent").length === 1, 20_000);
  });
});

test("a standby frozen for 4 s and resumed seizes nothing", { skip }, async (test) => {
  await undisturbed(test, async (holder) => {
    await stage.lab.pause(stage.other(holder), 4);
    await delay(5_000);
  });
});

test("FM04: the agent alone stands still for less than agent_grace: nothing happens", {
  skip,
}, async (test) => {
  await undisturbed(test, async (holder) => {
    const pid = stage.program(holder, "agent");
    process.kill(pid, "SIGSTOP");
    await delay(1_500);
    process.kill(pid, "SIGCONT");
  });
});
