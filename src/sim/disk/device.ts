/**
 * A simulated backing device with internal metadata (reliability 7.2): an image, a volatile write cache before it, atoms of
 * 512 bytes. A write is in the cache once it is done and on the medium only after a flush; with the power each unflushed
 * write is lost, kept or torn on its own.
 *
 * Sectors of data hold one number each, written into every word: a sector that is not uniform was mixed up by somebody.
 * Metadata is real bytes. A flush of metadata covers metadata only (as `RWF_DSYNC` does): data needs its own flush.
 */
import { assert, type Prng } from "../../base/index.ts";
import {
  encodeSuperblock,
  freshRing,
  freshSuperblock,
  type MetadataLayout,
  parseSuperblock,
  planLayout,
  readRing,
  type Superblock,
} from "../../replication/metadata/index.ts";

const BLOCK = 8;
const SECTOR_BYTES = 512;
const SECTOR_WORDS = 128;

/** Tags of one write that is not on the medium yet. */
interface Unflushed {
  readonly sequence: number;
  readonly sector: number;
  readonly tags: Uint32Array;
}

type Image = Map<number, Uint32Array>;

/** What is wrong with a device. */
export interface Ailments {
  /** Sectors that can not be read until they are written. */
  readonly unreadable: Set<number>;
  writes: boolean;
  flushes: boolean;
  /** Nothing works any more. */
  dead: boolean;
  /** So many writes of data land elsewhere and are reported as done. */
  misdirected: number;
}

/** A backing device with a volatile cache of 512-byte atoms, and its faults. */
export class SimDevice {
  readonly sectors: number;
  readonly layout: MetadataLayout;
  readonly ailments: Ailments = {
    unreadable: new Set(),
    writes: false,
    flushes: false,
    dead: false,
    misdirected: 0,
  };
  /** Sectors whose content a fault of the device changed. */
  readonly spoilt = new Set<number>();
  readonly #now: Image = new Map();
  readonly #medium: Image = new Map();
  #unflushed: Unflushed[] = [];
  #sequence = 0;
  readonly #metadata: Uint8Array;
  readonly #durable: Uint8Array;
  #metadataWrites: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #parsed: Superblock | undefined;
  #extents: ReadonlySet<number> | undefined;

  constructor(sectors: number, deviceId: bigint) {
    this.sectors = sectors;
    const planned = planLayout(
      { kind: "internal" },
      { backingSectors: sectors, metadataSectors: sectors },
    );
    assert(planned.ok, "The simulated device is large enough");
    this.layout = planned.value;
    const { bitmapOffset, bitmapAreaBytes, activityLogOffset, superblockOffset, ring } =
      this.layout;
    this.#metadata = new Uint8Array(sectors * SECTOR_BYTES - bitmapOffset);
    this.#metadata.fill(0, 0, bitmapAreaBytes);
    this.#metadata.set(freshRing(ring), activityLogOffset - bitmapOffset);
    const superblock = encodeSuperblock(freshSuperblock(this.layout, deviceId));
    this.#metadata.set(superblock, superblockOffset - bitmapOffset);
    this.#durable = this.#metadata.slice();
  }

  /** Both sides equal and UpToDate, as after a first sync. */
  makeUpToDate(current: bigint): void {
    const { superblock } = this;
    const known: Superblock = {
      ...superblock,
      lastAgreedSectors: this.layout.usableSectors,
      generations: { current, bitmap: 0n, history0: 0n, history1: 0n },
      flags: { ...superblock.flags, consistent: true, wasUpToDate: true },
    };
    this.changeMetadata(this.layout.superblockOffset, encodeSuperblock(known));
    this.flushMetadata();
  }

  // -- data -------------------------------------------------------------------------------------------------------

  /** Blocks of 4 KiB that were ever written to. */
  blocks(): Iterable<number> {
    return this.#now.keys();
  }

