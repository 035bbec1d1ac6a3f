import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  agree,
  encodeAgreement,
  encodeReplyHeader,
  type FuseRequest,
  IN_HEADER_BYTES,
  INIT_BODY_BYTES,
  initFlag,
  parseFuseRequest,
  TRANSFER_BYTES_MAX,
} from "./fuse-codec.ts";

/** A request as the kernel lays it out. */
function request(
  opcode: number,
  body: Uint8Array,
  change: Partial<Record<"len" | "unique" | "node", bigint>> = {},
): Buffer {
  const header = Buffer.alloc(IN_HEADER_BYTES);
  header.writeUInt32LE(Number(change.len ?? BigInt(IN_HEADER_BYTES + body.length)), 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(change.unique ?? 6n, 8);
  header.writeBigUInt64LE(change.node ?? 2n, 16);
  return Buffer.concat([header, body]);
}

/** Fields of 4 (number) or 8 bytes (bigint). */
function fields(...values: (number | bigint)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(typeof value === "bigint" ? 8 : 4);
      if (typeof value === "bigint") bytes.writeBigUInt64LE(value);
      else bytes.writeUInt32LE(value);
      return bytes;
    }),
  );
}

function parse(bytes: Uint8Array, offset = 0): FuseRequest {
  const memory = new Uint8Array(bytes.length + offset);
  memory.set(bytes, offset);
  return parseFuseRequest(new DataView(memory.buffer), offset, bytes.length);
}

const asked = { unique: 6, node: 2 };
const rw = (offset: bigint, size: number): Buffer => fields(1n, offset, size, 0, 0n, 0x8002, 0);
const story: readonly (readonly [string, Buffer, FuseRequest])[] = [
  [
    "INIT",
    request(26, fields(7, 45, 131_072, 0x73ff_fffb, 1, ...new Array<number>(11).fill(0)), {
      node: 0n,
    }),
    {
      kind: "init",
      unique: 6,
      node: 0,
      major: 7,
      minor: 45,
      maxReadaheadBytes: 131_072,
      flags: 0x73ff_fffb,
    },
  ],
  [
    "LOOKUP",
    request(1, Buffer.from("r0\0"), { node: 1n }),
    { kind: "lookup", unique: 6, node: 1, name: "r0" },
  ],
  ["GETATTR", request(3, fields(0, 0, 0n)), { kind: "getattr", ...asked }],
  ["OPEN", request(14, fields(0x8002, 0)), { kind: "open", ...asked, flags: 0x8002 }],
  ["READ", request(15, rw(8192n, 4096)), { kind: "read", ...asked, offset: 8192, length: 4096 }],
  [
    "WRITE beyond 4 GiB",
    request(16, Buffer.concat([rw(0x5_0000_0200n, 512), Buffer.alloc(512, 7)])),
    { kind: "write", ...asked, offset: 0x5_0000_0200, length: 512 },
  ],
  ["FSYNC of data", request(20, fields(1n, 1, 0)), { kind: "fsync", ...asked, dataOnly: true }],
  ["FLUSH", request(25, fields(1n, 0, 0, 0n)), { kind: "flush", ...asked }],
  ["RELEASE", request(18, fields(1n, 0, 0, 0n)), { kind: "release", ...asked }],
  ["STATFS", request(17, Buffer.alloc(0)), { kind: "statfs", ...asked }],
  ["ACCESS", request(34, fields(4, 0)), { kind: "access", ...asked }],
  ["LSEEK", request(46, fields(1n, 0n, 3, 0)), { kind: "lseek", ...asked }],
  ["DESTROY", request(38, Buffer.alloc(0)), { kind: "destroy", ...asked }],
  [
    "FALLOCATE, hole",
    request(43, fields(1n, 4096n, 8192n, 3, 0)),
    { kind: "fallocate", ...asked, mode: "punch", offset: 4096, length: 8192 },
  ],
  [
    "FALLOCATE, zeroes",
    request(43, fields(1n, 4096n, 8192n, 0x11, 0)),
    { kind: "fallocate", ...asked, mode: "zero", offset: 4096, length: 8192 },
  ],
  [
    "FALLOCATE, a hole at the end that would change the size",
    request(43, fields(1n, 0n, 8192n, 2, 0)),
    { kind: "fallocate", ...asked, mode: "other", offset: 0, length: 8192 },
  ],
  ["FORGET", request(2, fields(1n)), { kind: "forget", ...asked }],
  ["BATCH_FORGET", request(42, fields(1, 0, 2n, 1n)), { kind: "forget", ...asked }],
  ["INTERRUPT", request(36, fields(4n)), { kind: "interrupt", ...asked, interrupted: 4 }],
  [
    "SETATTR of the size",
    request(4, fields(8, 0, 0n, 65_536n, ...new Array<bigint>(8).fill(0n))),
    { kind: "setattr", ...asked, valid: 8, sizeBytes: 65_536 },
  ],
  ["GETXATTR", request(22, fields(0, 0)), { kind: "unknown", ...asked, opcode: 22 }],
];
for (const [name, bytes, expected] of story) {
  test(`${name} is read, wherever in memory it lies`, () => {
    deepEqual(parse(bytes), expected);
    deepEqual(parse(bytes, 4016), expected);
  });
}

