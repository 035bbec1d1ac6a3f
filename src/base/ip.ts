/**
 * IP addresses as bytes and as text. Total: nothing here throws on input from outside.
 * Text of IPv6 is written as RFC 5952 says, so that equal addresses are equal strings.
 */

/** The bytes of an address in network order: 4 of IPv4, 16 of IPv6. */
export type IpBytes = Uint8Array;

/** Reads dotted decimals or any form of IPv6 without zone; undefined if it is neither. */
export function parseIp(text: string): IpBytes | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** Writes an address of 4 or 16 bytes. @throws {RangeError} for any other length */
export function formatIp(bytes: IpBytes): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16)
    throw new RangeError(`Cannot format ${bytes.length} bytes as an address`);
  const groups = Array.from({ length: 8 }, (_, index) => ipv6Group(bytes, index));
  const { start, length } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** The one spelling of an address; undefined if `text` is not one. */
export function canonicalIp(text: string): string | undefined {
  const bytes = parseIp(text);
  return bytes === undefined ? undefined : formatIp(bytes);
}

/** True if both are of one family and their first `prefixLength` bits are equal. */
export function samePrefix(left: IpBytes, right: IpBytes, prefixLength: number): boolean {
  if (left.length !== right.length) return false;
  for (let bit = 0; bit < prefixLength && bit < left.length * 8; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((left[bit >> 3] ?? 0) & mask) !== ((right[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

/** The broadcast address of an IPv4 subnet; undefined for IPv6 and for /31 and /32, which have none. */
export function broadcastOf(address: IpBytes, prefixLength: number): IpBytes | undefined {
  if (address.length !== 4 || prefixLength > 30) return undefined;
  return address.map((byte, index) => {
    const hostBits = Math.min(8, Math.max(0, (index + 1) * 8 - prefixLength));
    return byte | (0xff >> (8 - hostBits));
  });
}

function parseIpv4(text: string): IpBytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): IpBytes | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups of a part without `::`; the last one may be dotted decimals. */
function groupsOf(part: string, mayEndDotted: boolean): number[] | undefined {
  if (part === "") return [];
  const words = part.split(":");
  const groups: number[] = [];
  for (const [index, word] of words.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(word)) groups.push(Number.parseInt(word, 16));
    else {
      const dotted = mayEndDotted && index === words.length - 1 ? parseIpv4(word) : undefined;
      if (dotted === undefined) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = dotted;
      groups.push((a << 8) | b, (c << 8) | d);
    }
  }
  return groups.length > 8 ? undefined : groups;
}

function ipv6Group(bytes: IpBytes, index: number): number {
  return ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0);
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let run = 0;
  for (const [index, group] of groups.entries()) {
    run = group === 0 ? run + 1 : 0;
    if (run > best.length) best = { start: index - run + 1, length: run };
  }
  return best;
}
