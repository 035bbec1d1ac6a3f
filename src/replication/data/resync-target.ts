/**
 * The side that is brought in sync: it asks for what is marked, writes what comes, and tells when nothing is left (drbd.md 6.3-6.6).
 *
 *   ask:  (reading own blocks) -> asked -> (waiting for overlapping writes) -> writing -> gone
 */
import type { Instant } from "../../base/index.ts";
import type { ResyncView } from "../contract.ts";
import type { ResyncOptions } from "../options.ts";
import {
  type BlockAckPacket,
  type BlockRangePacket,
  type DataPacket,
  feature,
  SYNCER_ID,
} from "../wire/packets.ts";
import type { DataContext } from "./context.ts";
import { Pace } from "./pace.ts";
import { Progress } from "./progress.ts";
import { checkDigest } from "./reader.ts";
import type { ResyncAsk } from "./records.ts";

const maxRequestBlocks = 256;
/** No request crosses a border of 16 MiB. */
const extentBlocks = 4096;

/** `begin` with SyncTarget or PausedSyncT, `end` with any other state. */
export class ResyncTarget {
  readonly #ctx: DataContext;
  readonly #options: () => ResyncOptions;
  /** By first sector. */
  readonly #asks = new Map<number, ResyncAsk>();
  #pace: Pace | undefined;
  #progress: Progress | undefined;
  #running = false;
  /** Next bit to look at. */
  #cursor = 0;
  #left = 0;
  /** Blocks that could not be had in this resync. */
  failedBlocks = 0;
  /** Bytes of replies that wait for a place or are being written. */
  inFlightBytes = 0;
  #finishing = false;
  #ready = true;

  constructor(ctx: DataContext, options: () => ResyncOptions) {
    this.#ctx = ctx;
    this.#options = options;
  }

  /** SyncTarget or PausedSyncT begins: a new resync. */
  begin(): void {
    const ctx = this.#ctx;
    this.#cursor = 0;
    this.failedBlocks = 0;
    this.#finishing = false;
    const total = ctx.metadata?.bits.count ?? 0;
    this.#left = total;
    this.#progress = new Progress("resync", total, ctx.now);
    this.#pace = new Pace(ctx, this.#options());
    // What the source clears because of our acks must be marked durably here: also what came by P_OUT_OF_SYNC.
    ctx.metadata?.writePages("none");
    this.#ready = ctx.metadata?.isWritingPages !== true;
  }

  /** No bitmap page is on its way to the disk any more. */
  pagesWritten(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.tick();
  }

  /** SyncTarget: go on; PausedSyncT: ask for nothing more. */
  run(running: boolean): void {
    this.#running = running;
    if (running) this.tick();
  }

