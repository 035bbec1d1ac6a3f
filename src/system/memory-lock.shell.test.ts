import { deepEqual, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

const skip = process.getuid?.() === 0 ? false : "needs root: locked memory, a lowered OOM score";
/** Root in a container may lack it: then it is told so, and nothing changes. */
const CAP_SYS_RESOURCE = 24n;
const effective = readFileSync("/proc/self/status", "utf8").match(/CapEff:\s+([0-9a-f]+)/)?.[1];
const capable = ((BigInt(`0x${effective ?? "0"}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;

test("a program stays in memory, its heap still breathes, and it is spared by the OOM killer", {
  skip,
}, () => {
  const script = `
    import { lockProgram, lockRange, setOomScore } from ${JSON.stringify(new URL("./memory-lock.ts", import.meta.url).href)};
    import { nativeMemory } from ${JSON.stringify(new URL("./descriptors.ts", import.meta.url).href)};
    import { readFileSync } from "node:fs";
    import { Worker } from "node:worker_threads";
    const { bytes, refusal } = lockProgram();
    const memory = nativeMemory(65536);
    const range = lockRange(memory.address, 65536);
    const lockedKib = Number(readFileSync("/proc/self/status", "utf8").match(/VmLck:\\s+(\\d+)/)[1]);
    const oom = [setOomScore(-900), readFileSync("/proc/self/oom_score_adj", "utf8").trim(), setOomScore(5000)];
    for (let round = 0; round < 20; round++) { Array.from({ length: 200_000 }, (_, i) => ({ i })); gc(); }
    const worker = new Worker("gc(); process.exit(3)", { eval: true });
    worker.on("exit", (code) => console.log(JSON.stringify(
      [refusal ?? null, bytes > 1_000_000, range ?? null, lockedKib > bytes / 1024 / 2, ...oom, code])));`;
  const flags = [
    "--disable-warning=ExperimentalWarning",
    "--expose-gc",
    "--input-type=module-typescript",
    "-e",
    script,
  ];
  const child = spawnSync(process.execPath, flags, { encoding: "utf8", timeout: 60_000 });
  match(child.stdout, /^\[/, child.stderr);
  const oom = capable ? [null, "-900"] : ["EACCES", "0"];
  deepEqual(JSON.parse(child.stdout), [null, true, null, true, ...oom, "EINVAL", 3]);
});

test("a thread becomes part of the I/O path, and what it starts with it", { skip }, async () => {
  // In a worker: the test's own process stays as it is.
  const source = `
    const { parentPort, workerData, Worker } = require("node:worker_threads");
    import(workerData).then(({ becomeIoFlusher, isIoFlusher }) => {
      const before = isIoFlusher();
      const refusal = becomeIoFlusher();
      const inner = new Worker(
        'const { parentPort, workerData } = require("node:worker_threads");' +
        'import(workerData).then(({ isIoFlusher }) => parentPort.postMessage(isIoFlusher()));',
        { eval: true, workerData });
      inner.on("message", (inherited) => parentPort.postMessage([before, refusal, isIoFlusher(), inherited]));
    });`;
  const worker = new Worker(source, {
    eval: true,
    workerData: new URL("./memory-lock.ts", import.meta.url).href,
  });
  const said = await new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", resolve);
  });
  await worker.terminate();
  deepEqual(said, capable ? [false, undefined, true, true] : [false, "EPERM", false, false]);
});
