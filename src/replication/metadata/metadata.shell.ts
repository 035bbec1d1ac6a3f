/**
 * Metadata on real devices: create, read for an attach, change, wipe. Blocking system calls; everything returns a
 * `Result`, nothing throws for what a device or a file does. What is decided is decided in the cores beside this file.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import type { AttachedMetadata, MetadataWrite } from "../contract.ts";
import { type ByteRange, freshRing, type Replay, replayActivityLog } from "./activity-ring.ts";
import {
  type OpenDevice,
  openDevice,
  readAt,
  type Sharing,
  writeMetadata,
} from "./device.shell.ts";
import { formatGenerations } from "./dump.ts";
import {
  BLOCK_BYTES,
  type DeviceSizes,
  defaultRing,
  type MetadataForm,
  type MetadataLayout,
  planLayout,
  type RingShape,
} from "./layout.ts";
import { identifyContents, SIGNATURE_BYTES } from "./signatures.ts";
import {
  encodeSuperblock,
  freshSuperblock,
  locate,
  parseSuperblock,
  type Superblock,
} from "./superblock.ts";

const INDEXED_SLOT_BYTES = 128 * 1024 * 1024;

/** Where one host's side of a disk is. */
export interface MetadataTarget {
  /** Device or file with the data. */
  readonly backing: string;
  readonly form: MetadataForm;
  /** Device or file with the metadata; the same as `backing` if internal. */
  readonly metadata: string;
}

/** Both devices, open. For internal metadata both are the same one. */
export interface OpenTarget extends Disposable {
  readonly backing: OpenDevice;
  readonly metadata: OpenDevice;
  readonly form: MetadataForm;
  readonly sizes: DeviceSizes;
  close(): void;
}

/** What an attach found, ready to use: the devices stay open, and locked, until `target.close()`. */
export interface ReadMetadata {
  readonly target: OpenTarget;
  readonly found: AttachedMetadata;
  readonly layout: MetadataLayout;
  readonly superblock: Superblock;
  /** What the activity log added; `needed` is false if it was clean. */
  readonly replay: Pick<
    Replay,
    "needed" | "extents" | "extentsBeyond" | "corruptBlocks" | "bitsSet"
  >;
}

/** Takes the place of `new Uint8Array` for what the disk keeps: for shared memory. Zeroed, aligned to 8 bytes. */
export type Allocate = (bytes: number) => Uint8Array;

/**
 * Opens both devices of a target. Never throws.
 * @param purpose `use` takes the lock: nobody else, here or in the kernel, uses the devices; `look` only reads
 */
export function openTarget(target: MetadataTarget, purpose: "use" | "look"): Result<OpenTarget> {
  const look: Sharing = { kind: "look" };
  const alone: Sharing = purpose === "look" ? look : { kind: "exclusive" };
  const backing = openDevice(target.backing, alone);
  if (!backing.ok) return backing;
  const { form } = target;
  if (form.kind === "internal") return ok(opened(backing.value, backing.value, form));
  const slot: Sharing =
    form.kind === "indexed" && purpose === "use"
      ? { kind: "range", offset: form.index * INDEXED_SLOT_BYTES, length: INDEXED_SLOT_BYTES }
      : alone;
  const metadata = openDevice(target.metadata, slot);
  if (!metadata.ok) {
    backing.value.close();
    return metadata;
  }
  return ok(opened(backing.value, metadata.value, form));
}

function opened(backing: OpenDevice, metadata: OpenDevice, form: MetadataForm): OpenTarget {
  const close = (): void => {
    metadata.close();
    backing.close();
  };
  const sizes = { backingSectors: backing.sectors, metadataSectors: metadata.sectors };
  return { backing, metadata, form, sizes, close, [Symbol.dispose]: close };
}

/** What `create-md` is told. */
export interface CreateOptions {
  readonly ring?: RingShape;
  /** Overwrites what is there. */
  readonly force: boolean;
  /** 64 random bits. */
  readonly deviceId: bigint;
}

/**
 * Writes fresh metadata: nothing agreed, nothing consistent. Data of the device outside the metadata is not touched.
 * Errors: those of opening and of `planLayout`; metadata or a file system is there and `force` is not given.
 */
export function createMetadata(
  target: MetadataTarget,
  options: CreateOptions,
): Result<MetadataLayout> {
  const open = openTarget(target, "use");
  if (!open.ok) return open;
  using devices = open.value;
  const planned = planLayout(devices.form, devices.sizes, options.ring ?? defaultRing);
  if (!planned.ok) return planned;
  const layout = planned.value;
  const free = options.force ? ok(undefined) : refuseLoss(devices, layout);
  if (!free.ok) return free;
  // Old metadata must not speak for a new bitmap: it goes first, the new superblock comes last.
  const steps: readonly (readonly MetadataWrite[])[] = [
    [{ offset: layout.superblockOffset, bytes: new Uint8Array(BLOCK_BYTES) }],
    [
      ...zeroes(layout.bitmapOffset, layout.bitmapBytes),
      { offset: layout.activityLogOffset, bytes: freshRing(layout.ring) },
    ],
    [
      {
        offset: layout.superblockOffset,
        bytes: encodeSuperblock(freshSuperblock(layout, options.deviceId)),
      },
    ],
  ];
  for (const writes of steps) {
    const written = writeMetadata(devices.metadata, writes);
    if (!written.ok) return written;
  }
  return ok(layout);
}

