/**
 * The real drbdmeta of drbd-utils judges our metadata, and we read its own (drbd.md 7.7): the three layouts, clean and
 * after an unclean stop, with the log wrapping around and with a block that was cut off.
 */
import { deepEqual, equal, match } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Prng } from "../../base/index.ts";
import { ActivityLog, type LogWrite } from "./activity-log.ts";
import { ringBlocks } from "./activity-ring.ts";
import { openDevice, readAt, writeMetadata } from "./device.shell.ts";
import {
  diskStateOf,
  formatDump,
  formatGenerations,
  formatGenerationsExplained,
  parseDump,
} from "./dump.ts";
import { defaultRing, type MetadataForm, type MetadataLayout, type RingShape } from "./layout.ts";
import {
  createMetadata,
  inspectMetadata,
  invalidateMetadata,
  type MetadataTarget,
  outdateMetadata,
  readMetadata,
  wipeMetadata,
} from "./metadata.shell.ts";
import {
  encodeSuperblock,
  flagsOf,
  freshSuperblock,
  inUse,
  type Superblock,
} from "./superblock.ts";
import { DrbdMeta, expectOk, skipOracle, TestDevices } from "./testing.shell.ts";

const MIB = 1024 * 1024;

interface Case {
  readonly name: string;
  readonly form: MetadataForm;
  readonly ring: RingShape;
  readonly backingBytes: number;
  /** Of the metadata device, if there is one. */
  readonly metadataBytes: number;
}

const cases: readonly Case[] = [
  {
    name: "internal",
    form: { kind: "internal" },
    ring: defaultRing,
    backingBytes: 700 * MIB,
    metadataBytes: 0,
  },
  {
    name: "internal with a striped log and an odd size",
    form: { kind: "internal" },
    ring: { stripes: 4, stripeBlocks: 16 },
    backingBytes: 300 * MIB + 13 * 512,
    metadataBytes: 0,
  },
  {
    name: "flexible external",
    form: { kind: "external" },
    ring: defaultRing,
    backingBytes: 500 * MIB + 512,
    metadataBytes: 8 * MIB + 3 * 512,
  },
  {
    name: "indexed",
    form: { kind: "indexed", index: 1 },
    ring: defaultRing,
    backingBytes: 400 * MIB,
    metadataBytes: 256 * MIB,
  },
];

/** Devices for one case, twice: one for us, one for drbdmeta. */
function twins(devices: TestDevices, one: Case) {
  return ["ours", "theirs"].map(() => {
    const backing = devices.loop(one.backingBytes);
    const metadata = one.form.kind === "internal" ? backing : devices.loop(one.metadataBytes);
    const place = { internal: "internal", external: "flex-external", indexed: "1" }[one.form.kind];
    const target: MetadataTarget = { backing, metadata, form: one.form };
    return { target, tool: new DrbdMeta(metadata, place) };
  }) as [Twin, Twin];
}
interface Twin {
  readonly target: MetadataTarget;
  readonly tool: DrbdMeta;
}

const stripes = ({ ring }: Case): string[] =>
  ring === defaultRing
    ? []
    : ["--al-stripes", String(ring.stripes), "--al-stripe-size-kB", String(ring.stripeBlocks * 4)];

/** Superblock, log and the bitmap that is in use, as they are on the device. */
function rawBytes(target: MetadataTarget, layout: MetadataLayout): Buffer[] {
  using device = expectOk(openDevice(target.metadata, { kind: "look" }));
  return (
    [
      [layout.superblockOffset, 4096],
      [layout.activityLogOffset, layout.activityLogBytes],
      [layout.bitmapOffset, layout.bitmapBytes],
    ] as const
  ).map(([offset, length]) => Buffer.from(expectOk(readAt(device, offset, Buffer.alloc(length)))));
}

interface Contents {
  readonly superblock: Superblock;
  readonly ring: Uint8Array;
  readonly bitmap: Uint8Array;
}

function put({ target }: Twin, layout: MetadataLayout, contents: Contents): void {
  using device = expectOk(openDevice(target.metadata, { kind: "exclusive" }));
  expectOk(
    writeMetadata(device, [
      { offset: layout.bitmapOffset, bytes: contents.bitmap },
      { offset: layout.activityLogOffset, bytes: contents.ring },
      { offset: layout.superblockOffset, bytes: encodeSuperblock(contents.superblock) },
    ]),
  );
}

