/**
 * The smallest server of a disk: one thread that answers from a plain file, without replication. Runs as a worker of
 * `testing-echo-disk.shell.ts`; shows how an engine uses `FuseChannel`.
 */
import { closeSync, fdatasyncSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import {
  becomeIoFlusher,
  drainEvent,
  nativeMemory,
  POLLIN,
  PollSet,
  preadAt,
  punchHole,
  pwriteAt,
  zeroRange,
} from "../system/index.ts";
import { FuseChannel } from "./fuse-channel.shell.ts";
import {
  type DeviceRequest,
  REQUEST_BYTES_MAX,
  TRANSFER_BYTES_MAX,
  WRITE_DATA_OFFSET,
} from "./index.ts";

const REQUESTS_PER_ROUND = 256;
const { fuse, wake, backing, name, shared, background } = workerData as {
  fuse: number;
  wake: number;
  backing: string;
  name: string;
  /** [0] size in MiB, [1] writable, [2] stop, [3] requests of data, [4] other requests */
  shared: Int32Array;
  background: number;
};

becomeIoFlusher();
const file = openSync(backing, "r+");
const look = () => ({
  name,
  sizeBytes: Atomics.load(shared, 0) * 1_048_576,
  writable: Atomics.load(shared, 1) === 1,
});
const channel = new FuseChannel(fuse, { file: look(), background });
/** The data of a write begin on a page. */
const start = 4096 - WRITE_DATA_OFFSET;
const memory = nativeMemory(4096 + REQUEST_BYTES_MAX);
const data = memory.address + 4096n;
const reading = nativeMemory(TRANSFER_BYTES_MAX);
const set = new PollSet(2);
set.watch(0, fuse, POLLIN);
set.watch(1, wake, POLLIN);
parentPort?.postMessage("serving");

while (Atomics.load(shared, 2) === 0) {
  set.wait(10_000);
  if (set.ready(1) !== 0) {
    drainEvent(wake);
    channel.setFile(look());
  }
  let gone = false;
  for (let taken = 0; taken < REQUESTS_PER_ROUND; taken++) {
    const request = channel.read(memory, start);
    if (request === "none") break;
    gone = request === "gone";
    if (gone) break;
    Atomics.add(shared, 3, 1);
    perform(request as DeviceRequest);
  }
  Atomics.store(shared, 4, channel.answered);
  if (gone) break;
}
closeSync(file);

function perform(request: DeviceRequest): void {
  switch (request.op) {
    case "write": {
      const written = pwriteAt(file, data, request.length, request.offset);
      if (written === request.length) channel.replyWritten(request.unique, written);
      else channel.reply(request.unique, written < 0 ? -written : 5);
      return;
    }
    case "read": {
      const count = preadAt(file, reading.address, request.length, request.offset);
      if (count === request.length) channel.replyData(request.unique, reading.address, count);
      else channel.reply(request.unique, count < 0 ? -count : 5);
      return;
    }
    case "flush":
      fdatasyncSync(file);
      channel.reply(request.unique, 0);
      return;
    case "zero": {
      const { unique, offset, length, mayUnmap } = request;
      channel.reply(unique, (mayUnmap ? punchHole : zeroRange)(file, offset, length) ?? 0);
      return;
    }
  }
}
