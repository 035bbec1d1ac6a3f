import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import {
  drbdName,
  fileName,
  hasKernelDrbd,
  isDiskName,
  isFileName,
  stableName,
  standsOn,
} from "./device-names.ts";

test("names of disks are names of files and never lead elsewhere", () => {
  deepEqual(["r0", "mysql-data", "a.b+c_1"].filter(isDiskName).length, 3);
  deepEqual(["", ".", "..", "a/b", "a b", "x".repeat(101), "a\n"].filter(isDiskName), []);
  equal(stableName("r0"), "/dev/baton/r0");
});

test("minor numbers of DRBD have 20 bits", () => {
  equal(drbdName(0), "/dev/drbd0");
  equal(drbdName(1_048_575), "/dev/drbd1048575");
  deepEqual([undefined, -1, 1.5, 1_048_576].map(drbdName), [
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("the kernel's own DRBD is known by its block major", () => {
  equal(hasKernelDrbd("Character devices:\n  1 mem\n\nBlock devices:\n  7 loop\n147 drbd\n"), true);
  equal(hasKernelDrbd("Character devices:\n147 drbd\n\nBlock devices:\n  7 loop\n"), false);
  equal(hasKernelDrbd(""), false);
});

test("the file of a disk is named after its mount, so that no two hosts of one kernel have the same", () => {
  const file = fileName("r0", "0:57");
  equal(file, "r0.57");
  deepEqual(
    ["r0.57", "r0.", "r0", "r0.x", "r1.57", "r0.57.5", "r0.57 "].map((name) =>
      isFileName(name, "r0"),
    ),
    [true, false, false, false, false, false, false],
  );
  equal(standsOn("/run/baton/blockdev/r0/r0.57", file), true);
  equal(standsOn("/r0.57", file), true);
  equal(standsOn("/run/baton/blockdev/r0/r0.57 (deleted)", file), true);
  equal(standsOn("/run/baton/blockdev/r0/r0.58", file), false);
  equal(standsOn("/run/baton/blockdev/r0/xr0.57", file), false);
  equal(standsOn("", file), false);
});
