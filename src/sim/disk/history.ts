/**
 * What the application knows of its own writes, and so which values may be read where (reliability 7.3). Each write has a
 * number of its own; discards and zero-outs write 0. Moments are counted, not timed: acknowledged before issued is what
 * orders two writes.
 */

/** One write of some sectors; shared by the lists of all of them. */
export interface Written {
  readonly tag: number;
  readonly sector: number;
  readonly sectors: number;
  readonly issued: number;
  /** Infinity: never, so that it may or may not have happened. */
  acked: number;
}

const origin: Written = { tag: 0, sector: 0, sectors: 0, issued: -1, acked: -1 };

/** What must be there at the least: acknowledged up to `flushed`, or since `since` (and not lost with the power). */
export interface Demand {
  readonly flushed: number;
  readonly since: number;
  /** What was acknowledged later is not asked for; absent: all is. */
  readonly upTo?: number;
}

/** What was written, acknowledged and flushed: which values a block may hold. */
export class History {
  #moment = 0;
  #tag = 0;
  readonly #sectors = new Map<number, Written[]>();
  /** Everything acknowledged before this moment was flushed, and the flush acknowledged. */
  flushed = -1;

  /** The present; each call is a moment of its own. */
  moment(): number {
    this.#moment += 1;
    return this.#moment;
  }

  /** A write is issued. */
  begin(sector: number, sectors: number, isZero: boolean): Written {
    if (!isZero) this.#tag += 1;
    const tag = isZero ? 0 : this.#tag;
    const write: Written = {
      tag,
      sector,
      sectors,
      issued: this.moment(),
      acked: Number.POSITIVE_INFINITY,
    };
    for (let at = sector; at < sector + sectors; at++) {
      const known = this.#sectors.get(at);
      if (known === undefined) this.#sectors.set(at, [origin, write]);
      else known.push(write);
    }
    return write;
  }

  acknowledge(write: Written): void {
    write.acked = this.moment();
  }

  /** A flush that was issued at this moment is acknowledged. */
  acknowledgeFlush(issued: number): void {
    if (issued <= this.flushed) return;
    this.flushed = issued;
    this.#forget();
  }

  /** Values that can never be right again: something that followed them is flushed. */
  #forget(): void {
    for (const [sector, writes] of this.#sectors) {
      if (writes.length < 8) continue;
      let newest = -1;
      for (const { issued, acked } of writes) {
        if (acked <= this.flushed && issued > newest) newest = issued;
      }
      this.#sectors.set(
        sector,
        writes.filter(({ acked }) => acked >= newest),
      );
    }
  }

  /** Sectors that were ever written to. */
  sectors(): Iterable<number> {
    return this.#sectors.keys();
  }

  /** Whether `tag` may be in a sector of which this much is demanded. */
  allows(
    sector: number,
    tag: number,
    { flushed, since, upTo = Number.MAX_VALUE }: Demand,
  ): boolean {
    const writes = this.#sectors.get(sector);
    if (writes === undefined) return tag === 0;
    let newest = -1;
    for (const { issued, acked } of writes) {
      const isDemanded = acked <= flushed || (acked >= since && acked <= upTo);
      if (isDemanded && issued > newest) newest = issued;
    }
    return writes.some((write) => write.tag === tag && write.acked >= newest);
  }

  /** A promoted copy holds this: what should have followed it was never flushed, and is lost for good (or comes back by a copy that has it). */
  settle(sector: number, tag: number): void {
    const writes = this.#sectors.get(sector);
    if (writes === undefined) return;
    let held = -1;
    for (const write of writes) if (write.tag === tag && write.acked > held) held = write.acked;
    if (!writes.some(({ issued, acked }) => issued > held && acked < Number.POSITIVE_INFINITY))
      return;
    this.#sectors.set(
      sector,
      writes.map((write) =>
        write.issued > held ? { ...write, acked: Number.POSITIVE_INFINITY } : write,
      ),
    );
  }

  /** For a message: the newest writes of a sector. */
  tell(sector: number): string {
    const writes = this.#sectors.get(sector) ?? [];
    return writes
      .slice(-6)
      .map(({ tag, issued, acked }) => `${tag} (${issued}..${acked})`)
      .join(", ");
  }
}
