import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";

test("crc32c agrees with the examples of RFC 3720 appendix B.4", () => {
  const examples = [
    new Uint8Array(32),
    new Uint8Array(32).fill(0xff),
    Uint8Array.from({ length: 32 }, (_, index) => index),
    new TextEncoder().encode("123456789"),
  ];
  deepEqual(examples.map(crc32c), [0x8a91_36aa, 0x62a8_ab43, 0x46dd_794e, 0xe306_9283]);
});
