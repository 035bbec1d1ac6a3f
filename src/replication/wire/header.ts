/**
 * Packet headers (drbd.md 1.3). Baton agrees on protocol 100 or 101 only, so there are two forms:
 *
 *   h80, 8 bytes    magic u32, command u16, length u16              P_INITIAL_*, P_CONNECTION_FEATURES
 *   h100, 16 bytes  magic u32, volume u16, command u16, length u32, pad u32 = 0    everything after the features
 */
import { BatonError } from "../../base/index.ts";
import type { SocketName } from "../contract.ts";
import type { DiskWireReason } from "../reasons.wire.ts";
import { putU16, putU32 } from "./bytes.ts";
import { type CommandRow, commandOfNumber, isAlwaysShort } from "./commands.ts";
import { feature } from "./packets.ts";

/** Magic of the 8-byte header. */
export const MAGIC_SHORT = 0x8374_0267;
/** Magic of the 16-byte header. */
export const MAGIC_LONG = 0x8620_ec20;
/** Bytes of the two headers. */
export const SHORT_HEADER_BYTES = 8;
export const LONG_HEADER_BYTES = 16;

/** What the form of packets depends on. Undefined where one is expected: nothing is agreed yet, headers have 8 bytes. */
export interface WireSession {
  /** 100 or 101. */
  readonly version: number;
  /** Features of both sides. */
  readonly features: number;
  /** Length of the data-integrity-alg's digest; 0: none is agreed. */
  readonly digestBytes: number;
}

/** A header as it stands in the stream. */
export interface PacketHeader {
  readonly command: number;
  readonly volume: number;
  /** Bytes behind the header. */
  readonly length: number;
}

/** An error about bytes from the peer. */
export const wireError = (code: DiskWireReason, message: string): BatonError =>
  new BatonError({ code, message });

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Bytes of the header of this command under this session. */
export const headerBytes = (command: number, session: WireSession | undefined): number =>
  session === undefined || isAlwaysShort(command) ? SHORT_HEADER_BYTES : LONG_HEADER_BYTES;

/** Writes a header at `at`; returns its length. */
export function putHeader(
  bytes: Uint8Array,
  at: number,
  header: PacketHeader,
  session: WireSession | undefined,
): number {
  if (headerBytes(header.command, session) === SHORT_HEADER_BYTES) {
    putU32(bytes, at, MAGIC_SHORT);
    putU16(bytes, at + 4, header.command);
    putU16(bytes, at + 6, header.length);
    return SHORT_HEADER_BYTES;
  }
  putU32(bytes, at, MAGIC_LONG);
  putU16(bytes, at + 4, header.volume);
  putU16(bytes, at + 6, header.command);
  putU32(bytes, at + 8, header.length);
  putU32(bytes, at + 12, 0);
  return LONG_HEADER_BYTES;
}

/** Errors of a header, for the reader. */
export const wrongMagic = (magic: number): BatonError =>
  wireError("BTN-DISK-WIRE-MAGIC", `Cannot read a packet that begins with ${hex(magic)}`);
export const wrongPad = (pad: number): BatonError =>
  wireError("BTN-DISK-WIRE-PAD", `Cannot read a packet header with pad ${hex(pad)}: it must be 0`);

/**
 * The command of a header if it may come on this socket, at this time, with this length. Asked before anything is
 * reserved for its payload (drbd.md 1.4, "Receiver strictness").
 */
export function admit(
  socket: SocketName,
  number: number,
  length: number,
  session: WireSession | undefined,
): CommandRow | BatonError {
  const row = commandOfNumber(number);
  if (
    row === undefined ||
    (row.socket !== socket && row.socket !== "both") ||
    isAlwaysShort(number) !== (session === undefined)
  ) {
    return unknownCommand(socket, number, row);
  }
  const digest = row.digest && session !== undefined ? session.digestBytes : 0;
  if (length > row.most + digest) {
    return wireError(
      "BTN-DISK-WIRE-LIMIT",
      `Cannot take ${row.name} of ${length} bytes: it has at most ${row.most + digest}`,
    );
  }
  if (length < row.least + digest || !fits(row, length - digest, session)) {
    return wireError(
      "BTN-DISK-WIRE-LENGTH",
      `Cannot take ${row.name} of ${length} bytes${digest > 0 ? ` with a digest of ${digest}` : ""}`,
    );
  }
  return row;
}

function unknownCommand(
  socket: SocketName,
  number: number,
  row: CommandRow | undefined,
): BatonError {
  return wireError(
    "BTN-DISK-WIRE-COMMAND",
    row === undefined
      ? `Cannot take command ${hex(number)} on the ${socket} socket: it is unknown`
      : `Cannot take ${row.name} on the ${socket} socket at this time`,
  );
}

/** Lengths between least and most that can not be. */
function fits(row: CommandRow, length: number, session: WireSession | undefined): boolean {
  switch (row.form) {
    case "data":
      return ((length - 24) & 511) === 0;
    case "range":
      return row.name !== "P_WSAME" || ((length - 28) & 511) === 0;
    case "sizes":
      return length === (((session?.features ?? 0) & feature.writeSame) !== 0 ? 56 : 32);
    case "bitmap":
      return row.name !== "P_BITMAP" || (length & 7) === 0;
    default:
      return true;
  }
}
