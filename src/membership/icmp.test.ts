import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildEchoRequest, internetChecksum, parseEchoReply } from "./icmp.ts";

test("the identifier is in host byte order and the sequence in network order", () => {
  const packet = buildEchoRequest(4, 0x1_1234, 0x0102, Buffer.from("x"));
  deepEqual([...packet.subarray(4, 9)], [0x34, 0x12, 0x01, 0x02, 0x78]);
  equal(packet[0], 8);
  equal(internetChecksum(packet), 0);
});

/** What the pinged host makes of a request: type changed, checksum anew, an IPv4 header before it. */
function answer(request: Buffer): Buffer {
  const reply = Buffer.from(request);
  reply[0] = 0;
  reply.writeUInt16BE(0, 2);
  reply.writeUInt16BE(internetChecksum(reply), 2);
  return Buffer.concat([Buffer.from([0x46, ...new Array(23).fill(0)]), reply]);
}

test("a reply gives back identifier, sequence and payload, whatever they are", () => {
  fc.assert(
    fc.property(
      fc.nat(0xffff),
      fc.nat(0xffff),
      fc.uint8Array({ maxLength: 600 }),
      (identifier, sequence, payload) => {
        const reply = parseEchoReply(4, answer(buildEchoRequest(4, identifier, sequence, payload)));
        deepEqual(reply, { identifier, sequence, payload: Buffer.from(payload) });
      },
    ),
  );
});

test("requests, damaged and cut packets are nothing", () => {
  const good = answer(buildEchoRequest(4, 7, 1, Buffer.from("beat")));
  const damaged = Buffer.from(good);
  damaged[damaged.length - 1] = 0;
  equal(parseEchoReply(4, damaged), undefined);
  equal(parseEchoReply(6, buildEchoRequest(6, 7, 1, Buffer.from("beat"))), undefined);
  equal(parseEchoReply(4, Buffer.concat([Buffer.alloc(20, 0x45)])), undefined);
  for (let length = 0; length < 32; length++) {
    equal(parseEchoReply(4, good.subarray(0, length)), undefined, `${length} bytes`);
  }
});

test("arbitrary bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(4, 6), (bytes, family) => {
      parseEchoReply(family as 4 | 6, Buffer.from(bytes));
    }),
  );
});
