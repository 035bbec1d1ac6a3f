import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CONTEXT_ENTRIES,
  clampExtents,
  decodeBlock,
  encodeTransaction,
  FREE,
  freshRing,
  type LogTransaction,
  readRing,
  replayActivityLog,
  ringOffset,
} from "./activity-ring.ts";
import { defaultRing, planLayout, type RingShape } from "./layout.ts";
import { freshSuperblock, noFlags, type Superblock } from "./superblock.ts";
import { codeOf, expectOk, recordedBlocks } from "./testing.shell.ts";

const layout = expectOk(
  planLayout({ kind: "internal" }, { backingSectors: 2_097_152, metadataSectors: 2_097_152 }),
);
const crashed: Superblock = {
  ...freshSuperblock(layout, 1n),
  unclean: true,
  flags: { ...noFlags, consistent: true, wasUpToDate: true, primary: true },
};

function transaction(number: number, more: Partial<LogTransaction> = {}): LogTransaction {
  const context = new Uint32Array(CONTEXT_ENTRIES).fill(FREE);
  return { number, updates: [], contextSize: 1237, contextStart: 0, context, ...more };
}

function ringWith(transactions: readonly LogTransaction[], shape: RingShape): Uint8Array {
  const ring = freshRing(shape);
  for (const one of transactions) ring.set(encodeTransaction(one), ringOffset(one.number, shape));
  return ring;
}

test("every recorded ring decodes and encodes to the same bytes", () => {
  const rings = recordedBlocks().filter(({ kind }) => kind === "ring");
  equal(rings.length, 7);
  for (const { name, bytes } of rings) {
    const again = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at += 4096) {
      const block = decodeBlock(bytes.subarray(at, at + 4096));
      equal(block.kind === "corrupt", false, name);
      const encoded =
        block.kind === "transaction"
          ? encodeTransaction(block.transaction)
          : freshRing(defaultRing);
      again.set(encoded.subarray(0, 4096), at);
    }
    deepEqual(Buffer.from(again), Buffer.from(bytes), name);
    equal(readRing(bytes, defaultRing).corruptBlocks, 8 - bytes.length / 4096);
  }
});

test("a fresh block has the checksum that drbdmeta writes", () => {
  const head = Buffer.from(freshRing(defaultRing).subarray(4096, 4112)).toString("hex");
  equal(head, "69cb65a200000000709cc651ffff0000");
});

test("neighbouring transactions lie in different stripes", () => {
  const shape = { stripes: 4, stripeBlocks: 16 };
  const blocks = [0, 1, 2, 3, 4, 63, 64].map((number) => ringOffset(number, shape) / 4096);
  deepEqual(blocks, [0, 16, 32, 48, 1, 63, 0]);
});

test("al-extents are brought within what a ring can hold", () => {
  deepEqual(
    [0, 67, 1237, 9999].map((wanted) => clampExtents(wanted, defaultRing)),
    [67, 67, 1237, 6433],
  );
  equal(clampExtents(99_999, { stripes: 4, stripeBlocks: 64 }), 65_534);
});

test("the context counts before the updates, newer before older, also where numbers wrap", () => {
  const context = new Uint32Array(CONTEXT_ENTRIES).fill(FREE);
  context[0] = 70;
  context[1] = 71;
  const ring = ringWith(
    [
      transaction(0xffff_ffff, { updates: [{ slot: 5, extent: 9 }] }),
      transaction(0, { context, updates: [{ slot: 1, extent: 72 }] }),
      transaction(1, { contextStart: 919, updates: [{ slot: 0, extent: 73 }] }),
    ],
    defaultRing,
  );
  // The context of transaction 0 says that slot 5 is free; had it been in use it would say so.
  const contents = readRing(ring, defaultRing);
  deepEqual(contents.extents, [72, 73]);
  equal(contents.newest, 1);
  equal(contents.corruptBlocks, 0);
});

test("a crash marks what a Primary had in its log, and nothing on a Secondary", () => {
  const ring = ringWith(
    [
      transaction(3, {
        updates: [
          { slot: 9, extent: 0 },
          { slot: 8, extent: 1 },
          { slot: 7, extent: 15 },
        ],
      }),
      transaction(4, { contextStart: 919, updates: [{ slot: 6, extent: 5_000_000 }] }),
    ],
    defaultRing,
  );
  const bitmap = new Uint8Array(layout.bitmapBytes);
  bitmap[128] = 1;
  const replay = expectOk(replayActivityLog(crashed, ring, bitmap));
  equal(replay.needed, true);
  deepEqual(replay.changed, [
    { offset: 0, length: 256 },
    { offset: 1920, length: 128 },
  ]);
  equal(replay.bitsSet, 3 * 1024 - 1);
  equal(replay.extentsBeyond, 1);
  deepEqual(replay.ring, freshRing(defaultRing));
  equal(replay.superblock.unclean, false);
  deepEqual(replay.superblock.flags, { ...crashed.flags, logClean: true });
  equal(
    bitmap.reduce((sum, byte) => sum + byte, 0),
    3 * 128 * 255,
  );

  const again = expectOk(replayActivityLog(replay.superblock, replay.ring, bitmap));
  equal(again.needed, false);
  equal(again.changed.length, 0);

  const clean = new Uint8Array(layout.bitmapBytes);
  const secondary = { ...crashed, flags: { ...crashed.flags, primary: false } };
  const other = expectOk(replayActivityLog(secondary, ring, clean));
  equal(other.needed, true);
  equal(other.bitsSet, 0);
});

test("a ring without one valid block is refused for a Primary only", () => {
  const ring = new Uint8Array(32_768);
  const bitmap = new Uint8Array(layout.bitmapBytes);
  equal(codeOf(replayActivityLog(crashed, ring, bitmap)), "BTN-DISK-METADATA-LOG-LOST");
  const secondary = { ...crashed, flags: { ...crashed.flags, primary: false } };
  equal(codeOf(replayActivityLog(secondary, ring, bitmap)), "ok");
});

test("any ring and any bitmap give a replay or a typed error", () => {
  const good = ringWith([transaction(7, { updates: [{ slot: 1, extent: 2 }] })], defaultRing);
  const patch = fc.record({ at: fc.nat(32_767), bytes: fc.uint8Array({ maxLength: 16 }) });
  fc.assert(
    fc.property(fc.array(patch), fc.nat(32_768), fc.nat(300), (patches, length, bitmapBytes) => {
      const ring = good.slice();
      for (const { at, bytes } of patches) ring.set(bytes.subarray(0, 32_768 - at), at);
      const cut = ring.subarray(0, length);
      const replayed = replayActivityLog(crashed, cut, new Uint8Array(bitmapBytes));
      match(codeOf(replayed), /^(ok|BTN-DISK-METADATA-LOG-LOST)$/);
    }),
  );
});
