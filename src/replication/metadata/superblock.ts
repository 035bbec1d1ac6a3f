/**
 * The superblock of DRBD's metadata v08: 4 KiB, big-endian, no checksum (drbd.md 7.3). The first 512 bytes are written
 * atomically by any disk; the rest is zero, and kept as found.
 *
 * As the kernel does we write the magic "unclean" and no AL_CLEAN whenever the device is in use: after any attach the
 * metadata is unclean until the activity log was replayed (`activity-ring.ts`), also after an orderly stop.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import type { Generations } from "../contract.ts";
import {
  BLOCK_BYTES,
  type DeviceSizes,
  type MetadataForm,
  type MetadataLayout,
  planLayout,
  type RingShape,
} from "./layout.ts";

export const MAGIC_CLEAN = 0x8374_026b;
export const MAGIC_UNCLEAN = 0x8374_026c;
/** CURRENT of metadata that was never used (drbd.md 5.1). */
export const JUST_CREATED = 4n;
const BYTES_PER_BIT = 4096;
const TAIL_OFFSET = 96;

/** The flags of the metadata; their bits are in `flagBits`. */
export interface MetadataFlags {
  readonly consistent: boolean;
  readonly wasUpToDate: boolean;
  /** PRIMARY_IND: is, or was at the crash, Primary. */
  readonly primary: boolean;
  /** CONNECTED_IND. */
  readonly connected: boolean;
  /** All bits of the bitmap are to be set. */
  readonly fullSync: boolean;
  readonly peerOutdated: boolean;
  readonly crashedPrimary: boolean;
  /** AL_CLEAN. */
  readonly logClean: boolean;
  /** AL_DISABLED. */
  readonly logDisabled: boolean;
}

export const flagBits: Readonly<Record<keyof MetadataFlags, number>> = {
  consistent: 0x01,
  primary: 0x02,
  connected: 0x04,
  fullSync: 0x08,
  wasUpToDate: 0x10,
  peerOutdated: 0x20,
  crashedPrimary: 0x40,
  logClean: 0x80,
  logDisabled: 0x100,
};
const flagNames = Object.keys(flagBits) as (keyof MetadataFlags)[];
const knownFlags = Object.values(flagBits).reduce((all, bit) => all | bit, 0);

/** No flag set: what fresh metadata has, besides AL_CLEAN. */
export const noFlags: MetadataFlags = {
  consistent: false,
  wasUpToDate: false,
  primary: false,
  connected: false,
  fullSync: false,
  peerOutdated: false,
  crashedPrimary: false,
  logClean: false,
  logDisabled: false,
};

/** Every field. Never changed in place: `{ ...superblock, flags }`. */
export interface Superblock {
  /** Last agreed size in sectors; 0: never connected. */
  readonly lastAgreedSectors: number;
  readonly generations: Generations;
  /** Random, for tools only. */
  readonly deviceId: bigint;
  readonly flags: MetadataFlags;
  /** The magic: whether the log may hold extents that are not in the bitmap yet. */
  readonly unclean: boolean;
  readonly metadataSizeSectors: number;
  /** In sectors, from the superblock. */
  readonly activityLogSectorOffset: number;
  /** Slots of the activity log in use. */
  readonly activityLogExtents: number;
  readonly bitmapSectorOffset: number;
  readonly peerMaxBioBytes: number;
  /** As stored: both 0 in metadata of DRBD 8.3, which means 1 and 8; `ringOf` knows. */
  readonly stripes: number;
  readonly stripeBlocks: number;
  /** What this version does not know, so that it is written back as found. */
  readonly unknown: { readonly flags: number; readonly reserved: bigint; readonly tail: string };
}

/** What create-md writes: never used, nothing consistent, log clean. `deviceId`: 64 random bits. */
export function freshSuperblock(layout: MetadataLayout, deviceId: bigint): Superblock {
  return {
    lastAgreedSectors: 0,
    generations: { current: JUST_CREATED, bitmap: 0n, history0: 0n, history1: 0n },
    deviceId,
    flags: { ...noFlags, logClean: true },
    unclean: false,
    metadataSizeSectors: layout.metadataSizeSectors,
    activityLogSectorOffset: layout.activityLogSectorOffset,
    activityLogExtents: 257,
    bitmapSectorOffset: layout.bitmapSectorOffset,
    peerMaxBioBytes: 0,
    stripes: layout.ring.stripes,
    stripeBlocks: layout.ring.stripeBlocks,
    unknown: { flags: 0, reserved: 0n, tail: "" },
  };
}

