/** The catalogue of commands: number, socket, form of the payload and its length (drbd.md 1.4, 1.5). */
import type { SocketName } from "../contract.ts";
import type { CommandName, Packet } from "./packets.ts";

/** Bytes of data in one packet, at most (protocol 100 and later). */
export const DATA_MAX = 1 << 20;
/** Bytes that one P_TRIM, P_ZEROES or P_WSAME may concern. */
export const RANGE_MAX = 128 << 20;
/** Bytes of code or words in one bitmap packet: 4096 with its header. */
export const BITMAP_MAX = 4080;
/** The longest digest: sha512. */
export const DIGEST_MAX = 64;
/** Names of algorithms and secrets, with their NUL. */
export const NAME_BYTES = 64;

/** The kinds of payload, one for each interface in packets.ts. */
export type PayloadForm =
  | "data"
  | "range"
  | "request"
  | "ack"
  | "blockRange"
  | "barrier"
  | "barrierAck"
  | "features"
  | "auth"
  | "protocol"
  | "syncParam"
  | "sizes"
  | "uuids"
  | "state"
  | "syncUuid"
  | "stateRequest"
  | "stateReply"
  | "bitmap"
  | "empty"
  | "delayProbe"
  | "baton";

/** One command. */
export interface CommandRow {
  readonly name: CommandName;
  readonly number: number;
  readonly socket: SocketName | "both";
  readonly form: PayloadForm;
  /** Bytes after the header, without the digest of `digest`. */
  readonly least: number;
  readonly most: number;
  /** The digest of the data-integrity-alg is part of the payload, if one is agreed. */
  readonly digest: boolean;
}

const row = (
  name: CommandName,
  number: number,
  socket: CommandRow["socket"],
  form: PayloadForm,
  least: number,
  most = least,
): CommandRow => ({
  name,
  number,
  socket,
  form,
  least,
  most,
  digest: form === "data" || name === "P_WSAME",
});

/** Every command that Baton takes or sends. Obsolete ones, and those of protocols below 100, are unknown. */
export const commandRows: readonly CommandRow[] = [
  row("P_DATA", 0x00, "data", "data", 24 + 512, 24 + DATA_MAX),
  row("P_DATA_REPLY", 0x01, "data", "data", 24 + 512, 24 + DATA_MAX),
  row("P_RS_DATA_REPLY", 0x02, "data", "data", 24 + 512, 24 + DATA_MAX),
  row("P_BARRIER", 0x03, "data", "barrier", 8),
  row("P_BITMAP", 0x04, "data", "bitmap", 0, BITMAP_MAX),
  row("P_UNPLUG_REMOTE", 0x07, "data", "empty", 0),
  row("P_DATA_REQUEST", 0x08, "data", "request", 24),
  row("P_RS_DATA_REQUEST", 0x09, "data", "request", 24),
  row("P_PROTOCOL", 0x0b, "data", "protocol", 25, 24 + NAME_BYTES),
  row("P_UUIDS", 0x0c, "data", "uuids", 48),
  row("P_SIZES", 0x0d, "data", "sizes", 32, 56),
  row("P_STATE", 0x0e, "data", "state", 4),
  row("P_SYNC_UUID", 0x0f, "data", "syncUuid", 8),
  // A challenge of a wrong length is judged by the handshake: it ends in StandAlone, not in a retry (drbd.md 2.3).
  row("P_AUTH_CHALLENGE", 0x10, "data", "auth", 0, 128),
  row("P_AUTH_RESPONSE", 0x11, "data", "auth", 0, 128),
  row("P_STATE_CHG_REQ", 0x12, "data", "stateRequest", 8),
  row("P_PING", 0x13, "meta", "empty", 0),
  row("P_PING_ACK", 0x14, "meta", "empty", 0),
  row("P_RECV_ACK", 0x15, "meta", "ack", 24),
  row("P_WRITE_ACK", 0x16, "meta", "ack", 24),
  row("P_RS_WRITE_ACK", 0x17, "meta", "ack", 24),
  row("P_SUPERSEDED", 0x18, "meta", "ack", 24),
  row("P_NEG_ACK", 0x19, "meta", "ack", 24),
  row("P_NEG_DREPLY", 0x1a, "meta", "ack", 24),
  row("P_NEG_RS_DREPLY", 0x1b, "meta", "ack", 24),
  row("P_BARRIER_ACK", 0x1c, "meta", "barrierAck", 8),
  row("P_STATE_CHG_REPLY", 0x1d, "meta", "stateReply", 4),
  row("P_OV_REQUEST", 0x1e, "data", "request", 24),
  row("P_OV_REPLY", 0x1f, "data", "request", 24, 24 + DIGEST_MAX),
  row("P_OV_RESULT", 0x20, "meta", "ack", 24),
  row("P_CSUM_RS_REQUEST", 0x21, "data", "request", 24, 24 + DIGEST_MAX),
  row("P_RS_IS_IN_SYNC", 0x22, "meta", "ack", 24),
  row("P_SYNC_PARAM89", 0x23, "data", "syncParam", 148),
  row("P_COMPRESSED_BITMAP", 0x24, "data", "bitmap", 1, BITMAP_MAX),
  row("P_DELAY_PROBE", 0x27, "both", "delayProbe", 8),
  row("P_OUT_OF_SYNC", 0x28, "data", "blockRange", 16),
  row("P_RS_CANCEL", 0x29, "meta", "ack", 24),
  row("P_CONN_ST_CHG_REQ", 0x2a, "data", "stateRequest", 8),
  row("P_CONN_ST_CHG_REPLY", 0x2b, "meta", "stateReply", 4),
  row("P_RETRY_WRITE", 0x2c, "meta", "ack", 24),
  row("P_PROTOCOL_UPDATE", 0x2d, "data", "protocol", 25, 24 + NAME_BYTES),
  row("P_TRIM", 0x31, "data", "range", 28),
  row("P_RS_THIN_REQ", 0x32, "data", "request", 24),
  row("P_RS_DEALLOCATED", 0x33, "data", "blockRange", 16),
  row("P_WSAME", 0x34, "data", "range", 28 + 512, 28 + 65_536),
  row("P_ZEROES", 0x36, "data", "range", 28),
  row("P_BATON", 0x7b01, "data", "baton", 8 + 1, 8 + NAME_BYTES),
  row("P_INITIAL_META", 0xfff1, "meta", "empty", 0),
  row("P_INITIAL_DATA", 0xfff2, "data", "empty", 0),
  row("P_CONNECTION_FEATURES", 0xfffe, "data", "features", 72),
];

/** Dense for the commands of every second, so that a look-up is one load. */
const common: readonly (CommandRow | undefined)[] = Array.from({ length: 0x40 }, (_, number) =>
  commandRows.find((candidate) => candidate.number === number),
);
const rare: ReadonlyMap<number, CommandRow> = new Map(
  commandRows.filter(({ number }) => number >= 0x40).map((entry) => [entry.number, entry]),
);
const byName: ReadonlyMap<CommandName, CommandRow> = new Map(
  commandRows.map((entry) => [entry.name, entry]),
);

/** The command of a number; undefined if there is none. */
export const commandOfNumber = (number: number): CommandRow | undefined =>
  number < 0x40 ? common[number] : rare.get(number);

/** The command of a packet. */
export function commandOfPacket(packet: Packet): CommandRow {
  const found = byName.get(packet.command);
  if (found === undefined) throw new RangeError(`Cannot send ${packet.command}: no such command`);
  return found;
}

/** True for the packets whose header has 8 bytes at any time (drbd.md 1.3). */
export const isAlwaysShort = (number: number): boolean => number >= 0xfff0;
