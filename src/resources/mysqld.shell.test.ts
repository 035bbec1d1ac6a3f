import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { type Connection, createConnection } from "mysql2/promise";
import { monotonicClock, run } from "../system/index.ts";
import type { ResourceNotice } from "./agent.ts";
import { conformance, testContext } from "./conformance.test-support.ts";
import { GroupRunnerShell } from "./group-runner.shell.ts";
import { createMysqldAgent } from "./mysqld.shell.ts";
import { findServers, type ServerProcess } from "./mysqld-process.shell.ts";
import { testPolicy } from "./runner.test-support.ts";
import type { RunnerEffect } from "./runner-contract.ts";
import type { MysqldSpec } from "./spec.ts";

const skip =
  process.getuid?.() !== 0
    ? "needs root: the account of the monitor is checked by the socket"
    : existsSync("/usr/sbin/mariadbd") && existsSync("/usr/bin/mariadb-install-db")
      ? false
      : "needs the packages mariadb-server-core and mariadb-client-core";
let directory = "";
const notices: ResourceNotice[] = [];

before(async () => {
  if (skip !== false) return;
  directory = await mkdtemp(join(tmpdir(), "btn-mysqld-"));
  await writeFile(
    join(directory, "my.cnf"),
    "[mysqld]\nskip-networking\ninnodb_log_file_size=8M\ninnodb_buffer_pool_size=16M\nloose-performance_schema=0\nmax_connections=10\n",
  );
  await install(spec().dataDirectory);
});
after(async () => {
  if (directory === "") return;
  await killAll(spec());
  await rm(directory, { recursive: true, force: true });
});
afterEach(async () => {
  if (directory !== "") await killAll(spec());
  notices.length = 0;
});

async function install(dataDirectory: string): Promise<void> {
  const done = await run(
    "/usr/bin/mariadb-install-db",
    [
      "--no-defaults",
      `--datadir=${dataDirectory}`,
      "--auth-root-authentication-method=socket",
      "--skip-test-db",
      "--user=root",
      "--innodb-log-file-size=8M",
      // Its temporary tables are named by process id, which repeats in another PID namespace.
      `--tmpdir=${directory}`,
    ],
    { timeoutMs: 60_000 },
  );
  equal(done.code, 0, done.stderr);
}

function spec(changes: Partial<MysqldSpec> = {}): MysqldSpec {
  return {
    kind: "mysqld",
    name: "db",
    policy: testPolicy,
    binary: undefined,
    defaultsFile: join(directory, "my.cnf"),
    dataDirectory: join(directory, "data"),
    socket: join(directory, "run/mysql.sock"),
    pidFile: join(directory, "run/mysqld.pid"),
    port: 3306,
    bindAddress: undefined,
    user: "root",
    monitorUser: "root",
    monitorPasswordFile: undefined,
    requiredMount: undefined,
    recoveryStallMs: 60_000,
    killAfterMs: 20_000,
    extraArguments: [],
    ...changes,
  };
}
function agentOf(changes: Partial<MysqldSpec> = {}) {
  return createMysqldAgent(spec(changes), {
    group: "db",
    host: "dbm157",
    clock: monotonicClock,
    timing: { keepaliveMs: 200, deadtimeMs: 1_200 },
    notify: (notice) => notices.push(notice),
  });
}

/** Ends by SIGKILL what works in that data directory, which is ours alone. */
async function killAll(of: MysqldSpec): Promise<void> {
  for (const { pid } of await findServers(of)) {
    process.kill(pid, "SIGCONT");
    process.kill(pid, "SIGKILL");
  }
  await until(async () => (await findServers(of)).length === 0);
}
async function theServer(of: MysqldSpec = spec()): Promise<ServerProcess> {
  const [server, ...more] = await findServers(of);
  equal(more.length, 0, "one server");
  ok(server !== undefined, "a server");
  return server;
}
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    ok(tries < 1_000, "it happened within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
/** Stops a process; the signal reaches its threads one after another, so wait for the last. */
async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(async () => {
    const threads = await readdir(`/proc/${pid}/task`);
    const states = await Promise.all(
      threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8")),
    );
    return states.every((text) => text.slice(text.lastIndexOf(")") + 2).startsWith("T"));
  });
}
function connect(of: MysqldSpec = spec()): Promise<Connection> {
  return createConnection({ socketPath: of.socket, user: "root", disableEval: true });
}
async function scalar(connection: Connection, sql: string): Promise<unknown> {
  const [rows] = await connection.query({ sql, rowsAsArray: true });
  return Array.isArray(rows) && Array.isArray(rows[0]) ? rows[0][0] : undefined;
}
const said = (): readonly string[] => notices.map(({ reason }) => reason);

