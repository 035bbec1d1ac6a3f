/**
 * Prints what DRBD said in a capture, one line for each packet: seconds, direction, socket, command, fields.
 *
 *   node test/kernel/decode.ts FILE.pcap [FROM-SECONDS [TO-SECONDS]]
 *
 * What can not be read is printed as such and ends that direction of its connection only.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { SocketName } from "../../src/replication/contract.ts";
import { digestBytes } from "../../src/replication/wire/digest-lengths.ts";
import { PacketReader } from "../../src/replication/wire/frames.ts";
import type { WireSession } from "../../src/replication/wire/header.ts";
import type { Packet } from "../../src/replication/wire/packets.ts";
import { decodeState } from "../../src/replication/wire/state-word.ts";

const SYN = 2;
const RST = 4;
const FIN = 1;

interface Segment {
  readonly time: number;
  readonly from: string;
  readonly to: string;
  readonly sequence: number;
  readonly flags: number;
  readonly bytes: Buffer;
}

/** One direction of a TCP connection. */
interface Direction {
  readonly from: string;
  readonly to: string;
  /** Set once the first bytes say which socket it is. */
  reader: PacketReader | undefined;
  next: number | undefined;
  readonly waiting: Map<number, Buffer>;
  faulty: boolean;
}

interface Connection {
  readonly directions: Map<string, Direction>;
  socket: SocketName | undefined;
  session: WireSession | undefined;
  offers: number[];
}

/** Reads a capture of `Lan.capture`. @returns the lines */
export function decodeCapture(file: Uint8Array): readonly string[] {
  const trace = new Trace();
  for (const segment of segments(Buffer.from(file))) trace.take(segment);
  return trace.lines;
}

class Trace {
  readonly lines: string[] = [];
  /** By the two ends; the newest of a pair of ports. */
  readonly #open = new Map<string, Connection>();
  readonly #all: Connection[] = [];

  take(segment: Segment): void {
    const key = [segment.from, segment.to].sort().join(" ");
    let connection = this.#open.get(key);
    if ((segment.flags & SYN) !== 0 && !this.#isRepeat(connection, segment)) {
      connection = { directions: new Map(), socket: undefined, session: undefined, offers: [] };
      this.#open.set(key, connection);
      this.#all.push(connection);
    }
    if (connection === undefined) return; // Began before the capture.
    const direction = this.#direction(connection, segment);
    if ((segment.flags & SYN) !== 0) direction.next = (segment.sequence + 1) >>> 0;
    else if (segment.bytes.length > 0) this.#bytes(connection, direction, segment);
    if ((segment.flags & (FIN | RST)) !== 0) {
      const word = (segment.flags & RST) !== 0 ? "reset" : "closed";
      this.#say(segment.time, connection, direction, `-- ${word}`);
    }
  }

  /** A second SYN of the same opening, or the other side's half of it. */
  #isRepeat(connection: Connection | undefined, segment: Segment): boolean {
    if (connection === undefined) return false;
    const own = connection.directions.get(segment.from);
    if (own?.next === undefined) return (segment.flags & 16) !== 0;
    return own.next === (segment.sequence + 1) >>> 0;
  }

  #direction(connection: Connection, { from, to }: Segment): Direction {
    const known = connection.directions.get(from);
    if (known !== undefined) return known;
    const direction: Direction = {
      from,
      to,
      reader: undefined,
      next: undefined,
      waiting: new Map(),
      faulty: false,
    };
    connection.directions.set(from, direction);
    return direction;
  }

  #bytes(connection: Connection, direction: Direction, segment: Segment): void {
    direction.next ??= segment.sequence;
    const ahead = (segment.sequence - direction.next) | 0;
    if (ahead > 0) {
      direction.waiting.set(segment.sequence, segment.bytes);
      return;
    }
    const fresh = segment.bytes.subarray(-ahead);
    if (fresh.length === 0) return;
    direction.next = (direction.next + fresh.length) >>> 0;
    this.#feed(connection, direction, fresh, segment.time);
    for (const [sequence, bytes] of direction.waiting) {
      if (((sequence - direction.next) | 0) > 0) continue;
      direction.waiting.delete(sequence);
      this.#bytes(connection, direction, { ...segment, sequence, bytes });
      return;
    }
  }

  #feed(connection: Connection, direction: Direction, bytes: Uint8Array, time: number): void {
    if (direction.faulty) return;
    connection.socket ??= bytes[5] === 0xf1 && bytes[4] === 0xff ? "meta" : "data";
    direction.reader ??= new PacketReader(connection.socket);
    if (connection.session !== undefined) direction.reader.agree(connection.session);
    direction.reader.push(bytes, (packet) => {
      this.#say(time, connection, direction, describe(packet));
      this.#learn(connection, packet, time);
    });
    if (direction.reader.fault === undefined) return;
    direction.faulty = true;
    this.#say(time, connection, direction, `-- unreadable: ${direction.reader.fault.message}`);
  }

  #learn(connection: Connection, packet: Packet, time: number): void {
    if (packet.command === "P_CONNECTION_FEATURES") {
      connection.offers.push(packet.features);
      const [one, other] = connection.offers;
      if (one === undefined || other === undefined) return;
      // The meta socket of this session is the newest one that has none yet.
      const meta = this.#all.findLast(
        ({ socket, session }) => socket === "meta" && session === undefined,
      );
      const session = { version: 101, features: one & other, digestBytes: 0 };
      for (const member of meta === undefined ? [connection] : [connection, meta]) {
        this.#agree(member, session, time);
      }
    } else if (packet.command === "P_PROTOCOL" && connection.session !== undefined) {
      const digest = digestBytes(packet.integrity) ?? 0;
      this.#agree(connection, { ...connection.session, digestBytes: digest }, time);
    }
  }

  #agree(connection: Connection, session: WireSession, time: number): void {
    const first = connection.session === undefined;
    connection.session = session;
    for (const direction of connection.directions.values()) {
      direction.reader?.agree(session);
      // On the meta socket a ping may have waited for this.
      if (first && connection.socket === "meta" && direction.reader !== undefined) {
        this.#feed(connection, direction, new Uint8Array(0), time);
      }
    }
  }

  #say(time: number, connection: Connection, direction: Direction, text: string): void {
    const way = `${host(direction.from)}>${host(direction.to)}`;
    this.lines.push(
      `${time.toFixed(4).padStart(9)} ${way} ${(connection.socket ?? "?").padEnd(4)} ${text}`,
    );
  }
}

