import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BLOCK_BYTES, planLayout } from "./layout.ts";
import {
  checkClean,
  encodeSuperblock,
  flagsOf,
  flagsWord,
  freshSuperblock,
  inUse,
  locate,
  noFlags,
  parseSuperblock,
  type Superblock,
} from "./superblock.ts";
import { codeOf, expectOk, recordedBlocks } from "./testing.shell.ts";

const internal = { kind: "internal" } as const;
const gibibyte = { backingSectors: 2_097_152, metadataSectors: 2_097_152 };

/** The words of the first 96 bytes, in hexadecimal. */
const head = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 96)).toString("hex");

test("a fresh superblock of 1 GiB internal metadata is that of create-md (appendix B)", () => {
  const layout = expectOk(planLayout(internal, gibibyte));
  equal(layout.superblockOffset, 1_073_737_728);
  equal(
    head(encodeSuperblock(freshSuperblock(layout, 0n))),
    "00000000000000000000000000000004000000000000000000000000000000000000000000000000000000000000000000000000000000" +
      "00000000808374026b00000088ffffffc000000101ffffff8000001000000000000000000100000008",
  );
});

test("every recorded superblock decodes and encodes to the same bytes", () => {
  const blocks = recordedBlocks().filter(({ kind }) => kind === "superblock");
  equal(blocks.length > 80, true);
  for (const { name, bytes } of blocks) {
    const superblock = expectOk(parseSuperblock(bytes));
    deepEqual(Buffer.from(encodeSuperblock(superblock)), Buffer.from(bytes), name);
  }
});

test("the fields of a recorded superblock are those of its dump", () => {
  const found = recordedBlocks().find(({ name }) => name.startsWith("superblock: 07"));
  const superblock = expectOk(parseSuperblock(found?.bytes ?? new Uint8Array(0)));
  deepEqual(superblock, {
    lastAgreedSectors: 256,
    generations: { current: 0x3f24a125dd5a69ccn, bitmap: 0n, history0: 0n, history1: 0n },
    deviceId: 0x36f154748cf771can,
    flags: { ...noFlags, consistent: true, wasUpToDate: true },
    unclean: true,
    metadataSizeSectors: 80,
    activityLogSectorOffset: -64,
    activityLogExtents: 1237,
    bitmapSectorOffset: -72,
    peerMaxBioBytes: 1_048_576,
    stripes: 1,
    stripeBlocks: 8,
    unknown: { flags: 0, reserved: 0n, tail: "" },
  } satisfies Superblock);
  equal(codeOf(checkClean(superblock)), "BTN-DISK-METADATA-UNCLEAN");
});

test("what this version does not know is written back as found", () => {
  const bytes = encodeSuperblock(freshSuperblock(expectOk(planLayout(internal, gibibyte)), 7n));
  const view = new DataView(bytes.buffer);
  view.setUint32(56, 0x8000_0281);
  view.setBigUint64(48, 0x1122_3344_5566_7788n);
  bytes[96] = 5;
  bytes[4095] = 0xa0;
  deepEqual(encodeSuperblock(expectOk(parseSuperblock(bytes))), bytes);
});

test("flags are numbered as on the disk", () => {
  for (let word = 0; word < 512; word++) equal(flagsWord(flagsOf(word)), word);
  equal(flagsWord({ ...noFlags, wasUpToDate: true, primary: true, logDisabled: true }), 0x112);
});

