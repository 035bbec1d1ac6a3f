/** Copies of values as plain JSON: bigints, byte arrays, and nothing that JSON does not have (DESIGN 7.1). */

/** What JSON can hold. */
export type Plain =
  | null
  | boolean
  | number
  | string
  | readonly Plain[]
  | { readonly [name: string]: Plain };

/** A value of records, lists, numbers, texts, bigints and byte arrays as JSON; undefined fields are left out. */
export function encodePlain(value: unknown): Plain {
  if (typeof value === "bigint") return { $bigint: value.toString(16) };
  if (value instanceof Uint8Array) return { $bytes: toHex(value) };
  if (Array.isArray(value)) return value.map(encodePlain);
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    return Object.fromEntries(fields.map(([name, field]) => [name, encodePlain(field)]));
  }
  if (value === undefined) return null;
  return value as Plain;
}

/** The reverse of `encodePlain`. */
export function decodePlain(plain: Plain): unknown {
  if (Array.isArray(plain)) return plain.map(decodePlain);
  if (typeof plain !== "object" || plain === null) return plain;
  const record = plain as { readonly [name: string]: Plain };
  const { $bigint, $bytes } = record;
  if (typeof $bigint === "string") return BigInt(`0x${$bigint}`);
  if (typeof $bytes === "string") return fromHex($bytes);
  return Object.fromEntries(
    Object.entries(record).map(([name, field]) => [name, decodePlain(field)]),
  );
}

const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const fromHex = (text: string): Uint8Array =>
  Uint8Array.from({ length: text.length / 2 }, (_, at) =>
    Number.parseInt(text.slice(at * 2, at * 2 + 2), 16),
  );
