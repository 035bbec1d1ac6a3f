/**
 * Every packet of DRBD 8.4 as a value (drbd.md 1.4, 1.5). Sectors are numbers (at most 2^51), generations bigints.
 *
 * A block id is eight opaque bytes of the side that made the request: two numbers, each four bytes read big-endian, so
 * that an echo is exact and nothing is allocated. Barrier cookies likewise: four raw bytes read big-endian.
 */
import type { Generations } from "../contract.ts";

/** Resync and verify traffic: both halves all ones. */
export const SYNCER_ID = 0xffff_ffff;

/** dp_flags (drbd.md 1.5). */
export const dataFlag = {
  readWriteSync: 2,
  maySetInSync: 4,
  fua: 16,
  flush: 32,
  discard: 64,
  sendReceiveAck: 128,
  sendWriteAck: 256,
  writeSame: 512,
  zeroes: 1024,
} as const;

/** Feature bits (drbd.md 1.6); `baton` is bit 30, which kernels mask away (DESIGN 7.6). */
export const feature = {
  trim: 1,
  thinResync: 2,
  writeSame: 4,
  writeZeroes: 8,
  baton: 0x4000_0000,
} as const;

interface BlockId {
  readonly idHigh: number;
  readonly idLow: number;
}

/** A packet that carries data: P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY. */
export interface DataPacket extends BlockId {
  readonly command: "P_DATA" | "P_DATA_REPLY" | "P_RS_DATA_REPLY";
  readonly volume: number;
  readonly sector: number;
  readonly sequence: number;
  readonly flags: number;
  /** Undefined: no data-integrity-alg is agreed. */
  readonly digest: Uint8Array | undefined;
  readonly data: Uint8Array;
}
/** P_TRIM, P_ZEROES; P_WSAME is only received, with its one block in `data`. */
export interface RangePacket extends BlockId {
  readonly command: "P_TRIM" | "P_ZEROES" | "P_WSAME";
  readonly volume: number;
  readonly sector: number;
  readonly sequence: number;
  readonly flags: number;
  readonly bytes: number;
  readonly digest: Uint8Array | undefined;
  readonly data: Uint8Array | undefined;
}
/** Asks for a block, or of a verify also answers with a digest. */
export interface BlockRequestPacket extends BlockId {
  readonly command:
    | "P_DATA_REQUEST"
    | "P_RS_DATA_REQUEST"
    | "P_RS_THIN_REQ"
    | "P_OV_REQUEST"
    | "P_OV_REPLY"
    | "P_CSUM_RS_REQUEST";
  readonly volume: number;
  readonly sector: number;
  readonly bytes: number;
  /** Only of P_OV_REPLY and P_CSUM_RS_REQUEST. */
  readonly digest: Uint8Array | undefined;
}
/** Every answer of 24 bytes on the meta socket. */
export interface BlockAckPacket extends BlockId {
  readonly command:
    | "P_RECV_ACK"
    | "P_WRITE_ACK"
    | "P_RS_WRITE_ACK"
    | "P_SUPERSEDED"
    | "P_NEG_ACK"
    | "P_NEG_DREPLY"
    | "P_NEG_RS_DREPLY"
    | "P_OV_RESULT"
    | "P_RS_IS_IN_SYNC"
    | "P_RS_CANCEL"
    | "P_RETRY_WRITE";
  readonly volume: number;
  readonly sector: number;
  readonly bytes: number;
  readonly sequence: number;
}
export interface BlockRangePacket {
  readonly command: "P_OUT_OF_SYNC" | "P_RS_DEALLOCATED";
  readonly volume: number;
  readonly sector: number;
  readonly bytes: number;
}
export interface BarrierPacket {
  readonly command: "P_BARRIER";
  readonly barrier: number;
}
export interface BarrierAckPacket {
  readonly command: "P_BARRIER_ACK";
  readonly barrier: number;
  readonly writes: number;
}
export interface FeaturesPacket {
  readonly command: "P_CONNECTION_FEATURES";
  readonly minimum: number;
  readonly features: number;
  readonly maximum: number;
}
export interface AuthPacket {
  readonly command: "P_AUTH_CHALLENGE" | "P_AUTH_RESPONSE";
  readonly bytes: Uint8Array;
}
export interface ProtocolPacket {
  readonly command: "P_PROTOCOL" | "P_PROTOCOL_UPDATE";
  /** 1 A, 2 B, 3 C. */
  readonly protocol: number;
  readonly afterSplitBrain: readonly [number, number, number];
  /** 1 discard-my-data, 2 dry run. */
  readonly connectionFlags: number;
  readonly twoPrimaries: number;
  readonly integrity: string;
}
export interface SyncParamPacket {
  readonly command: "P_SYNC_PARAM89";
  readonly volume: number;
  readonly rateKibPerSecond: number;
  readonly verify: string;
  readonly checksumResync: string;
  readonly planAhead: number;
  readonly delayTarget: number;
  readonly fillTarget: number;
  readonly maxRate: number;
}
export interface SizesPacket {
  readonly command: "P_SIZES";
  readonly volume: number;
  readonly diskSectors: number;
  readonly userSectors: number;
  readonly currentSectors: number;
  readonly maxBioBytes: number;
  readonly queueOrderType: number;
  readonly flags: number;
  /** Present exactly if FF_WSAME is agreed. */
  readonly limits: QueueLimits | undefined;
}
export interface QueueLimits {
  readonly physicalBlockBytes: number;
  readonly logicalBlockBytes: number;
  readonly alignmentOffset: number;
  readonly ioMinimum: number;
  readonly ioOptimum: number;
  readonly discard: boolean;
  readonly discardZeroes: boolean;
  readonly writeSame: boolean;
}
export interface UuidsPacket {
  readonly command: "P_UUIDS";
  readonly volume: number;
  readonly generations: Generations;
  readonly dirtyBits: number;
  /** 1 discard-my-data, 2 crashed primary, 4 inconsistent, 8 skip initial sync. */
  readonly flags: number;
}
export interface StatePacket {
  readonly command: "P_STATE";
  readonly volume: number;
  /** drbd.md 4.4. */
  readonly word: number;
}
export interface SyncUuidPacket {
  readonly command: "P_SYNC_UUID";
  readonly volume: number;
  readonly uuid: bigint;
}
export interface StateRequestPacket {
  readonly command: "P_STATE_CHG_REQ" | "P_CONN_ST_CHG_REQ";
  readonly volume: number;
  readonly mask: number;
  readonly value: number;
}
export interface StateReplyPacket {
  readonly command: "P_STATE_CHG_REPLY" | "P_CONN_ST_CHG_REPLY";
  readonly volume: number;
  /** Signed (drbd.md 4.2). */
  readonly result: number;
}
export interface BitmapPacket {
  /** Raw little-endian words, or an encoding byte and code bytes. */
  readonly command: "P_BITMAP" | "P_COMPRESSED_BITMAP";
  readonly volume: number;
  readonly bytes: Uint8Array;
}
export interface EmptyPacket {
  readonly command:
    | "P_INITIAL_DATA"
    | "P_INITIAL_META"
    | "P_PING"
    | "P_PING_ACK"
    | "P_UNPLUG_REMOTE";
  readonly volume: number;
}
export interface DelayProbePacket {
  readonly command: "P_DELAY_PROBE";
}
/** Only between Baton hosts: the first packet after the features (DESIGN 7.6). Command number 0x7b01. */
export interface BatonPacket {
  readonly command: "P_BATON";
  readonly clusterId: string;
  readonly epoch: number;
}

export type Packet =
  | DataPacket
  | RangePacket
  | BlockRequestPacket
  | BlockAckPacket
  | BlockRangePacket
  | BarrierPacket
  | BarrierAckPacket
  | FeaturesPacket
  | AuthPacket
  | ProtocolPacket
  | SyncParamPacket
  | SizesPacket
  | UuidsPacket
  | StatePacket
  | SyncUuidPacket
  | StateRequestPacket
  | StateReplyPacket
  | BitmapPacket
  | EmptyPacket
  | DelayProbePacket
  | BatonPacket;

export type CommandName = Packet["command"];
