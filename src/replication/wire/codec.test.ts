import { deepEqual, equal, ok as holds } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodePacket, encodePacket } from "./codec.ts";
import { commandOfPacket, commandRows } from "./commands.ts";
import type { WireSession } from "./header.ts";
import { earlyPacket, packetOf, sessions, socketOf } from "./packets.test-support.ts";
import type { Packet } from "./packets.ts";

const agreed: WireSession = { version: 101, features: 0x0f, digestBytes: 0 };
const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(/[^0-9a-f]/g, "").match(/../g) ?? [], (pair) =>
    Number.parseInt(pair, 16),
  );
const bytesOf = (packet: Packet, session: WireSession | undefined): Uint8Array => {
  const { head, payload = new Uint8Array() } = encodePacket(packet, session);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
};

/** Encodes, checks the header, and decodes what follows it. */
function roundTrip(packet: Packet, session: WireSession | undefined): Packet {
  const stream = bytesOf(packet, session);
  const headerLength = session === undefined ? 8 : 16;
  const body = stream.subarray(headerLength);
  const { number } = commandOfPacket(packet);
  const volume = "volume" in packet ? packet.volume : 0;
  const result = decodePacket(
    socketOf(packet),
    { command: number, volume, length: body.length },
    body,
    session,
  );
  holds(result.ok, result.ok ? "" : result.error.message);
  return result.value;
}

test("every packet survives encoding and decoding", () => {
  for (const session of sessions) {
    fc.assert(
      fc.property(packetOf(session), (packet) => deepEqual(roundTrip(packet, session), packet)),
      { numRuns: 400 },
    );
  }
  fc.assert(fc.property(earlyPacket, (packet) => deepEqual(roundTrip(packet, undefined), packet)));
});

test("packets are the bytes of drbd.md appendix A", () => {
  const id = { idHigh: 0x0102_0304, idLow: 0x0506_0708 };
  const empty = { volume: 0 };
  const cases: [string, Packet, WireSession | undefined][] = [
    ["83740267 fff2 0000", { command: "P_INITIAL_DATA", ...empty }, undefined],
    ["83740267 fff1 0000", { command: "P_INITIAL_META", ...empty }, undefined],
    [
      `83740267 fffe 0048 00000064 0000000f 00000065 00000000${" 00".repeat(56)}`,
      { command: "P_CONNECTION_FEATURES", minimum: 100, features: 15, maximum: 101 },
      undefined,
    ],
    [
      "8620ec20 0000 000b 00000019 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00",
      {
        command: "P_PROTOCOL",
        protocol: 3,
        afterSplitBrain: [0, 0, 0],
        connectionFlags: 0,
        twoPrimaries: 0,
        integrity: "",
      },
      agreed,
    ],
    [
      `8620ec20 0000 0023 00000094 00000000 000000fa ${"00".repeat(128)} 00000014 0000000a 00000064 00019000`,
      {
        command: "P_SYNC_PARAM89",
        ...empty,
        rateKibPerSecond: 250,
        verify: "",
        checksumResync: "",
        planAhead: 20,
        delayTarget: 10,
        fillTarget: 100,
        maxRate: 102_400,
      },
      agreed,
    ],
    [
      "8620ec20 0000 000e 00000004 00000000 0000d082",
      { command: "P_STATE", ...empty, word: 0xd082 },
      agreed,
    ],
    [
      "8620ec20 0000 0024 00000003 00000000 e2ef01",
      { command: "P_COMPRESSED_BITMAP", ...empty, bytes: hex("e2ef01") },
      agreed,
    ],
    [
      "8620ec20 0000 002a 00000008 00000000 00001ff0 00000a10",
      { command: "P_CONN_ST_CHG_REQ", ...empty, mask: 0x1ff0, value: 0xa10 },
      agreed,
    ],
    ["8620ec20 0000 0013 00000000 00000000", { command: "P_PING", ...empty }, agreed],
    [
      "8620ec20 0000 001d 00000004 00000000 fffffff6",
      { command: "P_STATE_CHG_REPLY", ...empty, result: -10 },
      agreed,
    ],
    [
      "8620ec20 0000 0016 00000018 00000000 0000000000000008 0102030405060708 00001000 00000001",
      { command: "P_WRITE_ACK", ...empty, sector: 8, ...id, bytes: 4096, sequence: 1 },
      agreed,
    ],
    [
      "8620ec20 0000 001c 00000008 00000000 01000000 00000001",
      { command: "P_BARRIER_ACK", barrier: 0x0100_0000, writes: 1 },
      agreed,
    ],
    [
      "8620ec20 0000 0009 00000018 00000000 0000000000000008 ffffffffffffffff 00100000 00000000",
      {
        command: "P_RS_DATA_REQUEST",
        ...empty,
        sector: 8,
        idHigh: 0xffff_ffff,
        idLow: 0xffff_ffff,
        bytes: 1 << 20,
        digest: undefined,
      },
      agreed,
    ],
  ];
  for (const [text, packet, session] of cases) deepEqual(bytesOf(packet, session), hex(text));
});

