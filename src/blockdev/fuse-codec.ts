/**
 * Requests and replies of the FUSE protocol, as far as one file in one directory needs them. Total: bytes become values,
 * never exceptions; what is too short, too long or out of range becomes `malformed`.
 *
 * Source: Linux uapi/linux/fuse.h, protocol 7.38 (structures and numbers); all structures since 7.23 (Linux 3.15) have
 * the sizes used here. Byte order is that of the host: little endian.
 *
 *   request   fuse_in_header (40): len opcode unique nodeid uid gid pid extlen pad, then the body
 *   reply     fuse_out_header (16): len error unique, then the body; error is 0 or a negative errno, then without body
 *
 * 64-bit numbers are read as numbers: unique ids count up from 1 and offsets end with the device. One beyond 2^53 is malformed.
 */

export const FUSE_MAJOR = 7;
/** What we know of the protocol; the kernel speaks the smaller minor. */
export const FUSE_MINOR = 38;
/** Older kernels (before 3.15) have other structures. */
export const FUSE_MINOR_MIN = 23;
export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
/** Where the data of a WRITE begins: header and fuse_write_in. */
export const WRITE_DATA_OFFSET = 80;
/** FUSE_MAX_PAGES of 256 pages: the most of one READ or WRITE. DRBD's own limit is the same 1 MiB. */
export const TRANSFER_BYTES_MAX = 1_048_576;
/** Without FUSE_MAX_PAGES (before Linux 4.20): 32 pages. */
const OLD_TRANSFER_BYTES_MAX = 131_072;
/** Room that each read of the descriptor must offer, however small the request is: EINVAL otherwise. */
export const REQUEST_BYTES_MAX = TRANSFER_BYTES_MAX + 4096;

const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  access: 34,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  lseek: 46,
} as const;

export const initFlag = {
  asyncRead: 1 << 0,
  bigWrites: 1 << 5,
  asyncDio: 1 << 15,
  parallelDirops: 1 << 18,
  abortError: 1 << 21,
  maxPages: 1 << 22,
} as const;
/** What we take if the kernel offers it. No write-back cache: a write that is answered is a write that was done. */
const WANTED_FLAGS =
  initFlag.asyncRead |
  initFlag.bigWrites |
  initFlag.asyncDio |
  initFlag.parallelDirops |
  initFlag.abortError |
  initFlag.maxPages;

const FOPEN_DIRECT_IO = 1 << 0;
const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
const FSYNC_FDATASYNC = 1;
const FALLOC_FL_KEEP_SIZE = 0x1;
const FALLOC_FL_PUNCH_HOLE = 0x2;
const FALLOC_FL_ZERO_RANGE = 0x10;

interface Asked {
  /** The number that the reply repeats. */
  readonly unique: number;
  readonly node: number;
}

export type FuseRequest =
  | (Asked & {
      readonly kind: "init";
      readonly major: number;
      readonly minor: number;
      readonly flags: number;
      readonly maxReadaheadBytes: number;
    })
  | (Asked & { readonly kind: "lookup"; readonly name: string })
  | (Asked & { readonly kind: "setattr"; readonly valid: number; readonly sizeBytes: number })
  /** `flags` of open(2). */
  | (Asked & { readonly kind: "open"; readonly flags: number })
  | (Asked & { readonly kind: "read"; readonly offset: number; readonly length: number })
  /** The data lie `WRITE_DATA_OFFSET` behind the start of the request. */
  | (Asked & { readonly kind: "write"; readonly offset: number; readonly length: number })
  | (Asked & { readonly kind: "fsync"; readonly dataOnly: boolean })
  | (Asked & {
      readonly kind: "fallocate";
      readonly mode: "punch" | "zero" | "other";
      readonly offset: number;
      readonly length: number;
    })
  | (Asked & {
      readonly kind: "getattr" | "flush" | "release" | "statfs" | "access" | "lseek" | "destroy";
    })
  /** Nothing is replied to these two. */
  | (Asked & { readonly kind: "forget" })
  | (Asked & { readonly kind: "interrupt"; readonly interrupted: number })
  | (Asked & { readonly kind: "unknown"; readonly opcode: number })
  /** `unique` is 0 if even that could not be read: then no reply is possible. */
  | (Asked & { readonly kind: "malformed"; readonly opcode: number; readonly why: string });

/**
 * Reads the request of `length` bytes that begins at `start`.
 * @param view over the whole memory that requests are read into, made once
 */
export function parseFuseRequest(view: DataView, start: number, length: number): FuseRequest {
  if (length < IN_HEADER_BYTES || start + length > view.byteLength) {
    return malformed(0, 0, 0, `${length} bytes are no header`);
  }
  const opcode = view.getUint32(start + 4, true);
  const unique = uint64(view, start + 8);
  const node = uint64(view, start + 16);
  if (unique < 0) return malformed(0, 0, opcode, "the id is beyond 2^53");
  if (node < 0) return malformed(unique, 0, opcode, "the node is beyond 2^53");
  const stated = view.getUint32(start, true);
  if (stated !== length) {
    return malformed(unique, node, opcode, `length ${stated} stands for ${length} bytes`);
  }
  const missing = (bodyBytes[opcode] ?? 0) - (length - IN_HEADER_BYTES);
  if (missing > 0) return malformed(unique, node, opcode, `${missing} bytes are missing`);
  return parseBody(view, start, { length, opcode, unique, node });
}

