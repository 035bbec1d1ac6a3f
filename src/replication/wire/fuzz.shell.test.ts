/**
 * Whatever arrives, the reader gives packets or a fault: it never throws, never reserves, never reads past what came.
 * 3 s, or 60 s at full size; a failure names its seed, and SEED=n runs that one again.
 */
import { equal, ok as holds } from "node:assert/strict";
import { test } from "node:test";
import { BatonError, Prng } from "../../base/index.ts";
import type { SocketName } from "../contract.ts";
import { diskWireReasons } from "../reasons.wire.ts";
import { type CapturedStream, captureNames, readCapture } from "./captures.shell.ts";
import { encodePacket } from "./codec.ts";
import { commandRows } from "./commands.ts";
import { PacketReader } from "./frames.ts";
import { putHeader, type WireSession } from "./header.ts";
import type { Packet } from "./packets.ts";
import { decodeState, mirrorRequest } from "./state-word.ts";

const budgetMs = process.env["BATON_SIZE"] === "full" ? 60_000 : 3_000;
const streams = ["03", "05", "06", "08", "17", "18", "20", "21", "22", "23"].flatMap((name) =>
  readCapture(name).streams.filter(({ session, bytes }) => session >= 0 && bytes.length > 400),
);
const buffers = { data: new Uint8Array(2 << 20), meta: new Uint8Array(64 << 10) };

/** One story: some bytes, cut somehow, by one of the two forms. */
function run(seed: number): number {
  const random = new Prng(seed);
  const source = random.pick(streams);
  const { bytes, agreed } = material(random, source);
  const reader = new PacketReader(source.socket, buffers[source.socket]);
  if (agreed !== undefined) reader.agree(agreed);
  let packets = 0;
  const see = (packet: Packet): void => {
    packets++;
    inspect(packet, agreed);
  };
  const most = random.pick([1, 30, 3_000, 200_000]);
  const limit = Math.min(bytes.length, most * 400);
  for (let at = 0; at < limit && reader.fault === undefined; ) {
    const count = Math.min(limit - at, random.between(1, most));
    if (random.chance(0.5)) reader.push(bytes.slice(at, at + count), see);
    else pull(reader, bytes.subarray(at, at + count), see);
    at += count;
    holds(reader.pending <= buffers[source.socket].length);
  }
  if (reader.fault !== undefined) {
    holds(reader.fault instanceof BatonError);
    holds(reader.fault.code in diskWireReasons, reader.fault.code);
    const before = packets;
    reader.push(bytes.slice(0, 100), see);
    equal(packets, before, "A packet after a fault");
  }
  return packets;
}

function pull(reader: PacketReader, bytes: Uint8Array, see: (packet: Packet) => void): void {
  for (let at = 0; at < bytes.length && reader.fault === undefined; ) {
    const space = reader.space();
    holds(space.length > 0, "No space left");
    const count = Math.min(space.length, bytes.length - at);
    space.set(bytes.subarray(at, at + count));
    reader.received(count);
    at += count;
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) see(packet);
  }
}

/** What a decoded packet must be: encodable again, with views that are inside what was received. */
function inspect(packet: Packet, agreed: WireSession | undefined): void {
  const isEarly = /^P_(INITIAL|CONNECTION_FEATURES)/.test(packet.command);
  const { head, payload } = encodePacket(packet, isEarly ? undefined : agreed);
  holds(head.length >= 8 && (payload?.length ?? 0) <= 1 << 20);
  if (packet.command === "P_STATE") decodeState(packet.word);
  if ("mask" in packet) mirrorRequest(packet);
}

interface Material {
  readonly bytes: Uint8Array;
  readonly agreed: WireSession | undefined;
}

function material(random: Prng, source: CapturedStream): Material {
  const kind = random.between(0, 9);
  if (kind === 0)
    return { bytes: noise(random, random.between(0, 5_000)), agreed: anySession(random) };
  return kind < 4 ? headers(random, source.socket) : damaged(random, source);
}

const noise = (random: Prng, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.next() & 0xff);

const anySession = (random: Prng): WireSession | undefined => sessions[random.between(0, 3)];
const sessions: readonly WireSession[] = [
  { version: 101, features: 15, digestBytes: 0 },
  { version: 101, features: 15, digestBytes: 20 },
  { version: 100, features: 0, digestBytes: 4 },
];

/** Good headers of this socket with payloads of noise, of right and of wrong length. */
function headers(random: Prng, socket: SocketName): Material {
  const agreed = anySession(random);
  const rows = commandRows.filter((row) => row.socket === socket || row.socket === "both");
  const bytes = new Uint8Array(60_000);
  let at = 0;
  for (let count = random.between(1, 20); count > 0; count--) {
    const row = random.pick(rows);
    const digest = row.digest ? (agreed?.digestBytes ?? 0) : 0;
    let length = row.least + digest;
    if (random.chance(0.1)) length += random.pick([-1, 1, 512, 0x7fff_ffff]);
    const command = random.chance(0.02) ? random.next() & 0xffff : row.number;
    at += putHeader(bytes, at, { command, volume: random.next() & 0xffff, length }, agreed);
    const body = noise(random, Math.min(Math.max(length, 0), 2_000));
    // Small numbers in front make sectors that exist.
    if (random.chance(0.8)) body.fill(0, 0, 4);
    if (random.chance(0.8) && body.length >= 28)
      body.fill(0, 16, 18).fill(0, 19, 20).fill(0, 24, 26);
    bytes.set(body, at);
    at += body.length;
  }
  return { bytes: bytes.subarray(0, at), agreed };
}

/** The bytes of a kernel from some packet on, cut and with some bits turned; now and then from its first byte. */
function damaged(random: Prng, source: CapturedStream): Material {
  const early = random.chance(0.1);
  const from = early ? 0 : random.pick(packetStarts(source.bytes));
  const bytes = source.bytes.slice(from, from + random.between(1, random.pick([2_000, 200_000])));
  for (let flips = random.pick([0, 1, 1, 3, 20]); flips > 0; flips--) {
    const at = random.between(0, bytes.length - 1);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.between(0, 7));
  }
  return { bytes, agreed: early ? undefined : source.agreed };
}

const starts = new Map<Uint8Array, readonly number[]>();

/** Where the packets with a header of 16 bytes begin. */
function packetStarts(bytes: Uint8Array): readonly number[] {
  const known = starts.get(bytes);
  if (known !== undefined) return known;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: number[] = [];
  const first = view.indexOf(Uint8Array.of(0x86, 0x20, 0xec, 0x20));
  for (let at = first; at < view.length; at += 16 + view.readUInt32BE(at + 8)) found.push(at);
  starts.set(bytes, found);
  return found;
}

test("fuzz: nothing that arrives makes the reader throw", (context) => {
  const one = process.env["SEED"];
  if (one !== undefined) {
    run(Number(one));
    return;
  }
  holds(captureNames().length === 28);
  const first = (Number(process.hrtime.bigint() % 0xffff_ffffn) >>> 0) * 1_000;
  const until = performance.now() + budgetMs;
  let runs = 0;
  let packets = 0;
  for (; performance.now() < until; runs++) {
    try {
      packets += run(first + runs);
    } catch (error) {
      throw new Error(`Replay with SEED=${first + runs}`, { cause: error });
    }
  }
  context.diagnostic(`${runs} streams, ${packets} packets`);
  holds(packets > 0);
});
