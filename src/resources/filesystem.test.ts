import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Mount, MountTable } from "../system/index.ts";
import {
  checkPassed,
  findObstacle,
  judgeMounted,
  needsPreen,
  planCheck,
  unmountOrder,
  unmountStep,
} from "./filesystem.ts";

const device = { number: "7:3", paths: ["/dev/loop3"] };
const spec = { device: "/dev/loop3", options: ["noatime"] };
const mount = (mountPoint: string, more: Partial<Mount> = {}): Mount => ({
  id: 1,
  parentId: 0,
  device: "7:3",
  root: "/",
  mountPoint,
  options: ["rw"],
  type: "ext4",
  source: "/dev/loop3",
  superOptions: ["rw"],
  ...more,
});
const table = (...mounts: readonly Mount[]): MountTable => ({ mounts, skipped: 0 });
const foreign = { device: "8:1", source: "/dev/sda1" };

test("our device at the directory runs, another one there does not count as ours", () => {
  deepEqual(judgeMounted(spec, mount("/database"), device), { state: "running" });
  deepEqual(judgeMounted(spec, mount("/database", foreign), device), { state: "stopped" });
  deepEqual(judgeMounted(spec, undefined, device), { state: "stopped" });
  // Some file systems have a device number of their own: then the path tells.
  deepEqual(judgeMounted(spec, mount("/database", { device: "0:40" }), device), {
    state: "running",
  });
});

test("a file system that has gone read-only is failed, whichever way the kernel shows it", () => {
  for (const superOptions of [["ro"], ["rw", "emergency_ro"], ["rw", "shutdown"]]) {
    const result = judgeMounted(spec, mount("/database", { superOptions }), device);
    equal(result.state === "failed" && result.reason, "BTN-FILESYSTEM-READ-ONLY");
  }
  const asked = { ...spec, options: ["ro"] };
  const readOnly = mount("/database", { superOptions: ["ro"], options: ["ro"] });
  deepEqual(judgeMounted(asked, readOnly, device), { state: "running" });
});

test("nothing is mounted over something else, and no device twice", () => {
  equal(
    findObstacle(table(mount("/"), mount("/home", foreign)), "/data", device)?.kind,
    "mounted-twice",
  );
  const root = mount("/", foreign);
  equal(findObstacle(table(root), "/data", device), undefined);
  equal(findObstacle(table(root, mount("/data", foreign)), "/data", device)?.kind, "other-mounted");
  equal(findObstacle(table(root, mount("/other")), "/data", device)?.kind, "mounted-twice");
});

test("what lies below is unmounted first, and what is not ours is left alone", () => {
  const order = (mounts: readonly Mount[]): readonly string[] =>
    unmountOrder(table(...mounts), "/data", device).map(({ mountPoint }) => mountPoint);
  const tmp = mount("/data/a/tmp", foreign);
  deepEqual(order([mount("/data"), mount("/data/a", foreign), tmp, mount("/database", foreign)]), [
    "/data/a/tmp",
    "/data/a",
    "/data",
  ]);
  deepEqual(order([mount("/data", foreign)]), []);
  deepEqual(order([mount("/data"), mount("/data", foreign)]), []);
});

test("a stop is patient first, then ends processes, at once when the peer takes over", () => {
  const patient = { forceAfterMs: 1_000, urgent: false };
  deepEqual(
    [0, 999, 1_000, 2_999, 3_000].map((ms) => unmountStep(ms, patient)),
    ["try", "try", "terminate", "terminate", "kill"],
  );
  deepEqual(
    [0, 199, 200].map((ms) => unmountStep(ms, { forceAfterMs: 1_000, urgent: true })),
    ["terminate", "terminate", "kill"],
  );
  equal(unmountStep(1e9, { forceAfterMs: 0, urgent: true }), "try");
});

function superblock(state: number, features: number): Uint8Array {
  const block = new Uint8Array(4_096);
  const view = new DataView(block.buffer, 1_024);
  view.setUint16(0x38, 0xef53, true);
  view.setUint16(0x3a, state, true);
  view.setUint32(0x5c, features, true);
  return block;
}

test("a check is run only where the journal does not suffice", () => {
  const ext4 = { type: "ext4", fsck: "auto", device: "/dev/loop3" } as const;
  const plan = (state: number, features: number): string | undefined =>
    planCheck(ext4, superblock(state, features))?.args.join(" ");
  equal(plan(1, 4), undefined, "clean");
  equal(plan(0, 4), undefined, "not unmounted, journal");
  equal(plan(0, 0), "-p /dev/loop3", "not unmounted, no journal");
  equal(plan(3, 4), "-p /dev/loop3", "errors recorded");
  equal(planCheck({ ...ext4, fsck: "force" }, undefined)?.args.join(" "), "-f -p /dev/loop3");
  equal(planCheck({ ...ext4, fsck: "no" }, superblock(3, 4)), undefined);
  equal(planCheck({ ...ext4, type: "xfs", fsck: "force" }, undefined), undefined);
  deepEqual([0, 1, 2, 4, 8, null].map(checkPassed), [true, true, true, false, false, false]);
});

test("no block makes the look at the superblock throw", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 4_096 }), (block) => void needsPreen(block)));
});
