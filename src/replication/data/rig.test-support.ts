/**
 * Two data paths on a wire in memory, with disks that forget what was not flushed, a control that knows just enough, and judges that
 * keep their own account. Everything that is pending is done in an order that a seed decides.
 */
import { assert, type Instant, instant, Prng } from "../../base/index.ts";
import type { DeviceState, DiskEffect, MetadataWrite } from "../contract.ts";
import {
  Bitmap,
  encodeSuperblock,
  freshSuperblock,
  type MetadataLayout,
  planLayout,
  readRing,
} from "../metadata/index.ts";
import type { DiskSpec, NetOptions, ResyncOptions } from "../options.ts";
import type { DataHost, DataNotice, Digests, DiskCoreOptions, Session } from "../shared.ts";
import { dataFlag, type Packet } from "../wire/packets.ts";
import { DataCore } from "./data-core.ts";

export const testDigests: Digests = {
  digest(_algorithm, bytes) {
    let sum = 2166136261;
    for (const byte of bytes) sum = Math.imul(sum ^ byte, 16777619) >>> 0;
    return Uint8Array.of(sum >>> 24, sum >>> 16, sum >>> 8, sum);
  },
  hmac: () => new Uint8Array(4),
  supports: () => true,
};

export interface RigOptions {
  readonly seed: number;
  readonly sectors: number;
  readonly net?: Partial<NetOptions>;
  readonly session?: Partial<Session>;
  readonly activityLogExtents?: number;
  readonly readBalancing?: "prefer-local" | "prefer-remote" | "round-robin";
  readonly thinBytes?: number;
  readonly resync?: Partial<ResyncOptions>;
  readonly diskTimeoutMs?: number;
}

const net: NetOptions = {
  protocol: "C",
  timeoutMs: 6000,
  connectIntervalMs: 10_000,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 500,
  socketCheckTimeoutMs: 0,
  maxBuffers: 2048,
  maxEpochSize: 2048,
  sendBufferBytes: 0,
  receiveBufferBytes: 0,
  koCount: 7,
  allowTwoPrimaries: false,
  alwaysAfterSplitBrain: false,
  afterSplitBrain0Primaries: "disconnect",
  afterSplitBrain1Primary: "disconnect",
  afterSplitBrain2Primaries: "disconnect",
  roleConflict: "disconnect",
  authentication: undefined,
  dataIntegrity: undefined,
  verify: "crc32c",
  checksumResync: undefined,
  checksumResyncAfterCrashOnly: false,
  cork: true,
  compressBitmap: true,
  onCongestion: "block",
  congestionFillBytes: 0,
  congestionExtents: 0,
  flushWaitsForPeer: true,
};

export function specOf(options: RigOptions): DiskSpec {
  const side = (host: string) => ({
    host,
    backing: "/dev/null",
    metadata: { kind: "external" as const, device: "/dev/null" },
    address: "127.0.0.1",
    port: 7788,
    minor: 0,
  });
  return {
    name: "r0",
    volume: 0,
    hosts: [side("alice"), side("bob")],
    net: { ...net, ...options.net },
    disk: {
      sizeSectors: 0,
      onIoError: "detach",
      fencing: "dont-care",
      flushes: true,
      metadataFlushes: true,
      diskTimeoutMs: options.diskTimeoutMs ?? 0,
      readBalancing: options.readBalancing ?? "prefer-local",
      resync: {
        rateKibPerSecond: 250,
        planAheadSteps: 20,
        delayTargetSteps: 10,
        fillTargetSectors: 100,
        maxRateKibPerSecond: 1_024_000,
        minRateKibPerSecond: 0,
        after: undefined,
        ...options.resync,
      },
      activityLogExtents: options.activityLogExtents ?? 1237,
      activityLogUpdates: true,
      discardZeroesIfAligned: true,
      resyncDiscardGranularityBytes: options.thinBytes ?? 0,
    },
    onNoDataAccessible: "io-error",
    startup: {
      waitForConnectionMs: 0,
      degradedWaitForConnectionMs: 0,
      outdatedWaitForConnectionMs: 0,
      becomePrimaryOn: [],
    },
    handlers: {},
  };
}

const metadataSectors = 2048;

interface Version {
  readonly tag: number;
  readonly version: number;
}

