import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  closeDescriptor,
  duplicate,
  EAGAIN,
  IoVector,
  nativeMemory,
  readNow,
  setNonBlocking,
  writeNow,
} from "./descriptors.ts";
import { createEventDescriptor, drainEvent, signalEvent } from "./eventfd.ts";
import { SystemCallError } from "./ffi.ts";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, PollSet } from "./poll.ts";
import { preadAt, preadNoWait, pwriteAt } from "./positioned-io.ts";

const EBADF = 9;

/** A directory that is gone after the test, and a file in it. */
function scratchFile(): { path: string; [Symbol.dispose]: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "btn-descriptors-"));
  return {
    path: join(directory, "file"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

test("memory for system calls is aligned, zeroed, and shared if asked", () => {
  const memory = nativeMemory(10_000);
  equal(memory.address % 4096n, 0n);
  equal(memory.bytes.length, 10_000);
  ok(memory.bytes.every((byte) => byte === 0));
  const shared = nativeMemory(4096, true);
  ok((shared.bytes.buffer as unknown) instanceof SharedArrayBuffer);
  equal(shared.address % 4096n, 0n);
});

test("an event descriptor is readable from a signal to the drain that counts it", () => {
  const fd = createEventDescriptor();
  const set = new PollSet(1);
  set.watch(0, fd, POLLIN);
  try {
    equal(set.wait(0), 0);
    equal(drainEvent(fd), 0);
    signalEvent(fd);
    signalEvent(fd);
    equal(set.wait(1_000), 1);
    equal(set.ready(0), POLLIN);
    equal(drainEvent(fd), 2);
    equal(set.wait(0), 0);
    equal(set.ready(0), 0);
  } finally {
    closeDescriptor(fd);
  }
  throws(() => signalEvent(fd), SystemCallError);
  throws(() => drainEvent(fd), SystemCallError);
});

test("a slot that is ignored tells nothing; a closed descriptor and a broken pipe are told", () => {
  const event = createEventDescriptor();
  const copy = duplicate(event);
  const set = new PollSet(3);
  set.watch(0, event, POLLIN | POLLOUT);
  set.watch(2, copy, POLLOUT);
  signalEvent(copy);
  equal(set.wait(1_000), 2);
  deepEqual(
    [0, 1, 2].map((slot) => set.ready(slot)),
    [POLLIN | POLLOUT, 0, POLLOUT],
  );
  set.ignore(0);
  closeDescriptor(copy);
  equal(set.wait(1_000), 1);
  deepEqual(
    [0, 1, 2].map((slot) => set.ready(slot) & ~(POLLERR | POLLHUP)),
    [0, 0, POLLNVAL],
  );
  closeDescriptor(event);
});

test("a thread that waits in poll is woken from another thread by the number alone", async () => {
  const fd = createEventDescriptor();
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.poll).then(({ PollSet, POLLIN }) => {
      const set = new PollSet(1);
      set.watch(0, workerData.fd, POLLIN);
      parentPort.postMessage("waiting");
      parentPort.postMessage(set.wait(30_000));
    });`;
  const worker = new Worker(source, {
    eval: true,
    workerData: { fd, poll: new URL("./poll.ts", import.meta.url).href },
  });
  const said: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", () => resolve());
    worker.on("message", (message: unknown) => {
      said.push(message);
      if (message === "waiting") signalEvent(fd);
    });
  });
  closeDescriptor(fd);
  deepEqual(said, ["waiting", 1]);
});

test("errors are negative numbers", () => {
  const memory = nativeMemory(64);
  equal(readNow(-1, memory.address, 64), -EBADF);
  equal(writeNow(-1, memory.address, 64), -EBADF);
  equal(preadAt(-1, memory.address, 64, 0), -EBADF);
  equal(pwriteAt(-1, memory.address, 64, 0), -EBADF);
  equal(preadNoWait(-1, memory.address, 64, 0), -EBADF);
  equal(new IoVector(1).write(-1), 0);
  throws(() => setNonBlocking(-1, true), SystemCallError);
  throws(() => duplicate(-1), SystemCallError);
});

test("an empty pipe that does not block says so; a vector goes on where a full one stopped", () => {
  using file = scratchFile();
  equal(spawnSync("mkfifo", [file.path]).status, 0);
  const fifo = openSync(file.path, "r+");
  try {
    setNonBlocking(fifo, true);
    const memory = nativeMemory(256 * 1024);
    for (let index = 0; index < memory.bytes.length; index++) memory.bytes[index] = index % 251;
    equal(readNow(fifo, memory.address, 64), -EAGAIN);
    const vector = new IoVector(3);
    const lengths = [10_000, 70_000, 176_000];
    let offset = 0;
    for (const length of lengths) {
      ok(vector.add(memory.address + BigInt(offset), length));
      offset += length;
    }
    equal(vector.add(memory.address, 1), false);
    const back = nativeMemory(256 * 1024);
    let received = 0;
    for (let rounds = 0; vector.count > 0 && rounds < 100; rounds++) {
      const written = vector.write(fifo);
      ok(written > 0, `written ${written}`);
      for (let left = written; left > 0; ) {
        const count = readNow(fifo, back.address + BigInt(received), Math.min(left, 33_333));
        ok(count > 0, `read ${count}`);
        received += count;
        left -= count;
      }
    }
    equal(received, 256_000);
    equal(vector.byteLength, 0);
    deepEqual(back.bytes.subarray(0, received), memory.bytes.subarray(0, received));
    ok(vector.add(memory.address, 1), "an emptied vector has room again");
  } finally {
    closeSync(fifo);
  }
});

test("reads and writes at offsets beyond 4 GiB go where they are meant", () => {
  using file = scratchFile();
  writeFileSync(file.path, "");
  const fd = openSync(file.path, "r+");
  try {
    const memory = nativeMemory(4096);
    memory.bytes.fill(7);
    const offset = 5 * 2 ** 30 + 4096;
    equal(pwriteAt(fd, memory.address, 4096, offset), 4096);
    equal(fstatSync(fd).size, offset + 4096);
    memory.bytes.fill(0);
    equal(preadAt(fd, memory.address, 4096, offset), 4096);
    ok(memory.bytes.every((byte) => byte === 7));
    equal(preadAt(fd, memory.address, 4096, offset + 4000), 96);
  } finally {
    closeSync(fd);
  }
});

test("a read that does not wait answers from memory, or says that it would wait", () => {
  using file = scratchFile();
  writeFileSync(file.path, Buffer.alloc(65_536, 9));
  const fd = openSync(file.path, "r");
  try {
    const memory = nativeMemory(65_536);
    equal(preadNoWait(fd, memory.address, 4096, 8192), 4096);
    equal(memory.bytes[0], 9);
    // Written back and dropped from memory: the kernel may still answer from elsewhere, but never wrongly.
    spawnSync("sync", [file.path]);
    spawnSync("dd", [
      `of=${file.path}`,
      "oflag=nocache",
      "conv=notrunc,fdatasync",
      "count=0",
      "status=none",
    ]);
    memory.bytes.fill(0);
    const count = preadNoWait(fd, memory.address, 65_536, 0);
    ok(count === -EAGAIN || count > 0, `read ${count}`);
    if (count > 0) ok(memory.bytes.subarray(0, count).every((byte) => byte === 9));
  } finally {
    closeSync(fd);
  }
});

test("a duplicate is close-on-exec and outlives the first", () => {
  using file = scratchFile();
  writeFileSync(file.path, "baton");
  const first = openSync(file.path, "r");
  const second = duplicate(first);
  closeSync(first);
  const memory = nativeMemory(16);
  equal(preadAt(second, memory.address, 16, 0), 5);
  const flags = readFileSync(`/proc/self/fdinfo/${second}`, "utf8").match(/flags:\s+(\d+)/)?.[1];
  equal(Number.parseInt(flags ?? "0", 8) & 0o2000000, 0o2000000);
  closeDescriptor(second);
  equal(preadAt(second, memory.address, 16, 0), -EBADF);
});
