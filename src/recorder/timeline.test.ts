import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { JournalEntry } from "./entry.ts";
import { findIncident, type Incident, incidentsOf } from "./timeline.ts";

type Line = readonly [
  atMs: number,
  where: string,
  fields: Partial<Pick<JournalEntry, "kind" | "reason" | "group" | "peer" | "bootId">>,
  data?: unknown,
];

/** Lines as `[ms, "room/name", fields, data]`; the wall clock starts at 09:00:00. */
function journal(lines: readonly Line[]): readonly JournalEntry[] {
  return lines.map(([atMs, where, fields, data = {}]) => {
    const [room, name = ""] = where.split("/") as [JournalEntry["room"], string];
    return {
      v: 1,
      host: "dbm158",
      bootId: "boot-1",
      monotonicMs: atMs,
      wall: new Date(Date.UTC(2026, 10, 23, 9) + atMs).toISOString(),
      kind: "effect",
      room,
      name,
      reason: null,
      group: null,
      peer: null,
      data,
      ...fields,
    };
  });
}

const late: Line = [
  700,
  "membership/verdict",
  { peer: "dbm157", reason: "BTN-LATE" },
  { verdict: "late", silentMs: 600 },
];
const dead: Line = [
  1300,
  "membership/verdict",
  { peer: "dbm157", reason: "BTN-DEAD" },
  { verdict: "dead", silentMs: 1200 },
];
const decided: Line = [
  1301,
  "failover/decision",
  { group: "mysql", reason: "BTN-TAKE" },
  { detail: "dbm157 is dead: take mysql" },
];
const acquire: Line = [1302, "failover/acquire", { group: "mysql" }, { operation: 1 }];
const started = (atMs: number, resource: string, kind: string, tookMs: number): Line => [
  atMs,
  "resources/resourceStarted",
  { group: "mysql", kind: "result" },
  { resource, kind, tookMs, ok: true, detail: "" },
];
const acquired: Line = [
  1900,
  "failover/operationDone",
  { group: "mysql", kind: "result" },
  { operation: 1, outcome: { result: "done" } },
];
const takeover = [
  late,
  dead,
  decided,
  acquire,
  started(1400, "disk", "shared-disk", 98),
  started(1500, "fs", "filesystem", 100),
  started(1850, "db", "mysqld", 350),
  started(1899, "vip", "address", 40),
  acquired,
];

function tell(incident: Incident | undefined): readonly string[] {
  if (incident === undefined) return [];
  return incident.phases.map(({ atMs, kind, text }) => `${atMs} ${kind}: ${text}`);
}

const head = (incident: Incident | undefined): unknown =>
  incident && [incident.cause, incident.subject, incident.outcome, incident.durationMs];

test("a dead holder is told from its last good beat to the group that runs here", () => {
  const [incident, ...others] = incidentsOf(journal(takeover));
  deepEqual(others, []);
  deepEqual(head(incident), ["dead", "dbm157", "moved-here", 1800]);
  deepEqual(tell(incident), [
    "0 lastBeat: last good beat of dbm157",
    "600 late: dbm157 late",
    "1200 dead: dbm157 dead",
    "1201 decision: dbm157 is dead: take mysql",
    "1202 acquire: start mysql here",
    "1300 resourceStarted: disk started",
    "1400 resourceStarted: fs started",
    "1750 resourceStarted: db started",
    "1799 address: vip is up",
    "1800 running: mysql runs here",
  ]);
  deepEqual(incident?.groups, ["mysql"]);
  equal(incident?.reason, "BTN-TAKE");
  equal(incident?.phases.at(-1)?.tookMs, 598);
  equal(incident?.id, "20261123T090000.700");
});

test("a resource that is restarted here is an incident, with what follows from it", () => {
  const restart: Line = [
    1000,
    "resources/note",
    { group: "mysql", kind: "note", reason: "BTN-RESOURCE-RESTART" },
    { resource: "mysqld", detail: "Restart 1 of 1: it is stopped" },
  ];
  const other: Line = [
    1001,
    "resources/note",
    { group: "mysql", kind: "note", reason: "BTN-SCRIPT-OUTPUT" },
    { resource: "mysqld", detail: "hello" },
  ];
  const up = started(1200, "mysqld", "mysqld", 190);
  const failed: Line = [
    5000,
    "failover/resourceFailed",
    { group: "mysql", reason: "BTN-RESOURCE-NOT-RUNNING" },
    { resource: "mysqld", detail: "It is stopped" },
  ];
  const [one, ...none] = incidentsOf(journal([restart, other, up]));
  deepEqual([one?.cause, one?.subject, one?.outcome], ["resource", "mysql/mysqld", "recovered"]);
  deepEqual(
    one?.phases.map(({ atMs, text }) => `${atMs} ${text}`),
    ["0 mysqld: Restart 1 of 1: it is stopped", "200 mysqld started"],
  );
  equal(none.length, 0);
  equal(incidentsOf(journal([restart, up, failed])).length, 1);
});

test("a host that is late and comes back is an incident that recovered", () => {
  const back: Line = [900, "membership/verdict", { peer: "dbm157" }, { verdict: "alive" }];
  deepEqual(incidentsOf(journal([late, back])).map(head), [["late", "dbm157", "recovered", 800]]);
});

