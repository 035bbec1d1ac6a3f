import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import type { DiskView, ResyncView } from "../replication/index.ts";
import { viewOf } from "./disk-test-support.ts";
import { deviceLines, formatDrbdStatus, formatProcDrbd, type ProcDetails } from "./proc-drbd.ts";

/** /proc/drbd of two kernel nodes (DRBD 8.4.11, Linux 6.1), as it was captured around 28 sessions. */
const captured = readFileSync(new URL("testdata/proc-drbd.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

const stateLine =
  /^ *(\d+): cs:(\w+) ro:(\w+)\/(\w+) ds:(\w+)\/(\w+) ([ABC ]) ([rs])([a-])([p-])([u-])-([s-])$/u;

/** The view that a captured pair of lines shows. */
function read(first: string, second: string): { view: DiskView; details: ProcDetails } {
  const found = stateLine.exec(first);
  ok(found !== null, first);
  const [, minor, conn, role, peer, disk, pdsk, protocol, run, after, peerPaused, user, log] =
    found;
  const counts = new Map(
    second
      .trim()
      .split(" ")
      .map((field) => field.split(":") as [string, string]),
  );
  const count = (name: string): number => Number(counts.get(name));
  const view = viewOf(
    {
      conn: conn as DiskView["state"]["conn"],
      role: role as DiskView["state"]["role"],
      peer: peer as DiskView["state"]["peer"],
      disk: disk as DiskView["state"]["disk"],
      pdsk: pdsk as DiskView["state"]["pdsk"],
      suspUser: run === "s",
      afterPaused: after === "a",
      peerPaused: peerPaused === "p",
      userPaused: user === "u",
    },
    {
      minor: Number(minor),
      protocol: (protocol === " " ? "C" : protocol) as DiskView["protocol"],
      outOfSyncBlocks: count("oos") / 4,
      counters: {
        networkSent: count("ns") * 2,
        networkReceived: count("nr") * 2,
        diskWritten: count("dw") * 2,
        diskRead: count("dr") * 2,
        activityLogWrites: count("al"),
        bitmapWrites: count("bm"),
        localPending: count("lo"),
        peerPending: count("pe"),
        unacknowledged: count("ua"),
        applicationPending: count("ap"),
        epochs: count("ep"),
      },
    },
  );
  return { view, details: { writeOrder: "f", logSuspended: log === "s" } };
}

test("every captured pair of lines of /proc/drbd is printed byte for byte", () => {
  ok(captured.length > 20);
  for (let at = 0; at < captured.length; at += 2) {
    const [first = "", second = ""] = captured.slice(at, at + 2);
    const { view, details } = read(first, second);
    deepEqual(deviceLines(view, details), [first, second]);
  }
});

const resync: ResyncView = {
  kind: "resync",
  totalBlocks: 262_127,
  leftBlocks: 235_615,
  failedBlocks: 0,
  startedAt: instant(0),
  recentKibPerSecond: 44_640,
  overallKibPerSecond: 44_640,
  wantKibPerSecond: null,
  stalled: false,
};

test("a resync shows the bar, the rest and the time left", () => {
  const lines = (changes: Partial<ResyncView>, conn: DiskView["state"]["conn"] = "SyncSource") =>
    deviceLines(viewOf({ conn }, { resync: { ...resync, ...changes } })).slice(2);
  deepEqual(lines({}), [
    "\t[=>..................] sync'ed: 10.2% (942460/1048508)K",
    "\tfinish: 0:00:21 speed: 44,640 (44,640) K/sec",
  ]);
  deepEqual(
    lines({ wantKibPerSecond: 1_234_567, stalled: true, recentKibPerSecond: 12 }, "SyncTarget"),
    [
      "\t[=>..................] sync'ed: 10.2% (942460/1048508)K",
      "\tfinish: 21:48:58 speed: 12 (44,640) want: 1,234,567 K/sec (stalled)",
    ],
  );
  deepEqual(
    lines({ leftBlocks: 262_127 }, "VerifyS")[0],
    "\t[>....................] verified:  0.4% (1048508/1048508)K",
  );
  deepEqual(
    lines({ totalBlocks: 2 ** 21, leftBlocks: 0 }, "VerifyT")[0],
    "\t[===================>] verified:100.0% (0/8192)M",
  );
  deepEqual(lines({}, "PausedSyncS"), []);
});

test("the file has two lines of heading, a blank line for each gap of minors, and Unconfigured ones", () => {
  const text = formatProcDrbd(
    [
      viewOf({ conn: "StandAlone", disk: "Diskless", role: "Secondary" }, { minor: 4 }),
      viewOf({}, { minor: 0 }),
    ],
    "X",
  );
  deepEqual(text.split("\n"), [
    "version: 8.4.11 (api:1/proto:86-101)",
    "srcversion: X ",
    " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----",
    "    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0",
    "",
    " 4: cs:Unconfigured",
    "",
  ]);
});

test("drbdadm status has the form of 8.4.6 and later", () => {
  equal(
    formatDrbdStatus(
      [
        viewOf(
          { conn: "SyncSource", pdsk: "Inconsistent" },
          { resync: { ...resync, totalBlocks: 1_000, leftBlocks: 579 } },
        ),
        viewOf(
          { conn: "WFConnection", peer: "Unknown", pdsk: "DUnknown", suspFencing: true },
          { name: "r1" },
        ),
        viewOf({ conn: "PausedSyncT", userPaused: true, disk: "Inconsistent" }, { name: "r2" }),
      ],
      { statistics: false },
    ),
    [
      "r0 role:Primary",
      "  disk:UpToDate",
      "  peer role:Secondary",
      "    replication:SyncSource peer-disk:Inconsistent done:42.10",
      "",
      "r1 role:Primary suspended:fencing",
      "  disk:UpToDate",
      "  peer connection:Connecting",
      "",
      "r2 role:Primary",
      "  disk:Inconsistent",
      "  peer role:Secondary",
      "    replication:PausedSyncT peer-disk:UpToDate resync-suspended:user",
    ].join("\n"),
  );
});
