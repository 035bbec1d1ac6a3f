/** A disk in two places. What other rooms may import; shells are imported by their names. */
export {
  type ConnectionStateName,
  connectionRank,
  connectionStates,
  type DeviceState,
  type DiskCommand,
  type DiskCounters,
  type DiskRole,
  type DiskStateName,
  type DiskView,
  diskRank,
  diskStates,
  type FenceResult,
  type Generations,
  type ResyncView,
} from "./contract.ts";
export {
  encodeSuperblock,
  freshRing,
  freshSuperblock,
  type MetadataLayout,
  planLayout,
  SECTOR_BYTES,
} from "./metadata/index.ts";
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
  diskSocketPath,
} from "./process.ts";
