/**
 * Which blocks of 4 KiB differ from the peer's: one bit for each, over the very bytes of the bitmap area (drbd.md 6.2,
 * 7.6). Bit n is bit n & 7 of byte n >> 3.
 *
 * Set outward, clear inward (I3): a block that was only partly written is out of sync as a whole, one that was only
 * partly brought in sync stays out of sync; except that the last sectors of the device count as a whole block.
 *
 * A count for each page of 4 KiB (128 MiB of the device) makes counting free and lets a search step over empty or full
 * pages. Pages that differ from the disk are dirty until they are taken for writing.
 */
import { assert } from "../../base/index.ts";
import { BLOCK_BYTES } from "./layout.ts";

const SECTORS_PER_BIT = 8;
const BITS_PER_PAGE = BLOCK_BYTES * 8;
const WORDS_PER_PAGE = BLOCK_BYTES / 4;
const EXTENTS_PER_PAGE = 32;
const ALL = -1;

/** A piece of the bitmap area that is to be written: a view of it, not a copy. */
export interface DirtyPages {
  /** In bytes from the start of the bitmap area. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Bits of the same value. */
export interface Run {
  readonly value: 0 | 1;
  readonly first: number;
  readonly length: number;
}

/** The bitmap of one device. It keeps the array that it is given and changes it in place. */
export class Bitmap {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  #sectors: number;
  #bits: number;
  #count = 0;
  readonly #pageCount: Uint16Array;
  readonly #dirty: Uint8Array;
  #dirtyPages = 0;

  /**
   * @param area the bitmap area from its start, a multiple of 4 KiB and large enough (`bitmapBytesFor`); bits beyond
   *   the device are cleared
   * @param sectors of the device that the bits describe
   */
  constructor(area: Uint8Array, sectors: number) {
    assert(area.length % BLOCK_BYTES === 0, `A bitmap of ${area.length} bytes is not whole pages`);
    assert(area.byteOffset % 4 === 0, "The memory of a bitmap is aligned to words");
    this.#bytes = area;
    this.#words = new Int32Array(area.buffer, area.byteOffset, area.length / 4);
    this.#pageCount = new Uint16Array(area.length / BLOCK_BYTES);
    this.#dirty = new Uint8Array(area.length / BLOCK_BYTES);
    this.#sectors = sectors;
    this.#bits = this.#fit(sectors);
    this.#dropSurplus();
    this.#recount();
  }

  /** Sectors of the device. */
  get sectors(): number {
    return this.#sectors;
  }

  /** Blocks of the device: bits in use. */
  get bits(): number {
    return this.#bits;
  }

  /** Bits that are set: blocks out of sync. */
  get count(): number {
    return this.#count;
  }

  /** Pages that `takeDirty` would give. */
  get dirtyPages(): number {
    return this.#dirtyPages;
  }

