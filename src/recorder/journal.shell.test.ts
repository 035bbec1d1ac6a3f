import { deepEqual, equal, match, ok } from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Clock, instant } from "../base/index.ts";
import { Journal, type JournalCounts, type JournalOptions, readJournal } from "./journal.shell.ts";

function workspace(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "btn-journal-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const clock: Clock = {
  now: () => instant(Number(process.hrtime.bigint()) / 1e6),
  at: () => () => undefined,
};

function open(directory: string, more: Partial<JournalOptions> = {}): Journal {
  return new Journal({ directory, host: "dbm157", bootId: "boot", clock, ...more });
}

const note = { kind: "note", room: "agent" } as const;
const names = (directory: string, counts?: JournalCounts): readonly string[] =>
  [...readJournal(directory, counts === undefined ? {} : { counts })].map((entry) => entry.name);

test("what was recorded is read back in order, also by the next journal", async (context) => {
  const directory = join(workspace(context), "made", "by-the-journal");
  const first = open(directory);
  for (const name of ["a", "b", "c"]) first.record({ ...note, name, data: { name } });
  await first.close();
  first.record({ ...note, name: "too late" });
  const second = open(directory);
  second.record({ ...note, name: "d" }, instant(5));
  await second.close();
  deepEqual(names(directory), ["a", "b", "c", "d"]);
  const last = [...readJournal(directory)].at(-1);
  deepEqual([last?.host, last?.bootId, last?.monotonicMs], ["dbm157", "boot", 5]);
  match(last?.wall ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("segments are bounded in size and number, the oldest go first", async (context) => {
  const directory = workspace(context);
  const journal = open(directory, { segmentBytes: 2_000 });
  for (let index = 0; index < 300; index++) {
    journal.record({ ...note, name: `n${index}` });
    if (index % 10 === 9) await journal.flush();
  }
  await journal.close();
  equal(readdirSync(directory).length, 16);
  const found = names(directory);
  equal(found.at(-1), "n299");
  ok(found.length < 300);
  deepEqual(
    found,
    Array.from({ length: found.length }, (_, index) => `n${300 - found.length + index}`),
  );
});

test("a line that a crash cut short costs itself only", async (context) => {
  const directory = workspace(context);
  const first = open(directory);
  first.record({ ...note, name: "a" });
  await first.close();
  appendFileSync(join(directory, "journal-00000001.jsonl"), '{"v":1,"host":"dbm1');
  const torn: JournalCounts = { segments: 0, corrupted: 0, torn: 0 };
  deepEqual(names(directory, torn), ["a"]);
  deepEqual(torn, { segments: 1, corrupted: 0, torn: 1 });
  const second = open(directory);
  second.record({ ...note, name: "b" });
  await second.close();
  deepEqual(names(directory), ["a", "b"]);
});

test("a journal that can not be written loses lines, says so once, and says when it works again", async (context) => {
  const parent = workspace(context);
  const directory = join(parent, "journal");
  writeFileSync(directory, "a file where the directory should be");
  const told: string[] = [];
  const back = Promise.withResolvers<void>();
  const journal = open(directory, {
    onTrouble: (line) => {
      told.push(line);
      if (line.includes("again")) back.resolve();
    },
  });
  context.after(() => journal.close());
  const long = "x".repeat(60_000);
  for (let index = 0; index < 100; index++) journal.record({ ...note, name: "lost", data: long });
  await journal.flush();
  equal(journal.state.failing?.code, "BTN-JOURNAL-WRITE-FAILED");
  ok(journal.state.dropped > 0);
  equal(told.length, 1);
  rmSync(directory);
  await back.promise;
  await journal.close();
  equal(journal.state.failing, null);
  const found = names(directory);
  equal(found.at(-1), "journalResumed");
  equal(found.length + journal.state.dropped, 101);
});

test("beats reach the journal when they are dumped, each once", async (context) => {
  const directory = workspace(context);
  const journal = open(directory);
  const beat = (sequence: number) =>
    journal.recordBeat({ at: clock.now(), host: "dbm158", link: "eth0", generation: 3, sequence });
  for (let sequence = 0; sequence < 1_000; sequence++) beat(sequence);
  journal.dumpBeats();
  journal.dumpBeats();
  await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  await journal.close();
  const beats = [...readJournal(directory)].flatMap(
    (entry) => (entry.data as { beats: unknown[][] }).beats,
  );
  deepEqual(
    beats.map((row) => row[4]),
    Array.from({ length: 1_000 }, (_, index) => index),
  );
});