/** A disk of sectors that each hold one number; what was not flushed is lost with the power. */
export class SimDisk {
  readonly now = new Map<number, number>();
  readonly durable = new Map<number, number>();
  dirty = new Map<number, Version>();
  /** Writes are counted, so that an older one never follows a newer one to the platter. */
  #version = 0;
  readonly #durableVersion = new Map<number, number>();
  metadata = new Uint8Array(metadataSectors * 512);

  read(sector: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count * 512);
    const words = new Uint32Array(bytes.buffer);
    for (let index = 0; index < count; index++) {
      const tag = this.now.get(sector + index) ?? 0;
      if (tag !== 0) words.fill(tag, index * 128, (index + 1) * 128);
    }
    return bytes;
  }

  write(sector: number, data: Uint8Array): void {
    const words = new Uint32Array(data.slice().buffer);
    for (let index = 0; index < data.length / 512; index++) {
      const tag = words[index * 128] as number;
      assert(words[index * 128 + 127] === tag, `A sector was torn or came from a reused buffer`);
      this.set(sector + index, tag);
    }
  }

  set(sector: number, tag: number): void {
    this.#version += 1;
    this.now.set(sector, tag);
    this.dirty.set(sector, { tag, version: this.#version });
  }

  flush(what: ReadonlyMap<number, Version>): void {
    for (const [sector, { tag, version }] of what) {
      if (version <= (this.#durableVersion.get(sector) ?? 0)) continue;
      this.#durableVersion.set(sector, version);
      this.durable.set(sector, tag);
      if (this.dirty.get(sector)?.version === version) this.dirty.delete(sector);
    }
  }

  /** Force unit access: these sectors at once. */
  flushRange(sector: number, count: number): void {
    const some = new Map<number, Version>();
    for (let at = sector; at < sector + count; at++) {
      const found = this.dirty.get(at);
      if (found !== undefined) some.set(at, found);
    }
    this.flush(some);
  }

  /** What is left after the power was cut: unflushed sectors may be there, or not. */
  crash(random: Prng): void {
    const some = [...this.dirty].filter(() => random.chance(0.5));
    this.flush(new Map(some));
    this.dirty.clear();
    this.now.clear();
    for (const [sector, tag] of this.durable) this.now.set(sector, tag);
  }
}

/** Contents of a write: every sector filled with `tag`. */
export function filled(tag: number, sectors: number): Uint8Array {
  const data = new Uint8Array(sectors * 512);
  new Uint32Array(data.buffer).fill(tag);
  return data;
}

type Pending =
  | { readonly kind: "io"; readonly run: () => void }
  | { readonly kind: "metadata"; readonly run: () => void };

type Wired =
  | { readonly kind: "packet"; readonly packet: Packet; readonly poison: Uint8Array | undefined }
  | { readonly kind: "control"; readonly what: "syncUuid" | "finished" | "ahead" };

interface Answer {
  readonly ok: boolean;
  readonly data: Uint8Array | undefined;
}

export class Side {
  readonly name: "alice" | "bob";
  readonly rig: Rig;
  core: DataCore;
  state: DeviceState;
  session: Session | undefined;
  disk: SimDisk;
  readonly layout: MetadataLayout;
  pending: Pending[] = [];
  readonly outData: Wired[] = [];
  readonly outMeta: Wired[] = [];
  notices: DataNotice[] = [];
  readonly answers = new Map<number, Answer>();
  /** The bitmap area in memory, that the core changes. */
  area = new Uint8Array(0);
  #token = 0;
  #io = 0;
  #metadataQueue: { readonly token: number; readonly writes: readonly MetadataWrite[] }[] = [];
  #metadataFlying = false;
  #incarnation = 0;
  // Judges.
  #sequence = 0;
  #epochWrites = 0;
  readonly barriers: { readonly barrier: number; readonly writes: number }[] = [];
  /** Replies owed to the peer for its resync requests. */
  failIo: ((effect: DiskEffect) => boolean) | undefined;

  constructor(rig: Rig, name: "alice" | "bob") {
    this.rig = rig;
    this.name = name;
    this.disk = new SimDisk();
    const layout = planLayout(
      { kind: "external" },
      { backingSectors: rig.options.sectors, metadataSectors },
    );
    assert(layout.ok, "The rig's devices are large enough");
    this.layout = layout.value;
    const superblock = {
      ...freshSuperblock(this.layout, 1n),
      lastAgreedSectors: rig.options.sectors,
    };
    this.disk.metadata.set(encodeSuperblock(superblock), this.layout.superblockOffset);
    this.state = {
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
    this.core = this.#boot();
  }

  get peer(): Side {
    return this.name === "alice" ? this.rig.bob : this.rig.alice;
  }

  #boot(): DataCore {
    this.#incarnation += 1;
    const host: DataHost = this.#host();
    const options: DiskCoreOptions = {
      spec: specOf(this.rig.options),
      host: this.name,
      digests: testDigests,
      secret: undefined,
      random64: () => 7n,
    };
    return new DataCore(options, host);
  }

  #host(): DataHost {
    const side = this;
    return {
      get state() {
        return side.state;
      },
      get session() {
        return side.session;
      },
      afterCrash: true,
      sectors: this.rig.options.sectors,
      emit: (effect) => this.#perform(effect),
      notice: (notice) => this.#notice(notice),
      writeMetadata: (writes) => {
        this.#token += 1;
        this.#metadataQueue.push({
          token: this.#token,
          writes: writes.map(({ offset, bytes }) => ({ offset, bytes: bytes.slice() })),
        });
        this.#startMetadata();
        return this.#token;
      },
      nextIo: () => {
        this.#io += 1;
        return this.#io;
      },
    };
  }

  attach(disk: "UpToDate" | "Inconsistent"): void {
    const { bitmapOffset, bitmapBytes, activityLogOffset, activityLogBytes } = this.layout;
    const { metadata } = this.disk;
    this.area = metadata.slice(bitmapOffset, bitmapOffset + bitmapBytes);
    this.core.attached(
      {
        superblock: metadata.slice(
          this.layout.superblockOffset,
          this.layout.superblockOffset + 4096,
        ),
        activityLog: metadata.slice(activityLogOffset, activityLogOffset + activityLogBytes),
        bitmap: this.area,
        backingSectors: this.rig.options.sectors,
        metadataSectors,
        discards: true,
      },
      this.rig.now,
    );
    this.change({ disk });
  }

  change(to: Partial<DeviceState>): void {
    const before = this.state;
    this.state = { ...before, ...to };
    this.rig.note(this, this.state.conn, {});
    this.core.stateChanged(before, this.state, this.rig.now);
  }

  begin(session: Session): void {
    this.session = session;
    this.#sequence = 0;
    this.#epochWrites = 0;
    this.barriers.length = 0;
    this.core.sessionBegan(session);
  }

  /** The power is cut: everything in memory is gone. `primary`: its activity log becomes bits. */
  crash(primary: boolean): void {
    this.pending = [];
    this.#metadataQueue = [];
    this.#metadataFlying = false;
    this.answers.clear();
    this.disk.crash(this.rig.random);
    if (primary) {
      const { bitmapOffset } = this.layout;
      for (const extent of this.logged()) {
        this.disk.metadata.fill(
          255,
          bitmapOffset + extent * 128,
          bitmapOffset + extent * 128 + 128,
        );
      }
    }
    this.state = { ...this.state, role: "Secondary", conn: "StandAlone", disk: "Diskless" };
    this.core = this.#boot();
  }

  /** Extents of the activity log as it is on the disk. */
  logged(): readonly number[] {
    const { activityLogOffset, activityLogBytes, ring } = this.layout;
    const { metadata } = this.disk;
    return readRing(
      metadata.subarray(activityLogOffset, activityLogOffset + activityLogBytes),
      ring,
    ).extents;
  }

  isMarked(sector: number, where: "memory" | "disk"): boolean {
    const bit = Math.floor(sector / 8);
    const bytes =
      where === "memory" ? this.area : this.disk.metadata.subarray(this.layout.bitmapOffset);
    return ((bytes[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
  }

  marks(): number {
    return new Bitmap(this.area.slice(), this.rig.options.sectors).count;
  }

  // -- effects ------------------------------------------------------------------------------------------------------

  #later(kind: "io" | "metadata", run: () => void): void {
    const incarnation = this.#incarnation;
    this.pending.push({ kind, run: () => incarnation === this.#incarnation && run() });
  }

  #perform(effect: DiskEffect): void {
    if (effect.kind !== "send") this.rig.note(this, effect.kind, effect);
    const { disk } = this;
    const { now } = this.rig;
    const failed = this.failIo?.(effect) === true;
    switch (effect.kind) {
      case "localRead": {
        const { io, sector, bytes } = effect;
        this.#later("io", () => {
          const data = disk.read(sector, bytes / 512);
          this.core.ioDone(io, !failed, failed ? undefined : data, this.rig.now);
          data.fill(0xee);
        });
        return;
      }
      case "localWrite": {
        const { io, sector, fua } = effect;
        const data = effect.data.slice();
        this.#later("io", () => {
          if (!failed) disk.write(sector, data);
          if (fua && !failed) {
            disk.flushRange(sector, data.length / 512);
          }
          this.core.ioDone(io, !failed, undefined, this.rig.now);
        });
        return;
      }
      case "localDiscard":
      case "localZero": {
        const { io, sector, sectors } = effect;
        this.#later("io", () => {
          for (let at = sector; at < sector + sectors && !failed; at++) disk.set(at, 0);
          this.core.ioDone(io, !failed, undefined, this.rig.now);
        });
        return;
      }
      case "localFlush": {
        const { io } = effect;
        const what = new Map(disk.dirty);
        this.#later("io", () => {
          if (!failed) disk.flush(what);
          this.core.ioDone(io, !failed, undefined, now < this.rig.now ? this.rig.now : now);
        });
        return;
      }
      case "send":
        this.#send(effect.socket, effect.packet);
        return;
      case "answer":
        this.rig.answered(this, effect.id, effect.ok);
        this.answers.set(effect.id, {
          ok: effect.ok,
          data: effect.ok ? effect.data?.slice() : undefined,
        });
        return;
      default:
        throw new Error(`The data path does not emit ${effect.kind}`);
    }
  }

  #startMetadata(): void {
    const next = this.#metadataQueue[0];
    if (next === undefined || this.#metadataFlying) return;
    this.#metadataFlying = true;
    this.#later("metadata", () => {
      this.#metadataFlying = false;
      this.#metadataQueue.shift();
      for (const { offset, bytes } of next.writes) this.disk.metadata.set(bytes, offset);
      this.core.metadataDone(next.token, true, this.rig.now);
      this.#startMetadata();
    });
  }

  #send(socket: "data" | "meta", packet: Packet): void {
    this.rig.note(this, packet.command, packet);
    this.#judge(packet);
    let copy = packet;
    let poison: Uint8Array | undefined;
    if ("data" in packet && packet.data !== undefined) {
      poison = packet.data.slice();
      copy = { ...packet, data: poison } as Packet;
    }
    (socket === "data" ? this.outData : this.outMeta).push({
      kind: "packet",
      packet: copy,
      poison,
    });
  }

  tell(what: "syncUuid" | "finished" | "ahead"): void {
    this.outData.push({ kind: "control", what });
  }

  /** Sequence numbers without gaps, barriers with exact counts (I4). */
  #judge(packet: Packet): void {
    if (
      "sequence" in packet &&
      packet.command !== "P_DATA_REPLY" &&
      packet.command !== "P_RS_DATA_REPLY"
    ) {
      this.#sequence += 1;
      assert(
        packet.sequence === this.#sequence,
        `Sequence number ${packet.sequence} of ${packet.command}`,
      );
    }
    switch (packet.command) {
      case "P_DATA":
      case "P_TRIM":
      case "P_ZEROES":
        this.#epochWrites += 1;
        break;
      case "P_BARRIER":
        assert(this.#epochWrites > 0, "A barrier for an empty epoch");
        this.barriers.push({ barrier: packet.barrier, writes: this.#epochWrites });
        this.#epochWrites = 0;
        break;
      case "P_BARRIER_ACK": {
        const oldest = this.peer.barriers.shift();
        assert(
          oldest?.barrier === packet.barrier && oldest.writes === packet.writes,
          `Barrier ack ${packet.barrier} with ${packet.writes} writes, due is ${JSON.stringify(oldest)}`,
        );
        break;
      }
      default:
    }
  }

  // -- a control that knows just enough ---------------------------------------------------------------------------------

  #notice(notice: DataNotice): void {
    this.notices.push(notice);
    this.rig.noticed(this, notice);
    switch (notice.kind) {
      case "bitmapReceived":
        if (this.state.conn !== "WFBitMapS") return;
        this.tell("syncUuid");
        this.change({ conn: "SyncSource", pdsk: "Inconsistent" });
        return;
      case "bitmapSent":
        if (this.state.conn === "WFBitMapT") this.change({ conn: "WFSyncUUID" });
        return;
      case "resyncDone":
        this.change({ conn: "Connected", disk: "UpToDate" });
        this.tell("finished");
        return;
      case "verifyDone":
        this.change({ conn: "Connected" });
        return;
      case "congested":
        this.change({ conn: "Ahead", pdsk: "Consistent" });
        this.tell("ahead");
        return;
      case "congestionOver":
        this.change({ conn: "SyncSource", pdsk: "Inconsistent" });
        this.tell("syncUuid");
        return;
      default:
    }
  }

  /** Takes what the peer sent next on this socket. */
  deliver(socket: "data" | "meta"): boolean {
    const queue = socket === "data" ? this.peer.outData : this.peer.outMeta;
    const next = queue.shift();
    if (next === undefined) return false;
    if (next.kind === "packet") {
      this.core.packet(socket, next.packet, this.rig.now);
      next.poison?.fill(0xee);
    } else if (next.what === "syncUuid") {
      this.change({ conn: "SyncTarget", disk: "Inconsistent" });
    } else if (next.what === "finished") {
      this.change({ conn: "Connected", pdsk: "UpToDate" });
    } else {
      this.change({ conn: "Behind", disk: "Outdated" });
    }
    return true;
  }
}

