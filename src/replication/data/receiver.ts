/**
 * Writes of the peer (drbd.md 3.3): validated, in order where they overlap, acknowledged as their flags ask, counted in epochs
 * whose barrier is acknowledged when everything in them is on stable storage.
 */
import {
  type BarrierPacket,
  type DataPacket,
  dataFlag,
  feature,
  type RangePacket,
} from "../wire/packets.ts";
import { type DataContext, equalBytes, MAX_DATA_BYTES, MAX_RANGE_BYTES } from "./context.ts";
import type { EpochFlush, PeerEpoch, PeerWrite } from "./records.ts";

/** The peer's writes of this connection, and those of earlier ones that are not on the disk yet. */
export class Receiver {
  readonly #ctx: DataContext;
  /** Oldest first; the last is open. */
  #epochs: PeerEpoch[] = [];
  /** Writes that wait until all epochs before theirs are flushed. */
  #held: PeerWrite[] = [];
  #flushing = false;
  /** Bytes of writes that are not done. */
  inFlightBytes = 0;

  constructor(ctx: DataContext) {
    this.#ctx = ctx;
  }

  get epochs(): number {
    return Math.max(1, this.#epochs.length);
  }

  begin(): void {
    this.#epochs = [this.#newEpoch()];
  }

  /**
   * The connection is lost: acks of it are not sent any more. What was received is written nevertheless: the peer may have been
   * told so (protocol B), and if it is gone this may be the only copy.
   */
  lost(): void {
    this.#epochs = [];
    const held = this.#held;
    this.#held = [];
    for (const write of held) this.#admit(write);
  }

  #newEpoch(): PeerEpoch {
    return {
      barrier: 0,
      closed: false,
      writes: 0,
      active: 0,
      flush: "needed",
      members: [],
      session: this.#ctx.sessionNumber,
    };
  }

  // -- arrival --------------------------------------------------------------------------------------------------

  data(packet: DataPacket | RangePacket): void {
    const ctx = this.#ctx;
    const { sector, command } = packet;
    const bytes = command === "P_DATA" ? packet.data.length : (packet as RangePacket).bytes;
    const isData = command === "P_DATA" || command === "P_WSAME";
    if (!ctx.validRange(sector, bytes, isData ? MAX_DATA_BYTES : MAX_RANGE_BYTES, command)) return;
    const epoch = this.#epochs.at(-1);
    if (epoch === undefined) return;
    if (isData && !this.#hasGoodDigest(packet)) return;
    const data = isData ? contents(packet, bytes) : undefined;
    if (isData && data === undefined) {
      ctx.violation("BTN-DISK-DATA-RANGE", `${command} without the block to repeat`);
      return;
    }
    epoch.writes += 1;
    ctx.count.received += isData ? bytes / 512 : 0;
    if (!ctx.standing.hasDisk || ctx.metadata === undefined) {
      ctx.ack("P_NEG_ACK", sector, bytes, packet.idHigh, packet.idLow);
      return;
    }
    if ((packet.flags & dataFlag.sendReceiveAck) !== 0) {
      ctx.ack("P_RECV_ACK", sector, bytes, packet.idHigh, packet.idLow);
    }
    const write = this.#write(packet, bytes, data, epoch);
    epoch.active += 1;
    epoch.members.push(write);
    ctx.peerWrites += 1;
    ctx.count.unacknowledged += 1;
    this.inFlightBytes += data?.length ?? 0;
    if (this.#isStrict() && this.#epochs[0] !== epoch) {
      own(write);
      this.#held.push(write);
    } else this.#admit(write);
  }

  #write(
    packet: DataPacket | RangePacket,
    bytes: number,
    data: Uint8Array | undefined,
    epoch: PeerEpoch,
  ): PeerWrite {
    const { command, flags } = packet;
    const features = this.#ctx.session?.features ?? 0;
    // Without FF_WZEROES a discard of an old sender means that zeroes are read afterwards.
    const discard = command === "P_TRIM" && (features & feature.writeZeroes) !== 0;
    return {
      kind: "peerWrite",
      op: data !== undefined ? "write" : discard ? "discard" : "zero",
      mayUnmap: command === "P_TRIM" || (flags & dataFlag.discard) !== 0,
      sector: packet.sector,
      end: packet.sector + bytes / 512,
      exclusive: true,
      waiters: undefined,
      order: 0,
      idHigh: packet.idHigh,
      idLow: packet.idLow,
      flags,
      bytes,
      data,
      owned: command === "P_WSAME",
      epoch,
      session: this.#ctx.sessionNumber,
      setInSync: (flags & dataFlag.maySetInSync) !== 0,
      stage: "epoch",
      log: undefined,
      startedAt: this.#ctx.now,
    };
  }

