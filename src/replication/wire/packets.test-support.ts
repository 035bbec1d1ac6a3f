/** Test support: any packet that Baton can send, and the streams that a peer could send. */
import fc from "fast-check";
import { commandOfPacket, commandRows, DATA_MAX, type PayloadForm } from "./commands.ts";
import { HEAD_MAX, payloadOf, putHead } from "./encode.ts";
import type { WireSession } from "./header.ts";
import { feature, type Packet } from "./packets.ts";

/** Sessions of every kind that the form of packets depends on. */
export const sessions: readonly WireSession[] = [
  { version: 101, features: 0x0f, digestBytes: 0 },
  { version: 101, features: 0x0f, digestBytes: 20 },
  { version: 100, features: 0, digestBytes: 4 },
];

/** Records like those of the decoder, with the usual prototype. */
const record = (model: object): fc.Arbitrary<object> =>
  fc.record(model as Record<string, fc.Arbitrary<unknown>>, { noNullPrototype: true });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const big = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const sector = fc.oneof(fc.integer({ min: 0, max: 2 ** 51 }), fc.constantFrom(0, 2 ** 51, 2 ** 32));
const bytes = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });
const blocks = fc
  .record({ count: fc.integer({ min: 1, max: 16 }), fill: fc.integer({ min: 0, max: 255 }) })
  .map(({ count, fill }) => new Uint8Array(count * 512).fill(fill));
const name = (maxLength = 63) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength })
    .map((codes) => String.fromCharCode(...codes));
const id = { idHigh: u32, idLow: u32 };
const block = { volume: u16, sector, ...id };

function fields(form: PayloadForm, command: string, session: WireSession): object {
  const digest = session.digestBytes === 0 ? fc.constant(undefined) : bytes(session.digestBytes);
  switch (form) {
    case "data":
      return { ...block, sequence: u32, flags: u32, digest, data: blocks };
    case "range":
      return {
        ...block,
        sequence: u32,
        flags: u32,
        bytes: fc.integer({ min: 1, max: 262_144 }).map((sectors) => sectors * 512),
        digest: command === "P_WSAME" ? digest : fc.constant(undefined),
        data: command === "P_WSAME" ? bytes(4_096) : fc.constant(undefined),
      };
    case "request":
      return {
        ...block,
        bytes: fc.integer({ min: 1, max: DATA_MAX / 512 }).map((sectors) => sectors * 512),
        digest: /OV_REPLY|CSUM/.test(command) ? bytes(0, 64) : fc.constant(undefined),
      };
    case "ack":
      return { ...block, bytes: u32, sequence: u32 };
    case "blockRange":
      return { volume: u16, sector, bytes: u32 };
    case "barrier":
      return { barrier: u32 };
    case "barrierAck":
      return { barrier: u32, writes: u32 };
    case "features":
      return { minimum: u32, features: u32, maximum: u32 };
    case "auth":
      return { bytes: bytes(0, 128) };
    case "bitmap":
      return {
        volume: u16,
        bytes:
          command === "P_BITMAP"
            ? fc.integer({ min: 0, max: 510 }).chain((words) => bytes(words * 8))
            : bytes(1, 4_080),
      };
    case "protocol":
      return {
        protocol: u32,
        afterSplitBrain: fc.tuple(u32, u32, u32),
        connectionFlags: u32,
        twoPrimaries: u32,
        integrity: name(),
      };
    case "syncParam":
      return {
        volume: u16,
        rateKibPerSecond: u32,
        verify: name(),
        checksumResync: name(),
        planAhead: u32,
        delayTarget: u32,
        fillTarget: u32,
        maxRate: u32,
      };
    default:
      return rareFields(form, session);
  }
}

function rareFields(form: PayloadForm, session: WireSession): object {
  switch (form) {
    case "sizes":
      return {
        volume: u16,
        diskSectors: sector,
        userSectors: sector,
        currentSectors: sector,
        maxBioBytes: u32,
        queueOrderType: u16,
        flags: u16,
        limits:
          (session.features & feature.writeSame) === 0
            ? fc.constant(undefined)
            : record({
                physicalBlockBytes: u32,
                logicalBlockBytes: u32,
                alignmentOffset: u32,
                ioMinimum: u32,
                ioOptimum: u32,
                discard: fc.boolean(),
                discardZeroes: fc.boolean(),
                writeSame: fc.boolean(),
              }),
      };
    case "uuids":
      return {
        volume: u16,
        generations: record({ current: big, bitmap: big, history0: big, history1: big }),
        dirtyBits: sector,
        flags: u32,
      };
    case "state":
      return { volume: u16, word: u32 };
    case "syncUuid":
      return { volume: u16, uuid: big };
    case "stateRequest":
      return { volume: u16, mask: u32, value: u32 };
    case "stateReply":
      return { volume: u16, result: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) };
    case "baton":
      return { clusterId: name(55), epoch: fc.maxSafeNat() };
    case "delayProbe":
      return {};
    default:
      return { volume: u16 };
  }
}

/** Any packet after the features, of one session. */
export const packetOf = (session: WireSession): fc.Arbitrary<Packet> =>
  fc.oneof(
    ...commandRows
      .filter(({ number }) => number < 0xfff0)
      .map((row) =>
        record({ command: fc.constant(row.name), ...fields(row.form, row.name, session) }),
      ),
  ) as unknown as fc.Arbitrary<Packet>;

/** Packets with a header of 8 bytes. */
export const earlyPacket = fc.oneof(
  record({
    command: fc.constant("P_CONNECTION_FEATURES"),
    minimum: u32,
    features: u32,
    maximum: u32,
  }),
  fc.constant({ command: "P_INITIAL_DATA", volume: 0 }),
) as unknown as fc.Arbitrary<Packet>;

/** The bytes of packets, one behind the other. */
export function streamOf(packets: readonly Packet[], session: WireSession | undefined): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const packet of packets) {
    const head = new Uint8Array(HEAD_MAX);
    parts.push(head.subarray(0, putHead(head, 0, packet, session)), payloadOf(packet));
  }
  const stream = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    stream.set(part, at);
    at += part.length;
  }
  return stream;
}

/** The socket on which a packet may be sent. */
export function socketOf(packet: Packet): "data" | "meta" {
  const { socket } = commandOfPacket(packet);
  return socket === "both" ? "meta" : socket;
}
