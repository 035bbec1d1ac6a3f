/**
 * The activity log as it lies on the disk (drbd.md 7.4), and what to do with it after a stop (7.5).
 *
 * A ring of 4 KiB transactions. Each says which slots get which extents of 4 MiB, and what 919 other slots held before
 * that, so that the newest few together give the whole picture. An extent that is in a slot may have been written to
 * since its bits were last on the disk.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import { BLOCK_BYTES, bitmapBytesFor, type RingShape } from "./layout.ts";
import { encodeSuperblock, needsReplay, ringOf, type Superblock } from "./superblock.ts";

const MAGIC = 0x69cb_65a2;
/** A slot without an extent; and an unused entry. */
export const FREE = 0xffff_ffff;
export const MAX_UPDATES = 64;
export const CONTEXT_ENTRIES = 919;
const MIN_EXTENTS = 67;
const MAX_EXTENTS = 65_534;
const TYPE_UPDATE = 0;
const TYPE_INITIALISED = 0xffff;
const UPDATE_SLOTS_AT = 36;
const UPDATE_EXTENTS_AT = 164;
const CONTEXT_AT = 420;
const CRC_AT = 8;
const UNUSED_SLOT = 0xffff;
/** One extent is this many bytes of the bitmap. */
const BITMAP_BYTES_PER_EXTENT = 128;

/** One transaction of the ring. */
export interface LogTransaction {
  /** u32, wraps; says where in the ring it lies. */
  readonly number: number;
  /** At most 64. */
  readonly updates: readonly SlotUpdate[];
  /** Slots of the log: al-extents. */
  readonly contextSize: number;
  /** The first slot that `context` describes. */
  readonly contextStart: number;
  /** Extents of 919 slots before the updates; `FREE` where there is none. */
  readonly context: Uint32Array;
}

export interface SlotUpdate {
  readonly slot: number;
  readonly extent: number;
}

/** What a block of the ring is; `corrupt` also is what was never written. */
export type LogBlock =
  | { readonly kind: "transaction"; readonly transaction: LogTransaction }
  | { readonly kind: "initialised" }
  | { readonly kind: "corrupt" };

const crcTable = new Uint32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value;
});

/**
 * CRC-32C as the activity log has it: it starts from 0 and is not inverted at the end, unlike that of `base`.
 * The four bytes of the checksum itself count as zero.
 */
export function logChecksum(block: Uint8Array): number {
  let crc = 0;
  for (let at = 0; at < block.length; at++) {
    const byte = at >= CRC_AT && at < CRC_AT + 4 ? 0 : (block[at] as number);
    crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] as number);
  }
  return crc >>> 0;
}

/** Blocks in the ring. */
export const ringBlocks = (ring: RingShape): number => ring.stripes * ring.stripeBlocks;

/** Where transaction `number` lies, in bytes from the start of the ring: neighbours are in different stripes. */
export function ringOffset(number: number, ring: RingShape): number {
  const place = number % ringBlocks(ring);
  const block = (place % ring.stripes) * ring.stripeBlocks + Math.floor(place / ring.stripes);
  return block * BLOCK_BYTES;
}

/** The wish of `al-extents`, within what a ring of this size can hold (67 to 6433 for 32 KiB). */
export function clampExtents(wanted: number, ring: RingShape): number {
  const most = Math.min(MAX_EXTENTS, (ringBlocks(ring) - 1) * CONTEXT_ENTRIES);
  return Math.min(most, Math.max(MIN_EXTENTS, Math.floor(wanted)));
}

/** One block of the ring as it is written. */
export function encodeTransaction(transaction: LogTransaction): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, transaction.number);
  view.setUint16(12, TYPE_UPDATE);
  view.setUint16(14, transaction.updates.length);
  view.setUint16(16, transaction.contextSize);
  view.setUint16(18, transaction.contextStart);
  for (let index = 0; index < MAX_UPDATES; index++) {
    const update = transaction.updates[index];
    view.setUint16(UPDATE_SLOTS_AT + 2 * index, update?.slot ?? UNUSED_SLOT);
    view.setUint32(UPDATE_EXTENTS_AT + 4 * index, update?.extent ?? FREE);
  }
  for (let index = 0; index < CONTEXT_ENTRIES; index++) {
    view.setUint32(CONTEXT_AT + 4 * index, transaction.context[index] ?? FREE);
  }
  view.setUint32(CRC_AT, logChecksum(bytes));
  return bytes;
}

