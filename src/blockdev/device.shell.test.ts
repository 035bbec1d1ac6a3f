import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  backingFileOf,
  blockDeviceShape,
  nativeMemory,
  parseMountInfo,
  preadAt,
  pwriteAt,
  run,
  usesDirectIo,
} from "../system/index.ts";
import { blockDeviceSkip, EchoPlace, must } from "./testing-disk.shell.ts";

const skip = blockDeviceSkip();
const mebibyte = 1_048_576;
const has = (program: string): boolean => spawnSync("which", [program]).status === 0;
const fuseMounts = (directory: string): number =>
  parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).mounts.filter((mount) =>
    mount.mountPoint.startsWith(directory),
  ).length;

const fileSystems = [
  { type: "ext4", make: ["mkfs.ext4", "-q", "-F"], check: ["e2fsck", "-f", "-n"] },
  { type: "xfs", make: ["mkfs.xfs", "-q", "-f"], check: ["xfs_repair", "-n"] },
] as const;
for (const { type, make, check } of fileSystems) {
  test(`${type} is made, filled, checked, read again and goes without a trace`, {
    skip,
  }, async (context) => {
    if (!has(make[0])) return context.skip(`${make[0]} is not installed`);
    await using place = new EchoPlace();
    const disk = await place.start();
    const { device, loop, path, notes } = disk.shown;
    deepEqual(notes, []);
    equal(device, join(place.dev, place.name));
    equal(usesDirectIo(loop), true);
    await must(make[0], ...make.slice(1), device);
    await must("mount", "-t", type, device, place.mountPoint);
    const source = process.execPath;
    await must("cp", source, join(place.mountPoint, "file"));
    await must("sync", join(place.mountPoint, "file"));
    await must("umount", place.mountPoint);
    await must(check[0], ...check.slice(1), device);
    await must("mount", "-t", type, device, place.mountPoint);
    await must("cmp", source, join(place.mountPoint, "file"));
    await must("fstrim", place.mountPoint);
    await must("umount", place.mountPoint);
    const { other } = await disk.ask("stats");
    ok(
      Number(other) < 200,
      `${String(other)} questions about the file, so some come with each request`,
    );
    deepEqual(await disk.ask("down"), { down: true });
    equal(backingFileOf(loop), "");
    equal(existsSync(device), false);
    equal(existsSync(path), false);
    equal(fuseMounts(join(place.directory, "run")), 0);
    // What was written is in the backing file, byte for byte where the device had it.
    await must("mount", "-o", "loop", "-t", type, place.backing, place.mountPoint);
    await must("cmp", source, join(place.mountPoint, "file"));
    await must("umount", place.mountPoint);
  });
}

test("the kernel's name is taken where it is free and left alone where it is not", {
  skip,
}, async () => {
  const minor = 1_000_000 + (process.pid % 48_000);
  const path = `/dev/drbd${minor}`;
  await using place = new EchoPlace({ minor });
  const first = await place.start();
  equal(first.shown.drbdDevice, path);
  equal(statSync(path).rdev, statSync(first.shown.device).rdev);
  deepEqual(await first.ask("down"), { down: true });
  equal(existsSync(path), false);
  writeFileSync(path, "not ours");
  try {
    const second = await place.start();
    equal(second.shown.drbdDevice, undefined);
    deepEqual(
      second.shown.notes.map(({ reason }) => reason),
      ["BTN-BLOCKDEV-NAME-TAKEN"],
    );
    deepEqual(await second.ask("down"), { down: true });
    equal(readFileSync(path, "utf8"), "not ours");
  } finally {
    rmSync(path, { force: true });
  }
});

test("a device in use is not taken away, and is said by whom it is used", { skip }, async () => {
  await using place = new EchoPlace({ mebibytes: 64 });
  const disk = await place.start();
  const { device } = disk.shown;
  await must("mkfs.ext4", "-q", "-F", device);
  equal((await disk.ask("openers"))["count"], 0);
  await must("mount", device, place.mountPoint);
  const mounted = await disk.ask("openers");
  deepEqual([mounted["count"], mounted["mounts"], mounted["held"]], [1, [place.mountPoint], true]);
  const refused = await disk.ask("down");
  equal(refused["error"], "BTN-BLOCKDEV-IN-USE");
  match(String(refused["detail"]), /mounted at/);
  await must("umount", place.mountPoint);
  const fd = openSync(device, "r");
  const opened = await disk.ask("openers").catch(() => ({}) as Record<string, unknown>);
  const refusedAgain = await disk.ask("down").catch(() => ({}) as Record<string, unknown>);
  closeSync(fd);
  deepEqual([opened["count"], opened["held"]], [1, false]);
  deepEqual(
    (opened["processes"] as { pid: number }[]).map(({ pid }) => pid),
    [process.pid],
  );
  equal(refusedAgain["error"], "BTN-BLOCKDEV-IN-USE");
  deepEqual(await disk.ask("down"), { down: true });
});

