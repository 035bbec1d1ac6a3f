/**
 * The links: one per media line, each with a socket to send from and one to receive on, bound to its device.
 * Source: heartbeat.md section 4; reliability 9.2 (fixed buffer, token bucket before any digest).
 *
 *   closed --opens--> open --device gone, replaced--> closed
 *      '-- tried again once a second
 *
 * A device may be missing at start, go down, vanish and come back, and change its addresses: the link
 * stays, says what is wrong, and works again by itself. A failure is a fact for the core, never an exception.
 */
import type { Clock, Instant } from "../base/index.ts";
import type { LinkConfig } from "../config/index.ts";
import { SystemCallError } from "../system/ffi.ts";
import { watchReadable } from "../system/readiness.ts";
import {
  AF_INET,
  AF_INET6,
  addressKey,
  bindSocket,
  bindToDevice,
  closeSocket,
  deviceBroadcast,
  deviceIndex,
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_JOIN_GROUP,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_TCLASS,
  IPV6_V6ONLY,
  isDeviceGone,
  makeReceiver,
  openSocket,
  receiveDatagram,
  SO_BROADCAST,
  SO_DONTROUTE,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
  sendDatagram,
  setOption,
  socketAddress,
} from "../system/sockets.ts";
import { Destination } from "./destination.shell.ts";
import { PacketBudget } from "./packet-budget.ts";

/** heartbeat.md section 4: IPTOS_LOWDELAY. */
const LOW_DELAY = 0x10;
/** What a process that is not run for a quarter of a second may find at 2000 packets a second. */
const RECEIVE_BUFFER_BYTES = 512 * 1024;
/** Datagrams taken before timers get their turn: a flood must not hold up our own beats. */
const DATAGRAMS_PER_TURN = 64;
/** How often a missing device is looked for and a changed address is noticed. */
const LOOK_EVERY_MS = 1_000;

export interface LinkHandlers {
  /** One datagram within the budget. `bytes` belong to the receiver. */
  datagram(link: string, at: Instant, bytes: Uint8Array): void;
  /** A datagram above the budget, dropped unread. */
  rateLimited(link: string): void;
  /** A beat could not leave (`sending`, at each try), or a link can not be used (at each change). */
  failed(link: string, sending: boolean, detail: string): void;
}

export interface LinksOptions {
  readonly links: readonly LinkConfig[];
  /** Own name: peers of that name are not sent to. */
  readonly host: string;
  readonly clock: Clock;
  readonly handlers: LinkHandlers;
}

/** All links of this host. They open at once, or as soon as their device is there. */
export class Links {
  readonly #links: readonly Link[];
  readonly #timer: NodeJS.Timeout;

  constructor(options: LinksOptions) {
    this.#links = options.links.map((config) => new Link(config, options));
    for (const link of this.#links) link.look();
    this.#timer = setInterval(() => {
      for (const link of this.#links) link.look();
    }, LOOK_EVERY_MS);
  }

  /** One datagram to every peer address on every link. Failures go to `failed`. */
  send(bytes: Uint8Array): void {
    for (const link of this.#links) link.send(bytes);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#links.map((link) => link.close()));
  }
}

interface OpenLink {
  readonly device: number;
  readonly sendFd: number;
  readonly receiveFd: number;
  readonly unwatch: () => Promise<void>;
}

class Link {
  readonly #config: LinkConfig;
  readonly #handlers: LinkHandlers;
  readonly #clock: Clock;
  readonly #budget: PacketBudget;
  readonly #peers: readonly Destination[];
  readonly #receiver = makeReceiver();
  #open: OpenLink | undefined;
  #targets: readonly Buffer[] = [];
  #peerKeys = new Set<string>();
  /** What is wrong with the link now; undefined while it works. */
  #trouble: string | undefined;

  constructor(config: LinkConfig, options: LinksOptions) {
    this.#config = config;
    this.#handlers = options.handlers;
    this.#clock = options.clock;
    this.#budget = new PacketBudget(options.clock.now());
    this.#peers = destinations(config, options.host);
  }

