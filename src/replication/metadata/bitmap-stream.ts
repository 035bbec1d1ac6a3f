/**
 * The transfer form of a bitmap (drbd.md 6.2): packets that continue where the previous one ended, each either plain
 * words or alternating run lengths in a variable-length code, in any mix.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import type { BitmapPacket } from "../wire/packets.ts";
import type { Bitmap } from "./bitmap.ts";

/** Payload of a full packet behind a header of 16 bytes: 4096 - 16. */
export const BITMAP_PAYLOAD_BYTES = 4080;
const ENCODING = 2;
const WORD_BITS = 64;

type BitmapCommand = BitmapPacket["command"];

/** Code lengths of one range of run lengths (drbd.md 6.2). */
interface CodeRange {
  readonly prefixBits: number;
  readonly prefix: number;
  readonly dataBits: number;
  /** The smallest run of this range. */
  readonly base: number;
}

const codeRanges: readonly CodeRange[] = [
  { prefixBits: 1, prefix: 0x00, dataBits: 1, base: 1 },
  { prefixBits: 2, prefix: 0x01, dataBits: 1, base: 3 },
  { prefixBits: 3, prefix: 0x03, dataBits: 2, base: 5 },
  { prefixBits: 4, prefix: 0x07, dataBits: 3, base: 9 },
  { prefixBits: 5, prefix: 0x0f, dataBits: 5, base: 17 },
  { prefixBits: 6, prefix: 0x1f, dataBits: 8, base: 49 },
  { prefixBits: 8, prefix: 0x3f, dataBits: 13, base: 305 },
  { prefixBits: 8, prefix: 0x7f, dataBits: 21, base: 8_497 },
  { prefixBits: 8, prefix: 0xbf, dataBits: 34, base: 2_105_649 },
  { prefixBits: 8, prefix: 0xff, dataBits: 56, base: 17_181_974_833 },
];

/** What a sender gives for one packet. `bytes` of a plain packet is a view of the bitmap. */
export interface BitmapPart {
  readonly command: BitmapCommand;
  readonly bytes: Uint8Array;
}

/** Turns a bitmap into packets, one at a time. Bits that change behind its place are not sent again. */
export class BitmapSender {
  readonly #bitmap: Bitmap;
  readonly #compress: boolean;
  #bit = 0;
  #phase: "sending" | "terminator" | "done" = "sending";

  /** @param compress the option `use-rle`; the other side takes either form */
  constructor(bitmap: Bitmap, compress: boolean) {
    this.#bitmap = bitmap;
    this.#compress = compress;
  }

  /** Bits sent so far. */
  get position(): number {
    return this.#bit;
  }

