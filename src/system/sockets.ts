/**
 * Datagram and raw sockets with the options that `node:dgram` does not offer: bound to a device, broadcast without
 * routing, type of service, ICMP filters. All descriptors are close-on-exec and do not block.
 * Constants are those of Linux on x86-64 and arm64 (asm-generic); byte order of the host is little endian.
 */
import { isIPv4, isIPv6 } from "node:net";
import { checked, errno, libc, SystemCallError } from "./ffi.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_IP = 0;
export const IPPROTO_ICMP = 1;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ICMPV6 = 58;
/** Level of ICMP_FILTER: SOL_RAW. */
export const SOL_RAW = 255;
export const SOL_SOCKET = 1;

export const SO_REUSEADDR = 2;
export const SO_DONTROUTE = 5;
export const SO_BROADCAST = 6;
export const SO_RCVBUF = 8;
export const SO_PRIORITY = 12;
export const SO_REUSEPORT = 15;
export const SO_BINDTODEVICE = 25;
export const SO_RCVBUFFORCE = 33;

export const IP_TOS = 1;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_MULTICAST_LOOP = 34;
export const IP_ADD_MEMBERSHIP = 35;
export const IP_MULTICAST_ALL = 49;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_MULTICAST_LOOP = 19;
export const IPV6_JOIN_GROUP = 20;
export const IPV6_V6ONLY = 26;
export const IPV6_MULTICAST_ALL = 29;
export const IPV6_TCLASS = 67;

const MSG_DONTWAIT = 0x40;
const SIOCGIFBRDADDR = 0x8919n;
const IFNAMSIZ = 16;
const EAGAIN = 11;
const EINTR = 4;
const ENODEV = 19;

/** @throws {SystemCallError} EPERM for raw sockets without CAP_NET_RAW, EAFNOSUPPORT without IPv6 */
export function openSocket(family: number, type: number, protocol = 0): number {
  return checked("socket", libc.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

/** Closes a descriptor of this module. It must not be watched any more. */
export function closeSocket(fd: number): void {
  libc.close(fd); // EBADF would be a bug of ours, EINTR closes on Linux: nothing to handle
}

/** A number is passed as C `int`. @throws {SystemCallError} */
export function setOption(
  fd: number,
  level: number,
  option: number,
  value: number | Uint8Array,
): void {
  const bytes = typeof value === "number" ? new Uint8Array(new Int32Array([value]).buffer) : value;
  checked(
    "setsockopt",
    libc.setsockopt(fd, level, option, bytes, bytes.byteLength),
    `level ${level} option ${option}`,
  );
}

/** Only packets of this device arrive, and only through it they leave. @throws {SystemCallError} ENODEV */
export function bindToDevice(fd: number, device: string): void {
  const name = Buffer.from(`${device}\0`);
  checked(
    "bind to device",
    libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length),
    device,
  );
}

/** @throws {SystemCallError} */
export function bindSocket(fd: number, address: Uint8Array): void {
  checked("bind", libc.bind(fd, address, address.byteLength), formatAddress(address));
}

/** The kernel's index of a network device; 0 if there is none of that name. */
export function deviceIndex(device: string): number {
  return libc.if_nametoindex(device);
}

/** The IPv4 broadcast address of a device as a socket address; undefined if it has none. */
export function deviceBroadcast(fd: number, device: string, port: number): Buffer | undefined {
  const request = Buffer.alloc(40); // struct ifreq
  request.write(device.slice(0, IFNAMSIZ - 1), "latin1");
  if (libc.ioctl(fd, SIOCGIFBRDADDR, request) === -1) return undefined;
  const address = request.subarray(IFNAMSIZ + 4, IFNAMSIZ + 8);
  return address.readUInt32BE(0) === 0 ? undefined : socketAddress([...address].join("."), port);
}

/**
 * A `sockaddr_in` or `sockaddr_in6`. A scope (`fe80::1%eth0`) may be a device name or a number.
 * @param defaultScope device index for link-local addresses without a scope
 * @throws {RangeError} if it is not a numeric address
 */
export function socketAddress(address: string, port: number, defaultScope = 0): Buffer {
  if (isIPv4(address)) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    bytes.set(address.split(".").map(Number), 4);
    return bytes;
  }
  if (!isIPv6(address)) {
    throw new RangeError(`Cannot use "${address}" as an address: it is not numeric`);
  }
  const [bare = "", scope] = address.split("%");
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipv6Bytes(bare), 8);
  bytes.writeUInt32LE(scopeIndex(bytes, scope, defaultScope), 24);
  return bytes;
}

