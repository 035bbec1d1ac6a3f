import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatDump, formatGenerations, parseDump } from "./dump.ts";
import { planLayout } from "./layout.ts";
import { flagsOf, freshSuperblock, inUse, type Superblock } from "./superblock.ts";
import { codeOf, expectOk } from "./testing.shell.ts";

const sizes = { backingSectors: 131_072, metadataSectors: 131_072 };
const layout = expectOk(planLayout({ kind: "internal" }, sizes));
const superblock: Superblock = {
  ...freshSuperblock(layout, 0x36f154748cf771can),
  lastAgreedSectors: 256,
  generations: { current: 0x3f24a125dd5a69ccn, bitmap: 1n, history0: 0n, history1: 2n },
  flags: flagsOf(0x91),
  activityLogExtents: 1237,
};
const bitmap = new Uint8Array(layout.bitmapBytes);
bitmap.fill(0xff, 0, 128);
const input = { superblock, layout, bitmap, heading: ["now", "here"], flags: "disk" } as const;

test("a dump of clean metadata has the form of dump-md", () => {
  equal(
    formatDump(input),
    `# DRBD meta data dump
# now
# here
#

version "v08";

# md_size_sect 80
# md_offset 67104768
# al_offset 67072000
# bm_offset 67067904

uuid {
    0x3F24A125DD5A69CC; 0x0000000000000001; 0x0000000000000000; 0x0000000000000002;
    flags 0x00000091;
}
# al-extents 1237;
la-size-sect 256;
bm-byte-per-bit 4096;
device-uuid 0x36F154748CF771CA;
la-peer-max-bio-size 0;
al-stripes 1;
al-stripe-size-4k 8;
# bm-bytes 4096;
bm {
   # at 0kB
    16 times 0xFFFFFFFFFFFFFFFF;
    496 times 0x0000000000000000;
}
# bits-set 1024;
`,
  );
  equal(
    formatGenerations(superblock),
    "3F24A125DD5A69CC:0000000000000001:0000000000000000:0000000000000002:1:1:0:0:0:0:0",
  );
});

test("a dump says what a restore needs; one of unclean metadata can not be restored", () => {
  const parsed = expectOk(parseDump(formatDump(input)));
  deepEqual(parsed, {
    generations: superblock.generations,
    flags: superblock.flags,
    lastAgreedSectors: 256,
    deviceId: superblock.deviceId,
    peerMaxBioBytes: 0,
    stripes: 1,
    stripeBlocks: 8,
    bitmap,
  });
  const unclean = parseDump(formatDump({ ...input, superblock: inUse(superblock) }));
  equal(codeOf(unclean), "BTN-DISK-METADATA-DUMP");
  match(unclean.ok ? "" : unclean.error.describe(), /^dump:8: .*unclean/);
});

test("what is no dump is refused with its line, and takes no memory", () => {
  const text = formatDump(input);
  const cases: readonly (readonly [string, string])[] = [
    ["v08", "v09"],
    ["flags", "flag"],
    ["la-size-sect 256", "la-size-sect 99999999999999999999"],
    ["bm-byte-per-bit 4096", "bm-byte-per-bit 512"],
    ["496 times", "4294967295 times"],
    ["496 times", "268435000 times"],
    ["}\n# bits-set", "} again\n# bits-set"],
    ["bm {", "bm"],
  ];
  for (const [from, to] of cases) {
    equal(codeOf(parseDump(text.replace(from, to))), "BTN-DISK-METADATA-DUMP", `${from} -> ${to}`);
  }
  equal(codeOf(parseDump("")), "BTN-DISK-METADATA-DUMP");
  fc.assert(
    fc.property(fc.nat(text.length), fc.nat(20), fc.string({ maxLength: 8 }), (at, cut, put) => {
      const changed = text.slice(0, at) + put + text.slice(at + cut);
      match(codeOf(parseDump(changed)), /^(ok|BTN-DISK-METADATA-DUMP)$/);
    }),
  );
});
