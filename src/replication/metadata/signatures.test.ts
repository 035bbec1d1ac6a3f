import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { identifyContents, SIGNATURE_BYTES } from "./signatures.ts";

test("an ext file system says where it ends, also one of more than 2^32 blocks", () => {
  const head = new Uint8Array(SIGNATURE_BYTES);
  const view = new DataView(head.buffer);
  equal(identifyContents(head), undefined);
  view.setUint16(1024 + 56, 0xef53, true);
  view.setUint32(1024 + 4, 1000, true);
  view.setUint32(1024 + 24, 2, true);
  deepEqual(identifyContents(head), { name: "ext2/3/4 file system", endsAt: 4_096_000 });
  view.setUint32(1024 + 0x150, 1, true);
  equal(identifyContents(head)?.endsAt, 4_096_000);
  view.setUint32(1024 + 96, 0x80, true);
  equal(identifyContents(head)?.endsAt, 4_096_000 + 4096 * 2 ** 32);
});

test("any bytes are something known or nothing", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3000 }),
      fc.constantFrom("", "XFSB", "LUKS"),
      (bytes, magic) => {
        bytes.set([...Buffer.from(magic)].slice(0, bytes.length));
        const found = identifyContents(bytes);
        equal(found === undefined || found.name.length > 0, true);
      },
    ),
  );
});