function scopeIndex(bytes: Buffer, scope: string | undefined, defaultScope: number): number {
  if (scope !== undefined) return /^\d+$/.test(scope) ? Number(scope) : deviceIndex(scope);
  const linkLocal = bytes[8] === 0xfe && ((bytes[9] ?? 0) & 0xc0) === 0x80;
  const linkLocalGroup = bytes[8] === 0xff && ((bytes[9] ?? 0) & 0x0f) <= 2;
  return linkLocal || linkLocalGroup ? defaultScope : 0;
}

/** The 16 bytes of an IPv6 address that `isIPv6` accepts, without scope. */
export function ipv6Bytes(address: string): Uint8Array {
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const words = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const all = [...left, ...new Array(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((word: number) => [word >> 8, word & 0xff]));
}

/**
 * The address bytes of a socket address in hexadecimal, without port and scope: to compare senders.
 * A mapped IPv4 address counts as what it maps.
 */
export function addressKey(address: Uint8Array): string {
  const bytes = Buffer.from(address.buffer, address.byteOffset, address.byteLength);
  return bytes.readUInt16LE(0) === AF_INET
    ? bytes.toString("hex", 4, 8)
    : bytes.toString("hex", 8, 24);
}

function formatAddress(address: Uint8Array): string {
  const bytes = Buffer.from(address.buffer, address.byteOffset, address.byteLength);
  const port = bytes.readUInt16BE(2);
  if (bytes.readUInt16LE(0) === AF_INET) return `${[...bytes.subarray(4, 8)].join(".")}:${port}`;
  return `[${bytes.toString("hex", 8, 24).replace(/(....)(?=.)/g, "$1:")}]:${port}`;
}

/**
 * Sends one datagram at once.
 * @returns undefined, or why it could not be sent; the caller goes on
 */
export function sendDatagram(
  fd: number,
  bytes: Uint8Array,
  destination: Uint8Array,
): SystemCallError | undefined {
  const sent = libc.sendto(
    fd,
    bytes,
    BigInt(bytes.byteLength),
    MSG_DONTWAIT,
    destination,
    destination.byteLength,
  );
  return sent === -1n
    ? new SystemCallError("send to", errno(), formatAddress(destination))
    : undefined;
}

/** One buffer for all that is received: sized for the largest UDP datagram, never grows. */
export interface Receiver {
  /** Valid until the next `receiveDatagram` into the same receiver. */
  readonly bytes: Buffer;
  /** Socket address of the sender. */
  readonly source: Buffer;
  readonly sourceLength: Buffer;
}

/** A receiving buffer with the structures that recvmsg(2) fills, to be used again and again. */
export function makeReceiver(): Receiver {
  return {
    bytes: Buffer.alloc(65_536),
    source: Buffer.alloc(28),
    sourceLength: Buffer.alloc(4),
  };
}

/**
 * Takes one datagram.
 * @returns its length in `receiver.bytes`; undefined if none is waiting
 * @throws {SystemCallError} an error of the socket, such as ENETDOWN; it is cleared by that
 */
export function receiveDatagram(fd: number, receiver: Receiver): number | undefined {
  receiver.sourceLength.writeUInt32LE(receiver.source.length, 0);
  const length = libc.recvfrom(
    fd,
    receiver.bytes,
    BigInt(receiver.bytes.length),
    MSG_DONTWAIT,
    receiver.source,
    receiver.sourceLength,
  );
  if (length !== -1n) return Number(length);
  const number = errno();
  if (number === EAGAIN || number === EINTR) return undefined;
  throw new SystemCallError("receive", number);
}

/** True if the error says that the device itself is gone. */
export function isDeviceGone(error: SystemCallError): boolean {
  return error.errno === ENODEV;
}