  /** The state is none of a target any more. Replies that are being written are finished, but not answered. */
  end(): void {
    this.#running = false;
    this.#progress = undefined;
    this.#pace = undefined;
    this.#finishing = false;
    for (const ask of [...this.#asks.values()]) {
      ask.counts = false;
      if (ask.phase === "writing") continue;
      if (ask.phase === "locking") this.inFlightBytes -= bytesOf(ask);
      this.#drop(ask);
      this.#ctx.release(ask);
    }
  }

  newOptions(): void {
    if (this.#pace !== undefined) this.#pace = new Pace(this.#ctx, this.#options());
  }

  view(now: Instant): ResyncView | null {
    if (this.#progress === undefined) return null;
    const left = this.#ctx.metadata?.bits.count ?? 0;
    const want = this.#running ? (this.#pace?.wantKibPerSecond ?? null) : null;
    return this.#progress.view(left, this.failedBlocks, want, now);
  }

  wakeAt(): Instant | undefined {
    if (!this.#running || !this.#ready || this.#finishing || this.#cursor < 0) return undefined;
    return this.#pace?.wakeAt();
  }

  get pending(): number {
    return this.#asks.size;
  }

  /**
   * We become Primary: what our application writes from here on is newer than the replies to what was asked before, so it
   * waits for them, as it does for what a Primary asks.
   */
  lockAsked(): void {
    for (const ask of this.#asks.values()) if (ask.order === 0) this.#ctx.lock(ask);
  }

  // -- asking ---------------------------------------------------------------------------------------------------

  tick(): void {
    const { metadata } = this.#ctx;
    const pace = this.#pace;
    if (!this.#running || !this.#ready || this.#finishing) return;
    if (metadata === undefined || pace === undefined) return;
    this.#progress?.update(metadata.bits.count, this.#ctx.now);
    while (this.#cursor >= 0) {
      const room = pace.room();
      if (room <= 0) break;
      const bit = metadata.bits.nextSet(this.#cursor);
      if (bit < 0) {
        this.#cursor = -1;
        break;
      }
      const blocks = this.#sizeAt(bit, room);
      if (!this.#ask(bit, blocks)) break;
      pace.issued(blocks);
      this.#cursor = bit + blocks;
    }
    if (this.#cursor >= 0) pace.wantsMore();
    this.#finishIfDone();
  }

  /** How many of the marked blocks from here on go into one request. */
  #sizeAt(bit: number, room: number): number {
    const { metadata } = this.#ctx;
    // A request of 2^k blocks begins at a multiple of it.
    const aligned = bit === 0 ? maxRequestBlocks : bit & -bit;
    const granularity = this.#thinBlocks();
    const limit = granularity > 0 ? granularity : maxRequestBlocks;
    const most = Math.min(aligned, limit, room, extentBlocks - (bit % extentBlocks));
    let blocks = 1;
    while (blocks < most && metadata?.bits.test(bit + blocks) === true) blocks += 1;
    return blocks;
  }

  /** Blocks of one thin request; 0: no thin resync. */
  #thinBlocks(): number {
    const { session, options } = this.#ctx;
    if (((session?.features ?? 0) & feature.thinResync) === 0) return 0;
    return Math.min(
      maxRequestBlocks,
      Math.floor(options.spec.disk.resyncDiscardGranularityBytes / 4096),
    );
  }

  /** False: the application is writing there; asked again in the next turn. */
  #ask(bit: number, blocks: number): boolean {
    const ctx = this.#ctx;
    const sector = bit * 8;
    const end = Math.min(sector + blocks * 8, ctx.host.sectors);
    if (this.#asks.has(sector)) return false;
    const ask: ResyncAsk = {
      kind: "resyncAsk",
      sector,
      end,
      exclusive: true,
      waiters: undefined,
      order: 0,
      phase: "asked",
      data: undefined,
      owned: false,
      session: ctx.sessionNumber,
      counts: true,
      startedAt: ctx.now,
    };
    if (ctx.state.role === "Primary") {
      // What our application writes from here on would be older than the reply: it waits (drbd.md 3.8).
      if (ctx.ranges.conflict(sector, end, true) !== undefined) return false;
      ctx.lock(ask);
    }
    this.#asks.set(sector, ask);
    ctx.count.peerPending += 1;
    if (this.#byChecksum()) {
      ask.phase = "reading";
      ctx.localRead(ask, sector, (end - sector) * 512);
      return true;
    }
    const thin = blocks === this.#thinBlocks();
    this.#request(thin ? "P_RS_THIN_REQ" : "P_RS_DATA_REQUEST", ask, undefined);
    return true;
  }

  #byChecksum(): boolean {
    const { session, options, host } = this.#ctx;
    if (session?.checksumResync === undefined) return false;
    return !options.spec.net.checksumResyncAfterCrashOnly || host.afterCrash;
  }

  #request(
    command: "P_RS_DATA_REQUEST" | "P_RS_THIN_REQ" | "P_CSUM_RS_REQUEST",
    ask: ResyncAsk,
    digest: Uint8Array | undefined,
  ): void {
    const ctx = this.#ctx;
    ctx.send("data", {
      command,
      volume: ctx.volume,
      sector: ask.sector,
      bytes: bytesOf(ask),
      idHigh: SYNCER_ID,
      idLow: SYNCER_ID,
      digest,
    });
  }

  // -- answers -----------------------------------------------------------------------------------------------------

  /** P_RS_DATA_REPLY. */
  reply(packet: DataPacket): void {
    if (!checkDigest(this.#ctx, packet)) return;
    const ask = this.#answered(packet, packet.data.length);
    if (ask === undefined) return;
    ask.data = packet.data;
    this.#ctx.count.received += packet.data.length / 512;
    this.#write(ask);
  }

  /** P_RS_DEALLOCATED: zeroes. */
  deallocated(packet: BlockRangePacket): void {
    const ask = this.#answered(packet, packet.bytes);
    if (ask !== undefined) this.#write(ask);
  }

  /** P_RS_IS_IN_SYNC. */
  inSync(packet: BlockAckPacket): void {
    const ask = this.#answered(packet, packet.bytes);
    if (ask === undefined) return;
    this.#ctx.metadata?.bits.clearRange(ask.sector, ask.end - ask.sector);
    this.#ctx.metadata?.clearedUnflushed();
    this.#gone(ask);
  }

  /** P_NEG_RS_DREPLY: the source can not read it. */
  refused(packet: BlockAckPacket): void {
    const ask = this.#answered(packet, packet.bytes);
    if (ask === undefined) return;
    this.failedBlocks += blocksOf(ask);
    this.#gone(ask);
  }

  /** P_RS_CANCEL: the source is Ahead; the blocks stay marked for the resync that follows. */
  cancelled(packet: BlockAckPacket): void {
    const ask = this.#answered(packet, packet.bytes);
    if (ask !== undefined) this.#gone(ask);
  }

  #answered(packet: { sector: number; command: string }, bytes: number): ResyncAsk | undefined {
    const ctx = this.#ctx;
    const ask = this.#asks.get(packet.sector);
    if (ask?.phase !== "asked" || bytesOf(ask) !== bytes || ask.session !== ctx.sessionNumber) {
      // After an abort answers of what was asked before may still come.
      if (!ctx.standing.resyncing && ctx.conn !== "Behind") return undefined;
      ctx.violation(
        "BTN-DISK-DATA-REPLY",
        `${packet.command} for sector ${packet.sector}, ${bytes} bytes: nobody asked`,
      );
      return undefined;
    }
    this.#pace?.received(ask.end - ask.sector);
    return ask;
  }

  #write(ask: ResyncAsk): void {
    ask.phase = "locking";
    this.inFlightBytes += bytesOf(ask);
    this.resume(ask);
    this.tick();
  }

  /** Behind the writes of the peer that came before it. */
  resume(ask: ResyncAsk): void {
    const ctx = this.#ctx;
    if (ask.phase !== "locking" || !this.#asks.has(ask.sector)) return;
    if (!ctx.lock(ask)) {
      if (ask.data !== undefined && !ask.owned) ask.data = new Uint8Array(ask.data);
      ask.owned = true;
      return;
    }
    ask.phase = "writing";
    ask.startedAt = ctx.now;
    const { data } = ask;
    const how = { data, fua: false, mayUnmap: true };
    ctx.localChange(ask, data === undefined ? "zero" : "write", ask, how);
  }

  ioDone(ask: ResyncAsk, ok: boolean, data: Uint8Array | undefined): void {
    if (ask.phase === "reading") this.#readForChecksum(ask, ok, data);
    else this.#written(ask, ok);
  }

  #readForChecksum(ask: ResyncAsk, ok: boolean, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    const algorithm = ctx.session?.checksumResync;
    if (ask.session !== ctx.sessionNumber || this.#asks.get(ask.sector) !== ask) return;
    ask.phase = "asked";
    if (!ok || data === undefined || algorithm === undefined) {
      if (!ok) ctx.ioError("read", ask.sector, "a read for the checksum of a resync failed");
      this.#request("P_RS_DATA_REQUEST", ask, undefined);
      return;
    }
    this.#request("P_CSUM_RS_REQUEST", ask, ctx.options.digests.digest(algorithm, data));
  }

  #written(ask: ResyncAsk, ok: boolean): void {
    const ctx = this.#ctx;
    const sectors = ask.end - ask.sector;
    this.inFlightBytes -= bytesOf(ask);
    const current = ask.counts && ask.session === ctx.sessionNumber;
    if (ok && current) {
      ctx.metadata?.bits.clearRange(ask.sector, sectors);
      ctx.metadata?.clearedUnflushed();
    }
    if (!ok) {
      this.failedBlocks += blocksOf(ask);
      ctx.ioError("write", ask.sector, "a write of the resync failed");
    }
    if (current) ctx.ack(ok ? "P_RS_WRITE_ACK" : "P_NEG_ACK", ask.sector, bytesOf(ask));
    this.#gone(ask);
  }

  #gone(ask: ResyncAsk): void {
    this.#drop(ask);
    this.#ctx.release(ask);
    this.tick();
  }

  #drop(ask: ResyncAsk): void {
    ask.data = undefined;
    if (this.#asks.get(ask.sector) === ask) this.#asks.delete(ask.sector);
    this.#ctx.count.peerPending -= 1;
  }

  // -- the end -------------------------------------------------------------------------------------------------------

  #finishIfDone(): void {
    const { metadata } = this.#ctx;
    if (this.#cursor >= 0 || this.#asks.size > 0 || metadata === undefined) return;
    const left = metadata.bits.count;
    if (left > this.failedBlocks && left < this.#left) {
      // Marked behind the cursor meanwhile; only while rounds bring something, so this ends.
      this.#left = left;
      this.#cursor = 0;
      return;
    }
    this.#finishing = true;
    metadata.flushAndWritePages("resyncEnd");
  }

  /** Data and bitmap of the whole resync are durable (R8). */
  durable(): void {
    if (!this.#finishing || !this.#running) {
      this.#finishing = false;
      return;
    }
    this.#finishing = false;
    this.#running = false;
    const left = this.#ctx.metadata?.bits.count ?? 0;
    this.#ctx.notice({ kind: "resyncDone", failedBlocks: Math.max(left, this.failedBlocks) });
  }

  /** A resync is under way, or paused. */
  get active(): boolean {
    return this.#progress !== undefined;
  }
}

const bytesOf = (ask: ResyncAsk): number => (ask.end - ask.sector) * 512;
const blocksOf = (ask: ResyncAsk): number => Math.ceil((ask.end - ask.sector) / 8);
