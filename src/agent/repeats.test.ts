import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import type { LoopRecord } from "./host-loop.ts";
import { Repeats } from "./repeats.ts";

const send = (body: string, kind = "holdings"): LoopRecord => ({
  kind: "effect",
  room: "failover",
  value: { kind: "send", fields: { t: "baton", dest: "b", kind, body } },
});
const heard = (body: string): LoopRecord => ({
  kind: "input",
  room: "failover",
  value: { kind: "message", host: "b", fields: { t: "baton", dest: "a", kind: "holdings", body } },
});

test("an announcement is written once until it changes; questions and requests each time", () => {
  const repeats = new Repeats();
  const quiet = '{"ask":null,"epoch":1}';
  const asking = '{"ask":"s.1","epoch":1}';
  const entries: readonly (readonly [LoopRecord, boolean])[] = [
    [send(asking), false],
    [send(asking), true],
    [send(quiet), false],
    [send(quiet), true],
    [heard(quiet), false],
    [heard(quiet), true],
    [heard(asking), false],
    [heard(asking), false],
    [send("{}", "request"), false],
    [send("{}", "request"), false],
    [send(asking), false],
  ];
  deepEqual(
    entries.map(([entry]) => repeats.isRepeat(entry)),
    entries.map(([, repeat]) => repeat),
  );
});
