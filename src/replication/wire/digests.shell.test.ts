import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { crc32c } from "../../base/index.ts";
import { crc32cUpdate } from "./crc32c.ts";
import { digestBytes } from "./digest-lengths.ts";
import { nodeDigests } from "./digests.shell.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("crc32c eight bytes at a time is crc32c, at any length and in any pieces", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (bytes, cut) => {
      const at = cut % (bytes.length + 1);
      const whole = crc32cUpdate(0xffff_ffff, bytes);
      equal(~whole >>> 0, crc32c(bytes));
      equal(
        crc32cUpdate(crc32cUpdate(0xffff_ffff, bytes.subarray(0, at)), bytes.subarray(at)),
        whole,
      );
    }),
  );
});

test("digests have the kernel's form", () => {
  // RFC 3720 appendix B.4 has e3069283 as a number; the kernel writes it little-endian.
  equal(hex(nodeDigests.digest("crc32c", text("123456789"))), "839206e3");
  equal(hex(nodeDigests.digest("sha1", text("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  for (const name of ["crc32c", "md5", "sha1", "sha256", "sha512"]) {
    equal(nodeDigests.digest(name, text("x")).length, digestBytes(name));
    equal(nodeDigests.supports(name), true);
  }
  equal(digestBytes(""), 0);
  equal(digestBytes(undefined), 0);
});

test("the response of drbd.md 2.3 is reproduced", () => {
  const challenge = new Uint8Array(64).fill(0x41);
  equal(
    hex(nodeDigests.hmac("sha1", text("MySQL-HA"), challenge)),
    "06979dfd30a144b1fe6dbd322860084be69af447",
  );
});

test("what the kernel may have and Baton has not is refused by name", () => {
  deepEqual(
    ["sha3-256", "crc32", "toString", "", "SHA1"].map((name) => nodeDigests.supports(name)),
    [false, false, false, false, false],
  );
  throws(() => nodeDigests.digest("crc32", text("")), RangeError);
  throws(() => nodeDigests.hmac("crc32c", text(""), text("")), RangeError);
});
