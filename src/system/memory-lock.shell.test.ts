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

test("a process locks what it uses and is spared by the OOM killer", { skip }, () => {
  const script = `
    import { lockMemory, unlockMemory, setOomScore } from ${JSON.stringify(new URL("./memory-lock.ts", import.meta.url).href)};
    import { readFileSync } from "node:fs";
    const locked = () => readFileSync("/proc/self/status", "utf8").match(/VmLck:\\s+(\\d+)/)[1] > 0;
    console.log(JSON.stringify([lockMemory(), locked(), setOomScore(-900),
      readFileSync("/proc/self/oom_score_adj", "utf8").trim(), setOomScore(5000), (unlockMemory(), locked())]));`;
  const flags = [
    "--disable-warning=ExperimentalWarning",
    "--input-type=module-typescript",
    "-e",
    script,
  ];
  const child = spawnSync(process.execPath, flags, { encoding: "utf8" });
  match(child.stdout, /^\[/, child.stderr);
  const oom = capable ? [null, "-900"] : ["EACCES", "0"];
  deepEqual(JSON.parse(child.stdout), [null, true, ...oom, "EINVAL", false]);
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
