import { deepEqual, equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { mountAt, parseMountInfo, unescapeOctal } from "./mountinfo.ts";

/** As the kernel does it (seq_path). */
const escapePath = (path: string): string =>
  path.replaceAll(/[ \t\n\\#]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`);

test("a line of proc(5) is read in full, optional fields or none", () => {
  for (const optional of ["master:1 ", "shared:4 master:1 ", ""]) {
    const line = `36 35 98:0 / /mnt\\040a rw,noatime ${optional}- ext4 /dev/sda1 ro,errors=continue\n`;
    deepEqual(parseMountInfo(line), {
      mounts: [
        {
          id: 36,
          parentId: 35,
          device: "98:0",
          root: "/",
          mountPoint: "/mnt a",
          options: ["rw", "noatime"],
          type: "ext4",
          source: "/dev/sda1",
          superOptions: ["ro", "errors=continue"],
        },
      ],
      skipped: 0,
    });
  }
});

test("any path comes back as it was, whatever the kernel had to escape", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (path) => {
      if (!path.includes("\0")) equal(unescapeOctal(escapePath(path)), path.toWellFormed());
    }),
  );
});

test("the last mount of a directory is the one that is seen", () => {
  const line = (id: number, source: string): string =>
    `${id} 1 7:${id} / /database rw - ext4 ${source} rw\n`;
  const table = parseMountInfo(line(40, "/dev/loop0") + line(41, "/dev/loop1"));
  equal(mountAt(table, "/database")?.source, "/dev/loop1");
  equal(mountAt(table, "/data"), undefined);
});

test("this machine's own table is read without a line left out", () => {
  const table = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  equal(table.skipped, 0);
  equal(mountAt(table, "/")?.mountPoint, "/");
});

test("no text makes the parser throw, and nothing is read out of a line that is short", () => {
  const good = "36 35 98:0 / /mnt rw master:1 - ext4 /dev/sda1 rw";
  fc.assert(
    fc.property(fc.string(), fc.nat(good.length - 1), (noise, cut) => {
      parseMountInfo(noise);
      parseMountInfo(good.slice(0, cut) + noise);
      if (cut < good.length - 3) equal(parseMountInfo(good.slice(0, cut)).mounts.length, 0);
    }),
  );
});