  #hasGoodDigest(packet: DataPacket | RangePacket): boolean {
    const { data, digest } = packet;
    if (data === undefined) return true;
    const expected = this.#ctx.integrity(data);
    if (expected === undefined) return true;
    if (digest !== undefined && equalBytes(expected, digest)) return true;
    this.#ctx.violation(
      "BTN-DISK-DATA-DIGEST",
      `${packet.command} for sector ${packet.sector} does not have the digest that came with it`,
    );
    return false;
  }

  /**
   * Whether a later epoch waits for the flush of the one before, as kernels do. Not needed if the sender completes a flush of its
   * application only when the barrier is acked: then nothing that follows can rely on what came before.
   */
  #isStrict(): boolean {
    const { session, options } = this.#ctx;
    return !(session?.baton === true && options.spec.net.flushWaitsForPeer);
  }

  // -- to the disk ----------------------------------------------------------------------------------------------

  #admit(write: PeerWrite): void {
    const ctx = this.#ctx;
    const { metadata, standing } = ctx;
    if (metadata !== undefined && !standing.peerHasDisk && standing.connected) {
      // We hold the only copy, and the peer has no log: marked, and logged here.
      write.setInSync = false;
      metadata.bits.setRange(write.sector, write.end - write.sector);
      write.stage = "log";
      if (!metadata.admit(write, write.sector, write.end)) {
        own(write);
        return;
      }
      write.log = metadata;
    }
    this.#order(write);
  }

  resume(write: PeerWrite): void {
    if (write.stage === "log") write.log = this.#ctx.metadata;
    this.#order(write);
  }

  #order(write: PeerWrite): void {
    const ctx = this.#ctx;
    write.stage = "range";
    if (!ctx.lock(write)) {
      own(write);
      return;
    }
    write.startedAt = ctx.now;
    if (!ctx.standing.hasDisk || ctx.metadata === undefined) {
      this.done(write, false);
      return;
    }
    if ((write.flags & dataFlag.flush) !== 0 && ctx.options.spec.disk.flushes) {
      own(write);
      write.stage = "preflush";
      ctx.localFlush(write);
      return;
    }
    this.#submit(write);
  }

  #submit(write: PeerWrite): void {
    write.stage = "flying";
    this.#ctx.applicationSectors += write.end - write.sector;
    const how = {
      data: write.data,
      fua: (write.flags & dataFlag.fua) !== 0,
      mayUnmap: write.mayUnmap,
    };
    this.#ctx.localChange(write, write.op, write, how);
  }

  ioDone(write: PeerWrite, ok: boolean): void {
    if (write.stage === "preflush" && ok) {
      this.#submit(write);
      return;
    }
    this.done(write, ok);
  }

  done(write: PeerWrite, ok: boolean): void {
    const ctx = this.#ctx;
    const { metadata } = ctx;
    this.inFlightBytes -= write.data?.length ?? 0;
    write.data = undefined;
    write.stage = "flying";
    ctx.peerWrites -= 1;
    ctx.count.unacknowledged -= 1;
    if (!ok) {
      metadata?.bits.setRange(write.sector, write.end - write.sector);
      if (metadata !== undefined) {
        ctx.ioError("write", write.sector, `a ${write.op} of the peer failed`);
      }
    }
    if (write.session === ctx.sessionNumber && ctx.standing.connected) this.#acknowledge(write, ok);
    ctx.release(write);
    if (write.log !== undefined && write.log === metadata)
      metadata.release(write.sector, write.end);
    write.log = undefined;
    write.epoch.active -= 1;
    this.#settleEpochs();
  }

  #acknowledge(write: PeerWrite, ok: boolean): void {
    const ctx = this.#ctx;
    const { sector, bytes, idHigh, idLow } = write;
    if (!ok) {
      ctx.ack("P_NEG_ACK", sector, bytes, idHigh, idLow);
      return;
    }
    if ((write.flags & dataFlag.sendWriteAck) === 0) return;
    if (ctx.standing.resyncing && write.setInSync) {
      ctx.metadata?.bits.clearRange(sector, bytes / 512);
      ctx.metadata?.clearedUnflushed();
      ctx.ack("P_RS_WRITE_ACK", sector, bytes, idHigh, idLow);
    } else ctx.ack("P_WRITE_ACK", sector, bytes, idHigh, idLow);
  }

  // -- epochs -----------------------------------------------------------------------------------------------------

  barrier(packet: BarrierPacket): void {
    const epoch = this.#epochs.at(-1);
    if (epoch === undefined) return;
    epoch.closed = true;
    epoch.barrier = packet.barrier;
    this.#epochs.push(this.#newEpoch());
    this.#settleEpochs();
  }

  #settleEpochs(): void {
    this.#startFlush();
    let oldest = this.#epochs[0];
    const before = oldest;
    while (oldest?.flush === "done") {
      this.#ctx.send("meta", {
        command: "P_BARRIER_ACK",
        barrier: oldest.barrier,
        writes: oldest.writes,
      });
      this.#epochs.shift();
      oldest = this.#epochs[0];
    }
    if (oldest === before || this.#held.length === 0) return;
    const free = this.#held.filter((write) => write.epoch === oldest);
    this.#held = this.#held.filter((write) => write.epoch !== oldest);
    for (const write of free) this.#admit(write);
  }

  /** One flush for all epochs at the head in which everything is done. */
  #startFlush(): void {
    if (this.#flushing) return;
    const ctx = this.#ctx;
    const needsFlush = ctx.standing.hasDisk && ctx.options.spec.disk.flushes;
    let found = false;
    for (const epoch of this.#epochs) {
      if (!epoch.closed || epoch.active > 0) break;
      if (epoch.flush !== "needed") continue;
      epoch.flush = needsFlush && epoch.members.length > 0 ? "pending" : "done";
      found ||= epoch.flush === "pending";
    }
    if (!found) return;
    this.#flushing = true;
    ctx.localFlush({ kind: "epochFlush", session: ctx.sessionNumber, startedAt: ctx.now });
  }

  flushDone(flush: EpochFlush, ok: boolean): void {
    const ctx = this.#ctx;
    this.#flushing = false;
    if (!ok) ctx.ioError("flush", 0, "the flush before a barrier ack failed");
    if (flush.session === ctx.sessionNumber) {
      for (const epoch of this.#epochs) {
        if (epoch.flush !== "pending") continue;
        epoch.flush = "done";
        if (!ok) this.#refuseMembers(epoch);
      }
    }
    this.#settleEpochs();
  }

  /** R10: after a failed flush nothing is believed. The peer still knows these writes and marks them. */
  #refuseMembers(epoch: PeerEpoch): void {
    for (const write of epoch.members) {
      this.#ctx.metadata?.bits.setRange(write.sector, write.end - write.sector);
      this.#ctx.ack("P_NEG_ACK", write.sector, write.bytes, write.idHigh, write.idLow);
    }
  }
}

function own(write: PeerWrite): void {
  if (write.owned || write.data === undefined) return;
  // Not slice(): what a shell received into may be a Buffer, whose slice() is no copy.
  write.data = new Uint8Array(write.data);
  write.owned = true;
}

/** The data of a write; for P_WSAME the block repeated. Undefined: the block does not fit. */
function contents(packet: DataPacket | RangePacket, bytes: number): Uint8Array | undefined {
  const { data } = packet;
  if (packet.command !== "P_WSAME") return data;
  if (data === undefined || data.length === 0 || bytes % data.length !== 0) return undefined;
  const whole = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += data.length) whole.set(data, at);
  return whole;
}
