/**
 * Test support: the sessions of two kernels recorded under `testdata/`, as packets in the order in which they were seen.
 * No part of the product imports it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { SocketName } from "../contract.ts";
import { digestBytes } from "./digest-lengths.ts";
import { PacketReader } from "./frames.ts";
import type { WireSession } from "./header.ts";
import type { Packet } from "./packets.ts";

export type CapturedHost = "alice" | "bob";

/** One packet, when its last byte was seen. */
export interface CapturedPacket {
  readonly from: CapturedHost;
  readonly socket: SocketName;
  /** Its bytes are a copy of its own. */
  readonly packet: Packet;
  /** Seconds since the first frame of the file. */
  readonly time: number;
  /** Connections in the order of their handshakes, from 0. Packets of sockets given up before it: -1. */
  readonly session: number;
}

/** All bytes that one side sent on one TCP connection, in order. */
export interface CapturedStream {
  readonly from: CapturedHost;
  readonly socket: SocketName;
  readonly session: number;
  readonly bytes: Uint8Array;
  /** What was agreed in that session; undefined: it did not come to that. */
  readonly agreed: WireSession | undefined;
}

/** One capture. */
export interface Capture {
  readonly packets: readonly CapturedPacket[];
  readonly streams: readonly CapturedStream[];
  /** Bytes at the end of streams that are no whole packet. */
  readonly leftBytes: number;
}

interface Piece {
  readonly frame: number;
  readonly time: number;
  readonly bytes: Uint8Array;
}
interface Direction {
  readonly from: CapturedHost;
  readonly pieces: Piece[];
  /** Segments that came too early, by sequence number. */
  readonly waiting: Map<number, Uint8Array>;
  next: number | undefined;
}
interface Connection {
  readonly sides: Readonly<Record<CapturedHost, Direction>>;
  readonly startedAt: number;
}

const directory = join(import.meta.dirname, "testdata");

/** Names of all captures, without suffix, in order. */
export const captureNames = (): readonly string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".pcap.gz"))
    .map((name) => name.slice(0, -".pcap.gz".length))
    .sort();

/** The packets of the capture whose name begins so, such as `18`; see `readCapture`. */
export const readSession = (name: string): readonly CapturedPacket[] => readCapture(name).packets;

/** Reads a capture. @throws {Error} if there is none of that name, or if it holds what DRBD does not send */
export function readCapture(name: string): Capture {
  const file = captureNames().find((candidate) => candidate.startsWith(name));
  if (file === undefined) throw new Error(`No capture ${name}`);
  return decodeConnections(
    reassemble(gunzipSync(readFileSync(join(directory, `${file}.pcap.gz`)))),
  );
}

function reassemble(file: Buffer): readonly Connection[] {
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1) {
    throw new Error("Not a little-endian ethernet capture");
  }
  const open = new Map<string, Connection>();
  const all: Connection[] = [];
  let first: number | undefined;
  let frame = 0;
  for (let at = 24; at < file.length; ) {
    const time = file.readUInt32LE(at) + file.readUInt32LE(at + 4) / 1e6;
    const length = file.readUInt32LE(at + 8);
    if (length !== file.readUInt32LE(at + 12)) throw new Error("A frame was cut");
    first ??= time;
    takeFrame(
      file.subarray(at + 16, at + 16 + length),
      { frame: ++frame, time: time - first },
      open,
      all,
    );
    at += 16 + length;
  }
  return all;
}

function takeFrame(
  frame: Buffer,
  seen: { readonly frame: number; readonly time: number },
  open: Map<string, Connection>,
  all: Connection[],
): void {
  if (frame.readUInt16BE(12) !== 0x0800 || frame.readUInt8(23) !== 6) return;
  const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
  const tcp = ip.subarray((ip.readUInt8(0) & 15) * 4);
  const ports = [tcp.readUInt16BE(0), tcp.readUInt16BE(2)];
  const from = ip.readUInt8(15) === 1 ? "alice" : "bob";
  // Both sides listen on one port, so the other end's port names the connection, together with who owns it.
  const key =
    ports[0] === 7788 ? `${from}:${ports[1]}` : `${from === "alice" ? "bob" : "alice"}:${ports[0]}`;
  const isOpening = (tcp.readUInt8(13) & 0x12) === 0x02;
  let connection = open.get(key);
  const sequence = tcp.readUInt32BE(4);
  if (isOpening && connection?.sides[from].next !== (sequence + 1) >>> 0) {
    const direction = (host: CapturedHost): Direction => ({
      from: host,
      pieces: [],
      waiting: new Map(),
      next: undefined,
    });
    connection = {
      sides: { alice: direction("alice"), bob: direction("bob") },
      startedAt: seen.time,
    };
    open.set(key, connection);
    all.push(connection);
  }
  if (connection === undefined) return;
  const side = connection.sides[from];
  if ((tcp.readUInt8(13) & 0x02) !== 0) {
    side.next = (sequence + 1) >>> 0;
    return;
  }
  const bytes = new Uint8Array(tcp.subarray((tcp.readUInt8(12) >> 4) * 4));
  if (bytes.length > 0) takeSegment(side, sequence, bytes, seen);
}

