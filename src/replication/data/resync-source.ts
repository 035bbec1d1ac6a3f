/**
 * The side that has the data: reads what the peer asks for, exactly one answer for each request (I5), and clears bits as the peer
 * confirms (drbd.md 6.3, 3.8). Also the answering side of an online verify, whose requests are read in the same way.
 *
 * A read under a lock meets no write of the same sectors, and the lock is held until the reply is queued: behind every P_DATA that
 * went before, ahead of every one that comes.
 */
import { after, type Instant } from "../../base/index.ts";
import type { ResyncView } from "../contract.ts";
import type { ResyncOptions } from "../options.ts";
import {
  type BlockAckPacket,
  type BlockRequestPacket,
  feature,
  SYNCER_ID,
} from "../wire/packets.ts";
import { type DataContext, equalBytes, MAX_DATA_BYTES } from "./context.ts";
import { Progress } from "./progress.ts";
import type { ResyncRead } from "./records.ts";

const delayMs = 100;
const significantSectors = 64;

/** Serves requests in every connected state; `begin` and `end` only count. */
export class ResyncSource {
  readonly #ctx: DataContext;
  readonly #options: () => ResyncOptions;
  /** Requests that are being read. */
  readonly #reading = new Set<ResyncRead>();
  /** Replies that the peer has not confirmed: bytes by first sector. */
  readonly #sent = new Map<number, number>();
  /** Requests that step aside for the application. */
  #delayed: ResyncRead[] = [];
  #delayUntil: Instant | undefined;
  #applicationSectors = 0;
  #progress: Progress | undefined;
  /** Blocks that could not be read or that the peer could not write. */
  failedBlocks = 0;

  constructor(ctx: DataContext, options: () => ResyncOptions) {
    this.#ctx = ctx;
    this.#options = options;
  }

  /** SyncSource or PausedSyncS begins. */
  begin(): void {
    this.failedBlocks = 0;
    this.#progress = new Progress("resync", this.#ctx.metadata?.bits.count ?? 0, this.#ctx.now);
  }

  end(): void {
    this.#progress = undefined;
  }

  get active(): boolean {
    return this.#progress !== undefined;
  }

