/**
 * CRC-32C eight bytes at a time. Two forms of it are in DRBD: digests on the wire (`crc32cDigest`: as RFC 3720, little-
 * endian bytes; drbd.md 2.4) and the checksum of the activity log (`crc32cUpdate` from 0, not inverted; drbd.md 7.4).
 */

/** Eight tables of 256: `tables[256 * n + byte]` is the effect of a byte with n bytes behind it. */
const tables = new Uint32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  tables[byte] = value;
}
for (let index = 256; index < tables.length; index++) {
  const before = tables[index - 256] as number;
  tables[index] = (before >>> 8) ^ (tables[before & 0xff] as number);
}

/** Takes more bytes into a CRC register; neither seed nor inversion are applied. Unsigned. */
export function crc32cUpdate(register: number, bytes: Uint8Array): number {
  const t = tables;
  const end = bytes.length;
  let crc = register | 0;
  let at = 0;
  for (; at + 8 <= end; at += 8) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    crc =
      (t[1792 + (crc & 0xff)] as number) ^
      (t[1536 + ((crc >>> 8) & 0xff)] as number) ^
      (t[1280 + ((crc >>> 16) & 0xff)] as number) ^
      (t[1024 + (crc >>> 24)] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < end; at++) {
    crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 0xff] as number);
  }
  return crc >>> 0;
}

/** The four bytes that a kernel's shash gives: seed and final inversion of RFC 3720, little-endian. */
export function crc32cDigest(bytes: Uint8Array): Uint8Array {
  const crc = ~crc32cUpdate(0xffff_ffff, bytes);
  return Uint8Array.of(crc, crc >>> 8, crc >>> 16, crc >>> 24);
}
