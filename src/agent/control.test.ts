import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { authorityOf, controlVerbs, parseControlCall } from "./control.ts";

/** The value, or the code and message of the error. */
function read(verb: unknown, args: unknown): unknown {
  const parsed = parseControlCall(verb, args);
  return parsed.ok ? parsed.value : `${parsed.error.code}: ${parsed.error.message}`;
}

test("absent arguments become null or their default", () => {
  deepEqual(read("switch", {}), { verb: "switch", args: { group: null, to: null } });
  deepEqual(read("standby", undefined), { verb: "standby", args: { scope: "all" } });
  deepEqual(read("takeover", { scope: "foreign" }), {
    verb: "takeover",
    args: { scope: "foreign", peerIsDead: false },
  });
  deepEqual(read("status", null), { verb: "status", args: {} });
});

test("what is wrong with a request is named", () => {
  match(String(read("swich", {})), /^BTN-CONTROL-UNKNOWN-VERB: .*"swich"/);
  match(String(read("toString", {})), /^BTN-CONTROL-UNKNOWN-VERB/);
  match(String(read("nodestatus", {})), /^BTN-CONTROL-BAD-ARGUMENT: .*"host" is missing/);
  match(String(read("standby", { scope: "most" })), /"scope" is not one of all, local/);
  match(String(read("takeover", { peerIsDead: "yes" })), /"peerIsDead" is not true or false/);
  match(String(read("status", { now: true })), /argument "now" is not known/);
  match(String(read("switch", { group: "a\nb" })), /"group" is not a name/);
  match(String(read("switch", { group: "x".repeat(257) })), /"group" is not a name/);
  match(String(read(7, {})), /^BTN-CONTROL-MALFORMED/);
  match(String(read("status", [])), /^BTN-CONTROL-MALFORMED/);
});

test("any verb with any arguments gives a call or an error, never an exception", () => {
  const verb = fc.oneof(fc.constantFrom(...controlVerbs), fc.string(), fc.anything());
  const value = fc.oneof(fc.string(), fc.boolean(), fc.anything());
  const keys = fc.constantFrom("group", "to", "scope", "peerIsDead", "host", "link", "only", "x");
  const args = fc.oneof(fc.dictionary(keys, value), fc.anything());
  fc.assert(
    fc.property(verb, args, (anyVerb, anyArgs) => {
      const parsed = parseControlCall(anyVerb, anyArgs);
      if (parsed.ok) equal(parsed.value.verb, anyVerb);
      else ok(parsed.error.code.startsWith("BTN-CONTROL-"));
    }),
  );
});

test("only verbs that move or stop something need more than to observe", () => {
  deepEqual(
    controlVerbs.filter((verb) => authorityOf(verb) === "operate"),
    ["switch", "standby", "takeover", "clear", "stop"],
  );
});
