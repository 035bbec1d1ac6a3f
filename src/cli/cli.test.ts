import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type CommandResult, parseControlCall } from "../agent/control.ts";
import { answerQuery } from "../agent/queries.ts";
import { BatonError, type Clock, instant } from "../base/index.ts";
import { Journal } from "../recorder/journal.shell.ts";
import { type LineServer, serveLines } from "../system/lines.ts";
import { catalogueFiles, loadReasons } from "./explain.ts";
import { report } from "./status-test-support.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "btn-cli-"));
const runDirectory = join(directory, "run");
const journalDirectory = join(directory, "journal");
let server: LineServer;

/** What the fake agent answers to a command, and what it was asked. */
let outcome: CommandResult["outcome"] | "vanish" | "error" = "done";
let calls: unknown[] = [];

before(async () => {
  server = await serveLines({
    path: join(runDirectory, "ctl.sock"),
    mode: 0o600,
    software: "baton test",
    onRequest: ({ verb, args }, connection, progress) => {
      const parsed = parseControlCall(verb, args);
      if (!parsed.ok) throw parsed.error;
      const call = parsed.value;
      calls.push(call);
      switch (call.verb) {
        case "status":
          return Promise.resolve(report);
        case "watch":
          progress(report);
          progress({ ...report, revision: 8 });
          return new Promise(() => undefined);
        case "timeline":
          return Promise.resolve({ journalDirectory, host: "dbm157" });
        case "hbparameter":
          return Promise.resolve(answerQuery(report, { deadtime: "15" }, call));
        default:
          progress({ elapsedMs: 12, line: "mysql: stopping on dbm157", reason: null });
          if (outcome === "vanish") {
            connection.end();
            return new Promise(() => undefined);
          }
          if (outcome === "error") {
            throw new BatonError({ code: "BTN-AGENT-ODD", message: "Cannot do it: odd" });
          }
          return Promise.resolve({
            outcome,
            reason: "BTN-WHY",
            detail: "so it is",
            elapsedMs: 812,
          });
      }
    },
  });
});

after(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program against the fake agent; `name` is what it was started as. */
async function baton(args: readonly string[], name = "baton", run = runDirectory): Promise<Ran> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
    env: { PATH: process.env["PATH"], BATON_RUN_DIR: run, BATON_NAME: name },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
    if (args.includes("--watch") && out.includes('"revision":8')) child.kill("SIGTERM");
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, out, err };
}

test("status prints the cluster, --json the report as it came", async () => {
  const text = await baton(["status"]);
  equal(text.code, 0);
  match(text.out, /^shop, seen from dbm157: the group runs\n/);
  ok(!text.out.includes("\u001b"), "no colours into a pipe");
  const json = await baton(["status", "--json", "--socket", join(runDirectory, "ctl.sock")]);
  deepEqual(JSON.parse(json.out), report);
});

test("status --watch --json prints a line per change", async () => {
  const { out } = await baton(["status", "--watch", "--json"]);
  const revisions = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).revision);
  deepEqual(revisions, [7, 8]);
});

test("each verb sends its arguments", async () => {
  outcome = "done";
  calls = [];
  const lines = [
    ["switch", "mysql", "--to", "DBM158"],
    ["switch"],
    ["standby", "local"],
    ["takeover", "--peer-is-dead"],
    ["clear", "mysql"],
    ["stop"],
  ];
  for (const line of lines) equal((await baton(line)).code, 0);
  deepEqual(calls, [
    { verb: "switch", args: { group: "mysql", to: "dbm158" } },
    { verb: "switch", args: { group: null, to: null } },
    { verb: "standby", args: { scope: "local" } },
    { verb: "takeover", args: { scope: "all", peerIsDead: true } },
    { verb: "clear", args: { group: "mysql" } },
    { verb: "stop", args: {} },
  ]);
});

test("a command prints its phases and ends with the exit code of its outcome", async () => {
  const expected = { done: 0, negative: 1, refused: 4, failed: 5 } as const;
  for (const [name, exit] of Object.entries(expected)) {
    outcome = name as keyof typeof expected;
    const { code, out } = await baton(["switch"]);
    equal(code, exit);
    match(
      out,
      /^ {5}12 ms {2}mysql: stopping on dbm157\nswitch .* after 812 ms: so it is \[BTN-WHY\]/,
    );
  }
});