  /** The area itself. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Marks every block that the range touches. Returns how many were not marked before. */
  setRange(sector: number, sectors: number): number {
    if (sectors <= 0 || sector >= this.#sectors) return 0;
    const last = Math.floor((sector + sectors - 1) / SECTORS_PER_BIT);
    return this.setBits(Math.floor(sector / SECTORS_PER_BIT), Math.min(last, this.#bits - 1));
  }

  /** Unmarks every block that lies in the range as a whole; a range to the end of the device has its last block. */
  clearRange(sector: number, sectors: number): number {
    if (sectors <= 0) return 0;
    const first = Math.ceil(sector / SECTORS_PER_BIT);
    const end = sector + sectors;
    const last = end >= this.#sectors ? this.#bits - 1 : Math.floor(end / SECTORS_PER_BIT) - 1;
    return this.clearBits(first, last);
  }

  /** How many blocks of those that the range touches are marked. */
  countRange(sector: number, sectors: number): number {
    if (sectors <= 0 || sector >= this.#sectors) return 0;
    const last = Math.floor((sector + sectors - 1) / SECTORS_PER_BIT);
    return this.countBits(Math.floor(sector / SECTORS_PER_BIT), Math.min(last, this.#bits - 1));
  }

  /** Whether this block is marked. */
  test(bit: number): boolean {
    return (
      bit >= 0 && bit < this.#bits && (this.#word(Math.floor(bit / 32)) & (1 << (bit & 31))) !== 0
    );
  }

  /** Sets bits `first` to `last`; returns how many were clear. Nothing if `last` is before `first`. */
  setBits(first: number, last: number): number {
    return this.#change(first, last, 1);
  }

  /** Clears bits `first` to `last`; returns how many were set. */
  clearBits(first: number, last: number): number {
    return this.#change(first, last, 0);
  }

  /** Counts the set bits from `first` to `last`. */
  countBits(first: number, last: number): number {
    assert(first >= 0 && last < this.#bits, `No bits ${first} to ${last} of ${this.#bits}`);
    let count = 0;
    for (let at = first; at <= last; ) {
      if (at % BITS_PER_PAGE === 0 && at + BITS_PER_PAGE - 1 <= last) {
        count += this.#pageCount[at / BITS_PER_PAGE] as number;
        at += BITS_PER_PAGE;
        continue;
      }
      count += popcount(this.#word(Math.floor(at / 32)) & mask(at, last));
      at = nextWord(at);
    }
    return count;
  }

  /** The first set bit at or after `from`; -1: there is none. */
  nextSet(from: number): number {
    return this.#find(from, 1);
  }

  /** The first clear bit at or after `from`; -1: there is none before the end of the device. */
  nextClear(from: number): number {
    return this.#find(from, 0);
  }

  /** The run of equal bits that `from` is in, from there on; undefined at the end. */
  runAt(from: number): Run | undefined {
    if (from >= this.#bits) return undefined;
    const value = this.test(from) ? 1 : 0;
    const end = value === 1 ? this.nextClear(from) : this.nextSet(from);
    return { value, first: from, length: (end === -1 ? this.#bits : end) - from };
  }

  /** Every run of set bits, in order. The bitmap must not change meanwhile. */
  *runs(): Generator<Run, void, void> {
    for (let at = this.nextSet(0); at !== -1; ) {
      const run = this.runAt(at) as Run;
      yield run;
      at = this.nextSet(at + run.length);
    }
  }

  /** Marks the whole device. */
  setAll(): void {
    this.#fill(ALL);
  }

  /** Unmarks the whole device. */
  clearAll(): void {
    this.#fill(0);
  }

  /**
   * ORs plain bytes of the transfer form in, from bit `first`, which is a multiple of 8; what lies beyond the device is
   * ignored. Returns how many bits were clear before.
   */
  merge(first: number, bytes: Uint8Array): number {
    assert(first % 8 === 0, `Bit ${first} does not begin a byte`);
    let added = 0;
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] as number;
      const bit = first + index * 8;
      if (byte === 0 || bit >= this.#bits) continue;
      const value = this.#bits - bit < 8 ? byte & ((1 << (this.#bits - bit)) - 1) : byte;
      const at = bit / 8;
      const before = this.#bytes[at] as number;
      const fresh = value & ~before;
      if (fresh === 0) continue;
      this.#bytes[at] = before | value;
      added += this.#account(Math.floor(bit / BITS_PER_PAGE), popcount(fresh));
    }
    return added;
  }

  /** Plain bytes from a bit that begins a byte: a view. */
  slice(first: number, length: number): Uint8Array {
    return this.#bytes.subarray(first / 8, first / 8 + length);
  }

  /** Whether the page that holds the bits of an extent of 4 MiB differs from the disk. */
  isExtentDirty(extent: number): boolean {
    return this.#dirty[Math.floor(extent / EXTENTS_PER_PAGE)] === 1;
  }

  /** The dirty pages of these extents, taken: they count as clean from now on. */
  takeDirtyOf(extents: readonly number[]): readonly DirtyPages[] {
    const pages = new Set(extents.map((extent) => Math.floor(extent / EXTENTS_PER_PAGE)));
    const dirty = [...pages].filter((page) => this.#dirty[page] === 1).sort((a, b) => a - b);
    return this.#take(dirty);
  }

  /**
   * The dirty pages, at most `limit` of them, neighbours in one piece. They count as clean from now on; a change that
   * happens before they are written makes them dirty again and may or may not be in what is written.
   */
  takeDirty(limit: number = Number.POSITIVE_INFINITY): readonly DirtyPages[] {
    const pages: number[] = [];
    let page = this.#dirtyPages === 0 ? -1 : this.#dirty.indexOf(1);
    while (page !== -1 && pages.length < limit) {
      pages.push(page);
      page = this.#dirty.indexOf(1, page + 1);
    }
    return this.#take(pages);
  }

  /** Counts every page as dirty, so that all of it is written. */
  dirtyAll(): void {
    this.#dirty.fill(1, 0, this.#pagesInUse());
    this.#dirtyPages = this.#pagesInUse();
  }

  /** Another size of the device within the same area; new blocks are marked if `mark`. */
  resize(sectors: number, mark: boolean): void {
    const before = this.#bits;
    this.#bits = this.#fit(sectors);
    this.#sectors = sectors;
    this.#dropSurplus();
    this.#recount();
    this.dirtyAll();
    if (mark && this.#bits > before) this.setBits(before, this.#bits - 1);
  }

  #word(index: number): number {
    return this.#words[index] as number;
  }

  #pagesInUse(): number {
    return Math.ceil(this.#bits / BITS_PER_PAGE);
  }

  #fit(sectors: number): number {
    const bits = Math.ceil(sectors / SECTORS_PER_BIT);
    assert(bits <= this.#bytes.length * 8, `${this.#bytes.length} bytes do not hold ${bits} bits`);
    return bits;
  }

  #change(first: number, last: number, value: 0 | 1): number {
    if (last < first) return 0;
    assert(first >= 0 && last < this.#bits, `No bits ${first} to ${last} of ${this.#bits}`);
    let changed = 0;
    for (let at = first; at <= last; at = nextWord(at)) {
      const index = Math.floor(at / 32);
      const before = this.#word(index);
      const touched = mask(at, last) & (value === 1 ? ~before : before);
      if (touched === 0) continue;
      this.#words[index] = before ^ touched;
      const count = popcount(touched);
      this.#account(Math.floor(at / BITS_PER_PAGE), value === 1 ? count : -count);
      changed += count;
    }
    return changed;
  }

  #account(page: number, change: number): number {
    this.#pageCount[page] = (this.#pageCount[page] as number) + change;
    this.#count += change;
    if (this.#dirty[page] === 0) {
      this.#dirty[page] = 1;
      this.#dirtyPages++;
    }
    return change;
  }

  #find(from: number, value: 0 | 1): number {
    const skip = value === 1 ? 0 : BITS_PER_PAGE;
    let at = Math.max(0, from);
    while (at < this.#bits) {
      const page = Math.floor(at / BITS_PER_PAGE);
      const pageEnd = (page + 1) * BITS_PER_PAGE;
      if (this.#pageCount[page] !== skip) {
        const found = this.#findInPage(at, pageEnd, value);
        if (found !== -1) return found < this.#bits ? found : -1;
      }
      at = pageEnd;
    }
    return -1;
  }

  #findInPage(from: number, end: number, value: 0 | 1): number {
    const flip = value === 1 ? 0 : ALL;
    const last = end / 32;
    let index = Math.floor(from / 32);
    let word = (this.#word(index) ^ flip) & (ALL << (from & 31));
    while (word === 0) {
      index++;
      if (index === last) return -1;
      word = this.#word(index) ^ flip;
    }
    return index * 32 + (31 - Math.clz32(word & -word));
  }

  #fill(word: 0 | -1): void {
    const whole = Math.floor(this.#bits / 32);
    this.#words.fill(word, 0, whole);
    if (this.#bits % 32 !== 0) this.#words[whole] = word === 0 ? 0 : (1 << (this.#bits % 32)) - 1;
    this.#recount();
    this.dirtyAll();
  }

  /** Bits beyond the device are don't-care on the disk, and zero here. */
  #dropSurplus(): void {
    const whole = Math.floor(this.#bits / 32);
    if (this.#bits % 32 === 0) this.#words.fill(0, whole);
    else {
      this.#words[whole] = this.#word(whole) & ((1 << (this.#bits % 32)) - 1);
      this.#words.fill(0, whole + 1);
    }
  }

  #recount(): void {
    this.#count = 0;
    for (let page = 0; page < this.#pageCount.length; page++) {
      let count = 0;
      const end = (page + 1) * WORDS_PER_PAGE;
      for (let index = page * WORDS_PER_PAGE; index < end; index++) {
        const word = this.#word(index);
        if (word !== 0) count += popcount(word);
      }
      this.#pageCount[page] = count;
      this.#count += count;
    }
  }

  #take(pages: readonly number[]): readonly DirtyPages[] {
    const pieces: DirtyPages[] = [];
    for (let index = 0; index < pages.length; ) {
      const start = pages[index] as number;
      let end = start;
      while (pages[index] === end) {
        this.#dirty[end] = 0;
        end++;
        index++;
      }
      this.#dirtyPages -= end - start;
      const offset = start * BLOCK_BYTES;
      pieces.push({ offset, bytes: this.#bytes.subarray(offset, end * BLOCK_BYTES) });
    }
    return pieces;
  }
}

/** The bits of one word from `at` up to its end or `last`. */
function mask(at: number, last: number): number {
  const upper = last - at >= 31 - (at & 31) ? ALL : ~(-2 << (last & 31));
  return (ALL << (at & 31)) & upper;
}

function nextWord(bit: number): number {
  return bit - (bit % 32) + 32;
}

function popcount(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(bits, 0x0101_0101) >>> 24;
}
