/**
 * A file system on the device is written with many times the memory that is allowed. Where the server can be declared a
 * part of the I/O path, or cgroups are of version 2, writer and server share one limit: whatever the server allocates
 * must then be reclaimed from dirty pages of its own device. Version 1 without that right is known to stand still (README.md),
 * so there each has a limit of its own.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { run } from "../system/index.ts";
import { blockDeviceSkip, EchoPlace, must } from "./testing-disk.shell.ts";

const LIMIT_BYTES = 256 * 1_048_576;
const WRITTEN_MIB = 1_024;
const WRITE_LIMIT_MS = 120_000;

interface Group {
  readonly directory: string;
  readonly version: 1 | 2;
  [Symbol.dispose](): void;
}

/** A limited cgroup below our own, so that its processes stay within whatever limits us; undefined if that can not be. */
function limitedGroup(purpose: string): Group | undefined {
  const name = `btn-${process.pid}-${purpose}`;
  const own = readFileSync("/proc/self/cgroup", "utf8");
  const first = own.match(/^\d+:memory:(.*)$/m)?.[1];
  const second = own.match(/^0::(.*)$/m)?.[1];
  const places = [
    { path: first, root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", version: 1 },
    { path: second, root: "/sys/fs/cgroup", limit: "memory.max", version: 2 },
  ] as const;
  for (const { path, root, limit, version } of places) {
    if (path === undefined || !existsSync(join(root, path, "cgroup.procs"))) continue;
    const directory = join(root, path, name);
    try {
      mkdirSync(directory);
      writeFileSync(join(directory, limit), String(LIMIT_BYTES));
    } catch {
      if (existsSync(directory)) rmdirSync(directory);
      continue; // no memory controller here, or not for us
    }
    return { directory, version, [Symbol.dispose]: () => rmdirSync(directory) };
  }
  return undefined;
}

/** In a thread that ends: the test's own process stays as it is. */
async function mayBecomeIoFlusher(): Promise<boolean> {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData).then(({ becomeIoFlusher }) => parentPort.postMessage(becomeIoFlusher() === undefined));`;
  const workerData = new URL("../system/index.ts", import.meta.url).href;
  const worker = new Worker(source, { eval: true, workerData });
  const [may] = await once(worker, "message");
  await worker.terminate();
  return may === true;
}

/** How often memory had to be taken back because of the limit, and how many processes were ended for it. */
function pressure({ directory, version }: Group): { limitHits: number; killed: number } {
  const read = (file: string): string => readFileSync(join(directory, file), "utf8");
  const field = (text: string, name: string): number =>
    Number(text.match(new RegExp(`^${name} (\\d+)$`, "m"))?.[1] ?? 0);
  if (version === 2) {
    const events = read("memory.events");
    return {
      limitHits: field(events, "max") + field(events, "high"),
      killed: field(events, "oom_kill"),
    };
  }
  return {
    limitHits: Number(read("memory.failcnt")),
    killed: field(read("memory.oom_control"), "oom_kill"),
  };
}

test("a server that is short of memory goes on serving the writes that free it", {
  skip: blockDeviceSkip(),
}, async (context) => {
  using writers = limitedGroup("writer");
  if (writers === undefined)
    return context.skip("no cgroup with a memory limit can be made below our own");
  const together = writers.version === 2 || (await mayBecomeIoFlusher());
  using apart = together ? undefined : limitedGroup("server");
  const servers = apart ?? writers;
  const procs = (group: Group): string => join(group.directory, "cgroup.procs");
  await using place = new EchoPlace({ mebibytes: 1_536, cgroupProcs: procs(servers) });
  const disk = await place.start();
  await must("mkfs.ext4", "-q", "-F", disk.shown.device);
  await must("mount", disk.shown.device, place.mountPoint);
  const file = join(place.mountPoint, "file");
  const script = `echo $$ > ${procs(writers)}; exec dd if=/dev/zero of=${file} bs=1M count=${WRITTEN_MIB} conv=fsync status=none`;
  const written = await run("sh", ["-c", script], { timeoutMs: WRITE_LIMIT_MS });
  deepEqual([written.timedOut, written.code, written.stderr], [false, 0, ""]);
  for (const group of together ? [writers] : [writers, servers]) {
    const { limitHits, killed } = pressure(group);
    ok(limitHits > 0, "the limit was never reached, so nothing was shown");
    equal(killed, 0);
  }
  ok(Number((await disk.ask("stats"))["data"]) > WRITTEN_MIB / 2);
  const arrangement = together ? "one limit for both" : "a limit for each: no CAP_SYS_RESOURCE";
  context.diagnostic(`cgroup v${writers.version}, ${arrangement}, ${LIMIT_BYTES >> 20} MiB`);
  await must("umount", place.mountPoint);
  await must("e2fsck", "-f", "-n", disk.shown.device);
  deepEqual(await disk.ask("down"), { down: true });
});
