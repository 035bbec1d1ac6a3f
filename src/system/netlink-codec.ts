/**
 * The part of rtnetlink that addresses need, as bytes: messages to send, and a total parser of what
 * comes back. Sources: linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h.
 * Every length is checked against the bytes that are there; a message that does not fit is a
 * `NetlinkFormatError`, an attribute that is unknown is skipped. Host byte order is little endian on
 * all platforms that Baton ships for.
 */
import { fail, formatIp, type IpBytes, ok, type Result } from "../base/index.ts";

export const messageType = {
  error: 2,
  done: 3,
  newLink: 16,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  getRoute: 26,
} as const;

const requestFlag = { request: 1, acknowledge: 4, dump: 0x300, exclusive: 0x200, create: 0x400 };
const dumpInterrupted = 0x10;

/** `IFF_*` of linux/if.h. */
export const linkFlag = { up: 1, loopback: 8, noArp: 0x80, lowerUp: 0x1_0000 } as const;
/** `IFA_F_*`. */
export const addressFlag = { secondary: 1, noDad: 2, dadFailed: 8, tentative: 0x40 } as const;

const AF_INET = 2;
const AF_INET6 = 10;
const ARPHRD_ETHER = 1;
const HEADER_BYTES = 16;
/** `RTM_F_FIB_MATCH`: answer with the route that matched, not with the one made from it. */
const ROUTE_FIB_MATCH = 0x2000;
const ROUTE_TYPE_LOCAL = 2;

const attribute = {
  address: { address: 1, local: 2, broadcast: 4, flags: 8 },
  link: { address: 1, name: 3 },
  route: { destination: 1, outputInterface: 4, gateway: 5, source: 7 },
} as const;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `linkFlag` bits. */
  readonly flags: number;
  /** True for Ethernet and what looks like it: it has a MAC and can be told of addresses. */
  readonly ethernet: boolean;
  /** Six bytes; undefined where there is none. */
  readonly mac: Uint8Array | undefined;
}

export interface InterfaceAddress {
  readonly index: number;
  /** As `formatIp` writes it. */
  readonly address: string;
  readonly prefixLength: number;
  /** `addressFlag` bits. */
  readonly flags: number;
  readonly broadcast: string | undefined;
}

export interface Route {
  /** Interface index. */
  readonly index: number;
  /** Of the route that matched: 0 for a default route. */
  readonly prefixLength: number;
  readonly gateway: string | undefined;
  /** The address is one of this host. */
  readonly local: boolean;
}

/** One message, without its header; `payload` shares memory with what was parsed. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** Bytes that are not what the kernel promises. */
export class NetlinkFormatError extends Error {
  override readonly name = "NetlinkFormatError";
}

/** Asks for every link. */
export function encodeLinkDump(sequence: number): Uint8Array {
  const { request, dump } = requestFlag;
  return encodeMessage(messageType.getLink, request | dump, sequence, new Uint8Array(16));
}

/** Asks for every address of both families. */
export function encodeAddressDump(sequence: number): Uint8Array {
  const { request, dump } = requestFlag;
  return encodeMessage(messageType.getAddress, request | dump, sequence, new Uint8Array(8));
}

/** Asks which route leads to `destination`. */
export function encodeRouteLookup(sequence: number, destination: IpBytes): Uint8Array {
  const body = new Uint8Array(12);
  body[0] = family(destination);
  body[1] = destination.length * 8;
  new DataView(body.buffer).setUint32(8, ROUTE_FIB_MATCH, true);
  const payload = concatenate([body, encodeAttribute(attribute.route.destination, destination)]);
  return encodeMessage(messageType.getRoute, requestFlag.request, sequence, payload);
}

/** What to add or delete. IPv6 is added without duplicate address detection: it may not wait. */
export interface AddressChange {
  readonly index: number;
  readonly address: IpBytes;
  readonly prefixLength: number;
  readonly broadcast?: IpBytes | undefined;
}

/** Adds an address; the kernel answers EEXIST if the same one with the same prefix is there. */
export function encodeAddAddress(sequence: number, change: AddressChange): Uint8Array {
  const { request, acknowledge, create, exclusive } = requestFlag;
  const flags = request | acknowledge | create | exclusive;
  return encodeMessage(messageType.newAddress, flags, sequence, encodeChange(change, true));
}

/** Deletes an address; the kernel answers EADDRNOTAVAIL if it is not there. */
export function encodeDeleteAddress(sequence: number, change: AddressChange): Uint8Array {
  const flags = requestFlag.request | requestFlag.acknowledge;
  return encodeMessage(messageType.deleteAddress, flags, sequence, encodeChange(change, false));
}

function encodeChange(change: AddressChange, adding: boolean): Uint8Array {
  const body = new Uint8Array(8);
  const isIpv6 = change.address.length === 16;
  const flags = adding && isIpv6 ? addressFlag.noDad : 0;
  body[0] = family(change.address);
  body[1] = change.prefixLength;
  body[2] = flags;
  new DataView(body.buffer).setUint32(4, change.index, true);
  const parts = [
    body,
    encodeAttribute(attribute.address.local, change.address),
    encodeAttribute(attribute.address.address, change.address),
  ];
  if (adding && change.broadcast !== undefined) {
    parts.push(encodeAttribute(attribute.address.broadcast, change.broadcast));
  }
  return concatenate(parts);
}

