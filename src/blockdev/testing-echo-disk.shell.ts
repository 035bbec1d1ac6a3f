/**
 * A disk process for tests: `node testing-echo-disk.shell.ts JSON` with {name, minor, backing, run, dev, blockBytes}. Prints
 * `{device, drbdDevice, loop, ...}` when the device is there; takes lines `grow MIB`, `secondary`, `stats`, `openers`, `down` on
 * standard input and answers each with a line.
 */
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { createEventDescriptor, signalEvent } from "../system/index.ts";
import {
  attachDevice,
  detachDevice,
  openersOf,
  removeLeftovers,
  resizeDevice,
} from "./device.shell.ts";
import { closeFuse, mountDisk, openFuse, unmountDisk } from "./fuse-mount.shell.ts";
import { prepareMemory } from "./memory.shell.ts";

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
const timeoutMs = 20_000;
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const memoryNotes = prepareMemory();
const leftovers = await removeLeftovers({
  name,
  mountDirectory: directory,
  directory: dev,
  minor,
  timeoutMs,
});
const fuse = openFuse();
const wake = createEventDescriptor();
const shared = new Int32Array(new SharedArrayBuffer(32));
shared[0] = Math.floor(statSync(backing).size / 1_048_576);
shared[1] = 1;
const file = mountDisk(fuse, directory, name);
const engine = new Worker(new URL("./testing-echo-engine.shell.ts", import.meta.url), {
  workerData: { fuse, wake, backing, name, shared, background },
});
await new Promise<void>((resolve, reject) => {
  engine.once("error", reject);
  engine.once("message", () => resolve());
});
const attached = await attachDevice({ name, minor, file, blockBytes, directory: dev, timeoutMs });
say({ ...attached, path: file, leftovers, memoryNotes });

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
      say(await openersOf(attached.loop, [attached.device, attached.drbdDevice]));
    } else if (verb === "down") {
      await detachDevice(attached, timeoutMs);
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