/** Reads the superblock where it must be, without looking at anything else. */
export function readSuperblock(devices: OpenTarget): Result<Superblock> {
  const place = superblockOffset(devices);
  if (!place.ok) return place;
  const bytes = readAt(devices.metadata, place.value, new Uint8Array(BLOCK_BYTES));
  return bytes.ok ? parseSuperblock(bytes.value) : bytes;
}

/**
 * Everything for an attach. An unclean activity log is applied first, and made durable: bitmap, ring, superblock last,
 * each with a flush, so that a crash in between does no harm.
 * Errors: of opening; of `parseSuperblock`, `locate` and `replayActivityLog`. Nothing stays open then.
 */
export function readMetadata(
  target: MetadataTarget,
  allocate: Allocate = (bytes) => new Uint8Array(bytes),
): Result<ReadMetadata> {
  const open = openTarget(target, "use");
  if (!open.ok) return open;
  const result = attach(open.value, allocate);
  if (!result.ok) open.value.close();
  return result;
}

function attach(devices: OpenTarget, allocate: Allocate): Result<ReadMetadata> {
  const read = readAll(devices, allocate);
  if (!read.ok) return read;
  const { layout, bitmap } = read.value;
  const replayed = replayActivityLog(read.value.superblock, read.value.ring, bitmap);
  if (!replayed.ok) return replayed;
  const replay = replayed.value;
  if (replay.needed) {
    const written = writeReplay(devices.metadata, layout, replay, bitmap);
    if (!written.ok) return written;
  }
  const found: AttachedMetadata = {
    superblock: replay.superblockBytes,
    activityLog: replay.needed ? replay.ring : read.value.ring,
    bitmap,
    ...devices.sizes,
    discards: devices.backing.discards,
  };
  return ok({ target: devices, found, layout, superblock: replay.superblock, replay });
}

/** Superblock, ring and bitmap as they are on the disk, whatever they say. */
export interface RawMetadata {
  readonly layout: MetadataLayout;
  readonly superblock: Superblock;
  readonly ring: Uint8Array;
  readonly bitmap: Uint8Array;
}

/** Reads without a lock and without any change, also while the disk is in use: for dumps and the status. */
export function inspectMetadata(target: MetadataTarget): Result<RawMetadata> {
  const open = openTarget(target, "look");
  if (!open.ok) return open;
  using devices = open.value;
  return readAll(devices, (bytes) => new Uint8Array(bytes));
}

function readAll(devices: OpenTarget, allocate: Allocate): Result<RawMetadata> {
  const parsed = readSuperblock(devices);
  if (!parsed.ok) return parsed;
  const located = locate(parsed.value, devices.form, devices.sizes);
  if (!located.ok) return located;
  const layout = located.value;
  const { activityLogOffset, activityLogBytes, bitmapOffset, bitmapBytes } = layout;
  const ring = readAt(devices.metadata, activityLogOffset, new Uint8Array(activityLogBytes));
  if (!ring.ok) return ring;
  const bitmap = readAt(devices.metadata, bitmapOffset, allocate(bitmapBytes));
  if (!bitmap.ok) return bitmap;
  return ok({ layout, superblock: parsed.value, ring: ring.value, bitmap: bitmap.value });
}

/** `drbdmeta apply-al`: turns an unclean log into bits of the bitmap. Does nothing if it is clean. */
export function applyActivityLog(target: MetadataTarget): Result<ReadMetadata["replay"]> {
  const read = readMetadata(target);
  if (!read.ok) return read;
  read.value.target.close();
  return ok(read.value.replay);
}

/**
 * Changes the superblock and nothing else, durably. Refused while the disk is in use: then its process changes it.
 * @param edit gives the new superblock, or why not
 */
export function editSuperblock(
  target: MetadataTarget,
  edit: (superblock: Superblock) => Result<Superblock>,
): Result<Superblock> {
  const open = openTarget(target, "use");
  if (!open.ok) return open;
  using devices = open.value;
  const before = readSuperblock(devices);
  if (!before.ok) return before;
  const located = locate(before.value, devices.form, devices.sizes);
  if (!located.ok) return located;
  const edited = edit(before.value);
  if (!edited.ok) return edited;
  const written = writeMetadata(devices.metadata, [
    { offset: located.value.superblockOffset, bytes: encodeSuperblock(edited.value) },
  ]);
  return written.ok ? edited : written;
}