for (const promise of conformance) {
  test(`mysqld: ${promise.name}`, { skip }, () =>
    promise.check(() => Promise.resolve({ open: () => agentOf(), end: () => killAll(spec()) })),
  );
}

test("it starts read-only, is opened and closed by the agent, and sessions of clients end", {
  skip,
}, async () => {
  const agent = agentOf();
  equal((await agent.start(testContext())).ok, true);
  const client = await connect();
  client.on("error", () => undefined);
  equal(await scalar(client, "SELECT @@global.read_only"), 1);
  await agent.activate(testContext());
  equal(await scalar(client, "SELECT @@global.read_only"), 0);
  const closed = await agent.deactivate(testContext());
  deepEqual(closed, { ok: true, detail: "1 client sessions ended" });
  equal(
    await client.query("SELECT 1").then(
      () => "answered",
      () => "ended",
    ),
    "ended",
  );
  client.destroy();
  const second = await connect();
  equal(await scalar(second, "SELECT @@global.read_only"), 1);
  second.destroy();
  await agent.stop(testContext());
  agent.dispose();
});

test("a transaction that holds a commit back does not hold the closing back", {
  skip,
}, async () => {
  const agent = agentOf();
  await agent.start(testContext());
  await agent.activate(testContext());
  const client = await connect();
  client.on("error", () => undefined);
  await client.query(
    "CREATE TABLE IF NOT EXISTS mysql.baton_test (id INT PRIMARY KEY) ENGINE=InnoDB",
  );
  await client.query("LOCK TABLES mysql.baton_test WRITE");
  const closed = await agent.deactivate(testContext());
  equal(closed.ok, true, JSON.stringify(closed));
  client.destroy();
  await agent.stop(testContext());
  agent.dispose();
});

test("after kill -9 a monitor finds it stopped, and the next start repairs and keeps what was committed", {
  skip,
}, async () => {
  const agent = agentOf();
  await agent.start(testContext());
  await agent.activate(testContext());
  const client = await connect();
  client.on("error", () => undefined);
  await client.query("CREATE DATABASE IF NOT EXISTS t");
  await client.query("CREATE OR REPLACE TABLE t.a (id INT PRIMARY KEY) ENGINE=InnoDB");
  for (let id = 0; id < 50; id++) await client.query("INSERT INTO t.a VALUES (?)", [id]);
  const first = await theServer();
  process.kill(first.pid, "SIGKILL");
  await until(async () => (await findServers(spec())).length === 0);
  client.destroy();
  deepEqual(await agent.monitor(testContext()), { state: "stopped" });
  const lines: string[] = [];
  const again = await agent.start(testContext({ progress: (line) => lines.push(line) }));
  equal(again.ok, true, JSON.stringify(again));
  notEqual((await theServer()).pid, first.pid);
  const reader = await connect();
  equal(await scalar(reader, "SELECT COUNT(*) FROM t.a"), 50);
  equal(await scalar(reader, "SELECT @@global.read_only"), 1, "not open before it is opened");
  reader.destroy();
  match(
    await readFile(join(spec().dataDirectory, "mysqld.err"), "utf8"),
    /Starting crash recovery/,
  );
  await agent.stop(testContext());
  agent.dispose();
});

test("a hung server is failed, not stopped; its stop ends with SIGKILL on it alone (T5)", {
  skip,
}, async () => {
  const other = spec({
    dataDirectory: join(directory, "other"),
    socket: join(directory, "run/other.sock"),
    pidFile: join(directory, "run/other.pid"),
  });
  await install(other.dataDirectory);
  const neighbour = agentOf(other);
  const agent = agentOf({ killAfterMs: 300 });
  try {
    equal((await neighbour.start(testContext())).ok, true);
    equal((await agent.start(testContext())).ok, true);
    const server = await theServer();
    const untouched = await theServer(other);
    await freeze(server.pid);
    const seen = await agent.monitor(testContext({ timeoutMs: 500 }));
    deepEqual([seen.state, "reason" in seen && seen.reason], ["failed", "BTN-MYSQLD-HUNG"]);
    equal((await agent.probe(testContext({ timeoutMs: 500 }))).state, "failed");
    deepEqual(await agent.stop(testContext({ timeoutMs: 5_000 })), { ok: true });
    deepEqual(await findServers(spec()), []);
    equal(said().includes("BTN-MYSQLD-KILLED"), true);
    deepEqual(await theServer(other), untouched);
    equal((await neighbour.probe(testContext())).state, "running");
    deepEqual(await neighbour.stop(testContext()), { ok: true });
  } finally {
    agent.dispose();
    neighbour.dispose();
    await killAll(other);
  }
});

