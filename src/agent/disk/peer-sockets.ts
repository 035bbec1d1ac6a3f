/**
 * Both sockets to the peer, for the engine thread: packets in and out. The meta socket is shared with the sentry, which
 * takes over what arrives while the engine is stuck: each use of it is under a lock that nobody holds for long.
 */
import type { DiskEffect, DiskEvent, Packet, SocketName } from "../../replication/index.ts";
import {
  digestBytes,
  HEAD_MAX,
  PacketReader,
  payloadOf,
  putHead,
  READER_BYTES,
  type WireSession,
} from "../../replication/index.ts";
import {
  closeDescriptor,
  EAGAIN,
  EINTR,
  type NativeMemory,
  nativeMemory,
  receiveNow,
} from "../../system/descriptors.ts";
import { errnoName } from "../../system/ffi.ts";
import { shutDownTcp } from "../../system/tcp.ts";
import type { Failpoints } from "./failpoints.ts";
import type { EngineCommand } from "./messages.ts";
import { BACKLOG_MAX_BYTES, OutQueue } from "./out-queue.ts";
import { type SharedWords, word } from "./shared-words.ts";

/** Of the data socket at once: acks of the first packets are not held up for longer. */
const RECEIVE_BYTES = 1_048_576 + 65_536;
/** Well below what the queue has room for. */
const META_QUEUE_BYTES = 262_144;

export interface PeerSocketsOptions {
  readonly shared: SharedWords;
  readonly failpoints: Failpoints;
  readonly feed: (event: DiskEvent) => void;
}

interface End {
  readonly out: OutQueue;
  readonly memory: NativeMemory;
  fd: number;
  reader: PacketReader;
}

/** Closed until `use`; closed again by `hangUp` or by a failure, which is told to the core. */
export class PeerSockets {
  readonly #options: PeerSocketsOptions;
  readonly #ends: Readonly<Record<SocketName, End>>;
  #session: WireSession | undefined;
  /** Found while the core's effects were performed; told after them. */
  #failure: { readonly reason: string; readonly detail: string } | undefined;
  /** The socket did not take everything; the core is told when it has. */
  #congested = false;

  constructor(options: PeerSocketsOptions) {
    this.#options = options;
    this.#ends = { data: newEnd("data"), meta: newEnd("meta") };
  }

  get dataFd(): number {
    return this.#ends.data.fd;
  }
  get metaFd(): number {
    return this.#ends.meta.fd;
  }
  get dataBacklog(): number {
    return this.#ends.data.out.backlogBytes;
  }
  get metaBacklog(): number {
    return this.#ends.meta.out.backlogBytes;
  }

  /** Both sockets are up. */
  use(command: Extract<EngineCommand, { readonly kind: "sockets" }>): void {
    this.close();
    this.#session = undefined;
    this.#failure = undefined;
    this.#congested = false;
    for (const socket of ["data", "meta"] as const) {
      const end = this.#ends[socket];
      end.fd = command[socket];
      end.out.use(end.fd);
      end.reader = new PacketReader(socket, end.memory.bytes as Buffer<ArrayBuffer>);
    }
    this.#options.shared.set(word.dataSocket, this.#ends.data.fd);
    this.#options.shared.set(word.metaSocketAlways, this.#ends.meta.fd);
    this.#options.feed({ kind: "socketsUp", acceptedMeta: command.acceptedMeta });
  }

  /** Sockets that come too late: nobody wants them any more. */
  discard({ data, meta }: { readonly data: number; readonly meta: number }): void {
    closeDescriptor(data);
    closeDescriptor(meta);
  }