  /** The next packet, with `maxPayload` bytes at most (4096 less the header); undefined: all is sent. */
  next(maxPayload: number = BITMAP_PAYLOAD_BYTES): BitmapPart | undefined {
    if (this.#phase === "done") return undefined;
    if (this.#phase === "terminator") {
      this.#phase = "done";
      return { command: "P_BITMAP", bytes: new Uint8Array(0) };
    }
    return (this.#compress ? this.#runs(maxPayload) : undefined) ?? this.#plain(maxPayload);
  }

  /** Undefined: the runs are so short that plain words are shorter. */
  #runs(maxPayload: number): BitmapPart | undefined {
    const writer = new BitWriter(maxPayload - 1);
    const start = this.#bit;
    let at = start;
    let first: 0 | 1 = 0;
    for (let run = this.#bitmap.runAt(at); run !== undefined; run = this.#bitmap.runAt(at)) {
      if (!writer.write(run.length)) break;
      if (at === start) first = run.value;
      at += run.length;
    }
    const code = writer.bytes;
    if (at === start || at - start < 8 * code.length) return undefined;
    const bytes = new Uint8Array(code.length + 1);
    bytes[0] = ENCODING | (writer.padding << 4) | (first << 7);
    bytes.set(code, 1);
    this.#bit = at;
    if (at === this.#bitmap.bits) this.#phase = "done";
    return { command: "P_COMPRESSED_BITMAP", bytes };
  }

  #plain(maxPayload: number): BitmapPart {
    const start = this.#bit - (this.#bit % WORD_BITS);
    const length = plainLength(start, this.#bitmap.bits, maxPayload);
    this.#bit = Math.min(this.#bitmap.bits, start + length * 8);
    if (this.#bit === this.#bitmap.bits) this.#phase = length === 0 ? "done" : "terminator";
    return { command: "P_BITMAP", bytes: this.#bitmap.slice(start, length) };
  }
}

/** Puts the packets of a peer into a bitmap, one at a time: bits are added, none is cleared. */
export class BitmapReceiver {
  readonly #bitmap: Bitmap;
  readonly #maxPayload: number;
  #bit = 0;
  #done = false;

  /** @param maxPayload of a plain packet: 4096 less the header */
  constructor(bitmap: Bitmap, maxPayload: number = BITMAP_PAYLOAD_BYTES) {
    this.#bitmap = bitmap;
    this.#maxPayload = maxPayload;
  }

  /** Bits received so far. */
  get position(): number {
    return this.#bit;
  }

  /** Whether all of the peer's bitmap is here. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * Takes one packet. `true`: the transfer is complete. Never throws.
   * Errors: the peer sends another length than there must be, a code that is none, or more bits than there are.
   */
  take(command: BitmapCommand, bytes: Uint8Array): Result<boolean> {
    if (this.#done) return wrong("one more packet after the last");
    const error = command === "P_BITMAP" ? this.#plain(bytes) : this.#runs(bytes);
    return error === undefined ? ok(this.#done) : wrong(error);
  }

  #plain(bytes: Uint8Array): string | undefined {
    const bits = this.#bitmap.bits;
    if (this.#bit === bits) {
      if (bytes.length !== 0) return `${bytes.length} plain bytes after the last`;
      this.#done = true;
      return undefined;
    }
    const start = this.#bit - (this.#bit % WORD_BITS);
    const expected = plainLength(start, bits, this.#maxPayload);
    if (bytes.length !== expected) return `${bytes.length} plain bytes instead of ${expected}`;
    this.#bitmap.merge(start, bytes);
    this.#bit = Math.min(bits, start + bytes.length * 8);
    return undefined;
  }

  #runs(bytes: Uint8Array): string | undefined {
    const head = bytes[0];
    if (head === undefined || bytes.length < 2) return "a compressed packet without a run";
    if (bytes.length > this.#maxPayload) return `${bytes.length} compressed bytes`;
    if ((head & 0x0f) !== ENCODING) return `the unknown encoding ${head & 0x0f}`;
    const reader = new BitReader(bytes.subarray(1), (head >> 4) & 7);
    for (let value = head >> 7; !reader.atEnd; value ^= 1) {
      const run = reader.read();
      if (run === undefined) return "a code word that is cut off";
      if (run > this.#bitmap.bits - this.#bit) return "a run beyond the end of the device";
      if (value === 1) this.#bitmap.setBits(this.#bit, this.#bit + run - 1);
      this.#bit += run;
    }
    this.#done = this.#bit === this.#bitmap.bits;
    return undefined;
  }
}

function plainLength(start: number, bits: number, maxPayload: number): number {
  const words = Math.ceil((bits - start) / WORD_BITS);
  return Math.min(Math.floor(maxPayload / 8), Math.max(0, words)) * 8;
}

function wrong(what: string): Result<never> {
  return fail(
    new BatonError({
      code: "BTN-DISK-BITMAP-STREAM",
      message: `Cannot take the bitmap of the peer: it sent ${what}`,
    }),
  );
}

/** Writes code words, least significant bit first. */
class BitWriter {
  readonly #bytes: Uint8Array;
  #used = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** The code word of a run; false: there is no room for it, and nothing was written. */
  write(run: number): boolean {
    let range = codeRanges[0] as CodeRange;
    for (const candidate of codeRanges) if (run >= candidate.base) range = candidate;
    if (this.#used + range.prefixBits + range.dataBits > this.#bytes.length * 8) return false;
    this.#put(range.prefix, range.prefixBits);
    let rest = run - range.base;
    for (let left = range.dataBits; left > 0; left -= 8) {
      this.#put(rest % 256, Math.min(8, left));
      rest = Math.floor(rest / 256);
    }
    return true;
  }

  /** What was written, in whole bytes. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, Math.ceil(this.#used / 8));
  }

  /** Bits of the last byte that are not used. */
  get padding(): number {
    return (8 - (this.#used % 8)) % 8;
  }

  /** At most eight bits. */
  #put(value: number, bits: number): void {
    const at = this.#used >> 3;
    const shifted = value << (this.#used & 7);
    this.#bytes[at] = (this.#bytes[at] as number) | (shifted & 0xff);
    if (shifted > 0xff) this.#bytes[at + 1] = shifted >> 8;
    this.#used += bits;
  }
}

/** Reads code words; a code word that is cut off is undefined. */
class BitReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #used = 0;

  constructor(bytes: Uint8Array, padding: number) {
    this.#bytes = bytes;
    this.#end = bytes.length * 8 - padding;
  }

  get atEnd(): boolean {
    return this.#used >= this.#end;
  }

  /** The next run; of more than 2^53 bits only roughly, which is beyond any device anyway. */
  read(): number | undefined {
    const ahead = this.#peek();
    const range = codeRanges.find(
      ({ prefix, prefixBits }) => (ahead & ((1 << prefixBits) - 1)) === prefix,
    ) as CodeRange;
    if (this.#used + range.prefixBits + range.dataBits > this.#end) return undefined;
    this.#used += range.prefixBits;
    let value = range.base;
    let weight = 1;
    for (let left = range.dataBits; left > 0; left -= 8) {
      const bits = Math.min(8, left);
      value += (this.#peek() & ((1 << bits) - 1)) * weight;
      weight *= 256;
      this.#used += bits;
    }
    return value;
  }

  /** The next eight bits; zeroes beyond the end. */
  #peek(): number {
    const at = this.#used >> 3;
    const pair = (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8);
    return (pair >> (this.#used & 7)) & 0xff;
  }
}
