/**
 * The loop of a disk, for a thread that does nothing else: waits in poll(2), gives what came to the disk core, performs
 * what the core asks for. One round:
 *
 *   poll {event descriptor, FUSE, data socket, meta socket} -> commands of the main thread -> results of helper threads
 *   -> packets (one receive of each socket) -> requests of the application (bounded) -> tick -> send what was collected
 *
 * The core is never entered while its effects are performed: local operations that are done at once come back as events
 * after them. Back-pressure: with a backlog on the data socket or many bytes unanswered no request is read; with a
 * backlog on the meta socket or many bytes not yet on the disk no packet of the data socket is read.
 */
import { assert, type Instant, instant, unreachable } from "../../base/index.ts";
import { FuseChannel } from "../../blockdev/fuse-channel.shell.ts";
import {
  type DeviceRequest,
  fuseErrno,
  REQUEST_BYTES_MAX,
  WRITE_DATA_OFFSET,
} from "../../blockdev/index.ts";
import type { DiskEffect, DiskEvent, SocketName } from "../../replication/index.ts";
import { nativeMemory } from "../../system/descriptors.ts";
import { drainEvent } from "../../system/eventfd.ts";
import { addressOf } from "../../system/ffi.ts";
import { POLL_WAIT_MAX_MS, POLLIN, POLLOUT, PollSet } from "../../system/poll.ts";
import type { Failpoints } from "./failpoints.ts";
import type { LocalDisk } from "./local-disk.ts";
import type { EngineCommand, EngineCore, EngineReport } from "./messages.ts";
import type { PeerSockets } from "./peer-sockets.ts";
import { type SharedWords, word } from "./shared-words.ts";

/** Requests taken in one round. The loop driver has at most 128 under way. */
const REQUESTS_PER_ROUND = 64;
/** Room for small requests of a round, or four of the largest. */
const ARENA_BYTES = 4 * 1_048_576 + 65_536;
/** The data of a write begin on a page. */
const ARENA_START = 4096 - WRITE_DATA_OFFSET;
/** Unanswered writes of the application in bytes: the core may keep that much, as when I/O is frozen. */
const UNANSWERED_MAX_BYTES = 16 * 1_048_576;
/** Data socket: no new request while so much waits to be sent. */
const SEND_BACKLOG_MAX_BYTES = 1_048_576;
/** Meta socket: no more is received while so many acks wait to be sent. */
const ACK_BACKLOG_MAX_BYTES = 65_536;
/** Received and not on the disk. */
const IN_FLIGHT_MAX_BYTES = 16 * 1_048_576;
const PUBLISH_EVERY_MS = 100;
/** Mere counts: blocks out of sync, progress, sectors. The core does not say that they changed. */
const PUBLISH_COUNTS_EVERY_MS = 500;
/** A poll wakes up this often even if nothing happens. */
const POLL_MAX_MS = POLL_WAIT_MAX_MS;

const slot = { event: 0, fuse: 1, data: 2, meta: 3 } as const;

export interface EngineParts {
  readonly core: EngineCore;
  readonly shared: SharedWords;
  readonly eventFd: number;
  readonly failpoints: Failpoints;
  readonly diskName: string;
  readonly makeDisk: (engine: Engine) => LocalDisk;
  readonly makeSockets: (engine: Engine) => PeerSockets;
  /** The next command of the main thread, if there is one. */
  readonly nextCommand: () => EngineCommand | undefined;
  readonly report: (report: EngineReport) => void;
}

interface OpenRequest {
  readonly op: DeviceRequest["op"];
  readonly length: number;
}

