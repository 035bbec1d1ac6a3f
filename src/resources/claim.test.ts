import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CLAIM_BYTES,
  CLAIM_COPY_BYTES,
  type Claim,
  compareClaims,
  decodeClaims,
  encodeClaim,
} from "./claim.ts";

const sample: Claim = {
  host: "dbm157",
  held: true,
  epoch: 7,
  counter: 12,
  deadtimeMs: 1_200,
  incarnation: "00112233445566778899aabbccddeeff",
};
const anyClaim = fc.record(
  {
    host: fc.stringMatching(/^[a-z0-9.-]{1,64}$/),
    held: fc.boolean(),
    epoch: fc.oneof(fc.nat(3), fc.maxSafeNat()),
    counter: fc.oneof(fc.nat(3), fc.maxSafeNat()),
    deadtimeMs: fc.nat(0xffff_ffff),
    incarnation: fc.stringMatching(/^[0-9a-f]{32}$/),
  },
  { noNullPrototype: true },
);

/** A device with these copies. */
function disk(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array {
  const bytes = new Uint8Array(CLAIM_BYTES);
  if (first !== undefined) bytes.set(first, 0);
  if (second !== undefined) bytes.set(second, CLAIM_COPY_BYTES);
  return bytes;
}
const damage = (copy: Uint8Array): Uint8Array =>
  copy.map((byte, at) => (at === 500 ? byte ^ 1 : byte));

test("any claim is read back as it was written, from either copy", () => {
  fc.assert(
    fc.property(anyClaim, (claim) => {
      const copy = encodeClaim(claim);
      deepEqual(decodeClaims(disk(copy, undefined)), { kind: "claim", claim, writeTo: 1 });
      deepEqual(decodeClaims(disk(undefined, copy)), { kind: "claim", claim, writeTo: 0 });
    }),
  );
});

test("of two copies the higher epoch counts, then the higher counter; the other is written next", () => {
  fc.assert(
    fc.property(anyClaim, anyClaim, (left, right) => {
      const reading = decodeClaims(disk(encodeClaim(left), encodeClaim(right)));
      const rightWins = compareClaims(right, left) > 0;
      deepEqual(reading, {
        kind: "claim",
        claim: rightWins ? right : left,
        writeTo: rightWins ? 0 : 1,
      });
    }),
  );
});

test("a write cut short at any sector leaves the claim that was there", () => {
  const before = encodeClaim(sample);
  const after = encodeClaim({ ...sample, counter: 13 });
  for (let kept = 0; kept <= 8; kept++) {
    const torn = Uint8Array.from(damage(encodeClaim({ ...sample, counter: 11 })));
    torn.set(after.subarray(0, kept * 512));
    const reading = decodeClaims(disk(before, torn));
    equal(reading.kind === "claim" && reading.claim.counter, kept === 0 ? 12 : 13);
  }
});

test("what is not a claim is recognised and never taken for free", () => {
  const ext4 = new Uint8Array(CLAIM_COPY_BYTES);
  ext4.set([0x53, 0xef], 1_024 + 0x38); // the first KiB of a real file system is zero
  const newer = encodeClaim(sample);
  newer[8] = 2;
  deepEqual(
    [
      decodeClaims(disk(undefined, undefined)).kind,
      decodeClaims(disk(ext4, undefined)).kind,
      decodeClaims(disk(undefined, ext4)).kind,
      decodeClaims(disk(damage(encodeClaim(sample)), undefined)).kind,
      decodeClaims(disk(damage(encodeClaim(sample)), damage(encodeClaim(sample)))).kind,
      decodeClaims(disk(damage(encodeClaim(sample)), encodeClaim(sample))).kind,
      decodeClaims(new Uint8Array(CLAIM_BYTES - 1)).kind,
    ],
    ["none", "not-a-claim", "not-a-claim", "none", "damaged", "claim", "not-a-claim"],
  );
});

test("no bytes make the parser throw, and no single bit makes another claim of one", () => {
  const copy = encodeClaim(sample);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 600 }), fc.nat(511 * 8), (noise, bit) => {
      decodeClaims(noise);
      const bytes = disk(copy, undefined);
      bytes.set(noise, CLAIM_COPY_BYTES);
      decodeClaims(bytes);
      const turned = Uint8Array.from(copy);
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      equal(decodeClaims(disk(turned, undefined)).kind === "claim", false);
    }),
  );
});

test("a host name that does not fit is refused before anything is written", () => {
  for (const host of ["", "x".repeat(256)])
    throws(() => encodeClaim({ ...sample, host }), RangeError);
});
