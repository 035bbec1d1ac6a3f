import { deepEqual, equal, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { monotonicClock } from "../system/index.ts";
import { inOwnNamespaces, loopDevice, measured, sh } from "../system/own-namespaces.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceNotice } from "./agent.ts";
import { createFilesystemAgent } from "./filesystem.shell.ts";
import { defaultPolicy } from "./policy.ts";
import type { FilesystemSpec } from "./spec.ts";

const notices: ResourceNotice[] = [];
const environment = {
  group: "mysql",
  host: "dbm157",
  clock: monotonicClock,
  timing: { keepaliveMs: 100, deadtimeMs: 400 },
  notify: (notice: ResourceNotice): void => void notices.push(notice),
};
const context = (timeoutMs = 20_000, urgent = false): ActionContext => ({
  signal: new AbortController().signal,
  epoch: 1,
  progress: () => undefined,
  timeoutMs,
  urgent,
});
const spec = (device: string, more: Partial<FilesystemSpec> = {}): FilesystemSpec => ({
  kind: "filesystem",
  name: "data",
  policy: defaultPolicy("filesystem"),
  device,
  directory: "/tmp/new/database dir",
  type: "ext4",
  options: ["noatime"],
  fsck: "auto",
  forceUnmountAfterMs: 300,
  ...more,
});
const code = (result: ActionResult | ProbeResult): string => {
  if ("state" in result)
    return "reason" in result ? `${result.state} ${result.reason}` : result.state;
  return result.ok ? "ok" : result.reason;
};
function image(name: string, make = "mkfs.ext4 -q -F"): string {
  sh(`truncate -s 16M /tmp/${name} && ${make} /tmp/${name}`);
  return `/tmp/${name}`;
}

inOwnNamespaces(import.meta.url, () => {
  sh("mount -t tmpfs tmpfs /tmp");

  test("a file system is mounted on a directory that did not exist, and unmounted, each twice", async () => {
    using loop = loopDevice(image("a.img"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    equal(code(await agent.probe(context())), "stopped");
    const started = monotonicClock.now();
    equal(code(await agent.start(context())), "ok");
    measured(`mount: ${Math.round(monotonicClock.now() - started)} ms`);
    equal(code(await agent.start(context())), "ok");
    equal(code(await agent.monitor(context())), "running");
    ok(sh("grep 'database.040dir' /proc/self/mountinfo").includes("noatime"));
    writeFileSync("/tmp/new/database dir/x", "1");
    const stopped = monotonicClock.now();
    equal(code(await agent.stop(context())), "ok");
    measured(`umount: ${Math.round(monotonicClock.now() - stopped)} ms`);
    equal(existsSync("/tmp/new/database dir/x"), false);
    equal(code(await agent.stop(context())), "ok");
    equal(code(await agent.probe(context())), "stopped");
  });

  test("what another host has taken is unmounted without writing what was in memory", async () => {
    using loop = loopDevice(image("abandoned.img"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    equal(code(await agent.start(context())), "ok");
    writeFileSync("/tmp/new/database dir/kept", "1", { flush: true });
    sh("sync -f '/tmp/new/database dir'");
    writeFileSync("/tmp/new/database dir/lost", "1");
    notices.length = 0;
    equal(code(await agent.stop({ ...context(), abandon: true })), "ok");
    deepEqual(
      notices.map(({ reason }) => reason),
      ["BTN-FILESYSTEM-DISCARDED"],
    );
    equal(code(await agent.probe(context())), "stopped");
    equal(code(await agent.stop({ ...context(), abandon: true })), "ok");
    equal(code(await agent.start(context())), "ok");
    deepEqual(
      ["kept", "lost"].map((name) => existsSync(`/tmp/new/database dir/${name}`)),
      [true, false],
    );
    equal(code(await agent.stop(context())), "ok");
  });

  test("nothing is mounted over another file system, from nowhere, or twice", async () => {
    using loop = loopDevice(image("b.img"));
    sh("mkdir -p /tmp/other && mount -t tmpfs strange /tmp/other");
    const over = createFilesystemAgent(spec(loop.path, { directory: "/tmp/other" }), environment);
    equal(code(await over.start(context())), "BTN-FILESYSTEM-OTHER-MOUNTED");
    equal(code(await over.stop(context())), "ok", "what is not ours is not ours to unmount");
    ok(sh("cat /proc/mounts").includes("strange"));
    sh("umount /tmp/other; ln -s /tmp/other /tmp/link");
    const nowhere = createFilesystemAgent(spec("/dev/none-such"), environment);
    equal(code(await nowhere.start(context())), "BTN-FILESYSTEM-NO-DEVICE");
    sh(`mount ${loop.path} /tmp/other`);
    const twice = createFilesystemAgent(spec(loop.path), environment);
    equal(code(await twice.start(context())), "BTN-FILESYSTEM-MOUNTED-TWICE");
    const byLink = createFilesystemAgent(spec(loop.path, { directory: "/tmp/link/" }), environment);
    equal(code(await byLink.probe(context())), "running", "a symbolic link is the same directory");
    equal(code(await byLink.stop(context())), "ok");
  });

  test("a device without a file system is refused with what mount says", async () => {
    using loop = loopDevice(image("c.img", "true"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    const result = await agent.start(context());
    equal(code(result), "BTN-FILESYSTEM-MOUNT-FAILED");
    ok(!result.ok && result.detail.includes("wrong fs type"), JSON.stringify(result));
  });

  test("recorded errors are preened before the mount; what preening may not repair is not mounted", async () => {
    using loop = loopDevice(image("d.img"));
    sh(`debugfs -w -R 'ssv state 2' ${loop.path}`);
    const lines: string[] = [];
    const agent = createFilesystemAgent(spec(loop.path), environment);
    const listening = { ...context(), progress: (line: string): void => void lines.push(line) };
    equal(code(await agent.start(listening)), "ok");
    deepEqual(lines, [`${loop.path}: e2fsck -p ${loop.path}`]);
    await agent.stop(context());
    sh(`debugfs -w -R 'ssv state 2' ${loop.path}; debugfs -w -R 'clri <2>' ${loop.path}`);
    equal(code(await agent.start(context())), "BTN-FILESYSTEM-CHECK-FAILED");
  });

  test("processes that keep the mount busy are ended, TERM first, then KILL", async () => {
    using loop = loopDevice(image("e.img"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    await agent.start(context());
    const stubborn = spawn("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], {
      cwd: "/tmp/new/database dir",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const polite = spawn("sleep", ["100"], { cwd: "/tmp/new/database dir", stdio: "ignore" });
    const ended = [once(stubborn, "exit"), once(polite, "exit")];
    await once(stubborn.stdout, "data");
    notices.length = 0;
    equal(code(await agent.stop(context(10_000))), "ok");
    deepEqual(
      (await Promise.all(ended)).map(([, signal]) => signal),
      ["SIGKILL", "SIGTERM"],
    );
    ok(notices.every(({ reason }) => reason === "BTN-FILESYSTEM-KILLED") && notices.length >= 2);
    equal(code(await agent.probe(context())), "stopped");
  });

  test("without force a busy mount is a failure that names who is there, never a lazy unmount", async () => {
    using loop = loopDevice(image("f.img"));
    const agent = createFilesystemAgent(spec(loop.path, { forceUnmountAfterMs: 0 }), environment);
    await agent.start(context());
    const user = spawn("sleep", ["100"], { cwd: "/tmp/new/database dir", stdio: "ignore" });
    const gone = once(user, "exit");
    const result = await agent.stop(context(600));
    equal(code(result), "BTN-FILESYSTEM-BUSY");
    ok(!result.ok && result.detail.includes(`sleep[${user.pid}] (cwd)`), JSON.stringify(result));
    equal(code(await agent.probe(context())), "running");
    user.kill();
    await gone;
    equal(code(await agent.stop(context())), "ok");
  });

  test("a mount that somebody unmounted lazily is not known to be stopped", async () => {
    using loop = loopDevice(image("g.img"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    await agent.start(context());
    const user = spawn("sleep", ["100"], { cwd: "/tmp/new/database dir", stdio: "ignore" });
    const gone = once(user, "exit");
    sh("umount -l '/tmp/new/database dir'");
    equal(code(await agent.probe(context())), "unknown BTN-FILESYSTEM-BUSY");
    equal(code(await agent.start(context())), "BTN-FILESYSTEM-BUSY");
    notices.length = 0;
    equal(code(await agent.stop(context(10_000))), "ok", "who holds it is found by the device");
    await gone;
    equal(notices.length > 0, true);
    equal(code(await agent.probe(context())), "stopped");
  });

  test("mounts below are unmounted with it", async () => {
    using loop = loopDevice(image("h.img"));
    const agent = createFilesystemAgent(spec(loop.path), environment);
    await agent.start(context());
    sh("cd '/tmp/new/database dir' && mkdir tmp && mount -t tmpfs inner tmp");
    equal(code(await agent.stop(context())), "ok");
    equal(sh("cat /proc/mounts").includes("inner"), false);
  });

  test("a file system that the kernel made read-only, or shut down, is failed", async () => {
    for (const spoil of ["mount -o remount,ro", "shutdown"]) {
      using loop = loopDevice(image(`i-${spoil.length}.img`));
      const agent = createFilesystemAgent(spec(loop.path), environment);
      await agent.start(context());
      // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), without flushing the log: what power loss in the lab does.
      if (spoil === "shutdown") {
        sh(`perl -e 'open(my $d, "<", "/tmp/new/database dir") or die; my $f = pack("L", 2);
            syscall(16, fileno($d), 0x8004587d, $f) == 0 or die "ioctl: $!"'`);
      } else sh(`${spoil} '/tmp/new/database dir'`);
      equal(code(await agent.monitor(context())), "failed BTN-FILESYSTEM-READ-ONLY", spoil);
      equal(code(await agent.stop(context())), "ok");
      equal(code(await agent.start(context())), "ok", "the journal is replayed by the mount");
      equal(code(await agent.stop(context())), "ok");
    }
  });
});
