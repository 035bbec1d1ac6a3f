import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StatusReport } from "../agent/control.ts";
import type { Incident } from "../recorder/index.ts";
import { exitOfOutcome, progressLine, resultLine } from "./moves.ts";
import { clip, columns, duration, harmless, plain } from "./output.ts";
import { report } from "./status-test-support.ts";
import { statusLines } from "./status-text.ts";
import { incidentLines, incidentList } from "./timeline-text.ts";

test("status tells a healthy pair in 20 lines", () => {
  deepEqual(statusLines(report, plain), [
    "shop, seen from dbm157: the group runs",
    "baton 0.1.0, up 1 h 2 min (pid 812), /etc/baton/cluster.yaml",
    "beats every 200 ms, late after 600 ms, dead after 1.2 s (default)",
    "",
    "hosts",
    "  dbm157  self, active                     beat 48213  baton 0.1.0  gen 12",
    "  dbm158  alive, active  eth0 up, eth1 up  90 ms ago   heartbeat    gen 9",
    "  ping 192.168.0.1  up  answered 400 ms ago",
    "",
    "groups",
    "  mysql  runs on dbm157  (prefers dbm157, epoch 4)",
    "      [BTN-FAILOVER-HOLDS] dbm157 owns it",
    "      disk           shared-disk  running",
    "      data           filesystem   running",
    "      server         mysqld       running",
    "      write-address  address      running",
    "",
    "notices",
    "  Split brain possible: no third party tells a dead host from a cut cable",
    "     [BTN-MODE-NO-ARBITER]",
  ]);
});

const [self, peer] = report.hosts;
const [group] = report.groups;

test("status says in words why a group runs nowhere", () => {
  ok(group !== undefined);
  const groups = [
    { ...group, holder: null, here: "stopped" as const, reason: "BTN-X", detail: "" },
  ];
  const lines = statusLines({ ...report, groups }, plain, () => "The group waits");
  ok(lines.includes("      [BTN-X] The group waits"), lines.join("\n"));
});

test("status says in its first line that nobody could take over", () => {
  ok(self !== undefined && peer !== undefined);
  const hosts = [self, { ...peer, verdict: "dead" as const, status: "active" }];
  const lines = statusLines({ ...report, hosts }, plain);
  equal(lines[0], "shop, seen from dbm157: the group runs; no standby: dbm158 is dead");
  ok(lines.some((line) => /^ {2}dbm158 {2}dead {2}/.test(line)));
});

test("status says what is wrong: a dead host, a group nowhere, a failed resource, a move", () => {
  ok(self !== undefined && peer !== undefined && group !== undefined);
  const broken: StatusReport = {
    ...report,
    beat: null,
    hosts: [self, { ...peer, verdict: "dead", status: null, silentMs: 75_000, links: [] }],
    groups: [
      {
        ...group,
        holder: null,
        here: "failed",
        unproven: true,
        resources: [{ name: "server", kind: "mysqld", state: "failed", detail: "port in use" }],
      },
    ],
    moves: [
      {
        id: "1",
        verb: "switch",
        group: "mysql",
        from: null,
        to: "dbm157",
        elapsedMs: 1_500,
        line: "stopping",
      },
    ],
    warnings: [{ code: "BTN-X", text: "something" }],
  };
  deepEqual(statusLines(broken, plain).slice(3, -4), [
    "no beat process is connected",
    "",
    "hosts",
    "  dbm157  self, active    beat -          baton 0.1.0  gen 12",
    "  dbm158  dead            1 min 15 s ago  heartbeat    gen 9",
    "  ping 192.168.0.1  up  answered 400 ms ago",
    "",
    "moves under way",
    "  switch mysql to dbm157, for 1.5 s: stopping",
    "",
    "groups",
    "  mysql  runs NOWHERE, failed here  (taken over without proof, prefers dbm157, …",
    "      [BTN-FAILOVER-HOLDS] dbm157 owns it",
    "      server  mysqld  failed  port in use",
    "",
  ]);
});