test("a decision not to move ends an incident, and a move that follows late belongs to it", () => {
  const not: Line = [1301, "failover/decision", { reason: "BTN-WAIT" }, { detail: "wait" }];
  deepEqual(incidentsOf(journal([late, dead, not])).map(head), [
    ["dead", "dbm157", "not-moved", 1201],
  ]);
  const then: Line[] = [[5_000, "failover/acquire", { group: "mysql" }, { operation: 1 }]];
  const done: Line[] = [[6_000, acquired[1], acquired[2], acquired[3]]];
  deepEqual(incidentsOf(journal([late, dead, not, ...then, ...done])).map(head), [
    ["dead", "dbm157", "moved-here", 5900],
  ]);
});

test("a return of the dead host and later decisions do not lengthen an incident", () => {
  const back: Line = [9_000, "membership/verdict", { peer: "dbm157" }, { verdict: "alive" }];
  const stay: Line = [
    9_001,
    "failover/decision",
    { reason: "BTN-STAY" },
    { detail: "no failback" },
  ];
  deepEqual(incidentsOf(journal([...takeover, back, stay])).map(head), [
    ["dead", "dbm157", "moved-here", 1800],
  ]);
});

const command = (atMs: number, id: string): Line => [
  atMs,
  "failover/command",
  { kind: "input" },
  { id, command: { verb: "switch", group: "mysql", to: "dbm157" } },
];
const commandDone = (atMs: number, id: string, outcome: string): Line => [
  atMs,
  "failover/commandDone",
  { reason: "BTN-X", kind: "result" },
  { command: id, outcome, detail: "said so" },
];
const release = (atMs: number, operation: number): Line[] => [
  [atMs, "failover/release", { group: "mysql" }, { operation }],
  [
    atMs + 300,
    "failover/operationDone",
    { group: "mysql" },
    { operation, outcome: { result: "done" } },
  ],
];

test("a command is an incident of its own, also right after another", () => {
  const first = [command(100, "a"), ...release(110, 1), commandDone(900, "a", "done")];
  const second = [command(1_000, "b"), commandDone(1_001, "b", "refused")];
  const incidents = incidentsOf(journal([...first, ...second]));
  deepEqual(incidents.map(head), [
    ["command", "switch", "moved-away", 800],
    ["command", "switch", "refused", 1],
  ]);
  equal(tell(incidents[0])[0], "0 command: command switch mysql to dbm157");
  equal(tell(incidents[1]).at(-1), "1 commandDone: command refused: said so");
});

test("a failed start is told with its resource and detail", () => {
  const failed: Line = [
    1700,
    "failover/operationDone",
    { group: "mysql" },
    { operation: 1, outcome: { result: "failed", resource: "db", detail: "port in use" } },
  ];
  const stay: Line = [1701, "failover/decision", { reason: "BTN-STAY" }, { detail: "stay down" }];
  const [incident] = incidentsOf(journal([late, dead, decided, acquire, failed, stay]));
  deepEqual(head(incident), ["dead", "dbm157", "failed", 1601]);
  equal(tell(incident).at(-2), "1600 operationFailed: mysql failed at db: port in use");
});

test("a restart in the middle is an interruption, whatever the new monotonic clock says", () => {
  const reboot: Line = [50, "failover/decision", { bootId: "boot-2" }, { detail: "compare first" }];
  const restart: Line = [1_400, "agent/started", { kind: "note" }];
  for (const end of [reboot, restart]) {
    const lines = journal([late, dead, decided, acquire, end]);
    deepEqual(incidentsOf(lines).map(head), [["dead", "dbm157", "interrupted", 1202]]);
  }
});

test("groups that start without a cause here are a move; the same group again is another", () => {
  const again: Line[] = release(8_000, 2);
  const incidents = incidentsOf(journal([acquire, acquired, ...again]));
  deepEqual(incidents.map(head), [
    ["move", "mysql", "moved-here", 598],
    ["move", "mysql", "moved-away", 300],
  ]);
});

test("an incident under way is open", () => {
  deepEqual(incidentsOf(journal([late, dead, decided, acquire])).map(head), [
    ["dead", "dbm157", "open", 1202],
  ]);
});

test("a goodbye that asks for no decision is over at once", () => {
  const left: Line = [500, "membership/verdict", { peer: "dbm157" }, { verdict: "left" }];
  deepEqual(incidentsOf(journal([left])).map(head), [["left", "dbm157", "not-moved", 0]]);
  const next = command(600, "a");
  const [first, second] = incidentsOf(journal([left, next, commandDone(700, "a", "done")])).map(
    head,
  );
  deepEqual(
    [first, second],
    [
      ["left", "dbm157", "not-moved", 0],
      ["command", "switch", "done", 100],
    ],
  );
});

test("lines of any form are passed over or told, never refused", () => {
  const odd = ["membership/verdict", "failover/operationDone", "failover/command", "x/y"].flatMap(
    (where, index) =>
      [null, 7, [], { outcome: 3, operation: "a" }].map((data): Line => [index, where, {}, data]),
  );
  incidentsOf(journal(odd));
});

test("incidents are found by last, id, or the unique beginning of one", () => {
  const incidents = incidentsOf(
    journal([command(100, "a"), commandDone(200, "a", "done"), command(70_000, "b")]),
  );
  const id = incidents[0]?.id ?? "";
  equal(findIncident(incidents, "last")?.outcome, "open");
  equal(findIncident(incidents, id)?.id, id);
  equal(findIncident(incidents, "20261123T0900")?.id, id);
  equal(findIncident(incidents, "2026"), undefined);
});
