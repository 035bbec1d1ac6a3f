/** Digests of heartbeat messages: making, finding and checking them. */
import { fail, ok, type Result } from "../../base/index.ts";
import { hexOf, printable, sameText } from "./bytes.ts";
import { heartbeatCrc } from "./crc.ts";
import type { Hmac, Keyring, WireFailure, WireKey } from "./model.ts";

/** 128 bits of HMAC-SHA256 (reliability 9.2): as hex, twice as many digits as bytes. */
const sha256TagBytes = 16;

/** A digest as it stands in a message: the index of its key, and hex digits. */
export interface FoundDigest {
  readonly index: number;
  readonly hex: string;
}

/** Hex digest of `bytes` with `key`, as it stands on the wire. */
export function digestOf(key: WireKey, bytes: Uint8Array, hmac: Hmac): string {
  switch (key.method) {
    case "crc":
      return heartbeatCrc(bytes);
    case "sha256":
      return hexOf(hmac("sha256", key.secret, bytes).subarray(0, sha256TagBytes));
    default:
      return hexOf(hmac(key.method, key.secret, bytes));
  }
}

/** Parses `<index> <hex>`: index 0..15 without leading zeros, 1..64 hex digits in lower case. */
export function parseDigest(text: string): FoundDigest | undefined {
  const match = /^(0|[1-9]|1[0-5]) ([0-9a-f]{1,64})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { index: Number(match[1]), hex: match[2] };
}

/**
 * Checks with the key of the index that the digest names, and its own text: 3.0.6 takes the text of
 * its sending key instead, so that two keys never work there (heartbeat.md 2.3).
 */
export function verify(
  found: FoundDigest,
  signed: Uint8Array,
  keyring: Keyring,
  hmac: Hmac,
): Result<WireKey, WireFailure> {
  const key = keyring.keys.find((candidate) => candidate.index === found.index);
  if (key === undefined) {
    return fail({ reason: "BTN-WIRE-KEY-UNKNOWN", detail: `key index ${found.index}` });
  }
  if (keyring.mode === "sha256" && key.method !== "sha256") {
    const detail = `key ${found.index} is ${key.method}, and only sha256 is accepted`;
    return fail({ reason: "BTN-WIRE-KEY-UNKNOWN", detail });
  }
  if (!sameText(digestOf(key, signed, hmac), found.hex)) {
    const detail = `key ${found.index} (${key.method}), digest ${printable(found.hex, 12)}`;
    return fail({ reason: "BTN-WIRE-DIGEST-WRONG", detail });
  }
  return ok(key);
}
