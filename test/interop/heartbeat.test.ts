/**
 * A Baton agent on the classic files and a real Heartbeat 3.0.6 as one working cluster, both ways
 * round: cold start, crash, standby, takeover, graceful stop. The real one must log no trouble.
 */
import { deepEqual, equal, match } from "node:assert/strict";
import { describe } from "node:test";
import { address } from "../support/pair.ts";
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
  settled,
  setUp,
  together,
} from "./cluster.ts";

for (const baton of batonHosts) {
  const real = other(baton);
  const program = (host: string): string => (host === baton ? "Baton" : "heartbeat");
  describe(`Baton is ${baton}, heartbeat 3.0.6 is ${real}`, atOnce, () => {
    for (const first of batonHosts) {
      scenario(`cold start, ${program(first)} first: the preferred host holds`, async (newPair) => {
        await using pair = newPair(setUp);
        const begun = Date.now();
        await powerOn(pair, baton, first);
        await powerOn(pair, baton, other(first));
        await pair.holds("dbm157", 30_000);
        figure(`cold start, ${program(first)} ${first} first: ${Date.now() - begun} ms`);
        await joined(pair, baton);
        await pair.holds("dbm157", 5_000);
        deepEqual(pair.troubles(real), []);
      });

      scenario(
        `cold start of ${program(first)} alone: it holds; the other joins and takes nothing`,
        async (newPair) => {
          await using pair = newPair(setUp);
          await powerOn(pair, baton, first);
          await pair.holds(first, 30_000);
          await powerOn(pair, baton, other(first));
          await joined(pair, baton);
          await pair.holds(first, 5_000);
          deepEqual(pair.troubles(real), []);
        },
      );
    }

    scenario(
      "the holder loses power, whichever it is: the other takes over, nothing moves back",
      async (newPair) => {
        await using pair = newPair(setUp);
        await together(pair, baton);
        for (const holder of ["dbm157", "dbm158"] as const) {
          const watch = await pair.watch();
          const crashedAt = Date.now();
          await pair.crash(holder);
          await pair.holds(other(holder), 15_000);
          await waitFor("the address answers", () => watch.answeredAfter(Date.now() - 500), 10_000);
          figure(
            `power loss of ${program(holder)}, deadtime 2000: address answers after ${watch.longestGapMs(crashedAt)} ms`,
          );
          watch.close();
          await powerOn(pair, baton, holder);
          await joined(pair, baton);
          await pair.holds(other(holder), 5_000);
        }
        deepEqual(pair.troubles(real), []);
      },
    );

    scenario(
      "standby and takeover, asked on either side, move the address each time",
      async (newPair) => {
        await using pair = newPair(setUp);
        await together(pair, baton);
        const watch = await pair.watch();
        const moves = [
          ["standby", "dbm157", "dbm158"],
          ["standby", "dbm158", "dbm157"],
          ["takeover", "dbm158", "dbm158"],
          ["takeover", "dbm157", "dbm157"],
        ] as const;
        for (const [verb, asked, target] of moves) {
          const from = Date.now();
          await command(pair, baton, asked, verb);
          await pair.holds(target, 25_000);
          await settled(pair, baton);
          figure(
            `${verb} on ${program(asked)} ${asked}: address silent for ${watch.longestGapMs(from)} ms`,
          );
        }
        deepEqual(pair.troubles(real), []);
      },
    );

    scenario("a graceful stop hands over at once, whoever stops", async (newPair) => {
      await using pair = newPair(setUp);
      await together(pair, baton);
      for (const holder of ["dbm157", "dbm158"] as const) {
        const watch = await pair.watch();
        const from = Date.now();
        await pair.stopGracefully(holder);
        await pair.holds(other(holder), 15_000);
        await waitFor("the address answers", () => watch.answeredAfter(Date.now() - 500), 10_000);
        figure(
          `graceful stop of ${program(holder)} ${holder}: address silent for ${watch.longestGapMs(from)} ms`,
        );
        watch.close();
        await powerOn(pair, baton, holder);
        await joined(pair, baton);
      }
      match(pair.log(real), /Received shutdown notice from/);
      match(pair.log(real), /Heartbeat shutdown complete/);
      deepEqual(pair.troubles(real), []);
    });

    scenario(
      "a bare address: Baton moves it by itself, and the real one by its script",
      async (newPair) => {
        await using pair = newPair({ ...setUp, haresources: `dbm157 ${address}/24/eth0\n` });
        await together(pair, baton);
        const watch = await pair.watch();
        const from = Date.now();
        await command(pair, baton, "dbm158", "takeover");
        await pair.holds("dbm158", 20_000);
        await settled(pair, baton);
        figure(
          `bare address, takeover by ${program("dbm158")}: silent for ${watch.longestGapMs(from)} ms`,
        );
        const crashedAt = Date.now();
        await pair.crash("dbm158");
        await pair.holds("dbm157", 15_000);
        await waitFor("the address answers", () => watch.answeredAfter(Date.now() - 500), 10_000);
        figure(
          `bare address, power loss of ${program("dbm158")}, deadtime 2000: address answers after ${watch.longestGapMs(crashedAt)} ms`,
        );
        deepEqual(pair.troubles(real), []);
      },
    );

    scenario("a backup that stops, and comes back, disturbs nothing", async (newPair) => {
      await using pair = newPair(setUp);
      await together(pair, baton);
      const watch = await pair.watch();
      const from = Date.now();
      await pair.stopGracefully("dbm158");
      await powerOn(pair, baton, "dbm158");
      await joined(pair, baton);
      await pair.holds("dbm157", 5_000);
      equal(watch.downMs(from), 0);
      deepEqual(pair.troubles(real), []);
    });
  });
}