export const dataFlags = dataFlag;

interface Tracked {
  readonly tag: number;
  readonly issued: number;
  acked: number;
}
interface Issued {
  readonly sector: number;
  readonly sectors: number;
  readonly tracked: Tracked;
}

/** The two sides, the wire, time, and what the application knows of its own writes. */
export class Rig {
  readonly options: RigOptions;
  readonly random: Prng;
  readonly alice: Side;
  readonly bob: Side;
  now: Instant = instant(1000);
  #clock = 0;
  #id = 0;
  #tag = 1;
  /** By sector: writes whose content may be read there. */
  readonly model = new Map<number, Tracked[]>();
  readonly #issued = new Map<number, Issued>();
  readonly #flushes = new Map<number, number>();
  readonly failures: string[] = [];
  /** What happened, if somebody wants to know: set it to an array. */
  trace: string[] | undefined;
  /** False: errors of requests and violations of the peer are part of the test. */
  honest = true;

  constructor(options: RigOptions) {
    this.options = options;
    this.random = new Prng(options.seed);
    this.alice = new Side(this, "alice");
    this.bob = new Side(this, "bob");
    this.alice.attach("UpToDate");
    this.bob.attach("UpToDate");
  }

  session(): Session {
    return {
      version: 101,
      features: 15,
      resolveConflicts: false,
      integrity: undefined,
      verify: "crc32c",
      checksumResync: undefined,
      protocol: this.options.net?.protocol ?? "C",
      baton: true,
      ...this.options.session,
    };
  }

