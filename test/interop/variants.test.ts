/**
 * The other ways to configure the pair, each once against a real Heartbeat 3.0.6: digests, framing,
 * media, ping nodes with ipfail, legacy mode, a group for each host, a change of keys; and an agent that
 * restarts, a start that fails, recorded packets sent again.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import type { AddressWatch } from "../support/address-watch.ts";
import { type HostName, hostNames, type Pair, type PairOptions } from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";
import {
  atOnce,
  batonHosts,
  command,
  figure,
  isFull,
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

const wires: Readonly<Record<string, Partial<PairOptions>>> = {
  "auth md5": { authkeys: "auth 1\n1 md5 HA_JACKBILLOW\n" },
  "auth crc, with --insecure": {
    authkeys: "auth 1\n1 crc\n",
    agentArguments: "agent --ha-dir /etc/ha.d --insecure",
  },
  "msgfmt netstring": { timing: `${setUp.timing}msgfmt netstring\n` },
  "media bcast": { media: () => "bcast eth0 eth1\n" },
  "media mcast": { media: () => "mcast eth0 225.0.0.1 694 1 0\nmcast eth1 225.0.0.2 694 1 0\n" },
};

describe("the wire in each form", atOnce, () => {
  for (const [index, [name, changes]] of Object.entries(wires).entries()) {
    for (const baton of isFull ? batonHosts : batonHosts.slice(index % 2).slice(0, 1)) {
      scenario(`${name}, Baton is ${baton}: cold start, takeover, power loss`, async (newPair) => {
        await using pair = newPair({ ...setUp, ...changes });
        await together(pair, baton);
        await command(pair, baton, "dbm158", "takeover");
        await pair.holds("dbm158", 25_000);
        await settled(pair, baton);
        deepEqual(pair.troubles(other(baton)), []);
        await pair.crash("dbm158");
        await pair.holds("dbm157", 15_000);
        deepEqual(pair.troubles(other(baton)), []);
      });
    }
  }
});

/** Ping node on the switch; the real side runs the original's ipfail, ours has it built in. */
const pinging: PairOptions = {
  ...setUp,
  timing: `${setUp.timing}ping 192.168.0.1\nrespawn hacluster /usr/libexec/heartbeat/ipfail\n`,
};
const legacy: PairOptions = { ...setUp, timing: withFailback("legacy") };

for (const baton of batonHosts) {
  const real = other(baton);
  const program = (host: string): string => (host === baton ? "Baton" : "heartbeat");
  describe(`Baton is ${baton}, heartbeat 3.0.6 is ${real}`, atOnce, () => {
    scenario(
      `ipfail: ${program("dbm157")} holds and loses its ping node: the other takes over`,
      async (newPair) => {
        await using pair = newPair(pinging);
        await together(pair, baton);
        await ipfailJoined(pair, baton);
        const from = Date.now();
        pair.cable("dbm157", 0, "down");
        await pair.holds("dbm158", 40_000);
        figure(
          `ipfail: ${program("dbm157")} dbm157 lost its ping node, the other holds after ${Date.now() - from} ms`,
        );
        pair.cable("dbm157", 0, "up");
        await waitFor(
          "the ping node is seen again on both sides",
          async () =>
            (await pair.status(baton))?.pings.every((ping) => ping.up === true) &&
            (await pair.run(real, "cl_status", "nodestatus", "192.168.0.1")).code === 0,
          20_000,
          () => pair.explain(),
        );
        await settled(pair, baton);
        deepEqual(pair.holders(), ["dbm158"]);
        deepEqual(pair.troubles(real), []);
      },
    );

    scenario("auto_failback legacy: power loss, return, graceful stop", async (newPair) => {
      await using pair = newPair(legacy);
      await powerOn(pair, baton, baton);
      await powerOn(pair, baton, real);
      await pair.holds("dbm157", 30_000);
      await active(pair, baton);
      await pair.crash("dbm157");
      await pair.holds("dbm158", 15_000);
      await powerOn(pair, baton, "dbm157");
      await pair.holds("dbm157", 30_000);
      await active(pair, baton);
      await pair.stopGracefully("dbm157");
      await pair.holds("dbm158", 15_000);
      deepEqual(pair.troubles(real), []);
    });

    scenario(
      "a group for each host: start, local and foreign moves, power loss, return",
      async (newPair) => {
        await using pair = newPair({ ...setUp, haresources: twoGroups });
        await together(pair, baton);
        const places = async (first: HostName, second: HostName): Promise<void> => {
          await pair.holds(first, 25_000);
          await pair.holds(second, 25_000, secondAddress);
          await settled(pair, baton);
        };
        await places("dbm157", "dbm158");
        await command(pair, baton, baton, "standby", "local");
        await places(real, real);
        await command(pair, baton, real, "standby", "foreign");
        await places("dbm157", "dbm158");
        await command(pair, baton, baton, "takeover", "foreign");
        await places(baton, baton);
        await command(pair, baton, real, "takeover", "local");
        await places("dbm157", "dbm158");
        await pair.crash("dbm157");
        await pair.holds("dbm158", 15_000);
        await powerOn(pair, baton, "dbm157");
        await joined(pair, baton);
        await places("dbm158", "dbm158");
        await command(pair, baton, "dbm157", "takeover", "local");
        await places("dbm157", "dbm158");
        deepEqual(pair.troubles(real), []);
      },
    );

    for (const first of hostNames) {
      scenario(`new key: ${program(first)} changes auth first; nobody is lost`, async (newPair) => {
        const keys = (sending: number): string =>
          `auth ${sending}\n1 sha1 HA_JACKBILLOW\n2 sha1 ANOTHER\n`;
        await using pair = newPair({ ...setUp, authkeys: keys(1) });
        await together(pair, baton);
        const watch = await pair.watch();
        const from = Date.now();
        for (const host of [first, other(first)]) {
          pair.writeKeys(host, keys(2));
          pair.signal(host, "SIGHUP");
          await listened(pair, baton, watch);
        }
        match(pair.log(real), /Rereading authentication file/);
        doesNotMatch(pair.log(real), /is dead|restart on node/);
        equal(watch.downMs(from), 0);
        deepEqual(pair.holders(), ["dbm157"]);
        equal((await pair.run(real, "cl_status", "nodestatus", baton)).output.trim(), "active");
      });
    }

    scenario("an agent that restarts beside a real host changes nothing", async (newPair) => {
      await using pair = newPair(setUp);
      await together(pair, baton);
      for (const holder of hostNames) {
        if (!pair.hasAddress(holder)) await command(pair, baton, other(holder), "standby");
        await pair.holds(holder, 20_000);
        await settled(pair, baton);
        const watch = await pair.watch();
        const from = Date.now();
        const before = (await pair.status(baton))?.agent.started;
        pair.signal(baton, "SIGHUP");
        await waitFor(
          "another agent answers",
          async () => {
            const started = (await pair.status(baton))?.agent.started;
            return started !== undefined && started !== before;
          },
          15_000,
          () => pair.explain(),
        );
        await joined(pair, baton);
        deepEqual(pair.holders(), [holder]);
        equal(watch.downMs(from), 0);
        watch.close();
      }
      doesNotMatch(pair.log(real), new RegExp(`is dead|restart on node ${baton}`));
      deepEqual(pair.troubles(real), []);
    });

    scenario(
      "recorded packets of a dead real host, sent again, change nothing",
      async (newPair) => {
        await using pair = newPair(setUp);
        await powerOn(pair, baton, baton);
        await powerOn(pair, baton, real);
        const tap = await pair.tap(real);
        await pair.holds("dbm157", 30_000);
        await joined(pair, baton);
        await command(pair, baton, baton, "standby");
        await pair.holds(real, 20_000);
        await settled(pair, baton);
        await pair.crash(real);
        await pair.holds(baton, 15_000);
        const before = (await pair.status(baton))?.counters["replays"] ?? 0;
        const recorded = tap.payloads();
        ok(recorded.length > 20, `${recorded.length} recorded`);
        await pair.replay(baton, recorded);
        // How many were recorded depends on how fast the hosts met; acknowledgements among them have no
        // sequence number and are ignored without being counted.
        const expected = before + recorded.length / 2;
        await waitFor(
          "they are counted as replays",
          async () => ((await pair.status(baton))?.counters["replays"] ?? 0) > expected,
          10_000,
          () => pair.explain(),
        );
        const status = await pair.status(baton);
        equal(status?.hosts.find(({ name }) => name === real)?.verdict, "dead");
        deepEqual(pair.holders(), [baton]);
        await powerOn(pair, baton, real);
        await joined(pair, baton);
        deepEqual(pair.holders(), [baton]);
      },
    );
  });
}

