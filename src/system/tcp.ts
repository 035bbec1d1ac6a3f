/**
 * TCP sockets by their descriptors, for a thread that waits in poll(2) and can be handed a socket by its number.
 * All are non-blocking and close-on-exec. Reading and writing: `receiveNow`, `sendNow`, `IoVector`.
 */
import { formatIp } from "../base/index.ts";
import { closeDescriptor, EAGAIN, ECONNRESET, EINPROGRESS, EINTR } from "./descriptors.ts";
import { bindNative, checked, errno, libc } from "./ffi.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  openSocket,
  SO_REUSEADDR,
  SOL_SOCKET,
  setOption,
  socketAddress,
} from "./sockets.ts";

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_CORK = 3;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_QUICKACK = 12;
const TCP_USER_TIMEOUT = 18;
const SIOCOUTQ = 0x5411n;
const EINVAL = 22;
const ENOTCONN = 107;
const ECONNABORTED = 103;
/** Connections that wait to be accepted; a peer has two. */
const BACKLOG = 16;

const native = bindNative({
  connect: { arguments: ["int32", "pointer", "uint32"], return: "int32" },
  listen: { arguments: ["int32", "int32"], return: "int32" },
  accept4: { arguments: ["int32", "pointer", "pointer", "int32"], return: "int32" },
  shutdown: { arguments: ["int32", "int32"], return: "int32" },
  getpeername: { arguments: ["int32", "pointer", "pointer"], return: "int32" },
});

export interface Endpoint {
  /** Numeric, IPv4 or IPv6, without scope. */
  readonly address: string;
  readonly port: number;
}

/** What is set on a socket; what is missing stays as the system has it. */
export interface TcpOptions {
  /** Sends small segments at once. */
  readonly noDelay?: boolean;
  /** Collects segments until it is taken off: for a batch of small packets. */
  readonly cork?: boolean;
  /** Acknowledges at once instead of with the next data; the system takes it back by itself. */
  readonly quickAck?: boolean;
  /** Bytes; the system doubles them and has a limit of its own (net.core.wmem_max). */
  readonly sendBufferBytes?: number;
  readonly receiveBufferBytes?: number;
  readonly keepAlive?: {
    readonly idleSeconds: number;
    readonly intervalSeconds: number;
    readonly count: number;
  };
  /** A connection whose sent data stays unacknowledged for so long is over (ETIMEDOUT). */
  readonly userTimeoutMs?: number;
}

/** @throws {SystemCallError} an option that the system refuses, or a descriptor that is no TCP socket */
export function setTcpOptions(fd: number, options: TcpOptions): void {
  const { noDelay, cork, quickAck, sendBufferBytes, receiveBufferBytes, keepAlive } = options;
  if (noDelay !== undefined) setOption(fd, IPPROTO_TCP, TCP_NODELAY, noDelay ? 1 : 0);
  if (cork !== undefined) setOption(fd, IPPROTO_TCP, TCP_CORK, cork ? 1 : 0);
  if (quickAck !== undefined) setOption(fd, IPPROTO_TCP, TCP_QUICKACK, quickAck ? 1 : 0);
  if (sendBufferBytes !== undefined) setOption(fd, SOL_SOCKET, SO_SNDBUF, sendBufferBytes);
  if (receiveBufferBytes !== undefined) setOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBufferBytes);
  if (keepAlive !== undefined) {
    setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepAlive.idleSeconds);
    setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepAlive.intervalSeconds);
    setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, keepAlive.count);
    setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  }
  if (options.userTimeoutMs !== undefined) {
    setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
  }
}

/**
 * A listening socket; an IPv6 one takes no IPv4 connections.
 * @param options inherited by accepted sockets; buffer sizes must be set here to have an effect on the window
 * @throws {SystemCallError} EADDRINUSE, EADDRNOTAVAIL
 * @throws {RangeError} if the address is not numeric
 */
export function listenTcp(local: Endpoint, options: TcpOptions = {}): number {
  const address = socketAddress(local.address, local.port);
  return open(address, (fd) => {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    setTcpOptions(fd, options);
    bind(fd, address, local);
    checked("listen on", native.listen(fd, BACKLOG), formatEndpoint(local));
  });
}

