/**
 * Writes, discards, zero-outs and flushes of the application (drbd.md 3.1, 3.2, 3.10). README.md has the table of states.
 *
 * Order of one write: gate -> activity log durable -> no overlap -> bits, local write, P_DATA -> acks -> answer ->
 * barrier ack -> bits settled, extents released.
 */
import { type Instant, instant } from "../../base/index.ts";
import type { ApplicationRequest } from "../contract.ts";
import { type BarrierAckPacket, type BlockAckPacket, dataFlag, feature } from "../wire/packets.ts";
import { type DataContext, MAX_DATA_BYTES, MAX_RANGE_BYTES } from "./context.ts";
import {
  type AppFlush,
  type AppRead,
  type AppWrite,
  type Leg,
  leg,
  type SplitRequest,
} from "./records.ts";
import { Slots } from "./slots.ts";
import { isSafeRemotely, TransferLog } from "./transfer-log.ts";

/** Discards for a peer without FF_WSAME are this large at most (drbd.md 1.6). */
const oldRangeBytes = 4 * 1024 * 1024;
const congestionOverAfterMs = 1_000;
const zeroes = new Uint8Array(MAX_DATA_BYTES);

type Gated = AppWrite | AppRead | AppFlush;

/** Also keeps the gate for reads, so that order is kept there. */
export class Writer {
  readonly slots = new Slots<AppWrite | AppRead>();
  readonly log: TransferLog;
  readonly #ctx: DataContext;
  /** Starts a read that was held at the gate. */
  readonly #startRead: (read: AppRead) => void;
  /** First come first served: once one waits, all behind it do. */
  #gated: Gated[] = [];
  /** Writes for which neither disk has data; they wait for another state. */
  #starved: AppWrite[] = [];
  /** Writes in order of arrival; answered ones are skipped when they reach the head. */
  #open: AppWrite[] = [];
  #openHead = 0;
  #ordinal = 0;
  #flushes: AppFlush[] = [];
  /** The connection was lost while suspended: nothing in the log is decided. */
  #parked = false;
  /** Writes that are being sent once more, in order; reads back what is on the disk. */
  #resend: AppWrite[] = [];
  #opening = false;
  #congested = false;
  #calmSince: Instant | undefined;
  /** Application requests that are not answered. */
  pending = 0;
  /** Replicated writes for which an ack is due. */
  acksDue = 0;

  constructor(ctx: DataContext, startRead: (read: AppRead) => void) {
    this.#ctx = ctx;
    this.#startRead = startRead;
    this.log = new TransferLog(ctx.options.spec.net.maxEpochSize);
  }

  // -- requests -------------------------------------------------------------------------------------------------