/** A log after `writes` transactions of random use; the last may be cut off. */
function usedRing(random: Prng, shape: RingShape, extents: number, writes: number, torn: boolean) {
  const options = { ring: shape, extents: 67 + random.between(0, 900) };
  let log = new ActivityLog(options);
  const ring = log.attach();
  // A quarter of the rings has numbers that wrap.
  if (random.chance(0.25)) {
    const start = 2 ** 32 - ringBlocks(shape) * random.between(0, 3);
    log = ActivityLog.restore(options, { ...log.snapshot(), number: start >>> 0 });
  }
  const held: number[] = [];
  let last: LogWrite | undefined;
  for (let write = 0; write < writes; write++) {
    // As many requests as one transaction may or may not hold; then all of them end.
    for (let count = random.between(1, 30); count > 0; count--) {
      const extent = random.between(0, extents - 1);
      if (log.begin(extent, extent).kind !== "full") held.push(extent);
    }
    const due = log.take();
    if (due !== undefined) {
      ring.set(due.block, due.offset);
      log.durable();
      last = due;
    }
    for (const extent of held.splice(0, held.length)) log.end(extent, extent);
  }
  if (torn && last !== undefined) ring.fill(0x5a, last.offset + 512, last.offset + 4096);
  return ring;
}

function randomSuperblock(random: Prng, layout: MetadataLayout): Superblock {
  const generation = (): bigint => BigInt(random.between(0, 2 ** 32 - 1)) * 0x1_0000_0001n;
  return inUse({
    ...freshSuperblock(layout, generation()),
    lastAgreedSectors: random.between(layout.usableSectors >> 2, layout.usableSectors),
    generations: {
      current: generation(),
      bitmap: generation(),
      history0: generation(),
      history1: 0n,
    },
    flags: { ...flagsOf(random.between(0, 127)), primary: random.chance(0.8) },
    activityLogExtents: 1237,
    peerMaxBioBytes: 1_048_576,
  });
}

/** Runs of equal words of many lengths, as a dump prints them in different ways. */
function randomBitmap(random: Prng, bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  for (let at = 0; at < words.length; ) {
    const length = 2 * random.between(1, random.chance(0.5) ? 6 : 400);
    const low = [0, 0xffff_ffff, 1, 0x8000_0002][random.between(0, 3)] ?? 0;
    const high = low === 0xffff_ffff && random.chance(0.8) ? low : 0;
    for (const end = Math.min(words.length, at + length); at < end; at += 2) {
      words[at] = low;
      words[at + 1] = high;
    }
  }
  return new Uint8Array(words.buffer);
}

function dumpLike(twin: Twin, printed: string): string {
  const raw = expectOk(inspectMetadata(twin.target));
  const heading = printed.split("\n").slice(1, 3);
  return formatDump({ ...raw, heading: heading.map((line) => line.slice(2)), flags: "zero" });
}