/**
 * Begins a connection: the descriptor becomes writable when it is there or has failed; `socketError` says which.
 * @param from our own address (port 0: any), as the configuration says which link to use
 * @throws {SystemCallError} ENETUNREACH, EADDRNOTAVAIL, ECONNREFUSED and others that are known at once
 * @throws {RangeError} if an address is not numeric
 */
export function connectTcp(peer: Endpoint, from?: Endpoint, options: TcpOptions = {}): number {
  const address = socketAddress(peer.address, peer.port);
  return open(address, (fd) => {
    setTcpOptions(fd, options);
    if (from !== undefined) {
      setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      bind(fd, socketAddress(from.address, from.port), from);
    }
    const result = native.connect(fd, address, address.byteLength);
    if (result === -1 && [EINPROGRESS, EINTR].includes(errno())) return;
    checked("connect to", result, formatEndpoint(peer));
  });
}

function open(address: Buffer, prepare: (fd: number) => void): number {
  const family = address.readUInt16LE(0);
  const fd = openSocket(family, SOCK_STREAM);
  try {
    if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    prepare(fd);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function bind(fd: number, address: Buffer, local: Endpoint): void {
  checked("bind", libc.bind(fd, address, address.byteLength), formatEndpoint(local));
}

/**
 * Takes one connection that waits.
 * @returns its descriptor; undefined if none waits or the one that waited is gone again
 * @throws {SystemCallError} EMFILE and other errors of this process
 */
export function acceptTcp(listener: number): number | undefined {
  const fd = native.accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd !== -1) return fd;
  if ([EAGAIN, EINTR, ECONNABORTED, ECONNRESET].includes(errno())) return undefined;
  return checked("accept on", fd, `descriptor ${listener}`);
}

/** The error that waits on a socket, which is cleared by this; 0 if there is none: after `connectTcp`, connected. */
export function socketError(fd: number): number {
  const value = Buffer.alloc(4);
  const length = Buffer.from(new Uint32Array([4]).buffer);
  checked(
    "get error of",
    libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length),
    `descriptor ${fd}`,
  );
  return value.readInt32LE();
}

/** Ends one direction or both; a connection that is gone already is fine. @throws {SystemCallError} EBADF */
export function shutDownTcp(fd: number, direction: "receive" | "send" | "both"): void {
  const how = { receive: 0, send: 1, both: 2 }[direction];
  const result = native.shutdown(fd, how);
  if (result === -1 && [ENOTCONN, EINVAL].includes(errno())) return;
  checked("shut down", result, `descriptor ${fd}`);
}

/** Bytes that were given to a socket and that the peer has not acknowledged. @throws {SystemCallError} */
export function unacknowledgedBytes(fd: number): number {
  const value = Buffer.alloc(4);
  checked("get queue of", libc.ioctl(fd, SIOCOUTQ, value), `descriptor ${fd}`);
  return value.readInt32LE();
}

/** Undefined if it is not connected (any more). @throws {SystemCallError} EBADF */
export function peerOf(fd: number): Endpoint | undefined {
  const { address, length } = addressMemory();
  const result = native.getpeername(fd, address, length);
  if (result === -1 && [ENOTCONN, EINVAL].includes(errno())) return undefined;
  checked("get peer of", result, `descriptor ${fd}`);
  return endpointOf(address);
}

/** Our own end, such as the port that the system chose. @throws {SystemCallError} EBADF */
export function localOf(fd: number): Endpoint {
  const { address, length } = addressMemory();
  checked("get name of", libc.getsockname(fd, address, length), `descriptor ${fd}`);
  return endpointOf(address);
}

function addressMemory(): { address: Buffer; length: Buffer } {
  return { address: Buffer.alloc(28), length: Buffer.from(new Uint32Array([28]).buffer) };
}

function endpointOf(address: Buffer): Endpoint {
  const port = address.readUInt16BE(2);
  if (address.readUInt16LE(0) === AF_INET) {
    return { address: formatIp(address.subarray(4, 8)), port };
  }
  return { address: formatIp(address.subarray(8, 24)), port };
}

function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
