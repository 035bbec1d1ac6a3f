/**
 * The database server fails (FM27, FM28), can not be started, or the whole host is stopped in order. An
 * acknowledged insert is never lost, and the group is never left down on both hosts.
 */
import { deepEqual, equal, notDeepEqual, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { delay } from "../../src/system/clock.ts";
import { waitFor } from "../support/wait.ts";
import { pauseMs, phasesOf, Stage, skip, Watch } from "./stage.ts";

let stage: Stage;
before(async () => {
  if (skip === false) stage = await Stage.open("services");
});
after(async () => await stage?.[Symbol.asyncDispose]());

/** Tries and failures are remembered for minutes: each test begins with a clean slate. */
async function clear(): Promise<string> {
  const holder = await stage.calm();
  await stage.baton(holder, "clear");
  await stage.baton(stage.other(holder), "clear");
  return holder;
}

const killServer = (host: string, signal: NodeJS.Signals): void => {
  const server = stage.server(host);
  ok(server !== undefined, `No server runs on ${host}`);
  process.kill(server.pid, signal);
};

test("FM27: a killed server is started again where it was; killed again, the group moves", {
  skip,
}, async (test) => {
  const holder = await clear();
  const first = stage.server(holder);
  let [from, to] = [0, 0];
  const report = await stage.underLoad(test, async (load) => {
    from = Date.now();
    killServer(holder, "SIGKILL");
    await load.grow(20);
    to = Date.now();
    equal(await stage.calm(), holder);
    notDeepEqual(stage.server(holder), first);
    test.diagnostic(phasesOf(await stage.incident(holder)));
    killServer(holder, "SIGKILL");
    await stage.serviceOn(stage.other(holder));
    equal(await stage.calm(), stage.other(holder));
    test.diagnostic(phasesOf(await stage.incident(holder)));
  });
  test.diagnostic(
    `writes paused for ${pauseMs(report, from, to)} ms by a restart, at most ${report.figures.longestGapMs} ms in all`,
  );
});

test("FM28: a server that hangs is found by its query, and service returns", {
  skip,
}, async (test) => {
  const holder = await clear();
  const hung = stage.server(holder);
  const report = await stage.underLoad(test, async (load) => {
    killServer(holder, "SIGSTOP");
    await load.grow(20);
    await stage.calm();
    test.diagnostic(phasesOf(await stage.incident(holder)));
  });
  notDeepEqual(stage.server(await stage.calm()), hung);
  test.diagnostic(`writes paused for ${report.figures.longestGapMs} ms`);
});

test("`baton stop` on the holder hands over; started again, it seizes nothing", {
  skip,
}, async (test) => {
  const holder = await clear();
  const next = stage.other(holder);
  using watch = new Watch(stage);
  const report = await stage.underLoad(test, async () => {
    const stopped = await stage.baton(holder, "stop");
    equal(stopped.code, 0, stopped.stderr);
    await stage.serviceOn(next);
    // Its supervisor does not start an agent that was stopped: nothing of Baton is left there.
    await waitFor(
      "both processes end",
      () => stage.processes(holder, /src\/main\.ts/).length === 0,
      10_000,
    );
    deepEqual([stage.hasData(holder), stage.hasAddress(holder)], [false, false]);
    await stage.lab.crash(holder);
    await stage.lab.start(holder);
    equal(await stage.calm(), next);
  });
  equal(watch.bothMs("data"), 0);
  test.diagnostic(`writes paused for ${report.figures.longestGapMs} ms`);
});

test("a host on which the server can not be started gives the group back", {
  skip,
}, async (test) => {
  const holder = await clear();
  const broken = stage.other(holder);
  const spoil = "mv /etc/mysql/my.cnf /etc/mysql/my.cnf.kept && echo '[mysqld' >/etc/mysql/my.cnf";
  const mend = "mv /etc/mysql/my.cnf.kept /etc/mysql/my.cnf";
  using watch = new Watch(stage);
  const report = await stage.underLoad(test, async () => {
    equal((await stage.lab.execQuietly(broken, ["sh", "-c", spoil])).code, 0);
    const move = await stage.baton(holder, "switch", "--to", broken);
    test.diagnostic(
      `switch ended with ${move.code}: ${(move.stdout + move.stderr).trim().split("\n").at(-1)}`,
    );
    ok(move.code !== 0);
    equal(await stage.calm(), holder);
    equal((await stage.lab.execQuietly(broken, ["sh", "-c", mend])).code, 0);
  });
  equal(watch.bothMs("data"), 0);
  test.diagnostic(`writes paused for ${report.figures.longestGapMs} ms`);
});

test("nobody can start it: it is told, and it comes up by itself once the cause is gone", {
  skip,
}, async (test) => {
  const holder = await clear();
  const hosts = [holder, stage.other(holder)];
  const spoil = "mv /etc/mysql/my.cnf /etc/mysql/my.cnf.kept && echo '[mysqld' >/etc/mysql/my.cnf";
  for (const host of hosts) await stage.lab.execQuietly(host, ["sh", "-c", spoil]);
  killServer(holder, "SIGKILL");
  await waitFor(
    "the group runs nowhere",
    async () => (await stage.status(holder))?.groups[0]?.holder === null,
    20_000,
  );
  await delay(2_000);
  for (const host of hosts) {
    await stage.lab.execQuietly(host, ["mv", "/etc/mysql/my.cnf.kept", "/etc/mysql/my.cnf"]);
  }
  const next = await stage.calm();
  test.diagnostic(phasesOf(await stage.incident(next)));
});

test("an address that somebody removes is put back, and one that somebody added elsewhere is swept", {
  skip,
}, async () => {
  const holder = await clear();
  const server = stage.server(holder);
  await stage.lab.execQuietly(holder, ["ip", "address", "del", "192.168.0.222/24", "dev", "eth0"]);
  equal(await stage.calm(), holder);
  deepEqual(stage.server(holder), server);
});
