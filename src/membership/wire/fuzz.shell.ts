/**
 * Fuzzing of the wire codecs: damaged and generated datagrams, by seed. Run by the test for 3 s, and
 * for as long as BATON_FUZZ_SECONDS says for a proof. No part of the product imports it.
 *
 * What must hold of any bytes (reliability 9.4): a value or a typed failure, never an exception; what
 * is accepted encodes again to the same bytes; what was generated decodes to itself.
 */
import { deepStrictEqual } from "node:assert";
import { assert, Prng } from "../../base/index.ts";
import { captureNames, readCapture } from "../captures.shell.ts";
import { nodeHmac } from "../hmac.shell.ts";
import { bytesOf, textOf } from "./bytes.ts";
import { classicText, decodeClassicText } from "./classic.ts";
import { digestOf } from "./digest.ts";
import { openDatagram, sealClassic, sealNetstring } from "./frame.ts";
import type { Field, Keyring, Message, WireKey } from "./model.ts";
import { decodeNetstring, encodeNetstring } from "./netstring.ts";
import { wireReasons } from "./reasons.ts";

const keys: readonly WireKey[] = [
  { index: 1, method: "sha1", secret: "HA_JACKBILLOW" },
  { index: 2, method: "md5", secret: "HA_JACKBILLOW" },
  { index: 3, method: "crc", secret: "" },
  { index: 4, method: "sha256", secret: "k".repeat(32) },
];
const keyring: Keyring = { mode: "classic", clusterId: "c1", keys, sendIndex: 1 };

export interface FuzzFigures {
  readonly executions: number;
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
}

/** Runs until `seconds` have passed. @throws with the seed of the failing execution */
export function fuzzWire(seconds: number, firstSeed: number): FuzzFigures {
  const corpus = captureNames().flatMap((name) => readCapture(name).packets.slice(0, 40));
  const bodies = corpus.map((packet) => packet.payload);
  const refused: Record<string, number> = {};
  let [executions, accepted] = [0, 0];
  const end = process.hrtime.bigint() + BigInt(Math.round(seconds * 1e9));
  for (let seed = firstSeed; process.hrtime.bigint() < end; seed++) {
    try {
      const outcome = execute(new Prng(seed), bodies);
      if (outcome === undefined) accepted += 1;
      else refused[outcome] = (refused[outcome] ?? 0) + 1;
    } catch (cause) {
      throw new Error(`The codec failed at seed ${seed}`, { cause });
    }
    executions += 1;
  }
  return { executions, accepted, refused };
}

/** One execution: the reason of a refusal, or undefined. */
function execute(random: Prng, corpus: readonly Uint8Array[]): string | undefined {
  switch (random.between(0, 4)) {
    case 0:
      return open(damage(random, random.pick(corpus)));
    case 1: // damage behind the digest: signed again, so that the parser sees it
      return open(signAgain(random, damage(random, bodyOf(random.pick(corpus)))));
    case 2:
      return decodeBody(damage(random, bodyOf(random.pick(corpus))));
    case 3:
      return decodeClassic(damage(random, classicText(message(random, false).fields)));
    default:
      roundTrip(random);
      return undefined;
  }
}

function open(bytes: Uint8Array): string | undefined {
  const opened = openDatagram(bytes, keyring, nodeHmac);
  if (opened.ok) return undefined;
  assert(Object.hasOwn(wireReasons, opened.error.reason), `Unknown ${opened.error.reason}`);
  assert(/^[ -~]*$/.test(opened.error.detail), "A detail has control characters");
  assert(opened.error.detail.length < 300, "A detail is too long");
  return opened.error.reason;
}

function decodeBody(bytes: Uint8Array): string | undefined {
  const decoded = decodeNetstring(bytes);
  if (!decoded.ok) return decoded.error.reason;
  deepStrictEqual(Buffer.from(encodeNetstring(decoded.value)), Buffer.from(bytes));
  return undefined;
}

function decodeClassic(bytes: Uint8Array): string | undefined {
  const decoded = decodeClassicText(textOf(bytes));
  if (!decoded.ok) return decoded.error.reason;
  const again = decodeClassicText(textOf(classicText(decoded.value.fields)));
  const withoutAuth = decoded.value.fields.filter((field) => field.name !== "auth");
  if (withoutAuth.length > 0) deepStrictEqual(again, { ok: true, value: { fields: withoutAuth } });
  return undefined;
}