  tag(sector: number): number {
    return tagOf(this.#now, sector);
  }

  /** What a power loss at this moment may leave in a sector. */
  possible(sector: number): readonly number[] {
    const found = [tagOf(this.#medium, sector)];
    for (const { sector: first, tags } of this.#unflushed) {
      const tag = tags[sector - first];
      if (sector >= first && tag !== undefined) found.push(tag);
    }
    return found;
  }

  /** The sequence number of the newest write that is done: a flush that begins now covers it. */
  get newest(): number {
    return this.#sequence;
  }

  read(sector: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count * SECTOR_BYTES);
    const words = new Uint32Array(bytes.buffer);
    for (let at = 0; at < count; ) {
      const block = Math.floor((sector + at) / BLOCK);
      const inBlock = (sector + at) % BLOCK;
      const length = Math.min(BLOCK - inBlock, count - at);
      const tags = this.#now.get(block);
      for (let index = 0; tags !== undefined && index < length; index++) {
        const tag = tags[inBlock + index] as number;
        if (tag === 0) continue;
        words.fill(tag, (at + index) * SECTOR_WORDS, (at + index + 1) * SECTOR_WORDS);
      }
      at += length;
    }
    return bytes;
  }

  canRead(sector: number, count: number): boolean {
    const { dead, unreadable } = this.ailments;
    if (dead) return false;
    for (let at = 0; unreadable.size > 0 && at < count; at++) {
      if (unreadable.has(sector + at)) return false;
    }
    return true;
  }

  /** A write is done: in the cache. `isFua`: on the medium. */
  write(sector: number, tags: Uint32Array, isFua: boolean): void {
    const nothing = tags.every((tag) => tag === 0) && this.#isBlank(sector, tags.length);
    for (let at = 0; this.ailments.unreadable.size > 0 && at < tags.length; at++) {
      this.ailments.unreadable.delete(sector + at);
    }
    if (nothing) return;
    this.#sequence += 1;
    put(this.#now, sector, tags);
    const end = sector + tags.length;
    if (!isFua) {
      this.#unflushed.push({ sequence: this.#sequence, sector, tags });
      return;
    }
    // In order: what is older than a write that it meets goes with that.
    const last = this.#unflushed.findLastIndex(
      (other) => other.sector < end && sector < other.sector + other.tags.length,
    );
    this.flush(this.#unflushed[last]?.sequence ?? -1);
    put(this.#medium, sector, tags);
  }

  #isBlank(sector: number, count: number): boolean {
    const last = Math.floor((sector + count - 1) / BLOCK);
    for (let block = Math.floor(sector / BLOCK); block <= last; block++) {
      if (this.#now.has(block)) return false;
    }
    return true;
  }

  /** A flush that began when `newest` was `upTo` is done. */
  flush(upTo: number): void {
    let count = 0;
    for (const { sequence, sector, tags } of this.#unflushed) {
      if (sequence > upTo) break;
      put(this.#medium, sector, tags);
      count += 1;
    }
    this.#unflushed.splice(0, count);
  }

  /** A fault of the device itself: the content changes, and nobody is told. */
  spoil(sector: number, tag: number): void {
    const tags = Uint32Array.of(tag);
    put(this.#now, sector, tags);
    put(this.#medium, sector, tags);
    this.spoilt.add(sector);
  }

  // -- metadata ---------------------------------------------------------------------------------------------------

  /** Metadata as it is read now; offsets of the device. */
  readMetadata(offset: number, length: number): Uint8Array {
    const at = offset - this.layout.bitmapOffset;
    return this.#metadata.slice(at, at + length);
  }

  changeMetadata(offset: number, bytes: Uint8Array): void {
    const at = offset - this.layout.bitmapOffset;
    assert(at >= 0, `A write to the metadata at byte ${offset} lies in the data`);
    this.#metadata.set(bytes, at);
    this.#metadataWrites.push({ at, bytes });
  }

  flushMetadata(): void {
    for (const { at, bytes } of this.#metadataWrites) this.#durable.set(bytes, at);
    this.#metadataWrites = [];
    this.#forget();
  }

  #forget(): void {
    this.#parsed = undefined;
    this.#extents = undefined;
  }

  /** As it would be after a power loss that loses everything unflushed. */
  get superblock(): Superblock {
    if (this.#parsed !== undefined) return this.#parsed;
    const at = this.layout.superblockOffset - this.layout.bitmapOffset;
    const parsed = parseSuperblock(this.#durable.slice(at, at + 4096));
    assert(parsed.ok, "The superblock on the medium can be read");
    this.#parsed = parsed.value;
    return parsed.value;
  }

  /** Extents of the activity log on the medium. */
  get extents(): ReadonlySet<number> {
    if (this.#extents !== undefined) return this.#extents;
    const { activityLogOffset, activityLogBytes, bitmapOffset, ring } = this.layout;
    const at = activityLogOffset - bitmapOffset;
    const contents = readRing(this.#durable.slice(at, at + activityLogBytes), ring);
    this.#extents = new Set(contents.extents);
    return this.#extents;
  }

  /** Whether the bitmap on the medium marks a block. */
  isMarked(block: number): boolean {
    return ((this.#durable[block >> 3] as number) & (1 << (block & 7))) !== 0;
  }

  // -- power ------------------------------------------------------------------------------------------------------

  /** The power goes: each write that was not flushed is kept, lost or torn. */
  losePower(random: Prng): void {
    const keeps = random.pick([0, 0.3, 0.5, 0.9]);
    const touched = this.#unflushed;
    this.#unflushed = [];
    for (const { sector, tags } of touched) {
      const isTorn = random.chance(0.2);
      if (!isTorn && random.chance(keeps)) put(this.#medium, sector, tags);
      for (let at = 0; isTorn && at < tags.length; at++) {
        if (random.chance(keeps)) put(this.#medium, sector + at, tags.subarray(at, at + 1));
      }
    }
    for (const { sector, tags } of touched) {
      for (let at = 0; at < tags.length; at++) {
        put(this.#now, sector + at, Uint32Array.of(tagOf(this.#medium, sector + at)));
      }
    }
    for (const { at, bytes } of this.#metadataWrites) {
      for (let part = 0; part < bytes.length; part += SECTOR_BYTES) {
        if (!random.chance(keeps)) continue;
        this.#durable.set(bytes.subarray(part, part + SECTOR_BYTES), at + part);
      }
    }
    this.#metadataWrites = [];
    this.#metadata.set(this.#durable);
    this.#forget();
  }
}

function tagOf(image: Image, sector: number): number {
  return image.get(Math.floor(sector / BLOCK))?.[sector % BLOCK] ?? 0;
}

function put(image: Image, sector: number, tags: Uint32Array): void {
  for (let at = 0; at < tags.length; at++) {
    const block = Math.floor((sector + at) / BLOCK);
    let found = image.get(block);
    if (found === undefined) {
      found = new Uint32Array(BLOCK);
      image.set(block, found);
    }
    found[(sector + at) % BLOCK] = tags[at] as number;
  }
}

/** The number in each sector of what is written; undefined: a sector is a mixture. */
export function tagsOf(data: Uint8Array): Uint32Array | undefined {
  const aligned = data.byteOffset % 4 === 0 ? data : data.slice();
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
  const tags = new Uint32Array(data.length / SECTOR_BYTES);
  for (let at = 0; at < tags.length; at++) {
    const tag = words[at * SECTOR_WORDS] as number;
    const middle = words[at * SECTOR_WORDS + 61] as number;
    if (tag !== middle || tag !== words[at * SECTOR_WORDS + SECTOR_WORDS - 1]) return undefined;
    tags[at] = tag;
  }
  return tags;
}

/** Bytes of a write: each of its sectors filled with `tag`. */
export function filled(tag: number, sectors: number): Uint8Array {
  const data = new Uint8Array(sectors * SECTOR_BYTES);
  new Uint32Array(data.buffer).fill(tag);
  return data;
}
