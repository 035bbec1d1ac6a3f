/**
 * The two bitmaps become one on both sides before a resync (drbd.md 6.1): the source sends first, the target adds it to its own and
 * sends the result back. What was merged is durable before anything builds on it.
 */
import { BitmapReceiver, BitmapSender } from "../metadata/index.ts";
import type { BitmapPacket, BlockRangePacket } from "../wire/packets.ts";
import { type DataContext, MAX_RANGE_BYTES } from "./context.ts";

/** One exchange at a time, in either direction; a lost connection ends it. */
export class BitmapExchange {
  readonly #ctx: DataContext;
  #receiver: BitmapReceiver | undefined;
  #role: "source" | "target" | undefined;
  #complete = false;

  constructor(ctx: DataContext) {
    this.#ctx = ctx;
  }

  /** WFBitMapS begins: our bitmap goes out; then the target's is awaited. */
  beginAsSource(): void {
    this.#begin("source");
    this.#send();
    this.#ctx.notice({ kind: "bitmapSent" });
  }

  /** WFBitMapT begins: the source's bitmap is awaited. */
  beginAsTarget(): void {
    this.#begin("target");
  }

  end(): void {
    this.#role = undefined;
    this.#receiver = undefined;
  }

  #begin(role: "source" | "target"): void {
    const { metadata } = this.#ctx;
    if (metadata === undefined) return;
    this.#role = role;
    this.#complete = false;
    this.#receiver = new BitmapReceiver(metadata.bits);
  }

  #send(): void {
    const ctx = this.#ctx;
    const { metadata, volume } = ctx;
    if (metadata === undefined) return;
    const sender = new BitmapSender(metadata.bits, ctx.options.spec.net.compressBitmap);
    for (let part = sender.next(); part !== undefined; part = sender.next()) {
      // A plain part is a view of the bitmap, which goes on changing.
      const bytes = part.command === "P_BITMAP" ? new Uint8Array(part.bytes) : part.bytes;
      ctx.send("data", { command: part.command, volume, bytes });
    }
  }

  packet(packet: BitmapPacket): void {
    const ctx = this.#ctx;
    const receiver = this.#receiver;
    if (receiver === undefined || this.#complete) {
      ctx.violation("BTN-DISK-DATA-BITMAP", `a bitmap in the state ${ctx.conn}`);
      return;
    }
    const taken = receiver.take(packet.command, packet.bytes);
    if (!taken.ok) {
      ctx.violation("BTN-DISK-DATA-BITMAP", taken.error.message);
      return;
    }
    if (!taken.value) return;
    this.#complete = true;
    if (this.#role === "target") this.#send();
    if (ctx.metadata?.writePages("exchanged") !== true) this.durable();
  }

  /** What was merged is on the disk. */
  durable(): void {
    if (this.#role === undefined || !this.#complete) return;
    const role = this.#role;
    this.end();
    this.#ctx.notice({ kind: "bitmapReceived" });
    if (role === "target") this.#ctx.notice({ kind: "bitmapSent" });
  }

  /** P_OUT_OF_SYNC: the source writes without us. Setting bits is safe in every state. */
  outOfSync(packet: BlockRangePacket): void {
    const ctx = this.#ctx;
    if (!ctx.validRange(packet.sector, packet.bytes, MAX_RANGE_BYTES, packet.command)) return;
    ctx.metadata?.bits.setRange(packet.sector, packet.bytes / 512);
  }
}
