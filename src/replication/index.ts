/** A disk in two places. What other rooms may import; shells are imported by their names. */
export {
  type AttachedMetadata,
  type ConnectionStateName,
  connectionRank,
  connectionStates,
  type DeviceState,
  type DiskCommand,
  type DiskCounters,
  type DiskEffect,
  type DiskEvent,
  type DiskRole,
  type DiskStateName,
  type DiskView,
  diskRank,
  diskStates,
  type FenceResult,
  type Generations,
  type MetadataWrite,
  type ResyncView,
  type SocketName,
} from "./contract.ts";
export { compareGenerations } from "./control/generations.ts";
export { Disk } from "./disk.ts";
export {
  diskStateOf,
  encodeSuperblock,
  formatDump,
  formatGenerations,
  formatGenerationsExplained,
  freshRing,
  freshSuperblock,
  type MetadataLayout,
  planLayout,
  SECTOR_BYTES,
} from "./metadata/index.ts";
export { identifyContents, SIGNATURE_BYTES } from "./metadata/signatures.ts";
export {
  type AfterSplitBrainPolicy,
  type DigestAlgorithm,
  type DiskHost,
  type DiskSpec,
  type FencingPolicy,
  type HandlerName,
  handlerNames,
  type LocalDiskOptions,
  type MetadataPlace,
  type NetOptions,
  type Protocol,
  type ResyncOptions,
  type StartupOptions,
} from "./options.ts";
export {
  type DiskOutcome,
  type DiskProcessState,
  type DiskRequest,
  diskDownPath,
  diskSocketPath,
} from "./process.ts";
export type { DiskCoreOptions } from "./shared.ts";
export { digestBytes } from "./wire/digest-lengths.ts";
export { HEAD_MAX, payloadOf, putHead } from "./wire/encode.ts";
export { PacketReader, READER_BYTES } from "./wire/frames.ts";
export type { WireSession } from "./wire/header.ts";
export type { Packet } from "./wire/packets.ts";
