/** Reads: of the application, from this disk or from the peer's, and of the peer from ours (drbd.md 3.5). */
import type { BlockAckPacket, BlockRequestPacket, DataPacket } from "../wire/packets.ts";
import { type DataContext, equalBytes, MAX_DATA_BYTES } from "./context.ts";
import type { AppRead, PeerRead } from "./records.ts";
import type { Writer } from "./writer.ts";

/** Both kinds of reads; nothing is kept of those that are done. */
export class Reader {
  readonly #ctx: DataContext;
  readonly #writer: () => Writer;
  /** Reads that are at the peer. */
  readonly #remote = new Set<AppRead>();
  /** Reads that found no data and wait for another state. */
  #starved: AppRead[] = [];
  #turn = false;

  constructor(ctx: DataContext, writer: () => Writer) {
    this.#ctx = ctx;
    this.#writer = writer;
  }

  request(id: number, sector: number, bytes: number): void {
    const ctx = this.#ctx;
    const end = sector + bytes / 512;
    const good = Number.isInteger(end) && bytes > 0 && bytes <= MAX_DATA_BYTES && sector >= 0;
    if (!good || end > ctx.host.sectors) {
      ctx.emit({ kind: "answer", id, ok: false, errno: "EINVAL" });
      return;
    }
    const read: AppRead = {
      kind: "appRead",
      id,
      sector,
      end,
      exclusive: false,
      waiters: undefined,
      order: 0,
      slot: -1,
      generation: 0,
      localFailed: false,
      remoteFailed: false,
      where: "waiting",
      startedAt: ctx.now,
    };
    this.#writer().pending += 1;
    if (!this.#writer().holdRead(read)) this.start(read);
  }

  /** Also again, after one leg has failed or the state has changed. */
  start(read: AppRead): void {
    const ctx = this.#ctx;
    read.where = "waiting";
    read.startedAt = ctx.now;
    const sectors = read.end - read.sector;
    const local = !read.localFailed && this.#mayReadHere(read.sector, sectors);
    const remote = !read.remoteFailed && ctx.standing.peerUpToDate;
    if (local && !(remote && this.#prefersPeer())) {
      // Writes of the peer that are not on the disk yet: only after a change of roles.
      if (ctx.peerWrites > 0 && ctx.mustWait(read, read.sector, read.end)) return;
      read.where = "local";
      ctx.applicationSectors += sectors;
      ctx.localRead(read, read.sector, sectors * 512);
    } else if (remote) this.#ask(read, sectors);
    else this.#noData(read);
  }

  /** A disk that is not UpToDate holds good data where no bit is set, if the peer's is UpToDate. */
  #mayReadHere(sector: number, sectors: number): boolean {
    const { metadata, standing, state } = this.#ctx;
    if (metadata === undefined || !standing.hasDisk) return false;
    if (standing.localUpToDate) return true;
    return (
      state.disk === "Inconsistent" &&
      standing.peerUpToDate &&
      metadata.bits.countRange(sector, sectors) === 0
    );
  }

  #prefersPeer(): boolean {
    const { readBalancing } = this.#ctx.options.spec.disk;
    if (readBalancing === "prefer-local") return false;
    if (readBalancing === "prefer-remote") return true;
    this.#turn = !this.#turn;
    return this.#turn;
  }