  /** Both UpToDate and equal: no resync. */
  connect(primary: Side): void {
    this.alice.begin(this.session());
    this.bob.begin(this.session());
    const secondary = primary.peer;
    primary.change({
      role: "Primary",
      conn: "Connected",
      peer: "Secondary",
      pdsk: "UpToDate",
      disk: "UpToDate",
    });
    secondary.change({
      role: "Secondary",
      conn: "Connected",
      peer: "Primary",
      pdsk: "UpToDate",
      disk: "UpToDate",
    });
  }

  /** With a bitmap exchange: `source` has the data. */
  reconnect(source: Side): void {
    const target = source.peer;
    this.alice.begin(this.session());
    this.bob.begin(this.session());
    const peerOf = (side: Side) => side.peer.state.role;
    source.change({
      conn: "WFBitMapS",
      pdsk: "Consistent",
      peer: peerOf(source),
      suspFencing: false,
    });
    target.change({
      conn: "WFBitMapT",
      disk: "Inconsistent",
      pdsk: "UpToDate",
      peer: peerOf(target),
    });
  }

  /** The same peer is there again and missed nothing but what is in flight: I/O goes on, and that is sent once more. */
  resume(primary: Side): void {
    this.alice.begin(this.session());
    this.bob.begin(this.session());
    primary.peer.change({ conn: "Connected", peer: "Primary", pdsk: "UpToDate" });
    primary.change({ conn: "Connected", peer: "Secondary", pdsk: "UpToDate", suspFencing: false });
  }

