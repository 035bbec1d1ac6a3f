/**
 * Payloads to packets. The length was admitted (header.ts) and all bytes are there. Bytes in a packet are views, never
 * copies. One object per packet, plus one for each view; big integers only where generations are.
 */
import type { BatonError } from "../../base/index.ts";
import { getBig, getText, getU16, getU32, getU64, SECTOR_MAX } from "./bytes.ts";
import { type CommandRow, DATA_MAX, NAME_BYTES, RANGE_MAX } from "./commands.ts";
import { type WireSession, wireError } from "./header.ts";
import type {
  BlockAckPacket,
  BlockRangePacket,
  BlockRequestPacket,
  DataPacket,
  Packet,
  ProtocolPacket,
  QueueLimits,
  RangePacket,
  SizesPacket,
  SyncParamPacket,
  UuidsPacket,
} from "./packets.ts";

/** Where a payload is. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly length: number;
  readonly volume: number;
}

const NO_DIGEST = 0;

/** Decodes one admitted payload: `length` bytes at `at`. Never throws for any bytes. */
export function decodePayload(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  session: WireSession | undefined,
): Packet | BatonError {
  switch (row.form) {
    case "ack":
      return decodeAck(row, volume, bytes, at);
    case "data":
      return decodeData(row, volume, bytes, at, length, session?.digestBytes ?? NO_DIGEST);
    case "barrier":
      return { command: "P_BARRIER", barrier: getU32(bytes, at) };
    case "barrierAck":
      return {
        command: "P_BARRIER_ACK",
        barrier: getU32(bytes, at),
        writes: getU32(bytes, at + 4),
      };
    case "request":
      return decodeRequest(row, volume, bytes, at, length);
    case "empty":
      return { command: row.name, volume } as Packet;
    case "range":
      return decodeRange(row, volume, bytes, at, length, session?.digestBytes ?? NO_DIGEST);
    case "blockRange":
      return decodeBlockRange(row, volume, bytes, at);
    default:
      return decodeRare(row, { bytes, at, length, volume });
  }
}

function decodeAck(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
): BlockAckPacket | BatonError {
  const sector = getU64(bytes, at);
  if (sector > SECTOR_MAX) return wrongField(row, "sector", sector);
  return {
    command: row.name as BlockAckPacket["command"],
    volume,
    sector,
    idHigh: getU32(bytes, at + 8),
    idLow: getU32(bytes, at + 12),
    bytes: getU32(bytes, at + 16),
    sequence: getU32(bytes, at + 20),
  };
}

function decodeData(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  digestBytes: number,
): DataPacket | BatonError {
  const sector = getU64(bytes, at);
  if (sector > SECTOR_MAX) return wrongField(row, "sector", sector);
  const dataAt = at + 24 + digestBytes;
  return {
    command: row.name as DataPacket["command"],
    volume,
    sector,
    idHigh: getU32(bytes, at + 8),
    idLow: getU32(bytes, at + 12),
    sequence: getU32(bytes, at + 16),
    flags: getU32(bytes, at + 20),
    digest: digestBytes === 0 ? undefined : bytes.subarray(at + 24, dataAt),
    data: bytes.subarray(dataAt, at + length),
  };
}

function decodeRange(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  digestBytes: number,
): RangePacket | BatonError {
  const sector = getU64(bytes, at);
  const affected = getU32(bytes, at + 24);
  if (sector > SECTOR_MAX) return wrongField(row, "sector", sector);
  if (affected === 0 || affected > RANGE_MAX || (affected & 511) !== 0) {
    return wrongField(row, "size", affected);
  }
  const withData = row.digest;
  const dataAt = at + 28 + digestBytes;
  return {
    command: row.name as RangePacket["command"],
    volume,
    sector,
    idHigh: getU32(bytes, at + 8),
    idLow: getU32(bytes, at + 12),
    sequence: getU32(bytes, at + 16),
    flags: getU32(bytes, at + 20),
    bytes: affected,
    digest: withData && digestBytes > 0 ? bytes.subarray(at + 28, dataAt) : undefined,
    data: withData ? bytes.subarray(dataAt, at + length) : undefined,
  };
}

function decodeRequest(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
  length: number,
): BlockRequestPacket | BatonError {
  const sector = getU64(bytes, at);
  const asked = getU32(bytes, at + 16);
  if (sector > SECTOR_MAX) return wrongField(row, "sector", sector);
  if (asked === 0 || asked > DATA_MAX || (asked & 511) !== 0) return wrongField(row, "size", asked);
  return {
    command: row.name as BlockRequestPacket["command"],
    volume,
    sector,
    idHigh: getU32(bytes, at + 8),
    idLow: getU32(bytes, at + 12),
    bytes: asked,
    digest: row.most > 24 ? bytes.subarray(at + 24, at + length) : undefined,
  };
}

function decodeBlockRange(
  row: CommandRow,
  volume: number,
  bytes: Uint8Array,
  at: number,
): BlockRangePacket | BatonError {
  const sector = getU64(bytes, at);
  if (sector > SECTOR_MAX) return wrongField(row, "sector", sector);
  return {
    command: row.name as BlockRangePacket["command"],
    volume,
    sector,
    bytes: getU32(bytes, at + 8),
  };
}