/** Ends by the last number of their address: 1 is the guest, 254 is Baton. */
const host = (end: string): string => end.split(":")[0]?.split(".")[3] ?? end;

function* segments(file: Buffer): Iterable<Segment> {
  let first: number | undefined;
  for (let at = 24; at + 16 <= file.length; ) {
    const time = file.readUInt32LE(at) + file.readUInt32LE(at + 4) / 1e6;
    const length = file.readUInt32LE(at + 8);
    first ??= time;
    const frame = file.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    if (frame.length < length || frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 6) continue;
    const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
    const tcp = ip.subarray(((ip[0] ?? 0) & 15) * 4);
    yield {
      time: time - first,
      from: `${ip.subarray(12, 16).join(".")}:${tcp.readUInt16BE(0)}`,
      to: `${ip.subarray(16, 20).join(".")}:${tcp.readUInt16BE(2)}`,
      sequence: tcp.readUInt32BE(4),
      flags: tcp[13] ?? 0,
      bytes: tcp.subarray(((tcp[12] ?? 0) >> 4) * 4),
    };
  }
}

/** Command and fields; states in words, data by its first line. */
function describe(packet: Packet): string {
  const { command, ...fields } = packet;
  const parts = Object.entries(fields).map(([name, value]) => `${name}=${print(name, value)}`);
  return [command, ...parts].join(" ");
}

function print(name: string, value: unknown): string {
  if (typeof value === "bigint") return value.toString(16).padStart(16, "0");
  if (value instanceof Uint8Array) {
    if (name === "data") return `[${value.length}]${JSON.stringify(firstLine(value))}`;
    return `[${value.length}]${Buffer.from(value.subarray(0, 24)).toString("hex")}`;
  }
  if (typeof value === "number" && (name === "word" || name === "value")) return state(value);
  if (typeof value === "number" && /mask|flags|features|id|barrier/i.test(name)) {
    return `0x${(value >>> 0).toString(16)}`;
  }
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([key, inner]) => `${key}=${print(key, inner)}`)
      .join(" ")}}`;
  }
  return String(value);
}

function firstLine(bytes: Uint8Array): string {
  return (
    Buffer.from(bytes.subarray(0, 40))
      .toString("latin1")
      .split("\n")[0]
      ?.replace(/[^ -~]/g, ".") ?? ""
  );
}

function state(word: number): string {
  const decoded = decodeState(word);
  const raw = `0x${(word >>> 0).toString(16)}`;
  if (decoded === undefined) return raw;
  const { role, peer, conn, disk, pdsk, ...flags } = decoded;
  const set = Object.entries(flags).flatMap(([name, on]) => (on ? [name] : []));
  return [`${raw}(${conn}`, `${role}/${peer}`, `${disk}/${pdsk}`, ...set].join(" ").concat(")");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file = "", from = "0", to = "Infinity"] = process.argv.slice(2);
  for (const line of decodeCapture(readFileSync(file))) {
    const seconds = Number(line.slice(0, 9));
    if (seconds >= Number(from) && seconds <= Number(to)) process.stdout.write(`${line}\n`);
  }
}
