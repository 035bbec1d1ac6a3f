/**
 * Packets out of the stream of one socket. Two forms of the same reader:
 *
 *   pull   receive into `space()`, tell `received(n)`, then call `next()` until undefined. Nothing is copied, except
 *          that a packet cut by the end of the buffer is moved to its beginning, once.
 *   push   `push(chunk, take)`: whole packets are decoded inside the chunk; the bytes of a cut one are copied once.
 *
 * Bytes in packets are views: valid until the next `space()` or `push()`.
 *
 * Before `agree`, headers have 8 bytes; a packet with the header of 16 bytes then waits: the peer may have agreed a
 * moment before us, and its first ping on the meta socket overtakes its features on the data socket (drbd.md 1.3, 2.1).
 * After a fault nothing more is read: the connection has to go.
 */
import { assert, BatonError } from "../../base/index.ts";
import type { SocketName } from "../contract.ts";
import { getU16, getU32 } from "./bytes.ts";
import { type CommandRow, DATA_MAX, DIGEST_MAX } from "./commands.ts";
import { decodePayload } from "./decode.ts";
import {
  admit,
  LONG_HEADER_BYTES,
  MAGIC_LONG,
  MAGIC_SHORT,
  SHORT_HEADER_BYTES,
  type WireSession,
  wireError,
  wrongMagic,
  wrongPad,
} from "./header.ts";
import type { Packet } from "./packets.ts";

/** The longest packet of the data socket. */
const PACKET_MAX = LONG_HEADER_BYTES + 24 + DIGEST_MAX + DATA_MAX;
/** Bytes that may wait for `agree`: a whole handshake of one volume has under 1 KiB. */
const HELD_MAX = 8_192;
/** Room for some packets of 1 MiB, so that few are cut by the end; acks are small. */
export const READER_BYTES: Readonly<Record<SocketName, number>> = { data: 4 << 20, meta: 64 << 10 };

/** Cuts the stream of one socket into packets. Views in a packet hold until the next `space` or `push`. */
export class PacketReader {
  readonly #socket: SocketName;
  readonly #own: Uint8Array;
  /** What is read now: `#own`, or the chunk of a push. */
  #bytes: Uint8Array;
  #start = 0;
  #end = 0;
  #session: WireSession | undefined;
  /** The packet whose payload is awaited. */
  #row: CommandRow | undefined;
  #headerBytes = SHORT_HEADER_BYTES;
  #volume = 0;
  #length = 0;
  #fault: BatonError | undefined;

  /** @param buffer where `space()` is; made here if not given. It must hold the longest packet. */
  constructor(socket: SocketName, buffer = new Uint8Array(READER_BYTES[socket])) {
    assert(buffer.length >= (socket === "data" ? PACKET_MAX : HELD_MAX), "The buffer is too small");
    this.#socket = socket;
    this.#own = buffer;
    this.#bytes = buffer;
  }

  /** Why nothing more is read; undefined: all is well. */
  get fault(): BatonError | undefined {
    return this.#fault;
  }

  /** Bytes that are here and belong to no packet yet. */
  get pending(): number {
    return this.#end - this.#start;
  }

  /** From the next packet on. Called again when the data-integrity-alg is known or changes. */
  agree(session: WireSession): void {
    this.#session = session;
  }

  /** Where the next bytes may be received, at least one. Views of earlier packets are void after this. */
  space(): Uint8Array {
    const { pending } = this;
    if (pending === 0) {
      this.#start = 0;
      this.#end = 0;
    } else if (this.#start + this.#wanted() > this.#own.length || this.#end === this.#own.length) {
      this.#own.copyWithin(0, this.#start, this.#end);
      this.#start = 0;
      this.#end = pending;
    }
    return this.#own.subarray(this.#end);
  }