test("a stop that is broken off says that the server still runs", { skip }, async () => {
  const agent = agentOf({ killAfterMs: 60_000 });
  await agent.start(testContext());
  const server = await theServer();
  await freeze(server.pid);
  const enough = new AbortController();
  const stopping = agent.stop(testContext({ signal: enough.signal, timeoutMs: 60_000 }));
  setTimeout(() => enough.abort(), 50);
  const result = await stopping;
  deepEqual([result.ok, !result.ok && result.reason], [false, "BTN-MYSQLD-STOP-FAILED"]);
  deepEqual(
    await agent.stop(testContext({ urgent: true })),
    { ok: true },
    "urgently, it is killed",
  );
  agent.dispose();
});

test("an empty mount point is never taken for the data (T6)", { skip }, async () => {
  const empty = join(directory, "empty");
  await mkdir(empty, { recursive: true });
  const reasonOf = async (changes: Partial<MysqldSpec>): Promise<string> => {
    const agent = agentOf(changes);
    const result = await agent.start(testContext());
    agent.dispose();
    return result.ok ? "started" : `${result.reason} ${result.retryable}`;
  };
  equal(await reasonOf({ requiredMount: empty }), "BTN-MYSQLD-NOT-MOUNTED false");
  equal(await reasonOf({ dataDirectory: empty }), "BTN-MYSQLD-NO-DATA false");
  equal(await reasonOf({ dataDirectory: join(empty, "none") }), "BTN-MYSQLD-NO-DATA false");
  equal(await reasonOf({ binary: join(empty, "none") }), "BTN-MYSQLD-NOT-INSTALLED false");
  deepEqual(await findServers(spec()), []);
});

test("a server that dies at its start says why", { skip }, async () => {
  const agent = agentOf({ extraArguments: ["--no-such-option"] });
  const result = await agent.start(testContext());
  equal(!result.ok && result.reason, "BTN-MYSQLD-EXITED");
  match(result.ok ? "" : result.detail, /no-such-option/);
  agent.dispose();
});

test("a second server on the same data is refused, and the one that runs is left alone", {
  skip,
}, async () => {
  const agent = agentOf();
  await agent.start(testContext());
  const server = await theServer();
  const intruder = agentOf({
    socket: join(directory, "x.sock"),
    pidFile: join(directory, "x.pid"),
  });
  const result = await intruder.start(testContext());
  equal(!result.ok && result.reason, "BTN-MYSQLD-DATADIR-IN-USE");
  equal((await intruder.probe(testContext())).state, "failed");
  deepEqual({ ...(await theServer()) }, { ...server });
  intruder.dispose();
  await agent.stop(testContext());
  agent.dispose();
});

test("a server without room for the monitor is alive; read_only set by someone else is told once", {
  skip,
}, async () => {
  const agent = agentOf();
  await agent.start(testContext());
  await agent.activate(testContext());
  const clients = [await connect()];
  await clients[0]?.query("SET GLOBAL read_only = 1");
  for (const time of ["first", "second"]) {
    equal((await agent.monitor(testContext())).state, "running", time);
  }
  deepEqual(said(), ["BTN-MYSQLD-READ-ONLY"]);
  agent.dispose();
  // Ten connections and one more for an administrator.
  while (clients.length < 20) {
    const next = await connect().catch(() => undefined);
    if (next === undefined) break;
    clients.push(next);
  }
  equal((await agent.monitor(testContext())).state, "running");
  equal(said().at(-1), "BTN-MYSQLD-SATURATED");
  for (const client of clients) client.destroy();
  await agent.stop(testContext());
  agent.dispose();
});

test("an account that is refused is a failure that no restart heals; its password is in no message", {
  skip,
}, async () => {
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, "not-the-password\n", { mode: 0o600 });
  const agent = agentOf({ monitorUser: "nobody_here", monitorPasswordFile: passwordFile });
  const result = await agent.start(testContext());
  deepEqual(
    [!result.ok && result.reason, !result.ok && result.retryable],
    ["BTN-MYSQLD-ACCESS-DENIED", false],
  );
  equal((await agent.probe(testContext())).state, "failed");
  equal(JSON.stringify([result, notices]).includes("not-the-password"), false);
  equal((await agent.stop(testContext())).ok, true, "its stop needs no account");
  agent.dispose();
});