test("what is no usable superblock is refused by its reason", () => {
  const layout = expectOk(planLayout(internal, gibibyte));
  const good = encodeSuperblock(freshSuperblock(layout, 7n));
  const cases: readonly (readonly [number, number, string])[] = [
    [60, 0, "BTN-DISK-METADATA-NONE"],
    [60, 0x8374_026d, "BTN-DISK-METADATA-OTHER-VERSION"],
    [80, 8192, "BTN-DISK-METADATA-BLOCK-SIZE"],
    [0, 0x8000_0000, "BTN-DISK-METADATA-CORRUPT"],
    [88, 0, "BTN-DISK-METADATA-LOG-SIZE"],
    [92, 4, "BTN-DISK-METADATA-LOG-SIZE"],
    [88, 0xffff_ffff, "BTN-DISK-METADATA-LOG-SIZE"],
    [68, 16, "BTN-DISK-METADATA-LOCATION"],
    [68, 0xffff_ffb8, "BTN-DISK-METADATA-LOCATION"],
    [76, 0xffff_fff0, "BTN-DISK-METADATA-LOCATION"],
  ];
  for (const [offset, value, code] of cases) {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(offset, value);
    equal(codeOf(parseSuperblock(bytes)), code, `${value} at ${offset}`);
  }
  equal(codeOf(parseSuperblock(good.subarray(1))), "BTN-DISK-METADATA-TRUNCATED");
});

test("metadata of DRBD 8.3 has no stripes and 32 KiB", () => {
  const layout = expectOk(planLayout(internal, gibibyte));
  const old = { ...freshSuperblock(layout, 7n), stripes: 0, stripeBlocks: 0 };
  const parsed = expectOk(parseSuperblock(encodeSuperblock(old)));
  deepEqual(expectOk(locate(parsed, internal, gibibyte)).ring, { stripes: 1, stripeBlocks: 8 });
});

test("a device that was resized does not match its metadata", () => {
  const superblock = freshSuperblock(expectOk(planLayout(internal, gibibyte)), 7n);
  equal(codeOf(locate(superblock, internal, gibibyte)), "ok");
  const grown = { backingSectors: 4_194_304, metadataSectors: 4_194_304 };
  const result = locate(superblock, internal, grown);
  equal(codeOf(result), "BTN-DISK-METADATA-LOCATION");
  match(result.ok ? "" : result.error.message, /md_size_sect is 136 and should be 200/);
  equal(codeOf(locate(superblock, { kind: "external" }, gibibyte)), "BTN-DISK-METADATA-LOCATION");
  const larger = { ...superblock, lastAgreedSectors: 2_097_152 };
  equal(codeOf(locate(larger, internal, gibibyte)), "BTN-DISK-METADATA-SHRUNK");
});

test("a superblock in use is unclean, whatever it was", () => {
  const superblock = freshSuperblock(expectOk(planLayout(internal, gibibyte)), 7n);
  equal(codeOf(checkClean(superblock)), "ok");
  equal(codeOf(checkClean(inUse(superblock))), "BTN-DISK-METADATA-UNCLEAN");
  // The clean magic without AL_CLEAN is unclean as well.
  equal(codeOf(checkClean({ ...superblock, flags: noFlags })), "BTN-DISK-METADATA-UNCLEAN");
});

test("any bytes give a superblock that encodes to them, or a typed error", () => {
  const layout = expectOk(planLayout(internal, gibibyte));
  const good = encodeSuperblock(inUse(freshSuperblock(layout, 7n)));
  const patch = fc.record({
    at: fc.oneof(fc.nat(95), fc.nat(BLOCK_BYTES - 1)),
    bytes: fc.uint8Array({ maxLength: 64 }),
  });
  fc.assert(
    fc.property(fc.array(patch, { maxLength: 3 }), fc.nat(BLOCK_BYTES), (patches, length) => {
      const bytes = good.slice();
      for (const { at, bytes: change } of patches) {
        bytes.set(change.subarray(0, BLOCK_BYTES - at), at);
      }
      const parsed = parseSuperblock(bytes);
      if (parsed.ok) {
        deepEqual(encodeSuperblock(parsed.value), bytes);
        codeOf(locate(parsed.value, internal, gibibyte));
      } else match(parsed.error.code, /^BTN-DISK-METADATA-/);
      match(codeOf(parseSuperblock(bytes.subarray(0, length))), /^(ok|BTN-DISK-METADATA-.*)$/);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
      match(codeOf(parseSuperblock(bytes)), /^BTN-DISK-METADATA-/);
    }),
  );
});
