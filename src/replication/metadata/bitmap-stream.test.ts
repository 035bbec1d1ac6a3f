import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Bitmap } from "./bitmap.ts";
import { type BitmapPart, BitmapReceiver, BitmapSender } from "./bitmap-stream.ts";
import { bitmapBytesFor } from "./layout.ts";
import { codeOf } from "./testing.shell.ts";

const make = (bits: number): Bitmap =>
  new Bitmap(new Uint8Array(bitmapBytesFor(bits * 8)), bits * 8);

/** A bitmap of alternating runs, the first of them clear. */
function ofRuns(...runs: readonly number[]): Bitmap {
  const bitmap = make(runs.reduce((sum, run) => sum + run, 0));
  let at = 0;
  runs.forEach((run, index) => {
    if (index % 2 === 1) bitmap.setBits(at, at + run - 1);
    at += run;
  });
  return bitmap;
}

function send(bitmap: Bitmap, compress: boolean, maxPayload = 4080): readonly BitmapPart[] {
  const sender = new BitmapSender(bitmap, compress);
  const parts: BitmapPart[] = [];
  for (let part = sender.next(maxPayload); part !== undefined; part = sender.next(maxPayload)) {
    parts.push(part);
  }
  return parts;
}

/** Codes of the results, and what arrived. */
function receive(bits: number, parts: readonly BitmapPart[], maxPayload = 4080) {
  const bitmap = make(bits);
  const receiver = new BitmapReceiver(bitmap, maxPayload);
  const codes = parts.map(({ command, bytes }) => {
    const result = receiver.take(command, bytes);
    return result.ok ? result.value : result.error.code;
  });
  return { bitmap, codes, done: receiver.done };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const shape = (parts: readonly BitmapPart[]): string[] =>
  parts.map(({ command, bytes }) => `${command} ${bytes.length}`);

test("compressed bitmaps are those of the kernel and of the reference", () => {
  const cases: readonly (readonly [readonly number[], string])[] = [
    [[0, 32], "e2ef01"],
    [[1, 2, 243], "62f80903"],
    [[7, 1, 22, 2, 214], "729357fc4a01"],
    [[3, 3, 94, 1, 39_899, 2, 159_998, 4, 62_123], "62c9d7c29faa1ef0aff949f44f2f1a00"],
    [[0, 262_016], "b27f4fde03"],
    [[262_016], "327f4fde03"],
    [[5, 3, 1, 262_007], "1223fc19790f"],
  ];
  for (const [runs, expected] of cases) {
    const bitmap = ofRuns(...runs);
    const parts = send(bitmap, true);
    deepEqual(
      parts.map(({ bytes }) => hex(bytes)),
      [expected],
    );
    const arrived = receive(bitmap.bits, parts);
    deepEqual(arrived.codes, [true]);
    deepEqual(arrived.bitmap.bytes, bitmap.bytes);
  }
});

test("plain bitmaps are full packets, a rest and an empty one", () => {
  const capture = make(16_374);
  deepEqual(shape(send(capture, false)), ["P_BITMAP 2048", "P_BITMAP 0"]);
  const large = shape(send(make(262_127), false));
  deepEqual(large, [...Array(8).fill("P_BITMAP 4080"), "P_BITMAP 128", "P_BITMAP 0"]);
});

test("both forms mix as the kernel mixed them: 25600 times a set and a clear bit behind 100 MiB of clear ones", () => {
  const bitmap = make(262_127);
  for (let bit = 25_600; bit < 76_800; bit += 2) bitmap.setBits(bit, bit);
  const parts = send(bitmap, true);
  deepEqual(shape(parts), ["P_COMPRESSED_BITMAP 4080", "P_BITMAP 4080", "P_COMPRESSED_BITMAP 581"]);
  const arrived = receive(bitmap.bits, parts);
  deepEqual(arrived.codes, [false, false, true]);
  deepEqual(arrived.bitmap.bytes, bitmap.bytes);
});

test("any bitmap arrives as it is, in either form, in packets of any size", () => {
  const run = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 20_000 }));
  const payload = fc.constantFrom(64, 256, 4080, 4088);
  fc.assert(
    fc.property(
      fc.array(run, { minLength: 1, maxLength: 400 }),
      fc.boolean(),
      payload,
      (runs, compress, maxPayload) => {
        const bitmap = ofRuns(...runs);
        const parts = send(bitmap, compress, maxPayload);
        const arrived = receive(bitmap.bits, parts, maxPayload);
        equal(arrived.done, true);
        deepEqual(arrived.codes.slice(0, -1), Array(parts.length - 1).fill(false));
        deepEqual(arrived.bitmap.bytes, bitmap.bytes);
      },
    ),
    { numRuns: 60 },
  );
});