test("status never has more than 40 lines of 80 columns, nor control characters", () => {
  ok(peer !== undefined && group !== undefined);
  const text = fc.string({ maxLength: 200, unit: "binary" });
  const many = fc.record({
    hosts: fc.array(text, { maxLength: 60 }),
    groups: fc.array(fc.tuple(text, text, fc.nat(30)), { maxLength: 30 }),
    warnings: fc.array(text, { maxLength: 60 }),
  });
  fc.assert(
    fc.property(many, ({ hosts, groups, warnings }) => {
      const lines = statusLines(
        {
          ...report,
          hosts: hosts.map((name) => ({ ...peer, name })),
          groups: groups.map(([name, detail, count]) => ({
            ...group,
            group: name,
            detail,
            resources: Array.from({ length: count }, () => ({
              name,
              kind: "address",
              state: "running",
              detail,
            })),
          })),
          warnings: warnings.map((line) => ({ code: "BTN-X", text: line })),
        },
        plain,
      );
      ok(lines.length <= 40, `${lines.length} lines`);
      for (const line of lines) ok(line.length <= 80 && !/\p{Cc}/u.test(line), line);
    }),
    { numRuns: 50 },
  );
});

const incident: Incident = {
  id: "20261123T090000.700",
  host: "dbm158",
  cause: "dead",
  subject: "dbm157",
  wall: "2026-11-23T09:00:00.700Z",
  causeAtMs: 600,
  outcome: "moved-here",
  durationMs: 1800,
  groups: ["mysql"],
  reason: "BTN-TAKE",
  phases: [
    {
      atMs: 0,
      kind: "lastBeat",
      text: "last good beat of dbm157",
      reason: null,
      group: null,
      tookMs: null,
    },
    { atMs: 600, kind: "late", text: "dbm157 late", reason: "BTN-LATE", group: null, tookMs: null },
    {
      atMs: 1201.5,
      kind: "dead",
      text: "dbm157 dead",
      reason: "BTN-DEAD",
      group: null,
      tookMs: null,
    },
    { atMs: 1799, kind: "address", text: "vip is up", reason: null, group: "mysql", tookMs: 40 },
    {
      atMs: 1800,
      kind: "running",
      text: "mysql runs here",
      reason: null,
      group: "mysql",
      tookMs: 598,
    },
  ],
  phasesOmitted: 0,
};

test("an incident is a line per phase with times, codes and the sum", () => {
  deepEqual(incidentLines(incident, plain), [
    "dbm158: dbm157 dead  2026-11-23T09:00:00.700Z  (incident 20261123T090000.700)",
    "",
    "   at ms       +ms   took ms  what                      why",
    "     0.0                      last good beat of dbm157",
    "   600.0     600.0            dbm157 late               BTN-LATE",
    "  1201.5     601.5            dbm157 dead               BTN-DEAD",
    "  1799.0     597.5      40.0  vip is up",
    "  1800.0       1.0     598.0  mysql runs here",
    "",
    "mysql: runs here after 1.8 s [BTN-TAKE]",
  ]);
});

test("the list of incidents has one line each", () => {
  deepEqual(incidentList([incident, { ...incident, cause: "command", subject: "switch" }], plain), [
    "id                   cause           groups  end        took     why",
    "20261123T090000.700  dbm157 dead     mysql   runs here  1800 ms  BTN-TAKE",
    "20261123T090000.700  command switch  mysql   runs here  1800 ms  BTN-TAKE",
  ]);
  equal(incidentList([], plain).length, 1);
});

test("phases and the end of a command are told with times and codes", () => {
  equal(
    progressLine({ elapsedMs: 85.4, line: "mysql: stop\u001b[31m", reason: "BTN-A" }, plain),
    "     85 ms  mysql: stop?[31m [BTN-A]",
  );
  equal(
    resultLine(
      "switch",
      { outcome: "done", reason: "BTN-B", detail: "on dbm158", elapsedMs: 812 },
      plain,
    ),
    "switch done after 812 ms: on dbm158 [BTN-B]",
  );
  deepEqual((["done", "negative", "refused", "failed"] as const).map(exitOfOutcome), [0, 1, 4, 5]);
});

test("durations, widths and odd characters are made readable", () => {
  deepEqual([0, 999, 1_000, 59_940, 200_000, 14_700_000, 266_400_000].map(duration), [
    "0 ms",
    "999 ms",
    "1 s",
    "59.9 s",
    "3 min 20 s",
    "4 h 5 min",
    "3 d 2 h",
  ]);
  equal(clip("abcdef", 4), "abc…");
  equal(harmless("a\u0007b\u202ec"), "a?b?c");
  deepEqual(columns([["a", "bb"], ["ccc"]]), ["a    bb", "ccc"]);
});