  #ask(read: AppRead, sectors: number): void {
    const ctx = this.#ctx;
    read.where = "remote";
    const { slots } = this.#writer();
    if (read.slot < 0) slots.take(read);
    this.#remote.add(read);
    ctx.count.peerPending += 1;
    ctx.send("data", {
      command: "P_DATA_REQUEST",
      volume: ctx.volume,
      sector: read.sector,
      bytes: sectors * 512,
      idHigh: read.generation,
      idLow: read.slot,
      digest: undefined,
    });
  }

  #noData(read: AppRead): void {
    if (this.#ctx.options.spec.onNoDataAccessible === "suspend-io") {
      read.localFailed = false;
      read.remoteFailed = false;
      this.#starved.push(read);
      return;
    }
    this.#finish(read, undefined);
  }

  #finish(read: AppRead, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    const writer = this.#writer();
    writer.slots.release(read);
    writer.pending -= 1;
    if (data === undefined) ctx.emit({ kind: "answer", id: read.id, ok: false, errno: "EIO" });
    else ctx.emit({ kind: "answer", id: read.id, ok: true, data });
    writer.tellDrained();
  }

  localDone(read: AppRead, ok: boolean, data: Uint8Array | undefined): void {
    if (ok && data !== undefined) {
      this.#finish(read, data);
      return;
    }
    const ctx = this.#ctx;
    ctx.metadata?.bits.setRange(read.sector, read.end - read.sector);
    ctx.ioError("read", read.sector, "a read of the application failed");
    read.localFailed = true;
    this.start(read);
  }

  /** P_DATA_REPLY. */
  reply(packet: DataPacket): void {
    const ctx = this.#ctx;
    const read = this.#writer().slots.find(packet.idHigh, packet.idLow);
    const fits =
      read?.kind === "appRead" &&
      read.where === "remote" &&
      read.sector === packet.sector &&
      (read.end - read.sector) * 512 === packet.data.length;
    if (!fits || read?.kind !== "appRead") {
      ctx.violation(
        "BTN-DISK-DATA-REPLY",
        `P_DATA_REPLY for sector ${packet.sector}: nobody asked`,
      );
      return;
    }
    if (!checkDigest(ctx, packet)) return;
    this.#back(read);
    this.#finish(read, packet.data);
  }

  /** P_NEG_DREPLY. */
  refused(packet: BlockAckPacket): void {
    const read = this.#writer().slots.find(packet.idHigh, packet.idLow);
    if (read?.kind !== "appRead" || read.where !== "remote") {
      this.#ctx.violation(
        "BTN-DISK-DATA-REPLY",
        `P_NEG_DREPLY for sector ${packet.sector}: nobody asked`,
      );
      return;
    }
    this.#back(read);
    read.remoteFailed = true;
    this.start(read);
  }

  #back(read: AppRead): void {
    this.#remote.delete(read);
    this.#ctx.count.peerPending -= 1;
    this.#writer().slots.release(read);
  }

  /** The connection is lost: what was asked there is read here, or waits. */
  lost(): void {
    const reads = [...this.#remote];
    for (const read of reads) this.#back(read);
    for (const read of reads) this.again(read);
  }

  /** Through the gate, if it is shut. */
  again(read: AppRead): void {
    if (!this.#writer().holdRead(read)) this.start(read);
  }

  /** The state has changed: who found no data looks again. */
  reconsider(): void {
    const starved = this.#starved;
    this.#starved = [];
    for (const read of starved) this.again(read);
  }

  // -- serving ----------------------------------------------------------------------------------------------------

  /** P_DATA_REQUEST. */
  serve(packet: BlockRequestPacket): void {
    const ctx = this.#ctx;
    const { sector, bytes, idHigh, idLow } = packet;
    if (!ctx.validRange(sector, bytes, MAX_DATA_BYTES, packet.command)) return;
    if (!ctx.standing.localUpToDate || ctx.metadata === undefined) {
      ctx.ack("P_NEG_DREPLY", sector, bytes, idHigh, idLow);
      return;
    }
    ctx.count.unacknowledged += 1;
    this.resumePeer({
      kind: "peerRead",
      sector,
      end: sector + bytes / 512,
      exclusive: false,
      waiters: undefined,
      order: 0,
      idHigh,
      idLow,
      session: ctx.sessionNumber,
      startedAt: ctx.now,
    });
  }

  /** Behind the writes that came before it. */
  resumePeer(read: PeerRead): void {
    const ctx = this.#ctx;
    if (ctx.mustWait(read, read.sector, read.end)) return;
    read.startedAt = ctx.now;
    ctx.localRead(read, read.sector, (read.end - read.sector) * 512);
  }

  peerDone(read: PeerRead, ok: boolean, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    ctx.count.unacknowledged -= 1;
    const { sector, idHigh, idLow } = read;
    const bytes = (read.end - sector) * 512;
    if (!ok) {
      ctx.metadata?.bits.setRange(sector, bytes / 512);
      ctx.ioError("read", sector, "a read for the peer failed");
    }
    if (read.session !== ctx.sessionNumber || !ctx.standing.connected) return;
    if (!ok || data === undefined) {
      ctx.ack("P_NEG_DREPLY", sector, bytes, idHigh, idLow);
      return;
    }
    ctx.count.sent += bytes / 512;
    ctx.send("data", {
      command: "P_DATA_REPLY",
      volume: ctx.volume,
      sector,
      idHigh,
      idLow,
      sequence: 0,
      flags: 0,
      digest: ctx.integrity(data),
      data,
    });
  }
}

/** The digest of data-integrity-alg, if one is agreed; a wrong one ends the connection. */
export function checkDigest(ctx: DataContext, packet: DataPacket): boolean {
  const expected = ctx.integrity(packet.data);
  if (expected === undefined) return true;
  if (packet.digest !== undefined && equalBytes(expected, packet.digest)) return true;
  ctx.violation(
    "BTN-DISK-DATA-DIGEST",
    `${packet.command} for sector ${packet.sector} does not have the digest that came with it`,
  );
  return false;
}
