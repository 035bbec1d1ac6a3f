/** What the parts of the data path share: the state as last told, the disk's metadata, I/O under way, counters. */
import { type Instant, instant } from "../../base/index.ts";
import {
  type ConnectionStateName,
  connectionRank,
  type DeviceState,
  type DiskEffect,
  diskRank,
} from "../contract.ts";
import type { dataReasons } from "../reasons.data.ts";
import type { DataHost, DataNotice, DiskCoreOptions, Session } from "../shared.ts";
import { type BlockAckPacket, dataFlag, type Packet, SYNCER_ID } from "../wire/packets.ts";
import type { DiskMetadata } from "./disk-metadata.ts";
import { RangeIndex } from "./range-index.ts";
import type { HeldRange, Owner, PagesPurpose } from "./records.ts";

const nothing: DeviceState = {
  role: "Secondary",
  peer: "Unknown",
  conn: "StandAlone",
  disk: "Diskless",
  pdsk: "DUnknown",
  suspUser: false,
  suspNoData: false,
  suspFencing: false,
  afterPaused: false,
  peerPaused: false,
  userPaused: false,
};

/** Numbers of the connection states that rules compare with. */
const ranks = Object.fromEntries(
  (["Connected", "WFBitMapT", "SyncSource", "PausedSyncT", "Ahead"] as const).map((name) => [
    name,
    connectionRank(name),
  ]),
) as Record<"Connected" | "WFBitMapT" | "SyncSource" | "PausedSyncT" | "Ahead", number>;

/** What rules ask of a state, worked out once for each change. */
export interface Standing {
  readonly connected: boolean;
  readonly suspended: boolean;
  /** Application requests wait (drbd.md 3.1 step 1). */
  readonly unstable: boolean;
  /** Writes are sent to the peer; or only announced as out of sync; or neither. */
  readonly replicate: boolean;
  readonly announce: boolean;
  /** SyncSource to PausedSyncT: acks may clear bits. */
  readonly resyncing: boolean;
  /** There is a local disk to write to. */
  readonly hasDisk: boolean;
  readonly localUpToDate: boolean;
  readonly peerUpToDate: boolean;
  readonly peerHasDisk: boolean;
}

/** The rules of drbd.md 3.1 about one state. */
export function standingOf(state: DeviceState): Standing {
  const conn = connectionRank(state.conn);
  const connected = conn >= ranks.Connected;
  const pdsk = diskRank(state.pdsk);
  const peerUpToDate = connected && state.pdsk === "UpToDate";
  return {
    connected,
    suspended: state.suspUser || state.suspNoData || state.suspFencing,
    unstable:
      state.conn === "WFBitMapT" ||
      state.conn === "WFSyncUUID" ||
      state.disk === "Attaching" ||
      state.disk === "Negotiating",
    replicate:
      connected &&
      (peerUpToDate ||
        (pdsk >= diskRank("Inconsistent") &&
          state.pdsk !== "DUnknown" &&
          conn >= ranks.WFBitMapT &&
          conn < ranks.Ahead)),
    announce: state.conn === "Ahead" || state.conn === "WFBitMapS",
    resyncing: conn >= ranks.SyncSource && conn <= ranks.PausedSyncT,
    hasDisk: diskRank(state.disk) >= diskRank("Inconsistent"),
    localUpToDate: state.disk === "UpToDate",
    peerUpToDate,
    peerHasDisk: pdsk >= diskRank("Inconsistent"),
  };
}

export type DataReason = keyof typeof dataReasons;

/** One for each data path; the parts hold nothing in common but this. */
export class DataContext {
  readonly options: DiskCoreOptions;
  readonly host: DataHost;
  readonly volume: number;
  readonly ranges = new RangeIndex<Owner, HeldRange>();
  /** Local I/O under way, by the number in its effect. */
  readonly ios = new Map<number, Owner>();
  state: DeviceState = nothing;
  standing: Standing = standingOf(nothing);
  now: Instant = instant(0);
  session: Session | undefined;
  /** Counts connections: what belongs to an older one is not answered. */
  sessionNumber = 0;
  metadata: DiskMetadata | undefined;
  /** Sectors that the application moved to or from the disk since the process began: resync steps aside for it. */
  applicationSectors = 0;
  /** Writes of the peer that are not on the disk yet. */
  peerWrites = 0;
  /** Application writes that wait for a range of the resync. */
  applicationWaits = 0;
  readonly count = {
    sent: 0,
    received: 0,
    written: 0,
    read: 0,
    localPending: 0,
    peerPending: 0,
    unacknowledged: 0,
  };
  /** Set while a violation is known: nothing more is taken from this peer. */
  violated = false;
  /** Lets somebody go on who waited for a range or for the activity log; set by the core. */
  resume: (owner: Owner) => void = () => undefined;
  /** Bitmap pages are durable; set by the core. */
  pagesDurable: (purpose: PagesPurpose) => void = () => undefined;
  #notices: DataNotice[] = [];
  #sequence = 0;

  constructor(options: DiskCoreOptions, host: DataHost) {
    this.options = options;
    this.host = host;
    this.volume = options.spec.volume;
  }

  get conn(): ConnectionStateName {
    return this.state.conn;
  }

  beginSession(session: Session): void {
    this.session = session;
    this.sessionNumber += 1;
    this.#sequence = 0;
    this.violated = false;
  }

  endSession(): void {
    this.session = undefined;
    this.sessionNumber += 1;
  }

  /** The next number of drbd.md 3.4. */
  nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  emit(effect: DiskEffect): void {
    this.host.emit(effect);
  }

  /** Notices go out at the end of the step, when every record is as it should be: control may call back at once. */
  notice(notice: DataNotice): void {
    this.#notices.push(notice);
  }

