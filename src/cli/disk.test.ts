import { deepEqual, equal, match, ok } from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { instant } from "../base/index.ts";
import {
  connectionRank,
  connectionStates,
  diskSocketPath,
  type ResyncView,
} from "../replication/index.ts";
import { isEstablished, socketOfDisk } from "./disk-states.ts";
import { baton, fakeDisk, runAs, runDirectoryOf, watch } from "./disk-test-support.ts";

const host = hostname().toLowerCase();
const resync: ResyncView = {
  kind: "resync",
  totalBlocks: 262_144,
  leftBlocks: 131_072,
  failedBlocks: 0,
  startedAt: instant(0),
  recentKibPerSecond: 51_200,
  overallKibPerSecond: 51_200,
  wantKibPerSecond: null,
  stalled: false,
};

/** A drbd.conf with the disk r0 of this machine on a file of 8 MiB. */
function configured(t: TestContext, directory: string): { conf: string; backing: string } {
  ok(t.name !== "");
  const backing = join(directory, "backing");
  const fd = openSync(backing, "w");
  ftruncateSync(fd, 8 * 1024 * 1024);
  closeSync(fd);
  const conf = join(directory, "drbd.conf");
  const side = `device /dev/drbd7; disk ${backing}; meta-disk internal;`;
  writeFileSync(
    conf,
    `resource r0 { on ${host} { ${side} address 127.0.0.1:7788; } on elsewhere { ${side} address 127.0.0.2:7788; } }`,
  );
  return { conf, backing };
}

test("status shows each disk with its progress, and says which do not run", async (t) => {
  const directory = runDirectoryOf(t);
  await fakeDisk(t, directory, "r0", {
    state: { conn: "SyncSource", pdsk: "Inconsistent" },
    view: { resync, outOfSyncBlocks: 131_072 },
  });
  await fakeDisk(t, directory, "r1", { state: { suspFencing: true, conn: "WFConnection" } });
  const shown = await baton(directory, "status");
  deepEqual(
    [shown.status, shown.stdout.split("\n")],
    [
      0,
      [
        "r0: Primary, UpToDate; peer Secondary, Inconsistent; SyncSource, protocol C",
        "  50.0% synced, 512.0 MiB to go, 50.0 MiB/s, 10.2 s left",
        "  no device, 1023.9 MiB, not open; out of sync 512.0 MiB",
        "r1: Primary, UpToDate; peer Secondary, UpToDate; WFConnection, protocol C",
        "  frozen: until the peer is excluded",
        "  no device, 1023.9 MiB, not open; out of sync 0 B",
        "",
      ],
    ],
  );
  const missing = await baton(directory, "status", "r0", "r9", "--json");
  equal(missing.status, 1);
  const { schema, disks } = JSON.parse(missing.stdout) as {
    schema: string;
    disks: { name: string; process: string }[];
  };
  deepEqual(
    [schema, disks.map((disk) => `${disk.name} ${disk.process}`)],
    ["baton.disk.status.1", ["r0 running", "r9 absent"]],
  );
});

test("proc prints /proc/drbd of all disks", async (t) => {
  const directory = runDirectoryOf(t);
  await fakeDisk(t, directory, "b", { view: { minor: 1 } });
  await fakeDisk(t, directory, "a", { view: { minor: 0 } });
  const { status, stdout } = await baton(directory, "proc");
  equal(status, 0);
  match(stdout, /^version: 8\.4\.11 \(api:1\/proto:86-101\)\nsrcversion: .*\n 0: cs:Connected/u);
  match(stdout, /\n 1: cs:Connected ro:Primary\/Secondary ds:UpToDate\/UpToDate C r-----\n/u);
});

