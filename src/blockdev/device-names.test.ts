import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { drbdName, hasKernelDrbd, isDiskName, stableName, standsOn } from "./device-names.ts";

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

test("a loop device is known by its file, also when the mount was detached", () => {
  const file = "/run/baton/blockdev/r0/r0";
  equal(standsOn(file, file), true);
  equal(standsOn("/r0", file), true);
  equal(standsOn(`${file} (deleted)`, file), true);
  equal(standsOn("/run/baton/blockdev/r1/r1", file), false);
  equal(standsOn("", file), false);
});
