/**
 * One directory with one file, as FUSE sees it: everything that is not data is answered here, without asking anybody.
 * What is left are reads, writes, flushes and zero-outs of a block device.
 *
 *   node 1  the directory
 *   node 2  the file, named as the disk and its mount (device-names.ts), as long as the device
 */
import { isFileName } from "./device-names.ts";
import {
  ATTR_BODY_BYTES,
  agree,
  ENTRY_BODY_BYTES,
  encodeAgreement,
  encodeAttr,
  encodeEntry,
  encodeOpened,
  encodeReplyHeader,
  encodeStatfs,
  type FuseAgreement,
  type FuseAttributes,
  type FuseRequest,
  INIT_BODY_BYTES,
  OPEN_BODY_BYTES,
  OUT_HEADER_BYTES,
  STATFS_BODY_BYTES,
} from "./fuse-codec.ts";

/** Numbers of asm-generic/errno.h: those of x86-64 and arm64. */
export const fuseErrno = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  ENOSYS: 38,
  EPROTO: 71,
  EOPNOTSUPP: 95,
} as const;

export const DIRECTORY_NODE = 1;
export const FILE_NODE = 2;
/** The largest reply without data: header and fuse_entry_out. */
export const SMALL_REPLY_BYTES = OUT_HEADER_BYTES + ENTRY_BODY_BYTES;

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const O_ACCMODE = 3;
const FATTR_SIZE = 1 << 3;
const FATTR_TIMES = (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 10);
const FATTR_HANDLE = (1 << 6) | (1 << 9);
const SECTOR_BYTES = 512;
const DISCARD_BLOCK_BYTES = 4096;
/** The kernel asks each time, so that a change of size needs no notice. It does not ask before reads and writes. */
const ATTRIBUTES_VALID_SECONDS = 0;

/** What the device is at this moment. */
export interface FuseFile {
  /** Of the disk. */
  readonly name: string;
  /** A multiple of 512; 0: there is no device, opening it fails with ENXIO. */
  readonly sizeBytes: number;
  readonly writable: boolean;
}

/** What is asked of a block device. Offsets and lengths are multiples of 512, within the size, and not empty. */
export type DeviceRequest =
  | {
      readonly op: "read";
      readonly unique: number;
      readonly offset: number;
      readonly length: number;
    }
  /** The data lie `WRITE_DATA_OFFSET` behind the start of the request. */
  | {
      readonly op: "write";
      readonly unique: number;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly op: "flush"; readonly unique: number }
  /**
   * Afterwards the range reads as zeroes. `mayUnmap`: its space may be given back. The loop driver makes a discard and a
   * zero-out that may unmap into the same request, so a discard must read as zeroes too.
   */
  | {
      readonly op: "zero";
      readonly unique: number;
      readonly offset: number;
      readonly length: number;
      readonly mayUnmap: boolean;
    };

/** `reply`: the first so many bytes of the reply view are to be sent. */
export type Judgement =
  | { readonly kind: "device"; readonly request: DeviceRequest }
  | { readonly kind: "reply"; readonly length: number; readonly agreement?: FuseAgreement }
  | { readonly kind: "silent" };

const silent: Judgement = { kind: "silent" };

/**
 * Judges one request; writes the reply, if there is one already, into `reply` (SMALL_REPLY_BYTES).
 * @param background how many requests without a reply the kernel may send
 */
export function judge(
  request: FuseRequest,
  file: FuseFile,
  reply: DataView,
  background: number,
): Judgement {
  switch (request.kind) {
    case "read":
    case "write":
      return transfer(request, file, reply);
    case "fsync":
      return { kind: "device", request: { op: "flush", unique: request.unique } };
    case "fallocate":
      return zero(request, file, reply);
    case "init":
      return init(request, reply, background);
    case "lookup":
      if (request.node !== DIRECTORY_NODE || !isFileName(request.name, file.name)) {
        return refuse(reply, request.unique, fuseErrno.ENOENT);
      }
      return answer(reply, request.unique, ENTRY_BODY_BYTES, (start) =>
        encodeEntry(reply, start, attributesOf(FILE_NODE, file)),
      );
    case "getattr":
      return attributes(request.node, request.unique, file, reply);
    case "setattr":
      return changeAttributes(request, file, reply);
    case "open":
      return open(request, file, reply);
    case "statfs":
      return answer(reply, request.unique, STATFS_BODY_BYTES, (start) =>
        encodeStatfs(reply, start, file.sizeBytes, DISCARD_BLOCK_BYTES),
      );
    case "flush": // of a close(2), which promises nothing
    case "release":
    case "access": // default_permissions: the kernel has judged already
    case "destroy":
      return answer(reply, request.unique, 0, () => undefined);
    case "forget":
      return silent;
    case "interrupt": // ENOSYS: the kernel sends no further ones. A block device finishes what it began
    case "lseek": // ENOSYS: the kernel takes the file as without holes
    case "unknown":
      return refuse(reply, request.unique, fuseErrno.ENOSYS);
    case "malformed":
      return request.unique === 0 ? silent : refuse(reply, request.unique, fuseErrno.EINVAL);
  }
}

