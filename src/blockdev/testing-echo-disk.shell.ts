/**
 * A disk process for tests: `node testing-echo-disk.shell.ts JSON` with {name, minor, backing, run, dev, blockBytes}. Prints
 * `{device, drbdDevice, loop, file}` when the device is there; takes lines `grow MIB`, `secondary`, `stats`, `openers`, `down` on
 * standard input and answers each with a line.
 */
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import {
  becomeIoFlusher,
  createEventDescriptor,
  lockProgram,
  signalEvent,
} from "../system/index.ts";
import {
  attachDevice,
  detachDevice,
  openersOf,
  removeLeftovers,
  resizeDevice,
} from "./device.shell.ts";
import { closeFuse, mountDisk, openFuse, unmountDisk } from "./fuse-mount.shell.ts";

interface Settings {
  readonly name: string;
  readonly minor?: number;
  readonly backing: string;
  readonly run: string;
  readonly dev: string;
  readonly blockBytes?: 512 | 4096;
  readonly background?: number;
}
const settings = JSON.parse(process.argv[2] ?? "{}") as Settings;
const { name, minor, backing, run, dev, blockBytes = 512, background = 128 } = settings;
const directory = `${run}/${name}`;
const file = `${directory}/${name}`;
const timeoutMs = 20_000;
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const flusher = becomeIoFlusher();
const locked = lockProgram();
unmountDisk(directory);
const leftovers = await removeLeftovers({ name, file, directory: dev, minor, timeoutMs });
const fuse = openFuse();
const wake = createEventDescriptor();
const shared = new Int32Array(new SharedArrayBuffer(32));
shared[0] = Math.floor(statSync(backing).size / 1_048_576);
shared[1] = 1;
mountDisk(fuse, directory, name);
const engine = new Worker(new URL("./testing-echo-engine.shell.ts", import.meta.url), {
  workerData: { fuse, wake, backing, name, shared, background },
});
await new Promise<void>((resolve, reject) => {
  engine.once("error", reject);
  engine.once("message", () => resolve());
});
let attached = await attachDevice({ name, minor, file, blockBytes, directory: dev, timeoutMs });
say({ ...attached, file, leftovers, flusher: flusher ?? null, locked });

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, value] = line.split(" ");
  try {
    if (verb === "grow") {
      Atomics.store(shared, 0, Number(value));
      signalEvent(wake);
      await resizeDevice(attached, timeoutMs);
      say({ grown: Number(value) });
    } else if (verb === "read-only") {
      Atomics.store(shared, 1, 0);
      signalEvent(wake);
      say({ readOnly: true });
    } else if (verb === "stats") {
      say({ data: shared[3], other: shared[4], memory: process.memoryUsage().rss });
    } else if (verb === "openers") {
      say(await openersOf(attached.loop));
    } else if (verb === "down") {
      await detachDevice(attached, file, timeoutMs);
      attached = { ...attached, notes: [] };
      break;
    }
  } catch (error) {
    say({
      error: error instanceof Error && "code" in error ? error.code : String(error),
      detail: String(error),
    });
  }
}
Atomics.store(shared, 2, 1);
signalEvent(wake);
await new Promise((resolve) => engine.once("exit", resolve));
closeFuse(fuse);
unmountDisk(directory);
say({ down: true });
