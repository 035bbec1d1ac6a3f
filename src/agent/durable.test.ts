import { deepEqual, equal, rejects } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { DurableValue } from "./durable.ts";

const probe = await open(import.meta.filename);
const handlePrototype = Object.getPrototypeOf(probe) as FileHandle;
await probe.close();

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "btn-durable-"));
  try {
    await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The next writes of any file fail as on a broken disk. */
function failWrites(times: number) {
  let left = times;
  return mock.method(handlePrototype, "datasync", async function (this: FileHandle) {
    if (left-- > 0) throw new Error("EIO: i/o error");
    return await this.sync();
  });
}

async function read(directory: string): Promise<unknown> {
  const { store, value } = await DurableValue.open(directory, "record");
  await store.close();
  return value;
}

async function write(directory: string, ...values: unknown[]): Promise<void> {
  const { store } = await DurableValue.open(directory, "record");
  for (const value of values) await store.save(value);
  await store.close();
}

test("a new host has no record, and the last one saved is read back", async () => {
  await inDirectory(async (directory) => {
    equal(await read(directory), undefined);
    await write(directory, { epoch: 1 }, { epoch: 2 });
    deepEqual(await read(directory), { epoch: 2 });
    equal(statSync(join(directory, "record.0")).mode & 0o777, 0o600);
  });
});

test("either copy alone is enough, whatever happened to the other", async () => {
  for (const victim of ["record.0", "record.1"]) {
    for (const damage of ["flip", "empty", "cut"]) {
      await inDirectory(async (directory) => {
        await write(directory, { epoch: 6 }, { epoch: 7 });
        const path = join(directory, victim);
        const bytes = readFileSync(path);
        bytes[40] = (bytes[40] ?? 0) ^ 1;
        if (damage === "flip") writeFileSync(path, bytes);
        else truncateSync(path, damage === "empty" ? 0 : 30);
        deepEqual(await read(directory), { epoch: 7 }, `${victim} ${damage}`);
      });
    }
  }
});

test("a write that was torn leaves the value before it", async () => {
  await inDirectory(async (directory) => {
    await write(directory, { epoch: 7 });
    const path = join(directory, "record.0");
    const bytes = readFileSync(path);
    bytes.write("baton-record-1 2 9 0\n{", 0);
    writeFileSync(path, bytes);
    deepEqual(await read(directory), { epoch: 7 });
    await write(directory, { epoch: 8 });
    deepEqual(await read(directory), { epoch: 8 });
  });
});

test("no intact copy is refused, never taken for a new host", async () => {
  await inDirectory(async (directory) => {
    await write(directory, { epoch: 7 });
    for (const name of ["record.0", "record.1"]) writeFileSync(join(directory, name), "garbage");
    await rejects(DurableValue.open(directory, "record"), { code: "BTN-STATE-DAMAGED" });
  });
});

test("what can not be written is tried until it can, and the newest value wins", async () => {
  await inDirectory(async (directory) => {
    const troubles: (string | null)[] = [];
    const { store } = await DurableValue.open(directory, "record", {
      retryMs: 5,
      onTrouble: (trouble) => troubles.push(trouble?.code ?? null),
    });
    const failure = failWrites(2);
    try {
      const done: number[] = [];
      const saves = [1, 2, 3].map((epoch) => store.save({ epoch }).then(() => done.push(epoch)));
      await Promise.all(saves);
      deepEqual(done, [1, 2, 3]);
      await store.close();
    } finally {
      failure.mock.restore();
    }
    deepEqual(troubles, ["BTN-STATE-UNWRITABLE", null]);
    deepEqual(await read(directory), { epoch: 3 });
  });
});

test("closing lets go of a value that can not be written, and says so", async () => {
  await inDirectory(async (directory) => {
    const { store } = await DurableValue.open(directory, "record", { retryMs: 60_000 });
    const failure = failWrites(Number.POSITIVE_INFINITY);
    try {
      const refused = rejects(store.save({ epoch: 1 }), { code: "BTN-STATE-UNWRITABLE" });
      await store.close();
      await refused;
    } finally {
      failure.mock.restore();
    }
  });
});

test("a value that is too large is refused, and the next one is saved", async () => {
  await inDirectory(async (directory) => {
    const { store } = await DurableValue.open(directory, "record");
    const large = { text: "x".repeat(70_000) };
    await rejects(store.save(large), { code: "BTN-STATE-UNWRITABLE" });
    await store.save({ epoch: 2 });
    await store.close();
    deepEqual(await read(directory), { epoch: 2 });
  });
});