  request(id: number, request: Exclude<ApplicationRequest, { op: "read" }>): void {
    const ctx = this.#ctx;
    if (request.op === "flush") {
      this.pending += 1;
      this.#enter({
        kind: "appFlush",
        id,
        ordinal: this.#ordinal,
        epoch: -1,
        local: "waiting",
        startedAt: ctx.now,
      });
      return;
    }
    if (ctx.state.role !== "Primary") {
      this.#refuse(id, "EROFS");
      return;
    }
    const sectors = request.op === "write" ? request.data.length / 512 : request.sectors;
    const { sector } = request;
    if (!(Number.isInteger(sectors) && sectors > 0 && sector >= 0)) {
      this.#refuse(id, "EINVAL");
      return;
    }
    if (sector + sectors > ctx.host.sectors) {
      this.#refuse(id, "ENOSPC");
      return;
    }
    this.pending += 1;
    const most = request.op === "write" ? MAX_DATA_BYTES / 512 : this.#mostRangeSectors();
    if (sectors <= most) {
      this.#enter(this.#write(id, request, sector, sector + sectors, undefined));
      return;
    }
    const parent: SplitRequest = { id, left: Math.ceil(sectors / most), failed: false };
    for (let at = sector; at < sector + sectors; at += most) {
      const end = Math.min(at + most, sector + sectors);
      this.#enter(this.#write(id, request, at, end, parent, (at - sector) * 512));
    }
  }

  /** Puts a read behind what waits at the gate already. False: the gate is open, it may start. */
  holdRead(read: AppRead): boolean {
    if (this.#gated.length === 0 && this.#isOpen()) return false;
    this.#gated.push(read);
    return true;
  }

  #write(
    id: number,
    request: Exclude<ApplicationRequest, { op: "read" | "flush" }>,
    sector: number,
    end: number,
    parent: SplitRequest | undefined,
    offset = 0,
  ): AppWrite {
    this.#ordinal += 1;
    const isWrite = request.op === "write";
    const whole = isWrite && parent === undefined;
    const write: AppWrite = {
      kind: "appWrite",
      id,
      op: request.op,
      sector,
      end,
      waiters: undefined,
      fua: isWrite && request.fua,
      mayUnmap: request.op === "discard" || (request.op === "zero" && request.mayUnmap),
      data: whole
        ? request.data
        : isWrite
          ? request.data.subarray(offset, offset + (end - sector) * 512)
          : undefined,
      owned: false,
      slot: -1,
      generation: 0,
      ordinal: this.#ordinal,
      epoch: -1,
      local: leg.none,
      remote: leg.none,
      awaits: leg.none,
      mayClear: false,
      marks: 0,
      answered: false,
      logged: false,
      stage: "gate",
      log: undefined,
      exclusive: true,
      order: 0,
      parent,
      startedAt: this.#ctx.now,
    };
    this.#open.push(write);
    return write;
  }

  #refuse(id: number, errno: "EIO" | "EROFS" | "ENOSPC" | "EINVAL"): void {
    this.#ctx.emit({ kind: "answer", id, ok: false, errno });
  }

  // -- the gate (step 1) ----------------------------------------------------------------------------------------

  /** Whether application requests may start now. */
  #isOpen(): boolean {
    const { standing } = this.#ctx;
    return !standing.suspended && !standing.unstable && !this.#parked && this.#resend.length === 0;
  }

  #enter(request: AppWrite | AppFlush): void {
    if (this.#gated.length > 0 || !this.#isOpen() || this.#isFull()) {
      if (request.kind === "appWrite") own(request);
      this.#gated.push(request);
      return;
    }
    this.#start(request);
  }

  /** `max-buffers` bounds what is in flight. */
  #isFull(): boolean {
    return this.#inFlight >= this.#ctx.options.spec.net.maxBuffers;
  }
  #inFlight = 0;

  /** Lets requests in while the gate is open. */
  openGate(): void {
    if (this.#opening) return;
    this.#opening = true;
    while (this.#gated.length > 0 && this.#isOpen() && !this.#isFull()) {
      this.#start(this.#gated.shift() as Gated);
    }
    this.#opening = false;
  }

  #start(request: Gated): void {
    if (request.kind === "appRead") this.#startRead(request);
    else if (request.kind === "appFlush") this.#startFlush(request);
    else if (request.stage === "gate") {
      this.#inFlight += 1;
      this.#admit(request);
    } else this.#submit(request);
  }

  /** The state has changed: who found no data looks again, then the gate. */
  reconsider(): void {
    this.#gated.unshift(...this.#starved);
    this.#starved = [];
    this.openGate();
  }

  // -- activity log and overlap (steps 2, 3) ---------------------------------------------------------------------

  #admit(write: AppWrite): void {
    const { metadata, standing, options } = this.#ctx;
    if (metadata === undefined || !standing.hasDisk || !options.spec.disk.activityLogUpdates) {
      this.#submit(write);
      return;
    }
    write.stage = "log";
    if (!metadata.admit(write, write.sector, write.end)) {
      own(write);
      return;
    }
    write.log = metadata;
    this.#submit(write);
  }

  /** The log or the range that a write waited for is there. */
  resume(write: AppWrite): void {
    if (write.stage === "log") write.log = this.#ctx.metadata;
    if (write.stage === "range") this.#ctx.applicationWaits -= 1;
    this.#submit(write);
  }

  // -- the decision (steps 4, 5) ----------------------------------------------------------------------------------

  #submit(write: AppWrite): void {
    const ctx = this.#ctx;
    const { standing, metadata } = ctx;
    if (!this.#isOpen()) {
      // Suspended since it was let in: it goes to the head of the gate again, and keeps its extents.
      ctx.release(write);
      own(write);
      write.stage = "flying";
      this.#gated.unshift(write);
      return;
    }
    if (!ctx.lock(write)) {
      own(write);
      write.stage = "range";
      ctx.applicationWaits += 1;
      return;
    }
    const local = standing.hasDisk && metadata !== undefined;
    if (!(standing.localUpToDate && local) && !standing.peerUpToDate) {
      this.#noData(write);
      return;
    }
    if (standing.replicate && write.op !== "write" && !this.#mayTravel(write)) {
      this.#splitIntoData(write);
      return;
    }
    if (!local && !standing.replicate) {
      this.#noData(write);
      return;
    }
    write.stage = "flying";
    write.startedAt = ctx.now;
    write.marks = ctx.marks;
    ctx.applicationSectors += write.end - write.sector;
    // The remote leg first: a resync read that follows must come behind this P_DATA.
    if (standing.replicate) this.#replicate(write);
    else this.#markAlone(write);
    if (local) {
      write.local = leg.pending;
      ctx.localChange(write, write.op, write, write);
      write.data = undefined;
    } else own(write);
    this.#progress(write);
  }

  /** Neither disk has the data: error, or wait until control says that I/O is suspended, and then not any more. */
  #noData(write: AppWrite): void {
    write.stage = "flying";
    this.#ctx.release(write);
    if (this.#ctx.options.spec.onNoDataAccessible === "suspend-io") {
      own(write);
      this.#starved.push(write);
      return;
    }
    write.local = leg.failed;
    this.#progress(write);
  }

  /** Only this side has it: marked before the write begins, so that a bitmap that is sent meanwhile has it. */
  #markAlone(write: AppWrite): void {
    const ctx = this.#ctx;
    const { sector } = write;
    const sectors = write.end - sector;
    const fresh = ctx.mark(sector, write.end);
    if (!ctx.standing.announce || fresh === 0) return;
    ctx.send("data", {
      command: "P_OUT_OF_SYNC",
      volume: ctx.volume,
      sector,
      bytes: sectors * 512,
    });
  }

  #replicate(write: AppWrite): void {
    const ctx = this.#ctx;
    const isNew = write.slot < 0;
    if (isNew) this.slots.take(write);
    const isFull = !write.logged && this.log.add(write, ctx.now);
    write.remote = leg.pending;
    write.mayClear = false;
    const protocol = ctx.session?.protocol ?? "C";
    write.awaits = protocol === "C" ? leg.ok : protocol === "B" ? leg.received : leg.none;
    this.acksDue += 1;
    this.#sendWrite(write, flagsFor(write, protocol, ctx.standing.resyncing));
    ctx.count.sent += write.op === "write" ? write.end - write.sector : 0;
    if (isFull) this.#sendBarriers();
    this.#watchCongestion();
  }

  #sendWrite(write: AppWrite, flags: number): void {
    const ctx = this.#ctx;
    const { volume } = ctx;
    const { sector, generation: idHigh, slot: idLow } = write;
    const sequence = ctx.nextSequence();
    if (write.op === "write") {
      const data = write.data as Uint8Array;
      const digest = ctx.integrity(data);
      ctx.send("data", {
        command: "P_DATA",
        volume,
        sector,
        idHigh,
        idLow,
        sequence,
        flags,
        digest,
        data,
      });
      return;
    }
    const discard = write.op === "discard";
    ctx.send("data", {
      command: discard ? "P_TRIM" : "P_ZEROES",
      volume,
      sector,
      idHigh,
      idLow,
      sequence,
      flags: flags | (discard ? dataFlag.discard : dataFlag.zeroes) | unmap(write),
      bytes: (write.end - sector) * 512,
      digest: undefined,
      data: undefined,
    });
  }

  // -- ranges for old peers ---------------------------------------------------------------------------------------

  #mostRangeSectors(): number {
    const features = this.#ctx.session?.features;
    const bytes =
      features === undefined || (features & feature.writeSame) !== 0
        ? MAX_RANGE_BYTES
        : oldRangeBytes;
    return bytes / 512;
  }

  /** Whether the peer takes this packet at all. */
  #mayTravel(write: AppWrite): boolean {
    const features = this.#ctx.session?.features ?? 0;
    const wanted = write.op === "discard" ? feature.trim : feature.writeZeroes;
    return (features & wanted) !== 0 && write.end - write.sector <= this.#mostRangeSectors();
  }

  /** The peer knows neither discards nor zero-outs: zeroes as data, in pieces. */
  #splitIntoData(write: AppWrite): void {
    const most = MAX_DATA_BYTES / 512;
    const sectors = write.end - write.sector;
    const parent = write.parent ?? { id: write.id, left: 1, failed: false };
    parent.left += Math.ceil(sectors / most) - 1;
    write.answered = true;
    this.#inFlight -= 1;
    this.#ctx.release(write);
    this.#settle(write);
    for (let sector = write.sector; sector < write.end; sector += most) {
      const end = Math.min(sector + most, write.end);
      const data = zeroes.subarray(0, (end - sector) * 512);
      const piece = this.#write(
        write.id,
        { op: "write", sector, data, fua: false },
        sector,
        end,
        parent,
      );
      piece.data = data;
      piece.owned = true;
      this.#inFlight += 1;
      this.#admit(piece);
    }
  }

  // -- completion (step 6) ------------------------------------------------------------------------------------------

  localDone(write: AppWrite, ok: boolean): void {
    const ctx = this.#ctx;
    write.local = ok ? leg.ok : leg.failed;
    write.log?.wrote(write.sector, write.end);
    if (!ok) {
      ctx.mark(write.sector, write.end);
      ctx.ioError("write", write.sector, `a ${write.op} of the application failed`);
    }
    this.#progress(write);
    if (write === this.#resend[0]) this.#resendNext();
  }

  /** Goes as far as it can with a write: answer, range, bits and extents. */
  #progress(write: AppWrite): void {
    if (write.local === leg.pending) return;
    if (!write.answered) {
      if (write.remote !== leg.none && isShort(write.remote, write.awaits)) return;
      this.#answer(write);
    }
    if (write.order !== 0) this.#ctx.release(write);
    if (!write.logged) this.#settle(write);
  }

  #answer(write: AppWrite): void {
    const ctx = this.#ctx;
    // On a disk that is not whole it does not count: the next resync overwrites it with what the source has.
    const ok =
      (write.local === leg.ok && ctx.standing.localUpToDate) ||
      write.remote === leg.ok ||
      write.remote === leg.received ||
      (write.remote === leg.pending && write.awaits === leg.none);
    write.answered = true;
    this.#inFlight -= 1;
    // A write that is issued now may rely on this one: not the same epoch (drbd.md 3.2).
    if (write.logged && this.log.isOpen(write)) this.closeEpoch();
    this.#answerApplication(write, ok);
    if (ctx.options.spec.net.protocol === "A") this.#watchCongestion();
    this.#advanceOpen();
    if (this.#gated.length > 0) this.openGate();
  }

  #answerApplication(write: AppWrite, ok: boolean): void {
    const { parent } = write;
    if (parent !== undefined) {
      parent.left -= 1;
      if (!ok) parent.failed = true;
      if (parent.left > 0) return;
    }
    this.pending -= 1;
    if (ok && parent?.failed !== true) this.#ctx.emit({ kind: "answer", id: write.id, ok: true });
    else this.#refuse(write.id, "EIO");
  }

  #advanceOpen(): void {
    const open = this.#open;
    while (this.#openHead < open.length && (open[this.#openHead] as AppWrite).answered) {
      this.#openHead += 1;
    }
    if (this.#openHead === open.length) {
      open.length = 0;
      this.#openHead = 0;
    } else if (this.#openHead > 4096) {
      open.splice(0, this.#openHead);
      this.#openHead = 0;
    }
    if (this.#flushes.length > 0) this.#checkFlushes();
  }

  /** Steps 8 and 9: nothing is in flight of it any more. */
  #settle(write: AppWrite): void {
    this.slots.release(write);
    write.data = undefined;
    const ctx = this.#ctx;
    const { metadata } = ctx;
    if (write.remote !== leg.none && metadata !== undefined) {
      if (!(write.local === leg.ok && isSafeRemotely(write))) {
        if (write.remote !== leg.lost) ctx.mark(write.sector, write.end);
      } else if (write.mayClear && write.marks === ctx.marks) {
        metadata.bits.clearRange(write.sector, write.end - write.sector);
      }
    }
    const { log } = write;
    write.log = undefined;
    if (log !== undefined && log === metadata) log.release(write.sector, write.end);
  }

  // -- epochs ----------------------------------------------------------------------------------------------------

  /** Closes the present epoch and sends its barrier. */
  closeEpoch(): void {
    this.log.close();
    this.#sendBarriers();
  }

  #sendBarriers(): void {
    const ctx = this.#ctx;
    if (!ctx.standing.connected || this.#parked || this.#resend.length > 0) return;
    for (;;) {
      const barrier = this.log.takeBarrier(ctx.now);
      if (barrier === undefined) return;
      // The reference stores the number little-endian; the cookie is raw bytes to the peer.
      ctx.send("data", { command: "P_BARRIER", barrier: swap(barrier) });
    }
  }

  barrierAck(packet: BarrierAckPacket): void {
    const ctx = this.#ctx;
    const done = this.log.acked(swap(packet.barrier), packet.writes);
    if (done === undefined) {
      ctx.violation(
        "BTN-DISK-DATA-BARRIER",
        `the peer acknowledged barrier ${swap(packet.barrier)} with ${packet.writes} writes`,
      );
      return;
    }
    for (const write of done) {
      if (isDue(write)) this.acksDue -= 1;
      if (write.remote === leg.pending && write.awaits === leg.ok && !write.answered) {
        ctx.violation(
          "BTN-DISK-DATA-BARRIER",
          `the peer acknowledged a barrier before the write at sector ${write.sector}`,
        );
        write.remote = leg.failed;
      }
      if (write.remote === leg.pending || write.remote === leg.received) write.remote = leg.ok;
      this.#progress(write);
    }
    if (this.#flushes.length > 0) this.#checkFlushes();
    this.#watchCongestion();
    this.tellDrained();
  }

  // -- acks --------------------------------------------------------------------------------------------------------

  ack(packet: BlockAckPacket): void {
    const write = this.slots.find(packet.idHigh, packet.idLow);
    if (write === undefined || write.kind !== "appWrite") {
      if (packet.command === "P_NEG_ACK") this.#lateRefusal(packet);
      else this.#wrongAck(packet, "there is no such write");
      return;
    }
    const inside = packet.sector === write.sector;
    const exact = inside && packet.bytes === (write.end - write.sector) * 512;
    if (!(exact || (inside && packet.command === "P_NEG_ACK"))) {
      this.#wrongAck(packet, `the write is at sector ${write.sector} to ${write.end}`);
      return;
    }
    const wasDue = isDue(write);
    switch (packet.command) {
      case "P_RECV_ACK":
        if (write.remote === leg.pending) write.remote = leg.received;
        break;
      case "P_WRITE_ACK":
      case "P_RS_WRITE_ACK":
        if (write.remote === leg.failed) {
          this.#wrongAck(packet, "it was refused before");
          return;
        }
        write.remote = leg.ok;
        write.mayClear ||= packet.command === "P_RS_WRITE_ACK";
        break;
      case "P_NEG_ACK":
        write.remote = leg.failed;
        break;
      case "P_SUPERSEDED":
        // The peer's own write of the same place won: finished, and not counted in the epoch.
        write.remote = leg.ok;
        this.log.supersede(write);
        break;
      default:
        this.#wrongAck(packet, "only two Primaries have this answer");
        return;
    }
    if (wasDue && !isDue(write)) this.acksDue -= 1;
    this.#progress(write);
    this.tellDrained();
  }

  /** Protocols A and B: the write is forgotten already, its blocks are not. */
  #lateRefusal(packet: BlockAckPacket): void {
    const ctx = this.#ctx;
    if (!ctx.validRange(packet.sector, Math.max(512, packet.bytes), MAX_RANGE_BYTES, "P_NEG_ACK"))
      return;
    ctx.mark(packet.sector, packet.sector + packet.bytes / 512);
  }

  #wrongAck(packet: BlockAckPacket, why: string): void {
    this.#ctx.violation(
      "BTN-DISK-DATA-ACK",
      `${packet.command} for sector ${packet.sector}, ${packet.bytes} bytes: ${why}`,
    );
  }

  // -- flush ---------------------------------------------------------------------------------------------------------

  #startFlush(flush: AppFlush): void {
    this.closeEpoch();
    this.#flushes.push(flush);
    this.#checkFlushes();
  }

  /** Number of the newest arrival before which everything is answered. */
  #answeredUpTo(): number {
    const oldest = this.#open[this.#openHead];
    return oldest === undefined ? this.#ordinal : oldest.ordinal - 1;
  }

  #checkFlushes(): void {
    const answered = this.#answeredUpTo();
    for (let index = 0; index < this.#flushes.length; ) {
      const flush = this.#flushes[index] as AppFlush;
      if (flush.ordinal > answered) return;
      if (flush.local === "waiting") this.#flushDisk(flush);
      const done = flush.local !== "waiting" && flush.local !== "pending";
      if (!(done && (flush.epoch < 0 || this.log.isAcked(flush.epoch)))) {
        index += 1;
        continue;
      }
      this.#flushes.splice(index, 1);
      this.#answerFlush(flush);
    }
  }

  #flushDisk(flush: AppFlush): void {
    const { options, standing, metadata } = this.#ctx;
    const needsPeer =
      options.spec.net.flushWaitsForPeer || metadata === undefined || !standing.hasDisk;
    // Everything before it is answered now, so it is in a closed epoch.
    if (needsPeer) {
      this.closeEpoch();
      flush.epoch = this.log.newest;
    }
    if (metadata === undefined || !standing.hasDisk || !options.spec.disk.flushes) {
      flush.local = "none";
      return;
    }
    flush.local = "pending";
    flush.startedAt = this.#ctx.now;
    this.#ctx.localFlush(flush);
  }

  flushDone(flush: AppFlush, ok: boolean): void {
    flush.local = ok ? "ok" : "failed";
    if (!ok) this.#ctx.ioError("flush", 0, "a flush of the application failed");
    this.#checkFlushes();
  }

  #answerFlush(flush: AppFlush): void {
    const { standing } = this.#ctx;
    this.pending -= 1;
    const peerHasIt = standing.peerUpToDate && flush.epoch >= 0;
    const here = flush.local !== "failed" && standing.hasDisk && standing.localUpToDate;
    const ok = here || peerHasIt;
    if (ok) this.#ctx.emit({ kind: "answer", id: flush.id, ok: true });
    else this.#refuse(flush.id, "EIO");
    this.tellDrained();
  }

  // -- the connection is lost, or there again ------------------------------------------------------------------------

  /** Whether writes stay undecided because I/O was suspended when the connection was lost. */
  get parked(): boolean {
    return this.#parked;
  }

  park(): void {
    this.#parked = true;
    this.#resend = [];
    this.log.close();
  }

  /** The peer is away: all of the log is out of sync, and completes with what this disk made of it. */
  lose(): void {
    const ctx = this.#ctx;
    this.#parked = false;
    this.#resend = [];
    this.#congested = false;
    this.#calmSince = undefined;
    const writes = this.log.takeAll();
    for (const write of writes) {
      ctx.mark(write.sector, write.end);
      if (isDue(write)) this.acksDue -= 1;
      // What the peer had confirmed may be answered as that; for the bits it does not count: they are set.
      if (write.remote !== leg.ok && write.remote !== leg.received) write.remote = leg.lost;
      else write.remote = write.local === leg.failed ? leg.ok : leg.lost;
      write.mayClear = false;
    }
    for (const write of writes) this.#progress(write);
    this.#checkFlushes();
    this.tellDrained();
  }

  /** A bitmap is about to be sent while writes are parked: they belong into it. */
  markParked(): void {
    for (const write of this.log.all()) {
      this.#ctx.mark(write.sector, write.end);
    }
  }

  /** The same peer is there again, nothing was decided: everything is sent once more, in order, read back from the disk. */
  resendAll(): void {
    this.#parked = false;
    this.log.rewind(this.#ctx.now);
    this.#resend = [...this.log.all()];
    this.#resendNext();
  }

  #resendNext(): void {
    const ctx = this.#ctx;
    for (let write = this.#resend[0]; write !== undefined; write = this.#resend[0]) {
      if (write.op === "write" && write.data === undefined) {
        if (write.local === leg.pending) return;
        if (write.local !== leg.ok || ctx.metadata === undefined) {
          this.#giveUp(write);
          continue;
        }
        const { sector, end } = write;
        this.#reread = {
          kind: "rereadWrite",
          write,
          startedAt: ctx.now,
          session: ctx.sessionNumber,
        };
        ctx.localRead(this.#reread, sector, (end - sector) * 512);
        return;
      }
      this.#resendOne(write);
    }
    this.#sendBarriers();
    this.openGate();
  }
  #reread: RereadWrite | undefined;

  rereadDone(reread: RereadWrite, ok: boolean, data: Uint8Array | undefined): void {
    if (reread !== this.#reread || reread.write !== this.#resend[0]) return;
    this.#reread = undefined;
    const { write } = reread;
    if (!ok || data === undefined) {
      this.#ctx.ioError("read", write.sector, "a write could not be read back to be sent again");
      this.#giveUp(write);
    } else {
      write.data = data;
      this.#resendOne(write);
      write.data = undefined;
    }
    this.#resendNext();
  }

  /** Its data is nowhere any more: out of sync, and not in the transfer log. */
  #giveUp(write: AppWrite): void {
    this.#resend.shift();
    this.#ctx.mark(write.sector, write.end);
    if (isDue(write)) this.acksDue -= 1;
    write.remote = leg.lost;
    this.log.supersede(write);
    this.#progress(write);
  }

  #resendOne(write: AppWrite): void {
    const ctx = this.#ctx;
    this.#resend.shift();
    for (;;) {
      const barrier = this.log.takeBarrierBefore(write.epoch, ctx.now);
      if (barrier === undefined) break;
      ctx.send("data", { command: "P_BARRIER", barrier: swap(barrier) });
    }
    if (isDue(write)) this.acksDue -= 1;
    this.#replicate(write);
  }

  // -- congestion, time, standstill -----------------------------------------------------------------------------------

  #watchCongestion(): void {
    const ctx = this.#ctx;
    const { net } = ctx.options.spec;
    if (net.onCongestion === "block" || ctx.session?.protocol !== "A") return;
    if (ctx.conn === "Ahead") {
      if (this.log.size === 0 && this.#calmSince === undefined) this.#calmSince = ctx.now;
      return;
    }
    if (this.#congested || ctx.conn !== "Connected" || !ctx.standing.localUpToDate) return;
    const fill = net.congestionFillBytes > 0 && this.log.sectors * 512 >= net.congestionFillBytes;
    const extents =
      net.congestionExtents > 0 && (ctx.metadata?.usedExtents ?? 0) >= net.congestionExtents;
    if (!fill && !extents) return;
    this.#congested = true;
    this.closeEpoch();
    ctx.notice({ kind: "congested" });
  }

  /** After Ahead began or ended. */
  congestionChanged(ahead: boolean): void {
    this.#congested = ahead;
    this.#calmSince = ahead && this.log.size === 0 ? this.#ctx.now : undefined;
  }

  tick(): void {
    const ctx = this.#ctx;
    if (this.#calmSince !== undefined && ctx.now >= this.#calmSince + congestionOverAfterMs) {
      this.#calmSince = undefined;
      ctx.notice({ kind: "congestionOver" });
    }
    const late = this.#tooSlowAt();
    if (late === undefined || ctx.now < late || this.#toldSlow === ctx.sessionNumber) return;
    this.#toldSlow = ctx.sessionNumber;
    const since = this.log.waitingSince ?? ctx.now;
    ctx.notice({ kind: "peerTooSlow", waitedMs: ctx.now - since });
  }
  #toldSlow = -1;

  wakeAt(): Instant | undefined {
    const late = this.#toldSlow === this.#ctx.sessionNumber ? undefined : this.#tooSlowAt();
    if (this.#calmSince === undefined) return late;
    const calm = this.#calmSince + congestionOverAfterMs;
    return instant(late === undefined ? calm : Math.min(calm, late));
  }

  /** When the oldest epoch will have waited for `ko-count` times `timeout`. */
  #tooSlowAt(): Instant | undefined {
    const { koCount, timeoutMs } = this.#ctx.options.spec.net;
    const since = this.log.waitingSince;
    if (koCount === 0 || since === undefined || !this.#ctx.standing.connected) return undefined;
    return instant(since + koCount * timeoutMs);
  }

  /** Nothing of the application is in flight, and every write that was sent is barrier-acked. */
  get idle(): boolean {
    return this.pending === 0 && this.log.size === 0;
  }

  /** Asked once; told when it is so. */
  awaitsDrain = false;

  tellDrained(): void {
    if (!this.awaitsDrain || !this.idle) return;
    this.awaitsDrain = false;
    this.#ctx.notice({ kind: "drained" });
  }
}

/** Reads back what a write left on the disk, to send it once more. */
export interface RereadWrite {
  readonly kind: "rereadWrite";
  readonly write: AppWrite;
  readonly session: number;
  readonly startedAt: Instant;
}

/** Keeps the bytes of a write beyond the step that brought them. */
function own(write: AppWrite): void {
  if (write.owned || write.data === undefined) return;
  write.data = new Uint8Array(write.data);
  write.owned = true;
}

/** Whether the peer still owes an ack for it; at the latest the barrier ack. */
const isDue = (write: AppWrite): boolean =>
  write.remote === leg.pending || write.remote === leg.received;

/** Whether the remote leg is not yet as far as the answer to the application needs. */
function isShort(remote: Leg, awaits: Leg): boolean {
  return (
    (remote === leg.pending && awaits !== leg.none) ||
    (remote === leg.received && awaits === leg.ok)
  );
}

function flagsFor(write: AppWrite, protocol: "A" | "B" | "C", resyncing: boolean): number {
  let flags: number = dataFlag.readWriteSync;
  if (write.fua) flags |= dataFlag.fua;
  if (protocol === "C" || resyncing) flags |= dataFlag.sendWriteAck;
  if (protocol === "B") flags |= dataFlag.sendReceiveAck;
  if (resyncing) flags |= dataFlag.maySetInSync;
  return flags;
}

const unmap = (write: AppWrite): number => (write.mayUnmap ? dataFlag.discard : 0);

const swap = (word: number): number =>
  (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
