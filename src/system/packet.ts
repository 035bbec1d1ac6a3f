/**
 * Raw Ethernet frames on one interface: announcing an address, and asking who has it.
 * Sending never waits. Listening is a socket that does not block, looked at a bounded number of times.
 */
import { close } from "node:fs";
import type { IpBytes } from "../base/index.ts";
import { delay } from "./clock.ts";
import { addressOf, checked, libc, SystemCallError } from "./ffi.ts";
import {
  announcementFrames,
  claimedMac,
  etherType,
  type Mac,
  probeFrame,
} from "./packet-frames.ts";

const AF_PACKET = 17;
/** SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK */
const SOCKET_TYPE = 3 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const FILTER_HEADER_BYTES = 16;
const FRAME_MAX_BYTES = 2048;
/** Frames looked at in one go: a flood may not hold up the loop. */
const FRAMES_PER_LOOK = 64;
/** Between two looks at the answers of a probe. */
const LOOK_EVERY_MS = 10;
/** RFC 5227 PROBE_NUM. */
const PROBES = 3;

/** Where to send from. */
export interface PacketInterface {
  readonly index: number;
  readonly mac: Mac;
}

/** Says once that `address` is at `mac`. @throws {SystemCallError} if the interface does not take it */
export function announceAddress(address: IpBytes, { index, mac }: PacketInterface): void {
  announcing ??= new PacketSocket(index, 0);
  for (const frame of announcementFrames(address, mac)) announcing.send(frame, index);
}

/** Kept open, not bound: opening and closing are on the way from verdict to address otherwise. */
let announcing: PacketSocket | undefined;

/**
 * Asks who has `address`, three times spread over `timeoutMs`.
 * @returns the first MAC, other than ours, that answers for it; undefined if none did
 * @throws {SystemCallError} if the interface can not be used; the reason of `signal` if aborted
 */
export async function askForAddress(
  address: IpBytes,
  { index, mac }: PacketInterface,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<Mac | undefined> {
  using socket = new PacketSocket(index, address.length === 4 ? etherType.arp : etherType.ipv6);
  const looks = Math.max(1, Math.ceil(timeoutMs / LOOK_EVERY_MS));
  const looksPerProbe = Math.max(1, Math.floor(looks / PROBES));
  for (let look = 0; look < looks; look++) {
    if (look % looksPerProbe === 0 && look / looksPerProbe < PROBES) {
      socket.send(probeFrame(address, mac));
    }
    await delay(LOOK_EVERY_MS, signal);
    for (let frames = 0; frames < FRAMES_PER_LOOK; frames++) {
      const frame = socket.receive();
      if (frame === undefined) break;
      const owner = claimedMac(frame, address);
      if (owner !== undefined && !sameMac(owner, mac)) return owner;
    }
  }
  return undefined;
}

/** A packet socket on one interface. `protocol` 0 receives nothing and is not bound. */
export class PacketSocket implements Disposable {
  readonly #socket: number;
  readonly #index: number;
  readonly #buffer = Buffer.alloc(FRAME_MAX_BYTES);
  #closed = false;

  /** @throws {SystemCallError} */
  constructor(index: number, protocol: number) {
    this.#index = index;
    // With protocol 0 nothing arrives before bind says from where.
    this.#socket = checked("socket", libc.socket(AF_PACKET, SOCKET_TYPE, 0), "packet");
    try {
      if (protocol === etherType.ipv6) this.#onlyAdvertisements();
      const address = socketAddress(index, protocol);
      if (protocol !== 0)
        checked("bind", libc.bind(this.#socket, address, address.length), `interface ${index}`);
    } catch (error) {
      libc.close(this.#socket);
      throw error;
    }
  }

  /** @throws {SystemCallError} such as ENETDOWN */
  send(frame: Uint8Array, index = this.#index): void {
    const address = socketAddress(index, ((frame[12] ?? 0) << 8) | (frame[13] ?? 0));
    checked(
      "sendto",
      libc.sendto(this.#socket, frame, BigInt(frame.length), 0, address, address.length),
      `interface ${index}`,
    );
  }

  /** The next frame that waits; undefined if none does. @throws {SystemCallError} */
  receive(): Uint8Array | undefined {
    try {
      const length = checked(
        "recvfrom",
        libc.recvfrom(this.#socket, this.#buffer, BigInt(FRAME_MAX_BYTES), 0, null, null),
        `interface ${this.#index}`,
      );
      return Uint8Array.from(this.#buffer.subarray(0, length));
    } catch (error) {
      if (error instanceof SystemCallError && error.code === "EAGAIN") return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    // The kernel waits some 10 ms until no processor looks at the socket any more: in a thread, then.
    if (!this.#closed) close(this.#socket, () => undefined);
    this.#closed = true;
  }

  /** Lets only neighbour advertisements through: on a busy host all of IPv6 would pile up here. */
  #onlyAdvertisements(): void {
    // Loads the next header (byte 20) and the ICMPv6 type (byte 54); accepts 58 and 136.
    const steps: readonly (readonly [number, number, number, number])[] = [
      [0x30, 0, 0, 20],
      [0x15, 0, 3, 58],
      [0x30, 0, 0, 54],
      [0x15, 0, 1, 136],
      [0x06, 0, 0, FRAME_MAX_BYTES],
      [0x06, 0, 0, 0],
    ];
    // `struct sock_fprog` and what it points to in one buffer, so that neither outlives the other.
    const program = Buffer.alloc(FILTER_HEADER_BYTES + steps.length * 8);
    program.writeUInt16LE(steps.length, 0);
    program.writeBigUInt64LE(addressOf(program) + BigInt(FILTER_HEADER_BYTES), 8);
    for (const [step, [code, whenTrue, whenFalse, operand]] of steps.entries()) {
      const at = FILTER_HEADER_BYTES + step * 8;
      program.writeUInt16LE(code, at);
      program.writeUInt8(whenTrue, at + 2);
      program.writeUInt8(whenFalse, at + 3);
      program.writeUInt32LE(operand, at + 4);
    }
    checked(
      "setsockopt",
      libc.setsockopt(this.#socket, SOL_SOCKET, SO_ATTACH_FILTER, program, FILTER_HEADER_BYTES),
      "packet filter",
    );
  }
}

/** `struct sockaddr_ll`, as far as bind and sendto read it. */
function socketAddress(index: number, protocol: number): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(protocol, 2);
  address.writeInt32LE(index, 4);
  address.writeUInt8(6, 11);
  return address;
}

const sameMac = (left: Mac, right: Mac): boolean =>
  left.length === right.length && left.every((byte, index) => byte === right[index]);
