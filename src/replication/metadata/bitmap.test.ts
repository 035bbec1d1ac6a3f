import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Bitmap } from "./bitmap.ts";
import { bitmapBytesFor } from "./layout.ts";

const make = (sectors: number): Bitmap =>
  new Bitmap(new Uint8Array(bitmapBytesFor(sectors)), sectors);

test("bits are set outward and cleared inward, with the tail of the device as a whole block", () => {
  const bitmap = make(8 * 100 + 3);
  equal(bitmap.bits, 101);
  equal(bitmap.setRange(7, 2), 2);
  equal(bitmap.test(0) && bitmap.test(1), true);
  equal(bitmap.clearRange(1, 15), 1);
  deepEqual([bitmap.test(0), bitmap.test(1)], [true, false]);
  equal(bitmap.clearRange(0, 7), 0);
  equal(bitmap.clearRange(0, 8), 1);
  equal(bitmap.setRange(802, 1), 1);
  equal(bitmap.clearRange(800, 2), 0);
  equal(bitmap.clearRange(801, 2), 0, "the last block is not covered from its start");
  equal(bitmap.clearRange(800, 3), 1);
  equal(bitmap.setRange(790, 500), 3);
  equal(bitmap.setRange(803, 8), 0);
  equal(bitmap.count, 3);
  equal(bitmap.countRange(0, 900), 3);
});

test("bits are in the order of the disk", () => {
  const area = new Uint8Array(4096);
  const bitmap = new Bitmap(area, 8 * 100);
  bitmap.setBits(9, 9);
  bitmap.setBits(33, 34);
  deepEqual([...area.subarray(0, 6)], [0, 2, 0, 0, 6, 0]);
});

test("what is on the disk beyond the device does not count", () => {
  const area = new Uint8Array(8192).fill(0xff);
  const bitmap = new Bitmap(area, 8 * 37);
  equal(bitmap.count, 37);
  equal(bitmap.dirtyPages, 0);
  equal(bitmap.nextClear(0), -1);
  bitmap.clearAll();
  bitmap.setAll();
  equal(bitmap.count, 37);
  equal(bitmap.dirtyPages, 1);
});

test("an area that does not fit is a mistake of the caller", () => {
  throws(() => new Bitmap(new Uint8Array(4096), 8 * 32_769), /do not hold/);
  throws(() => new Bitmap(new Uint8Array(100), 8), /whole pages/);
});

test("dirty pages are taken once, neighbours in one piece", () => {
  const bitmap = make(8 * 32_768 * 6);
  for (const page of [1, 2, 4]) bitmap.setBits(page * 32_768, page * 32_768);
  equal(bitmap.isExtentDirty(32 * 4 + 31), true);
  equal(bitmap.isExtentDirty(32 * 5), false);
  deepEqual(
    bitmap.takeDirtyOf([32 * 4, 32 * 4 + 5, 0]).map(({ offset }) => offset),
    [4 * 4096],
  );
  const pieces = bitmap.takeDirty();
  deepEqual(
    pieces.map(({ offset, bytes }) => [offset, bytes.length]),
    [[4096, 8192]],
  );
  equal(bitmap.dirtyPages, 0);
  equal(bitmap.setBits(32_768, 32_768), 0);
  equal(bitmap.dirtyPages, 0, "nothing changed");
  bitmap.clearBits(0, 32_768 * 6 - 1);
  equal(bitmap.dirtyPages, 3);
  equal(
    bitmap.takeDirty(2).reduce((bytes, piece) => bytes + piece.bytes.length, 0),
    8192,
  );
  equal(bitmap.dirtyPages, 1);
});

test("another size keeps the bits, and marks or drops what is new", () => {
  const bitmap = new Bitmap(new Uint8Array(8192), 8 * 10);
  bitmap.setBits(9, 9);
  bitmap.resize(8 * 20, true);
  deepEqual([bitmap.count, bitmap.nextSet(0)], [11, 9]);
  bitmap.resize(8 * 5, false);
  bitmap.resize(8 * 20, false);
  equal(bitmap.count, 0);
});

test("a bitmap of 1 TiB is searched and counted without touching its empty parts", () => {
  const bitmap = make(2 ** 31);
  equal(bitmap.bits, 2 ** 28);
  equal(bitmap.nextSet(0), -1);
  bitmap.setBits(2 ** 28 - 1, 2 ** 28 - 1);
  equal(bitmap.nextSet(5), 2 ** 28 - 1);
  bitmap.setAll();
  equal(bitmap.count, 2 ** 28);
  equal(bitmap.nextClear(17), -1);
});

test("it behaves as a plain array of booleans", () => {
  const bits = 70_000;
  const range = fc.tuple(fc.nat(bits - 1), fc.oneof(fc.nat(70), fc.nat(bits)));
  const change = fc.record({
    what: fc.constantFrom("set", "clear", "merge", "take"),
    range,
    bytes: fc.uint8Array({ maxLength: 40 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), range, (changes, [from, length]) => {
      const bitmap = make(bits * 8);
      const disk = new Uint8Array(bitmapBytesFor(bits * 8));
      const model = new Uint8Array(bits);
      for (const { what, range: place, bytes } of changes) {
        const first = place[0];
        const last = Math.min(bits - 1, first + place[1]);
        const before = model.reduce((sum, bit) => sum + bit, 0);
        let changed = 0;
        if (what === "set") {
          model.fill(1, first, last + 1);
          changed = bitmap.setBits(first, last);
        } else if (what === "clear") {
          model.fill(0, first, last + 1);
          changed = -bitmap.clearBits(first, last);
        } else if (what === "merge") {
          const at = first - (first % 8);
          for (let bit = 0; bit < bytes.length * 8 && at + bit < bits; bit++) {
            if (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1) model[at + bit] = 1;
          }
          changed = bitmap.merge(at, bytes);
        } else for (const piece of bitmap.takeDirty()) disk.set(piece.bytes, piece.offset);
        equal(bitmap.count, before + changed);
        equal(
          bitmap.count,
          model.reduce((sum, bit) => sum + bit, 0),
        );
      }
      equal(bitmap.nextSet(from), model.indexOf(1, from));
      equal(bitmap.nextClear(from), model.indexOf(0, from));
      const last = Math.min(bits - 1, from + length);
      equal(
        bitmap.countBits(from, last),
        model.subarray(from, last + 1).reduce((a, b) => a + b, 0),
      );
      const again = new Uint8Array(bits);
      for (const run of bitmap.runs()) again.fill(1, run.first, run.first + run.length);
      deepEqual(again, model);
      for (const piece of bitmap.takeDirty()) disk.set(piece.bytes, piece.offset);
      deepEqual(disk, bitmap.bytes);
    }),
    { numRuns: 40 },
  );
});
