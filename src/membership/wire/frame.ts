/**
 * Datagrams: message, frame and digest together. Nothing of a datagram is parsed before its digest
 * is right, so the digest is found from the end: the trailing one of the netstring frame
 * (heartbeat.md 5.2), or the `auth` line of the classic frame (5.4).
 *
 *   netstring   "###" LF items "%%%" LF  <length> ":" <index> " " <hex> ","
 *   classic     ">>>" LF lines "auth=" <index> " " <hex> LF "<<<" LF
 *   sha256      the netstring frame with (0)cluster=<id> as its last field: between Baton hosts
 */
import { assert, fail, ok, type Result } from "../../base/index.ts";
import { bytesOf, printable, sameText, textOf } from "./bytes.ts";
import { classicText, decodeClassicText, fitsClassicText } from "./classic.ts";
import { digestOf, type FoundDigest, parseDigest, verify } from "./digest.ts";
import { datagramBytesMax, datagramBytesMin } from "./limits.ts";
import type {
  Field,
  Hmac,
  Keyring,
  Message,
  OpenedMessage,
  WireFailure,
  WireKey,
} from "./model.ts";
import { decodeNetstring, encodeNetstring } from "./netstring.ts";

/** Longest trailer: `68:15 `, 64 digits and a comma; longest `auth` line is below that. */
const trailerBytesMax = 80;

interface Sealed {
  readonly framing: "netstring" | "classic";
  readonly signed: Uint8Array;
  readonly digest: FoundDigest;
}

/** Authenticates, then decodes. Total: whatever the bytes, a message or a reason. */
export function openDatagram(
  bytes: Uint8Array,
  keyring: Keyring,
  hmac: Hmac,
): Result<OpenedMessage, WireFailure> {
  if (bytes.length < datagramBytesMin || bytes.length > datagramBytesMax) {
    return fail({ reason: "BTN-WIRE-SIZE", detail: `${bytes.length} bytes` });
  }
  const sealed = findTrailingDigest(bytes) ?? findAuthLine(bytes);
  if (sealed === undefined) {
    return fail({ reason: "BTN-WIRE-DIGEST-MISSING", detail: `${bytes.length} bytes` });
  }
  const key = verify(sealed.digest, sealed.signed, keyring, hmac);
  if (!key.ok) return key;
  const isSha256 = key.value.method === "sha256";
  if (isSha256 && sealed.framing === "classic") {
    return fail({ reason: "BTN-WIRE-FRAMING", detail: "sha256 in the classic frame" });
  }
  const message =
    sealed.framing === "netstring"
      ? decodeNetstring(sealed.signed)
      : decodeClassicText(textOf(sealed.signed));
  if (!message.ok) return message;
  if (isSha256) {
    const cluster = stringField(message.value, "cluster") ?? "";
    if (!sameText(cluster, keyring.clusterId)) {
      return fail({ reason: "BTN-WIRE-FOREIGN-CLUSTER", detail: `cluster ${printable(cluster)}` });
    }
  }
  return ok({ fields: message.value.fields, framing: sealed.framing, keyIndex: key.value.index });
}

/** `%%%` LF `<length>:<index> <hex>,` at the very end; the signed part is all before `<length>`. */
function findTrailingDigest(bytes: Uint8Array): Sealed | undefined {
  const tail = textOf(bytes.subarray(-trailerBytesMax));
  const match = /%%%\n([1-9][0-9]?):([0-9]{1,2} [0-9a-f]{1,64}),$/.exec(tail);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  if (Number(match[1]) !== match[2].length) return undefined;
  const digest = parseDigest(match[2]);
  if (digest === undefined) return undefined;
  const trailerBytes = match[1].length + 1 + match[2].length + 1;
  return { framing: "netstring", signed: bytes.subarray(0, -trailerBytes), digest };
}

/** `auth=<index> <hex>` LF `<<<` LF at the very end; the signed part begins after `>>>` LF. */
function findAuthLine(bytes: Uint8Array): Sealed | undefined {
  if (textOf(bytes.subarray(0, 4)) !== ">>>\n") return undefined;
  const tail = textOf(bytes.subarray(4).subarray(-trailerBytesMax));
  const match = /\nauth=([0-9]{1,2} [0-9a-f]{1,64})\n<<<\n$/.exec(tail);
  if (match?.[1] === undefined) return undefined;
  const digest = parseDigest(match[1]);
  if (digest === undefined) return undefined;
  const trailerBytes = match[0].length - 1;
  return { framing: "classic", signed: bytes.subarray(4, -trailerBytes), digest };
}

/** How to sign. `inner`: with the `auth` field that msgfmt classic sends (not for sha256). */
export interface Signing {
  readonly key: WireKey;
  readonly inner: boolean;
  /** Goes into sha256 frames. */
  readonly clusterId: string;
}

/** Frames and signs. `fields` are without `auth` and `cluster`. */
export function sealNetstring(message: Message, signing: Signing, hmac: Hmac): Uint8Array {
  const { key } = signing;
  const body = encodeNetstring({
    fields: [...message.fields, ...lastFields(message, signing, hmac)],
  });
  const digest = `${key.index} ${digestOf(key, body, hmac)}`;
  const trailer = bytesOf(`${digest.length}:${digest},`);
  const datagram = new Uint8Array(body.length + trailer.length);
  datagram.set(body);
  datagram.set(trailer, body.length);
  return datagram;
}

function lastFields(message: Message, signing: Signing, hmac: Hmac): readonly Field[] {
  const { key } = signing;
  if (key.method === "sha256") {
    return [{ type: "string", name: "cluster", value: signing.clusterId }];
  }
  if (!signing.inner || !fitsClassicText(message.fields)) return [];
  const digest = digestOf(key, classicText(message.fields), hmac);
  return [{ type: "string", name: "auth", value: `${key.index} ${digest}` }];
}

/** The classic frame, for tests and for peers on old media. Not for sha256, and without structs. */
export function sealClassic(message: Message, signing: Signing, hmac: Hmac): Uint8Array {
  const { key } = signing;
  assert(key.method !== "sha256", "sha256 has the netstring frame only");
  const text = classicText(message.fields);
  const auth = `auth=${key.index} ${digestOf(key, text, hmac)}\n`;
  return bytesOf(`>>>\n${textOf(text)}${auth}<<<\n`);
}

/** Value of the string field `name`; undefined if absent or of another type. */
export function stringField(message: Message, name: string): string | undefined {
  const field = message.fields.find((candidate) => candidate.name === name);
  return field?.type === "string" ? field.value : undefined;
}

/** The inner digest of a decoded message: whether it is there, and whether it is right. */
export function checkInner(
  message: Message,
  keyring: Keyring,
  hmac: Hmac,
): "absent" | "right" | "wrong" {
  const auth = stringField(message, "auth");
  if (auth === undefined) return "absent";
  const digest = parseDigest(auth);
  if (digest === undefined || !fitsClassicText(message.fields)) return "wrong";
  return verify(digest, classicText(message.fields), keyring, hmac).ok ? "right" : "wrong";
}
