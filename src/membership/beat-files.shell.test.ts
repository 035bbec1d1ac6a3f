import { deepEqual, equal, rejects } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type BeatDirectories, RecordWriter, readBeatFiles } from "./beat-files.shell.ts";

const peers = { dbm158: { generation: 41, sequenceFloor: 900 } };

/** Directories that do not exist yet, gone when disposed. */
function directories(): BeatDirectories & Disposable {
  const root = mkdtempSync(join(tmpdir(), "btn-files-"));
  return {
    heartbeatDirectory: join(root, "heartbeat"),
    stateDirectory: join(root, "state"),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

test("a first start knows nothing, makes a uuid and keeps it", async () => {
  using where = directories();
  const first = await readBeatFiles(where);
  deepEqual(first.record, { generation: null, peers: {} });
  equal(readFileSync(join(where.heartbeatDirectory, "hb_uuid"), "hex"), first.uuid);
  equal((await readBeatFiles(where)).uuid, first.uuid);
});

test("what was written is read again, in heartbeat's own form", async () => {
  using where = directories();
  await readBeatFiles(where);
  await new RecordWriter(where).write({ generation: 1_795_416_502, peers });
  const text = readFileSync(join(where.heartbeatDirectory, "hb_generation"), "latin1");
  equal(text, "     1795416502\n");
  deepEqual((await readBeatFiles(where)).record, { generation: 1_795_416_502, peers });
});

test("of two known generations the higher one counts", async () => {
  using where = directories();
  await readBeatFiles(where);
  await new RecordWriter(where).write({ generation: 50, peers });
  const path = join(where.heartbeatDirectory, "hb_generation");
  writeFileSync(path, "             60\n");
  equal((await readBeatFiles(where)).record.generation, 60);
  rmSync(path);
  equal((await readBeatFiles(where)).record.generation, 50);
});

test("a damaged record is done without, and said", async () => {
  using where = directories();
  await readBeatFiles(where);
  await new RecordWriter(where).write({ generation: 50, peers });
  const path = join(where.stateDirectory, "beat.json");
  writeFileSync(path, readFileSync(path, "utf8").replace("900", "100"));
  const { record, remarks } = await readBeatFiles(where);
  deepEqual(record, { generation: 50, peers: {} });
  equal(remarks.length, 1);
});

test("a generation that is no number is refused, not guessed", async () => {
  using where = directories();
  mkdirSync(where.heartbeatDirectory, { recursive: true });
  writeFileSync(join(where.heartbeatDirectory, "hb_generation"), "garbage\n");
  await rejects(readBeatFiles(where), { code: "BTN-BEAT-GENERATION-UNREADABLE" });
});

test("writes under way at once end with the newest on disk", async () => {
  using where = directories();
  await readBeatFiles(where);
  const writer = new RecordWriter(where);
  const writes = [1, 2, 3, 4, 5].map((generation) => writer.write({ generation, peers }));
  await Promise.all(writes);
  equal((await readBeatFiles(where)).record.generation, 5);
});

test("a directory that can not be written is an error that says what it means", async () => {
  using where = directories();
  await readBeatFiles(where);
  rmSync(where.stateDirectory, { recursive: true });
  await rejects(new RecordWriter(where).write({ generation: 1, peers }), {
    code: "BTN-BEAT-UNWRITABLE",
  });
  equal(statSync(where.heartbeatDirectory).isDirectory(), true);
});