/** Marks the data as outdated: not to be used unless it is synced, or somebody insists. Error: it is inconsistent anyway. */
export function outdateMetadata(target: MetadataTarget): Result<Superblock> {
  return editSuperblock(target, (superblock) =>
    superblock.flags.consistent
      ? ok({ ...superblock, flags: { ...superblock.flags, wasUpToDate: false } })
      : fail(
          new BatonError({
            code: "BTN-DISK-METADATA-INCONSISTENT",
            message: `Cannot outdate ${target.backing}: its data is inconsistent, which is worse than outdated`,
          }),
        ),
  );
}

/** Marks the data as inconsistent: everything is copied from the peer at the next connect. */
export function invalidateMetadata(target: MetadataTarget): Result<Superblock> {
  return editSuperblock(target, (superblock) =>
    ok({
      ...superblock,
      flags: { ...superblock.flags, consistent: false, wasUpToDate: false, fullSync: true },
    }),
  );
}

/** Overwrites the superblock with zeroes: there is no metadata any more. Error: there is none that can be read. */
export function wipeMetadata(target: MetadataTarget): Result<undefined> {
  const open = openTarget(target, "use");
  if (!open.ok) return open;
  using devices = open.value;
  const found = readSuperblock(devices);
  if (!found.ok) return found;
  const place = superblockOffset(devices);
  if (!place.ok) return place;
  return writeMetadata(devices.metadata, [
    { offset: place.value, bytes: new Uint8Array(BLOCK_BYTES) },
  ]);
}

/** Only the form and the size of the device say where the superblock is: not the ring, which it describes itself. */
function superblockOffset(devices: OpenTarget): Result<number> {
  const planned = planLayout(devices.form, devices.sizes);
  return planned.ok ? ok(planned.value.superblockOffset) : planned;
}

function writeReplay(
  device: OpenDevice,
  layout: MetadataLayout,
  replay: Replay,
  bitmap: Uint8Array,
): Result<undefined> {
  const pages = replay.changed.map((range) => pagesOf(range));
  const steps: readonly (readonly MetadataWrite[])[] = [
    pages.map(({ offset, length }) => ({
      offset: layout.bitmapOffset + offset,
      bytes: bitmap.subarray(offset, offset + length),
    })),
    [{ offset: layout.activityLogOffset, bytes: replay.ring }],
    [{ offset: layout.superblockOffset, bytes: replay.superblockBytes }],
  ];
  for (const writes of steps) {
    const written = writeMetadata(device, writes);
    if (!written.ok) return written;
  }
  return ok(undefined);
}

/** Whole pages around a range. */
function pagesOf({ offset, length }: ByteRange): ByteRange {
  const first = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES;
  const end = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES;
  return { offset: first, length: end - first };
}

/** Zeroes in pieces of 1 MiB, all of them the same memory. */
function zeroes(offset: number, length: number): readonly MetadataWrite[] {
  const piece = new Uint8Array(Math.min(length, 1024 * 1024));
  const count = Math.ceil(length / piece.length);
  return Array.from({ length: count }, (_, index) => {
    const done = index * piece.length;
    return {
      offset: offset + done,
      bytes: piece.subarray(0, Math.min(piece.length, length - done)),
    };
  });
}

/** Says what `create-md` would destroy. */
function refuseLoss(devices: OpenTarget, layout: MetadataLayout): Result<undefined> {
  const superblock = readSuperblock(devices);
  if (superblock.ok || !absent(superblock.error.code)) {
    const what = superblock.ok
      ? `DRBD metadata, generations ${formatGenerations(superblock.value)}, ${superblock.value.lastAgreedSectors} sectors agreed`
      : `DRBD metadata that can not be used (${superblock.error.message})`;
    return wouldLose(devices.metadata.path, what, "which data is current here would be forgotten");
  }
  const head = new Uint8Array(Math.min(SIGNATURE_BYTES, devices.metadata.sectors * 512));
  const read = readAt(devices.metadata, 0, head);
  if (!read.ok) return read;
  const contents = identifyContents(head);
  if (contents === undefined) return ok(undefined);
  const kept =
    layout.form.kind === "internal" &&
    contents.endsAt !== undefined &&
    contents.endsAt <= layout.bitmapOffset;
  return wouldLose(
    devices.metadata.path,
    contents.name,
    kept
      ? "it ends before the metadata and would be kept, but the disk counts as inconsistent until it is made primary by force"
      : "the metadata would overwrite a part of it",
  );
}

/** Whether an error of `parseSuperblock` means that there is no metadata at all. */
function absent(code: string): boolean {
  return code === "BTN-DISK-METADATA-NONE";
}

function wouldLose(path: string, what: string, consequence: string): Result<never> {
  return fail(
    new BatonError({
      code: "BTN-DISK-METADATA-EXISTS",
      message: `Cannot create metadata on ${path}: there is ${what}`,
      consequence,
      fix: "If that is what you want: the same command with --force.",
    }),
  );
}
