/**
 * Addresses and links of this host, asked of and changed in the kernel directly: no fork, no wait.
 * The kernel handles an rtnetlink request inside the `sendto` that brings it, so the answer lies in
 * the socket's queue when that call returns; a receive timeout bounds what should not happen. The
 * calls are synchronous: a dump of a host with some dozens of addresses takes a fraction of a
 * millisecond.
 */
import type { IpBytes, Result } from "../base/index.ts";
import { checked, libc, SystemCallError } from "./ffi.ts";
import {
  type AddressChange,
  decodeAcknowledgement,
  decodeAddress,
  decodeLink,
  decodeMessages,
  decodeRoute,
  encodeAddAddress,
  encodeAddressDump,
  encodeDeleteAddress,
  encodeLinkDump,
  encodeRouteLookup,
  type InterfaceAddress,
  type Link,
  messageType,
  NetlinkFormatError,
  type NetlinkMessage,
  type Route,
  wasInterrupted,
} from "./netlink-codec.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
/** An answer is there at once; longer than this means a kernel in trouble. */
const RECEIVE_TIMEOUT_MS = 250;
/** The kernel fills at most 32 KiB into one datagram of a dump. */
const BUFFER_BYTES = 64 * 1024;
/** 64 KiB each: some hundred thousand addresses. More is not a host that we serve. */
const DATAGRAMS_MAX = 512;
const DUMP_TRIES = 4;
const ERRNO = { ENETUNREACH: 101, EHOSTUNREACH: 113 };

/** One rtnetlink socket. Belongs to the network namespace of the process that opened it. */
export class RouteNetlink implements Disposable {
  readonly #socket: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #sequence = 0;
  #closed = false;

  /** @throws {SystemCallError} if the kernel gives no such socket */
  constructor() {
    this.#socket = checked("socket", libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE));
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(BigInt(RECEIVE_TIMEOUT_MS * 1000), 8);
    checked("setsockopt", libc.setsockopt(this.#socket, SOL_SOCKET, SO_RCVTIMEO, timeout, 16));
  }

  /** Every link. @throws {SystemCallError | NetlinkFormatError} */
  links(): readonly Link[] {
    return this.#dump(encodeLinkDump, messageType.newLink, decodeLink);
  }

  /** Every address of both families. @throws {SystemCallError | NetlinkFormatError} */
  addresses(): readonly InterfaceAddress[] {
    return this.#dump(encodeAddressDump, messageType.newAddress, decodeAddress);
  }

  /** The route that leads to an address; undefined if none does. @throws as above */
  route(destination: IpBytes): Route | undefined {
    const sequence = this.#send((number) => encodeRouteLookup(number, destination));
    for (const message of this.#answers(sequence)) {
      if (message.type === messageType.newRoute) return take(decodeRoute(message.payload));
      const errno = take(decodeAcknowledgement(message.payload));
      if (errno === ERRNO.ENETUNREACH || errno === ERRNO.EHOSTUNREACH) return undefined;
      if (errno !== 0) throw new SystemCallError("look up a route", errno);
    }
    return undefined;
  }

  /** Adds an address. @returns false if just this one was there. @throws {SystemCallError} */
  addAddress(change: AddressChange): boolean {
    return this.#change("add address", (number) => encodeAddAddress(number, change), "EEXIST");
  }

  /** Deletes an address. @returns false if it was not there. @throws {SystemCallError} */
  deleteAddress(change: AddressChange): boolean {
    const encode = (number: number): Uint8Array => encodeDeleteAddress(number, change);
    return this.#change("delete address", encode, "EADDRNOTAVAIL");
  }

  [Symbol.dispose](): void {
    if (!this.#closed) libc.close(this.#socket);
    this.#closed = true;
  }

  #change(call: string, encode: (sequence: number) => Uint8Array, harmless: string): boolean {
    const sequence = this.#send(encode);
    for (const message of this.#answers(sequence)) {
      const errno = take(decodeAcknowledgement(message.payload));
      if (errno === 0) return true;
      const error = new SystemCallError(call, errno);
      if (error.code === harmless) return false;
      throw error;
    }
    throw new NetlinkFormatError(`Cannot ${call}: the kernel did not answer`);
  }

  #dump<Item>(
    encode: (sequence: number) => Uint8Array,
    type: number,
    decode: (payload: Uint8Array) => Result<Item, NetlinkFormatError>,
  ): readonly Item[] {
    for (let tries = 1; ; tries++) {
      const items: Item[] = [];
      let interrupted = false;
      for (const message of this.#answers(this.#send(encode))) {
        interrupted ||= wasInterrupted(message);
        if (message.type === type) items.push(take(decode(message.payload)));
        if (message.type === messageType.error) {
          const errno = take(decodeAcknowledgement(message.payload));
          if (errno !== 0) throw new SystemCallError("dump", errno);
        }
      }
      if (!interrupted || tries === DUMP_TRIES) return items;
    }
  }

  #send(encode: (sequence: number) => Uint8Array): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const bytes = encode(this.#sequence);
    const size = BigInt(bytes.length);
    checked("sendto", libc.sendto(this.#socket, bytes, size, 0, null, 0), "netlink");
    return this.#sequence;
  }

  /** The answers to one request: up to `done` of a dump, else one message. */
  *#answers(sequence: number): Generator<NetlinkMessage> {
    for (let datagrams = 0; datagrams < DATAGRAMS_MAX; datagrams++) {
      for (const message of take(decodeMessages(this.#receive()))) {
        if (message.sequence !== sequence) continue; // left over from a request that timed out
        if (message.type === messageType.done) return;
        yield message;
        const isDump = (message.flags & 2) !== 0; // NLM_F_MULTI
        if (!isDump) return;
      }
    }
    throw new NetlinkFormatError("Cannot read netlink: the dump does not end");
  }

  #receive(): Uint8Array {
    const { length } = this.#buffer;
    const received = checked(
      "recvfrom",
      libc.recvfrom(this.#socket, this.#buffer, BigInt(length), 0, null, null),
      "netlink",
    );
    return Uint8Array.from(this.#buffer.subarray(0, received));
  }
}

function take<Value>(result: Result<Value, NetlinkFormatError>): Value {
  if (!result.ok) throw result.error;
  return result.value;
}
