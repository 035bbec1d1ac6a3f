/** What is on the metadata device. Other parts of this room import from here; shells by their names. */
export {
  ActivityLog,
  type ActivityLogOptions,
  type ActivityLogSnapshot,
  type Admission,
  type LogWrite,
} from "./activity-log.ts";
export {
  type ByteRange,
  clampExtents,
  decodeBlock,
  encodeTransaction,
  FREE,
  freshRing,
  type LogBlock,
  type LogTransaction,
  type Replay,
  type RingContents,
  readRing,
  replayActivityLog,
  ringBlocks,
  ringOffset,
  type SlotUpdate,
} from "./activity-ring.ts";
export { Bitmap, type DirtyPages, type Run } from "./bitmap.ts";
export {
  BITMAP_PAYLOAD_BYTES,
  type BitmapPart,
  BitmapReceiver,
  BitmapSender,
} from "./bitmap-stream.ts";
export {
  type DumpInput,
  diskStateOf,
  formatDump,
  formatGenerations,
  formatGenerationsExplained,
  type ParsedDump,
  parseDump,
} from "./dump.ts";
export {
  BLOCK_BYTES,
  bitmapBytesFor,
  type DeviceSizes,
  defaultRing,
  EXTENT_BYTES,
  EXTENT_SECTORS,
  type MetadataForm,
  type MetadataLayout,
  planLayout,
  type RingShape,
  SECTOR_BYTES,
} from "./layout.ts";
export {
  checkClean,
  encodeSuperblock,
  flagsOf,
  flagsWord,
  freshSuperblock,
  inUse,
  JUST_CREATED,
  locate,
  type MetadataFlags,
  needsReplay,
  noFlags,
  parseSuperblock,
  ringOf,
  type Superblock,
} from "./superblock.ts";
