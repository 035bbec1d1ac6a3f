/**
 * What a heartbeat message is once its frame is gone: an ordered list of typed fields.
 * Source: heartbeat.md 5.1. Order is part of the message, because the digests cover it.
 *
 * Values are byte strings: each character is one byte, 0..255 (latin1). So nothing is lost between
 * decode and encode, whatever bytes a peer puts in, and a message is plain JSON.
 */
import type { DigestMethod } from "../../config/index.ts";
import type { WireReason } from "./reasons.ts";

export type Field =
  | { readonly type: "string"; readonly name: string; readonly value: string }
  /** Raw bytes, one per character. */
  | { readonly type: "binary"; readonly name: string; readonly value: string }
  | { readonly type: "struct"; readonly name: string; readonly fields: readonly Field[] }
  | { readonly type: "list"; readonly name: string; readonly items: readonly string[] };

/** A message without frame and digest. */
export interface Message {
  readonly fields: readonly Field[];
}

/** How a message was framed on the wire (heartbeat.md 5.2, 5.4). */
export type Framing = "netstring" | "classic";

/** One key of the wire. `secret` is a byte string; empty for crc. Never logged, never in a snapshot. */
export interface WireKey {
  readonly index: number;
  readonly method: DigestMethod;
  readonly secret: string;
}

/**
 * The keys that a host accepts, and the one it signs with. With `sha256` only keys of that method
 * are accepted and every message must carry `clusterId` (DESIGN 7.5: configured, never negotiated).
 */
export interface Keyring {
  readonly mode: "classic" | "sha256";
  readonly clusterId: string;
  readonly keys: readonly WireKey[];
  readonly sendIndex: number;
}

/**
 * RFC 2104 HMAC, whole tag. Injected, because cores import no cryptography:
 * `(method, secret, bytes) => createHmac(method, secret).update(bytes).digest()` in a shell.
 * `secret` is a byte string (latin1).
 */
export type Hmac = (
  method: "md5" | "sha1" | "sha256",
  secret: string,
  bytes: Uint8Array,
) => Uint8Array;

/** Why a datagram was refused: a code of the catalogue, and words without control characters. */
export interface WireFailure {
  readonly reason: WireReason;
  readonly detail: string;
}

/** A message whose digest was right. */
export interface OpenedMessage extends Message {
  readonly framing: Framing;
  /** The key that had signed it. */
  readonly keyIndex: number;
}
