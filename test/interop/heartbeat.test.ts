/**
 * A Baton agent on the classic files and a real Heartbeat 3.0.6 as one working cluster, both ways
 * round: cold start, crash, standby, takeover, graceful stop. The real one must log no trouble.
 */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import { classicAuth, type HostName, oneAddress, Pair, quickTiming } from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";

const root = process.getuid?.() === 0;
const options = {
  skip: root ? false : "needs root: network, mount and PID namespaces",
  timeout: 240_000,
};
const setUp = { timing: quickTiming, authkeys: classicAuth, haresources: oneAddress };
const other = (host: HostName): HostName => (host === "dbm157" ? "dbm158" : "dbm157");

/** Both hosts know of each other and have settled. */
async function joined(pair: Pair, baton: HostName): Promise<void> {
  const real = other(baton);
  await waitFor(
    "the real host takes Baton for active and its resources for settled",
    () =>
      new RegExp(`Status update for node ${baton}: status active`).test(pair.log(real)) &&
      pair.inside(real, "cl_status", "rscstatus").output.trim() !== "transition",
    30_000,
    () => pair.explain(),
  );
  await waitFor(
    "Baton takes the real host for alive and classic",
    () => {
      const host = statusOf(pair, baton)?.hosts.find(({ name }) => name === real);
      return host?.verdict === "alive" && host.kind === "classic" && host.status === "active";
    },
    15_000,
    () => pair.explain(),
  );
}

interface Status {
  readonly rscStatus: string;
  readonly hosts: readonly { name: string; verdict: string; kind: string; status: string | null }[];
}

function statusOf(pair: Pair, host: HostName): Status | undefined {
  const { code, output } = pair.baton(host, "status", "--json");
  return code === 0 || code === 1 ? (JSON.parse(output) as Status) : undefined;
}

for (const baton of ["dbm157", "dbm158"] as const) {
  const real = other(baton);
  describe(`Baton is ${baton}, heartbeat 3.0.6 is ${real}`, options, () => {
    for (const first of ["baton", "heartbeat"] as const) {
      test(
        `cold start, ${first} first: the preferred host takes the address`,
        options,
        async () => {
          await using pair = new Pair(setUp);
          await pair.start(first === "baton" ? baton : real, first);
          await pair.start(
            first === "baton" ? real : baton,
            first === "baton" ? "heartbeat" : "baton",
          );
          await pair.holds("dbm157", 30_000);
          await joined(pair, baton);
          equal(pair.holders().length, 1);
          deepEqual(pair.troubles(real), []);
        },
      );
    }

    test(
      "the holder loses power, whichever it is: the other takes over, and nothing moves back",
      options,
      async () => {
        await using pair = new Pair(setUp);
        await pair.start(baton, "baton");
        await pair.start(real, "heartbeat");
        await pair.holds("dbm157", 30_000);
        await joined(pair, baton);
        await pair.crash("dbm157");
        await pair.holds("dbm158", 15_000);
        await pair.start("dbm157", baton === "dbm157" ? "baton" : "heartbeat");
        await joined(pair, baton);
        await pair.holds("dbm158", 15_000);
        await pair.crash("dbm158");
        await pair.holds("dbm157", 15_000);
        deepEqual(pair.troubles(real), []);
      },
    );

    test(
      "standby and takeover, asked on either side, move the address each time",
      options,
      async () => {
        await using pair = new Pair(setUp);
        await pair.start(baton, "baton");
        await pair.start(real, "heartbeat");
        await pair.holds("dbm157", 30_000);
        await joined(pair, baton);
        const standby = async (host: HostName): Promise<void> => {
          if (host === baton) {
            const { code, output } = pair.baton(host, "standby", "all");
            equal(code, 0, output + pair.explain());
          } else {
            equal(pair.inside(host, "/usr/share/heartbeat/hb_standby", "all").code, 0);
          }
          await pair.holds(other(host), 25_000);
          await settled(pair, real, baton);
        };
        const takeover = async (host: HostName): Promise<void> => {
          if (host === baton) {
            const { code, output } = pair.baton(host, "takeover", "all");
            equal(code, 0, output + pair.explain());
          } else {
            equal(pair.inside(host, "/usr/share/heartbeat/hb_takeover", "all").code, 0);
          }
          await pair.holds(host, 25_000);
          await settled(pair, real, baton);
        };
        await standby("dbm157");
        await standby("dbm158");
        await takeover("dbm158");
        await takeover("dbm157");
        deepEqual(pair.troubles(real), []);
      },
    );

    test("a graceful stop hands over at once, whoever stops", options, async () => {
      await using pair = new Pair(setUp);
      await pair.start(baton, "baton");
      await pair.start(real, "heartbeat");
      await pair.holds("dbm157", 30_000);
      await joined(pair, baton);
      await pair.stopGracefully("dbm157");
      await pair.holds("dbm158", 15_000);
      await pair.start("dbm157", baton === "dbm157" ? "baton" : "heartbeat");
      await joined(pair, baton);
      await pair.stopGracefully("dbm158");
      await pair.holds("dbm157", 15_000);
      match(pair.log(real), /Received shutdown notice from|Heartbeat shutdown complete/);
      deepEqual(pair.troubles(real), []);
    });
  });
}

/** After a move: the real side is out of transition, both agree. */
async function settled(pair: Pair, real: HostName, baton: HostName): Promise<void> {
  await waitFor(
    "both sides are out of transition",
    () =>
      pair.inside(real, "cl_status", "rscstatus").output.trim() !== "transition" &&
      statusOf(pair, baton)?.rscStatus !== "transition",
    20_000,
    () => pair.explain(),
  );
}

test(
  "a Baton backup that was frozen and resumes seizes nothing from a real holder",
  options,
  async () => {
    await using pair = new Pair(setUp);
    await pair.start("dbm157", "heartbeat");
    await pair.start("dbm158", "baton");
    await pair.holds("dbm157", 30_000);
    await joined(pair, "dbm158");
    pair.freeze("dbm158", true);
    await waitFor(
      "the real host takes the frozen one for dead",
      () => /node dbm158: is dead/.test(pair.log("dbm157")),
      10_000,
    );
    pair.freeze("dbm158", false);
    await waitFor(
      "the real host sees it again",
      () => pair.log("dbm157").split("is dead")[1]?.includes("status active"),
      30_000,
      () => pair.explain(),
    );
    deepEqual(pair.holders(), ["dbm157"]);
    ok(
      !/shutdown in progress/.test(pair.log("dbm157")),
      "the healthy holder did not restart itself",
    );
  },
);
