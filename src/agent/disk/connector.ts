/**
 * Gets both sockets to the peer (drbd.md 1.2), on the main thread. Dials and listens at once:
 *
 *   dialled, no data socket yet      -> data socket, P_INITIAL_DATA; the peer is given `connect-int` to dial the meta socket
 *   accepted P_INITIAL_DATA          -> data socket; the meta socket is dialled at once
 *   both there                       -> stability wait, look at both -> up, listening socket closed
 *
 * Crossed (both dialled the same socket): the kernel always keeps the one that it accepted. Here the host with the lower
 * address keeps the one that it dialled, so two Batons agree at once, and so do a kernel and a Baton half of the time;
 * otherwise both sockets are lost, and after a short, random pause all begins anew, as between two kernels.
 */
import { createConnection, type Socket } from "node:net";
import { type BatonError, canonicalIp, parseIp } from "../../base/index.ts";
import {
  closeDescriptor,
  duplicate,
  EAGAIN,
  EINTR,
  nativeMemory,
  sendNow,
} from "../../system/descriptors.ts";
import { addressOf, bindNative, errno, errnoName } from "../../system/ffi.ts";
import { watchReadable } from "../../system/readiness.ts";
import {
  acceptTcp,
  type Endpoint,
  listenTcp,
  peerOf,
  setTcpOptions,
  type TcpOptions,
} from "../../system/tcp.ts";

export interface ConnectorOptions {
  readonly own: Endpoint;
  readonly peer: Endpoint;
  readonly connectIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** 0: as `pingTimeoutMs`. */
  readonly socketCheckTimeoutMs: number;
  /** 0: the system's choice. */
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** Both are up; they belong to the receiver now. */
  readonly onUp: (sockets: ConnectedSockets) => void;
  readonly onNote: (reason: string, detail: string) => void;
}

export interface ConnectedSockets {
  readonly data: number;
  readonly meta: number;
  readonly acceptedMeta: boolean;
}

type Kind = "data" | "meta";
interface Held {
  readonly fd: number;
  readonly accepted: boolean;
  /** Resolves when libuv has let go of the descriptor. */
  unwatch(): Promise<void>;
}

const INITIAL = {
  data: Buffer.from("83740267fff20000", "hex"),
  meta: Buffer.from("83740267fff10000", "hex"),
} as const;
const UNIDENTIFIED_MAX = 4;
const IDENTIFY_MAX_MS = 5_000;
/** After a crossing both sides begin anew: not at the same moment. */
const AGAIN_MIN_MS = 10;
const AGAIN_MAX_MS = 30;
/** A peer that accepts and closes at once, again and again, is not dialled more often than this. */
const AGAIN_LIMIT_MS = 1_000;
const LISTEN_AGAIN_MS = 1_000;
const NOTE_EVERY_MS = 60_000;
const MSG_PEEK_DONTWAIT = 0x42;

const native = bindNative({
  recv: { arguments: ["int32", "pointer", "uint32", "int32"], return: "int32" },
});
/** Kept whole: an address alone does not keep its memory. */
const peeked = nativeMemory(8, false, 8);

