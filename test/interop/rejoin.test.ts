/**
 * A host that comes back, thaws or is heard again, beside a real Heartbeat 3.0.6: what the original
 * does badly there (heartbeat.md 7.6, 14.11, 17) must not happen as far as it is Baton's to decide.
 */
import { deepEqual, doesNotMatch, equal, ok } from "node:assert/strict";
import { describe } from "node:test";
import { address, type HostName, hostNames, type Pair } from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";
import {
  atOnce,
  batonHosts,
  command,
  figure,
  joined,
  other,
  powerOn,
  scenario,
  secondAddress,
  settled,
  setUp,
  together,
  twoGroups,
  withFailback,
} from "./cluster.ts";

/** Long enough for a host to be back before its silence counts. */
const patient = setUp.timing
  .replace("deadtime 2", "deadtime 8")
  .replace("initdead 4", "initdead 9");

for (const baton of batonHosts) {
  const real = other(baton);
  const program = (host: string): string => (host === baton ? "Baton" : "heartbeat");
  describe(`Baton is ${baton}, heartbeat 3.0.6 is ${real}`, atOnce, () => {
    scenario(
      `auto_failback on: ${program("dbm157")} gets its group back after a power loss`,
      async (newPair) => {
        await using pair = newPair({ ...setUp, timing: withFailback("on") });
        await together(pair, baton);
        await pair.crash("dbm157");
        await pair.holds("dbm158", 15_000);
        await powerOn(pair, baton, "dbm157");
        await pair.holds("dbm157", 40_000);
        await settled(pair, baton);
        deepEqual(pair.troubles(real), []);
      },
    );

    for (const holder of hostNames) {
      scenario(
        `${program(holder)} ${holder} holds both groups and reboots within deadtime: none is orphaned`,
        async (newPair) => {
          await using pair = newPair({ ...setUp, timing: patient, haresources: twoGroups });
          await bothUp(pair, baton);
          await command(pair, baton, holder, "takeover");
          await pair.holds(holder, 20_000);
          await pair.holds(holder, 20_000, secondAddress);
          await settled(pair, baton);
          const from = Date.now();
          await pair.crash(holder);
          await powerOn(pair, baton, holder);
          for (const which of [address, secondAddress]) {
            await waitFor(
              `${which} is held by one`,
              () => pair.holders(which).length === 1,
              30_000,
              () => pair.explain(),
            );
          }
          figure(
            `${program(holder)} held two groups and rebooted within deadtime: both served after ${Date.now() - from} ms`,
          );
          doesNotMatch(pair.log(real), new RegExp(`node ${baton}: is dead`));
          await joined(pair, baton);
          for (const which of [address, secondAddress]) equal(pair.holders(which).length, 1);
        },
      );
    }

    scenario("a Baton backup that was frozen and resumes seizes nothing", async (newPair) => {
      await using pair = newPair(setUp);
      await together(pair, baton);
      if (baton === "dbm157") await moveTo(pair, baton, real);
      const watch = await pair.watch();
      const from = Date.now();
      await frozenUntilDead(pair, baton);
      await joined(pair, baton);
      deepEqual(pair.holders(), [real]);
      equal(watch.downMs(from), 0);
      doesNotMatch(pair.log(real), /shutdown in progress|returning after partition/);
      deepEqual(pair.troubles(real), []);
    });

    scenario(
      "a Baton holder that was frozen and resumes lets go at once: one host serves",
      async (newPair) => {
        await using pair = newPair(setUp);
        await together(pair, baton);
        if (baton === "dbm158") await moveTo(pair, baton, baton);
        const watch = await pair.watch();
        const from = Date.now();
        const thawedAt = await frozenUntilDead(pair, baton);
        // Its kernel went on answering for the address: the client's silence is not the whole story.
        await pair.holds(real, 10_000);
        figure(`frozen Baton holder: lets go ${Date.now() - thawedAt} ms after it resumes`);
        await joined(pair, baton);
        deepEqual(pair.holders(), [real]);
        figure(`frozen Baton holder: address silent for ${watch.longestGapMs(from)} ms`);
        doesNotMatch(pair.log(real), /shutdown in progress|returning after partition/);
      },
    );

    scenario(
      "a real backup that was frozen and resumes: Baton goes on serving",
      async (newPair) => {
        await using pair = newPair(setUp);
        await together(pair, baton);
        if (baton === "dbm158") await moveTo(pair, baton, baton);
        const watch = await pair.watch();
        const from = Date.now();
        pair.freeze(real, true);
        await waitFor(
          "Baton takes it for dead",
          async () => (await verdictOf(pair, baton)) === "dead",
          15_000,
          () => pair.explain(),
        );
        pair.freeze(real, false);
        await oneHolderAgain(pair, baton);
        figure(
          `real backup frozen and resumed: address silent for ${watch.downMs(from)} ms in all`,
        );
        ok(watch.longestGapMs(from) < 20_000, "the service is not down for long");
      },
    );

    for (const holder of hostNames) {
      scenario(
        `${program(holder)} ${holder} holds, both links are cut and healed: the service goes on`,
        async (newPair) => {
          await using pair = newPair(setUp);
          await together(pair, baton);
          if (holder === "dbm158") await moveTo(pair, baton, holder);
          const watch = await pair.watch();
          const from = Date.now();
          pair.separate(true);
          await waitFor(
            "each takes the other for dead",
            async () =>
              (await verdictOf(pair, baton)) === "dead" &&
              pair.log(real).includes(`node ${baton}: is dead`) &&
              pair.holders().length === 2,
            20_000,
            () => pair.explain(),
          );
          pair.separate(false);
          await oneHolderAgain(pair, baton);
          figure(
            `split healed, ${program(holder)} held: address silent for ${watch.downMs(from)} ms in all, ${watch.longestGapMs(from)} ms at most (real pair: 18 s)`,
          );
          ok(pair.hasAddress(baton), "Baton went on; the real one restarted itself");
          ok(watch.longestGapMs(from) < 10_000, "the service is not down for long");
        },
      );
    }
  });
}