/** The fixed part of each body; those that are not here have none, or are not looked at. */
const bodyBytes: { readonly [opcode: number]: number } = {
  [opcodes.lookup]: 1,
  [opcodes.setattr]: 88,
  [opcodes.open]: 8,
  [opcodes.read]: 40,
  [opcodes.write]: 40,
  [opcodes.fsync]: 16,
  [opcodes.init]: 16,
  [opcodes.interrupt]: 8,
  [opcodes.fallocate]: 32,
};

interface Header {
  readonly length: number;
  readonly opcode: number;
  readonly unique: number;
  readonly node: number;
}

function parseBody(view: DataView, start: number, header: Header): FuseRequest {
  const { opcode, unique, node, length } = header;
  const body = start + IN_HEADER_BYTES;
  switch (opcode) {
    case opcodes.write:
    case opcodes.read:
      return parseTransfer(view, body, header);
    case opcodes.fsync:
      return {
        kind: "fsync",
        unique,
        node,
        dataOnly: (view.getUint32(body + 8, true) & FSYNC_FDATASYNC) !== 0,
      };
    case opcodes.fallocate:
      return parseFallocate(view, body, header);
    case opcodes.init:
      return {
        kind: "init",
        unique,
        node,
        major: view.getUint32(body, true),
        minor: view.getUint32(body + 4, true),
        maxReadaheadBytes: view.getUint32(body + 8, true),
        flags: view.getUint32(body + 12, true),
      };
    case opcodes.lookup:
      return { kind: "lookup", unique, node, name: nameAt(view, body, length - IN_HEADER_BYTES) };
    case opcodes.open:
      return { kind: "open", unique, node, flags: view.getUint32(body, true) };
    case opcodes.setattr:
      return {
        kind: "setattr",
        unique,
        node,
        valid: view.getUint32(body, true),
        sizeBytes: uint64(view, body + 16),
      };
    case opcodes.interrupt:
      return { kind: "interrupt", unique, node, interrupted: uint64(view, body) };
    case opcodes.forget:
    case opcodes.batchForget:
      return { kind: "forget", unique, node };
    default: {
      const kind = plainKinds[opcode];
      return kind === undefined
        ? { kind: "unknown", unique, node, opcode }
        : { kind, unique, node };
    }
  }
}

type PlainKind = "getattr" | "flush" | "release" | "statfs" | "access" | "lseek" | "destroy";
/** Whose bodies say nothing that one file needs. */
const plainKinds: { readonly [opcode: number]: PlainKind } = {
  [opcodes.getattr]: "getattr",
  [opcodes.flush]: "flush",
  [opcodes.release]: "release",
  [opcodes.statfs]: "statfs",
  [opcodes.access]: "access",
  [opcodes.lseek]: "lseek",
  [opcodes.destroy]: "destroy",
};

function parseTransfer(view: DataView, body: number, header: Header): FuseRequest {
  const { opcode, unique, node } = header;
  const offset = uint64(view, body + 8);
  const length = view.getUint32(body + 16, true);
  if (offset < 0) return malformed(unique, node, opcode, "the offset is beyond 2^53");
  if (length > TRANSFER_BYTES_MAX) {
    return malformed(unique, node, opcode, `${length} bytes are more than was agreed`);
  }
  if (opcode === opcodes.read) return { kind: "read", unique, node, offset, length };
  const given = header.length - WRITE_DATA_OFFSET;
  if (given !== length) {
    return malformed(unique, node, opcode, `size ${length} stands for ${given} bytes of data`);
  }
  return { kind: "write", unique, node, offset, length };
}

function parseFallocate(view: DataView, body: number, header: Header): FuseRequest {
  const { opcode, unique, node } = header;
  const offset = uint64(view, body + 8);
  const length = uint64(view, body + 16);
  if (offset < 0 || length < 0) return malformed(unique, node, opcode, "the range is beyond 2^53");
  const bits = view.getUint32(body + 24, true);
  const kept = bits & ~FALLOC_FL_KEEP_SIZE;
  const mode =
    bits === (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
      ? "punch"
      : kept === FALLOC_FL_ZERO_RANGE
        ? "zero"
        : "other";
  return { kind: "fallocate", unique, node, mode, offset, length };
}

function malformed(unique: number, node: number, opcode: number, why: string): FuseRequest {
  return { kind: "malformed", unique, node, opcode, why };
}

/** -1 if it is beyond what a number holds exactly. */
function uint64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  return high > 0x1f_ffff ? -1 : high * 0x1_0000_0000 + view.getUint32(offset, true);
}

