import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import {
  binaryCandidates,
  configuredLog,
  isServerName,
  killAfter,
  lastWords,
  parseStat,
  readError,
  recoveryProgress,
  serverArguments,
} from "./mysqld.ts";
import { testResource } from "./runner.test-support.ts";
import type { MysqldSpec } from "./spec.ts";

function spec(changes: Partial<MysqldSpec> = {}): MysqldSpec {
  const base = testResource("mysqld", "db");
  if (base.kind !== "mysqld") throw new Error("Not a mysqld");
  return { ...base, dataDirectory: "/database", ...changes };
}

test("the defaults file comes first, read-only last, and the binary log is never touched", () => {
  const words = serverArguments(
    spec({
      defaultsFile: "/etc/my.cnf",
      bindAddress: "192.0.2.1",
      extraArguments: ["--skip-slave-start", "--read-only=0"],
    }),
    "/database/mysqld.err",
  );
  equal(words[0], "--defaults-file=/etc/my.cnf");
  equal(words.at(-1), "--read-only=1", "the last one counts, so nothing can open it at its start");
  deepEqual(words.slice(1, -1), [
    "--datadir=/database",
    "--socket=/nonexistent/mysql.sock",
    "--pid-file=/nonexistent/mysqld.pid",
    "--port=3306",
    "--user=mysql",
    "--bind-address=192.0.2.1",
    "--log-error=/database/mysqld.err",
    "--skip-slave-start",
    "--read-only=0",
  ]);
  equal(
    words.some((word) => word.includes("log-bin")),
    false,
  );
});

test("a binary that is named is the only one looked for", () => {
  deepEqual(binaryCandidates(spec({ binary: "/opt/x/mysqld" })), ["/opt/x/mysqld"]);
  deepEqual(binaryCandidates(spec())[0], "/usr/sbin/mariadbd");
});

test("the error log is the one that the server was told, by argument before file", () => {
  const file =
    "[client]\nlog_error=/no\n[mysqld]\nlog_error = '/var/log/mysql/error.log' # why\n[mysqldump]\nlog-error=/no\n";
  equal(configuredLog(spec(), file), "/var/log/mysql/error.log");
  equal(configuredLog(spec({ extraArguments: ["--log-error=db"] }), file), "/database/db.err");
  equal(configuredLog(spec(), "[mysqld]\nport=1\n"), undefined);
});

test("progress of crash recovery is read from both flavours and nothing else is", () => {
  const rows = [
    ["2026-11-25 19:34:13 0 [Note] InnoDB: To recover: 6 pages", "To recover: 6 pages"],
    [
      "2026-11-25 19:34:13 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=44404",
      "Starting crash recovery from checkpoint LSN=44404",
    ],
    ["[Note] InnoDB: Read redo log up to LSN=123", "Read redo log up to LSN=123"],
    [
      "[Note] [MY-012532] [InnoDB] Doing recovery: scanned up to log sequence number 99 (1%)",
      "Doing recovery: scanned up to log sequence number 99 (1%)",
    ],
    ["[Note] InnoDB: Buffer pool(s) load completed", undefined],
  ] as const;
  for (const [line, words] of rows) equal(recoveryProgress(line), words);
});

test("of a log that ends badly the errors are quoted, else its last lines", () => {
  equal(lastWords("a\n[ERROR] one\nb\n2026 [ERROR] two\nc\n"), "[ERROR] one | 2026 [ERROR] two");
  equal(lastWords("a\nb\u001b\nc\nd\n"), "b | c | d");
  equal(lastWords(""), "");
});

test("a process is known by name and start time, whatever its name holds", () => {
  const tail = Array.from({ length: 30 }, (_, index) => String(index + 4)).join(" ");
  deepEqual(parseStat(`17 (a) b (c) S ${tail}`), { name: "a) b (c", startTime: "22", state: "S" });
  equal(parseStat("17 (x"), undefined);
  equal(parseStat("17 (x) S 1"), undefined);
});

test("the server is told from its wrapper script", () => {
  const rows = [
    ["mariadbd", undefined, true],
    ["mysqld", undefined, true],
    ["mysqld_safe", undefined, false],
    ["mariadbd-safe", undefined, false],
    ["bash", undefined, false],
    ["my-special-serv", "/opt/my-special-server", true],
  ] as const;
  for (const [name, binary, is] of rows) equal(isServerName(name, binary), is, name);
});

test("errors say whether the server is absent, full, unwilling, silent or ill", () => {
  const rows = [
    ["ENOENT", "absent"],
    ["ECONNREFUSED", "absent"],
    ["ER_CON_COUNT_ERROR", "saturated"],
    ["ER_ACCESS_DENIED_ERROR", "denied"],
    ["PROTOCOL_SEQUENCE_TIMEOUT", "silent"],
    ["ETIMEDOUT", "silent"],
    ["ER_PARSE_ERROR", "error"],
    [undefined, "error"],
  ] as const;
  for (const [code, answer] of rows) equal(readError(code), answer, String(code));
});

test("SIGKILL follows in time for the stop to end, and early if the peer may be taking over or it hangs", () => {
  const server = spec({ killAfterMs: 60_000 });
  equal(killAfter(server, { urgent: false, hung: false, abandon: false }, 75_000), 60_000);
  equal(killAfter(server, { urgent: false, hung: false, abandon: false }, 10_000), 8_000);
  equal(killAfter(server, { urgent: true, hung: false, abandon: false }, 75_000), 250);
  equal(killAfter(server, { urgent: true, hung: true, abandon: false }, 75_000), 250);
  equal(killAfter(server, { urgent: false, hung: true, abandon: false }, 75_000), 2_000);
  equal(killAfter(server, { urgent: true, hung: false, abandon: true }, 75_000), 0);
  equal(
    killAfter(spec({ killAfterMs: 0 }), { urgent: false, hung: false, abandon: false }, 75_000),
    0,
  );
});