function transfer(
  request: FuseRequest & { kind: "read" | "write" },
  file: FuseFile,
  reply: DataView,
): Judgement {
  const { unique, offset } = request;
  if (request.node !== FILE_NODE || !isAligned(offset) || !isAligned(request.length)) {
    return refuse(reply, unique, fuseErrno.EINVAL);
  }
  if (request.kind === "write") {
    if (!file.writable) return refuse(reply, unique, fuseErrno.EROFS);
    if (request.length === 0) return refuse(reply, unique, fuseErrno.EINVAL);
    if (offset + request.length > file.sizeBytes) return refuse(reply, unique, fuseErrno.EFBIG);
    return { kind: "device", request: { op: "write", unique, offset, length: request.length } };
  }
  const length = Math.min(request.length, file.sizeBytes - offset);
  // The end of the file: no bytes.
  if (length <= 0) return answer(reply, unique, 0, () => undefined);
  return { kind: "device", request: { op: "read", unique, offset, length } };
}

function zero(
  request: FuseRequest & { kind: "fallocate" },
  file: FuseFile,
  reply: DataView,
): Judgement {
  const { unique, offset, mode, length } = request;
  if (mode === "other") return refuse(reply, unique, fuseErrno.EOPNOTSUPP);
  if (!file.writable) return refuse(reply, unique, fuseErrno.EROFS);
  if (request.node !== FILE_NODE || !isAligned(offset) || !isAligned(length) || length === 0) {
    return refuse(reply, unique, fuseErrno.EINVAL);
  }
  if (offset + length > file.sizeBytes) return refuse(reply, unique, fuseErrno.EFBIG);
  return {
    kind: "device",
    request: { op: "zero", unique, offset, length, mayUnmap: mode === "punch" },
  };
}

function init(
  request: FuseRequest & { kind: "init" },
  reply: DataView,
  background: number,
): Judgement {
  const agreement = agree(request, background);
  if (agreement === undefined) return refuse(reply, request.unique, fuseErrno.EPROTO);
  const judgement = answer(reply, request.unique, INIT_BODY_BYTES, (start) =>
    encodeAgreement(reply, start, agreement),
  );
  return { ...judgement, agreement };
}

function attributes(node: number, unique: number, file: FuseFile, reply: DataView): Judgement {
  if (node !== DIRECTORY_NODE && node !== FILE_NODE) return refuse(reply, unique, fuseErrno.ENOENT);
  return answer(reply, unique, ATTR_BODY_BYTES, (start) =>
    encodeAttr(reply, start, attributesOf(node, file)),
  );
}

/** Times are taken and forgotten; owner, mode and size are not for others to change. */
function changeAttributes(
  request: FuseRequest & { kind: "setattr" },
  file: FuseFile,
  reply: DataView,
): Judgement {
  const sameSize = (request.valid & FATTR_SIZE) === 0 || request.sizeBytes === file.sizeBytes;
  const other = request.valid & ~(FATTR_SIZE | FATTR_TIMES | FATTR_HANDLE);
  if (!sameSize || other !== 0) return refuse(reply, request.unique, fuseErrno.EPERM);
  return attributes(request.node, request.unique, file, reply);
}

function open(request: FuseRequest & { kind: "open" }, file: FuseFile, reply: DataView): Judgement {
  if (request.node !== FILE_NODE) return refuse(reply, request.unique, fuseErrno.ENOENT);
  if (file.sizeBytes === 0) return refuse(reply, request.unique, fuseErrno.ENXIO);
  if ((request.flags & O_ACCMODE) !== 0 && !file.writable) {
    return refuse(reply, request.unique, fuseErrno.EROFS);
  }
  return answer(reply, request.unique, OPEN_BODY_BYTES, (start) => encodeOpened(reply, start));
}

function attributesOf(node: number, file: FuseFile): FuseAttributes {
  return {
    node,
    validSeconds: ATTRIBUTES_VALID_SECONDS,
    ...(node === DIRECTORY_NODE
      ? { sizeBytes: 0, mode: S_IFDIR | 0o500 }
      : { sizeBytes: file.sizeBytes, mode: S_IFREG | (file.writable ? 0o600 : 0o400) }),
  };
}

function isAligned(bytes: number): boolean {
  return bytes % SECTOR_BYTES === 0;
}

function answer(
  reply: DataView,
  unique: number,
  bodyLength: number,
  encodeBody: (start: number) => void,
): Judgement & { readonly kind: "reply" } {
  for (let at = OUT_HEADER_BYTES; at < OUT_HEADER_BYTES + bodyLength; at += 4) {
    reply.setUint32(at, 0, true);
  }
  encodeReplyHeader(reply, 0, unique, 0, bodyLength);
  encodeBody(OUT_HEADER_BYTES);
  return { kind: "reply", length: OUT_HEADER_BYTES + bodyLength };
}

function refuse(reply: DataView, unique: number, error: number): Judgement {
  encodeReplyHeader(reply, 0, unique, error, 0);
  return { kind: "reply", length: OUT_HEADER_BYTES };
}