  takeNotice(): DataNotice | undefined {
    return this.#notices.shift();
  }

  /** The peer broke the protocol: the connection ends, and what it still says is not heard. */
  violation(reason: DataReason, detail: string): void {
    if (this.violated) return;
    this.violated = true;
    this.notice({ kind: "peerViolation", reason, detail });
  }

  send(socket: "data" | "meta", packet: Packet): void {
    this.emit({ kind: "send", socket, packet });
  }

  ack(
    command: BlockAckPacket["command"],
    sector: number,
    bytes: number,
    idHigh: number = SYNCER_ID,
    idLow: number = SYNCER_ID,
  ): void {
    this.send("meta", {
      command,
      volume: this.volume,
      sector,
      bytes,
      idHigh,
      idLow,
      sequence: this.nextSequence(),
    });
  }

  /** Digest of a data packet, or undefined if none is agreed. */
  integrity(data: Uint8Array): Uint8Array | undefined {
    const algorithm = this.session?.integrity;
    return algorithm === undefined ? undefined : this.options.digests.digest(algorithm, data);
  }

  /** Starts local I/O of `owner`; its result comes to `owner`. */
  io(owner: Owner): number {
    const io = this.host.nextIo();
    this.ios.set(io, owner);
    this.count.localPending += 1;
    return io;
  }

  localRead(owner: Owner, sector: number, bytes: number): void {
    this.count.read += bytes / 512;
    this.emit({ kind: "localRead", io: this.io(owner), sector, bytes });
  }

  localFlush(owner: Owner): void {
    const io = this.io(owner);
    this.#flushes += 1;
    this.#flushIos.set(io, this.#flushes);
    this.emit({ kind: "localFlush", io });
  }

  /** Any local I/O is done: a flush covers what was written before it began. */
  ioEnded(io: number, ok: boolean): void {
    const flush = this.#flushIos.get(io);
    if (flush === undefined) return;
    this.#flushIos.delete(io);
    if (ok) this.flushedUpTo = Math.max(this.flushedUpTo, flush);
  }

  /** Flushes that have begun: what is written now is covered by the next. */
  get flushes(): number {
    return this.#flushes;
  }
  #flushes = 0;
  readonly #flushIos = new Map<number, number>();
  /** Number of the newest flush that is done. */
  flushedUpTo = 0;

  /** A write, discard or zero-out on the local disk. */
  localChange(
    owner: Owner,
    op: "write" | "discard" | "zero",
    range: { readonly sector: number; readonly end: number },
    how: {
      readonly data: Uint8Array | undefined;
      readonly fua: boolean;
      readonly mayUnmap: boolean;
    },
  ): void {
    const sectors = range.end - range.sector;
    this.count.written += sectors;
    const io = this.io(owner);
    const { sector } = range;
    if (op === "write") {
      const fua = how.fua && this.options.spec.disk.flushes;
      this.emit({ kind: "localWrite", io, sector, data: how.data as Uint8Array, fua });
    } else if (op === "discard" && this.metadata?.discards === true) {
      this.emit({ kind: "localDiscard", io, sector, sectors });
    } else {
      this.emit({ kind: "localZero", io, sector, sectors, mayUnmap: how.mayUnmap });
    }
  }

  /** Marks a range out of sync. Counted: what began before may not clear bits any more. Returns how many were clear. */
  mark(sector: number, end: number): number {
    this.marks += 1;
    return this.metadata?.bits.setRange(sector, end - sector) ?? 0;
  }
  marks = 0;

  /**
   * Takes a place in the index, once, and says whether everybody who came first is gone. False: `owner` is resumed when
   * one of them is, and asks again.
   */
  lock(owner: Owner & HeldRange): boolean {
    if (owner.order === 0) this.ranges.insert(owner);
    const other = this.ranges.conflict(owner.sector, owner.end, owner.exclusive, owner.order);
    if (other === undefined) return true;
    if (other.waiters === undefined) other.waiters = [owner];
    else other.waiters.push(owner);
    return false;
  }

  /** Gives the place up, and lets go on who waited for it. */
  release(range: HeldRange): void {
    if (range.order === 0) return;
    this.ranges.remove(range);
    const { waiters } = range;
    if (waiters === undefined) return;
    range.waiters = undefined;
    for (const waiter of waiters) this.resume(waiter);
  }

  /** The same for reads that nobody has to wait for. True: `owner` has to wait, and is resumed. */
  mustWait(owner: Owner, sector: number, end: number): boolean {
    const other = this.ranges.conflict(sector, end, false);
    if (other === undefined) return false;
    if (other.waiters === undefined) other.waiters = [owner];
    else other.waiters.push(owner);
    return true;
  }

  ioError(operation: "read" | "write" | "flush" | "metadata", sector: number, error: string): void {
    this.notice({ kind: "localIoError", operation, sector, error });
  }

  /** Sectors and sizes that a peer may name; violations are told. */
  validRange(sector: number, bytes: number, mostBytes: number, what: string): boolean {
    const good =
      Number.isSafeInteger(sector) &&
      sector >= 0 &&
      bytes > 0 &&
      bytes % 512 === 0 &&
      bytes <= mostBytes &&
      sector + bytes / 512 <= this.host.sectors;
    if (!good) {
      this.violation(
        "BTN-DISK-DATA-RANGE",
        `${what} at sector ${sector}, ${bytes} bytes; the device has ${this.host.sectors} sectors`,
      );
    }
    return good;
  }
}

/** Digests and zeroes are compared often: no allocation. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

export const MAX_DATA_BYTES = 1024 * 1024;
export const MAX_RANGE_BYTES = 128 * 1024 * 1024;
export { dataFlag };