test("with --json a command prints one JSON line per phase and one for the result", async () => {
  outcome = "refused";
  const { code, out } = await baton(["standby", "--json"]);
  equal(code, 4);
  deepEqual(
    out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
    [
      { progress: { elapsedMs: 12, line: "mysql: stopping on dbm157", reason: null } },
      { result: { outcome: "refused", reason: "BTN-WHY", detail: "so it is", elapsedMs: 812 } },
    ],
  );
});

test("errors of the agent and an agent that vanishes are told with their codes", async () => {
  outcome = "error";
  const odd = await baton(["switch", "--json"]);
  equal(odd.code, 5);
  match(odd.err, /Cannot do it: odd \[BTN-AGENT-ODD\]/);
  equal(JSON.parse(odd.out.trim().split("\n").at(-1) ?? "").error.code, "BTN-AGENT-ODD");
  outcome = "vanish";
  const gone = await baton(["switch"]);
  equal(gone.code, 3);
  match(gone.err, /BTN-CLI-CONNECTION-LOST/);
});

test("no agent is exit code 3, and says where it was looked for", async () => {
  for (const verb of ["status", "switch"]) {
    const { code, err } = await baton([verb], "baton", join(directory, "nothing"));
    equal(code, 3);
    match(
      err,
      /Cannot reach .*nothing\/ctl\.sock: nothing listens there \[BTN-SOCKET-UNREACHABLE\]/,
    );
  }
});

test("a socket in a directory that anybody may write to is not trusted", async () => {
  chmodSync(runDirectory, 0o777);
  try {
    const { code, err } = await baton(["switch"]);
    equal(code, 4);
    match(err, /BTN-CLI-SOCKET-UNSAFE/);
  } finally {
    chmodSync(runDirectory, 0o750);
  }
});

test("usage errors are exit code 2 and suggest what was meant", async () => {
  const verb = await baton(["statsu"]);
  equal(verb.code, 2);
  match(verb.err, /Did you mean status\?/);
  const option = await baton(["status", "--wach", "--json"]);
  equal(option.code, 2);
  match(option.err, /Did you mean --watch\?/);
  equal(JSON.parse(option.out).error.code, "BTN-CLI-USAGE");
  const scope = await baton(["standby", "most"]);
  equal(scope.code, 2);
  match(scope.err, /Allowed choices are all, local, foreign, failback/);
  equal((await baton([])).code, 2);
  const version = await baton(["--version"]);
  deepEqual([version.code, /^\d+\.\d+\.\d+\n$/.test(version.out)], [0, true]);
  const help = await baton(["help", "takeover"]);
  equal(help.code, 0);
  match(help.out, /--peer-is-dead/);
});

test("explain finds a code, suggests one, and lists all of them", async () => {
  const found = await baton(["explain", "cli-usage", "--json"]);
  equal(found.code, 0);
  equal(JSON.parse(found.out).code, "BTN-CLI-USAGE");
  const missing = await baton(["explain", "BTN-CLI-USGAE"]);
  equal(missing.code, 1);
  match(missing.err, /Did you mean BTN-CLI-USAGE/);
  match((await baton(["explain", "--list"])).out, /^BTN-CONTROL-MALFORMED {2}/m);
  equal((await baton(["explain"])).code, 2);
});

test("explain knows the reason file of every room", () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const files = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("reasons.ts") && name !== "base/reasons.ts")
    .map((name) => `../${name}`);
  deepEqual([...catalogueFiles].sort(), files.sort());
});

test("no two rooms explain one code differently", async () => {
  deepEqual((await loadReasons()).collisions, []);
});

test("timeline reads the journal that the agent names, or a directory without an agent", async () => {
  const clock: Clock = { now: () => instant(5_000), at: () => () => undefined };
  const journal = new Journal({
    directory: journalDirectory,
    host: "dbm157",
    bootId: "boot",
    clock,
    wallMs: () => Date.UTC(2026, 10, 23, 9),
  });
  const failover = { room: "failover", reason: "BTN-OK" } as const;
  journal.record({
    kind: "input",
    ...failover,
    name: "command",
    data: { id: "a", command: { verb: "switch" } },
  });
  journal.record({
    kind: "result",
    ...failover,
    name: "commandDone",
    data: { command: "a", outcome: "done", detail: "moved" },
  });
  await journal.close();
  const asked = await baton(["timeline"]);
  equal(asked.code, 0);
  match(asked.out, /^dbm157: command switch {2}2026-11-23T09:00:00\.000Z/);
  const alone = ["--journal", journalDirectory];
  const nowhere = join(directory, "nothing");
  const json = await baton(["timeline", "last", "--json", ...alone], "baton", nowhere);
  const { schema, incident } = JSON.parse(json.out);
  deepEqual([schema, incident.cause, incident.outcome], [1, "command", "done"]);
  match((await baton(["timeline", "list", ...alone])).out, /command switch/);
  const byId = await baton(["timeline", incident.id, "--json", ...alone]);
  equal(JSON.parse(byId.out).incident.id, incident.id);
  const unknown = await baton(["timeline", "1999", ...alone]);
  deepEqual([unknown.code, /BTN-TIMELINE-UNKNOWN/.test(unknown.err)], [1, true]);
  const none = await baton(["timeline", "--journal", nowhere]);
  deepEqual([none.code, /BTN-JOURNAL-NONE/.test(none.err)], [5, true]);
});