test("a command is sent as it was said, and its end is the exit code", async (t) => {
  const directory = runDirectoryOf(t);
  const disk = await fakeDisk(t, directory, "r0", {
    answer: ({ verb }, progress) => {
      progress("one step");
      if (verb === "secondary")
        return { outcome: "refused", reason: "BTN-DISK-OPEN", code: -12, detail: "it is open" };
      return verb === "detach"
        ? { outcome: "failed", reason: "BTN-DISK-STUCK", code: 0, detail: "stuck" }
        : {};
    },
  });
  const ran = await Promise.all([
    baton(directory, "connect", "r0", "--dry-run"),
    baton(directory, "secondary", "r0"),
    baton(directory, "detach", "r0", "--force", "--json"),
    baton(directory, "verify", "r0", "--start", "8", "--stop", "1GiB"),
    baton(directory, "verify", "r0", "--start", "soon"),
    baton(directory, "invalidate", "all"),
  ]);
  deepEqual(
    ran.map(({ status }) => status),
    [0, 4, 5, 0, 2, 2],
  );
  deepEqual(
    disk.commands.toSorted((left, right) => (left.verb < right.verb ? -1 : 1)),
    [
      { verb: "connect", discardMyData: false, dryRun: true },
      { verb: "detach", force: true },
      { verb: "secondary" },
      { verb: "verify", start: 8, stop: 2_097_152 },
    ],
  );
  equal(ran[0]?.stdout, "r0: one step\nr0: connect done\n");
  equal(ran[1]?.stderr, "r0: secondary refused: it is open [BTN-DISK-OPEN]\n");
  const lines = (ran[2]?.stdout ?? "").trim().split("\n");
  deepEqual(
    lines.map((line) => JSON.parse(line) as unknown),
    [
      { progress: { disk: "r0", line: "one step" } },
      {
        result: {
          schema: "baton.disk.command.1",
          disk: "r0",
          verb: "detach",
          outcome: "failed",
          reason: "BTN-DISK-STUCK",
          code: 0,
          detail: "stuck",
        },
      },
    ],
  );
});

test("a verify shows progress until it is over", async (t) => {
  const directory = runDirectoryOf(t);
  await fakeDisk(t, directory, "r0", {
    answer: (_command, _progress, disk) => {
      const view = { resync: { ...resync, kind: "verify" as const } };
      disk.push({ conn: "VerifyS" }, view);
      setTimeout(
        () => disk.push({ conn: "VerifyS" }, { resync: { ...view.resync, leftBlocks: 0 } }),
        50,
      );
      setTimeout(() => disk.push({ conn: "Connected" }, { outOfSyncBlocks: 1 }), 100);
      return { detail: "begun" };
    },
  });
  const { status, stdout } = await baton(directory, "verify", "r0");
  equal(status, 0);
  match(stdout, /50\.0% verified, 512\.0 MiB to go/u);
  match(stdout, /100\.0% verified, 0 B to go/u);
});

test("status --watch follows each disk, also through a restart of its process", async (t) => {
  const directory = runDirectoryOf(t);
  const disk = await fakeDisk(t, directory, "r0", { state: { conn: "WFConnection" } });
  const watching = watch(directory, "status", "--watch", "--json");
  t.after(() => watching.end());
  const shown = async (): Promise<unknown> => {
    const { disks } = JSON.parse(await watching.line()) as {
      disks: { process: string; state: { view: { state: { conn: string } } } | null }[];
    };
    return disks.map((each) => each.state?.view.state.conn ?? each.process);
  };
  deepEqual(await shown(), ["WFConnection"]);
  disk.push({ conn: "Connected" });
  deepEqual(await shown(), ["Connected"]);
  disk.hangUp();
  deepEqual(await shown(), ["absent"]);
  deepEqual(await shown(), ["Connected"]);
});

test("wait-connect ends when the disk is connected, StandAlone, or too late", async (t) => {
  const directory = runDirectoryOf(t);
  const disk = await fakeDisk(t, directory, "r0", { state: { conn: "WFConnection" } });
  await fakeDisk(t, directory, "r1", { state: { conn: "StandAlone" } });
  const waiting = baton(directory, "wait-connect", "r0");
  const late = await baton(directory, "wait-connect", "r0", "--timeout", "0.05");
  const alone = await baton(directory, "wait-connect", "r1");
  disk.push({ conn: "Connected" });
  const connected = await waiting;
  deepEqual(
    [late, alone, connected].map(({ status }) => status),
    [1, 1, 0],
  );
});

test("what loses data says what, and is not done without a word", async (t) => {
  const directory = runDirectoryOf(t);
  const { conf, backing } = configured(t, directory);
  const disk = await fakeDisk(t, directory, "r0", {
    state: { disk: "Inconsistent", pdsk: "UpToDate", role: "Primary" },
    openers: 2,
  });
  const asked = await Promise.all(
    [
      ["primary", "r0", "--force"],
      ["invalidate", "r0", "--drbd-conf", conf],
      ["invalidate-remote", "r0"],
      ["connect", "r0", "--discard-my-data"],
      ["new-current-uuid", "r0", "--clear-bitmap"],
      ["down", "r0"],
    ].map((words) => baton(directory, ...words)),
  );
  deepEqual(
    asked.map(({ status }) => status),
    [4, 4, 4, 4, 4, 4],
  );
  deepEqual(disk.commands, []);
  match(
    asked[0]?.stderr ?? "",
    /declare the data of disk r0 on this host the good ones:\n {2}the data here: 1023\.9 MiB.*\n.*Inconsistent, the peer's UpToDate\n/u,
  );
  match(asked[0]?.stderr ?? "", /\[BTN-CLI-DISK-UNCONFIRMED\]/u);
  ok(asked[1]?.stderr.includes(`1023.9 MiB, ${backing}: empty, as far as it was read`));
  match(asked[5]?.stderr ?? "", /stop disk r0, which is in use/u);
  const agreed = await Promise.all([
    baton(directory, "primary", "r0", "--force", "--yes"),
    baton(directory, "primary", "r0"),
  ]);
  deepEqual(
    agreed.map(({ status }) => status),
    [0, 0],
  );
  deepEqual(disk.commands.map((command) => JSON.stringify(command)).toSorted(), [
    '{"verb":"primary","force":false}',
    '{"verb":"primary","force":true}',
  ]);
});