/** One attempt after the other, between `start` and `stop`. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #keepsDialled: boolean;
  /** The peer was Baton in an earlier connection: nothing is crossed in the end, so nothing needs to settle. */
  peerIsBaton = false;
  #running = false;
  #held: Partial<Record<Kind, Held>> = {};
  #dialling: Socket | undefined;
  #listener: { readonly fd: number; readonly unwatch: () => Promise<void> } | undefined;
  readonly #unidentified: (() => void)[] = [];
  #dialTimer: NodeJS.Timeout | undefined;
  #listenTimer: NodeJS.Timeout | undefined;
  #checkTimer: NodeJS.Timeout | undefined;
  #losses = 0;
  readonly #noted = new Map<string, number>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#keepsDialled = isLower(options.own, options.peer);
  }

  /** Begins, unless it is at it already. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#losses = 0;
    this.#listen();
    this.#dial();
  }

  /** Closes whatever is open. */
  stop(): void {
    this.#running = false;
    this.#cease();
    for (const kind of ["data", "meta"] as const) this.#drop(kind);
  }

  #cease(): void {
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#listenTimer);
    clearTimeout(this.#checkTimer);
    this.#dialling?.destroy();
    this.#dialling = undefined;
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) void listener.unwatch().then(() => closeDescriptor(listener.fd));
    for (const close of [...this.#unidentified]) close();
  }

  #tcpOptions(): TcpOptions {
    const { sendBufferBytes, receiveBufferBytes } = this.#options;
    return {
      noDelay: true,
      ...(sendBufferBytes === 0 ? {} : { sendBufferBytes }),
      ...(receiveBufferBytes === 0 ? {} : { receiveBufferBytes }),
    };
  }

  #listen(): void {
    try {
      const fd = listenTcp(this.#options.own, this.#tcpOptions());
      this.#listener = { fd, unwatch: watchReadable(fd, () => this.#accept(fd)) };
    } catch (error) {
      this.#note("BTN-DISK-LISTEN-FAILED", (error as Error).message);
      this.#listenTimer = setTimeout(() => this.#listen(), LISTEN_AGAIN_MS);
    }
  }

  #accept(listener: number): void {
    for (let count = 0; count < UNIDENTIFIED_MAX && this.#listener?.fd === listener; count++) {
      const fd = acceptTcp(listener);
      if (fd === undefined) return;
      const from = peerOf(fd)?.address;
      if (from === undefined || canonicalIp(from) !== canonicalIp(this.#options.peer.address)) {
        this.#note("BTN-DISK-STRANGER", `a connection from ${from ?? "nowhere"} was closed`);
        closeDescriptor(fd);
        continue;
      }
      this.#identify(fd);
    }
  }

  /** Reads exactly the first packet: what follows is for the engine. */
  #identify(fd: number): void {
    if (this.#unidentified.length === UNIDENTIFIED_MAX) this.#unidentified[0]?.();
    const head = Buffer.alloc(INITIAL.data.length);
    let have = 0;
    const done = (): Promise<void> => {
      clearTimeout(timer);
      const index = this.#unidentified.indexOf(close);
      if (index !== -1) this.#unidentified.splice(index, 1);
      return unwatch();
    };
    const close = (): void => {
      void done().then(() => closeDescriptor(fd));
    };
    const unwatch = watchReadable(fd, () => {
      const count = native.recv(fd, addressOf(head) + BigInt(have), head.length - have, 0x40);
      if (count === -1 && [EAGAIN, EINTR].includes(errno())) return;
      if (count <= 0) {
        close();
        return;
      }
      have += count;
      if (have < head.length) return;
      const kind = (["data", "meta"] as const).find((each) => INITIAL[each].equals(head));
      if (kind === undefined) {
        close();
        return;
      }
      void done().then(() => this.#accepted(kind, fd));
    });
    const limitMs = Math.min(IDENTIFY_MAX_MS, 4 * this.#options.pingTimeoutMs);
    const timer = setTimeout(close, limitMs);
    this.#unidentified.push(close);
  }

  #accepted(kind: Kind, fd: number): void {
    if (!this.#running) {
      closeDescriptor(fd);
      return;
    }
    const held = this.#held[kind];
    if (held !== undefined && !held.accepted && this.#keepsDialled && isAlive(held.fd)) {
      closeDescriptor(fd);
      return;
    }
    this.#drop(kind);
    this.#hold(kind, fd, true);
    if (kind === "data" && this.#held.meta === undefined) this.#dialIn(0);
  }

  #dialIn(ms: number): void {
    clearTimeout(this.#dialTimer);
    this.#dialTimer = setTimeout(() => this.#dial(), ms);
  }

  #dial(): void {
    if (!this.#running || this.#dialling !== undefined) return;
    if (this.#held.data !== undefined && this.#held.meta !== undefined) return;
    const { own, peer, connectIntervalMs } = this.#options;
    const socket = createConnection({
      host: peer.address,
      port: peer.port,
      localAddress: own.address,
    });
    this.#dialling = socket;
    // Nothing is read here: it is the engine's.
    socket.pause();
    const limit = setTimeout(() => socket.destroy(), connectIntervalMs);
    let fd: number | undefined;
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (!absent.has(error.code ?? "")) this.#note("BTN-DISK-DIAL-FAILED", error.message);
    });
    socket.once("connect", () => {
      // Node closes its own descriptor; the connection stays with ours.
      const handle = (socket as unknown as { _handle: { fd: number } | null })._handle;
      if (handle !== null && this.#dialling === socket) fd = duplicate(handle.fd);
      socket.destroy();
    });
    socket.once("close", () => {
      clearTimeout(limit);
      const ours = this.#dialling === socket;
      if (ours) this.#dialling = undefined;
      if (fd !== undefined && ours && this.#running) this.#dialled(fd);
      else if (fd !== undefined) closeDescriptor(fd);
      else if (ours) this.#dialIn(this.#retryMs());
    });
  }

  #dialled(fd: number): void {
    const { data, meta } = this.#held;
    const kind = data === undefined ? "data" : meta === undefined ? "meta" : undefined;
    if (kind === undefined) {
      closeDescriptor(fd);
      return;
    }
    try {
      setTcpOptions(fd, this.#tcpOptions());
    } catch (error) {
      this.#note("BTN-DISK-DIAL-FAILED", (error as BatonError).message);
    }
    if (sendNow(fd, addressOf(INITIAL[kind]), INITIAL[kind].length) !== INITIAL[kind].length) {
      closeDescriptor(fd);
      this.#again();
      return;
    }
    this.#hold(kind, fd, false);
    // The peer, who accepted the data socket, dials the other one; if it only ever accepts, we do.
    if (this.#held.meta === undefined) this.#dialIn(this.#retryMs());
  }

  #hold(kind: Kind, fd: number, accepted: boolean): void {
    let unwatch: () => Promise<void> = () => Promise.resolve();
    const stop = watchReadable(fd, () => {
      // Bytes are the handshake of a peer who has waited enough: they stay for the engine.
      if (isAlive(fd)) void unwatch();
      else this.#lost(kind, fd);
    });
    let stopped: Promise<void> | undefined;
    unwatch = () => {
      stopped ??= stop();
      return stopped;
    };
    this.#held[kind] = { fd, accepted, unwatch };
    this.#checkLater();
  }

  #checkLater(): void {
    clearTimeout(this.#checkTimer);
    if (this.#held.data === undefined || this.#held.meta === undefined) return;
    clearTimeout(this.#dialTimer);
    const { socketCheckTimeoutMs, pingTimeoutMs } = this.#options;
    const waitMs = this.peerIsBaton ? 0 : socketCheckTimeoutMs || pingTimeoutMs;
    this.#checkTimer = setTimeout(() => this.#check(), waitMs);
  }

  #check(): void {
    const { data, meta } = this.#held;
    if (data === undefined || meta === undefined) return;
    if (!isAlive(data.fd)) {
      this.#lost("data", data.fd);
      return;
    }
    if (!isAlive(meta.fd)) {
      this.#lost("meta", meta.fd);
      return;
    }
    this.#running = false;
    this.#held = {};
    this.#cease();
    const sockets = { data: data.fd, meta: meta.fd, acceptedMeta: meta.accepted };
    void Promise.all([data.unwatch(), meta.unwatch()]).then(() => this.#options.onUp(sockets));
  }

  #lost(kind: Kind, fd: number): void {
    if (this.#held[kind]?.fd !== fd) return;
    this.#drop(kind);
    clearTimeout(this.#checkTimer);
    this.#again();
  }

  #again(): void {
    this.#losses++;
    const pause = AGAIN_MIN_MS + Math.random() * (AGAIN_MAX_MS - AGAIN_MIN_MS);
    this.#dialIn(Math.min(AGAIN_LIMIT_MS, pause * 2 ** Math.max(0, this.#losses - 5)));
  }

  #drop(kind: Kind): void {
    const held = this.#held[kind];
    if (held === undefined) return;
    delete this.#held[kind];
    void held.unwatch().then(() => closeDescriptor(held.fd));
  }

  /** `connect-int`, a seventh more or less. */
  #retryMs(): number {
    const ms = this.#options.connectIntervalMs;
    return ms + (Math.random() < 0.5 ? -1 : 1) * (ms / 7);
  }

  #note(reason: string, detail: string): void {
    const now = Date.now();
    if (now - (this.#noted.get(reason) ?? 0) < NOTE_EVERY_MS) return;
    this.#noted.set(reason, now);
    this.#options.onNote(reason, detail);
  }
}

/** "Not there yet" (drbd.md 1.2). */
const absent: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "EHOSTDOWN",
]);

/** Neither closed by the peer nor failed; what waits to be read stays where it is. */
function isAlive(fd: number): boolean {
  const count = native.recv(fd, peeked.address, 1, MSG_PEEK_DONTWAIT);
  return count > 0 || (count === -1 && ["EAGAIN", "EINTR"].includes(errnoName(errno())));
}

function isLower(own: Endpoint, peer: Endpoint): boolean {
  const order = Buffer.compare(
    parseIp(own.address) ?? Buffer.alloc(0),
    parseIp(peer.address) ?? Buffer.alloc(0),
  );
  return order === 0 ? own.port < peer.port : order < 0;
}
