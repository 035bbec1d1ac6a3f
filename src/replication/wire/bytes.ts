/**
 * Big-endian numbers in a byte array, without an object for each access. The callers have checked the length: reading
 * past the end would give 0 in arithmetic, never an exception.
 */

/** The largest sector that a 64-bit byte offset can have. */
export const SECTOR_MAX = 2 ** 51;

/** Reads 16 bits. */
export const getU16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

/** Reads 32 bits. */
export const getU32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0;

/** Reads 64 bits as a number: exact below 2^53, otherwise at least 2^53. */
export const getU64 = (bytes: Uint8Array, at: number): number =>
  getU32(bytes, at) * 0x1_0000_0000 + getU32(bytes, at + 4);

/** Reads 64 bits exactly. Not for the hot path. */
export const getBig = (bytes: Uint8Array, at: number): bigint =>
  (BigInt(getU32(bytes, at)) << 32n) | BigInt(getU32(bytes, at + 4));

/** Writes 16 bits. */
export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Writes the low 32 bits; also of a negative number. */
export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Writes a number of 0 .. 2^53-1 as 64 bits. */
export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / 0x1_0000_0000));
  putU32(bytes, at + 4, value % 0x1_0000_0000);
}

/** Writes the low 64 bits. */
export function putBig(bytes: Uint8Array, at: number, value: bigint): void {
  putU32(bytes, at, Number((value >> 32n) & 0xffff_ffffn));
  putU32(bytes, at + 4, Number(value & 0xffff_ffffn));
}

/** The text before the first NUL of `length` bytes, one character per byte; undefined if there is no NUL. */
export function getText(bytes: Uint8Array, at: number, length: number): string | undefined {
  let text = "";
  for (let index = at; index < at + length; index++) {
    const byte = bytes[index] as number;
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
  return undefined;
}

/** Writes characters below 256, then zeros up to `length`. The caller makes sure that a NUL fits behind it. */
export function putText(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let index = 0; index < length; index++) {
    bytes[at + index] = index < text.length ? text.charCodeAt(index) : 0;
  }
}