/** Stripes and their size, with the meaning of two zeroes. */
export function ringOf(superblock: Superblock): RingShape {
  const { stripes, stripeBlocks } = superblock;
  return stripes === 0 && stripeBlocks === 0
    ? { stripes: 1, stripeBlocks: 8 }
    : { stripes, stripeBlocks };
}

/**
 * Reads a superblock, clean or unclean. Never throws.
 * Errors: truncated, no metadata there, metadata of another version, another block size, an impossible activity log.
 */
export function parseSuperblock(bytes: Uint8Array): Result<Superblock> {
  if (bytes.length !== BLOCK_BYTES) {
    return refuse(
      "BTN-DISK-METADATA-TRUNCATED",
      `Cannot read a superblock of ${bytes.length} bytes: it has 4096`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint32(60);
  if (magic !== MAGIC_CLEAN && magic !== MAGIC_UNCLEAN) return noMagic(magic);
  const perBit = view.getUint32(80);
  if (perBit !== BYTES_PER_BIT) {
    return refuse(
      "BTN-DISK-METADATA-BLOCK-SIZE",
      `Cannot use a bitmap with ${perBit} bytes per bit: only 4096 is in use`,
    );
  }
  const size = view.getBigUint64(0);
  if (size > 2n ** 51n) {
    return refuse("BTN-DISK-METADATA-CORRUPT", `Cannot believe in a device of ${size} sectors`);
  }
  const flags = view.getUint32(56);
  const superblock: Superblock = {
    lastAgreedSectors: Number(size),
    generations: {
      current: view.getBigUint64(8),
      bitmap: view.getBigUint64(16),
      history0: view.getBigUint64(24),
      history1: view.getBigUint64(32),
    },
    deviceId: view.getBigUint64(40),
    flags: flagsOf(flags),
    unclean: magic === MAGIC_UNCLEAN,
    metadataSizeSectors: view.getUint32(64),
    activityLogSectorOffset: view.getInt32(68),
    activityLogExtents: view.getUint32(72),
    bitmapSectorOffset: view.getInt32(76),
    peerMaxBioBytes: view.getUint32(84),
    stripes: view.getUint32(88),
    stripeBlocks: view.getUint32(92),
    unknown: {
      flags: (flags & ~knownFlags) >>> 0,
      reserved: view.getBigUint64(48),
      tail: hexWithoutZeroes(bytes.subarray(TAIL_OFFSET)),
    },
  };
  return checkLog(superblock);
}

/** The 4 KiB as they lie on the disk. */
export function encodeSuperblock(superblock: Superblock): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  const { generations, unknown } = superblock;
  view.setBigUint64(0, BigInt(superblock.lastAgreedSectors));
  view.setBigUint64(8, generations.current);
  view.setBigUint64(16, generations.bitmap);
  view.setBigUint64(24, generations.history0);
  view.setBigUint64(32, generations.history1);
  view.setBigUint64(40, superblock.deviceId);
  view.setBigUint64(48, unknown.reserved);
  view.setUint32(56, flagsWord(superblock.flags) | unknown.flags);
  view.setUint32(60, superblock.unclean ? MAGIC_UNCLEAN : MAGIC_CLEAN);
  view.setUint32(64, superblock.metadataSizeSectors);
  view.setInt32(68, superblock.activityLogSectorOffset);
  view.setUint32(72, superblock.activityLogExtents);
  view.setInt32(76, superblock.bitmapSectorOffset);
  view.setUint32(80, BYTES_PER_BIT);
  view.setUint32(84, superblock.peerMaxBioBytes);
  view.setUint32(88, superblock.stripes);
  view.setUint32(92, superblock.stripeBlocks);
  for (let at = 0; at * 2 < unknown.tail.length; at++) {
    bytes[TAIL_OFFSET + at] = Number.parseInt(unknown.tail.slice(at * 2, at * 2 + 2), 16);
  }
  return bytes;
}

/** The superblock as it is written while the device is in use: unclean, AL_CLEAN not set. */
export function inUse(superblock: Superblock): Superblock {
  return { ...superblock, unclean: true, flags: { ...superblock.flags, logClean: false } };
}

/** Whether the log must be replayed before anything else is believed (the kernel refuses to attach then). */
export function needsReplay(superblock: Superblock): boolean {
  return superblock.unclean || !superblock.flags.logClean;
}

/** Refuses what the kernel refuses to attach: an unclean log. */
export function checkClean(superblock: Superblock): Result<Superblock> {
  if (!needsReplay(superblock)) return ok(superblock);
  return refuse(
    "BTN-DISK-METADATA-UNCLEAN",
    "Cannot use metadata whose activity log was not applied yet",
  );
}

/**
 * Compares what the superblock says of itself with where it must be on devices of these sizes (drbd.md 7.3, the
 * checks of an attach).
 * Errors: those of `planLayout`; the location does not match; the bitmap does not cover the agreed size.
 */
export function locate(
  superblock: Superblock,
  form: MetadataForm,
  sizes: DeviceSizes,
): Result<MetadataLayout> {
  const planned = planLayout(form, sizes, ringOf(superblock));
  if (!planned.ok) return planned;
  const layout = planned.value;
  const differences = [
    differs("md_size_sect", superblock.metadataSizeSectors, layout.metadataSizeSectors),
    differs("al_offset", superblock.activityLogSectorOffset, layout.activityLogSectorOffset),
    differs("bm_offset", superblock.bitmapSectorOffset, layout.bitmapSectorOffset),
  ].filter((text) => text !== "");
  if (differences.length > 0) {
    return refuse(
      "BTN-DISK-METADATA-LOCATION",
      `Cannot use ${form.kind} metadata that was made for another device size or place: ${differences.join(", ")}`,
    );
  }
  if (superblock.lastAgreedSectors > layout.usableSectors) {
    return refuse(
      "BTN-DISK-METADATA-SHRUNK",
      `Cannot use a device of ${layout.usableSectors} sectors: ${superblock.lastAgreedSectors} were agreed`,
    );
  }
  return ok(layout);
}

/** The flags of a number. */
export function flagsOf(word: number): MetadataFlags {
  const flags = flagNames.map((name) => [name, (word & flagBits[name]) !== 0]);
  return Object.fromEntries(flags) as unknown as MetadataFlags;
}

/** The number of the flags. */
export function flagsWord(flags: MetadataFlags): number {
  return flagNames.reduce((word, name) => (flags[name] ? word | flagBits[name] : word), 0);
}

function checkLog(superblock: Superblock): Result<Superblock> {
  const { stripes, stripeBlocks } = ringOf(superblock);
  const blocks = stripes * stripeBlocks;
  if (stripes === 0 || stripeBlocks === 0 || blocks < 8 || blocks > 4 * 2 ** 20) {
    return refuse(
      "BTN-DISK-METADATA-LOG-SIZE",
      `Cannot use an activity log of ${superblock.stripes} stripes of ${superblock.stripeBlocks} blocks`,
    );
  }
  const log = blocks * 8;
  const { activityLogSectorOffset: al, bitmapSectorOffset: bm } = superblock;
  const space = al < 0 ? -al : bm - al;
  const placed = al < 0 ? bm <= al : al === 8 && bm >= 8 + log;
  if (!placed || al % 8 !== 0 || bm % 8 !== 0 || space !== log) {
    return refuse(
      "BTN-DISK-METADATA-LOCATION",
      `Cannot use metadata with the activity log at ${al} (${log} sectors) and the bitmap at ${bm}`,
    );
  }
  return ok(superblock);
}

function noMagic(magic: number): Result<never> {
  const hex = `0x${magic.toString(16).padStart(8, "0")}`;
  // All versions of DRBD use numbers close to each other.
  if (magic >= 0x8374_0267 && magic <= 0x8374_027f) {
    return refuse(
      "BTN-DISK-METADATA-OTHER-VERSION",
      `Cannot read metadata of another version of DRBD: its magic is ${hex}`,
    );
  }
  return refuse("BTN-DISK-METADATA-NONE", `Cannot find DRBD metadata: the magic is ${hex}`);
}

function differs(name: string, found: number, expected: number): string {
  return found === expected ? "" : `${name} is ${found} and should be ${expected}`;
}

function hexWithoutZeroes(bytes: Uint8Array): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Array.from(bytes.subarray(0, end), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function refuse(code: string, message: string): Result<never> {
  return fail(new BatonError({ code, message, fix: "See `baton explain` for this code." }));
}
