import { deepEqual, equal } from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { broadcastOf, canonicalIp, formatIp, parseIp, samePrefix } from "./ip.ts";

const bytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
    .map((list) => Uint8Array.from(list)),
);

test("an address survives text and back, and Node agrees that it is one", () => {
  fc.assert(
    fc.property(bytes, (address) => {
      const text = formatIp(address);
      equal(isIP(text), address.length === 4 ? 4 : 6);
      deepEqual(parseIp(text), address);
    }),
  );
});

test("parseIp takes what Node takes and nothing else", () => {
  const pieces = fc.constantFrom(
    "1",
    "0",
    "255",
    "256",
    "fe80",
    "ffff",
    ":",
    "::",
    ".",
    "01",
    "g",
    "",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 16 }), (list) => {
      const text = list.join("");
      equal(parseIp(text) !== undefined, isIP(text) !== 0, text);
    }),
    { numRuns: 2_000 },
  );
});

test("spellings of one address become one", () => {
  deepEqual(
    ["FE80:0:0:0:0:0:0:1", "fe80::0:1", "2001:db8:0:0:1:0:0:1", "::ffff:1.2.3.4", "::", "1::"].map(
      canonicalIp,
    ),
    ["fe80::1", "fe80::1", "2001:db8::1:0:0:1", "::ffff:102:304", "::", "1::"],
  );
});

test("broadcast and prefix follow the mask", () => {
  const address = parseIp("192.168.5.222") ?? new Uint8Array();
  deepEqual(
    [16, 22, 24, 30, 31, 32].map((length) => broadcastOf(address, length)?.join(".")),
    ["192.168.255.255", "192.168.7.255", "192.168.5.255", "192.168.5.223", undefined, undefined],
  );
  const near = parseIp("192.168.4.1") ?? new Uint8Array();
  deepEqual(
    [22, 23, 24].map((length) => samePrefix(address, near, length)),
    [true, true, false],
  );
});
