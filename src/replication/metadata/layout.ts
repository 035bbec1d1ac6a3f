/**
 * Where DRBD's metadata lies (drbd.md 7.1, 7.2, 7.6): the three layouts of format v08, in bytes of the metadata device.
 *
 *   internal   [ data ........ ][ bitmap ][ activity log ][ superblock 4 KiB ][ tail under 4 KiB ]
 *   external   [ superblock 4 KiB ][ activity log ][ bitmap ......... ]
 *   indexed    the same in slots of 128 MiB, with a log of 32 KiB
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";

/** Sizes of the format, in bytes; every count of sectors is of 512 bytes. */
export const SECTOR_BYTES = 512;
export const BLOCK_BYTES = 4096;
/** One slot of the activity log covers this much of the device: 128 bytes of bitmap. */
export const EXTENT_BYTES = 4 * 1024 * 1024;
export const EXTENT_SECTORS = EXTENT_BYTES / SECTOR_BYTES;
const BLOCK_SECTORS = 8;
/** One sector of bitmap covers 4096 blocks of 4 KiB. */
const SECTORS_PER_BITMAP_SECTOR = 32_768;
/** 128 MiB: the slot of an indexed layout, and what one 4 KiB page of bitmap covers. */
const SLOT_SECTORS = 262_144;
/** Where the bitmap of an indexed slot begins, always. */
const INDEXED_BITMAP_SECTOR = 72;
const MAX_DEVICE_SECTORS = 2 ** 51;
/** The kernel refuses a smaller flexible metadata device, and so a smaller backing device with internal metadata. */
const MIN_FLEXIBLE_SECTORS = 2048;
/** A bitmap is one array in memory; this much covers a device of 64 TiB. */
const MAX_BITMAP_BYTES = 2 ** 31 - BLOCK_BYTES;

/** Form of the metadata; which device it is on is the shell's concern. */
export type MetadataForm =
  | { readonly kind: "internal" }
  | { readonly kind: "external" }
  | { readonly kind: "indexed"; readonly index: number };

/** Stripes of the activity log ring and their size in blocks of 4 KiB. */
export interface RingShape {
  readonly stripes: number;
  readonly stripeBlocks: number;
}

/** What create-md uses unless told otherwise: 32 KiB in one piece. */
export const defaultRing: RingShape = { stripes: 1, stripeBlocks: 8 };

/** How large the devices are. `metadata` is the backing device itself if internal. */
export interface DeviceSizes {
  readonly backingSectors: number;
  readonly metadataSectors: number;
}

/** Offsets and sizes in bytes of the metadata device, unless the name says sectors. */
export interface MetadataLayout {
  readonly form: MetadataForm;
  readonly ring: RingShape;
  readonly superblockOffset: number;
  readonly activityLogOffset: number;
  readonly activityLogBytes: number;
  readonly bitmapOffset: number;
  /** The whole area that is set aside for the bitmap. */
  readonly bitmapAreaBytes: number;
  /** What a device of `usableSectors` needs of it, in whole pages of 4 KiB: this much is read and kept. */
  readonly bitmapBytes: number;
  /** Most sectors that applications can be given. */
  readonly usableSectors: number;
  /** The three fields of the superblock: md_size_sect, al_offset, bm_offset. */
  readonly metadataSizeSectors: number;
  readonly activityLogSectorOffset: number;
  readonly bitmapSectorOffset: number;
}

/**
 * Computes where everything is on devices of these sizes.
 * Errors: the stripes are out of bounds, or the device is too small or too large.
 */
export function planLayout(
  form: MetadataForm,
  sizes: DeviceSizes,
  ring: RingShape = defaultRing,
): Result<MetadataLayout> {
  const shape = checkRing(form, ring);
  if (!shape.ok) return shape;
  const size = checkSizes(form, sizes);
  if (!size.ok) return size;
  const layout = form.kind === "internal" ? internal(sizes, ring) : external(form, sizes, ring);
  if (layout.usableSectors < BLOCK_SECTORS || layout.bitmapSectorsLeft < BLOCK_SECTORS) {
    return tooSmall(form, sizes, "nothing is left for data beside the metadata");
  }
  const { bitmapSectorsLeft, ...rest } = layout;
  const bitmapBytes = bitmapBytesFor(rest.usableSectors);
  const relative = [rest.activityLogSectorOffset, rest.bitmapSectorOffset];
  if (bitmapBytes > MAX_BITMAP_BYTES || relative.some((offset) => Math.abs(offset) >= 2 ** 31)) {
    return fail(
      new BatonError({
        code: "BTN-DISK-METADATA-TOO-LARGE",
        message: `Cannot hold the bitmap of a device of ${rest.usableSectors} sectors in memory`,
        fix: "Use a backing device of at most 64 TiB.",
      }),
    );
  }
  return ok({ ...rest, bitmapBytes: Math.min(bitmapBytes, rest.bitmapAreaBytes) });
}

/** Bytes of bitmap for a device of this many sectors, in whole pages of 4 KiB. */
export function bitmapBytesFor(sectors: number): number {
  return Math.ceil(Math.ceil(sectors / BLOCK_SECTORS) / (8 * BLOCK_BYTES)) * BLOCK_BYTES;
}

