/**
 * What a sender adds to a message, and what a receiver reads first of it (heartbeat.md 5.3).
 * Order on the wire: own fields, [destuuid], src, srcuuid, seq, hg, ts, ld, ttl; `auth` and
 * `cluster` follow when it is signed. A field that is there already is changed in its place.
 */
import { fail, ok, type Result } from "../base/index.ts";
import type { HeartbeatFields } from "./contract.ts";
import {
  byteStringOfHex,
  bytesOf,
  type Field,
  hexOf,
  isByteString,
  isFieldName,
  type Message,
  printable,
  stringField,
} from "./wire/index.ts";

/** What the control fields of one message say. */
export interface Control {
  readonly host: string;
  readonly uuid: string;
  readonly destinationUuid: string | undefined;
  /** Undefined for NS_ types in classic frames. */
  readonly sequence: number | undefined;
  readonly generation: number;
  readonly wallMs: number;
  /** Undefined for NS_ types. */
  readonly loadAverage: string | undefined;
  readonly ttl: number;
}

const hex = (value: number): string => value.toString(16);
/** Seconds since 1970, hex; never 0, which heartbeat refuses. */
export const wireTime = (wallMs: number): string => hex(Math.max(1, Math.floor(wallMs / 1_000)));
const text = (name: string, value: string): Field => ({ type: "string", name, value });
const binary = (name: string, uuid: string): Field => ({
  type: "binary",
  name,
  value: byteStringOfHex(uuid) ?? "",
});

/** Types that carry no sequence number of their own and are no news for the agent. */
export const isControlType = (type: string): boolean => type.startsWith("NS_");

/** The complete message, ready to be signed. */
export function withControlFields(own: HeartbeatFields, control: Control): readonly Field[] {
  const fields = Object.entries(own).map(([name, value]) => text(name, value));
  const { destinationUuid, sequence, loadAverage } = control;
  if (destinationUuid !== undefined) put(fields, binary("destuuid", destinationUuid));
  put(fields, text("src", control.host));
  put(fields, binary("srcuuid", control.uuid));
  if (sequence !== undefined) put(fields, text("seq", hex(sequence)));
  put(fields, text("hg", hex(control.generation)));
  put(fields, text("ts", wireTime(control.wallMs)));
  if (loadAverage !== undefined) put(fields, text("ld", loadAverage));
  put(fields, text("ttl", String(control.ttl)));
  return fields;
}

function put(fields: Field[], field: Field): void {
  const at = fields.findIndex((present) => present.name === field.name);
  if (at < 0) fields.push(field);
  else fields[at] = field;
}

const addedBySender = [
  "destuuid",
  "srcuuid",
  "seq",
  "hg",
  "ts",
  "ld",
  "ttl",
  "auth",
  "cluster",
] as const;
/** What the message limit leaves beside the control fields. */
const ownFieldsMax = 48;

/** Why the agent's message can not be sent; undefined if it can. */
export function unsendable(fields: HeartbeatFields): string | undefined {
  const type = fields["t"];
  if (type === undefined || type === "") return "it has no type";
  if (isControlType(type) || type === "status") return `type ${printable(type)} is the transport's`;
  if (Object.keys(fields).length > ownFieldsMax) return `more than ${ownFieldsMax} fields`;
  for (const [name, value] of Object.entries(fields)) {
    if (!isFieldName(name)) return `field name "${printable(name)}"`;
    if (!isByteString(value)) return `field ${name} holds a character that is no byte`;
  }
  const added = addedBySender.find((name) => fields[name] !== undefined);
  return added === undefined ? undefined : `field ${added} is added by the transport`;
}

/** What every message must say before anything else of it counts. */
export interface Header {
  readonly type: string;
  readonly source: string;
  readonly generation: number;
  /** Undefined for NS_ types of classic frames. */
  readonly sequence: number | undefined;
  /** 32 hex digits; undefined if absent. */
  readonly sourceUuid: string | undefined;
  readonly destination: string | undefined;
  readonly destinationUuid: string | undefined;
}

/** Reads the header of an authenticated message; the failure is a sentence for the journal. */
export function readHeader(message: Message): Result<Header, string> {
  const type = stringField(message, "t");
  const source = stringField(message, "src");
  if (type === undefined || type === "") return fail("no type");
  if (source === undefined || source === "") return fail("no source");
  const generation = parseHex(stringField(message, "hg"));
  if (generation === undefined) return fail("no generation");
  if (parseHex(stringField(message, "ts")) === undefined) return fail("no time");
  const sequenceText = stringField(message, "seq");
  const sequence = parseHex(sequenceText);
  const mayLackSequence = isControlType(type) && sequenceText === undefined;
  if (!mayLackSequence && sequence === undefined) return fail("no sequence number");
  return ok({
    type,
    source,
    generation,
    sequence,
    sourceUuid: uuidField(message, "srcuuid"),
    destination: stringField(message, "dest"),
    destinationUuid: uuidField(message, "destuuid"),
  });
}

function uuidField(message: Message, name: string): string | undefined {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field?.type !== "binary" || field.value.length !== 16) return undefined;
  return hexOf(bytesOf(field.value));
}

/** Hex without prefix, 1 .. 2^48-1; undefined otherwise: so sums with it stay exact. */
export function parseHex(value: string | undefined): number | undefined {
  if (value === undefined || !/^[0-9a-f]{1,12}$/.test(value)) return undefined;
  const parsed = Number.parseInt(value, 16);
  return parsed > 0 ? parsed : undefined;
}

/** Decimal, 1 .. 10^14; undefined otherwise. */
export function parseDecimal(value: string | undefined): number | undefined {
  if (value === undefined || !/^[0-9]{1,14}$/.test(value)) return undefined;
  const parsed = Number(value);
  return parsed > 0 ? parsed : undefined;
}

/** The string fields in order, without what belongs to the frame. */
export function agentFields(message: Message): HeartbeatFields {
  return Object.fromEntries(
    message.fields.flatMap((field) =>
      field.type === "string" && field.name !== "auth" && field.name !== "cluster"
        ? [[field.name, field.value]]
        : [],
    ),
  );
}
