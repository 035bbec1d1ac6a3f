import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nodeHmac } from "../hmac.shell.ts";
import { bytesOf, printable, sameText, textOf } from "./bytes.ts";
import { decodeBase64, encodeBase64 } from "./classic.ts";
import { heartbeatCrc } from "./crc.ts";
import { openDatagram, sealClassic, sealNetstring } from "./frame.ts";
import type { Field, Keyring, WireKey } from "./model.ts";
import { decodeNetstring, encodeNetstring } from "./netstring.ts";

const sha1: WireKey = { index: 1, method: "sha1", secret: "HA_JACKBILLOW" };
const sha256: WireKey = { index: 2, method: "sha256", secret: "s".repeat(32) };
const keyring: Keyring = { mode: "classic", clusterId: "c1", keys: [sha1, sha256], sendIndex: 1 };
const statusFields: readonly Field[] = [
  { type: "string", name: "t", value: "status" },
  { type: "binary", name: "srcuuid", value: "\u0000\u00ff,:=\n" },
];
const signing = { key: sha1, inner: true, clusterId: "c1" };

/** `ok`, or the reason without its prefix. */
function outcome(bytes: Uint8Array | string, ring = keyring): string {
  const opened = openDatagram(typeof bytes === "string" ? bytesOf(bytes) : bytes, ring, nodeHmac);
  return opened.ok ? "ok" : opened.error.reason.replace("BTN-WIRE-", "");
}

/** Any body, correctly signed: what only a holder of the key can send. */
function signed(body: string): string {
  const hex = Buffer.from(nodeHmac("sha1", sha1.secret, bytesOf(body))).toString("hex");
  return `${body}42:1 ${hex},`;
}
const frame = (items: string): string => signed(`###\n${items}%%%\n`);

test("bodies that no heartbeat sends are refused with a reason, each for its own", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["8:(0)t=one,", "ok"],
    ["", "ok"],
    ["9:(0)t=one,", "FRAMING"],
    ["7:(0)t=one,", "FRAMING"],
    ["08:(0)t=one,", "FRAMING"],
    ["-8:(0)t=one,", "FRAMING"],
    ["99999999999:(0)t=one,", "FRAMING"],
    ["65536:(0)t=one,", "FRAMING"],
    ["8(0)t=one,", "FRAMING"],
    ["8:(0)t=one;", "FRAMING"],
    ["5:(0)t1,", "FRAMING"],
    ["5:(0)=1,", "FRAMING"],
    ["6:(0) =1,", "FRAMING"],
    ["6:(9)t=1,", "FRAMING"],
    ["3:t=1,", "FRAMING"],
    ["0:,", "FRAMING"],
    ["6:(4)t=1,", "COMPRESSED"],
    ["27:(1)_compressed_payload=abc,", "FRAMING"],
    ["26:(1)_compressed_payload=abc,", "COMPRESSED"],
    ["6:(0)t=1,6:(0)t=2,", "DUPLICATE-FIELD"],
    [`${68 + 1}:(0)${"n".repeat(65)}=,`, "LIMIT"],
    ["6:(3)t=1,", "FRAMING"],
    ["8:(3)t=1:,,", "FRAMING"],
    ["9:(3)t=1:a,,", "ok"],
    ["13:(2)t=###\n%%%\n,", "ok"],
    ["12:(2)t=###\n%%%,", "FRAMING"],
  ];
  for (const [items, expected] of cases) equal(outcome(frame(items)), expected, items);
});

test("more than 64 fields, and structs in structs in structs, are refused", () => {
  const many = Array.from(
    { length: 65 },
    (_, index) => `${6 + String(index).length}:(0)f${index}=1,`,
  );
  equal(outcome(frame(many.join(""))), "LIMIT");
  let nested = "";
  for (let depth = 0; depth < 6; depth++) {
    const item = `(2)t=###\n${nested}%%%\n`;
    nested = `${item.length}:${item},`;
  }
  equal(outcome(frame(nested)), "LIMIT");
});

test("a datagram without a whole digest at its end is not looked at", () => {
  const whole = textOf(sealNetstring({ fields: statusFields }, signing, nodeHmac));
  equal(outcome(whole), "ok");
  for (let length = 0; length < whole.length; length++) {
    const cut = outcome(whole.slice(0, length));
    ok(cut === "SIZE" || cut === "DIGEST-MISSING", `${length}: ${cut}`);
  }
  equal(outcome(`${whole} `), "DIGEST-MISSING");
  equal(outcome(`${whole}\u0000`), "DIGEST-MISSING");
  equal(outcome(whole.replace(/42:1 /, "41:1 ")), "DIGEST-MISSING");
  equal(outcome(whole.replace(/42:1 /, "042:1 ")), "DIGEST-MISSING");
  equal(outcome(whole.replace(/42:1 /, "43:01 ")), "DIGEST-MISSING");
  equal(outcome(new Uint8Array(65_537)), "SIZE");
});