  /** So many bytes were received into `space()`. */
  received(count: number): void {
    assert(this.#end + count <= this.#own.length, "More was received than there was space");
    this.#end += count;
  }

  /** The next whole packet; undefined if there is none, or after a fault. */
  next(): Packet | undefined {
    if (this.#row === undefined && !this.#readHeader()) return undefined;
    const row = this.#row as CommandRow;
    const bodyAt = this.#start + this.#headerBytes;
    const after = bodyAt + this.#length;
    if (after > this.#end) return undefined;
    const packet = decodePayload(
      row,
      this.#volume,
      this.#bytes,
      bodyAt,
      this.#length,
      this.#session,
    );
    if (packet instanceof BatonError) {
      this.#fault = packet;
      return undefined;
    }
    this.#start = after;
    this.#row = undefined;
    return packet;
  }

  /**
   * Takes a chunk of any size and gives each packet to `take`, which may call `agree`. An empty chunk after `agree`
   * brings what had waited for it.
   */
  push(chunk: Uint8Array, take: (packet: Packet) => void): void {
    this.#drain(take);
    let at = 0;
    while (at < chunk.length && this.#fault === undefined) {
      if (this.pending === 0) {
        this.#pushInPlace(chunk, at, take);
        return;
      }
      const lacking = this.#wanted() - this.pending;
      const count = Math.min(chunk.length - at, lacking > 0 ? lacking : HELD_MAX);
      this.#append(chunk, at, at + count);
      at += count;
      this.#drain(take);
    }
  }

  #pushInPlace(chunk: Uint8Array, at: number, take: (packet: Packet) => void): void {
    this.#bytes = chunk;
    this.#start = at;
    this.#end = chunk.length;
    try {
      this.#drain(take);
    } finally {
      const rest = this.#start;
      this.#bytes = this.#own;
      this.#start = 0;
      this.#end = 0;
      if (this.#fault === undefined) this.#append(chunk, rest, chunk.length);
    }
  }

  #drain(take: (packet: Packet) => void): void {
    for (let packet = this.next(); packet !== undefined; packet = this.next()) take(packet);
  }

  #append(chunk: Uint8Array, from: number, to: number): void {
    if (from === to) return;
    const space = this.space();
    space.set(chunk.subarray(from, to));
    this.received(to - from);
  }

  /** Bytes of the packet that is under way, as far as known. */
  #wanted(): number {
    if (this.#row !== undefined) return this.#headerBytes + this.#length;
    return this.#session === undefined ? SHORT_HEADER_BYTES : LONG_HEADER_BYTES;
  }

  /** True: a header was read and admitted. */
  #readHeader(): boolean {
    if (this.#fault !== undefined) return false;
    const session = this.#session;
    const at = this.#start;
    const bytes = this.#bytes;
    const here = this.#end - at;
    if (here < 4) return false;
    const magic = getU32(bytes, at);
    let number: number;
    if (session === undefined) {
      if (magic !== MAGIC_SHORT) return this.#early(magic, here);
      if (here < SHORT_HEADER_BYTES) return false;
      this.#headerBytes = SHORT_HEADER_BYTES;
      this.#volume = 0;
      number = getU16(bytes, at + 4);
      this.#length = getU16(bytes, at + 6);
    } else {
      if (magic !== MAGIC_LONG) return this.#fail(wrongMagic(magic));
      if (here < LONG_HEADER_BYTES) return false;
      const pad = getU32(bytes, at + 12);
      if (pad !== 0) return this.#fail(wrongPad(pad));
      this.#headerBytes = LONG_HEADER_BYTES;
      this.#volume = getU16(bytes, at + 4);
      number = getU16(bytes, at + 6);
      this.#length = getU32(bytes, at + 8);
    }
    const row = admit(this.#socket, number, this.#length, session);
    if (row instanceof BatonError) return this.#fail(row);
    this.#row = row;
    return true;
  }

  /** Nothing is agreed and this is no short header: a long one waits for `agree`, within a limit. */
  #early(magic: number, here: number): false {
    if (magic !== MAGIC_LONG) return this.#fail(wrongMagic(magic));
    if (here <= HELD_MAX) return false;
    return this.#fail(
      wireError("BTN-DISK-WIRE-EARLY", `Cannot hold ${here} bytes that came before the features`),
    );
  }

  #fail(fault: BatonError): false {
    this.#fault = fault;
    return false;
  }
}