/** Keeps what is new of a segment, and what waited for it. */
function takeSegment(
  side: Direction,
  sequence: number,
  bytes: Uint8Array,
  seen: { readonly frame: number; readonly time: number },
): void {
  if (side.next === undefined) throw new Error("A segment before the connection was opened");
  const ahead = (sequence - side.next) | 0;
  if (ahead > 0) {
    side.waiting.set(sequence, bytes);
    return;
  }
  const fresh = bytes.subarray(-ahead);
  if (fresh.length > 0) {
    side.pieces.push({ ...seen, bytes: fresh });
    side.next = (side.next + fresh.length) >>> 0;
  }
  for (const [start, waiting] of side.waiting) {
    if (((start - side.next) | 0) > 0) continue;
    side.waiting.delete(start);
    takeSegment(side, start, waiting, seen);
    return;
  }
}

const joined = (direction: Direction): Uint8Array =>
  new Uint8Array(Buffer.concat(direction.pieces.map(({ bytes }) => bytes)));

/** The first packet of a connection's first side says which socket it is; undefined: nothing was ever sent. */
function socketOf(connection: Connection): SocketName | undefined {
  for (const side of Object.values(connection.sides)) {
    const bytes = joined(side);
    if (bytes[4] === 0xff && bytes[5] === 0xf2) return "data";
    if (bytes[4] === 0xff && bytes[5] === 0xf1) return "meta";
  }
  return undefined;
}

function decodeConnections(connections: readonly Connection[]): Capture {
  const named = connections.flatMap((connection) => {
    const socket = socketOf(connection);
    return socket === undefined ? [] : [{ connection, socket, at: featuresAt(connection) }];
  });
  const handshakes = named
    .filter(({ socket, at }) => socket === "data" && at !== undefined)
    .sort((left, right) => (left.at ?? 0) - (right.at ?? 0));
  const packets: CapturedPacket[] = [];
  const streams: CapturedStream[] = [];
  let leftBytes = 0;
  const used = new Set<Connection>();
  handshakes.forEach((handshake, session) => {
    // Both sockets are up before the first features: the meta socket is the latest one that was opened before them.
    const meta = named
      .filter(
        ({ socket, connection }) =>
          socket === "meta" && connection.startedAt < (handshake.at ?? 0) && !used.has(connection),
      )
      .at(-1);
    const members = meta === undefined ? [handshake] : [handshake, meta];
    for (const { connection } of members) used.add(connection);
    leftBytes += decodeSession(members, session, packets, streams);
  });
  for (const one of named.filter(({ connection }) => !used.has(connection))) {
    leftBytes += decodeSession([one], -1, packets, streams);
  }
  return { packets: packets.sort((left, right) => left.time - right.time), streams, leftBytes };
}

/** When the first of a connection's features was seen. */
function featuresAt(connection: Connection): number | undefined {
  const times = Object.values(connection.sides).flatMap(({ pieces }) =>
    pieces
      .filter(({ bytes }, index) => index > 0 || bytes[5] === 0xfe || bytes.length > 8)
      .slice(0, 1)
      .map(({ time }) => time),
  );
  return times.length === 0 ? undefined : Math.min(...times);
}

/** The reader's views end with the next chunk; a copy stays. */
const withOwnBytes = (packet: Packet): Packet =>
  Object.fromEntries(
    Object.entries(packet).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? new Uint8Array(value) : value,
    ]),
  ) as unknown as Packet;

function decodeSession(
  members: readonly { readonly connection: Connection; readonly socket: SocketName }[],
  session: number,
  packets: CapturedPacket[],
  streams: CapturedStream[],
): number {
  const readers = members.flatMap(({ connection, socket }) =>
    Object.values(connection.sides).map((side) => ({
      side,
      socket,
      reader: new PacketReader(socket),
    })),
  );
  const offers: number[] = [];
  let agreed: WireSession | undefined;
  const agree = (next: WireSession): void => {
    agreed = next;
    for (const { reader } of readers) reader.agree(next);
  };
  const pieces = readers
    .flatMap((source) => source.side.pieces.map((piece) => ({ ...source, piece })))
    .sort((left, right) => left.piece.frame - right.piece.frame);
  const feed = (source: (typeof readers)[number], bytes: Uint8Array, time: number): void => {
    source.reader.push(bytes, (packet) => {
      packets.push({
        from: source.side.from,
        socket: source.socket,
        packet: withOwnBytes(packet),
        time,
        session,
      });
      if (packet.command === "P_CONNECTION_FEATURES") {
        offers.push(packet.features);
        if (offers.length === 2) {
          agree({ version: 101, features: (offers[0] ?? 0) & (offers[1] ?? 0), digestBytes: 0 });
        }
      } else if (packet.command === "P_PROTOCOL" && agreed !== undefined) {
        agree({ ...agreed, digestBytes: digestBytes(packet.integrity) ?? 0 });
      }
    });
    const { fault } = source.reader;
    if (fault !== undefined) throw fault;
  };
  for (const { piece, ...source } of pieces) {
    const before = agreed;
    feed(source, piece.bytes, piece.time);
    // What came early on another stream had waited for the features.
    if (agreed !== before) for (const other of readers) feed(other, new Uint8Array(0), piece.time);
  }
  for (const { side, socket } of readers) {
    streams.push({ from: side.from, socket, session, bytes: joined(side), agreed });
  }
  return readers.reduce((sum, { reader }) => sum + reader.pending, 0);
}
