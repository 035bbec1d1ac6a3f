/**
 * The Ethernet frames that tell a network where an address is, and that ask whether somebody has it.
 * Sources: RFC 826 (ARP), RFC 5227 (probe and announcement), RFC 4861 (neighbour discovery), RFC 4862
 * section 5.4 (duplicate address detection). Pure: bytes in, bytes out; the parsers are total.
 */
import type { IpBytes } from "../base/index.ts";

export const etherType = { arp: 0x0806, ipv6: 0x86dd } as const;
/** Six bytes. */
export type Mac = Uint8Array;

const ETHERNET_BYTES = 14;
const ARP_FRAME_BYTES = 42;
const IPV6_BYTES = 40;
const NEIGHBOUR_BYTES = 24;
const OPTION_BYTES = 8;
const ICMPV6 = 58;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** The new MAC replaces a cached one (RFC 4861 7.2.6). */
const FLAG_OVERRIDE = 0x20;
const BROADCAST_MAC = new Uint8Array(6).fill(0xff);
const ALL_NODES = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/**
 * What says "this address is at this MAC": both forms of gratuitous ARP, since some hosts heed only
 * requests and some only replies; or one unsolicited neighbour advertisement.
 */
export function announcementFrames(address: IpBytes, mac: Mac): readonly Uint8Array[] {
  if (address.length === 16) return [neighbourAdvertisement(address, mac)];
  return [
    arp({ operation: 1, mac, sender: address, targetMac: new Uint8Array(6), target: address }),
    arp({ operation: 2, mac, sender: address, targetMac: BROADCAST_MAC, target: address }),
  ];
}

/** What asks whether somebody has this address, without disturbing any cache. */
export function probeFrame(address: IpBytes, mac: Mac): Uint8Array {
  if (address.length === 16) return duplicateSolicitation(address, mac);
  const unspecified = new Uint8Array(4);
  return arp({
    operation: 1,
    mac,
    sender: unspecified,
    targetMac: new Uint8Array(6),
    target: address,
  });
}

/** The MAC that a frame says `address` is at; undefined if it says nothing of it. */
export function claimedMac(frame: Uint8Array, address: IpBytes): Mac | undefined {
  return address.length === 16 ? advertisedMac(frame, address) : arpSenderMac(frame, address);
}

