/**
 * A client in the switch's namespace, a process of its own. Writes one JSON line per success, with the
 * instant of CLOCK_MONOTONIC, which all processes of the machine share. Ends when its standard input does.
 *
 *   client.ts answer ADDRESS          a TCP connection each 20 ms: a refusal is the host's kernel answering
 *   client.ts load ADDRESS USER PASS  the fixed write load, then `{"loaded":true}`
 *   client.ts insert ADDRESS USER PASS  an insert each 20 ms; when one fails, a new attempt each 20 ms
 */
import { createConnection as connectTcp } from "node:net";
import { type Connection, createConnection } from "mysql2/promise";
import { delay, monotonicClock } from "../../src/system/index.ts";

const everyMs = 20;
/** A port on which nobody listens. */
const closedPort = 9;
/** An answer over the same switch takes under a millisecond; a longer silence is a lost host. */
const patienceMs = 100;
const attemptLimitMs = 2_000;
const loadBatches = 40;
const rowsPerBatch = 500;

const [mode, host = "", user = "", password = ""] = process.argv.slice(2);

function say(value: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ at: monotonicClock.now(), ...value })}\n`);
}

function answers(): void {
  setInterval(() => {
    const socket = connectTcp({ host, port: closedPort });
    const timer = setTimeout(() => socket.destroy(), attemptLimitMs);
    socket.once("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (error.code === "ECONNREFUSED") say({});
    });
  }, everyMs);
}

function open(): Promise<Connection> {
  return createConnection({ host, user, password, connectTimeout: attemptLimitMs });
}

async function load(): Promise<void> {
  const connection = await open();
  await connection.query("CREATE DATABASE bench");
  await connection.query(
    "CREATE TABLE bench.filler (id INT AUTO_INCREMENT PRIMARY KEY, body CHAR(250), KEY (body(20))) ENGINE=InnoDB",
  );
  await connection.query(
    "CREATE TABLE bench.commits (id INT AUTO_INCREMENT PRIMARY KEY, note CHAR(20)) ENGINE=InnoDB",
  );
  for (let batch = 0; batch < loadBatches; batch++) {
    // Keys in an order that touches pages all over the index: recovery has work to do.
    const rows = Array.from({ length: rowsPerBatch }, (_, row) => {
      const key = (batch * rowsPerBatch + row) * 2_654_435_761;
      return `('${(key % 4_294_967_296).toString(36).padStart(250, "x").split("").reverse().join("")}')`;
    });
    await connection.query(`INSERT INTO bench.filler (body) VALUES ${rows.join(",")}`);
  }
  await connection.end();
  say({ loaded: true });
}

interface Session {
  readonly connection: Connection;
  readonly server: string;
}

async function inserts(): Promise<void> {
  for (;;) {
    const session = await firstSession();
    let usable = true;
    while (usable) {
      await delay(everyMs);
      usable = await within(patienceMs, insert(session));
    }
    session.connection.destroy();
  }
}

/** A new attempt each 20 ms until one has committed: the others are thrown away. */
async function firstSession(): Promise<Session> {
  const found = Promise.withResolvers<Session>();
  let settled = false;
  const timer = setInterval(() => {
    attempt().then(
      (session) => {
        if (settled) session.connection.destroy();
        settled = true;
        found.resolve(session);
      },
      () => undefined, // The next attempt is under way.
    );
  }, everyMs);
  const session = await found.promise;
  clearInterval(timer);
  return session;

  async function attempt(): Promise<Session> {
    const connection = await open();
    connection.on("error", () => undefined);
    try {
      const [rows] = await connection.query("SELECT @@hostname AS name");
      const server = (rows as { name: string }[])[0]?.name ?? "";
      const session = { connection, server };
      if (!(await insert(session))) throw new Error("not committed");
      return session;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }
}

/** True once the server has acknowledged the commit. */
async function insert({ connection, server }: Session): Promise<boolean> {
  try {
    await connection.query("INSERT INTO bench.commits (note) VALUES ('x')");
    say({ server });
    return true;
  } catch {
    return false;
  }
}

async function within(limitMs: number, done: Promise<boolean>): Promise<boolean> {
  return await Promise.race([done, delay(limitMs).then(() => false)]);
}

process.stdin.resume().once("end", () => process.exit(0));
if (mode === "answer") answers();
else if (mode === "load") {
  await load();
  process.exit(0);
} else await inserts();
