import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { beatReasons } from "./beat-reasons.ts";
import { membershipReasons } from "./reasons.ts";

test("every code is explained, once", () => {
  const codes = [...Object.keys(membershipReasons), ...Object.keys(beatReasons)];
  equal(new Set(codes).size, codes.length);
  for (const [code, text] of Object.entries({ ...membershipReasons, ...beatReasons })) {
    ok(/^BTN-(WIRE|BEAT|MEMBER)-[A-Z0-9-]+$/.test(code), code);
    for (const sentence of Object.values(text)) {
      ok(sentence.length > 0 && !sentence.endsWith("."), `${code}: ${sentence}`);
    }
  }
});
