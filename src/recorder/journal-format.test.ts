import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { JournalEntry } from "./entry.ts";
import { decodeLine, decodeSegment, encodeEntry, lineBytesMax } from "./journal-format.ts";

const encoder = new TextEncoder();

const sample: JournalEntry = {
  v: 1,
  host: "dbm158",
  bootId: "b",
  monotonicMs: 1203.25,
  wall: "2026-11-23T09:00:01.203Z",
  kind: "effect",
  room: "membership",
  name: "verdict",
  reason: "BTN-MEMBER-SILENT",
  group: null,
  peer: "dbm157",
  data: { verdict: "dead", silentMs: 1200 },
};

const entries: fc.Arbitrary<JournalEntry> = fc.record(
  {
    v: fc.constant(1 as const),
    host: fc.string({ maxLength: 64 }),
    bootId: fc.string({ maxLength: 64 }),
    monotonicMs: fc.integer({ min: 0, max: 1e12 }),
    wall: fc.string({ maxLength: 32 }),
    kind: fc.constantFrom("input", "decision", "effect", "result", "note"),
    room: fc.constantFrom(
      "membership",
      "failover",
      "resources",
      "agent",
      "beat",
      "disk",
      "config",
      "cli",
    ),
    name: fc.string({ maxLength: 64 }),
    reason: fc.option(fc.string({ maxLength: 64 })),
    group: fc.option(fc.string({ maxLength: 64, unit: "binary" })),
    peer: fc.option(fc.string({ maxLength: 64 })),
    data: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown),
  },
  { noNullPrototype: true },
);

test("a line is JSON with its checksum at the end", () => {
  equal(
    encodeEntry(sample),
    '{"v":1,"host":"dbm158","bootId":"b","monotonicMs":1203.25,"wall":"2026-11-23T09:00:01.203Z",' +
      '"kind":"effect","room":"membership","name":"verdict","reason":"BTN-MEMBER-SILENT",' +
      '"group":null,"peer":"dbm157","data":{"verdict":"dead","silentMs":1200},"crc":"c691f78c"}',
  );
});

test("what was encoded decodes to the same", () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const decoded = decodeLine(encoder.encode(encodeEntry(entry)));
      deepEqual(decoded, { ok: true, value: entry });
    }),
  );
});

test("a line with any one byte altered is not an entry", () => {
  const line = encoder.encode(encodeEntry(sample));
  fc.assert(
    fc.property(fc.nat(line.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const altered = line.slice();
      altered[at] = (altered[at] ?? 0) ^ change;
      equal(decodeLine(altered).ok, false);
    }),
  );
});

test("any bytes give a result, never an exception", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      decodeLine(bytes);
      const segment = decodeSegment(bytes);
      equal(segment.entries.length, 0);
    }),
  );
});

test("a journal cut at any byte loses only what was cut, and nothing counts as corrupted", () => {
  const line = encoder.encode(`${encodeEntry(sample)}\n`);
  const bytes = new Uint8Array([...line, ...line, ...line]);
  fc.assert(
    fc.property(fc.nat(bytes.length), (length) => {
      const { entries: found, corrupted, torn } = decodeSegment(bytes.subarray(0, length));
      const whole = Math.floor(length / line.length);
      // A last line that lacks nothing but its newline is whole, too.
      const almost = length % line.length === line.length - 1 ? 1 : 0;
      equal(found.length, whole + almost);
      equal(corrupted, 0);
      equal(torn, length % line.length !== 0);
    }),
  );
});

test("damaged lines between good ones are counted and passed over", () => {
  const good = encodeEntry(sample);
  const text = `${good}\n{"v":1}\n\n${good.replace("dead", "left")}\n${good}\n`;
  const { entries: found, corrupted, torn } = decodeSegment(encoder.encode(text));
  deepEqual([found.length, corrupted, torn], [2, 2, false]);
});

test("data that is too long or no JSON is replaced, so that the line stays within its bound", () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  for (const data of ["x".repeat(200_000), "\u0000".repeat(30_000), circular, 10n, undefined]) {
    const line = encoder.encode(encodeEntry({ ...sample, data, group: "g".repeat(10_000) }));
    ok(line.length <= lineBytesMax);
    equal(decodeLine(line).ok, true);
  }
});