test("bulk data is not copied", () => {
  const data = new Uint8Array(4096);
  const packet: Packet = {
    command: "P_DATA",
    volume: 0,
    sector: 8,
    idHigh: 1,
    idLow: 2,
    sequence: 1,
    flags: 0x102,
    digest: undefined,
    data,
  };
  const encoded = encodePacket(packet, agreed);
  equal(encoded.payload, data);
  equal(encoded.head.length, 40);
});

/** The code of the refusal of `length` zero bytes under this command. */
function refusal(
  socket: "data" | "meta",
  command: number,
  bytes: Uint8Array,
  session: WireSession | "none" = agreed,
): string {
  const header = { command, volume: 0, length: bytes.length };
  const result = decodePacket(socket, header, bytes, session === "none" ? undefined : session);
  return result.ok ? "taken" : result.error.code;
}

test("a length that a command can not have is refused, whatever the bytes are", () => {
  for (const row of commandRows.filter(({ number }) => number < 0xfff0)) {
    const socket = row.socket === "both" ? "data" : row.socket;
    const over = refusal(socket, row.number, new Uint8Array(row.most + 1));
    equal(over, "BTN-DISK-WIRE-LIMIT", row.name);
    if (row.least > 0) {
      equal(refusal(socket, row.number, new Uint8Array(row.least - 1)), "BTN-DISK-WIRE-LENGTH");
    }
  }
  // Between least and most: not whole sectors, words, or the form of P_SIZES that was not agreed.
  equal(refusal("data", 0x00, new Uint8Array(24 + 700)), "BTN-DISK-WIRE-LENGTH");
  equal(refusal("data", 0x04, new Uint8Array(12)), "BTN-DISK-WIRE-LENGTH");
  equal(refusal("data", 0x0d, new Uint8Array(32)), "BTN-DISK-WIRE-LENGTH");
  equal(
    refusal("data", 0x0d, new Uint8Array(56), { ...agreed, features: 3 }),
    "BTN-DISK-WIRE-LENGTH",
  );
  // The digest is part of the length.
  equal(
    refusal("data", 0x00, new Uint8Array(24 + 512), { ...agreed, digestBytes: 20 }),
    "BTN-DISK-WIRE-LENGTH",
  );
  equal(
    refusal("data", 0x00, new Uint8Array(24 + 20 + 512), { ...agreed, digestBytes: 20 }),
    "taken",
  );
});

test("a command is taken on its own socket and at its own time only", () => {
  equal(refusal("meta", 0x00, new Uint8Array(24 + 512)), "BTN-DISK-WIRE-COMMAND");
  equal(refusal("data", 0x16, new Uint8Array(24)), "BTN-DISK-WIRE-COMMAND");
  equal(refusal("data", 0xfffe, new Uint8Array(72)), "BTN-DISK-WIRE-COMMAND");
  equal(refusal("data", 0x0b, new Uint8Array(25), "none"), "BTN-DISK-WIRE-COMMAND");
  for (const number of [0x05, 0x06, 0x0a, 0x25, 0x2e, 0x35, 0x37, 0x100, 0xffff]) {
    equal(refusal("data", number, new Uint8Array(0)), "BTN-DISK-WIRE-COMMAND");
    equal(refusal("meta", number, new Uint8Array(0)), "BTN-DISK-WIRE-COMMAND");
  }
});

test("values that can not be are refused", () => {
  const far = hex(`8000000000000000 ${"00".repeat(16)}`);
  equal(refusal("meta", 0x16, far), "BTN-DISK-WIRE-FIELD");
  const request = (size: string) => hex(`0000000000000008 0000000000000001 ${size} 00000000`);
  equal(refusal("data", 0x08, request("00001000")), "taken");
  for (const size of ["00000000", "00000300", "00100200", "ffffffff"]) {
    equal(refusal("data", 0x08, request(size)), "BTN-DISK-WIRE-FIELD");
  }
  equal(refusal("data", 0x31, hex(`${"00".repeat(24)} 08000200`)), "BTN-DISK-WIRE-FIELD");
  equal(refusal("data", 0x31, hex(`${"00".repeat(24)} 08000000`)), "taken");
  equal(refusal("data", 0x0b, hex(`${"00".repeat(24)} 61`)), "BTN-DISK-WIRE-FIELD");
});