for (const blockBytes of [512, 4096] as const) {
  test(`a device of ${blockBytes} byte blocks grows, trims to zeroes, and then can be read only`, {
    skip,
  }, async () => {
    await using place = new EchoPlace({ mebibytes: 16, blockBytes });
    writeFileSync(place.backing, Buffer.alloc(16 * mebibyte, 5));
    const disk = await place.start();
    const fd = openSync(disk.shown.device, constants.O_RDWR | constants.O_DIRECT);
    try {
      deepEqual(blockDeviceShape(fd), {
        bytes: 16 * mebibyte,
        logicalBlockBytes: blockBytes,
        physicalBlockBytes: blockBytes,
      });
      place.grow(32);
      deepEqual(await disk.ask("grow 32"), { grown: 32 });
      equal(blockDeviceShape(fd).bytes, 32 * mebibyte);
      const memory = nativeMemory(mebibyte);
      memory.bytes.fill(9);
      equal(pwriteAt(fd, memory.address, mebibyte, 31 * mebibyte), mebibyte);
      await must("blkdiscard", "-o", "1048576", "-l", "1048576", disk.shown.device);
      await must("blkdiscard", "-z", "-o", "3145728", "-l", "1048576", disk.shown.device);
      for (const [at, byte] of [
        [0, 5],
        [1, 0],
        [2, 5],
        [3, 0],
        [4, 5],
        [31, 9],
      ] as const) {
        equal(preadAt(fd, memory.address, mebibyte, at * mebibyte), mebibyte);
        ok(
          memory.bytes.every((value) => value === byte),
          `MiB ${at} is not all ${byte}`,
        );
      }
      equal(preadAt(fd, memory.address, 8192, 32 * mebibyte - 4096), 4096);
      deepEqual(await disk.ask("read-only"), { readOnly: true });
      ok(pwriteAt(fd, memory.address, 4096, 0) < 0);
      equal(preadAt(fd, memory.address, 4096, 0), 4096);
      equal(memory.bytes[0], 5);
    } finally {
      closeSync(fd);
    }
    deepEqual(await disk.ask("down"), { down: true });
  });
}

test("random writes, trims and flushes of all sizes are read back as they were written", {
  skip,
}, async (context) => {
  if (!has("fio")) return context.skip("fio is not installed");
  await using place = new EchoPlace({ mebibytes: 256 });
  const disk = await place.start();
  const common = [
    "--name=verify",
    `--filename=${disk.shown.device}`,
    "--direct=1",
    "--ioengine=libaio",
    "--bsrange=512-1536k",
    "--blockalign=512",
    "--iodepth=16",
    "--size=256M",
    "--verify=crc32c",
    "--verify_fatal=1",
    "--do_verify=1",
    "--verify_state_save=0",
    "--randseed=7",
  ];
  await must("fio", ...common, "--rw=randwrite", "--fsync=64");
  const trims = ["--trim_percentage=10", "--trim_backlog=16", "--trim_verify_zero=1"];
  await must("fio", ...common, "--rw=randtrimwrite", ...trims);
  deepEqual(await disk.ask("down"), { down: true });
});

test("after kill -9 there are errors at once, no hang, and the next one cleans up", {
  skip,
}, async () => {
  await using place = new EchoPlace({ mebibytes: 128, minor: 1_040_000 + (process.pid % 8_000) });
  const first = await place.start();
  await must("mkfs.ext4", "-q", "-F", first.shown.device);
  await must("mount", first.shown.device, place.mountPoint);
  const writer = spawn("sh", [
    "-c",
    `while dd if=/dev/zero of=${place.mountPoint}/file bs=64k count=64 conv=fsync status=none; do echo written; done`,
  ]);
  const ended = new Promise<void>((resolve) => writer.once("exit", () => resolve()));
  await new Promise((resolve) => writer.stdout.once("data", resolve));
  await first.kill();
  await ended; // the test's own limit is the judge
  const dead = await run(
    "dd",
    [`if=${first.shown.loop}`, "of=/dev/null", "bs=4096", "count=1", "iflag=direct"],
    {
      timeoutMs: 20_000,
    },
  );
  deepEqual([dead.timedOut, dead.code], [false, 1]);

  // The old file system is still mounted: the next process says so and serves a device of its own.
  const second = await place.start();
  notEqual(second.shown.loop, first.shown.loop);
  deepEqual(second.shown.leftovers.busy, [first.shown.loop]);
  await must("umount", place.mountPoint);
  equal(backingFileOf(first.shown.loop), "");
  const repaired = await run("e2fsck", ["-f", "-y", second.shown.device], { timeoutMs: 20_000 });
  ok(repaired.code === 0 || repaired.code === 1, repaired.stdout);
  await second.kill();

  const third = await place.start();
  const { removed, busy } = third.shown.leftovers;
  deepEqual(busy, []);
  ok(removed.includes(second.shown.loop), removed.join(" "));
  await must("e2fsck", "-f", "-n", third.shown.device);
  deepEqual(await third.ask("down"), { down: true });
});