/** Cold start of two groups, each on its own host. */
async function bothUp(pair: Pair, baton: HostName): Promise<void> {
  await together(pair, baton);
  await pair.holds("dbm158", 20_000, secondAddress);
}

async function moveTo(pair: Pair, baton: HostName, target: HostName): Promise<void> {
  if (pair.hasAddress(target)) return;
  await command(pair, baton, other(target), "standby");
  await pair.holds(target, 20_000);
  await settled(pair, baton);
}

/** Freezes Baton until the real one takes it for dead, and thaws it; when it was thawed. */
async function frozenUntilDead(pair: Pair, baton: HostName): Promise<number> {
  pair.freeze(baton, true);
  await waitFor(
    "the real host takes the frozen one for dead and holds",
    () =>
      pair.log(other(baton)).includes(`node ${baton}: is dead`) && pair.hasAddress(other(baton)),
    15_000,
    () => pair.explain(),
  );
  pair.freeze(baton, false);
  return Date.now();
}

async function verdictOf(pair: Pair, baton: HostName): Promise<string | undefined> {
  return (await pair.status(baton))?.hosts.find(({ name }) => name !== baton)?.verdict;
}

async function oneHolderAgain(pair: Pair, baton: HostName): Promise<void> {
  await waitFor(
    "one host holds, and both know it",
    async () => {
      if (pair.holders().length !== 1) return false;
      if ((await verdictOf(pair, baton)) !== "alive") return false;
      const real = (await pair.run(other(baton), "cl_status", "rscstatus")).output.trim();
      return ["none", "local", "foreign", "all"].includes(real) && pair.holders().length === 1;
    },
    60_000,
    () => pair.explain(),
  );
  await settled(pair, baton);
}