test("what can not be is malformed, with the id that a reply needs", () => {
  const cases: readonly (readonly [string, Buffer, number])[] = [
    ["nothing", Buffer.alloc(0), 0],
    ["half a header", Buffer.alloc(39), 0],
    ["an id beyond 2^53", request(15, rw(0n, 512), { unique: 1n << 60n }), 0],
    ["a length that is not so", request(15, rw(0n, 512), { len: 4096n }), 6],
    ["half a body", request(15, fields(1n, 0n)), 6],
    ["an offset beyond 2^53", request(15, rw(1n << 63n, 512)), 6],
    ["more than was agreed", request(15, rw(0n, TRANSFER_BYTES_MAX + 512)), 6],
    ["less data than said", request(16, Buffer.concat([rw(0n, 512), Buffer.alloc(511)])), 6],
    ["more data than said", request(16, Buffer.concat([rw(0n, 512), Buffer.alloc(513)])), 6],
    ["a range beyond 2^53", request(43, fields(1n, 0n, 1n << 62n, 3, 0)), 6],
  ];
  for (const [name, bytes, unique] of cases) {
    const parsed = parse(bytes);
    equal(parsed.kind, "malformed", name);
    equal(parsed.unique, unique, name);
  }
});

test("any bytes become a request, without an exception and without reading beyond them", () => {
  const opcodes = fc.oneof(
    fc.integer({ min: 0, max: 52 }),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  );
  fc.assert(
    fc.property(
      opcodes,
      fc.uint8Array({ maxLength: 200 }),
      fc.boolean(),
      (opcode, bytes, framed) => {
        const whole = framed ? request(opcode, bytes) : Buffer.from(bytes);
        const parsed = parse(whole);
        ok(Number.isSafeInteger(parsed.unique) && parsed.unique >= 0);
        if ("offset" in parsed) ok(Number.isSafeInteger(parsed.offset) && parsed.offset >= 0);
        if ("length" in parsed) ok(Number.isSafeInteger(parsed.length) && parsed.length >= 0);
      },
    ),
    { numRuns: 3_000 },
  );
});

test("an agreement takes what is offered and wanted, and no write-back cache", () => {
  const writeback = 1 << 16;
  const offer = { major: 7, minor: 45, flags: initFlag.maxPages | initFlag.asyncDio | writeback };
  const agreement = agree(offer, 128);
  deepEqual(agreement, {
    minor: 38,
    flags: initFlag.maxPages | initFlag.asyncDio,
    transferBytes: 1_048_576,
    background: 128,
  });
  ok(agreement !== undefined);
  const view = new DataView(new ArrayBuffer(INIT_BODY_BYTES));
  encodeAgreement(view, 0, agreement);
  deepEqual(
    [
      view.getUint32(0, true),
      view.getUint32(4, true),
      view.getUint16(16, true),
      view.getUint32(20, true),
      view.getUint16(28, true),
    ],
    [7, 38, 128, 1_048_576, 256],
  );
  equal(agree({ ...offer, flags: 0 }, 128)?.transferBytes, 131_072);
  equal(agree({ ...offer, minor: 22 }, 128), undefined);
  equal(agree({ ...offer, major: 6 }, 128), undefined);
  equal(agree({ ...offer, major: 8, minor: 0 }, 128)?.minor, 38);
});

test("a reply says its length, its error as a negative number, and whose it is", () => {
  const view = new DataView(new ArrayBuffer(16));
  encodeReplyHeader(view, 0, 0x1_0000_0006, 5, 0);
  deepEqual(
    [view.getUint32(0, true), view.getInt32(4, true), view.getBigUint64(8, true)],
    [16, -5, 0x1_0000_0006n],
  );
});
