/** Digests and HMACs of a disk's connection, by OpenSSL; crc32c by a table, since neither Node nor OpenSSL has it. */
import { createHmac, hash } from "node:crypto";
import type { Digests } from "../shared.ts";
import { crc32cDigest } from "./crc32c.ts";
import { digestBytes } from "./digest-lengths.ts";

/**
 * Algorithms by the kernel's names. `digest` and `hmac` throw a RangeError for one that `supports` denies; crc32c is no
 * keyed hash (drbd.md 2.3).
 */
export const nodeDigests: Digests = {
  digest(algorithm, bytes) {
    if (algorithm === "crc32c") return crc32cDigest(bytes);
    demand(algorithm);
    return hash(algorithm, bytes, "buffer");
  },
  hmac(algorithm, key, bytes) {
    demand(algorithm);
    if (algorithm === "crc32c") throw new RangeError("Cannot use crc32c as a keyed hash");
    return createHmac(algorithm, key).update(bytes).digest();
  },
  supports: (algorithm) => (digestBytes(algorithm) ?? 0) > 0,
};

function demand(algorithm: string): void {
  if ((digestBytes(algorithm) ?? 0) === 0)
    throw new RangeError(`Cannot use algorithm ${algorithm}`);
}