  /** Opens the link if its device is there, closes it if the device went, refreshes addresses. */
  look(): void {
    const index = deviceIndex(this.#config.device);
    if (this.#open !== undefined && this.#open.device !== index) {
      void this.close();
      this.#fail(index === 0 ? "the device is gone" : "the device was replaced");
    }
    try {
      if (this.#open === undefined) {
        this.#open = this.#openSockets(index);
        this.#trouble = undefined;
      }
      this.#findTargets(this.#open);
    } catch (error) {
      this.#fail(index === 0 ? "the device does not exist" : describe(error));
    }
  }

  send(bytes: Uint8Array): void {
    const { device } = this.#config;
    if (this.#open === undefined || this.#targets.length === 0) {
      this.#handlers.failed(device, true, `${device}: ${this.#trouble ?? "no address to send to"}`);
      return;
    }
    for (const target of this.#targets) {
      const error = sendDatagram(this.#open.sendFd, bytes, target);
      if (error === undefined) continue;
      this.#handlers.failed(device, true, `${device}: ${error.message}`);
      if (!isDeviceGone(error)) continue;
      this.look();
      return;
    }
  }

  async close(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    closeSocket(open.sendFd);
    await open.unwatch();
    closeSocket(open.receiveFd);
  }

  #fail(trouble: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    const { device } = this.#config;
    this.#handlers.failed(device, false, `${device}: ${trouble}`);
  }

  #openSockets(device: number): OpenLink {
    const opened: number[] = [];
    try {
      const receiveFd = openReceiver(this.#config, device, opened);
      const sendFd = openSender(this.#config, device, opened);
      const unwatch = watchReadable(receiveFd, () => this.#receive(receiveFd));
      return { device, sendFd, receiveFd, unwatch };
    } catch (error) {
      for (const fd of opened) closeSocket(fd);
      throw error;
    }
  }

  /** @throws {Error} if there is nowhere to send to */
  #findTargets(open: OpenLink): void {
    const config = this.#config;
    if (config.medium === "bcast") {
      const target = deviceBroadcast(open.sendFd, config.device, config.port);
      this.#targets = target === undefined ? [] : [target];
      if (target === undefined) throw new Error("the device has no broadcast address");
    } else if (config.medium === "mcast" || config.medium === "mcast6") {
      this.#targets = [socketAddress(config.group, config.port, open.device)];
    } else {
      const found = this.#peers.map((peer) => peer.address(open.device));
      this.#targets = found.filter((address) => address !== undefined);
      this.#peerKeys = new Set(this.#targets.map((target) => addressKey(target)));
      const unknown = this.#peers.filter((_, index) => found[index] === undefined);
      if (unknown.length > 0) {
        throw new Error(
          `the address of ${unknown.map((peer) => peer.text).join(", ")} is not known`,
        );
      }
    }
    this.#trouble = undefined;
  }

  #receive(fd: number): void {
    for (let count = 0; count < DATAGRAMS_PER_TURN; count++) {
      if (this.#open?.receiveFd !== fd) return;
      const length = this.#receiveOne(fd);
      if (length === undefined) return;
      const at = this.#clock.now();
      const fromPeer = this.#peerKeys.has(addressKey(this.#receiver.source));
      const { device } = this.#config;
      if (!this.#budget.take(at, fromPeer)) this.#handlers.rateLimited(device);
      else {
        this.#handlers.datagram(
          device,
          at,
          Uint8Array.prototype.slice.call(this.#receiver.bytes, 0, length),
        );
      }
    }
  }

  #receiveOne(fd: number): number | undefined {
    try {
      return receiveDatagram(fd, this.#receiver);
    } catch (error) {
      this.#fail(describe(error));
      return undefined;
    }
  }
}

function destinations(config: LinkConfig, host: string): readonly Destination[] {
  if (config.medium !== "ucast" && config.medium !== "ucast6") return [];
  return config.peers
    .filter((peer) => peer.host !== host)
    .map((peer) => new Destination(peer.address, config.port, config.medium === "ucast" ? 4 : 6));
}

function openUdp(config: LinkConfig, opened: number[]): number {
  const isIpv6 = config.medium.endsWith("6");
  const fd = openSocket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  opened.push(fd);
  if (isIpv6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  bindToDevice(fd, config.device);
  return fd;
}

function openReceiver(config: LinkConfig, device: number, opened: number[]): number {
  const fd = openUdp(config, opened);
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  sizeReceiveBuffer(fd);
  switch (config.medium) {
    case "ucast":
    case "bcast":
      bindSocket(fd, socketAddress("0.0.0.0", config.port));
      return fd;
    case "ucast6":
      bindSocket(fd, socketAddress("::", config.port));
      return fd;
    case "mcast": {
      // Bound to the group, so that unicast datagrams of another link on this port stay with that link.
      const group = socketAddress(config.group, config.port);
      setOption(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, multicastRequest(group, device));
      bindSocket(fd, group);
      return fd;
    }
    case "mcast6": {
      const group = socketAddress(config.group, config.port, device);
      const request = Buffer.alloc(20);
      group.copy(request, 0, 8, 24);
      request.writeUInt32LE(device, 16);
      setOption(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, request);
      bindSocket(fd, group);
      return fd;
    }
  }
}

function openSender(config: LinkConfig, device: number, opened: number[]): number {
  const fd = openUdp(config, opened);
  if (config.medium.endsWith("6")) setOption(fd, IPPROTO_IPV6, IPV6_TCLASS, LOW_DELAY);
  else setOption(fd, IPPROTO_IP, IP_TOS, LOW_DELAY);
  switch (config.medium) {
    case "bcast":
      setOption(fd, SOL_SOCKET, SO_BROADCAST, 1);
      setOption(fd, SOL_SOCKET, SO_DONTROUTE, 1);
      break;
    case "mcast":
      setOption(fd, IPPROTO_IP, IP_MULTICAST_IF, multicastRequest(undefined, device));
      setOption(fd, IPPROTO_IP, IP_MULTICAST_TTL, config.ttl);
      setOption(fd, IPPROTO_IP, IP_MULTICAST_LOOP, config.loop ? 1 : 0);
      break;
    case "mcast6":
      setOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, device);
      setOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, config.ttl);
      setOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, config.loop ? 1 : 0);
      break;
    case "ucast":
    case "ucast6":
      break;
  }
  return fd;
}

/** struct ip_mreqn: group, address, device. */
function multicastRequest(group: Buffer | undefined, device: number): Buffer {
  const request = Buffer.alloc(12);
  group?.copy(request, 0, 4, 8);
  request.writeUInt32LE(device, 8);
  return request;
}

function sizeReceiveBuffer(fd: number): void {
  try {
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  } catch (error) {
    // Without CAP_NET_ADMIN: as much as the host allows to everybody.
    if (!(error instanceof SystemCallError)) throw error;
    setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
