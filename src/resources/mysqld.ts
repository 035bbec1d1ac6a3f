/**
 * What is known of the MySQL and MariaDB server: its command line, the words of its log, its errors.
 * Source: mysql.md 6.6. Pure; `mysqld.shell.ts` starts and asks the server.
 */
import type { MysqldSpec } from "./spec.ts";

/** Names of the server program, and where distributions and tarballs put it. */
const BINARIES = ["mariadbd", "mysqld"];
const DIRECTORIES = [
  "/usr/sbin",
  "/usr/libexec",
  "/usr/bin",
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/local/mysql/bin",
  "/opt/mysql/bin",
];

/** Where to look for the server, in order. */
export function binaryCandidates(spec: MysqldSpec): readonly string[] {
  if (spec.binary !== undefined) return [spec.binary];
  return BINARIES.flatMap((name) => DIRECTORIES.map((directory) => `${directory}/${name}`));
}

/**
 * The server's arguments. It always starts read-only: only the agent opens it, once the whole group is
 * started (reliability 5.2). Nothing here ever touches the binary log (mysql.md C1).
 * @param logFile given as `--log-error` unless the configuration of the server names one itself
 */
export function serverArguments(spec: MysqldSpec, logFile: string | undefined): readonly string[] {
  return [
    // Must be the first.
    ...(spec.defaultsFile === undefined ? [] : [`--defaults-file=${spec.defaultsFile}`]),
    `--datadir=${spec.dataDirectory}`,
    `--socket=${spec.socket}`,
    `--pid-file=${spec.pidFile}`,
    `--port=${spec.port}`,
    `--user=${spec.user}`,
    ...(spec.bindAddress === undefined ? [] : [`--bind-address=${spec.bindAddress}`]),
    ...(logFile === undefined ? [] : [`--log-error=${logFile}`]),
    ...spec.extraArguments,
    "--read-only=1",
  ];
}

/**
 * The error log that the server's own configuration names, as an absolute path; undefined if it names none.
 * @param defaults text of the defaults file; its `!include` lines are not followed
 */
export function configuredLog(spec: MysqldSpec, defaults: string): string | undefined {
  const argument = spec.extraArguments.findLast((one) => /^--log[-_]error=./.test(one));
  const named = argument?.slice(argument.indexOf("=") + 1) ?? logOfDefaults(defaults);
  if (named === undefined || named === "") return undefined;
  const withSuffix = /\.[^/]*$/.test(named) ? named : `${named}.err`;
  return withSuffix.startsWith("/") ? withSuffix : `${spec.dataDirectory}/${withSuffix}`;
}

function logOfDefaults(defaults: string): string | undefined {
  let inServer = false;
  let found: string | undefined;
  for (const line of defaults.split("\n")) {
    const section = /^\s*\[([^\]]+)\]/.exec(line)?.[1];
    if (section !== undefined)
      inServer = /^(mysqld|mariadbd?|server)(-[\d.]+)?$/.test(section.trim());
    const value = /^\s*log[-_]error\s*=\s*["']?([^"'#\n]+?)["']?\s*(#.*)?$/.exec(line)?.[1];
    if (inServer && value !== undefined) found = value;
  }
  return found;
}

/**
 * What a line of the error log says of crash recovery, in short; undefined if it is about something else.
 * MariaDB: "To recover: N pages", "Read redo log up to LSN=N"; MySQL: "scanned up to log sequence number N".
 */
export function recoveryProgress(line: string): string | undefined {
  const words =
    /\b(Starting crash recovery from checkpoint LSN=\d+|To recover: .*|Read redo log up to LSN=\d+|Recovered \d+ pages.*|Doing recovery: scanned up to log sequence number \d+.*|Applying a batch of \d+ redo log records.*|Apply batch completed.*|Rolling back trx.*|To roll back: .*|Rollback of non-prepared transactions completed|Starting final batch to recover .*|Recovering after a crash using .*)/.exec(
      line,
    )?.[1];
  return words?.slice(0, 200);
}