test("a password file that others may read is refused; a right one opens the server", {
  skip,
}, async () => {
  const passwordFile = join(directory, "password");
  const root = agentOf();
  await root.start(testContext());
  const admin = await connect();
  await admin.query("SET GLOBAL read_only = 0");
  await admin.query("CREATE OR REPLACE USER baton@localhost IDENTIFIED BY 'pass word'");
  await admin.query("GRANT ALL ON *.* TO baton@localhost");
  admin.destroy();
  const agent = agentOf({ monitorUser: "baton", monitorPasswordFile: passwordFile });
  await writeFile(passwordFile, "pass word\n");
  await run("/bin/chmod", ["644", passwordFile], { timeoutMs: 5_000 });
  const refused = await agent.activate(testContext());
  equal(!refused.ok && refused.reason, "BTN-MYSQLD-PASSWORD-FILE");
  await run("/bin/chmod", ["600", passwordFile], { timeoutMs: 5_000 });
  deepEqual(await agent.activate(testContext()), { ok: true });
  equal((await agent.monitor(testContext())).state, "running");
  equal((await agent.deactivate(testContext())).ok, true);
  agent.dispose();
  await root.stop(testContext());
  root.dispose();
});

test("the server outlives the process that started it", { skip }, async () => {
  const script = `
    import { createMysqldAgent } from ${JSON.stringify(new URL("./mysqld.shell.ts", import.meta.url).href)};
    import { monotonicClock } from ${JSON.stringify(new URL("../system/index.ts", import.meta.url).href)};
    const agent = createMysqldAgent(${JSON.stringify(spec())}, { group: "db", host: "x", clock: monotonicClock,
      timing: { keepaliveMs: 200, deadtimeMs: 1200 }, notify() {} });
    const result = await agent.start({ signal: AbortSignal.timeout(30000), epoch: 1, progress() {} });
    process.kill(process.pid, "SIGKILL");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await new Promise((resolve) => child.once("exit", resolve));
  const agent = agentOf();
  equal((await agent.probe(testContext())).state, "running");
  const server = await theServer();
  equal((await agent.start(testContext())).ok, true);
  deepEqual(await theServer(), server, "adopted, not started again");
  await agent.stop(testContext());
  agent.dispose();
});

test("a slow recovery is waited for as long as it makes progress, and given up when it makes none (T4)", {
  skip,
}, async () => {
  const binary = join(directory, "mariadbd");
  const noted = "[Note] InnoDB: To recover: $pages pages";
  await writeFile(
    binary,
    `#!/bin/sh\nfor pages in 9 8 7 6 5 4 3 2 1; do echo "${noted}" >&2; sleep 0.2; done\nwhile :; do sleep 0.2; done\n`,
    { mode: 0o755 },
  );
  const agent = agentOf({ binary, recoveryStallMs: 1_000 });
  const lines: string[] = [];
  const result = await agent.start(testContext({ progress: (line) => lines.push(line) }));
  deepEqual(
    [!result.ok && result.reason, lines.length, lines.at(-1)],
    ["BTN-MYSQLD-STALLED", 9, "crash recovery: To recover: 1 pages"],
  );
  await until(async () => (await findServers(spec())).length === 0);
  equal(said().includes("BTN-MYSQLD-RECOVERING"), true);
  agent.dispose();
});

test("in a group, a killed server is started again and opened; a release leaves nothing", {
  skip,
}, async () => {
  const policy = {
    ...testPolicy,
    monitorIntervalMs: 50,
    startTimeoutMs: 30_000,
    stopTimeoutMs: 30_000,
  };
  const effects: RunnerEffect[] = [];
  const agent = agentOf({ policy });
  const runner = new GroupRunnerShell({
    group: { name: "db", prefers: "dbm157", resources: [agent.spec], classicKey: undefined },
    agents: [agent],
    clock: monotonicClock,
    onEffect: (effect) => effects.push(effect),
  });
  const phases = (): readonly string[] =>
    effects.flatMap((one) =>
      one.kind === "phase" && one.result !== "begun" ? [`${one.action} ${one.result}`] : [],
    );
  const outcomes = (): readonly unknown[] =>
    effects.flatMap((one) => (one.kind === "done" ? [one.outcome] : []));
  runner.acquire(1, 1);
  await until(() => Promise.resolve(outcomes().length === 1));
  process.kill((await theServer()).pid, "SIGKILL");
  await until(() => Promise.resolve(phases().length === 4));
  const client = await connect();
  equal(await scalar(client, "SELECT @@global.read_only"), 0);
  client.destroy();
  runner.release(2, false);
  await until(() => Promise.resolve(outcomes().length === 2));
  deepEqual(outcomes(), [{ result: "done" }, { result: "done" }]);
  deepEqual(phases(), [
    "start ok",
    "activate ok",
    "start ok",
    "activate ok",
    "deactivate ok",
    "stop ok",
  ]);
  deepEqual(await findServers(spec()), []);
  runner.dispose();
});
