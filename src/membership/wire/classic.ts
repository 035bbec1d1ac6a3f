/**
 * The classic text of a message: what the inner digest covers, and, between `>>>` and `<<<`, the
 * frame of old peers and serial lines (heartbeat.md 5.1, 5.4).
 *
 *   { <name> "=" <value> LF | "(1)" <name> "=" <base64> LF | "(3)" <name> "=" <packed> LF }...
 *
 * Structs have a form of their own there that no R1 message uses; they are refused.
 */
import { assert, fail, ok, type Result } from "../../base/index.ts";
import { bytesOf, printable } from "./bytes.ts";
import { fieldsMax, isFieldName } from "./limits.ts";
import type { Field, Message, WireFailure } from "./model.ts";
import { packList, unpackList } from "./netstring.ts";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Stands for a line end inside a value. */
const escapedLineEnd = "\x13";

/** The text of all fields but `auth`, in order: what the inner digest covers. */
export function classicText(fields: readonly Field[]): Uint8Array {
  const lines = fields.filter((field) => field.name !== "auth").map((field) => `${line(field)}\n`);
  return bytesOf(lines.join(""));
}

function line(field: Field): string {
  switch (field.type) {
    case "string":
      return `${field.name}=${escapeLineEnds(field.value)}`;
    case "binary":
      return `(1)${field.name}=${encodeBase64(field.value)}`;
    case "list":
      return `(3)${field.name}=${escapeLineEnds(packList(field.items))}`;
    default:
      assert(false, `Cannot write struct ${field.name} in the classic form`);
  }
}

const escapeLineEnds = (value: string): string => value.replaceAll("\n", escapedLineEnd);
const unescapeLineEnds = (value: string): string => value.replaceAll(escapedLineEnd, "\n");

/** True if `classicText` can write these fields. */
export const fitsClassicText = (fields: readonly Field[]): boolean =>
  fields.every((field) => field.type !== "struct");

/** Decodes the text between the markers. Total. */
export function decodeClassicText(text: string): Result<Message, WireFailure> {
  if (!text.endsWith("\n")) return broken("the last line has no end");
  const lines = text.slice(0, -1).split("\n", fieldsMax + 1);
  if (lines.length > fieldsMax) {
    return fail({ reason: "BTN-WIRE-LIMIT", detail: `more than ${fieldsMax} fields` });
  }
  const fields: Field[] = [];
  for (const entry of lines) {
    const field = decodeLine(entry);
    if (!field.ok) return field;
    if (fields.some((earlier) => earlier.name === field.value.name)) {
      return fail({ reason: "BTN-WIRE-DUPLICATE-FIELD", detail: field.value.name });
    }
    fields.push(field.value);
  }
  return ok({ fields });
}

function decodeLine(entry: string): Result<Field, WireFailure> {
  const tag = /^\((\d)\)/.exec(entry.slice(0, 3))?.[1] ?? "0";
  const start = entry.startsWith("(") ? 3 : 0;
  const equals = entry.indexOf("=");
  const name = entry.slice(start, Math.max(start, equals));
  if (equals < 0 || !isFieldName(name)) return broken(`line "${printable(entry)}"`);
  const value = entry.slice(equals + 1);
  if (tag === "0") return ok({ type: "string", name, value: unescapeLineEnds(value) });
  if (tag === "1") {
    if (name === "_compressed_payload")
      return fail({ reason: "BTN-WIRE-COMPRESSED", detail: name });
    const decoded = decodeBase64(value);
    if (decoded === undefined) return broken(`field ${name} is not base64`);
    return ok({ type: "binary", name, value: decoded });
  }
  if (tag === "3") {
    const items = unpackList(unescapeLineEnds(value));
    return items.ok ? ok({ type: "list", name, items: items.value }) : items;
  }
  return broken(`field ${name} of type ${tag} in the classic form`);
}

/** Standard base64 of a byte string, with padding. */
export function encodeBase64(value: string): string {
  let text = "";
  for (let at = 0; at < value.length; at += 3) {
    const left = Math.min(3, value.length - at);
    let bits = 0;
    for (let byte = 0; byte < 3; byte++) {
      bits = (bits << 8) | (byte < left ? value.charCodeAt(at + byte) : 0);
    }
    for (let digit = 0; digit < 4; digit++) {
      text += digit > left ? "=" : alphabet.charAt((bits >> (18 - 6 * digit)) & 63);
    }
  }
  return text;
}

/** The byte string; undefined if it is not the one standard form of it. */
export function decodeBase64(text: string): string | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  let value = "";
  for (let at = 0; at < text.length; at += 4) {
    let bits = 0;
    for (let digit = 0; digit < 4; digit++) {
      bits = (bits << 6) | Math.max(0, alphabet.indexOf(text.charAt(at + digit)));
    }
    value += String.fromCharCode((bits >> 16) & 255, (bits >> 8) & 255, bits & 255);
  }
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  value = value.slice(0, value.length - padding);
  return encodeBase64(value) === text ? value : undefined;
}

const broken = (detail: string) => fail({ reason: "BTN-WIRE-FRAMING", detail } as const);