type Draft = Omit<MetadataLayout, "bitmapBytes"> & { readonly bitmapSectorsLeft: number };

function internal(sizes: DeviceSizes, ring: RingShape): Draft {
  const device = sizes.metadataSectors;
  const log = ring.stripes * ring.stripeBlocks * BLOCK_SECTORS;
  const bitmap = BLOCK_SECTORS * Math.ceil(device / SLOT_SECTORS);
  const superblock = alignDown(device) - BLOCK_SECTORS;
  const start = superblock - log - bitmap;
  return {
    form: { kind: "internal" },
    ring,
    superblockOffset: superblock * SECTOR_BYTES,
    activityLogOffset: (superblock - log) * SECTOR_BYTES,
    activityLogBytes: log * SECTOR_BYTES,
    bitmapOffset: start * SECTOR_BYTES,
    bitmapAreaBytes: bitmap * SECTOR_BYTES,
    bitmapSectorsLeft: bitmap,
    usableSectors: Math.min(MAX_DEVICE_SECTORS, start),
    metadataSizeSectors: bitmap + log + BLOCK_SECTORS,
    activityLogSectorOffset: -log,
    bitmapSectorOffset: -log - bitmap,
  };
}

function external(
  form: Exclude<MetadataForm, { kind: "internal" }>,
  sizes: DeviceSizes,
  ring: RingShape,
): Draft {
  const log = ring.stripes * ring.stripeBlocks * BLOCK_SECTORS;
  const superblock = form.kind === "indexed" ? form.index * SLOT_SECTORS : 0;
  const size = form.kind === "indexed" ? SLOT_SECTORS : sizes.metadataSectors;
  const bitmap = form.kind === "indexed" ? INDEXED_BITMAP_SECTOR : BLOCK_SECTORS + log;
  // Pages are written as a whole, so a part of one at the end of the device is of no use.
  const area = alignDown(size - bitmap);
  const covered = area * SECTORS_PER_BITMAP_SECTOR;
  return {
    form,
    ring,
    superblockOffset: superblock * SECTOR_BYTES,
    activityLogOffset: (superblock + BLOCK_SECTORS) * SECTOR_BYTES,
    activityLogBytes: log * SECTOR_BYTES,
    bitmapOffset: (superblock + bitmap) * SECTOR_BYTES,
    bitmapAreaBytes: area * SECTOR_BYTES,
    bitmapSectorsLeft: area,
    usableSectors: Math.min(MAX_DEVICE_SECTORS, sizes.backingSectors, covered),
    metadataSizeSectors: size,
    activityLogSectorOffset: BLOCK_SECTORS,
    bitmapSectorOffset: bitmap,
  };
}

function checkRing(form: MetadataForm, ring: RingShape): Result<RingShape> {
  const { stripes, stripeBlocks } = ring;
  const blocks = stripes * stripeBlocks;
  const whole = Number.isInteger(stripes) && Number.isInteger(stripeBlocks);
  const fits = stripes >= 1 && stripeBlocks >= 1 && blocks >= 8 && blocks <= 4 * 2 ** 20;
  const fixed = form.kind !== "indexed" || (stripes === 1 && stripeBlocks === 8);
  if (whole && fits && fixed) return ok(ring);
  return fail(
    new BatonError({
      code: "BTN-DISK-METADATA-LOG-SIZE",
      message: `Cannot use an activity log of ${stripes} stripes of ${stripeBlocks} blocks`,
      fix: "Use 32 KiB to 16 GiB in all; indexed metadata always has one stripe of 8 blocks.",
    }),
  );
}

function checkSizes(form: MetadataForm, sizes: DeviceSizes): Result<DeviceSizes> {
  const { backingSectors, metadataSectors } = sizes;
  const known = [backingSectors, metadataSectors].every((n) => Number.isSafeInteger(n) && n > 0);
  if (!known) return tooSmall(form, sizes, "a size is not known");
  if (form.kind === "indexed") {
    if (!Number.isSafeInteger(form.index) || form.index < 0) {
      return tooSmall(form, sizes, `${form.index} is not an index`);
    }
    return metadataSectors >= (form.index + 1) * SLOT_SECTORS
      ? ok(sizes)
      : tooSmall(form, sizes, `index ${form.index} needs ${form.index + 1} times 128 MiB`);
  }
  return metadataSectors >= MIN_FLEXIBLE_SECTORS
    ? ok(sizes)
    : tooSmall(form, sizes, "at least 2048 sectors (1 MiB) are needed");
}

function tooSmall(form: MetadataForm, sizes: DeviceSizes, why: string): Result<never> {
  return fail(
    new BatonError({
      code: "BTN-DISK-METADATA-DEVICE-TOO-SMALL",
      message: `Cannot put ${form.kind} metadata on a device of ${sizes.metadataSectors} sectors: ${why}`,
      fix: "Use a larger device. Rule for external metadata: 36 KiB, and 4 KiB for each 128 MiB of data.",
    }),
  );
}

function alignDown(sectors: number): number {
  return sectors - (sectors % BLOCK_SECTORS);
}
