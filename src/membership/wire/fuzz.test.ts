import { ok } from "node:assert/strict";
import { test } from "node:test";
import { fuzzWire } from "./fuzz.shell.ts";

const seconds = Number(process.env["BATON_FUZZ_SECONDS"] ?? "3");
const seed = Number(process.env["SEED"] ?? "1");

test(`no bytes break the heartbeat codecs in ${seconds} s from seed ${seed}`, (context) => {
  const { executions, accepted, refused } = fuzzWire(seconds, seed);
  ok(accepted > 0 && Object.keys(refused).length > 4, "The fuzzer reached too little");
  context.diagnostic(
    `${executions} executions, ${accepted} accepted, refused ${JSON.stringify(refused)}`,
  );
});
