/** Byte strings (one character per byte, latin1) and bytes; comparison without a timing trace. */
import { assert } from "../../base/index.ts";

/** Bytes of a byte string. @throws {AssertionFailure} on a character above 255 */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    assert(code <= 0xff, "A byte string holds a character above 255");
    bytes[at] = code;
  }
  return bytes;
}

/** The byte string of `bytes`. (TextDecoder's "latin1" is windows-1252: it would lose bytes.) */
export function textOf(bytes: Uint8Array): string {
  const chunkBytes = 4096; // keeps the argument list of fromCharCode short
  let text = "";
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    // `apply` takes the bytes as they lie: five times as fast as spreading them.
    const chunk = bytes.subarray(at, at + chunkBytes) as unknown as number[];
    text += String.fromCharCode.apply(null, chunk);
  }
  return text;
}

/** True if every character fits a byte. */
export function isByteString(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) > 0xff) return false;
  }
  return true;
}

/** Two hex digits per byte, lower case. */
export function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** The byte string that `hex` stands for; undefined unless it is pairs of lower-case digits. */
export function byteStringOfHex(hex: string): string | undefined {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/.test(hex)) return undefined;
  let text = "";
  for (let at = 0; at < hex.length; at += 2) {
    text += String.fromCharCode(Number.parseInt(hex.slice(at, at + 2), 16));
  }
  return text;
}

/** Equality whose duration depends on the length only. */
export function sameText(left: string, right: string): boolean {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let at = 0; at < left.length; at++) {
    difference |= left.charCodeAt(at) ^ right.charCodeAt(at);
  }
  return difference === 0;
}

/** Text of a peer, fit for logs: control characters and bytes above ASCII as `\xNN`, cut at `max`. */
export function printable(text: string, max = 64): string {
  const shown = text.slice(0, max).replace(/[^ -[\]-~]/g, (character) => {
    return `\\x${(character.charCodeAt(0) & 0xff).toString(16).padStart(2, "0")}`;
  });
  return text.length > max ? `${shown}...` : shown;
}
