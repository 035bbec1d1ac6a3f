/**
 * The chapter's own ha.cf, authkeys and haresources, unchanged, on two Baton hosts and on one beside a
 * real Heartbeat 3.0.6. Scripts of the chapter's names note how they are called (heartbeat.md 2.5).
 */
import { deepEqual, equal, match } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { fileURLToPath } from "node:url";
import { type HostName, hostNames, type Pair, type PairOptions } from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";
import { atOnce, command, figure, scenario, settled, together } from "./cluster.ts";

const chapter = (name: string): string =>
  readFileSync(
    fileURLToPath(new URL(`../../src/config/testdata/chapter/${name}`, import.meta.url)),
    "utf8",
  );

/** Notes its call, keeps what it started in /run; `more` is what a start and a stop really do. */
const noting = (name: string, more: { start?: string; stop?: string } = {}): string =>
  [
    "#!/bin/sh",
    `echo "${name} $*" >>/var/log/calls`,
    'for action in "$@"; do :; done',
    "case $action in",
    `start) ${more.start ?? ":"}; touch /run/fake-${name} ;;`,
    `stop) ${more.stop ?? ":"}; rm -f /run/fake-${name} ;;`,
    `status) if [ -e /run/fake-${name} ]; then echo running; else echo "not running"; fi ;;`,
    "esac",
    "",
  ].join("\n");

/** As the chapter has it: only the two ucast addresses differ between the hosts. */
function haCf(host: HostName): string {
  const text = chapter("ha.cf");
  return host === "dbm157" ? text : text.replaceAll(/(ucast \S+ \S+\.)158/g, "$1157");
}

const setUp: PairOptions = {
  timing: "",
  haCf,
  authkeys: chapter("authkeys"),
  haresources: chapter("haresources"),
  scripts: {
    drbddisk: noting("drbddisk"),
    Filesystem: noting("Filesystem"),
    IPaddr: noting("IPaddr", {
      start: "ip addr add 192.168.0.222/24 dev eth0 || exit 1",
      stop: "ip addr del 192.168.0.222/24 dev eth0",
    }),
  },
  initScripts: { mysqld: noting("mysqld") },
};

const words = [
  "drbddisk r0",
  "Filesystem /dev/drbd0 /database",
  "mysqld",
  "IPaddr 192.168.0.222/24/eth0",
];
const starts = words.map((word) => `${word} start`);
const stops = words.map((word) => `${word} stop`).reverse();

const calls = (pair: Pair, host: HostName): readonly string[] => {
  const file = join(pair.tree(host), "log", "calls");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
};
const moves = (pair: Pair, host: HostName): readonly string[] =>
  calls(pair, host).filter((call) => !call.endsWith(" status"));

/** The original asks for the status before each start (heartbeat.md 2.5). */
function askedBefore(all: readonly string[]): void {
  for (const word of words) {
    const asked = all.indexOf(`${word} status`);
    equal(asked !== -1 && asked < all.indexOf(`${word} start`), true, `${word} was not asked`);
  }
}

describe("the chapter's files, unchanged", atOnce, () => {
  scenario("two Baton hosts: start, switch, graceful stop, power loss", async (newPair) => {
    await using pair = newPair(setUp);
    for (const host of hostNames) await pair.start(host, "baton");
    await pair.holds("dbm157", 60_000);
    deepEqual(moves(pair, "dbm157"), starts);
    deepEqual(moves(pair, "dbm158"), []);
    askedBefore(calls(pair, "dbm157"));
    const { code, output } = await pair.runBaton("dbm157", "baton", "switch");
    equal(code, 0, output);
    await pair.holds("dbm158", 10_000);
    deepEqual(moves(pair, "dbm157"), [...starts, ...stops]);
    deepEqual(moves(pair, "dbm158"), starts);
    await pair.stopGracefully("dbm158");
    await pair.holds("dbm157", 20_000);
    deepEqual(moves(pair, "dbm158"), [...starts, ...stops]);
    deepEqual(moves(pair, "dbm157"), [...starts, ...stops, ...starts]);
    await pair.start("dbm158", "baton");
    await waitFor(
      "dbm158 is back",
      async () => {
        const hosts = (await pair.status("dbm157"))?.hosts;
        return hosts?.every(({ verdict, status }) => verdict === "alive" && status === "active");
      },
      40_000,
      () => pair.explain(),
    );
    const crashedAt = Date.now();
    await pair.crash("dbm157");
    await pair.holds("dbm158", 60_000);
    figure(
      `chapter's timers, two Baton hosts: ${Date.now() - crashedAt} ms from power loss to address`,
    );
    deepEqual(moves(pair, "dbm158"), [...starts, ...stops, ...starts]);
  });

  for (const baton of hostNames) {
    scenario(
      `Baton is ${baton}, beside a real heartbeat: the same calls on both`,
      async (newPair) => {
        // Debian's package has its daemons elsewhere, and does not start with a path that is not there.
        const real = (host: HostName): string =>
          host === baton ? haCf(host) : haCf(host).replaceAll("/usr/lib64/", "/usr/libexec/");
        await using pair = newPair({ ...setUp, haCf: real });
        await together(pair, baton);
        await command(pair, baton, baton, baton === "dbm157" ? "standby" : "takeover");
        await pair.holds("dbm158", 20_000);
        await settled(pair, baton);
        deepEqual(moves(pair, "dbm157"), [...starts, ...stops]);
        deepEqual(moves(pair, "dbm158"), starts);
        for (const host of hostNames) askedBefore(calls(pair, host));
        const crashedAt = Date.now();
        await pair.crash("dbm158");
        await pair.holds("dbm157", 60_000);
        const took = Date.now() - crashedAt;
        figure(
          `chapter's timers, ${baton} is Baton: ${took} ms from power loss of dbm158 to address`,
        );
        deepEqual(moves(pair, "dbm157"), [...starts, ...stops, ...starts]);
        deepEqual(pair.troubles(baton === "dbm157" ? "dbm158" : "dbm157"), []);
        match(pair.log(baton), /BTN-FAILOVER-HOLDING/);
      },
    );
  }
});
