/**
 * The replication network: two streams in each direction, in order, with delays; cables that can be cut one way, so that what
 * was sent waits; ends that vanish without a word. A connection is established when both sides look for it and both
 * cables carry. In a share of the schedules every packet goes through the real codec, in pieces.
 */
import type { Prng } from "../../base/index.ts";
import {
  digestBytes,
  HEAD_MAX,
  type Packet,
  PacketReader,
  payloadOf,
  putHead,
  READER_BYTES,
  type SocketName,
  type WireSession,
} from "../../replication/index.ts";
import type { EventQueue } from "../event-queue.ts";

export type Side = 0 | 1;
export const otherSide = (side: Side): Side => (side === 0 ? 1 : 0);

/** What an end of the wire is told. */
export interface WireEnd {
  /** The process is there and looks for the peer. */
  isLooking(): boolean;
  socketsUp(acceptedMeta: boolean): void;
  packet(socket: SocketName, packet: Packet): void;
  lost(reason: string): void;
}

type Item =
  | { readonly kind: "packet"; readonly packet: Packet }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "end" };

interface Stream {
  readonly items: { readonly at: number; readonly item: Item }[];
  lastAt: number;
  scheduled: boolean;
  reader: PacketReader | undefined;
}

interface Connection {
  /** By side: whether that side still holds its sockets. */
  readonly open: [boolean, boolean];
  /** By side: its host lost power, so nothing answers for it. */
  readonly silent: [boolean, boolean];
  /** By receiving side and socket. */
  readonly streams: readonly [Record<SocketName, Stream>, Record<SocketName, Stream>];
  readonly session: [WireSession | undefined, WireSession | undefined];
}

export interface WireWeather {
  delayMinMs: number;
  delayMaxMs: number;
}

export interface WireOptions {
  readonly events: EventQueue;
  readonly random: Prng;
  /** Packets become bytes, and packets again. */
  readonly codec: boolean;
  readonly ends: readonly [WireEnd, WireEnd];
  readonly count: (name: string) => void;
}

const ESTABLISH_MAX_MS = 20;
const pool = new Map<string, Uint8Array<ArrayBuffer>>();

/** The two ordered streams between the hosts, with delays, stalls and cuts. */
export class Wire {
  readonly #options: WireOptions;
  readonly weather: WireWeather = { delayMinMs: 0.05, delayMaxMs: 0.6 };
  /** By sending side. */
  readonly cut: [boolean, boolean] = [false, false];
  #connection: Connection | undefined;
  #establishing = false;

  constructor(options: WireOptions) {
    this.#options = options;
  }

