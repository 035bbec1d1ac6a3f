import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBaton, type Holdings, mirrored, parseBaton } from "./messages.ts";

const holdings: Holdings = {
  digest: "d1",
  ask: "s.1",
  echo: null,
  stopping: false,
  pings: 2,
  groups: { g: { epoch: 4, owner: "a", state: "running", failed: null, tries: 0 } },
};

test("what is encoded is read back", () => {
  const request = { id: "1", action: "give", group: "g" } as const;
  const answer = { id: "1", ok: false, reason: "BTN-X", detail: "no" };
  for (const message of [
    { kind: "holdings", holdings },
    { kind: "request", request },
    { kind: "answer", answer },
  ] as const) {
    deepEqual(parseBaton(encodeBaton("b", message)), message);
  }
});

test("any text is read without an exception, and what is not right is malformed", () => {
  const kinds = fc.constantFrom("holdings", "request", "answer", "other", "other!");
  fc.assert(
    fc.property(kinds, fc.oneof(fc.string(), fc.json()), (kind, body) => {
      parseBaton({ t: "baton", kind, body });
    }),
  );
  for (const body of [
    "",
    "[]",
    "{}",
    JSON.stringify({ ...holdings, pings: -1 }),
    JSON.stringify({ ...holdings, groups: { g: { ...holdings.groups["g"], epoch: 1.5 } } }),
    JSON.stringify({ ...holdings, groups: { g: { ...holdings.groups["g"], state: "gone" } } }),
    JSON.stringify({ ...holdings, digest: "d".repeat(1_000) }),
  ]) {
    equal(parseBaton({ t: "baton", kind: "holdings", body }).kind, "malformed", body);
  }
});

test("a kind that ends in ! must be understood", () => {
  deepEqual(parseBaton({ t: "baton", kind: "x!" }), {
    kind: "unknown",
    name: "x!",
    critical: true,
  });
  deepEqual(parseBaton({ t: "baton", kind: "x" }), { kind: "unknown", name: "x", critical: false });
});

test("failback means foreign, from the other side local", () => {
  deepEqual((["all", "local", "foreign", "failback"] as const).map(mirrored), [
    "all",
    "foreign",
    "local",
    "local",
  ]);
});