  /** Everything on the wire is lost. */
  cut(suspend = false): void {
    for (const side of [this.alice, this.bob]) {
      side.outData.length = 0;
      side.outMeta.length = 0;
    }
    for (const side of [this.alice, this.bob]) {
      side.session = undefined;
      const outdated = side.state.disk === "Inconsistent" || side.state.disk === "Outdated";
      side.change({
        conn: "WFConnection",
        pdsk: "DUnknown",
        peer: "Unknown",
        disk: side.state.disk === "Diskless" ? "Diskless" : outdated ? "Inconsistent" : "UpToDate",
        suspFencing: suspend && side.state.role === "Primary",
      });
    }
  }

  /** How often each packet and state was seen: a run that exercises nothing proves nothing. */
  readonly seen = new Map<string, number>();

  note(side: Side, what: string, detail: object): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
    if (this.trace === undefined) return;
    const { sector, sectors, bytes, data } = detail as {
      sector?: number;
      sectors?: number;
      bytes?: number;
      data?: Uint8Array;
    };
    const length = sectors ?? (bytes ?? data?.length ?? 0) / 512;
    const tag = data === undefined ? "" : new Uint32Array(data.slice(0, 4).buffer)[0];
    this.trace.push(`${side.name} ${what} ${sector ?? ""} ${length === 0 ? "" : length} ${tag}`);
  }

  // -- the application ------------------------------------------------------------------------------------------------

  write(side: Side, sector: number, sectors: number, fua = false): number {
    this.#id += 1;
    this.#tag += 1;
    const tracked: Tracked = {
      tag: this.#tag,
      issued: this.#clock,
      acked: Number.POSITIVE_INFINITY,
    };
    this.#track(this.#id, sector, sectors, tracked);
    const data = filled(this.#tag, sectors);
    side.core.request(this.#id, { op: "write", sector, data, fua }, this.now);
    data.fill(0xee);
    return this.#id;
  }

  discard(side: Side, sector: number, sectors: number, op: "discard" | "zero"): number {
    this.#id += 1;
    const tracked: Tracked = { tag: 0, issued: this.#clock, acked: Number.POSITIVE_INFINITY };
    this.#track(this.#id, sector, sectors, tracked);
    const request =
      op === "discard" ? { op, sector, sectors } : { op, sector, sectors, mayUnmap: false };
    side.core.request(this.#id, request, this.now);
    return this.#id;
  }

  flush(side: Side): number {
    this.#id += 1;
    this.#flushes.set(this.#id, this.#clock);
    side.core.request(this.#id, { op: "flush" }, this.now);
    return this.#id;
  }

  read(side: Side, sector: number, sectors: number): number {
    this.#id += 1;
    side.core.request(this.#id, { op: "read", sector, bytes: sectors * 512 }, this.now);
    return this.#id;
  }

  #track(id: number, sector: number, sectors: number, tracked: Tracked): void {
    this.#issued.set(id, { sector, sectors, tracked });
    for (let at = sector; at < sector + sectors; at++) {
      const known = this.model.get(at);
      if (known === undefined) this.model.set(at, [{ tag: 0, issued: -1, acked: -1 }, tracked]);
      else known.push(tracked);
    }
  }

  answered(side: Side, id: number, ok: boolean): void {
    if (this.honest && !ok) this.failures.push(`request ${id} failed`);
    const write = this.#issued.get(id);
    if (write !== undefined) {
      this.#clock += 1;
      write.tracked.acked = this.#clock;
      this.#clock += 1;
      this.#issued.delete(id);
    }
    const flush = this.#flushes.get(id);
    if (flush === undefined || !ok) return;
    this.#flushes.delete(id);
    this.#checkFlush(side, flush);
  }

  /** Whether a write may be what is there, given what was acknowledged up to a moment. */
  #mayBeThere(writes: readonly Tracked[], tag: number, upTo: number): boolean {
    return writes.some(
      (write) =>
        write.tag === tag &&
        !writes.some((other) => other.issued > write.acked && other.acked <= upTo),
    );
  }

  /** R1, S3: what was answered before the flush is durable here, and there if connected. */
  #checkFlush(side: Side, since: number): void {
    const sides = side.state.conn === "Connected" ? [side, side.peer] : [side];
    for (const [sector, writes] of this.model) {
      for (const { disk, name } of sides) {
        const tag = disk.durable.get(sector) ?? 0;
        if (this.#mayBeThere(writes, tag, since)) continue;
        this.failures.push(
          `after a flush sector ${sector} of ${name} holds ${tag}, which is not durable data`,
        );
      }
    }
  }

  noticed(side: Side, notice: DataNotice): void {
    if (!this.honest) return;
    if (
      notice.kind === "peerViolation" ||
      notice.kind === "localIoError" ||
      notice.kind === "peerTooSlow"
    ) {
      this.failures.push(`${side.name}: ${JSON.stringify(notice)}`);
    }
  }

  // -- going on ---------------------------------------------------------------------------------------------------------

  /** One thing that is pending, chosen by the seed. False: nothing is. */
  step(): boolean {
    const { random } = this;
    const choices: (() => void)[] = [];
    for (const side of [this.alice, this.bob]) {
      if (side.peer.outData.length > 0) choices.push(() => void side.deliver("data"));
      if (side.peer.outMeta.length > 0) choices.push(() => void side.deliver("meta"));
      if (side.pending.length > 0) {
        choices.push(() => {
          const [one] = side.pending.splice(random.between(0, side.pending.length - 1), 1);
          one?.run();
        });
      }
    }
    if (choices.length > 0) {
      random.pick(choices)();
      return true;
    }
    return false;
  }

  /** Lets time pass up to the next thing that a side waits for. False: nobody waits. */
  wait(limitMs = 5_000): boolean {
    const wakes = [this.alice.core.wakeAt(), this.bob.core.wakeAt()].filter(
      (at) => at !== undefined,
    );
    if (wakes.length === 0) return false;
    const next = Math.min(...wakes);
    if (next > this.now + limitMs) return false;
    this.now = instant(Math.max(next, this.now + 1));
    this.alice.core.tick(this.now);
    this.bob.core.tick(this.now);
    return true;
  }

  /** Until nothing is pending, `until` holds, or it takes too long. */
  settle(until: () => boolean = () => false, most = 200_000): void {
    for (let count = 0; count < most; count++) {
      if (this.step()) continue;
      if (until()) return;
      // To ask may have begun something.
      if (!this.step() && !this.wait()) return;
    }
    throw new Error(`No end after ${most} steps: ${this.alice.state.conn} ${this.bob.state.conn}`);
  }

  /** I1: sectors that differ are marked, or covered by the activity log of the writer. */
  checkMarks(primary: Side, where: "memory" | "disk"): void {
    const extents = new Set(primary.logged());
    const [left, right] = [this.alice.disk, this.bob.disk];
    for (const sector of this.model.keys()) {
      const l = (where === "memory" ? left.now : left.durable).get(sector) ?? 0;
      const r = (where === "memory" ? right.now : right.durable).get(sector) ?? 0;
      if (l === r) continue;
      const covered =
        this.alice.isMarked(sector, where) ||
        this.bob.isMarked(sector, where) ||
        extents.has(Math.floor(sector / 8192));
      assert(covered, `Sector ${sector} differs (${l}, ${r}) ${where}, and nothing says so`);
    }
  }

  checkEqual(): void {
    for (const [sector, writes] of this.model) {
      const left = this.alice.disk.now.get(sector) ?? 0;
      const right = this.bob.disk.now.get(sector) ?? 0;
      assert(left === right, `Sector ${sector} differs: ${left}, ${right}`);
      assert(
        this.#mayBeThere(writes, left, this.#clock),
        `Sector ${sector} holds ${left}, not one of ${JSON.stringify(writes)}`,
      );
    }
  }

  checkHonest(): void {
    assert(this.failures.length === 0, this.failures.slice(0, 3).join("; "));
  }
}