/** Reads one block of the ring. Anything that is not a whole transaction is `corrupt`; never throws. */
export function decodeBlock(bytes: Uint8Array): LogBlock {
  if (bytes.length !== BLOCK_BYTES) return { kind: "corrupt" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== MAGIC || view.getUint32(CRC_AT) !== logChecksum(bytes)) {
    return { kind: "corrupt" };
  }
  if (view.getUint16(12) === TYPE_INITIALISED) return { kind: "initialised" };
  const count = view.getUint16(14);
  const updates: SlotUpdate[] = [];
  for (let index = 0; index < MAX_UPDATES; index++) {
    const slot = view.getUint16(UPDATE_SLOTS_AT + 2 * index);
    if (index >= count && slot === UNUSED_SLOT) continue;
    updates.push({ slot, extent: view.getUint32(UPDATE_EXTENTS_AT + 4 * index) });
  }
  const context = new Uint32Array(CONTEXT_ENTRIES);
  for (let index = 0; index < CONTEXT_ENTRIES; index++) {
    context[index] = view.getUint32(CONTEXT_AT + 4 * index);
  }
  return {
    kind: "transaction",
    transaction: {
      number: view.getUint32(4),
      updates,
      contextSize: view.getUint16(16),
      contextStart: view.getUint16(18),
      context,
    },
  };
}

/** A ring without any transaction: what create-md and a replay leave. */
export function freshRing(ring: RingShape): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(block.buffer);
  view.setUint32(0, MAGIC);
  view.setUint16(12, TYPE_INITIALISED);
  view.setUint32(CRC_AT, logChecksum(block));
  const bytes = new Uint8Array(ringBlocks(ring) * BLOCK_BYTES);
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) bytes.set(block, at);
  return bytes;
}

/** What a ring says. */
export interface RingContents {
  /** Extents that were in use, ascending; of any number up to 2^32 - 2. */
  readonly extents: readonly number[];
  readonly validBlocks: number;
  /** One is expected after a crash: the one that was being written. */
  readonly corruptBlocks: number;
  /** Number of the newest transaction; undefined: there is none. */
  readonly newest: number | undefined;
}

/** Reads a whole ring. Never throws; a ring of another length than its shape says counts the missing blocks as corrupt. */
export function readRing(bytes: Uint8Array, ring: RingShape): RingContents {
  const count = ringBlocks(ring);
  const transactions: LogTransaction[] = [];
  let corruptBlocks = 0;
  for (let place = 0; place < count; place++) {
    const offset = ringOffset(place, ring);
    const block = decodeBlock(bytes.subarray(offset, offset + BLOCK_BYTES));
    if (block.kind === "corrupt") corruptBlocks++;
    if (block.kind === "transaction") transactions.push(block.transaction);
  }
  const slots = new Map<number, number>();
  const inOrder = oldestFirst(transactions);
  for (const transaction of inOrder) apply(transaction, slots);
  const extents = new Set(slots.values());
  extents.delete(FREE);
  return {
    extents: [...extents].sort((a, b) => a - b),
    validBlocks: count - corruptBlocks,
    corruptBlocks,
    newest: inOrder.at(-1)?.number,
  };
}

/** Numbers wrap: the order is that of their signed 32-bit difference to one of them. */
function oldestFirst(transactions: readonly LogTransaction[]): readonly LogTransaction[] {
  const origin = transactions[0]?.number ?? 0;
  return transactions.toSorted((a, b) => ((a.number - origin) | 0) - ((b.number - origin) | 0));
}

