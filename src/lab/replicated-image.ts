/**
 * The two images of a replicated disk, as two hosts have them that were in sync when they were last stopped: the same
 * data, and metadata of one generation, so that no first synchronisation is needed.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import {
  encodeSuperblock,
  freshRing,
  freshSuperblock,
  type MetadataLayout,
  planLayout,
  SECTOR_BYTES,
} from "../replication/index.ts";

const random64 = (): bigint => randomBytes(8).readBigUInt64BE();

/** Where metadata lies on an image of that size. @throws {BatonError} if it is too small */
export function imageLayout(imageBytes: number): MetadataLayout {
  const sectors = imageBytes / SECTOR_BYTES;
  const layout = planLayout(
    { kind: "internal" },
    { backingSectors: sectors, metadataSectors: sectors },
  );
  if (!layout.ok) throw layout.error;
  return layout.value;
}

/** Writes the metadata of a disk in sync into each of `images`: equal generations, both up to date. */
export function writeSyncedMetadata(images: readonly string[], layout: MetadataLayout): void {
  const generations = {
    // Bit 0 says "Primary", which nobody is.
    current: random64() & ~1n,
    bitmap: 0n,
    history0: random64() & ~1n,
    history1: 0n,
  };
  for (const image of images) {
    const fresh = freshSuperblock(layout, random64());
    const superblock = encodeSuperblock({
      ...fresh,
      generations,
      lastAgreedSectors: layout.usableSectors,
      flags: { ...fresh.flags, consistent: true, wasUpToDate: true },
    });
    const descriptor = openSync(image, "r+");
    try {
      writeSync(descriptor, new Uint8Array(layout.bitmapBytes), 0, undefined, layout.bitmapOffset);
      writeSync(descriptor, freshRing(layout.ring), 0, undefined, layout.activityLogOffset);
      writeSync(descriptor, superblock, 0, undefined, layout.superblockOffset);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}