/** Runs until the main thread says stop. */
export class Engine {
  readonly #parts: EngineParts;
  readonly #core: EngineCore;
  readonly #shared: SharedWords;
  readonly #failpoints: Failpoints;
  readonly #disk: LocalDisk;
  readonly #sockets: PeerSockets;
  readonly #poll = new PollSet(4);
  readonly #arena = nativeMemory(ARENA_BYTES);
  readonly #requests = new Map<number, OpenRequest>();
  #unansweredBytes = 0;
  #arenaUsed = ARENA_START;
  #channel: FuseChannel | undefined;
  #file = { sectors: 0, writable: false };
  #attempt = 0;
  #stopping = false;
  #progress = 0;
  #changed = false;
  /** Something was done since the last view. */
  #counted = false;
  #publishAt: Instant = instant(0);
  #publishedState: unknown;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#core = parts.core;
    this.#shared = parts.shared;
    this.#failpoints = parts.failpoints;
    this.#disk = parts.makeDisk(this);
    this.#sockets = parts.makeSockets(this);
    this.#poll.watch(slot.event, parts.eventFd, POLLIN);
  }

  /** @throws {AssertionFailure} a bug: the process has to end */
  run(): void {
    this.#changed = true;
    while (!this.#stopping) {
      this.#wait();
      this.#round();
    }
    this.#sockets.close();
    this.#parts.report({ kind: "stopped" });
  }

  /** Gives one event to the core and performs its effects, in order. */
  readonly feed = (event: DiskEvent): void => {
    this.#words[word.engineProgress] = ++this.#progress;
    this.#counted = true;
    const effects = this.#core.step(now(), event);
    for (let index = 0; index < effects.length; index++) {
      this.#perform(effects[index] as DiskEffect);
    }
  };

  /** Before memory that packets may refer to is used anew. */
  readonly settle = (): void => this.#sockets.settleReferences();

  get #words(): Int32Array {
    return this.#shared.words;
  }

  #wait(): void {
    const poll = this.#poll;
    const { dataFd, metaFd, dataBacklog, metaBacklog } = this.#sockets;
    const readRequests =
      dataBacklog < SEND_BACKLOG_MAX_BYTES && this.#unansweredBytes < UNANSWERED_MAX_BYTES;
    poll.watch(slot.fuse, readRequests ? (this.#channel?.fd ?? -1) : -1, POLLIN);
    const readData =
      metaBacklog < ACK_BACKLOG_MAX_BYTES && this.#core.inFlightBytes() < IN_FLIGHT_MAX_BYTES;
    poll.watch(slot.data, dataFd, (readData ? POLLIN : 0) | (dataBacklog > 0 ? POLLOUT : 0));
    poll.watch(slot.meta, metaFd, POLLIN | (metaBacklog > 0 ? POLLOUT : 0));
    Atomics.store(this.#words, word.engineAsleep, 1);
    // After this word is set whoever has a result signals; what came before is seen here.
    poll.wait(this.#disk.hasWork ? 0 : this.#timeoutMs());
    Atomics.store(this.#words, word.engineAsleep, 0);
    this.#words[word.engineProgress] = ++this.#progress;
    if (Atomics.load(this.#words, word.sentryAsleep) === 1) {
      Atomics.store(this.#words, word.sentryAsleep, 0);
      Atomics.notify(this.#words, word.sentryAsleep);
    }
  }

  #timeoutMs(): number {
    const wakeAt = this.#core.wakeAt();
    const publishAt = this.#publishDue();
    if (wakeAt === undefined && publishAt === undefined) return POLL_MAX_MS;
    const at = Math.min(wakeAt ?? Number.POSITIVE_INFINITY, publishAt ?? Number.POSITIVE_INFINITY);
    return Math.min(POLL_MAX_MS, Math.max(0, at - now()));
  }

  #round(): void {
    const poll = this.#poll;
    if (poll.ready(slot.event) !== 0) {
      drainEvent(this.#parts.eventFd);
      this.#takeCommands();
    }
    this.#disk.collect();
    this.#disk.runPending();
    if (poll.ready(slot.meta) !== 0) this.#receive("meta", poll.ready(slot.meta));
    if (poll.ready(slot.data) !== 0) this.#receive("data", poll.ready(slot.data));
    if (poll.ready(slot.fuse) !== 0) this.#takeRequests();
    const wakeAt = this.#core.wakeAt();
    if (wakeAt !== undefined && now() >= wakeAt) {
      this.feed({ kind: "tick" });
      this.#disk.runPending();
    }
    this.#sockets.flush();
    this.#disk.runPending();
    this.#publishIfDue();
  }

  #receive(socket: SocketName, ready: number): void {
    if ((ready & POLLOUT) !== 0) this.#sockets.flushOne(socket);
    if ((ready & ~POLLOUT) !== 0) this.#sockets.receive(socket, () => this.#disk.runPending());
  }

  #takeCommands(): void {
    for (;;) {
      const command = this.#parts.nextCommand();
      if (command === undefined) return;
      switch (command.kind) {
        case "event":
          this.feed(command.event);
          break;
        case "sockets":
          if (command.attempt === this.#attempt) this.#sockets.use(command);
          else this.#sockets.discard(command);
          break;
        case "serve":
          this.#serve(command.fuse);
          break;
        case "release":
          this.#release();
          break;
        case "stop":
          this.#stopping = true;
          return;
        default:
          unreachable(command);
      }
      this.#disk.runPending();
    }
  }

  #serve(fuse: number): void {
    this.#channel = new FuseChannel(fuse, { file: this.#fuseFile() });
    this.#shared.set(word.fuseConnection, fuse);
  }

  #release(): void {
    this.#channel = undefined;
    this.#shared.set(word.fuseConnection, -1);
    this.#requests.clear();
    this.#unansweredBytes = 0;
    this.#parts.report({ kind: "released" });
  }

  #fuseFile(): { name: string; sizeBytes: number; writable: boolean } {
    const { sectors, writable } = this.#file;
    return { name: this.#parts.diskName, sizeBytes: sectors * 512, writable };
  }

  #takeRequests(): void {
    this.#arenaUsed = ARENA_START;
    for (let count = 0; count < REQUESTS_PER_ROUND; count++) {
      const channel = this.#channel;
      if (channel === undefined) return;
      if (this.#arenaUsed + REQUEST_BYTES_MAX > ARENA_BYTES) break;
      const request = channel.read(this.#arena, this.#arenaUsed);
      if (request === "none") break;
      if (request === "gone") {
        this.#fuseLost(channel.lastError);
        break;
      }
      this.#request(request);
      this.#disk.runPending();
      if (this.#unansweredBytes >= UNANSWERED_MAX_BYTES) break;
    }
    // The arena is used anew from its beginning in the next round.
    this.settle();
  }

  #fuseLost(errno: number): void {
    this.#channel = undefined;
    this.#shared.set(word.fuseConnection, -1);
    this.#parts.report({ kind: "fuseLost", errno });
  }

  #request(request: DeviceRequest): void {
    const id = request.unique;
    switch (request.op) {
      case "write": {
        const { offset, length } = request;
        const from = this.#arenaUsed + WRITE_DATA_OFFSET;
        const data = this.#arena.bytes.subarray(from, from + length);
        this.#arenaUsed += Math.ceil((WRITE_DATA_OFFSET + length) / 4096) * 4096;
        this.#requests.set(id, request);
        this.#unansweredBytes += length;
        const sector = offset / 512;
        this.feed({ kind: "request", id, request: { op: "write", sector, data, fua: false } });
        return;
      }
      case "read": {
        const { offset, length } = request;
        this.#requests.set(id, request);
        const sector = offset / 512;
        this.feed({ kind: "request", id, request: { op: "read", sector, bytes: length } });
        return;
      }
      case "flush":
        this.#requests.set(id, { op: "flush", length: 0 });
        this.feed({ kind: "request", id, request: { op: "flush" } });
        return;
      case "zero": {
        const { offset, length, mayUnmap } = request;
        this.#requests.set(id, { op: "zero", length: 0 });
        const sector = offset / 512;
        const sectors = length / 512;
        this.feed({ kind: "request", id, request: { op: "zero", sector, sectors, mayUnmap } });
        return;
      }
      default:
        unreachable(request);
    }
  }

  #answer(effect: Extract<DiskEffect, { readonly kind: "answer" }>): void {
    this.#failpoints.pass("reply");
    const { id } = effect;
    const request = this.#requests.get(id);
    const channel = this.#channel;
    // The device is gone, and whoever asked has got an error.
    if (request === undefined || channel === undefined) return;
    this.#requests.delete(id);
    if (request.op === "write") this.#unansweredBytes -= request.length;
    if (!effect.ok) channel.reply(id, fuseErrno[effect.errno]);
    else if (request.op === "write") channel.replyWritten(id, request.length);
    else if (request.op === "read") {
      const { data } = effect;
      assert(data !== undefined && data.length === request.length, "A read is answered in full");
      channel.replyData(id, addressOf(data), data.length);
    } else channel.reply(id, 0);
  }

  #perform(effect: DiskEffect): void {
    switch (effect.kind) {
      case "localWrite":
        // The peer copies while we do.
        if (effect.data.length > 65_536) this.#sockets.flushOne("data");
        this.#disk.write(effect);
        return;
      case "localRead":
        this.#disk.read(effect);
        return;
      case "localDiscard":
      case "localZero":
        this.#disk.range(effect);
        return;
      case "localFlush":
        this.#disk.flush(effect.io);
        return;
      case "metadata":
        this.#disk.metadata(effect);
        return;
      case "readMetadata":
        this.#disk.attach();
        return;
      case "closeBacking":
        this.#disk.close();
        return;
      case "send":
        this.#sockets.send(effect.socket, effect.packet);
        return;
      case "agreed":
        this.#sockets.agree(effect);
        return;
      case "answer":
        this.#answer(effect);
        return;
      case "changed":
        this.#changed = true;
        return;
      case "establish":
        this.#attempt++;
        this.#parts.report({ kind: "establish", attempt: this.#attempt });
        return;
      case "hangUp":
        this.#attempt++;
        this.#sockets.hangUp();
        this.#parts.report({ kind: "hangUp" });
        return;
      case "device":
        this.#file = effect;
        this.#channel?.setFile(this.#fuseFile());
        this.#parts.report(effect);
        return;
      default:
        // What follows from a change is told after the change itself.
        this.#publish();
        this.#parts.report(effect);
    }
  }

  /** When the view must next be told even if nothing happens. */
  #publishDue(): Instant | undefined {
    if (this.#changed) return this.#publishAt;
    return this.#counted ? instant(this.#publishAt + PUBLISH_COUNTS_EVERY_MS) : undefined;
  }

  #publishIfDue(): void {
    const due = this.#publishDue();
    if (due === undefined) return;
    const urgent = this.#changed && this.#core.state !== this.#publishedState;
    if (!urgent && now() < due) return;
    this.#changed = true;
    this.#publish();
  }

  #publish(): void {
    if (!this.#changed) return;
    const at = now();
    const view = this.#core.view(at);
    this.#changed = false;
    this.#counted = false;
    this.#publishAt = instant(at + PUBLISH_EVERY_MS);
    this.#publishedState = this.#core.state;
    const { batonPeer } = this.#core;
    this.#parts.report({ kind: "view", view, batonPeer, asking: this.#core.asking() });
  }
}

const now = (): Instant => instant(Number(process.hrtime.bigint()) / 1e6);
