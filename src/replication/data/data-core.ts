/**
 * The data path of one replicated disk: requests, epochs, acks, bitmap exchange, resync, verify. `control/` owns the states
 * and calls in; what happens is told as effects and notices (`DataHost`). Notices go out last in each call, so control may
 * answer them with a change of state at once.
 */
import { earliest, type Instant, after as later } from "../../base/index.ts";
import type {
  ApplicationRequest,
  AttachedMetadata,
  DeviceState,
  DiskCounters,
  ResyncView,
  SocketName,
} from "../contract.ts";
import type { ResyncOptions } from "../options.ts";
import type { DataHost, DataPath, DiskCoreOptions, Session } from "../shared.ts";
import { type BlockAckPacket, type Packet, SYNCER_ID } from "../wire/packets.ts";
import { BitmapExchange } from "./bitmap-exchange.ts";
import { DataContext, type Standing, standingOf } from "./context.ts";
import { DiskMetadata } from "./disk-metadata.ts";
import { Reader } from "./reader.ts";
import { Receiver } from "./receiver.ts";
import type { Owner, PagesPurpose } from "./records.ts";
import { ResyncSource } from "./resync-source.ts";
import { ResyncTarget } from "./resync-target.ts";
import { Verify } from "./verify.ts";
import { Writer } from "./writer.ts";

/** Bitmap pages go to the disk this often while a resync clears them. */
const pagesEveryMs = 2_000;

/** Implements `DataPath`; see README.md for the states of a request. */
export class DataCore implements DataPath {
  readonly #ctx: DataContext;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #receiver: Receiver;
  readonly #exchange: BitmapExchange;
  readonly #target: ResyncTarget;
  readonly #source: ResyncSource;
  readonly #verify: Verify;
  #resyncOptions: ResyncOptions;
  #pagesAt: Instant | undefined;
  #awaitsPages = false;
  #toldDiskTimeout = false;

  constructor(options: DiskCoreOptions, host: DataHost) {
    const ctx = new DataContext(options, host);
    this.#ctx = ctx;
    this.#resyncOptions = options.spec.disk.resync;
    this.#reader = new Reader(ctx, () => this.#writer);
    this.#writer = new Writer(ctx, (read) => this.#reader.start(read));
    this.#receiver = new Receiver(ctx);
    this.#exchange = new BitmapExchange(ctx);
    const resyncOptions = () => this.#resyncOptions;
    this.#target = new ResyncTarget(ctx, resyncOptions);
    this.#source = new ResyncSource(ctx, resyncOptions);
    this.#verify = new Verify(ctx, resyncOptions);
    ctx.resume = (owner) => this.#resume(owner);
    ctx.pagesDurable = (purpose) => this.#pagesDurable(purpose);
  }

  // -- the disk ---------------------------------------------------------------------------------------------------

  attached(found: AttachedMetadata, now: Instant): void {
    this.#ctx.now = now;
    this.#ctx.metadata = new DiskMetadata(this.#ctx, found);
    this.#toldDiskTimeout = false;
    this.#finish();
  }

  resized(before: number, after: number, now: Instant): void {
    this.#ctx.now = now;
    const { metadata } = this.#ctx;
    if (metadata === undefined || metadata.bits.sectors === after) return;
    metadata.bits.resize(after, before > 0 && after > before);
    metadata.writePages("none");
    this.#finish();
  }

  setAllBits(now: Instant): void {
    this.#ctx.now = now;
    this.#ctx.metadata?.bits.setAll();
    this.#ctx.metadata?.writePages("none");
    this.#finish();
  }

  clearAllBits(now: Instant): void {
    this.#ctx.now = now;
    this.#ctx.metadata?.bits.clearAll();
    this.#ctx.metadata?.writePages("none");
    this.#finish();
  }

  dirtyBlocks(): number {
    return this.#ctx.metadata?.bits.count ?? 0;
  }

  failedBlocks(): number {
    return this.#target.active ? this.#target.failedBlocks : this.#source.failedBlocks;
  }

  verifyRange(start: number | undefined, stop: number | undefined): void {
    this.#verify.range(start, stop);
  }

  resyncOptions(options: ResyncOptions): void {
    this.#resyncOptions = options;
    this.#target.newOptions();
    this.#verify.newOptions();
  }

  // -- the state ----------------------------------------------------------------------------------------------------

  sessionBegan(session: Session): void {
    this.#ctx.beginSession(session);
    this.#receiver.begin();
  }