for (const one of cases) {
  test(`${one.name}: created by either, the metadata is the same and either reads it`, {
    skip: skipOracle,
  }, () => {
    using devices = new TestDevices();
    const [ours, theirs] = twins(devices, one);
    using _tool = theirs.tool;
    theirs.tool.expect("create-md", ...stripes(one));
    const options = { ring: one.ring, force: false, deviceId: 0n };
    const layout = expectOk(createMetadata(ours.target, options));
    deepEqual(rawBytes(ours.target, layout), rawBytes(theirs.target, layout));
    for (const twin of [ours, theirs]) {
      const printed = twin.tool.expect("dump-md");
      equal(dumpLike(twin, printed), printed);
      const read = expectOk(readMetadata(twin.target));
      read.target.close();
      equal(read.replay.needed, false);
      deepEqual(read.superblock, freshSuperblock(layout, 0n));
    }
  });

  test(`${one.name}: drbdmeta reads what we write, and an unclean stop leaves the same bytes after either`, {
    skip: skipOracle,
  }, () => {
    using devices = new TestDevices();
    const twin = twins(devices, one);
    const [ours, theirs] = twin;
    using _tool = theirs.tool;
    const layout = expectOk(
      createMetadata(ours.target, { ring: one.ring, force: false, deviceId: 1n }),
    );
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Prng(seed);
      const superblock = randomSuperblock(random, layout);
      const extents = Math.ceil(layout.usableSectors / 8192);
      const ring = usedRing(random, one.ring, extents, random.between(0, 120), seed % 2 === 0);
      const contents = { superblock, ring, bitmap: randomBitmap(random, layout.bitmapBytes) };
      for (const side of twin) put(side, layout, contents);

      equal(theirs.tool.expect("get-gi").trim(), formatGenerations(superblock));
      equal(theirs.tool.expect("dstate").trim(), diskStateOf(superblock.flags));
      const explained = theirs.tool.expect("show-gi");
      equal(explained.startsWith(formatGenerationsExplained(superblock)), true, explained);
      const unclean = theirs.tool.expect("dump-md");
      equal(dumpLike(theirs, unclean), unclean);

      theirs.tool.expect("apply-al");
      const read = expectOk(readMetadata(ours.target));
      read.target.close();
      equal(read.replay.needed, true);
      equal(read.replay.corruptBlocks <= 1, true);
      deepEqual(rawBytes(ours.target, layout), rawBytes(theirs.target, layout), `seed ${seed}`);
      const printed = ours.tool.expect("dump-md");
      equal(dumpLike(ours, printed), printed);
    }
  });

  test(`${one.name}: outdate, invalidate, restore and wipe do what drbdmeta does`, {
    skip: skipOracle,
  }, () => {
    using devices = new TestDevices();
    const twin = twins(devices, one);
    const [ours, theirs] = twin;
    using _tool = theirs.tool;
    const layout = expectOk(
      createMetadata(ours.target, { ring: one.ring, force: false, deviceId: 1n }),
    );
    const random = new Prng(7);
    const superblock = {
      ...randomSuperblock(random, layout),
      flags: flagsOf(0x91),
      unclean: false,
    };
    const ring = usedRing(random, one.ring, 50, 3, false);
    const contents = { superblock, ring, bitmap: randomBitmap(random, layout.bitmapBytes) };
    for (const side of twin) put(side, layout, contents);

    theirs.tool.expect("outdate");
    expectOk(outdateMetadata(ours.target));
    deepEqual(rawBytes(ours.target, layout), rawBytes(theirs.target, layout), "outdate");
    theirs.tool.expect("invalidate");
    expectOk(invalidateMetadata(ours.target));
    deepEqual(rawBytes(ours.target, layout), rawBytes(theirs.target, layout), "invalidate");
    equal(theirs.tool.run("outdate").status, 5);
    equal(outdateMetadata(ours.target).ok, false);

    const heading = ["of a test"];
    const text = formatDump({ ...contents, layout, heading, flags: "disk" });
    const file = devices.file(0);
    writeFileSync(file, text);
    theirs.tool.expect("restore-md", file);
    const restored = expectOk(inspectMetadata(theirs.target));
    deepEqual(restored.superblock.generations, superblock.generations);
    equal(restored.superblock.lastAgreedSectors, superblock.lastAgreedSectors);
    const parsed = expectOk(parseDump(readFileSync(file, "utf8")));
    deepEqual(
      Buffer.from(restored.bitmap.subarray(0, parsed.bitmap.length)),
      Buffer.from(parsed.bitmap),
    );
    deepEqual(parsed.flags, superblock.flags);

    expectOk(wipeMetadata(ours.target));
    match(ours.tool.run("dump-md").stderr, /No valid meta data found/);
    theirs.tool.expect("wipe-md");
    equal(inspectMetadata(theirs.target).ok, false);
  });
}

test("a bitmap of several MiB is dumped as drbdmeta dumps it", { skip: skipOracle }, () => {
  using devices = new TestDevices();
  // The backing file is sparse; only what is written takes space.
  const [twin] = twins(devices, { ...(cases[0] as Case), backingBytes: 100_000 * MIB });
  using _tool = twin.tool;
  const layout = expectOk(createMetadata(twin.target, { force: false, deviceId: 1n }));
  const superblock = { ...freshSuperblock(layout, 5n), lastAgreedSectors: layout.usableSectors };
  const bitmap = randomBitmap(new Prng(3), layout.bitmapBytes);
  bitmap.fill(0, 900_000, 2_200_000);
  const ring = new ActivityLog({ ring: defaultRing, extents: 1237 }).attach();
  put(twin, layout, { superblock, ring, bitmap });
  const printed = twin.tool.expect("dump-md");
  equal(dumpLike(twin, printed), printed);
});