/** The last lines of a log that say what went wrong, on one line. */
export function lastWords(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  const errors = lines.filter((line) =>
    /\[ERROR\]|\[Fatal\]|mysqld got signal|^.*Aborting/i.test(line),
  );
  const chosen = errors.length > 0 ? errors.slice(-3) : lines.slice(-3);
  return chosen
    .join(" | ")
    .replace(/[\p{Cc}\s]+/gu, " ")
    .slice(0, 500);
}

/** Name and start time of a process, from /proc/PID/stat (proc(5)): the name may hold blanks and brackets. */
export function parseStat(
  text: string,
): { readonly name: string; readonly startTime: string; readonly state: string } | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  const words = text.slice(close + 2).split(" ");
  const [state] = words;
  const startTime = words[19]; // field 22, counted from 1 with pid and name
  if (state === undefined || startTime === undefined) return undefined;
  return { name: text.slice(open + 1, close), startTime, state };
}

/** Whether a process of that name (15 letters of it) is a database server, not its wrapper script. */
export function isServerName(name: string, binary: string | undefined): boolean {
  if (/safe/.test(name)) return false;
  const own = binary?.slice(binary.lastIndexOf("/") + 1).slice(0, 15);
  return /^(mariadbd|mysqld)/.test(name) || name === own;
}

/** What an error of a connection or statement says of the server. */
export type ServerAnswer =
  /** It accepts no connection: not there yet, or no longer. */
  | "absent"
  /** It answers, but has no room for another connection (1040, 1203, 1226): alive. */
  | "saturated"
  /** It answers, but refuses our account. */
  | "denied"
  /** It took the connection or the statement and said nothing in time. */
  | "silent"
  | "error";

/** @param code `code` of an error of mysql2 or of a socket */
export function readError(code: string | undefined): ServerAnswer {
  switch (code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return "absent";
    case "ER_CON_COUNT_ERROR":
    case "ER_TOO_MANY_USER_CONNECTIONS":
    case "ER_USER_LIMIT_REACHED":
      return "saturated";
    case "ER_ACCESS_DENIED_ERROR":
    case "ER_ACCESS_DENIED_NO_PASSWORD_ERROR":
    case "ER_DBACCESS_DENIED_ERROR":
    case "ER_SPECIFIC_ACCESS_DENIED_ERROR":
    case "ER_NOT_SUPPORTED_AUTH_MODE":
      return "denied";
    case "PROTOCOL_SEQUENCE_TIMEOUT":
    case "ETIMEDOUT":
      return "silent";
    default:
      return "error";
  }
}

/** An urgent stop gives the server this long to end by itself: InnoDB repairs what SIGKILL leaves. */
const URGENT_KILL_AFTER_MS = 250;
/** One that does not answer its monitor will hardly obey SIGTERM: clients wait for nothing meanwhile. */
const HUNG_KILL_AFTER_MS = 2_000;
/** What is left for a killed server to disappear before the stop's own limit. */
const KILL_MARGIN = 0.8;

/**
 * How long after SIGTERM SIGKILL follows. `hung`: the last monitor had no answer; `abandon`: whatever the server
 * still writes, it writes beneath another one.
 */
export function killAfter(
  spec: MysqldSpec,
  how: { readonly urgent: boolean; readonly hung: boolean; readonly abandon: boolean },
  timeoutMs: number | undefined,
): number {
  const patientMs = Math.min(
    spec.killAfterMs,
    (timeoutMs ?? spec.policy.stopTimeoutMs) * KILL_MARGIN,
  );
  if (how.abandon) return 0;
  if (how.urgent) return Math.min(URGENT_KILL_AFTER_MS, patientMs);
  return how.hung ? Math.min(HUNG_KILL_AFTER_MS, patientMs) : patientMs;
}
