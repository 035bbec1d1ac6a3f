import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseBeatRequest } from "./beat-request.ts";
import type { BeatRequest } from "./contract.ts";

const key = {
  index: 1,
  method: "sha1",
  secret: { kind: "authkeys", path: "/etc/ha.d/authkeys", index: 1 },
} as const;
const keys = { auth: { mode: "classic", keys: [key], sendIndex: 1 }, clusterId: "c1" } as const;

test("every request survives the socket", () => {
  const requests: readonly BeatRequest[] = [
    { kind: "alive" },
    { kind: "announce", status: "active", deadtimeMs: 1_200 },
    { kind: "send", fields: { t: "ask_resources", info: "me" } },
    { kind: "rejoin" },
    { kind: "rereadKeys" },
    { kind: "rereadKeys", keys },
    { kind: "end" },
  ];
  for (const request of requests) {
    const result = parseBeatRequest(JSON.parse(JSON.stringify(request)));
    deepEqual(result.ok && result.value, request);
  }
});

test("what is no request is refused with the reason", () => {
  const refused = (value: unknown): string => {
    const result = parseBeatRequest(value);
    return result.ok ? "accepted" : result.error.message.replace(/.*: /, "");
  };
  equal(refused(null), "it is not an object");
  equal(refused({ kind: "explode" }), 'its kind "explode" is not known');
  equal(refused({ kind: "send", fields: { t: "x", n: 1 } }), "one of its fields is not text");
  equal(refused({ kind: "send", fields: { info: "x" } }), "its fields have no type t");
  equal(
    refused({ kind: "announce", status: "active", deadtimeMs: 0 }),
    "its deadtimeMs is not a number of milliseconds above 0",
  );
  const where = "its keys are not where keys are";
  equal(refused({ kind: "rereadKeys", keys: "/etc/ha.d/authkeys" }), where);
  const foreign = { ...key, method: "rot13" };
  equal(
    refused({ kind: "rereadKeys", keys: { auth: { keys: [foreign] }, clusterId: "c1" } }),
    where,
  );
});

test("arbitrary JSON never throws", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      parseBeatRequest(value);
    }),
  );
});
