/**
 * Ping nodes: one ICMP echo request per beat to each address, and what comes back.
 * Source: heartbeat.md 9.1. The payload is a signed message, so the core knows a reply by its digest; here
 * replies are only told from other traffic by identifier and sender.
 */
import type { Clock, Instant } from "../base/index.ts";
import type { PingConfig } from "../config/index.ts";
import { watchReadable } from "../system/readiness.ts";
import {
  AF_INET,
  AF_INET6,
  addressKey,
  closeSocket,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  makeReceiver,
  openSocket,
  receiveDatagram,
  SO_RCVBUF,
  SOCK_RAW,
  SOL_RAW,
  SOL_SOCKET,
  sendDatagram,
  setOption,
} from "../system/sockets.ts";
import { Destination } from "./destination.shell.ts";
import { buildEchoRequest, type IcmpFamily, parseEchoReply } from "./icmp.ts";
import { PacketBudget } from "./packet-budget.ts";

const ICMP_FILTER = 1;
const ICMP6_FILTER = 1;
const RECEIVE_BUFFER_BYTES = 128 * 1024;
const DATAGRAMS_PER_TURN = 64;
const RETRY_MS = 1_000;
/** Replies later than this many requests are not told apart from duplicates: far beyond any deadping. */
const SEQUENCES_REMEMBERED = 64;

export interface PingHandlers {
  /** The first reply to one request of a ping node or group. `payload` belongs to the receiver. */
  reply(ping: string, at: Instant, payload: Uint8Array): void;
  rateLimited(ping: string): void;
  /** A request could not leave. */
  failed(ping: string, detail: string): void;
}

export interface PingsOptions {
  readonly pings: readonly PingConfig[];
  /** Low 16 bits are the ICMP identifier: the process id, as the original does. */
  readonly identifier: number;
  readonly clock: Clock;
  readonly handlers: PingHandlers;
}

/** ICMP echo to the ping nodes, over raw sockets. */
export class Pings {
  readonly #options: PingsOptions;
  readonly #targets = new Map<string, readonly Destination[]>();
  readonly #answered = new Map<string, number[]>();
  readonly #budget: PacketBudget;
  readonly #sockets: Readonly<Record<IcmpFamily, IcmpSocket>>;
  /** Ping names by address, learnt when a request is sent there. */
  readonly #names = new Map<string, Set<string>>();

  constructor(options: PingsOptions) {
    this.#options = options;
    this.#budget = new PacketBudget(options.clock.now());
    for (const { name, addresses } of options.pings) {
      const targets = addresses.map((text) => new Destination(text, 0, text.includes(":") ? 6 : 4));
      this.#targets.set(name, targets);
      this.#answered.set(name, []);
    }
    const receive = (family: IcmpFamily, packet: Buffer, source: Buffer): void =>
      this.#receive(family, packet, source);
    this.#sockets = { 4: new IcmpSocket(4, receive), 6: new IcmpSocket(6, receive) };
  }

  /** One echo request to each address of the ping node. */
  send(ping: string, sequence: number, payload: Uint8Array): void {
    for (const target of this.#targets.get(ping) ?? []) {
      const detail = this.#sendOne(ping, target, sequence, payload);
      if (detail !== undefined) this.#options.handlers.failed(ping, `${target.text}: ${detail}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#sockets[4].close(), this.#sockets[6].close()]);
  }

  #sendOne(
    ping: string,
    target: Destination,
    sequence: number,
    payload: Uint8Array,
  ): string | undefined {
    const address = target.address();
    if (address === undefined) return "its address is not known";
    const family = address.length === 16 ? 4 : 6;
    const key = addressKey(address);
    const names = this.#names.get(key) ?? new Set();
    this.#names.set(key, names.add(ping));
    const request = buildEchoRequest(family, this.#options.identifier, sequence, payload);
    return this.#sockets[family].send(request, address);
  }

  #receive(family: IcmpFamily, packet: Buffer, source: Buffer): void {
    const at = this.#options.clock.now();
    const reply = parseEchoReply(family, packet);
    const names = this.#names.get(addressKey(source));
    if (reply === undefined || names === undefined) return;
    if (reply.identifier !== (this.#options.identifier & 0xffff)) return;
    for (const ping of names) {
      // An address may be a ping node and member of a group: the payload names whose reply it is.
      if (names.size > 1 && !reply.payload.includes(`=${ping},`)) continue;
      if (!this.#budget.take(at, true)) this.#options.handlers.rateLimited(ping);
      else if (this.#isFirst(ping, reply.sequence)) {
        this.#options.handlers.reply(ping, at, Uint8Array.prototype.slice.call(reply.payload));
      }
    }
  }

  /** Only the first reply per sequence number counts: of a group, one member is enough. */
  #isFirst(ping: string, sequence: number): boolean {
    const answered = this.#answered.get(ping);
    if (answered === undefined || answered.includes(sequence)) return false;
    answered.push(sequence);
    if (answered.length > SEQUENCES_REMEMBERED) answered.shift();
    return true;
  }
}

/** A raw socket that sees nothing but echo replies. Opened by the first request, again if refused. */
class IcmpSocket {
  readonly #family: IcmpFamily;
  readonly #onPacket: (family: IcmpFamily, packet: Buffer, source: Buffer) => void;
  readonly #receiver = makeReceiver();
  #open: { readonly fd: number; readonly unwatch: () => Promise<void> } | undefined;
  #refusal: string | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(
    family: IcmpFamily,
    onPacket: (family: IcmpFamily, packet: Buffer, source: Buffer) => void,
  ) {
    this.#family = family;
    this.#onPacket = onPacket;
  }

  /** @returns why it could not be sent */
  send(packet: Uint8Array, address: Buffer): string | undefined {
    if (this.#open === undefined && this.#retry === undefined) this.#tryOpen();
    if (this.#open === undefined) return this.#refusal;
    return sendDatagram(this.#open.fd, packet, address)?.message;
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry);
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    await open.unwatch();
    closeSocket(open.fd);
  }

  #tryOpen(): void {
    let fd: number | undefined;
    try {
      fd = openIcmp(this.#family);
      const watched = fd;
      this.#open = { fd, unwatch: watchReadable(fd, () => this.#receive(watched)) };
    } catch (error) {
      if (fd !== undefined) closeSocket(fd);
      this.#refusal = error instanceof Error ? error.message : String(error);
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
      }, RETRY_MS);
    }
  }

  #receive(fd: number): void {
    for (let count = 0; count < DATAGRAMS_PER_TURN && this.#open !== undefined; count++) {
      let length: number | undefined;
      try {
        length = receiveDatagram(fd, this.#receiver);
      } catch {
        continue; // An ICMP error for an earlier request; the missing reply tells the same.
      }
      if (length === undefined) return;
      this.#onPacket(this.#family, this.#receiver.bytes.subarray(0, length), this.#receiver.source);
    }
  }
}

function openIcmp(family: IcmpFamily): number {
  const fd =
    family === 4
      ? openSocket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
      : openSocket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
  // Filters name what to block: everything but type 0 (IPv4) or 129 (IPv6), echo reply.
  if (family === 4) setOption(fd, SOL_RAW, ICMP_FILTER, ~(1 << 0));
  else {
    const filter = Buffer.alloc(32, 0xff);
    filter.writeUInt32LE(~(1 << (129 & 31)) >>> 0, (129 >> 5) * 4);
    setOption(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter);
  }
  setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  return fd;
}
