import { deepEqual, equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { test } from "node:test";
import { ActivityLog } from "./activity-log.ts";
import { openDevice, writeMetadata } from "./device.shell.ts";
import { EXTENT_SECTORS } from "./layout.ts";
import {
  applyActivityLog,
  createMetadata,
  editSuperblock,
  inspectMetadata,
  invalidateMetadata,
  type MetadataTarget,
  openTarget,
  outdateMetadata,
  readMetadata,
  wipeMetadata,
} from "./metadata.shell.ts";
import { SIGNATURE_BYTES } from "./signatures.ts";
import { encodeSuperblock, inUse } from "./superblock.ts";
import { codeOf, DrbdMeta, expectOk, skipOracle, TestDevices } from "./testing.shell.ts";

const MIB = 1024 * 1024;
const fresh = { force: false, deviceId: 42n };

function internal(devices: TestDevices, bytes = 256 * MIB): MetadataTarget {
  const file = devices.file(bytes);
  return { backing: file, metadata: file, form: { kind: "internal" } };
}

test("metadata in a file: created, attached, and refused to a second user", () => {
  using devices = new TestDevices();
  const target = internal(devices);
  equal(codeOf(readMetadata(target)), "BTN-DISK-METADATA-NONE");
  const layout = expectOk(createMetadata(target, fresh));
  equal(codeOf(createMetadata(target, fresh)), "BTN-DISK-METADATA-EXISTS");

  const read = expectOk(readMetadata(target));
  equal(read.replay.needed, false);
  equal(read.superblock.deviceId, 42n);
  equal(read.found.bitmap.length, layout.bitmapBytes);
  equal(read.found.backingSectors, (256 * MIB) / 512);
  equal(codeOf(readMetadata(target)), "BTN-DISK-METADATA-BUSY");
  equal(codeOf(createMetadata(target, { ...fresh, force: true })), "BTN-DISK-METADATA-BUSY");
  equal(codeOf(outdateMetadata(target)), "BTN-DISK-METADATA-BUSY");
  equal(codeOf(inspectMetadata(target)), "ok", "looking is always possible");
  read.target.close();
  equal(codeOf(invalidateMetadata(target)), "ok");
  equal(codeOf(outdateMetadata(target)), "BTN-DISK-METADATA-INCONSISTENT");
  expectOk(wipeMetadata(target));
  equal(codeOf(wipeMetadata(target)), "BTN-DISK-METADATA-NONE");
});

test("a file system is not overwritten unasked, and the message says what would become of it", () => {
  using devices = new TestDevices();
  const target = internal(devices);
  const mkfs = (...size: readonly string[]): void => {
    const made = spawnSync("mkfs.ext4", ["-q", "-F", target.backing, ...size], {
      encoding: "utf8",
    });
    equal(made.status, 0, made.stderr);
  };
  const refused = (): string => {
    const result = createMetadata(target, fresh);
    equal(codeOf(result), "BTN-DISK-METADATA-EXISTS");
    return result.ok ? "" : result.error.describe();
  };
  mkfs();
  match(refused(), /ext2\/3\/4 file system[\s\S]*would overwrite a part of it/);
  mkfs("200M");
  match(refused(), /it ends before the metadata and would be kept/);
  const before = readFileSync(target.backing).subarray(0, 200 * MIB);
  const layout = expectOk(createMetadata(target, { ...fresh, force: true }));
  equal(Buffer.compare(readFileSync(target.backing).subarray(0, 200 * MIB), before), 0);
  equal(layout.usableSectors * 512 > 200 * MIB, true);
});

test("other owners of a device are recognised", () => {
  using devices = new TestDevices();
  const owners: readonly (readonly [number, string, RegExp])[] = [
    [0, "XFSB\0\0\x10\0\0\0\0\0\0\0\0\x08", /XFS/],
    [0, "LUKS\xba\xbe", /LUKS/],
    [512, "LABELONE", /LVM/],
    [510, "\x55\xaa", /partition table/],
    [4086, "SWAPSPACE2", /swap/],
    [SIGNATURE_BYTES - 4032, "_BHRfS_M", /btrfs/],
  ];
  for (const [offset, magic, name] of owners) {
    const target = internal(devices, 2 * MIB);
    const fd = openSync(target.backing, "r+");
    writeSync(fd, Buffer.from(magic, "latin1"), 0, magic.length, offset);
    closeSync(fd);
    const result = createMetadata(target, fresh);
    match(result.ok ? "created" : result.error.message, name);
  }
});

test("metadata of another version is not overwritten unasked either", () => {
  using devices = new TestDevices();
  const target = internal(devices, 4 * MIB);
  const layout = expectOk(createMetadata(target, fresh));
  const fd = openSync(target.backing, "r+");
  writeSync(fd, Buffer.from("8374026d", "hex"), 0, 4, layout.superblockOffset + 60);
  closeSync(fd);
  equal(codeOf(readMetadata(target)), "BTN-DISK-METADATA-OTHER-VERSION");
  equal(codeOf(createMetadata(target, fresh)), "BTN-DISK-METADATA-EXISTS");
});

test("an attach after a crash has the extents of the log in its bitmap, durably, and only once", () => {
  using devices = new TestDevices();
  const target = internal(devices);
  const layout = expectOk(createMetadata(target, fresh));
  const log = new ActivityLog({ ring: layout.ring, extents: 1237 });
  const ring = log.attach();
  log.begin(3, 5);
  log.begin(60, 60);
  const write = log.take();
  ring.set(write?.block ?? [], write?.offset);
  const superblock = expectOk(inspectMetadata(target)).superblock;
  const crashed = inUse({
    ...superblock,
    lastAgreedSectors: layout.usableSectors,
    flags: { ...superblock.flags, consistent: true, wasUpToDate: true, primary: true },
  });
  const device = expectOk(openDevice(target.metadata, { kind: "exclusive" }));
  expectOk(
    writeMetadata(device, [
      { offset: layout.activityLogOffset, bytes: ring },
      { offset: layout.superblockOffset, bytes: encodeSuperblock(crashed) },
    ]),
  );
  device.close();

  const shared = (bytes: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(bytes));
  const read = expectOk(readMetadata(target, shared));
  read.target.close();
  deepEqual(read.replay.extents, [3, 4, 5, 60]);
  equal(read.replay.bitsSet, (4 * EXTENT_SECTORS) / 8);
  equal(read.superblock.flags.primary, true, "so that it is known as a crashed primary");
  equal(read.found.bitmap.buffer instanceof SharedArrayBuffer, true);
  const onDisk = expectOk(inspectMetadata(target));
  deepEqual(Buffer.from(onDisk.bitmap), Buffer.from(read.found.bitmap));
  equal(onDisk.superblock.unclean, false);
  equal(expectOk(applyActivityLog(target)).needed, false);
});

test("a change of the superblock leaves everything else, and may be refused", () => {
  using devices = new TestDevices();
  const target = internal(devices);
  expectOk(createMetadata(target, fresh));
  const generations = { current: 0x1234n, bitmap: 4n, history0: 2n, history1: 0n };
  expectOk(
    editSuperblock(target, (superblock) => ({ ok: true, value: { ...superblock, generations } })),
  );
  deepEqual(expectOk(inspectMetadata(target)).superblock.generations, generations);
});

test("devices that are missing, too small, no devices or resized are refused by their reason", () => {
  using devices = new TestDevices();
  const target = internal(devices, 8 * MIB);
  const at = (path: string): MetadataTarget => ({ ...target, backing: path, metadata: path });
  equal(codeOf(readMetadata(at(`${target.backing}-none`))), "BTN-DISK-METADATA-OPEN");
  equal(codeOf(readMetadata(at("/dev/null"))), "BTN-DISK-METADATA-OPEN");
  equal(codeOf(readMetadata(at("/tmp"))), "BTN-DISK-METADATA-OPEN");
  const small = at(devices.file(MIB - 512));
  equal(codeOf(createMetadata(small, fresh)), "BTN-DISK-METADATA-DEVICE-TOO-SMALL");
  expectOk(createMetadata(target, fresh));
  truncateSync(target.backing, 16 * MIB);
  equal(codeOf(readMetadata(target)), "BTN-DISK-METADATA-NONE");
  const external: MetadataTarget = { ...target, form: { kind: "external" }, metadata: "/dev/none" };
  equal(codeOf(readMetadata(external)), "BTN-DISK-METADATA-OPEN");
  equal(codeOf(createMetadata(target, fresh)), "ok", "a failed attempt holds no lock");
});

test("slots of one device with indexed metadata are used side by side, one slot only once", () => {
  using devices = new TestDevices();
  const metadata = devices.file(256 * MIB);
  const slot = (index: number): MetadataTarget => ({
    backing: devices.file(64 * MIB),
    metadata,
    form: { kind: "indexed", index },
  });
  const [first, second] = [slot(0), slot(1)];
  expectOk(createMetadata(first, fresh));
  expectOk(createMetadata(second, fresh));
  const read = expectOk(readMetadata(first));
  const other = expectOk(readMetadata(second));
  equal(codeOf(openTarget(slot(1), "use")), "BTN-DISK-METADATA-BUSY");
  const whole: MetadataTarget = {
    ...first,
    backing: devices.file(MIB),
    form: { kind: "external" },
  };
  equal(codeOf(openTarget(whole, "use")), "BTN-DISK-METADATA-BUSY");
  read.target.close();
  other.target.close();
  equal(codeOf(openTarget(whole, "use")), "ok");
});

test("a block device in use is closed to drbdmeta, and the other way round", {
  skip: skipOracle,
}, () => {
  using devices = new TestDevices();
  const loop = devices.loop(64 * MIB);
  using tool = new DrbdMeta(loop, "internal");
  const target: MetadataTarget = { backing: loop, metadata: loop, form: { kind: "internal" } };
  expectOk(createMetadata(target, fresh));
  const read = expectOk(readMetadata(target));
  equal(codeOf(readMetadata(target)), "BTN-DISK-METADATA-BUSY");
  const asked = tool.run("get-gi");
  match(asked.stderr, /busy/);
  read.target.close();
  tool.expect("get-gi");
});