  /** Something changed: maybe a connection can be made now. */
  tryEstablish(): void {
    const { events, random, ends } = this.#options;
    if (this.#establishing || this.cut[0] || this.cut[1]) return;
    if (!ends[0].isLooking() || !ends[1].isLooking()) return;
    this.#establishing = true;
    events.schedule(events.now + random.between(1, ESTABLISH_MAX_MS), () => {
      this.#establishing = false;
      if (this.cut[0] || this.cut[1] || !ends[0].isLooking() || !ends[1].isLooking()) return;
      this.#establish();
    });
  }

  #establish(): void {
    const { random, ends, events, count } = this.#options;
    const stream = (side: Side, socket: SocketName): Stream => ({
      items: [],
      lastAt: events.now,
      scheduled: false,
      reader: this.#options.codec ? new PacketReader(socket, bufferOf(side, socket)) : undefined,
    });
    this.#connection = {
      open: [true, true],
      silent: [false, false],
      streams: [
        { data: stream(0, "data"), meta: stream(0, "meta") },
        { data: stream(1, "data"), meta: stream(1, "meta") },
      ],
      session: [undefined, undefined],
    };
    count("connections");
    const accepted = random.chance(0.5);
    ends[0].socketsUp(accepted);
    ends[1].socketsUp(!accepted);
  }

  /** The headers and digests of `side` have this form from here on. */
  agreed(side: Side, version: number, features: number, integrity: string | undefined): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const session = {
      version,
      features,
      digestBytes: integrity === undefined ? 0 : (digestBytes(integrity) ?? 0),
    };
    connection.session[side] = session;
    for (const socket of ["data", "meta"] as const) {
      const stream = connection.streams[side][socket];
      stream.reader?.agree(session);
      // What had come too early is read now.
      if (stream.reader !== undefined && stream.reader.pending > 0) {
        stream.items.unshift({
          at: this.#options.events.now,
          item: { kind: "bytes", bytes: new Uint8Array(0) },
        });
        this.#schedule(connection, side, socket);
      }
    }
  }

  send(side: Side, socket: SocketName, packet: Packet): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.open[side]) return;
    this.#queue(connection, otherSide(side), socket, this.#item(connection, side, packet));
  }

  #item(connection: Connection, side: Side, packet: Packet): Item {
    if (!this.#options.codec) return { kind: "packet", packet: copyOf(packet) };
    const head = new Uint8Array(HEAD_MAX);
    const length = putHead(head, 0, packet, connection.session[side]);
    const payload = payloadOf(packet);
    const bytes = new Uint8Array(length + payload.length);
    bytes.set(head.subarray(0, length));
    bytes.set(payload, length);
    return { kind: "bytes", bytes };
  }

  /** This side closes its sockets: what it sent still arrives, then the end does. */
  hangUp(side: Side): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.open[side]) return;
    connection.open[side] = false;
    this.#queue(connection, otherSide(side), "data", { kind: "end" });
    this.#queue(connection, otherSide(side), "meta", { kind: "end" });
  }

  /** The host of this side has no power: nothing says so, and what was not sent yet is lost. */
  vanish(side: Side): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.open[side]) return;
    connection.open[side] = false;
    connection.silent[side] = true;
    for (const socket of ["data", "meta"] as const) {
      const { items } = connection.streams[otherSide(side)][socket];
      if (this.#options.random.chance(0.5)) items.length = 0;
    }
  }

  /** The host is there again: it answers for connections that it does not know. */
  reappear(side: Side): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.silent[side]) return;
    connection.silent[side] = false;
    if (!connection.open[otherSide(side)]) return;
    this.#queue(connection, otherSide(side), "data", { kind: "end" });
    this.#queue(connection, otherSide(side), "meta", { kind: "end" });
  }

  /** A cable carries again: what had waited arrives. */
  healed(): void {
    const connection = this.#connection;
    if (connection !== undefined) {
      for (const side of [0, 1] as const) {
        this.#schedule(connection, side, "data");
        this.#schedule(connection, side, "meta");
      }
    }
    this.tryEstablish();
  }

  #queue(connection: Connection, to: Side, socket: SocketName, item: Item): void {
    const { events, random } = this.#options;
    const { delayMinMs, delayMaxMs } = this.weather;
    const stream = connection.streams[to][socket];
    const delay = delayMinMs + (random.next() / 0x1_0000_0000) * (delayMaxMs - delayMinMs);
    stream.lastAt = Math.max(stream.lastAt, events.now + delay);
    stream.items.push({ at: stream.lastAt, item });
    this.#schedule(connection, to, socket);
  }

  #schedule(connection: Connection, to: Side, socket: SocketName): void {
    const stream = connection.streams[to][socket];
    const first = stream.items[0];
    if (first === undefined || stream.scheduled || this.cut[otherSide(to)]) return;
    stream.scheduled = true;
    this.#options.events.schedule(first.at, () => {
      stream.scheduled = false;
      if (this.cut[otherSide(to)]) return;
      const next = stream.items.shift();
      if (next !== undefined && connection.open[to])
        this.#deliver(connection, to, socket, next.item);
      this.#schedule(connection, to, socket);
    });
  }

  #deliver(connection: Connection, to: Side, socket: SocketName, item: Item): void {
    const end = this.#options.ends[to];
    switch (item.kind) {
      case "end":
        connection.open[to] = false;
        end.lost("closed by the peer");
        return;
      case "packet":
        end.packet(socket, item.packet);
        return;
      case "bytes":
        this.#decode(connection, to, socket, item.bytes);
    }
  }

  #decode(connection: Connection, to: Side, socket: SocketName, bytes: Uint8Array): void {
    const { reader } = connection.streams[to][socket];
    const end = this.#options.ends[to];
    if (reader === undefined) return;
    const cutAt =
      bytes.length > 1 && this.#options.random.chance(0.3)
        ? this.#options.random.between(1, bytes.length - 1)
        : bytes.length;
    const take = (packet: Packet): void => {
      // The end may keep it for later: its bytes are a view of what is read next.
      if (connection.open[to]) end.packet(socket, copyOf(packet));
    };
    reader.push(bytes.subarray(0, cutAt), take);
    if (cutAt < bytes.length) reader.push(bytes.subarray(cutAt), take);
    if (reader.fault === undefined || !connection.open[to]) return;
    connection.open[to] = false;
    end.lost(reader.fault.code);
  }
}

/** Readers of one world use the buffers of the last one: what they hold belongs to a connection that is over. */
function bufferOf(side: Side, socket: SocketName): Uint8Array<ArrayBuffer> {
  const name = `${side}${socket}`;
  let buffer = pool.get(name);
  if (buffer === undefined) {
    buffer = new Uint8Array(READER_BYTES[socket]);
    pool.set(name, buffer);
  }
  return buffer;
}

function copyOf(packet: Packet): Packet {
  const copy: Record<string, unknown> = { ...packet };
  for (const [name, value] of Object.entries(copy)) {
    if (value instanceof Uint8Array) copy[name] = value.slice();
  }
  return copy as unknown as Packet;
}
