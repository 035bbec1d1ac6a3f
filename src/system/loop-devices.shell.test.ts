import { deepEqual, equal, ok, throws } from "node:assert/strict";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  blockDeviceShape,
  discardBlocks,
  forgetBlockCache,
  punchHole,
  reserveSpace,
  zeroBlocks,
  zeroRange,
} from "./block-space.ts";
import { nativeMemory } from "./descriptors.ts";
import {
  attachLoopDevice,
  backingFileOf,
  detachLoopDevice,
  ensureDeviceNode,
  isDeviceNode,
  loopDevices,
  refreshLoopSize,
  usesDirectIo,
} from "./loop-devices.ts";
import { preadAt, pwriteAt } from "./positioned-io.ts";

const skip = process.getuid?.() === 0 ? false : "needs root: loop devices and device nodes";
const mebibyte = 1_048_576;
const timeoutMs = 20_000;

function scratch(): { directory: string; [Symbol.dispose]: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "btn-loop-"));
  return {
    directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

test("a file gives space back, takes it again, and keeps its size", () => {
  using place = scratch();
  const path = join(place.directory, "file");
  writeFileSync(path, Buffer.alloc(mebibyte, 5));
  const fd = openSync(path, "r+");
  try {
    equal(punchHole(fd, 65_536, 65_536), undefined);
    equal(zeroRange(fd, 4096, 4096), undefined);
    equal(reserveSpace(fd, 0, 2 * mebibyte), undefined);
    equal(statSync(path).size, mebibyte);
    const memory = nativeMemory(mebibyte);
    preadAt(fd, memory.address, mebibyte, 0);
    const zeroes = [4096, 65_536, 131_071].map((offset) => memory.bytes[offset]);
    const others = [0, 4095, 8192, 65_535, 131_072].map((offset) => memory.bytes[offset]);
    deepEqual([...zeroes, ...others], [0, 0, 0, 5, 5, 5, 5, 5]);
    throws(() => blockDeviceShape(fd), { code: "ENOTTY" });
    equal(punchHole(-1, 0, 4096), 9);
  } finally {
    closeSync(fd);
  }
});

for (const blockBytes of [512, 4096] as const) {
  test(`a loop device of ${blockBytes} byte blocks: direct, trimmed, grown, gone`, {
    skip,
  }, async () => {
    using place = scratch();
    const path = join(place.directory, "image");
    writeFileSync(path, Buffer.alloc(4 * mebibyte, 5));
    const attached = await attachLoopDevice(path, { directIo: true, blockBytes, timeoutMs });
    ok("device" in attached, JSON.stringify(attached));
    const { device } = attached;
    try {
      equal(backingFileOf(device), path);
      ok(loopDevices().includes(device));
      equal(usesDirectIo(device), true);
      const fd = openSync(device, constants.O_RDWR | constants.O_DIRECT);
      const shape = blockDeviceShape(fd);
      deepEqual([shape.bytes, shape.logicalBlockBytes], [4 * mebibyte, blockBytes]);
      equal(discardBlocks(fd, mebibyte, mebibyte), undefined);
      equal(zeroBlocks(fd, 0, 8192), undefined);
      equal(forgetBlockCache(fd), undefined);
      const memory = nativeMemory(mebibyte);
      equal(preadAt(fd, memory.address, mebibyte, 0), mebibyte);
      deepEqual([memory.bytes[0], memory.bytes[8191], memory.bytes[8192]], [0, 0, 5]);
      memory.bytes.fill(6);
      equal(pwriteAt(fd, memory.address, 4096, 2 * mebibyte), 4096);
      truncateSync(path, 8 * mebibyte);
      equal((await refreshLoopSize(device, timeoutMs)).code, 0);
      equal(blockDeviceShape(fd).bytes, 8 * mebibyte);
      closeSync(fd);
    } finally {
      equal((await detachLoopDevice(device, timeoutMs)).code, 0);
    }
    equal(backingFileOf(device), "");
  });
}

test("a file that is not there is said by losetup", { skip }, async () => {
  const attached = await attachLoopDevice("/nowhere/image", { directIo: true, timeoutMs });
  ok("failure" in attached);
  ok(attached.failure.stderr.includes("/nowhere/image"), attached.failure.stderr);
});

test("a device node is made once, and nothing else is taken for it", { skip }, () => {
  using place = scratch();
  const path = join(place.directory, "dev/null");
  const device = { kind: "character", major: 1, minor: 3 } as const;
  equal(ensureDeviceNode(path, device, 0o666), true);
  equal(ensureDeviceNode(path, device, 0o666), false);
  equal(isDeviceNode(path, device), true);
  equal(isDeviceNode(path, { ...device, minor: 5 }), false);
  throws(() => ensureDeviceNode(path, { ...device, minor: 5 }), { code: "EEXIST" });
  equal(isDeviceNode(join(place.directory, "none"), device), false);
  const fd = openSync(path, "r+");
  equal(writeSync(fd, "gone"), 4);
  closeSync(fd);
});