test("one very long run of each range of the code arrives", () => {
  for (const run of [
    1, 2, 3, 4, 5, 8, 9, 16, 17, 48, 49, 304, 305, 8496, 8497, 2_105_648, 2_105_649,
  ]) {
    const bitmap = ofRuns(1, run, 2, 1);
    deepEqual(receive(bitmap.bits, send(bitmap, true)).bitmap.bytes, bitmap.bytes, `run ${run}`);
  }
});

test("a peer that lies is told so, and nothing is cleared", () => {
  const code = "BTN-DISK-BITMAP-STREAM";
  const part = (command: BitmapPart["command"], text: string): BitmapPart => ({
    command,
    bytes: Uint8Array.from(Buffer.from(text, "hex")),
  });
  const cases: readonly (readonly [
    number,
    readonly BitmapPart[],
    readonly (string | boolean)[],
  ])[] = [
    [32, [part("P_COMPRESSED_BITMAP", "")], [code]],
    [32, [part("P_COMPRESSED_BITMAP", "e2")], [code]],
    [32, [part("P_COMPRESSED_BITMAP", "e1ef01")], [code]],
    [31, [part("P_COMPRESSED_BITMAP", "e2ef01")], [code]],
    [32, [part("P_COMPRESSED_BITMAP", "e2ef")], [code]],
    [32, [part("P_COMPRESSED_BITMAP", `82${"ff".repeat(9)}`)], [code]],
    [32, [part("P_BITMAP", "00000000")], [code]],
    [32, [part("P_BITMAP", "")], [code]],
    [32, [part("P_BITMAP", "00".repeat(16))], [code]],
    [32, [part("P_COMPRESSED_BITMAP", "e2ef01"), part("P_BITMAP", "")], [true, code]],
    [32, [part("P_BITMAP", "ff".repeat(8)), part("P_BITMAP", "ff".repeat(8))], [false, code]],
    [32, [part("P_BITMAP", "ff".repeat(8)), part("P_BITMAP", "")], [false, true]],
  ];
  for (const [bits, parts, expected] of cases) {
    deepEqual(receive(bits, parts).codes, expected, parts.map(({ bytes }) => hex(bytes)).join());
  }
});

test("any packets give bits or a typed error", () => {
  const packet = fc.record({
    command: fc.constantFrom("P_BITMAP" as const, "P_COMPRESSED_BITMAP" as const),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 32 }),
      fc.uint8Array({ minLength: 1, maxLength: 32 }).map((bytes) => {
        bytes[0] = ((bytes[0] ?? 0) & 0xf0) | 2;
        return bytes;
      }),
      fc.constant(new Uint8Array(4080).fill(0x5a)),
    ),
  });
  fc.assert(
    fc.property(
      fc.array(packet, { maxLength: 8 }),
      fc.integer({ min: 1, max: 40_000 }),
      (parts, bits) => {
        const bitmap = make(bits);
        const receiver = new BitmapReceiver(bitmap);
        for (const { command, bytes } of parts) {
          const before = bitmap.count;
          match(codeOf(receiver.take(command, bytes)), /^(ok|BTN-DISK-BITMAP-STREAM)$/);
          equal(bitmap.count >= before && bitmap.count <= bits, true);
          equal(receiver.position <= bits, true);
        }
      },
    ),
  );
});

test("an empty device has one empty packet", () => {
  deepEqual(shape(send(make(0), true)), ["P_BITMAP 0"]);
});
