import { deepEqual, equal } from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatRow } from "./sql.ts";
import {
  type AppendNote,
  judge,
  longestPauseMs,
  type Outcome,
  openNotes,
  readNotes,
} from "./workload.ts";

const directory = mkdtempSync(join(tmpdir(), "btn-notes-"));
after(() => rmSync(directory, { recursive: true }));

const notesOf = (...outcomes: Outcome[]): AppendNote[] =>
  outcomes.map((outcome, index) => ({ sequence: index + 1, outcome, atMs: index, tookMs: 1 }));

test("everything acknowledged and there once is no fault", () => {
  deepEqual(judge(notesOf("ok", "fail", "unknown", "unknown", "ok"), [1, 3, 5]), {
    acknowledged: 2,
    lost: [],
    duplicated: [],
    phantom: [],
    unknownPresent: 1,
    unknownAbsent: 1,
  });
});

test("each fault is found under its name", () => {
  const verdict = judge(notesOf("ok", "ok", "fail", "ok"), [2, 2, 3, 4, 99]);
  deepEqual([verdict.lost, verdict.duplicated, verdict.phantom], [[1], [2], [3, 99]]);
});

test("the insert under way when the client was killed may be there", () => {
  deepEqual(judge(notesOf("ok"), [1, 2]).phantom, []);
  deepEqual(judge([], [1]).phantom, []);
  deepEqual(judge(notesOf("ok"), [1, 3]).phantom, [3]);
});

test("a pause counts from the last acknowledgement before it, up to the end of what is looked at", () => {
  const notes = [10, 30, 500, 510].map(
    (atMs, index): AppendNote => ({ sequence: index, outcome: "ok", atMs, tookMs: 1 }),
  );
  equal(longestPauseMs(notes, { fromMs: 35, toMs: 600 }), 470);
  equal(longestPauseMs(notes, { fromMs: 35, toMs: 400 }), 470); // it was not over at 400
  equal(longestPauseMs(notes, { fromMs: 505, toMs: 530 }), 20);
  equal(longestPauseMs(notes, { fromMs: 600, toMs: 900 }), 300); // none came after
  equal(longestPauseMs([], { fromMs: 0, toMs: 50 }), 50);
});

test("notes are read back, a torn last line left out", () => {
  const file = join(directory, "notes");
  const notes = openNotes(file, { run: "r", startedWallMs: 5 });
  const note: AppendNote = { sequence: 1, outcome: "ok", atMs: 2, tookMs: 1, from: "dbm157" };
  notes.add(note);
  notes.close();
  appendFileSync(file, '{"sequence":2,"outc');
  deepEqual(readNotes(file), { header: { run: "r", startedWallMs: 5 }, notes: [note] });
});

test("a row is printed with tabs between, as the mariadb client prints it in batch mode", () => {
  equal(formatRow(["a\tb\n", null, "\\", ""]), "a\\tb\\n\tNULL\t\\\\\t");
});
