/** The freezer on every kind of cgroup that this machine has, and without one. */
import { deepEqual, equal } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, readFileSync } from "node:fs";
import { test } from "node:test";
import { Freezer, type FreezerKind } from "./freezer.ts";

const candidates: FreezerKind[] = [
  { kind: "v1", root: "/sys/fs/cgroup/freezer" },
  { kind: "v2", root: "/sys/fs/cgroup" },
  { kind: "v2", root: "/sys/fs/cgroup/unified" },
];
const isRoot = process.getuid?.() === 0;

/** v1's hierarchy has the file of each kind only where it is one. */
function isThere(kind: FreezerKind): boolean {
  if (kind.kind === "none") return true;
  const type = kind.kind === "v1" ? "cgroup" : "cgroup2";
  const mounted = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[1] === kind.root && line.split(" ")[2] === type);
  if (!mounted) return false;
  try {
    accessSync(kind.root, constants.W_OK);
    return true;
  } catch {
    return false; // read-only, as in many containers
  }
}

for (const kind of candidates.filter(isThere)) {
  const skip = isRoot ? false : "needs root: cgroups";
  const where = kind.kind === "none" ? "" : kind.root;
  test(`a group of ${kind.kind} in ${where} stops, goes on, and is removed`, { skip }, async () => {
    const freezer = new Freezer(`btn-${process.pid}-freezer`, kind);
    freezer.create("host");
    const script = 'echo $$ >"$0"; while read -r line; do echo "$line"; done';
    const child = spawn("sh", ["-c", script, freezer.procsFile("host")], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      child.stdin.write("one\n");
      deepEqual(String((await once(child.stdout, "data"))[0]), "one\n");
      deepEqual(freezer.processes("host", undefined), [child.pid]);
      await freezer.freeze("host", undefined);
      let heard = "";
      child.stdout.on("data", (chunk) => {
        heard += String(chunk);
      });
      child.stdin.write("two\n");
      // What runs in the meantime is ours: a process of another group answers, the frozen one does not.
      await once(spawn("sleep", ["0.1"]), "close");
      equal(heard, "");
      freezer.thaw("host", undefined);
      await once(child.stdout, "data");
      equal(heard, "two\n");
    } finally {
      freezer.thaw("host", undefined);
      child.kill("SIGKILL");
      await once(child, "close");
      while (freezer.allProcesses().length > 0) await once(spawn("sleep", ["0.02"]), "close");
      deepEqual(freezer.removeAll(), []);
    }
  });
}