test("a disk that does not run is down already, and nothing else can be done with it", async (t) => {
  const directory = runDirectoryOf(t);
  const { conf } = configured(t, directory);
  const ran = await Promise.all([
    baton(directory, "down", "r0", "--drbd-conf", conf),
    baton(directory, "primary", "r0", "--drbd-conf", conf),
    baton(directory, "primary", "r1", "--drbd-conf", conf),
    baton(directory, "check-resize", "r0"),
  ]);
  deepEqual(
    ran.map(({ status }) => status),
    [0, 3, 2, 4],
  );
  match(ran[1]?.stderr ?? "", /BTN-CLI-DISK-DOWN/u);
  match(ran[2]?.stderr ?? "", /Use one of r0/u);
});

test("metadata is created, shown and marked; what is there already is told first", async (t) => {
  const directory = runDirectoryOf(t);
  const { conf, backing } = configured(t, directory);
  const disk = (...words: readonly string[]) => baton(directory, ...words, "--drbd-conf", conf);
  const created = await disk("create-md", "r0");
  equal(created.status, 0, created.stderr);
  match((await disk("get-gi", "r0")).stdout, /^0{15}4:0{16}:0{16}:0{16}:0:0:0:0:0:0:0\n$/u);
  match((await disk("dump-md", "r0")).stdout, /version "v08";[\s\S]*la-size-sect 0;/u);
  const again = await disk("create-md", "r0");
  equal(again.status, 4);
  match(
    again.stderr,
    /its data generations, which say which copy is current, are forgotten: 0{15}4:/u,
  );
  equal((await disk("create-md", "r0", "--yes")).status, 0);
  const marked = await Promise.all([disk("outdate", "r0"), disk("dstate", "r0")]);
  deepEqual(
    marked.map(({ status }) => status),
    [5, 0],
  );
  equal(marked[1]?.stdout, "Inconsistent/DUnknown\n");
  // An ext4 superblock, as far as its magic goes.
  const fd = openSync(backing, "r+");
  writeSync(fd, new Uint8Array(8 * 1024 * 1024), 0, 8 * 1024 * 1024, 0);
  writeSync(fd, new Uint8Array([0x53, 0xef]), 0, 2, 1_024 + 56);
  closeSync(fd);
  const onFile = await disk("create-md", "r0");
  equal(onFile.status, 4);
  match(onFile.stderr, /there is now: ext2\/3\/4 file system/u);
});

