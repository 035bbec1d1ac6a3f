/** What two kernels said to each other is understood to the last byte, and Baton would have said the same bytes. */
import { deepEqual, equal, ok as holds } from "node:assert/strict";
import { test } from "node:test";
import {
  type CapturedPacket,
  type CapturedStream,
  captureNames,
  readCapture,
  readSession,
} from "./captures.shell.ts";
import { encodePacket } from "./codec.ts";
import { nodeDigests } from "./digests.shell.ts";
import type { WireSession } from "./header.ts";
import type { Packet } from "./packets.ts";
import { decodeState, encodeState } from "./state-word.ts";

/** Packets per capture and per command, as counted by another decoder when they were recorded. */
const perCapture = [
  38, 17, 312, 70, 77, 73, 63, 81, 74, 54, 63, 817, 102, 54, 63, 67, 374, 31, 8, 76, 791, 1221, 84,
  65, 60, 14, 103, 64,
];
const perCommand = {
  P_AUTH_CHALLENGE: 4,
  P_AUTH_RESPONSE: 4,
  P_BARRIER: 365,
  P_BARRIER_ACK: 315,
  P_BITMAP: 4,
  P_COMPRESSED_BITMAP: 28,
  P_CONNECTION_FEATURES: 86,
  P_CONN_ST_CHG_REPLY: 20,
  P_CONN_ST_CHG_REQ: 20,
  P_CSUM_RS_REQUEST: 3,
  P_DATA: 527,
  P_DATA_REPLY: 5,
  P_DATA_REQUEST: 5,
  P_INITIAL_DATA: 45,
  P_INITIAL_META: 43,
  P_OV_REPLY: 492,
  P_OV_REQUEST: 492,
  P_OV_RESULT: 492,
  P_PING: 80,
  P_PING_ACK: 74,
  P_PROTOCOL: 84,
  P_RECV_ACK: 7,
  P_RS_DATA_REPLY: 48,
  P_RS_DATA_REQUEST: 46,
  P_RS_IS_IN_SYNC: 1,
  P_RS_WRITE_ACK: 48,
  P_SIZES: 85,
  P_STATE: 235,
  P_STATE_CHG_REPLY: 30,
  P_STATE_CHG_REQ: 30,
  P_SUPERSEDED: 50,
  P_SYNC_PARAM89: 85,
  P_SYNC_UUID: 17,
  P_TRIM: 13,
  P_UNPLUG_REMOTE: 447,
  P_UUIDS: 92,
  P_WRITE_ACK: 485,
  P_ZEROES: 9,
};

test("every packet of the 28 captures is understood, and no byte is left", () => {
  const counts = new Map<string, number>();
  const captures = captureNames().map(readCapture);
  for (const { packets } of captures) {
    for (const { packet } of packets)
      counts.set(packet.command, (counts.get(packet.command) ?? 0) + 1);
  }
  deepEqual(
    captures.map(({ packets }) => packets.length),
    perCapture,
  );
  deepEqual(Object.fromEntries([...counts].sort()), perCommand);
  equal(
    captures.reduce((sum, { leftBytes }) => sum + leftBytes, 0),
    0,
  );
  const sessions = captures.flatMap(({ packets }) => [
    ...new Set(packets.map(({ session }) => session).filter((session) => session >= 0)),
  ]);
  equal(sessions.length, 43);
});

test("every byte of both sockets in both directions is encoded again as it was, but for an idle pad", () => {
  let bytes = 0;
  let pads = 0;
  for (const name of captureNames()) {
    const { packets, streams } = readCapture(name);
    for (const stream of streams.filter(({ session }) => session >= 0)) {
      let at = 0;
      for (const { packet } of packets.filter((candidate) => isOf(candidate, stream))) {
        const again = encoded(packet, stream.agreed);
        const original = Buffer.from(stream.bytes.subarray(at, at + again.length));
        // The last four bytes of a block request are not set by the kernel (drbd.md 1.5): nothing needs them.
        if (/^P_(OV|DATA)_REQUEST$/.test(packet.command) && original.readUInt32BE(36) !== 0) {
          original.writeUInt32BE(0, 36);
          pads++;
        }
        holds(original.equals(again), `${name} ${stream.from} ${packet.command} at ${at}`);
        at += again.length;
      }
      equal(at, stream.bytes.length);
      bytes += at;
    }
  }
  equal(pads, 251);
  holds(bytes > 2_000_000, `only ${bytes} bytes`);
});

