/**
 * Online verify (drbd.md 6.7). VerifyS asks for digests block by block, compares, and tells the verdict; VerifyT only counts and marks
 * (its reads are in resync-source.ts). It repairs nothing.
 */
import type { Instant } from "../../base/index.ts";
import type { ResyncView } from "../contract.ts";
import type { ResyncOptions } from "../options.ts";
import { type BlockAckPacket, type BlockRequestPacket, SYNCER_ID } from "../wire/packets.ts";
import { type DataContext, equalBytes } from "./context.ts";
import { Pace } from "./pace.ts";
import { Progress } from "./progress.ts";
import type { VerifyRead } from "./records.ts";

const IN_SYNC = 4711;
const OUT_OF_SYNC = 4712;

/** Either side of a verify; remembers where a stopped one has to go on. */
export class Verify {
  readonly #ctx: DataContext;
  readonly #options: () => ResyncOptions;
  readonly #reads = new Map<number, VerifyRead>();
  #side: "source" | "target" | undefined;
  #pace: Pace | undefined;
  #progress: Progress | undefined;
  /** Where to go on after a verify that was stopped; sectors. */
  #resumeAt = 0;
  #wanted: { readonly start: number | undefined; readonly stop: number | undefined } = {
    start: undefined,
    stop: undefined,
  };
  #cursor = 0;
  #stop = 0;
  #left = 0;
  #outOfSync = 0;
  #told = false;

  constructor(ctx: DataContext, options: () => ResyncOptions) {
    this.#ctx = ctx;
    this.#options = options;
  }

  /** Sectors, as the command named them. */
  range(start: number | undefined, stop: number | undefined): void {
    this.#wanted = { start, stop };
  }

  beginAsSource(): void {
    const ctx = this.#ctx;
    const { sectors } = ctx.host;
    const start = this.#wanted.start ?? (this.#resumeAt < sectors ? this.#resumeAt : 0);
    this.#stop = Math.min(this.#wanted.stop ?? sectors, sectors);
    this.#cursor = Math.min(start - (start % 8), this.#stop);
    this.#wanted = { start: undefined, stop: undefined };
    this.#side = "source";
    this.#outOfSync = 0;
    this.#told = false;
    this.#left = Math.ceil((this.#stop - this.#cursor) / 8);
    this.#pace = new Pace(ctx, this.#options());
    this.#progress = new Progress("verify", this.#left, ctx.now);
    this.tick();
  }

  /** Where it begins is known from the first request. */
  beginAsTarget(): void {
    this.#side = "target";
    this.#outOfSync = 0;
    this.#told = false;
    this.#left = -1;
    this.#progress = undefined;
  }

  end(): void {
    if (this.#side === "source") {
      this.#resumeAt = this.#cursor >= this.#ctx.host.sectors ? 0 : this.#cursor;
    }
    this.#side = undefined;
    this.#pace = undefined;
    this.#progress = undefined;
    const reads = [...this.#reads.values()];
    this.#reads.clear();
    this.#ctx.count.peerPending -= reads.length;
    for (const read of reads) this.#ctx.release(read);
  }

  newOptions(): void {
    if (this.#pace !== undefined) this.#pace = new Pace(this.#ctx, this.#options());
  }

  view(now: Instant): ResyncView | null {
    if (this.#progress === undefined) return null;
    const want = this.#pace?.wantKibPerSecond ?? null;
    return this.#progress.view(Math.max(0, this.#left), 0, want, now);
  }

  wakeAt(): Instant | undefined {
    if (this.#side !== "source" || this.#cursor >= this.#stop) return undefined;
    return this.#pace?.wakeAt();
  }

  // -- the side that began it -------------------------------------------------------------------------------------

  tick(): void {
    const ctx = this.#ctx;
    const pace = this.#pace;
    if (this.#side !== "source" || pace === undefined) return;
    while (this.#cursor < this.#stop && pace.room() > 0) {
      const sector = this.#cursor;
      const end = Math.min(sector + 8, ctx.host.sectors);
      // Both sides must be read as of the same moment: no write in between.
      if (ctx.ranges.conflict(sector, end, true) !== undefined) break;
      this.#ask(sector, end);
      pace.issued(1);
      this.#cursor = end;
    }
    if (this.#cursor < this.#stop) pace.wantsMore();
    this.#finishIfDone();
  }

  #ask(sector: number, end: number): void {
    const ctx = this.#ctx;
    const read: VerifyRead = {
      kind: "verifyRead",
      sector,
      end,
      exclusive: true,
      waiters: undefined,
      order: 0,
      theirs: undefined,
      session: ctx.sessionNumber,
      startedAt: ctx.now,
    };
    ctx.lock(read);
    this.#reads.set(sector, read);
    ctx.count.peerPending += 1;
    ctx.send("data", {
      command: "P_OV_REQUEST",
      volume: ctx.volume,
      sector,
      bytes: (end - sector) * 512,
      idHigh: SYNCER_ID,
      idLow: SYNCER_ID,
      digest: undefined,
    });
  }

  /** P_OV_REPLY. */
  reply(packet: BlockRequestPacket): void {
    const ctx = this.#ctx;
    const read = this.#reads.get(packet.sector);
    if (read === undefined || (read.end - read.sector) * 512 !== packet.bytes) {
      if (this.#side === undefined) return;
      ctx.violation("BTN-DISK-DATA-REPLY", `P_OV_REPLY for sector ${packet.sector}: nobody asked`);
      return;
    }
    if (ctx.metadata === undefined || !ctx.standing.hasDisk) {
      this.#verdict(read, true);
      return;
    }
    read.theirs = new Uint8Array(packet.digest ?? []);
    read.startedAt = ctx.now;
    ctx.localRead(read, read.sector, packet.bytes);
  }

  readDone(read: VerifyRead, ok: boolean, data: Uint8Array | undefined): void {
    const ctx = this.#ctx;
    if (this.#reads.get(read.sector) !== read) return;
    const algorithm = ctx.session?.verify;
    if (!ok || data === undefined || algorithm === undefined) {
      if (!ok) ctx.ioError("read", read.sector, "a read of a verify failed");
      this.#verdict(read, false);
      return;
    }
    const ours = ctx.options.digests.digest(algorithm, data);
    this.#verdict(read, equalBytes(ours, read.theirs ?? new Uint8Array(0)));
  }

  #verdict(read: VerifyRead, equal: boolean): void {
    const ctx = this.#ctx;
    const { sector } = read;
    const sectors = read.end - sector;
    if (!equal) {
      this.#outOfSync += 1;
      ctx.metadata?.bits.setRange(sector, sectors);
    }
    ctx.ack("P_OV_RESULT", sector, sectors * 512, 0, equal ? IN_SYNC : OUT_OF_SYNC);
    this.#done(read);
  }

  /** P_NEG_RS_DREPLY while verifying: the peer has no disk that can be read. */
  refused(packet: BlockAckPacket): boolean {
    const read = this.#reads.get(packet.sector);
    if (read === undefined) return false;
    this.#done(read);
    return true;
  }

  #done(read: VerifyRead): void {
    this.#reads.delete(read.sector);
    this.#ctx.count.peerPending -= 1;
    this.#left -= 1;
    this.#pace?.received(read.end - read.sector);
    this.#progress?.update(this.#left, this.#ctx.now);
    this.#ctx.release(read);
    this.tick();
  }

  #finishIfDone(): void {
    if (this.#cursor < this.#stop || this.#reads.size > 0) return;
    this.#tell();
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    this.#ctx.metadata?.writePages("none");
    this.#ctx.notice({ kind: "verifyDone", outOfSyncBlocks: this.#outOfSync });
  }

  // -- the side that answers ------------------------------------------------------------------------------------------

  /** P_OV_REQUEST: the first says where it begins. */
  asked(packet: BlockRequestPacket): void {
    if (this.#side !== "target" || this.#left >= 0) return;
    const { sectors } = this.#ctx.host;
    this.#left = Math.ceil((sectors - packet.sector) / 8);
    this.#progress = new Progress("verify", this.#left, this.#ctx.now);
  }

  /** P_OV_RESULT. */
  result(packet: BlockAckPacket): void {
    const ctx = this.#ctx;
    if (this.#side !== "target") return;
    if (!ctx.validRange(packet.sector, packet.bytes, 1024 * 1024, packet.command)) return;
    if (packet.idHigh === 0 && packet.idLow === OUT_OF_SYNC) {
      this.#outOfSync += Math.ceil(packet.bytes / 4096);
      ctx.metadata?.bits.setRange(packet.sector, packet.bytes / 512);
    }
    this.#left -= Math.ceil(packet.bytes / 4096);
    this.#progress?.update(this.#left, ctx.now);
    if (this.#left <= 0) this.#tell();
  }
}