test("as drbdadm: commands, texts and exit codes of drbdadm", async (t) => {
  const directory = runDirectoryOf(t);
  const { conf } = configured(t, directory);
  const drbdadm = (...words: readonly string[]) =>
    runAs("drbdadm", directory, "-c", conf, ...words);
  const down = await Promise.all([
    drbdadm("role", "r0"),
    drbdadm("down", "all"),
    drbdadm("primary", "r0"),
    drbdadm("connect", "r0"),
    drbdadm("primary", "r9"),
    drbdadm("frobnicate", "r0"),
    drbdadm("sh-dev", "r0"),
    drbdadm("sh-md-idx", "minor-7"),
    drbdadm("sh-resources"),
    drbdadm("-d", "up", "all"),
    drbdadm("primary"),
  ]);
  deepEqual(
    down.map(({ status, stdout }) => [status, stdout]),
    [
      [0, "Unconfigured\n"],
      [0, ""],
      [10, ""],
      [10, ""],
      [10, ""],
      [10, ""],
      [0, "/dev/drbd7\n"],
      [0, "internal\n"],
      [0, "r0\n"],
      [0, "baton disk up r0\n"],
      [10, ""],
    ],
  );
  match(down[2]?.stderr ?? "", /^7: Failure: \(127\) Device minor not allocated\n/u);
  match(down[3]?.stderr ?? "", /^r0: Failure: \(158\) Unknown resource\n/u);
  match(down[4]?.stderr ?? "", /'r9' not defined in your config \(for this host\)\./u);

  const disk = await fakeDisk(t, directory, "r0", {
    answer: (command) => {
      const codes: Readonly<Record<string, number>> = { secondary: -12, outdate: -16, attach: -4 };
      const code = command.verb === "primary" && !command.force ? -2 : (codes[command.verb] ?? 1);
      return code < 0 ? { outcome: "refused", reason: "BTN-X", code, detail: "" } : {};
    },
  });
  const up = [
    await drbdadm("role", "r0"),
    await drbdadm("cstate", "r0/0"),
    await drbdadm("dstate", "all"),
    await drbdadm("primary", "r0"),
    await drbdadm("--", "--overwrite-data-of-peer", "primary", "r0"),
    await drbdadm("secondary", "r0"),
    await drbdadm("outdate", "r0"),
    await drbdadm("attach", "r0"),
    await drbdadm("--", "--discard-my-data", "connect", "r0"),
    await drbdadm("wait-connect", "r0"),
    await drbdadm("status", "r0"),
  ];
  deepEqual(
    up.map(({ status, stdout }) => [status, stdout]),
    [
      [0, "Primary/Secondary\n"],
      [0, "Connected\n"],
      [0, "UpToDate/UpToDate\n"],
      [17, ""],
      [0, ""],
      [11, ""],
      [5, ""],
      [16, ""],
      [0, ""],
      [0, ""],
      [
        0,
        "r0 role:Primary\n  disk:UpToDate\n  peer role:Secondary\n    replication:Established peer-disk:UpToDate\n\n",
      ],
    ],
  );
  equal(
    up[3]?.stderr,
    "7: State change failed: (-2) Need access to UpToDate data\nCommand 'drbdsetup-84 primary 7' terminated with exit code 17\n",
  );
  ok(disk.commands.some((command) => command.verb === "connect" && command.discardMyData));
});

test("as drbddisk: heartbeat reads the word running", async (t) => {
  const directory = runDirectoryOf(t);
  const disk = await fakeDisk(t, directory, "r0");
  const primary = await runAs("drbddisk", directory, "r0", "status");
  disk.push({ role: "Secondary" });
  const secondary = await runAs("drbddisk", directory, "r0", "status");
  deepEqual(
    [primary, secondary].map(({ status, stdout }) => [status, stdout]),
    [
      [0, "running (Primary)\n"],
      [3, "stopped (Secondary)\n"],
    ],
  );
  equal((await runAs("drbddisk", directory, "r0", "dance")).status, 1);
});

test("as drbd-peer-outdater: 5 if nobody answers, 20 for wrong words", async (t) => {
  const directory = runDirectoryOf(t);
  const words = ["-p", "elsewhere", "-r", "r0", "-t", "1"];
  equal((await runAs("drbd-peer-outdater", directory, ...words)).status, 5);
  equal((await runAs("drbd-peer-outdater", directory, "-x")).status, 20);
});

test("what is said again of the replication room is what it says", () => {
  for (const state of connectionStates) {
    const established = connectionRank(state) >= connectionRank("Connected");
    equal(isEstablished(state), established, state);
  }
  equal(socketOfDisk("/run/baton", "r0"), diskSocketPath("/run/baton", "r0"));
});

test("every verb has help with an example", async (t) => {
  const directory = runDirectoryOf(t);
  const { stdout } = await baton(directory, "--help");
  const verbs = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) /gmu)].map(([, verb]) => verb ?? "");
  const wanted = [
    "create-md",
    "up",
    "down",
    "attach",
    "detach",
    "connect",
    "disconnect",
    "primary",
    "secondary",
    "status",
    "verify",
    "outdate",
    "invalidate",
    "invalidate-remote",
    "pause-sync",
    "resume-sync",
    "dump-md",
    "proc",
  ];
  deepEqual(
    wanted.filter((verb) => !verbs.includes(verb)),
    [],
  );
  const program = await (await import("./program.ts")).buildProgram("disk");
  const disk = program.commands.find((command) => command.name() === "disk");
  for (const command of disk?.commands ?? []) {
    if (command.name() === "serve") continue;
    let text = "";
    command.configureOutput({ writeOut: (part) => (text += part) });
    command.outputHelp();
    match(text, /Example/u, command.name());
    match(text, /--json/u, command.name());
  }
});
