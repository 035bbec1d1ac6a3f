import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Prng } from "../../base/index.ts";
import { PacketReader } from "./frames.ts";
import { packetOf, sessions, socketOf, streamOf } from "./packets.test-support.ts";
import type { Packet } from "./packets.ts";

const [agreed] = sessions;
if (agreed === undefined) throw new Error("No session");

const data = (sector: number, bytes: number): Packet => ({
  command: "P_DATA",
  volume: 0,
  sector,
  idHigh: 1,
  idLow: sector,
  sequence: 1,
  flags: 0x102,
  digest: undefined,
  data: new Uint8Array(bytes).fill(sector),
});
const ping: Packet = { command: "P_PING", volume: 0 };

/** Views end with the next bytes: a copy is what was seen. */
const kept = (packet: Packet): Packet => structuredClone(packet);

function pushed(reader: PacketReader, stream: Uint8Array, cut: () => number): Packet[] {
  const packets: Packet[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = Math.min(stream.length, at + cut());
    // A chunk of its own, overwritten afterwards: nothing may still look into it.
    const chunk = stream.slice(at, end);
    reader.push(chunk, (packet) => packets.push(kept(packet)));
    chunk.fill(0xee);
    at = end;
  }
  return packets;
}

function pulled(reader: PacketReader, stream: Uint8Array, cut: () => number): Packet[] {
  const packets: Packet[] = [];
  for (let at = 0; at < stream.length; ) {
    const space = reader.space();
    const count = Math.min(stream.length - at, space.length, cut());
    space.set(stream.subarray(at, at + count));
    reader.received(count);
    at += count;
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      packets.push(kept(packet));
    }
  }
  return packets;
}

test("both forms give the same packets however the stream is cut", () => {
  for (const session of sessions) {
    fc.assert(
      fc.property(
        fc.array(packetOf(session), { maxLength: 12 }),
        fc.integer(),
        fc.constantFrom(1, 7, 40, 5_000, 300_000),
        (packets, seed, most) => {
          for (const socket of ["data", "meta"] as const) {
            const mine = packets.filter((packet) => socketOf(packet) === socket);
            const stream = streamOf(mine, session);
            if (stream.length > 20_000 * most) continue;
            for (const read of [pushed, pulled]) {
              const reader = new PacketReader(socket);
              reader.agree(session);
              const random = new Prng(seed);
              deepEqual(
                read(reader, stream, () => random.between(1, most)),
                mine,
              );
              equal(reader.fault, undefined);
              equal(reader.pending, 0);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  }
});

test("a packet of 1 MiB that the end of the buffer cuts is moved once and stays whole", () => {
  const packets = Array.from({ length: 9 }, (_, index) => data(index * 2_048, 1 << 20));
  const reader = new PacketReader("data");
  reader.agree(agreed);
  deepEqual(
    pulled(reader, streamOf(packets, agreed), () => 1_000_000),
    packets,
  );
});

test("data of a whole packet is a view of what was received", () => {
  const stream = streamOf([data(8, 4_096), data(16, 4_096)], agreed);
  const reader = new PacketReader("data");
  reader.agree(agreed);
  const buffers: ArrayBufferLike[] = [];
  reader.push(stream, (packet) => {
    if (packet.command === "P_DATA") buffers.push(packet.data.buffer);
  });
  deepEqual(
    buffers.map((buffer) => buffer === stream.buffer),
    [true, true],
  );
});

test("a ping that overtakes the features waits until they are agreed", () => {
  const reader = new PacketReader("meta");
  const packets: Packet[] = [];
  const take = (packet: Packet): void => void packets.push(packet);
  reader.push(streamOf([{ command: "P_INITIAL_META", volume: 0 }], undefined), take);
  reader.push(streamOf([ping], agreed), take);
  equal(packets.length, 1);
  reader.agree(agreed);
  reader.push(new Uint8Array(0), take);
  deepEqual(packets[1], ping);
});

test("headers change between two packets of one chunk", () => {
  const features: Packet = {
    command: "P_CONNECTION_FEATURES",
    minimum: 100,
    features: 15,
    maximum: 101,
  };
  const state: Packet = { command: "P_STATE", volume: 0, word: 0xd082 };
  const stream = Uint8Array.of(...streamOf([features], undefined), ...streamOf([state], agreed));
  const reader = new PacketReader("data");
  const packets: Packet[] = [];
  reader.push(stream, (packet) => {
    packets.push(packet);
    reader.agree(agreed);
  });
  deepEqual(packets, [features, state]);
});

test("what came before the agreement is bounded", () => {
  const reader = new PacketReader("meta");
  const many = streamOf(new Array<Packet>(1_000).fill(ping), agreed);
  reader.push(many, () => undefined);
  equal(reader.fault?.code, "BTN-DISK-WIRE-EARLY");
});

test("a fault ends the reading, and what came before it is given", () => {
  const cases: [string, (header: Uint8Array) => void][] = [
    ["BTN-DISK-WIRE-MAGIC", (header) => header.fill(0x41, 0, 4)],
    ["BTN-DISK-WIRE-PAD", (header) => header.fill(1, 12, 13)],
    ["BTN-DISK-WIRE-COMMAND", (header) => header.fill(0x3f, 7, 8)],
    ["BTN-DISK-WIRE-LENGTH", (header) => header.fill(1, 11, 12)],
    ["BTN-DISK-WIRE-LIMIT", (header) => header.fill(0x7f, 8, 9)],
  ];
  for (const [code, damage] of cases) {
    const stream = streamOf([data(0, 512), data(8, 4_096), data(16, 512)], agreed);
    damage(stream.subarray(16 + 24 + 512));
    for (const read of [pushed, pulled]) {
      const reader = new PacketReader("data");
      reader.agree(agreed);
      const packets: Packet[] = [];
      for (const packet of read(reader, stream.slice(), () => 100)) packets.push(packet);
      equal(packets.length, 1, code);
      equal(reader.fault?.code, code);
    }
  }
});
