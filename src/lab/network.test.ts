import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { detectFreezer } from "./freezer.ts";
import { cutRules } from "./network.ts";
import { numbersOf, parseMountInfo } from "./power.ts";

test("a one-way cut drops where the switch's port hears or speaks; others are no rule", () => {
  equal(
    cutRules("dbm157", [
      { port: "dbm157.0", cut: "in" },
      { port: "dbm157.1", cut: "out" },
      { port: "dbm157.2", cut: "both" },
      { port: "dbm157.3", cut: undefined },
    ]),
    `table netdev dbm157
delete table netdev dbm157
table netdev dbm157 {
chain cut0 { type filter hook egress device "dbm157.0" priority 0; policy drop; }
chain cut1 { type filter hook ingress device "dbm157.1" priority 0; policy drop; }
}
`,
  );
});

test("a host without one-way cuts has no table", () => {
  equal(
    cutRules("dbm157", [{ port: "dbm157.0", cut: "both" }]),
    "table netdev dbm157\ndelete table netdev dbm157\n",
  );
});

test("mountinfo is read with optional fields and escaped places", () => {
  deepEqual(
    parseMountInfo(
      `36 35 7:3 / /data\\040base rw,noatime master:1 shared:2 - ext4 /dev/loop3 rw
37 35 0:21 / /proc rw - proc proc rw
nonsense
`,
    ),
    [
      { device: "7:3", place: "/data base", type: "ext4" },
      { device: "0:21", place: "/proc", type: "proc" },
    ],
  );
});

test("device numbers are read as makedev(3) writes them", () => {
  equal(numbersOf(0x703), "7:3");
  equal(numbersOf(7 * 256 + 0x1_0000_0 * 1), "7:256");
  equal(numbersOf(0xfe00), "254:0");
});

test("the freezer is the v1 controller where there is one, else v2, else signals", () => {
  const v1 = "cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n";
  const v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
  deepEqual(detectFreezer(v2 + v1), { kind: "v1", root: "/sys/fs/cgroup/freezer" });
  deepEqual(detectFreezer(v2), { kind: "v2", root: "/sys/fs/cgroup" });
  deepEqual(detectFreezer("cgroup2 /sys/fs/cgroup cgroup2 ro,nosuid 0 0\n"), { kind: "none" });
});