test("a reader that closes the pipe ends the program quietly", async () => {
  const child = spawn(process.execPath, [main, "explain", "--list"], {
    env: { PATH: process.env["PATH"], BATON_RUN_DIR: runDirectory },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.destroy();
  let err = "";
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  deepEqual([code, err], [0, ""]);
});

test("cl_status answers in the words and with the exit codes of the original", async () => {
  const table: readonly (readonly [string, number, string])[] = [
    ["hbstatus", 0, "Heartbeat is running on this machine.\n"],
    ["listnodes", 0, "192.168.0.1\ndbm158\ndbm157\n"],
    ["listnodes -n", 0, "dbm158\ndbm157\n"],
    ["listnodes -p", 0, "192.168.0.1\n"],
    ["nodestatus dbm158", 0, "active\n"],
    ["nodestatus -m dbm158", 0, "The cluster node dbm158 is active\n"],
    ["nodestatus 192.168.0.1", 0, "ping\n"],
    ["nodestatus nobody", 11, ""],
    ["nodetype dbm157", 0, "normal\n"],
    ["nodetype nobody", 0, "unknown\n"],
    ["listhblinks dbm158", 0, "\teth0\n\teth1\n"],
    ["hblinkstatus dbm158 eth0", 0, "up\n"],
    ["hblinkstatus dbm158 eth0 -m", 0, "The node dbm158's heartbeat link eth0 is up\n"],
    ["hblinkstatus dbm157 eth1", 0, "up\n"],
    ["rscstatus", 0, "local\n"],
    ["rscstatus -m", 0, "This node is holding local resources.\n"],
    ["hbparameter -p deadtime", 0, "15\n"],
    ["hbparameter -p nothing", 1, ""],
    ["clientstatus dbm158 ipfail", 1, "offline\n"],
    ["nonsense", 1, ""],
  ];
  for (const [line, exit, words] of table) {
    const { code, out } = await baton(line.split(" "), "cl_status");
    deepEqual([line, code, out], [line, exit, words]);
  }
  match(
    (await baton(["cl_status", "hbstatus", "-v"])).out,
    /^version:\t3\.0\.6 .*\nmanaged by:\t"haresources"\n\n192\.168\.0\.1\tping\t\(nodetype: ping\)\n\t192\.168\.0\.1\tup\n\ndbm158\tactive\t\(nodetype: normal\)\n\teth0\tup\n/,
  );
});

test("cl_status without an agent says what the original said", async () => {
  const nowhere = join(directory, "nothing");
  const stopped = await baton(["hbstatus"], "cl_status", nowhere);
  deepEqual([stopped.code, stopped.out], [1, "Heartbeat is stopped on this machine.\n"]);
  const other = await baton(["rscstatus"], "cl_status", nowhere);
  deepEqual([other.code, other.err], [1, "ERROR: Cannot signon with heartbeat\n"]);
});

test("hb_standby and hb_takeover ask with the original's scopes and return at once", async () => {
  outcome = "done";
  calls = [];
  const standby = await baton([], "/usr/share/heartbeat/hb_standby");
  deepEqual([standby.code, standby.out], [0, "Going standby [all].\n"]);
  const failback = await baton(["failback"], "hb_standby");
  deepEqual([failback.code, failback.out], [0, "Going standby [foreign].\n"]);
  equal((await baton(["hb_takeover", "local"])).code, 0);
  equal((await baton(["most"], "hb_standby")).code, 1);
  deepEqual(calls, [
    { verb: "standby", args: { scope: "all" } },
    { verb: "standby", args: { scope: "failback" } },
    { verb: "takeover", args: { scope: "local", peerIsDead: false } },
  ]);
});