test("any bit changed anywhere is refused", () => {
  const whole = sealNetstring({ fields: statusFields }, signing, nodeHmac);
  for (let at = 0; at < whole.length; at++) {
    for (const bit of [1, 2, 32, 128]) {
      notEqual(
        outcome(Uint8Array.from(whole.with(at, (whole[at] ?? 0) ^ bit))),
        "ok",
        `byte ${at}`,
      );
    }
  }
});

test("a shortened digest is refused, also for crc whose length varies", () => {
  const whole = textOf(sealNetstring({ fields: statusFields }, signing, nodeHmac));
  const short = whole.replace(/42:1 ([0-9a-f]{2})[0-9a-f]{38},$/, "4:1 $1,");
  equal(outcome(short), "DIGEST-WRONG");
});

test("sha256 names its cluster, has 128 bits, and does not come in the classic frame", () => {
  const sealed = (clusterId: string) =>
    sealNetstring({ fields: statusFields }, { key: sha256, inner: true, clusterId }, nodeHmac);
  equal(outcome(sealed("c1")), "ok");
  equal(outcome(sealed("c2")), "FOREIGN-CLUSTER");
  ok(/,%%%\n34:2 [0-9a-f]{32},$/.test(textOf(sealed("c1"))));
  const strict: Keyring = { ...keyring, mode: "sha256", sendIndex: 2 };
  equal(outcome(sealed("c1"), strict), "ok");
  equal(outcome(sealNetstring({ fields: statusFields }, signing, nodeHmac), strict), "KEY-UNKNOWN");
  equal(outcome(sealClassic({ fields: statusFields }, signing, nodeHmac)), "ok");
});

test("the classic frame reads back what it wrote, line ends included", () => {
  const fields: readonly Field[] = [
    ...statusFields,
    { type: "string", name: "info", value: "two\nlines" },
    { type: "list", name: "l", items: ["a", "b\n"] },
  ];
  const opened = openDatagram(sealClassic({ fields }, signing, nodeHmac), keyring, nodeHmac);
  ok(opened.ok);
  deepEqual(opened.value, { fields, framing: "classic", keyIndex: 1 });
});

const byteString = fc
  .array(fc.integer({ min: 0, max: 255 }), { maxLength: 40 })
  .map((codes) => String.fromCharCode(...codes));
const { message } = fc.letrec<{ message: readonly Field[]; field: Field }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 2 },
    fc.record({ type: fc.constant("string"), name: fc.constant("n"), value: byteString }),
    fc.record({ type: fc.constant("binary"), name: fc.constant("n"), value: byteString }),
    fc.record({ type: fc.constant("list"), name: fc.constant("n"), items: fc.array(byteString) }),
    fc.record({ type: fc.constant("struct"), name: fc.constant("n"), fields: tie("message") }),
  ) as fc.Arbitrary<Field>,
  message: fc
    .array(tie("field"), { maxLength: 6 })
    .map((fields) => fields.map((field, index) => ({ ...field, name: `f${index}` }))),
}));

test("every message decodes to itself", () => {
  fc.assert(
    fc.property(message, (fields) => {
      deepEqual(decodeNetstring(encodeNetstring({ fields })), { ok: true, value: { fields } });
    }),
  );
});

test("base64 agrees with Node's, and has one form only", () => {
  fc.assert(
    fc.property(byteString, (value) => {
      equal(encodeBase64(value), Buffer.from(value, "latin1").toString("base64"));
      equal(decodeBase64(encodeBase64(value)), value);
    }),
  );
  for (const bad of ["A", "AA", "AA==A", "AB==", "A=B=", "AAA", "====", "A A="]) {
    equal(decodeBase64(bad), undefined, bad);
  }
});

test("the checksum is that of POSIX cksum without the length step", () => {
  // `printf 123456789 | cksum` prints 930766865: the checksum of the text and its length, one byte.
  equal(heartbeatCrc(bytesOf("")), "ffffffff");
  equal(heartbeatCrc(bytesOf("123456789\u0009")), (930_766_865).toString(16));
});

test("texts of peers are fit for a log", () => {
  equal(printable("%n\u001b[2J\n\\"), "%n\\x1b[2J\\x0a\\x5c");
  equal(printable("a".repeat(70)), `${"a".repeat(64)}...`);
  equal(sameText("abc", "abd") || sameText("ab", "abc"), false);
});
