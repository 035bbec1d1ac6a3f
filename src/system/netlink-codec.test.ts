import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseIp } from "../base/index.ts";
import {
  decodeAcknowledgement,
  decodeAddress,
  decodeLink,
  decodeMessages,
  decodeRoute,
  encodeAddAddress,
  encodeAttribute,
  encodeMessage,
  messageType,
} from "./netlink-codec.ts";

const address = parseIp("192.168.0.222") ?? new Uint8Array();

test("the bytes of an added address are those that the kernel reads", () => {
  const broadcast = parseIp("192.168.0.255");
  const bytes = encodeAddAddress(7, { index: 4, address, prefixLength: 24, broadcast });
  equal(
    Buffer.from(bytes).toString("hex"),
    "300000001400050607000000000000000218000004000000" +
      "08000200c0a800de08000100c0a800de08000400c0a800ff",
  );
});

test("what was encoded as an address is decoded as one", () => {
  const bytes = encodeAddAddress(7, { index: 4, address, prefixLength: 24 });
  const messages = decodeMessages(bytes);
  equal(messages.ok && messages.value.length, 1);
  const payload = messages.ok ? messages.value[0]?.payload : undefined;
  deepEqual(decodeAddress(payload ?? new Uint8Array()), {
    ok: true,
    value: {
      index: 4,
      address: "192.168.0.222",
      prefixLength: 24,
      flags: 0,
      broadcast: undefined,
    },
  });
});

test("messages of any content are cut apart as they were put together", () => {
  const message = fc.record({
    type: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    sequence: fc.nat(),
    payload: fc.uint8Array({ maxLength: 9 }).map((bytes) => bytes.subarray(0, bytes.length & ~3)),
  });
  fc.assert(
    fc.property(fc.array(message), (messages) => {
      const bytes = Buffer.concat(
        messages.map(({ type, flags, sequence, payload }) =>
          encodeMessage(type, flags, sequence, payload),
        ),
      );
      const decoded = decodeMessages(bytes);
      deepEqual(
        decoded.ok &&
          decoded.value.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) })),
        messages.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) })),
      );
    }),
  );
});

test("no bytes make a parser throw, and none reads beyond them", () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    // Nearly right: attributes with lengths that lie, behind a plausible body.
    fc
      .tuple(
        fc.constantFrom(8, 12, 16),
        fc.array(fc.tuple(fc.nat(70), fc.nat(12), fc.uint8Array({ maxLength: 20 })), {
          maxLength: 4,
        }),
      )
      .map(([body, attributes]) =>
        Buffer.concat([
          Buffer.alloc(body, 2),
          ...attributes.map(([lie, type, value]) => {
            const bytes = encodeAttribute(type, value);
            if (lie < 40) bytes[0] = lie;
            return bytes;
          }),
        ]),
      ),
  );
  fc.assert(
    fc.property(hostile, (bytes) => {
      for (const decode of [
        decodeMessages,
        decodeLink,
        decodeAddress,
        decodeRoute,
        decodeAcknowledgement,
      ]) {
        const result = decode(bytes);
        if (!result.ok) equal(result.error.name, "NetlinkFormatError");
      }
    }),
    { numRuns: 3_000 },
  );
});

test("a length that lies is refused, whatever it claims", () => {
  const sound = encodeMessage(messageType.newLink, 0, 1, new Uint8Array(16));
  for (const lie of [0, 15, 33, 0xffff_ffff]) {
    const bytes = Uint8Array.from(sound);
    new DataView(bytes.buffer).setUint32(0, lie, true);
    equal(decodeMessages(bytes).ok, false, `length ${lie}`);
  }
});
