/**
 * One line of the journal: JSON that ends in its own checksum (DESIGN 7.10).
 *
 *   {"v":1,"host":"dbm157",...,"data":{...},"crc":"0a1b2c3d"}
 *
 * `crc` is CRC-32C of the bytes before `,"crc":`, so each line is plain JSON for other tools and
 * still tells a torn or altered line from a whole one. Pure; the parser is total.
 */
import { crc32c, fail, ok, type Result } from "../base/index.ts";
import type { JournalEntry } from "./entry.ts";

/** Longest line without its newline, in bytes: also the limit of one message between processes. */
export const lineBytesMax = 64 * 1024;
/** What is kept of `data` that would make a line too long, in characters. */
const excerptLength = 1_024;
/** Longest string field, in characters: codes, names of hosts, groups and peers. */
const fieldLengthMax = 256;

const trailerStart = ',"crc":"';
/** `,"crc":"xxxxxxxx"}` */
const trailerLength = trailerStart.length + 10;

const kinds: readonly string[] = [
  "input",
  "decision",
  "effect",
  "result",
  "note",
] satisfies JournalEntry["kind"][];
const rooms: readonly string[] = [
  "membership",
  "failover",
  "resources",
  "agent",
  "beat",
  "disk",
  "config",
  "cli",
] satisfies JournalEntry["room"][];

/** Why a line is not an entry. `checksum`: altered or torn; `version`: written by a newer Baton. */
export type BadLine = "too-long" | "checksum" | "malformed" | "version";

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The line of one entry, without newline. Never throws: data that JSON can not hold, or that is too
 * long, is replaced by `{"omitted": reason, "excerpt": its beginning}`.
 */
export function encodeEntry(entry: JournalEntry): string {
  const head = {
    v: entry.v,
    host: bounded(entry.host),
    bootId: bounded(entry.bootId),
    monotonicMs: roundMs(entry.monotonicMs),
    wall: bounded(entry.wall),
    kind: entry.kind,
    room: entry.room,
    name: bounded(entry.name),
    reason: boundedOrNull(entry.reason),
    group: boundedOrNull(entry.group),
    peer: boundedOrNull(entry.peer),
  };
  const prefix = JSON.stringify(head).slice(0, -1);
  const body = `${prefix},"data":${encodeData(entry.data, lineBytesMax - byteLength(prefix) - 64)}`;
  const checksum = crc32c(textEncoder.encode(body)).toString(16).padStart(8, "0");
  return `${body}${trailerStart}${checksum}"}`;
}

/** Reads one line, without its newline. */
export function decodeLine(line: Uint8Array): Result<JournalEntry, BadLine> {
  if (line.length > lineBytesMax) return fail("too-long");
  const bodyLength = line.length - trailerLength;
  if (bodyLength < 2) return fail("checksum");
  const trailer = decodeText(line.subarray(bodyLength));
  const expected = /^,"crc":"([0-9a-f]{8})"\}$/.exec(trailer ?? "")?.[1];
  if (
    expected === undefined ||
    Number.parseInt(expected, 16) !== crc32c(line.subarray(0, bodyLength))
  )
    return fail("checksum");
  const text = decodeText(line);
  return text === undefined ? fail("malformed") : parseEntry(text);
}

/** What a run of bytes of the journal holds. */
export interface DecodedSegment {
  readonly entries: readonly JournalEntry[];
  /** Whole lines that are not entries. */
  readonly corrupted: number;
  /** The bytes do not end in a newline: a write was cut short, which is no corruption. */
  readonly torn: boolean;
}

/** Reads all lines of a segment; bad ones are counted and passed over. */
export function decodeSegment(bytes: Uint8Array): DecodedSegment {
  const entries: JournalEntry[] = [];
  let corrupted = 0;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    const line = bytes.subarray(start, end === -1 ? bytes.length : end);
    const decoded = line.length === 0 ? undefined : decodeLine(line);
    if (decoded?.ok === true) entries.push(decoded.value);
    else if (decoded !== undefined && end !== -1) corrupted++;
    if (end === -1) return { entries, corrupted, torn: line.length > 0 };
    start = end + 1;
  }
}

function parseEntry(text: string): Result<JournalEntry, BadLine> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The checksum fits but it is no JSON: written by something else. Counted by the caller.
    return fail("malformed");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail("malformed");
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields["v"] !== 1) return fail(typeof fields["v"] === "number" ? "version" : "malformed");
  const { host, bootId, monotonicMs, wall, kind, room, name, reason, group, peer, data } = fields;
  const whole =
    isText(host) &&
    isText(bootId) &&
    typeof monotonicMs === "number" &&
    isText(wall) &&
    isText(kind) &&
    kinds.includes(kind) &&
    isText(room) &&
    rooms.includes(room) &&
    isText(name) &&
    isTextOrNull(reason) &&
    isTextOrNull(group) &&
    isTextOrNull(peer);
  if (!whole) return fail("malformed");
  const entry = {
    v: 1,
    host,
    bootId,
    monotonicMs,
    wall,
    kind,
    room,
    name,
    reason,
    group,
    peer,
    data,
  };
  return ok(entry as JournalEntry);
}

function encodeData(data: unknown, bytesMax: number): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (error) {
    // Circular, or holds a bigint: the line is still worth having.
    const problem = error instanceof Error ? error.message : String(error);
    return JSON.stringify({ omitted: "no JSON", excerpt: problem.slice(0, excerptLength) });
  }
  if (text === undefined) return "null";
  if (byteLength(text) <= bytesMax) return text;
  return JSON.stringify({
    omitted: `${byteLength(text)} bytes`,
    excerpt: text.slice(0, excerptLength),
  });
}

/** Microseconds are enough, and keep lines short. */
function roundMs(ms: number): number {
  return Number.isFinite(ms) ? Math.round(ms * 1_000) / 1_000 : 0;
}

function bounded(text: string): string {
  return text.length <= fieldLengthMax ? text : `${text.slice(0, fieldLengthMax - 1)}…`;
}

function boundedOrNull(text: string | null): string | null {
  return text === null ? null : bounded(text);
}

function byteLength(text: string): number {
  return textEncoder.encode(text).length;
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return textDecoder.decode(bytes);
  } catch {
    // Not UTF-8: the caller counts the line as bad.
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === "string";
}
