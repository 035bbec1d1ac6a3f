/** The natural length in bytes of each algorithm that both kernels and Baton have (drbd.md 2.4). */
import type { DigestAlgorithm } from "../options.ts";

const lengths: Readonly<Record<DigestAlgorithm, number>> = {
  crc32c: 4,
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
};

/** Bytes of a digest; 0 for no algorithm, undefined for one that Baton does not have. */
export function digestBytes(algorithm: string | undefined): number | undefined {
  if (algorithm === undefined || algorithm === "") return 0;
  return Object.hasOwn(lengths, algorithm) ? lengths[algorithm as DigestAlgorithm] : undefined;
}
