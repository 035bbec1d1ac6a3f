/**
 * The netstring frame: what 3.0.6 really sends, whatever `msgfmt` says (heartbeat.md 5.2).
 *
 *   "###" LF { <decimal length> ":" "(" <type> ")" <name> "=" <value> "," }... "%%%" LF
 *
 * Decoding takes one form only: no leading zeros, nothing between or after. So each message has
 * exactly one encoding, and `encodeNetstring(decodeNetstring(bytes)) = bytes` for all that is accepted.
 */
import { assert, fail, ok, type Result } from "../../base/index.ts";
import { bytesOf, isByteString, printable, textOf } from "./bytes.ts";
import { fieldsMax, isFieldName, listItemsMax, nameBytesMax, structDepthMax } from "./limits.ts";
import type { Field, Message, WireFailure } from "./model.ts";

const opening = "###\n";
const closing = "%%%\n";
const digitsMax = 5; // 65,536 has five
const typeTags = { string: 0, binary: 1, struct: 2, list: 3 } as const;

/** The frame with its fields, without digest. @throws {AssertionFailure} on a field that is no byte string */
export function encodeNetstring(message: Message): Uint8Array {
  return bytesOf(frameText(message.fields));
}

function frameText(fields: readonly Field[]): string {
  return `${opening}${fields.map((field) => netstring(itemText(field))).join("")}${closing}`;
}

function itemText(field: Field): string {
  assert(isFieldName(field.name), `Cannot send a field named "${printable(field.name)}"`);
  return `(${typeTags[field.type]})${field.name}=${valueText(field)}`;
}

function valueText(field: Field): string {
  switch (field.type) {
    case "struct":
      return frameText(field.fields);
    case "list":
      return packList(field.items);
    default:
      assert(isByteString(field.value), `Cannot send field ${field.name}: not a byte string`);
      return field.value;
  }
}

const netstring = (text: string): string => `${text.length}:${text},`;

/** Packed strings of a list field: `<length>:<string>,` each. */
export const packList = (items: readonly string[]): string => items.map(netstring).join("");

/** Decodes a frame without digest. Total: a value or a reason, whatever the bytes. */
export function decodeNetstring(bytes: Uint8Array): Result<Message, WireFailure> {
  return decodeFrame(textOf(bytes), 1);
}

function decodeFrame(text: string, depth: number): Result<Message, WireFailure> {
  if (depth > structDepthMax) return limit(`structs nested deeper than ${structDepthMax}`);
  if (!text.startsWith(opening)) return broken("it does not begin with ###");
  const end = text.length - closing.length;
  if (end < opening.length || !text.endsWith(closing)) return broken("it does not end in %%%");
  const fields: Field[] = [];
  const names = new Set<string>();
  let at = opening.length;
  while (at < end) {
    if (fields.length === fieldsMax) return limit(`more than ${fieldsMax} fields`);
    const item = takeNetstring(text, at, end);
    if (!item.ok) return item;
    const field = decodeItem(item.value.text, depth);
    if (!field.ok) return field;
    if (names.has(field.value.name)) return duplicate(field.value.name);
    names.add(field.value.name);
    fields.push(field.value);
    at = item.value.next;
  }
  return ok({ fields });
}

/** The netstring that starts at `at` and must end, with its comma, by `end`. */
function takeNetstring(
  text: string,
  at: number,
  end: number,
): Result<{ readonly text: string; readonly next: number }, WireFailure> {
  const colon = text.indexOf(":", at);
  if (colon < 0 || colon - at > digitsMax) return broken("a length without a colon");
  const digits = text.slice(at, colon);
  if (!/^(0|[1-9][0-9]*)$/.test(digits)) return broken(`length "${printable(digits)}"`);
  const length = Number(digits);
  const start = colon + 1;
  if (length > end - start - 1) return broken(`length ${length} with ${end - start} bytes left`);
  if (text[start + length] !== ",") return broken("an item that does not end in a comma");
  return ok({ text: text.slice(start, start + length), next: start + length + 1 });
}

function decodeItem(item: string, depth: number): Result<Field, WireFailure> {
  const head = /^\((\d)\)/.exec(item.slice(0, 3));
  if (head === null) return broken("an item without a type");
  const equals = item.indexOf("=");
  if (equals < 0) return broken("an item without =");
  if (equals - 3 > nameBytesMax) return limit(`a field name of ${equals - 3} bytes`);
  const name = item.slice(3, equals);
  if (!isFieldName(name)) return broken(`field name "${printable(name)}"`);
  return decodeValue(Number(head[1]), name, item.slice(equals + 1), depth);
}

function decodeValue(
  tag: number,
  name: string,
  value: string,
  depth: number,
): Result<Field, WireFailure> {
  switch (tag) {
    case typeTags.string:
      return ok({ type: "string", name, value });
    case typeTags.binary:
      return name === "_compressed_payload"
        ? compressed(name)
        : ok({ type: "binary", name, value });
    case typeTags.struct: {
      const nested = decodeFrame(value, depth + 1);
      return nested.ok ? ok({ type: "struct", name, fields: nested.value.fields }) : nested;
    }
    case typeTags.list: {
      const items = unpackList(value);
      return items.ok ? ok({ type: "list", name, items: items.value }) : items;
    }
    case 4:
      return compressed(name);
    default:
      return broken(`field ${name} of type ${tag}`);
  }
}

/** The strings of a list field. */
export function unpackList(value: string): Result<readonly string[], WireFailure> {
  const items: string[] = [];
  let at = 0;
  while (at < value.length) {
    if (items.length === listItemsMax) return limit(`a list of more than ${listItemsMax}`);
    const item = takeNetstring(value, at, value.length);
    if (!item.ok) return item;
    items.push(item.value.text);
    at = item.value.next;
  }
  return ok(items);
}

const broken = (detail: string) => fail({ reason: "BTN-WIRE-FRAMING", detail } as const);
const limit = (detail: string) => fail({ reason: "BTN-WIRE-LIMIT", detail } as const);
const compressed = (name: string) =>
  fail({ reason: "BTN-WIRE-COMPRESSED", detail: `field ${printable(name)}` } as const);
const duplicate = (name: string) =>
  fail({ reason: "BTN-WIRE-DUPLICATE-FIELD", detail: `field ${printable(name)}` } as const);