  /** From here on headers have 16 bytes. */
  agree({ version, features, integrity }: Extract<DiskEffect, { readonly kind: "agreed" }>): void {
    const session = { version, features, digestBytes: digestBytes(integrity) ?? 0 };
    this.#session = session;
    for (const end of Object.values(this.#ends)) end.reader.agree(session);
  }

  send(socket: SocketName, packet: Packet): void {
    this.#options.failpoints.pass("send");
    const { out } = this.#ends[socket];
    // So that adding never has to write to the meta socket, which needs the lock.
    if (socket === "meta" && out.queuedBytes > META_QUEUE_BYTES) this.flushOne("meta");
    const session = this.#session;
    const result = out.add((into, at) => putHead(into, at, packet, session), payloadOf(packet));
    if (result < 0) this.#failed(socket, "send", result);
  }

  /** Sends what was collected; tells the core what has failed meanwhile. */
  flush(): void {
    this.flushOne("data");
    this.flushOne("meta");
    this.#tellCongestion();
    this.#tellFailure();
  }

  flushOne(socket: SocketName): void {
    const { out } = this.#ends[socket];
    if (out.queuedBytes === 0) return;
    const { shared } = this.#options;
    if (socket === "meta") shared.lockMeta(1);
    const result = out.settle();
    if (socket === "meta") {
      this.#offerMeta();
      shared.unlockMeta();
    }
    if (result < 0) this.#failed(socket, "send", result);
    else if (out.backlogBytes > BACKLOG_MAX_BYTES) this.#failed(socket, "send", -EAGAIN);
  }

  /** Before memory is used anew that a payload of the data socket may lie in. */
  settleReferences(): void {
    const result = this.#ends.data.out.settleReferences();
    if (result < 0) this.#failed("data", "send", result);
  }

  /** Receives once, and gives every whole packet to the core. @param between is called after each */
  receive(socket: SocketName, between: () => void): void {
    if (socket === "data") this.settleReferences();
    const count = socket === "meta" ? this.#receiveMeta() : this.#receiveInto(this.#ends.data);
    if (count === 0) this.#failed(socket, "receive", 0);
    else if (count < 0 && count !== -EAGAIN && count !== -EINTR) {
      this.#failed(socket, "receive", count);
    }
    this.#takePackets(socket, between);
    // What came too early on the meta socket waits for `agree`, which comes on the data socket.
    if (socket === "data" && this.#ends.meta.reader.pending > 0) this.#takePackets("meta", between);
    this.#tellFailure();
  }

  /** What was said last still goes out; then both ends are closed. */
  hangUp(): void {
    this.flushOne("data");
    this.flushOne("meta");
    this.close();
    this.#failure = undefined;
  }

  close(): void {
    const { shared } = this.#options;
    if (this.dataFd === -1) return;
    shared.lockMeta(1);
    for (const index of [word.metaSocket, word.dataSocket, word.metaSocketAlways]) {
      shared.set(index, -1);
    }
    shared.set(word.takenOver, 0);
    for (const end of Object.values(this.#ends)) {
      end.out.use(-1);
      closeSocketInPeace(end.fd);
      end.fd = -1;
    }
    this.#session = undefined;
    shared.unlockMeta();
  }

  #takePackets(socket: SocketName, between: () => void): void {
    const end = this.#ends[socket];
    const { reader } = end;
    if (socket === "meta") {
      // All at once: then nothing is cut, and the sentry may use the socket while the core works.
      const packets: Packet[] = [];
      for (let next = reader.next(); next !== undefined; next = reader.next()) packets.push(next);
      this.#offerMeta();
      for (const packet of packets) {
        this.#options.feed({ kind: "packet", socket, packet });
        between();
        if (end.reader !== reader || end.fd === -1) return;
      }
    } else {
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        this.#options.feed({ kind: "packet", socket, packet: next });
        between();
        if (end.reader !== reader || end.fd === -1) return;
      }
    }
    const { fault } = reader;
    if (fault !== undefined) this.#failure ??= { reason: fault.code, detail: fault.message };
  }

  #receiveInto(end: End): number {
    const space = end.reader.space();
    const address = end.memory.address + BigInt(space.byteOffset - end.memory.bytes.byteOffset);
    const count = receiveNow(end.fd, address, Math.min(space.length, RECEIVE_BYTES));
    if (count > 0) end.reader.received(count);
    return count;
  }

  #receiveMeta(): number {
    const { shared } = this.#options;
    const end = this.#ends.meta;
    shared.lockMeta(1);
    shared.set(word.metaSocket, -1);
    const over = shared.get(word.takenOver);
    if (over > 0) {
      end.reader.space().set(shared.takenOver.subarray(0, over));
      end.reader.received(over);
      shared.set(word.takenOver, 0);
    }
    const count = this.#receiveInto(end);
    shared.unlockMeta();
    return over > 0 && count <= 0 && count !== 0 ? over : count;
  }

  /** The sentry may use the meta socket while nothing is cut in the middle, in either direction. */
  #offerMeta(): void {
    const { out, reader, fd } = this.#ends.meta;
    const whole = this.#session !== undefined && out.backlogBytes === 0 && reader.pending === 0;
    this.#options.shared.set(word.metaSocket, whole ? fd : -1);
  }

  #failed(socket: SocketName, action: "send" | "receive", result: number): void {
    const why = result === 0 ? "the peer has closed it" : errnoName(-result);
    this.#failure ??= {
      reason: result === 0 ? "BTN-DISK-PEER-CLOSED" : "BTN-DISK-SOCKET-FAILED",
      detail: `${action} on the ${socket} socket: ${why}`,
    };
  }

  #tellFailure(): void {
    const failure = this.#failure;
    if (failure === undefined || this.dataFd === -1) return;
    this.#failure = undefined;
    this.close();
    this.#options.feed({ kind: "socketsLost", ...failure });
  }

  #tellCongestion(): void {
    const left = this.#ends.data.out.queuedBytes;
    if (left > 0) this.#congested = true;
    else if (this.#congested) {
      this.#congested = false;
      this.#options.feed({ kind: "sent", queuedBytes: 0 });
    }
  }
}

function newEnd(socket: SocketName): End {
  const memory = nativeMemory(READER_BYTES[socket]);
  return {
    out: new OutQueue(HEAD_MAX),
    memory,
    fd: -1,
    reader: new PacketReader(socket, memory.bytes as Buffer<ArrayBuffer>),
  };
}

/** The peer gets what was sent: a close with unread bytes would reset the connection and take it away again. */
function closeSocketInPeace(fd: number): void {
  try {
    shutDownTcp(fd, "send");
  } catch {
    // It is closed right after: the error is the same.
  }
  closeDescriptor(fd);
}
