/** IP addresses in configuration files: validity, one spelling to compare by, prefixes. Pure. */
import { canonicalIp, parseIp } from "../base/index.ts";

export type Family = 4 | 6;

/** 4, 6, or undefined if `text` is no address. A zone such as `%eth0` is allowed on IPv6. */
export function addressFamily(text: string): Family | undefined {
  const bytes = parseIp(withoutZone(text));
  return bytes === undefined ? undefined : bytes.length === 4 ? 4 : 6;
}

/** One spelling per address, so that equal addresses compare equal; undefined if it is none. */
export function canonicalAddress(text: string): string | undefined {
  return canonicalIp(withoutZone(text));
}

/** True for 224.0.0.0/4 and ff00::/8. */
export function isMulticast(text: string): boolean {
  const bytes = parseIp(withoutZone(text));
  const first = bytes?.[0] ?? 0;
  return bytes?.length === 4 ? first >= 224 && first <= 239 : first === 0xff;
}

/** True for addresses that no host can hold as its own: 0.0.0.0, ::, 255.255.255.255, multicast. */
export function isUnusable(text: string): boolean {
  const canonical = canonicalAddress(text) ?? "";
  return ["0.0.0.0", "255.255.255.255", "::"].includes(canonical) || isMulticast(text);
}

/** The longest prefix of a family. */
export const prefixMax = (family: Family): number => (family === 4 ? 32 : 128);

function withoutZone(text: string): string {
  return text.includes(":") ? text.replace(/%[0-9A-Za-z._-]{1,15}$/u, "") : text;
}