/** One message with its header. Exported for tests that play the kernel. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** One attribute, padded to four bytes. Exported for tests that play the kernel. */
export function encodeAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(4 + value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** Cuts one datagram into its messages. */
export function decodeMessages(bytes: Uint8Array): Result<NetlinkMessage[], NetlinkFormatError> {
  const messages: NetlinkMessage[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    if (left < HEADER_BYTES) return malformed(`${left} bytes after the last message`);
    const length = view.getUint32(offset, true);
    if (length < HEADER_BYTES || length > left) {
      return malformed(`a message of ${length} bytes where ${left} are left`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += align(length);
  }
  return ok(messages);
}

/** True if the kernel says that what was dumped changed meanwhile: ask again. */
export const wasInterrupted = (message: NetlinkMessage): boolean =>
  (message.flags & dumpInterrupted) !== 0;

/** The errno of an acknowledgement as a positive number, 0 for success. */
export function decodeAcknowledgement(payload: Uint8Array): Result<number, NetlinkFormatError> {
  if (payload.length < 4) return malformed(`an acknowledgement of ${payload.length} bytes`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const negative = view.getInt32(0, true);
  if (negative > 0) return malformed(`an error number of ${negative}`);
  return ok(negative === 0 ? 0 : -negative);
}

/** Takes apart an RTM_NEWLINK payload; total. */
export function decodeLink(payload: Uint8Array): Result<Link, NetlinkFormatError> {
  if (payload.length < 16) return malformed(`a link of ${payload.length} bytes`);
  const attributes = decodeAttributes(payload.subarray(16));
  if (!attributes.ok) return attributes;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const name = attributes.value.get(attribute.link.name);
  const end = name?.indexOf(0) ?? -1;
  if (name === undefined || end < 1) return malformed("a link without a name");
  const mac = attributes.value.get(attribute.link.address);
  return ok({
    index: view.getInt32(4, true),
    name: new TextDecoder().decode(name.subarray(0, end)),
    flags: view.getUint32(8, true),
    ethernet: view.getUint16(2, true) === ARPHRD_ETHER,
    mac: mac?.length === 6 ? mac.slice() : undefined,
  });
}

/** Takes apart an RTM_NEWADDR payload; total. */
export function decodeAddress(payload: Uint8Array): Result<InterfaceAddress, NetlinkFormatError> {
  if (payload.length < 8) return malformed(`an address of ${payload.length} bytes`);
  const attributes = decodeAttributes(payload.subarray(8));
  if (!attributes.ok) return attributes;
  const length = addressBytes(payload[0]);
  // On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL ours.
  const own =
    attributes.value.get(attribute.address.local) ??
    attributes.value.get(attribute.address.address);
  if (length === undefined || own?.length !== length) return malformed("an address of odd length");
  const prefixLength = payload[1] ?? 0;
  if (prefixLength > length * 8) return malformed(`a prefix of ${prefixLength} bits`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const broadcast = attributes.value.get(attribute.address.broadcast);
  const flags = attributes.value.get(attribute.address.flags);
  return ok({
    index: view.getUint32(4, true),
    address: formatIp(own),
    prefixLength,
    flags: flags?.length === 4 ? readUint32(flags) : (payload[2] ?? 0),
    broadcast: broadcast?.length === 4 ? formatIp(broadcast) : undefined,
  });
}

/** Takes apart an RTM_NEWROUTE payload; total. */
export function decodeRoute(payload: Uint8Array): Result<Route, NetlinkFormatError> {
  if (payload.length < 12) return malformed(`a route of ${payload.length} bytes`);
  const attributes = decodeAttributes(payload.subarray(12));
  if (!attributes.ok) return attributes;
  const index = attributes.value.get(attribute.route.outputInterface);
  const gateway = attributes.value.get(attribute.route.gateway);
  if (index?.length !== 4) return malformed("a route without a device");
  return ok({
    index: readUint32(index),
    prefixLength: payload[1] ?? 0,
    gateway:
      gateway?.length === addressBytes(payload[0]) && gateway ? formatIp(gateway) : undefined,
    local: payload[7] === ROUTE_TYPE_LOCAL,
  });
}

/** By type; of repeated attributes the last one counts. */
function decodeAttributes(bytes: Uint8Array): Result<Map<number, Uint8Array>, NetlinkFormatError> {
  const found = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    if (left < 4) return malformed(`${left} bytes after the last attribute`);
    const length = view.getUint16(offset, true);
    if (length < 4 || length > left) {
      return malformed(`an attribute of ${length} bytes where ${left} are left`);
    }
    // The two highest bits mark nesting and byte order.
    found.set(
      view.getUint16(offset + 2, true) & 0x3fff,
      bytes.subarray(offset + 4, offset + length),
    );
    offset += align(length);
  }
  return ok(found);
}

function malformed(what: string): { readonly ok: false; readonly error: NetlinkFormatError } {
  return fail(new NetlinkFormatError(`Cannot read netlink: ${what}`));
}

const align = (length: number): number => (length + 3) & ~3;
const family = (address: IpBytes): number => (address.length === 4 ? AF_INET : AF_INET6);

function addressBytes(familyNumber: number | undefined): number | undefined {
  if (familyNumber === AF_INET) return 4;
  return familyNumber === AF_INET6 ? 16 : undefined;
}

function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