/** `02:fc:00:00:00:01`. */
export const formatMac = (mac: Mac): string =>
  [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");

interface ArpFields {
  readonly operation: 1 | 2;
  readonly mac: Mac;
  readonly sender: IpBytes;
  readonly targetMac: Mac;
  readonly target: IpBytes;
}

function arp(fields: ArpFields): Uint8Array {
  const frame = new Uint8Array(ARP_FRAME_BYTES);
  putEthernet(frame, BROADCAST_MAC, fields.mac, etherType.arp);
  // Hardware type Ethernet, protocol IPv4, lengths 6 and 4.
  frame.set([0, 1, 8, 0, 6, 4, 0, fields.operation], ETHERNET_BYTES);
  frame.set(fields.mac, 22);
  frame.set(fields.sender, 28);
  frame.set(fields.targetMac, 32);
  frame.set(fields.target, 38);
  return frame;
}

function arpSenderMac(frame: Uint8Array, address: IpBytes): Mac | undefined {
  if (frame.length < ARP_FRAME_BYTES || !startsWith(frame, [8, 6, 0, 1, 8, 0, 6, 4], 12)) {
    return undefined;
  }
  return startsWith(frame, address, 28) ? frame.slice(22, 28) : undefined;
}

function neighbourAdvertisement(address: IpBytes, mac: Mac): Uint8Array {
  const message = neighbourMessage(NEIGHBOUR_ADVERTISEMENT, FLAG_OVERRIDE, address, {
    // Option 2, target link-layer address, one unit of eight bytes.
    option: [2, 1, ...mac],
  });
  return icmpFrame({ source: address, destination: ALL_NODES, mac, message });
}

function duplicateSolicitation(address: IpBytes, mac: Mac): Uint8Array {
  const message = neighbourMessage(NEIGHBOUR_SOLICITATION, 0, address, { option: [] });
  const source = new Uint8Array(16);
  return icmpFrame({ source, destination: solicitedNode(address), mac, message });
}

function neighbourMessage(
  type: number,
  flags: number,
  target: IpBytes,
  { option }: { readonly option: readonly number[] },
): Uint8Array {
  const message = new Uint8Array(NEIGHBOUR_BYTES + option.length);
  message.set([type, 0, 0, 0, flags]);
  message.set(target, 8);
  message.set(option, NEIGHBOUR_BYTES);
  return message;
}

interface IcmpFields {
  readonly source: IpBytes;
  readonly destination: IpBytes;
  readonly mac: Mac;
  readonly message: Uint8Array;
}

function icmpFrame({ source, destination, mac, message }: IcmpFields): Uint8Array {
  const frame = new Uint8Array(ETHERNET_BYTES + IPV6_BYTES + message.length);
  // RFC 2464 section 7: 33-33 and the last four bytes of the group.
  const multicastMac = Uint8Array.from([0x33, 0x33, ...destination.subarray(12)]);
  putEthernet(frame, multicastMac, mac, etherType.ipv6);
  // Version 6, payload length, next header, hop limit 255: neighbour discovery drops any other.
  frame.set([0x60, 0, 0, 0, 0, message.length, ICMPV6, 255], ETHERNET_BYTES);
  frame.set(source, ETHERNET_BYTES + 8);
  frame.set(destination, ETHERNET_BYTES + 24);
  frame.set(message, ETHERNET_BYTES + IPV6_BYTES);
  const checksum = icmpChecksum(source, destination, message);
  frame.set([checksum >> 8, checksum & 0xff], ETHERNET_BYTES + IPV6_BYTES + 2);
  return frame;
}

function advertisedMac(frame: Uint8Array, address: IpBytes): Mac | undefined {
  const start = ETHERNET_BYTES + IPV6_BYTES;
  if (frame.length < start + NEIGHBOUR_BYTES || !startsWith(frame, [0x86, 0xdd], 12)) {
    return undefined;
  }
  const sound = frame[20] === ICMPV6 && frame[21] === 255 && frame[start + 1] === 0;
  if (!sound || frame[start] !== NEIGHBOUR_ADVERTISEMENT) return undefined;
  if (!startsWith(frame, address, start + 8)) return undefined;
  const payloadBytes = ((frame[18] ?? 0) << 8) | (frame[19] ?? 0);
  if (payloadBytes < NEIGHBOUR_BYTES || start + payloadBytes > frame.length) return undefined;
  const message = frame.subarray(start, start + payloadBytes);
  const source = frame.subarray(22, 38);
  const destination = frame.subarray(38, 54);
  if (icmpChecksum(source, destination, message) !== 0) return undefined;
  const option = message.subarray(NEIGHBOUR_BYTES, NEIGHBOUR_BYTES + OPTION_BYTES);
  // Without the option the sender of the frame is the best that is known.
  return startsWith(option, [2, 1], 0) && option.length === OPTION_BYTES
    ? option.slice(2)
    : frame.slice(6, 12);
}

/** ff02::1:ffXX:XXXX (RFC 4291 2.7.1). */
function solicitedNode(address: IpBytes): IpBytes {
  const group = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0]);
  group.set(address.subarray(13), 13);
  return group;
}

/** One's complement sum with the pseudo header; 0 when `message` carries the right checksum. */
function icmpChecksum(source: IpBytes, destination: IpBytes, message: Uint8Array): number {
  let sum = message.length + ICMPV6;
  for (const part of [source, destination, message]) {
    for (let index = 0; index < part.length; index += 2) {
      sum += ((part[index] ?? 0) << 8) | (part[index + 1] ?? 0);
    }
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function putEthernet(frame: Uint8Array, destination: Mac, source: Mac, type: number): void {
  frame.set(destination, 0);
  frame.set(source, 6);
  frame.set([type >> 8, type & 0xff], 12);
}

function startsWith(bytes: Uint8Array, expected: ArrayLike<number>, offset: number): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (bytes[offset + index] !== expected[index]) return false;
  }
  return true;
}
