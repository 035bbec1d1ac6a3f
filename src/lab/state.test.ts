import { deepEqual, equal, throws } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type LabState, parseState, readState, writeState } from "./state.ts";

const directory = mkdtempSync(join(tmpdir(), "btn-state-"));
after(() => rmSync(directory, { recursive: true }));

const state: LabState = {
  version: 1,
  phase: "up",
  profile: "fast",
  storage: "shared",
  agentCommand: "exec baton agent",
  hosts: {
    dbm157: { power: "on", init: { pid: 7, startTime: "123" }, loops: { claim: "/dev/loop3" } },
    dbm158: {
      power: "on",
      loops: {},
      paused: { timer: { pid: 8, startTime: "9" }, untilWallMs: 1 },
    },
  },
  cuts: { "dbm157.eth1": "in" },
  loopsBefore: ["/dev/loop0"],
};

test("what is written is read back, and nothing else is left beside it", () => {
  const file = join(directory, "deep", "state.json");
  writeState(file, state);
  deepEqual(readState(file), state);
  deepEqual(readdirSync(join(directory, "deep")), ["state.json"]);
});

test("a state file that is missing or torn is as none: everything is found by name", () => {
  const file = join(directory, "torn.json");
  equal(readState(file), undefined);
  writeFileSync(file, JSON.stringify(state).slice(0, 80));
  equal(readState(file), undefined);
});

test("a state of another version is refused", () => {
  throws(() => parseState(JSON.stringify({ ...state, version: 2 })));
});