  stateChanged(before: DeviceState, after: DeviceState, now: Instant): void {
    const ctx = this.#ctx;
    const was = ctx.standing;
    ctx.now = now;
    ctx.state = after;
    ctx.standing = standingOf(after);
    if (after.disk === "Diskless" && ctx.metadata !== undefined) this.#diskGone();
    if (was.connected && !ctx.standing.connected) this.#connectionLost();
    this.#settleReplication(was);
    this.#followResync(before, after);
    if (before.role !== "Primary" && after.role === "Primary") this.#target.lockAsked();
    if (before.role === "Primary" && after.role !== "Primary") ctx.metadata?.writePages("none");
    this.#reader.reconsider();
    this.#writer.reconsider();
    this.#finish();
  }

  /** Nothing of the disk comes back any more. */
  #diskGone(): void {
    const ctx = this.#ctx;
    const waiting = ctx.metadata?.abandon() ?? [];
    ctx.metadata = undefined;
    const owners = [...ctx.ios.values()];
    ctx.ios.clear();
    ctx.count.localPending = 0;
    if (this.#awaitsPages) {
      this.#awaitsPages = false;
      ctx.notice({ kind: "drained" });
    }
    for (const owner of owners) this.#done(owner, false, undefined);
    for (const owner of waiting) this.#resume(owner);
  }

  #connectionLost(): void {
    const ctx = this.#ctx;
    ctx.endSession();
    this.#exchange.end();
    this.#target.end();
    this.#verify.end();
    this.#source.lost();
    if (ctx.standing.suspended) this.#writer.park();
    else this.#writer.lose();
    this.#receiver.lost();
    this.#reader.lost();
    ctx.metadata?.writePages("none");
  }

  /** Epochs end where replication begins or ends; what was parked is decided once I/O goes on. */
  #settleReplication(was: Standing): void {
    const { standing } = this.#ctx;
    if (this.#writer.parked && !standing.suspended) {
      if (standing.connected && standing.replicate) this.#writer.resendAll();
      else this.#writer.lose();
    }
    if (was.replicate !== standing.replicate) this.#writer.closeEpoch();
  }

  #followResync(before: DeviceState, after: DeviceState): void {
    const ctx = this.#ctx;
    const from = before.conn;
    const to = after.conn;
    if (isTarget(from) && !isTarget(to)) {
      this.#target.end();
      ctx.metadata?.writePages("none");
    }
    if (isSource(from) && !isSource(to)) {
      this.#source.end();
      ctx.metadata?.writePages("none");
    }
    if (from !== to && (from === "VerifyS" || from === "VerifyT")) this.#verify.end();
    if (from !== to && (to === "WFBitMapS" || to === "WFBitMapT")) {
      if (this.#writer.parked) this.#writer.markParked();
      if (to === "WFBitMapS") this.#exchange.beginAsSource();
      else this.#exchange.beginAsTarget();
    }
    if (isSource(to) && !isSource(from)) this.#source.begin();
    if (isTarget(to)) {
      if (!isTarget(from)) this.#target.begin();
      this.#target.run(to === "SyncTarget");
    }
    if (from !== to && to === "VerifyS") this.#verify.beginAsSource();
    if (from !== to && to === "VerifyT") this.#verify.beginAsTarget();
    if (from !== to && (from === "Ahead" || to === "Ahead")) {
      this.#writer.congestionChanged(to === "Ahead");
    }
    const resyncs = this.#target.active || this.#source.active;
    if (!resyncs) this.#pagesAt = undefined;
    else this.#pagesAt ??= later(ctx.now, pagesEveryMs);
  }

  // -- what comes in ------------------------------------------------------------------------------------------------

  request(id: number, request: ApplicationRequest, now: Instant): void {
    this.#ctx.now = now;
    if (request.op === "read") this.#reader.request(id, request.sector, request.bytes);
    else this.#writer.request(id, request);
    this.#finish();
  }

  packet(socket: SocketName, packet: Packet, now: Instant): void {
    const ctx = this.#ctx;
    ctx.now = now;
    if (ctx.violated || !ctx.standing.connected) return;
    if (socket === "data") this.#dataPacket(packet);
    else this.#metaPacket(packet);
    this.#finish();
  }

  #dataPacket(packet: Packet): void {
    switch (packet.command) {
      case "P_DATA":
      case "P_TRIM":
      case "P_ZEROES":
      case "P_WSAME":
        this.#receiver.data(packet);
        return;
      case "P_BARRIER":
        this.#receiver.barrier(packet);
        return;
      case "P_DATA_REQUEST":
        this.#reader.serve(packet);
        return;
      case "P_DATA_REPLY":
        this.#reader.reply(packet);
        return;
      case "P_RS_DATA_REPLY":
        this.#target.reply(packet);
        return;
      case "P_RS_DEALLOCATED":
        this.#target.deallocated(packet);
        return;
      case "P_RS_DATA_REQUEST":
        this.#source.serve(packet, "data");
        return;
      case "P_RS_THIN_REQ":
        this.#source.serve(packet, "thin");
        return;
      case "P_CSUM_RS_REQUEST":
        this.#source.serve(packet, "checksum");
        return;
      case "P_OV_REQUEST":
        this.#verify.asked(packet);
        this.#source.serve(packet, "verify");
        return;
      case "P_OV_REPLY":
        this.#verify.reply(packet);
        return;
      case "P_BITMAP":
      case "P_COMPRESSED_BITMAP":
        this.#exchange.packet(packet);
        return;
      case "P_OUT_OF_SYNC":
        this.#exchange.outOfSync(packet);
        return;
      case "P_UNPLUG_REMOTE":
      case "P_DELAY_PROBE":
        return;
      default:
        this.#unexpected(packet);
    }
  }

  #metaPacket(packet: Packet): void {
    switch (packet.command) {
      case "P_WRITE_ACK":
      case "P_RECV_ACK":
      case "P_SUPERSEDED":
      case "P_RETRY_WRITE":
        this.#writer.ack(packet);
        return;
      case "P_RS_WRITE_ACK":
      case "P_NEG_ACK":
        isOfResync(packet) ? this.#source.confirmed(packet) : this.#writer.ack(packet);
        return;
      case "P_BARRIER_ACK":
        this.#writer.barrierAck(packet);
        return;
      case "P_NEG_DREPLY":
        this.#reader.refused(packet);
        return;
      case "P_NEG_RS_DREPLY":
        this.#verify.refused(packet) ? undefined : this.#target.refused(packet);
        return;
      case "P_OV_RESULT":
        this.#verify.result(packet);
        return;
      case "P_RS_IS_IN_SYNC":
        this.#target.inSync(packet);
        return;
      case "P_RS_CANCEL":
        this.#target.cancelled(packet);
        return;
      case "P_DELAY_PROBE":
        return;
      default:
        this.#unexpected(packet);
    }
  }

  #unexpected(packet: Packet): void {
    this.#ctx.violation(
      "BTN-DISK-DATA-UNEXPECTED",
      `${packet.command} in the state ${this.#ctx.conn}`,
    );
  }

  ioDone(io: number, ok: boolean, data: Uint8Array | undefined, now: Instant): void {
    const ctx = this.#ctx;
    ctx.now = now;
    const owner = ctx.ios.get(io);
    // Of a disk that was given up meanwhile.
    if (owner === undefined) return;
    ctx.ios.delete(io);
    ctx.ioEnded(io, ok);
    ctx.count.localPending -= 1;
    this.#done(owner, ok, data);
    this.#finish();
  }

  #done(owner: Owner, ok: boolean, data: Uint8Array | undefined): void {
    switch (owner.kind) {
      case "appWrite":
        this.#writer.localDone(owner, ok);
        return;
      case "appRead":
        this.#reader.localDone(owner, ok, data);
        return;
      case "appFlush":
        this.#writer.flushDone(owner, ok);
        return;
      case "rereadWrite":
        this.#writer.rereadDone(owner, ok, data);
        return;
      case "peerWrite":
        this.#receiver.ioDone(owner, ok);
        return;
      case "peerRead":
        this.#reader.peerDone(owner, ok, data);
        return;
      case "epochFlush":
        this.#receiver.flushDone(owner, ok);
        return;
      case "resyncRead":
        this.#source.readDone(owner, ok, data);
        return;
      case "resyncAsk":
        this.#target.ioDone(owner, ok, data);
        return;
      case "verifyRead":
        this.#verify.readDone(owner, ok, data);
        return;
      case "pagesFlush":
        this.#ctx.metadata?.flushed(owner, ok);
    }
  }

  /** Somebody who waited for the activity log or for a range. */
  #resume(owner: Owner): void {
    if (owner.kind === "appWrite") this.#writer.resume(owner);
    else if (owner.kind === "peerWrite") this.#receiver.resume(owner);
    else if (owner.kind === "appRead") this.#reader.again(owner);
    else if (owner.kind === "peerRead") this.#reader.resumePeer(owner);
    else if (owner.kind === "resyncRead") this.#source.resume(owner);
    else if (owner.kind === "resyncAsk") this.#target.resume(owner);
  }

  metadataDone(token: number, ok: boolean, now: Instant): void {
    this.#ctx.now = now;
    this.#ctx.metadata?.metadataDone(token, ok);
    this.#finish();
  }

  #pagesDurable(purpose: PagesPurpose): void {
    if (purpose === "exchanged") this.#exchange.durable();
    if (purpose === "resyncEnd") this.#target.durable();
    if (this.#ctx.metadata?.isWritingPages === true) return;
    this.#target.pagesWritten();
    if (this.#awaitsPages) {
      this.#awaitsPages = false;
      this.#ctx.notice({ kind: "drained" });
    }
  }

  // -- time -----------------------------------------------------------------------------------------------------------

  tick(now: Instant): void {
    const ctx = this.#ctx;
    ctx.now = now;
    this.#target.tick();
    this.#verify.tick();
    this.#source.tick();
    this.#writer.tick();
    if (this.#pagesAt !== undefined && now >= this.#pagesAt) {
      this.#pagesAt = later(now, pagesEveryMs);
      ctx.metadata?.writePages("none");
    }
    const timeout = this.#diskTimeoutAt();
    if (timeout !== undefined && now >= timeout) {
      this.#toldDiskTimeout = true;
      ctx.ioError("write", 0, "the disk did not answer within disk-timeout");
    }
    this.#finish();
  }

  wakeAt(): Instant | undefined {
    return earliest(
      this.#target.wakeAt(),
      this.#verify.wakeAt(),
      this.#source.wakeAt(),
      this.#writer.wakeAt(),
      this.#pagesAt,
      this.#diskTimeoutAt(),
    );
  }

  /** When the oldest local I/O will have taken too long. */
  #diskTimeoutAt(): Instant | undefined {
    const { diskTimeoutMs } = this.#ctx.options.spec.disk;
    if (diskTimeoutMs === 0 || this.#toldDiskTimeout) return undefined;
    const oldest = this.#ctx.ios.values().next().value;
    return oldest === undefined ? undefined : later(oldest.startedAt, diskTimeoutMs);
  }

  // -- what can be asked ------------------------------------------------------------------------------------------------

  /**
   * Also that the data and every dirty page of the bitmap are durable: without the mark "Primary" in the superblock nobody looks at
   * the activity log after a crash. If not, `drained` is told once it is so.
   */
  drained(): boolean {
    const { metadata } = this.#ctx;
    if (!this.#writer.idle) {
      this.#writer.awaitsDrain = true;
      return false;
    }
    if (metadata?.hasUnflushed === true) metadata.flushAndWritePages("drained");
    else metadata?.writePages("drained");
    if (metadata?.isWritingPages !== true) return true;
    this.#awaitsPages = true;
    this.#finish();
    return false;
  }

  /** Bytes of peer writes and resync replies that are not yet on the disk: the engine stops reading while it is large. */
  inFlightBytes(): number {
    return this.#receiver.inFlightBytes + this.#target.inFlightBytes;
  }

  counters(): DiskCounters {
    const { count, metadata } = this.#ctx;
    return {
      networkSent: count.sent,
      networkReceived: count.received,
      diskWritten: count.written,
      diskRead: count.read,
      activityLogWrites: metadata?.logWrites ?? 0,
      bitmapWrites: metadata?.bitmapWrites ?? 0,
      localPending: count.localPending,
      peerPending: count.peerPending + this.#writer.acksDue,
      unacknowledged: count.unacknowledged,
      applicationPending: this.#writer.pending,
      epochs: this.#receiver.epochs,
    };
  }

  resyncView(now: Instant): ResyncView | null {
    return this.#target.view(now) ?? this.#source.view(now) ?? this.#verify.view(now);
  }

  /** Tells control what happened, when everything is as it should be. It may call in again from there. */
  #finish(): void {
    for (let next = this.#ctx.takeNotice(); next !== undefined; next = this.#ctx.takeNotice()) {
      this.#ctx.host.notice(next);
    }
  }
}

const isTarget = (conn: DeviceState["conn"]): boolean =>
  conn === "SyncTarget" || conn === "PausedSyncT";
const isSource = (conn: DeviceState["conn"]): boolean =>
  conn === "SyncSource" || conn === "PausedSyncS";
const isOfResync = (packet: BlockAckPacket): boolean =>
  packet.idHigh === SYNCER_ID && packet.idLow === SYNCER_ID;