/** Up to the first NUL. File names are bytes; ours are ASCII, so others need not be told apart. */
function nameAt(view: DataView, offset: number, length: number): string {
  let name = "";
  for (let index = 0; index < length; index++) {
    const byte = view.getUint8(offset + index);
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

/** Writes the header of a reply at `start`. @param error 0, or a positive errno: then `bodyLength` must be 0 */
export function encodeReplyHeader(
  view: DataView,
  start: number,
  unique: number,
  error: number,
  bodyLength: number,
): void {
  view.setUint32(start, OUT_HEADER_BYTES + bodyLength, true);
  view.setInt32(start + 4, -error, true);
  setUint64(view, start + 8, unique);
}

function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % 0x1_0000_0000, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** What the file and its directory look like. */
export interface FuseAttributes {
  readonly node: number;
  readonly sizeBytes: number;
  /** As `st_mode`, type included. */
  readonly mode: number;
  /** How long the kernel may go by it. The size is only changed by us, and we say so. */
  readonly validSeconds: number;
}

export const ENTRY_BODY_BYTES = 128;
/** fuse_entry_out: the answer to LOOKUP. The body must be zeroed before. */
export function encodeEntry(view: DataView, start: number, attributes: FuseAttributes): void {
  setUint64(view, start, attributes.node);
  setUint64(view, start + 16, attributes.validSeconds);
  setUint64(view, start + 24, attributes.validSeconds);
  encodeAttributes(view, start + 40, attributes);
}

export const ATTR_BODY_BYTES = 104;
/** fuse_attr_out: the answer to GETATTR and SETATTR. The body must be zeroed before. */
export function encodeAttr(view: DataView, start: number, attributes: FuseAttributes): void {
  setUint64(view, start, attributes.validSeconds);
  encodeAttributes(view, start + 16, attributes);
}

function encodeAttributes(view: DataView, start: number, attributes: FuseAttributes): void {
  setUint64(view, start, attributes.node);
  setUint64(view, start + 8, attributes.sizeBytes);
  setUint64(view, start + 16, Math.ceil(attributes.sizeBytes / 512));
  view.setUint32(start + 60, attributes.mode, true);
  view.setUint32(start + 64, 1, true); // links
  view.setUint32(start + 80, 4096, true); // blksize
}

export const OPEN_BODY_BYTES = 16;
/** fuse_open_out: past the page cache, and writes of one file beside each other. The body must be zeroed before. */
export function encodeOpened(view: DataView, start: number): void {
  view.setUint32(start + 8, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES, true);
}

export const WRITE_BODY_BYTES = 8;
/** fuse_write_out. The body must be zeroed before. */
export function encodeWritten(view: DataView, start: number, length: number): void {
  view.setUint32(start, length, true);
}

export const STATFS_BODY_BYTES = 80;
/** fuse_statfs_out. The loop driver takes the block size as its discard granularity. The body must be zeroed before. */
export function encodeStatfs(
  view: DataView,
  start: number,
  sizeBytes: number,
  blockBytes: number,
): void {
  setUint64(view, start, Math.floor(sizeBytes / blockBytes));
  setUint64(view, start + 24, 2); // files: the directory and the device
  view.setUint32(start + 40, blockBytes, true);
  view.setUint32(start + 44, 255, true); // name length
  view.setUint32(start + 48, blockBytes, true);
}

/** What was agreed in INIT. */
export interface FuseAgreement {
  readonly minor: number;
  readonly flags: number;
  /** The most of one READ or WRITE. */
  readonly transferBytes: number;
  /** Requests that the kernel sends without waiting for replies; further ones wait in its queue. */
  readonly background: number;
}

/**
 * Agrees with what the kernel offers.
 * @returns undefined if its protocol is too old for us (before Linux 3.15)
 */
export function agree(
  offer: { readonly major: number; readonly minor: number; readonly flags: number },
  background: number,
): FuseAgreement | undefined {
  if (offer.major < FUSE_MAJOR) return undefined;
  if (offer.major === FUSE_MAJOR && offer.minor < FUSE_MINOR_MIN) return undefined;
  const flags = offer.flags & WANTED_FLAGS;
  const large = (flags & initFlag.maxPages) !== 0;
  return {
    minor: offer.major > FUSE_MAJOR ? FUSE_MINOR : Math.min(offer.minor, FUSE_MINOR),
    flags,
    transferBytes: large ? TRANSFER_BYTES_MAX : OLD_TRANSFER_BYTES_MAX,
    background,
  };
}

export const INIT_BODY_BYTES = 64;
/** fuse_init_out. The body must be zeroed before. A kernel of a later major reads the first field and asks again. */
export function encodeAgreement(view: DataView, start: number, agreement: FuseAgreement): void {
  view.setUint32(start, FUSE_MAJOR, true);
  // The kernel takes the smaller minor of both; ours says which structures we know.
  view.setUint32(start + 4, FUSE_MINOR, true);
  view.setUint32(start + 8, agreement.transferBytes, true); // max_readahead
  view.setUint32(start + 12, agreement.flags, true);
  view.setUint16(start + 16, agreement.background, true);
  view.setUint16(start + 18, agreement.background, true); // congestion_threshold
  view.setUint32(start + 20, agreement.transferBytes, true); // max_write
  view.setUint32(start + 24, 1, true); // time_gran
  view.setUint16(start + 28, agreement.transferBytes / 4096, true); // max_pages
}