function apply(transaction: LogTransaction, slots: Map<number, number>): void {
  const { context, contextStart, contextSize, updates } = transaction;
  for (let index = 0; index < context.length; index++) {
    const extent = context[index] as number;
    const slot = contextStart + index;
    if (slot >= MAX_EXTENTS || (extent === FREE && slot >= contextSize)) continue;
    slots.set(slot, extent);
  }
  for (const { slot, extent } of updates) if (slot < MAX_EXTENTS) slots.set(slot, extent);
}

/** What `replayActivityLog` did, and what is to be written: bitmap, then ring, then superblock, then a flush of each. */
export interface Replay {
  /** False: the log was clean, nothing is to be written. */
  readonly needed: boolean;
  /** Bytes of the bitmap that are all ones now, as ranges in ascending order that do not touch. */
  readonly changed: readonly ByteRange[];
  readonly ring: Uint8Array;
  readonly superblock: Superblock;
  readonly superblockBytes: Uint8Array;
  readonly extents: readonly number[];
  /** Extents that lie beyond the agreed size: they were skipped. */
  readonly extentsBeyond: number;
  readonly corruptBlocks: number;
  /** Bits that were not set before. */
  readonly bitsSet: number;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * Does what `drbdmeta apply-al` does: marks what a Primary may have been writing, in `bitmap` itself (the area as on
 * disk), and gives the ring and the superblock that say so. Must be durable before anything else of the metadata is used.
 * Error: the ring holds nothing that can be read although the host was Primary; then only a full resync is safe.
 */
export function replayActivityLog(
  superblock: Superblock,
  ring: Uint8Array,
  bitmap: Uint8Array,
): Result<Replay> {
  const shape = ringOf(superblock);
  const contents = readRing(ring, shape);
  const { corruptBlocks, validBlocks } = contents;
  const needed = needsReplay(superblock);
  if (needed && validBlocks === 0 && superblock.flags.primary) {
    return fail(
      new BatonError({
        code: "BTN-DISK-METADATA-LOG-LOST",
        message: `Cannot tell what was being written: none of ${corruptBlocks} blocks of the activity log is valid`,
        consequence: "Blocks may differ from the peer's without a mark.",
        fix: "Invalidate this side so that everything is copied from the peer: `baton disk invalidate`.",
      }),
    );
  }
  const extents = needed && superblock.flags.primary ? contents.extents : [];
  const end = coveredBytes(superblock, bitmap);
  const within = extents.filter((extent) => extent * BITMAP_BYTES_PER_EXTENT < end);
  const cleaned: Superblock = needed
    ? { ...superblock, unclean: false, flags: { ...superblock.flags, logClean: true } }
    : superblock;
  return ok({
    needed,
    changed: joinRanges(within, bitmap.length),
    ring: freshRing(shape),
    superblock: cleaned,
    superblockBytes: encodeSuperblock(cleaned),
    extents,
    extentsBeyond: extents.length - within.length,
    corruptBlocks: needed ? corruptBlocks : 0,
    bitsSet: within.reduce((bits, extent) => bits + mark(bitmap, extent), 0),
  });
}

/**
 * Extents beyond the agreed size are skipped, as drbdmeta does. Without an agreed size it skips all; we mark them, because a
 * host can have been Primary alone before it ever met its peer.
 */
function coveredBytes({ lastAgreedSectors }: Superblock, bitmap: Uint8Array): number {
  if (lastAgreedSectors === 0) return bitmap.length;
  return Math.min(bitmap.length, bitmapBytesFor(lastAgreedSectors));
}

function mark(bitmap: Uint8Array, extent: number): number {
  const bytes = bitmap.subarray(
    extent * BITMAP_BYTES_PER_EXTENT,
    (extent + 1) * BITMAP_BYTES_PER_EXTENT,
  );
  let before = 0;
  for (const byte of bytes) for (let bits = byte; bits !== 0; bits &= bits - 1) before++;
  bytes.fill(0xff);
  return bytes.length * 8 - before;
}

function joinRanges(extents: readonly number[], end: number): readonly ByteRange[] {
  const ranges: { offset: number; length: number }[] = [];
  for (const extent of extents) {
    const offset = extent * BITMAP_BYTES_PER_EXTENT;
    const length = Math.min(BITMAP_BYTES_PER_EXTENT, end - offset);
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  }
  return ranges;
}