/** What is not sent many times a second. */
function decodeRare(row: CommandRow, payload: Payload): Packet | BatonError {
  const { bytes, at, length, volume } = payload;
  switch (row.form) {
    case "features":
      return {
        command: "P_CONNECTION_FEATURES",
        minimum: getU32(bytes, at),
        features: getU32(bytes, at + 4),
        maximum: getU32(bytes, at + 8),
      };
    case "auth":
      return { command: row.name, bytes: bytes.subarray(at, at + length) } as Packet;
    case "bitmap":
      return { command: row.name, volume, bytes: bytes.subarray(at, at + length) } as Packet;
    case "protocol":
      return decodeProtocol(row, payload);
    case "syncParam":
      return decodeSyncParam(row, payload);
    case "sizes":
      return decodeSizes(row, payload);
    case "uuids":
      return decodeUuids(row, payload);
    case "state":
      return { command: "P_STATE", volume, word: getU32(bytes, at) };
    case "syncUuid":
      return { command: "P_SYNC_UUID", volume, uuid: getBig(bytes, at) };
    case "stateRequest":
      return {
        command: row.name,
        volume,
        mask: getU32(bytes, at),
        value: getU32(bytes, at + 4),
      } as Packet;
    case "stateReply":
      return { command: row.name, volume, result: getU32(bytes, at) | 0 } as Packet;
    case "delayProbe":
      return { command: "P_DELAY_PROBE" };
    default:
      return decodeBaton(row, payload);
  }
}

function decodeProtocol(
  row: CommandRow,
  { bytes, at, length }: Payload,
): ProtocolPacket | BatonError {
  const integrity = getText(bytes, at + 24, length - 24);
  if (integrity === undefined) return wrongField(row, "integrity_alg", "without end");
  return {
    command: row.name as ProtocolPacket["command"],
    protocol: getU32(bytes, at),
    afterSplitBrain: [getU32(bytes, at + 4), getU32(bytes, at + 8), getU32(bytes, at + 12)],
    connectionFlags: getU32(bytes, at + 16),
    twoPrimaries: getU32(bytes, at + 20),
    integrity,
  };
}

function decodeSyncParam(
  row: CommandRow,
  { bytes, at, volume }: Payload,
): SyncParamPacket | BatonError {
  const verify = getText(bytes, at + 4, NAME_BYTES);
  if (verify === undefined) return wrongField(row, "verify_alg", "without end");
  const checksumResync = getText(bytes, at + 68, NAME_BYTES);
  if (checksumResync === undefined) return wrongField(row, "csums_alg", "without end");
  return {
    command: "P_SYNC_PARAM89",
    volume,
    rateKibPerSecond: getU32(bytes, at),
    verify,
    checksumResync,
    planAhead: getU32(bytes, at + 132),
    delayTarget: getU32(bytes, at + 136),
    fillTarget: getU32(bytes, at + 140),
    maxRate: getU32(bytes, at + 144),
  };
}

function decodeSizes(
  row: CommandRow,
  { bytes, at, length, volume }: Payload,
): SizesPacket | BatonError {
  const diskSectors = getU64(bytes, at);
  const userSectors = getU64(bytes, at + 8);
  const currentSectors = getU64(bytes, at + 16);
  const largest = Math.max(diskSectors, userSectors, currentSectors);
  if (largest > SECTOR_MAX) return wrongField(row, "size", largest);
  return {
    command: "P_SIZES",
    volume,
    diskSectors,
    userSectors,
    currentSectors,
    maxBioBytes: getU32(bytes, at + 24),
    queueOrderType: getU16(bytes, at + 28),
    flags: getU16(bytes, at + 30),
    limits: length === 56 ? decodeLimits(bytes, at + 32) : undefined,
  };
}

const decodeLimits = (bytes: Uint8Array, at: number): QueueLimits => ({
  physicalBlockBytes: getU32(bytes, at),
  logicalBlockBytes: getU32(bytes, at + 4),
  alignmentOffset: getU32(bytes, at + 8),
  ioMinimum: getU32(bytes, at + 12),
  ioOptimum: getU32(bytes, at + 16),
  discard: bytes[at + 20] !== 0,
  discardZeroes: bytes[at + 21] !== 0,
  writeSame: bytes[at + 22] !== 0,
});

function decodeUuids(row: CommandRow, { bytes, at, volume }: Payload): UuidsPacket | BatonError {
  const dirtyBits = getU64(bytes, at + 32);
  const flags = getU64(bytes, at + 40);
  if (dirtyBits > SECTOR_MAX) return wrongField(row, "dirty_bits", dirtyBits);
  if (flags > 0xffff_ffff) return wrongField(row, "uuid_flags", flags);
  return {
    command: "P_UUIDS",
    volume,
    generations: {
      current: getBig(bytes, at),
      bitmap: getBig(bytes, at + 8),
      history0: getBig(bytes, at + 16),
      history1: getBig(bytes, at + 24),
    },
    dirtyBits,
    flags,
  };
}

/** P_BATON: the epoch as u64, then the cluster id with its NUL (DESIGN 7.6; the form is Baton's own). */
function decodeBaton(row: CommandRow, { bytes, at, length }: Payload): Packet | BatonError {
  const epoch = getU64(bytes, at);
  if (epoch > Number.MAX_SAFE_INTEGER) return wrongField(row, "epoch", epoch);
  const clusterId = getText(bytes, at + 8, length - 8);
  if (clusterId === undefined) return wrongField(row, "cluster id", "without end");
  return { command: "P_BATON", clusterId, epoch };
}

const wrongField = (row: CommandRow, field: string, value: number | string): BatonError =>
  wireError("BTN-DISK-WIRE-FIELD", `Cannot take ${row.name} with ${field} ${value}`);
