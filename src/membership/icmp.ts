/**
 * ICMP echo as heartbeat's ping media use it: identifier in host byte order, sequence in network order.
 * Source: heartbeat.md 9.1; RFC 792, RFC 4443. Pure codec.
 */

export type IcmpFamily = 4 | 6;

const ECHO_REQUEST: Readonly<Record<IcmpFamily, number>> = { 4: 8, 6: 128 };
const ECHO_REPLY: Readonly<Record<IcmpFamily, number>> = { 4: 0, 6: 129 };
const HEADER_BYTES = 8;
const IPV4_HEADER_MIN_BYTES = 20;

export interface EchoReply {
  /** As it was given to `buildEchoRequest`, low 16 bits. */
  readonly identifier: number;
  readonly sequence: number;
  /** A part of the packet given. */
  readonly payload: Buffer;
}

/** For IPv6 the kernel fills in the checksum of a raw ICMPv6 socket. */
export function buildEchoRequest(
  family: IcmpFamily,
  identifier: number,
  sequence: number,
  payload: Uint8Array,
): Buffer {
  const packet = Buffer.alloc(HEADER_BYTES + payload.length);
  packet.writeUInt8(ECHO_REQUEST[family], 0);
  packet.writeUInt16LE(identifier & 0xffff, 4);
  packet.writeUInt16BE(sequence & 0xffff, 6);
  packet.set(payload, HEADER_BYTES);
  if (family === 4) packet.writeUInt16BE(internetChecksum(packet), 2);
  return packet;
}

/**
 * Reads what a raw socket delivers: with the IPv4 header, without the IPv6 one (the kernel has
 * verified the checksum of that).
 * @returns undefined for everything that is not a whole, undamaged echo reply
 */
export function parseEchoReply(family: IcmpFamily, packet: Buffer): EchoReply | undefined {
  const message = family === 4 ? withoutIpv4Header(packet) : packet;
  if (message === undefined || message.length < HEADER_BYTES) return undefined;
  if (message[0] !== ECHO_REPLY[family] || message[1] !== 0) return undefined;
  if (family === 4 && internetChecksum(message) !== 0) return undefined;
  return {
    identifier: message.readUInt16LE(4),
    sequence: message.readUInt16BE(6),
    payload: message.subarray(HEADER_BYTES),
  };
}

function withoutIpv4Header(packet: Buffer): Buffer | undefined {
  if (packet.length < IPV4_HEADER_MIN_BYTES) return undefined;
  const headerBytes = (packet.readUInt8(0) & 0x0f) * 4;
  if (headerBytes < IPV4_HEADER_MIN_BYTES || headerBytes > packet.length) return undefined;
  return packet.subarray(headerBytes);
}

/** RFC 1071. 0 over a packet that carries its own right checksum. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset + 1 < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  if (bytes.length % 2 === 1) sum += (bytes[bytes.length - 1] ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