scenario(
  "a group that does not start on its preferred Baton host runs on the real one",
  async (newPair) => {
    const script = [
      "#!/bin/sh",
      "case $1 in",
      "start) [ ! -e /etc/ha.d/broken ] && touch /run/fragile ;;",
      "stop) rm -f /run/fragile ;;",
      "status) [ -e /run/fragile ] && echo running || echo stopped ;;",
      "esac",
      "",
    ].join("\n");
    await using pair = newPair({
      ...setUp,
      haresources: "dbm157 fragile IPaddr2::192.168.0.222/24/eth0\n",
      scripts: { fragile: script },
    });
    writeFileSync(join(pair.tree("dbm157"), "ha.d", "broken"), "");
    await powerOn(pair, "dbm157", "dbm157");
    await powerOn(pair, "dbm157", "dbm158");
    await pair.holds("dbm158", 60_000);
    await joined(pair, "dbm157");
    deepEqual(pair.troubles("dbm158"), []);
    ok(existsSync(pair.directory));
  },
);

/** Legacy mode has no transitions to wait for. */
async function active(pair: Pair, baton: HostName): Promise<void> {
  await waitFor(
    "each takes the other for active",
    async () => {
      const there = (await pair.run(other(baton), "cl_status", "nodestatus", baton)).output.trim();
      const host = (await pair.status(baton))?.hosts.find(({ name }) => name !== baton);
      return there === "active" && host?.verdict === "alive" && host.status === "active";
    },
    30_000,
    () => pair.explain(),
  );
}

/** The real ipfail counts ping nodes only once it runs, and knows of ours. */
async function ipfailJoined(pair: Pair, baton: HostName): Promise<void> {
  await waitFor(
    "both see the ping node, and the real ipfail has compared",
    async () =>
      (await pair.status(baton))?.pings.every((ping) => ping.up === true) &&
      /Ping node count is balanced/.test(pair.log(other(baton))),
    30_000,
    () => pair.explain(),
  );
}

/** Waits for as long as a silence would need to be noticed, by a clock that the network drives. */
async function listened(pair: Pair, baton: HostName, watch: AddressWatch): Promise<void> {
  const before = watch.replies;
  await waitFor(
    "4 s of answers",
    () => watch.replies >= before + 80,
    20_000,
    () => pair.explain(),
  );
  await settled(pair, baton);
  const status = await pair.status(baton);
  equal(status?.hosts.find(({ name }) => name !== baton)?.verdict, "alive", pair.explain());
}