/** The bytes of a packet in a session that agreed on this. */
function encoded(packet: Packet, agreed: WireSession | undefined): Buffer {
  const isEarly = /^P_(INITIAL|CONNECTION_FEATURES)/.test(packet.command);
  const { head, payload } = encodePacket(packet, isEarly ? undefined : agreed);
  return Buffer.concat([head, payload ?? new Uint8Array(0)]);
}

const isOf = (packet: CapturedPacket, stream: CapturedStream): boolean =>
  packet.from === stream.from &&
  packet.socket === stream.socket &&
  packet.session === stream.session;

test("every state word that a kernel sent survives", () => {
  for (const name of captureNames()) {
    for (const { packet } of readSession(name)) {
      if (packet.command !== "P_STATE") continue;
      const state = decodeState(packet.word);
      holds(state !== undefined);
      equal(encodeState(state), packet.word);
    }
  }
});

/** The bytes of one side's packet of authentication. */
function authOf(packets: readonly CapturedPacket[], from: string, command: string): Uint8Array {
  const found = packets.find(
    ({ packet, ...seen }) => seen.from === from && packet.command === command,
  );
  holds(found !== undefined && "bytes" in found.packet && found.packet.bytes instanceof Uint8Array);
  return found.packet.bytes;
}

test("responses of CRAM-HMAC are those of the secret, and a wrong secret gives others", () => {
  const secret = new TextEncoder().encode("BatonSecret");
  const answers = (name: string): boolean[] => {
    const packets = readSession(name);
    return (["alice", "bob"] as const).map((from) => {
      const challenge = authOf(packets, from === "alice" ? "bob" : "alice", "P_AUTH_CHALLENGE");
      const expected = nodeDigests.hmac("sha1", secret, challenge);
      return Buffer.compare(expected, authOf(packets, from, "P_AUTH_RESPONSE")) === 0;
    });
  };
  deepEqual(answers("18"), [true, true]);
  deepEqual(answers("19"), [true, false]);
});

const same = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

test("digests of data are those of the algorithm that P_PROTOCOL names", () => {
  for (const [name, algorithm, sent] of [
    ["20", "sha1", 5],
    ["21", "crc32c", 4],
  ] as const) {
    let checked = 0;
    for (const { packet } of readSession(name)) {
      if (!/^P_(DATA|DATA_REPLY|RS_DATA_REPLY)$/.test(packet.command)) continue;
      holds("data" in packet && packet.data !== undefined && packet.digest !== undefined);
      holds(same(packet.digest, nodeDigests.digest(algorithm, packet.data)));
      checked++;
    }
    equal(checked, sent);
  }
});

/** Calls `see` with each packet and a reader of what both hosts hold by then; blocks never sent are zeros. */
function replay(
  name: string,
  see: (packet: Packet, read: (sector: number, bytes: number) => Uint8Array) => void,
): void {
  const sectors = new Map<number, Uint8Array>();
  const read = (sector: number, bytes: number): Uint8Array =>
    Buffer.concat(
      Array.from(
        { length: bytes / 512 },
        (_, index) => sectors.get(sector + index) ?? new Uint8Array(512),
      ),
    );
  for (const { packet } of readSession(name)) {
    see(packet, read);
    if (packet.command !== "P_DATA" && packet.command !== "P_RS_DATA_REPLY") continue;
    for (let at = 0; at < packet.data.length; at += 512) {
      sectors.set(packet.sector + at / 512, packet.data.subarray(at, at + 512));
    }
  }
}

test("digests of verify and checksum resync are those of the blocks that the sender holds", () => {
  const matches = (name: string, algorithm: string): [number, number] => {
    let equalOnes = 0;
    let all = 0;
    replay(name, (packet, read) => {
      if (packet.command !== "P_OV_REPLY" && packet.command !== "P_CSUM_RS_REQUEST") return;
      holds(packet.digest !== undefined);
      all++;
      if (same(packet.digest, nodeDigests.digest(algorithm, read(packet.sector, packet.bytes))))
        equalOnes++;
    });
    return [equalOnes, all];
  };
  // In 12 three blocks of bob were changed behind DRBD's back: that is what the verify found.
  deepEqual(matches("12", "sha1"), [243, 246]);
  deepEqual(matches("21", "crc32c"), [246, 246]);
  deepEqual(matches("13", "sha1"), [2, 2]);
  deepEqual(matches("08", "sha1"), [1, 1]);
});
