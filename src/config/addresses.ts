/** IP addresses as text: validity, one canonical form to compare by, and prefixes. Pure. */

export type Family = 4 | 6;

/** 4, 6, or undefined if `text` is no address. A scope such as `%eth0` is allowed on IPv6. */
export function addressFamily(text: string): Family | undefined {
  if (parseV4(text) !== undefined) return 4;
  return parseV6(text.replace(/%[0-9A-Za-z._-]{1,15}$/u, "")) === undefined ? undefined : 6;
}

/** One spelling per address, so that `::1` and `0:0:0:0:0:0:0:1` compare equal; undefined if none. */
export function canonicalAddress(text: string): string | undefined {
  const four = parseV4(text);
  if (four !== undefined) return four.join(".");
  return parseV6(text.replace(/%[0-9A-Za-z._-]{1,15}$/u, ""))
    ?.map((part) => part.toString(16))
    .join(":");
}

/** True for 224.0.0.0/4 and ff00::/8. */
export function isMulticast(text: string): boolean {
  const four = parseV4(text);
  if (four !== undefined) return (four[0] ?? 0) >= 224 && (four[0] ?? 0) <= 239;
  const six = parseV6(text);
  return six !== undefined && (six[0] ?? 0) >> 8 === 0xff;
}

/** True for addresses that no host can hold as its own: 0.0.0.0, ::, 255.255.255.255, multicast. */
export function isUnusable(text: string): boolean {
  const canonical = canonicalAddress(text);
  return (
    canonical === "0.0.0.0" ||
    canonical === "255.255.255.255" ||
    canonical === "0:0:0:0:0:0:0:0" ||
    isMulticast(text)
  );
}

/** The longest prefix of a family. */
export const prefixMax = (family: Family): number => (family === 4 ? 32 : 128);

function parseV4(text: string): readonly number[] | undefined {
  if (!/^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$/u.test(text)) return undefined;
  // A leading zero is octal to some programs and decimal to others: no address at all to us.
  if (/(?:^|\.)0[0-9]/u.test(text)) return undefined;
  const parts = text.split(".").map(Number);
  return parts.every((part) => part <= 255) ? parts : undefined;
}

function parseV6(text: string): readonly number[] | undefined {
  if (text.length > 45 || !/^[0-9A-Fa-f:.]+$/u.test(text) || !text.includes(":")) return undefined;
  let source = text;
  const tail = /(?<=:)[0-9.]+\.[0-9.]+$/u.exec(source);
  if (tail !== null) {
    const four = parseV4(tail[0]);
    if (four === undefined) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = four;
    const groups = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
    source = source.slice(0, tail.index) + groups;
  }
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const parts = halves.map((half) => (half === "" ? [] : half.split(":")));
  if (parts.flat().some((part) => !/^[0-9A-Fa-f]{1,4}$/u.test(part))) return undefined;
  const [head = [], rest = []] = parts;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...rest].map(
    (part) => Number.parseInt(part, 16),
  );
}