function roundTrip(random: Prng): void {
  const key = random.pick(keys);
  const original = message(random, true);
  const signing = { key, inner: random.chance(0.5), clusterId: "c1" };
  const bytes = sealNetstring(original, signing, nodeHmac);
  const opened = openDatagram(bytes, keyring, nodeHmac);
  assert(opened.ok, `A sealed message was refused: ${opened.ok ? "" : opened.error.detail}`);
  const fields = opened.value.fields.slice(0, original.fields.length);
  deepStrictEqual(fields, original.fields);
  if (key.method === "sha256" || original.fields.some(({ type }) => type === "struct")) return;
  const classic = openDatagram(sealClassic(original, signing, nodeHmac), keyring, nodeHmac);
  assert(classic.ok && classic.value.framing === "classic", "A classic frame was refused");
}

function bodyOf(datagram: Uint8Array): Uint8Array {
  const end = textOf(datagram).lastIndexOf("%%%\n");
  return datagram.subarray(0, end + 4);
}

/** Signs a damaged body, so that what is behind the digest is reached. */
function signAgain(random: Prng, body: Uint8Array): Uint8Array {
  const key = random.pick(keys);
  const digest = `${key.index} ${digestOf(key, body, nodeHmac)}`;
  return bytesOf(`${textOf(body)}${digest.length}:${digest},`);
}

/** One to four injuries: the kinds that broke parsers before (reliability 9.3). */
function damage(random: Prng, original: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(original);
  for (let count = random.between(1, 4); count > 0 && bytes.length > 0; count--) {
    bytes = injure(random, bytes);
  }
  return bytes;
}

const numbers = [
  "",
  "0",
  "00",
  "1",
  "-1",
  "65535",
  "65536",
  "4294967296",
  "99999999999999999999",
  "1e3",
  "0x10",
];
const tokens = [
  "###\n",
  "%%%\n",
  ">>>\n",
  "<<<\n",
  "(0)",
  "(2)",
  "(3)",
  "(4)",
  "(9)",
  "=",
  ":",
  ",",
  "auth=",
  "1 ",
  "\n",
];

function injure(random: Prng, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = random.between(0, bytes.length - 1);
  const text = textOf(bytes);
  const insert = (piece: string, skip = 0) =>
    bytesOf(text.slice(0, at) + piece + text.slice(at + skip));
  switch (random.between(0, 7)) {
    case 0:
      return Uint8Array.from(bytes.with(at, (bytes[at] ?? 0) ^ (1 << random.between(0, 7))));
    case 1:
      return Uint8Array.from(bytes.subarray(0, at));
    case 2:
      return Uint8Array.from(bytes.subarray(at));
    case 3:
      return Uint8Array.from(insert(random.pick(tokens)));
    case 4: {
      const length = /\d+(?=:)/.exec(text.slice(at));
      if (length === null) return Uint8Array.from(insert(random.pick(numbers)));
      const start = at + length.index;
      const end = start + length[0].length;
      return Uint8Array.from(
        bytesOf(text.slice(0, start) + random.pick(numbers) + text.slice(end)),
      );
    }
    case 5: {
      const end = Math.min(bytes.length, at + random.between(1, 40));
      return Uint8Array.from(insert(text.slice(at, end)));
    }
    case 6:
      return Uint8Array.from(insert("", random.between(1, 20)));
    default:
      return Uint8Array.from(insert("a".repeat(random.pick([1, 64, 65, 5_000]))));
  }
}

/** A valid message of any field types. */
function message(random: Prng, structs: boolean): Message {
  const fields = Array.from({ length: random.between(1, 12) }, (_, index) =>
    field(random, `f${index}`, structs ? 2 : 0),
  );
  return { fields };
}

function field(random: Prng, name: string, depth: number): Field {
  switch (random.between(0, depth > 0 ? 3 : 2)) {
    case 0:
      return { type: "string", name, value: text(random) };
    case 1:
      return { type: "binary", name, value: text(random) };
    case 2:
      return {
        type: "list",
        name,
        items: Array.from({ length: random.between(0, 5) }, () => text(random)),
      };
    default: {
      const inner = Array.from({ length: random.between(0, 4) }, (_, index) =>
        field(random, `g${index}`, depth - 1),
      );
      return { type: "struct", name, fields: inner };
    }
  }
}

const text = (random: Prng): string =>
  String.fromCharCode(
    ...Array.from({ length: random.between(0, 24) }, () => random.between(0, 255)),
  );
