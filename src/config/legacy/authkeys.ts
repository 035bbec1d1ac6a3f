/**
 * authkeys (heartbeat.md 2.3). The text must have been decoded byte for byte (latin1), so that a key
 * keeps its bytes. Keys appear in the result only; never in rows or findings.
 */
import { quote, Report } from "../findings.ts";
import type { DigestMethod, Finding } from "../model.ts";
import { checkClassicText, record } from "./ha-cf.ts";
import { advice, type ImportRow, illegal, kept, type Verdict } from "./rows.ts";

export interface AuthkeysEntry {
  readonly index: number;
  readonly method: Extract<DigestMethod, "crc" | "md5" | "sha1">;
  /** One character per byte; empty for crc. */
  readonly key: string;
  readonly line: number;
}

export interface Authkeys {
  readonly sendIndex: number | undefined;
  readonly keys: readonly AuthkeysEntry[];
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
}

/** Reads the text of an authkeys file; any text gives a result, usable only without an error. */
export function parseAuthkeys(
  text: string,
  file: string,
  options: { readonly insecure?: boolean | undefined } = {},
): Authkeys {
  const report = new Report();
  const rows: ImportRow[] = [];
  const keys = new Map<number, AuthkeysEntry>();
  let auth: { readonly index: number; readonly line: number } | undefined;
  let selected = false;
  if (checkClassicText(text, file, report)) {
    for (const [number, raw] of text.split("\n").entries()) {
      const line = number + 1;
      const words = raw.split(/[\s]+/u).filter((word) => word !== "");
      const [first = "", ...rest] = words;
      if (first === "" || first.startsWith("#")) continue;
      if (first.startsWith("a")) {
        const verdict = readAuth(first, rest);
        record(
          rows,
          report,
          { file, line, directive: "auth", text: rest[0] ?? "" },
          verdict.verdict,
        );
        if (verdict.index === undefined) continue;
        if (auth !== undefined)
          report.advice(file, line, "BTN-CONFIG-DUPLICATE", {
            message: `auth is there twice, first in line ${auth.line}`,
            consequence: "the later line is in force for the keys below it",
            fix: "keep one auth line",
          });
        auth = { index: verdict.index, line };
        continue;
      }
      const { verdict, entry } = readKey(first, rest, line, options.insecure === true);
      const directive = /^[0-9]{1,2}$/u.test(first) ? `key ${first}` : "key";
      record(
        rows,
        report,
        {
          file,
          line,
          directive,
          text: `${rest[0] === undefined ? "" : shownMethod(rest[0])}${rest.length > 1 ? " ***" : ""}`,
        },
        verdict,
      );
      if (entry === undefined) continue;
      const earlier = keys.get(entry.index);
      if (earlier !== undefined)
        report.advice(file, line, "BTN-CONFIG-DUPLICATE", {
          message: `Key ${entry.index} is there twice, first in line ${earlier.line}`,
          consequence: "the later line is in force",
          fix: "remove one of the two",
        });
      keys.set(entry.index, entry);
      // The sending key is selected while its own line is read: `auth` must stand above it.
      if (auth?.index === entry.index) selected = true;
    }
    checkSelection(report, file, auth, selected, keys);
  }
  return {
    sendIndex: selected ? auth?.index : undefined,
    keys: [...keys.values()],
    rows,
    findings: report.list(),
  };
}

function readAuth(
  first: string,
  rest: readonly string[],
): { readonly verdict: Verdict; readonly index?: number } {
  const index = indexOf(rest[0] ?? "");
  if (index === undefined)
    return { verdict: illegal(`auth names no key from 0 to 15`, "write `auth 1`") };
  const verdict =
    first === "auth"
      ? kept("the key that signs what is sent")
      : advice(`${quote(first)} is read as auth, as in the original`, "write auth");
  return { verdict, index };
}

function readKey(
  first: string,
  rest: readonly string[],
  line: number,
  insecure: boolean,
): { readonly verdict: Verdict; readonly entry?: AuthkeysEntry } {
  const index = indexOf(first);
  const [method, key] = rest;
  const example = "write `1 sha1 KEY`";
  if (index === undefined)
    return { verdict: illegal("a key line begins with a number from 0 to 15", example) };
  if (method === undefined) return { verdict: illegal("the method is missing", example) };
  if (method !== "crc" && method !== "md5" && method !== "sha1")
    return { verdict: illegal(`unknown method ${shownMethod(method)}`, "use sha1, md5 or crc") };
  if (method === "crc") {
    if (key !== undefined)
      return {
        verdict: illegal("crc must not have a key", "write `1 crc`, or better `1 sha1 KEY`"),
      };
    const entry: AuthkeysEntry = { index, method, key: "", line };
    if (insecure)
      return {
        verdict: advice(
          "crc is no authentication: anybody on the network can forge heartbeats",
          example,
        ),
        entry,
      };
    return {
      verdict: {
        outcome: "refused",
        code: "BTN-CONFIG-WEAK",
        reason: "crc is no authentication",
        consequence:
          "anybody on the network could forge heartbeats and stop the service, so the start is refused",
        fix: `${example} on both hosts, or start with --insecure`,
        error: true,
      },
      entry,
    };
  }
  if (key === undefined)
    return { verdict: illegal(`${method} must have a key`, `write \`${index} ${method} KEY\``) };
  return {
    verdict: kept("accepted when receiving; the key itself stays in this file"),
    entry: { index, method, key, line },
  };
}

function checkSelection(
  report: Report,
  file: string,
  auth: { readonly index: number; readonly line: number } | undefined,
  selected: boolean,
  keys: ReadonlyMap<number, AuthkeysEntry>,
): void {
  const consequence = "no key would sign, so the start is refused, as the original refuses it";
  if (auth === undefined) {
    if (!report.refused)
      report.error(file, undefined, "BTN-IMPORT-ILLEGAL", {
        message: "There is no auth line",
        consequence,
        fix: "write `auth 1` as the first line",
      });
  } else if (!selected && keys.has(auth.index)) {
    report.error(file, auth.line, "BTN-IMPORT-ILLEGAL", {
      message: `auth ${auth.index} stands below the key that it names`,
      consequence,
      fix: "move the auth line to the top",
    });
  } else if (!selected && !report.refused) {
    report.error(file, auth.line, "BTN-IMPORT-ILLEGAL", {
      message: `auth names key ${auth.index}, which is not in the file`,
      consequence,
      fix: `add a line \`${auth.index} sha1 KEY\``,
    });
  }
}

function indexOf(word: string): number | undefined {
  const value = /^[0-9]{1,2}$/u.test(word) ? Number(word) : Number.NaN;
  return value >= 0 && value <= 15 ? value : undefined;
}

/** A misplaced key may stand where the method belongs: only short plain words are shown. */
function shownMethod(word: string): string {
  return /^(?:crc|crc32|md5|sha|sha1|sha-1|sha256|sha512|hmac)$/iu.test(word)
    ? word
    : "(not shown)";
}