  /** The connection is lost: nothing is answered any more. */
  lost(): void {
    this.#ctx.count.peerPending -= this.#sent.size;
    this.#sent.clear();
    this.#ctx.count.unacknowledged -= this.#delayed.length;
    this.#delayed = [];
    this.#delayUntil = undefined;
    for (const read of this.#reading) this.#ctx.release(read);
  }

  view(now: Instant): ResyncView | null {
    const left = this.#ctx.metadata?.bits.count ?? 0;
    return this.#progress?.view(left, this.failedBlocks, null, now) ?? null;
  }

  // -- requests -----------------------------------------------------------------------------------------------------

  /** P_RS_DATA_REQUEST, P_RS_THIN_REQ, P_CSUM_RS_REQUEST, P_OV_REQUEST. */
  serve(packet: BlockRequestPacket, form: ResyncRead["form"]): void {
    const ctx = this.#ctx;
    const { sector, bytes, idHigh, idLow } = packet;
    if (!ctx.validRange(sector, bytes, MAX_DATA_BYTES, packet.command)) return;
    if (form === "thin" && ((ctx.session?.features ?? 0) & feature.thinResync) === 0) {
      ctx.violation("BTN-DISK-DATA-REPLY", "P_RS_THIN_REQ, which was not agreed on");
      return;
    }
    if (form !== "verify" && ctx.conn === "Ahead") {
      ctx.ack("P_RS_CANCEL", sector, bytes, idHigh, idLow);
      return;
    }
    if (!ctx.standing.localUpToDate || ctx.metadata === undefined) {
      ctx.ack("P_NEG_RS_DREPLY", sector, bytes, idHigh, idLow);
      return;
    }
    ctx.count.unacknowledged += 1;
    const read: ResyncRead = {
      kind: "resyncRead",
      form,
      sector,
      end: sector + bytes / 512,
      exclusive: false,
      waiters: undefined,
      order: 0,
      idHigh,
      idLow,
      // A request may wait: the bytes of its packet do not.
      digest: packet.digest && new Uint8Array(packet.digest),
      session: ctx.sessionNumber,
      startedAt: ctx.now,
    };
    const waits = form !== "verify" && (this.#delayed.length > 0 || this.#stepsAside());
    if (waits) this.#delayed.push(read);
    else this.resume(read);
  }

  /** Behind the writes that came before. */
  resume(read: ResyncRead): void {
    const ctx = this.#ctx;
    if (read.session !== ctx.sessionNumber) {
      ctx.count.unacknowledged -= 1;
      ctx.release(read);
      return;
    }
    if (!ctx.lock(read)) return;
    read.startedAt = ctx.now;
    this.#reading.add(read);
    ctx.localRead(read, read.sector, bytesOf(read));
  }

  /** Application I/O is significant and resync is faster than c-min-rate (drbd.md 6.4); not for a peer that is Primary. */
  #stepsAside(): boolean {
    const ctx = this.#ctx;
    const minRate = this.#options().minRateKibPerSecond;
    if (minRate === 0 || ctx.state.peer === "Primary") return false;
    const moved = ctx.applicationSectors - this.#applicationSectors;
    if (moved <= significantSectors && ctx.applicationWaits === 0) return false;
    const speed = this.view(ctx.now)?.recentKibPerSecond ?? 0;
    this.#applicationSectors = ctx.applicationSectors;
    if (speed <= minRate) return false;
    this.#delayUntil = after(ctx.now, delayMs);
    return true;
  }

  tick(): void {
    if (this.#delayUntil === undefined || this.#ctx.now < this.#delayUntil) return;
    this.#delayUntil = undefined;
    // Each is judged anew: once applications are quiet those that queued up behind it go at once.
    do {
      const read = this.#delayed.shift();
      if (read !== undefined) this.resume(read);
    } while (this.#delayed.length > 0 && !this.#stepsAside());
  }

  wakeAt(): Instant | undefined {
    return this.#delayUntil;
  }

  // -- answers --------------------------------------------------------------------------------------------------------

  readDone(read: ResyncRead, ok: boolean, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    this.#reading.delete(read);
    ctx.count.unacknowledged -= 1;
    if (!ok) {
      ctx.metadata?.bits.setRange(read.sector, read.end - read.sector);
      ctx.ioError("read", read.sector, `a read for a ${read.form} request failed`);
    }
    if (read.session === ctx.sessionNumber && ctx.standing.connected) this.#answer(read, data);
    ctx.release(read);
  }

  #answer(read: ResyncRead, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    const { sector, idHigh, idLow } = read;
    const bytes = bytesOf(read);
    if (read.form === "verify") {
      this.#answerVerify(read, data ?? new Uint8Array(bytes));
      return;
    }
    if (data === undefined) {
      this.failedBlocks += Math.ceil(bytes / 4096);
      ctx.ack("P_NEG_RS_DREPLY", sector, bytes, idHigh, idLow);
      return;
    }
    if (read.form === "checksum" && this.#isEqual(read, data)) {
      ctx.metadata?.bits.clearRange(sector, bytes / 512);
      ctx.ack("P_RS_IS_IN_SYNC", sector, bytes);
      return;
    }
    if (!this.#sent.has(sector)) ctx.count.peerPending += 1;
    this.#sent.set(sector, bytes);
    if (read.form === "thin" && isZero(data)) {
      ctx.send("data", { command: "P_RS_DEALLOCATED", volume: ctx.volume, sector, bytes });
      return;
    }
    ctx.count.sent += bytes / 512;
    const own = read.form === "checksum";
    ctx.send("data", {
      command: "P_RS_DATA_REPLY",
      volume: ctx.volume,
      sector,
      idHigh: own ? SYNCER_ID : idHigh,
      idLow: own ? SYNCER_ID : idLow,
      sequence: 0,
      flags: 0,
      digest: ctx.integrity(data),
      data,
    });
  }

  #isEqual(read: ResyncRead, data: Uint8Array): boolean {
    const { session, options } = this.#ctx;
    const algorithm = session?.checksumResync;
    if (algorithm === undefined || read.digest === undefined) return false;
    return equalBytes(options.digests.digest(algorithm, data), read.digest);
  }

  #answerVerify(read: ResyncRead, data: Uint8Array): void {
    const ctx = this.#ctx;
    const algorithm = ctx.session?.verify;
    if (algorithm === undefined) {
      ctx.violation("BTN-DISK-DATA-REPLY", "P_OV_REQUEST, but no verify-alg is agreed");
      return;
    }
    ctx.send("data", {
      command: "P_OV_REPLY",
      volume: ctx.volume,
      sector: read.sector,
      bytes: bytesOf(read),
      idHigh: read.idHigh,
      idLow: read.idLow,
      digest: ctx.options.digests.digest(algorithm, data),
    });
  }

  /** P_RS_WRITE_ACK and P_NEG_ACK for resync: the peer wrote it, or could not. */
  confirmed(packet: BlockAckPacket): void {
    const ctx = this.#ctx;
    const { sector, bytes } = packet;
    if (this.#sent.get(sector) !== bytes) {
      ctx.violation(
        "BTN-DISK-DATA-ACK",
        `${packet.command} of a resync for sector ${sector}, ${bytes} bytes: nothing was sent`,
      );
      return;
    }
    this.#sent.delete(sector);
    ctx.count.peerPending -= 1;
    if (packet.command === "P_NEG_ACK") this.failedBlocks += Math.ceil(bytes / 4096);
    else ctx.metadata?.bits.clearRange(sector, bytes / 512);
  }
}

const bytesOf = (read: ResyncRead): number => (read.end - read.sector) * 512;

function isZero(data: Uint8Array): boolean {
  for (let index = 0; index < data.length; index++) if (data[index] !== 0) return false;
  return true;
}
