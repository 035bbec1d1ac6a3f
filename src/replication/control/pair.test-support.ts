/**
 * Two disk cores and what is between them: virtual time, disks in memory, two sockets as queues of packets. Test support.
 */
import { type Instant, instant, Prng } from "../../base/index.ts";
import type { DiskCommand, DiskEffect, DiskEvent, FenceResult, SocketName } from "../contract.ts";
import { Disk } from "../disk.ts";
import {
  encodeSuperblock,
  freshRing,
  freshSuperblock,
  type MetadataLayout,
  parseSuperblock,
  planLayout,
  replayActivityLog,
  type Superblock,
} from "../metadata/index.ts";
import type { DiskSpec, HandlerName, LocalDiskOptions, NetOptions } from "../options.ts";
import type { Digests } from "../shared.ts";
import type { Packet } from "../wire/packets.ts";

export type Side = "alice" | "bob";
export const otherSide = (side: Side): Side => (side === "alice" ? "bob" : "alice");

/** What a test changes of the defaults (drbd.md 9.3, as the captures were made). */
export interface SpecChanges {
  readonly net?: Partial<NetOptions>;
  readonly disk?: Partial<LocalDiskOptions>;
  readonly handlers?: DiskSpec["handlers"];
  readonly onNoDataAccessible?: DiskSpec["onNoDataAccessible"];
}

export function specOf(changes: SpecChanges = {}): DiskSpec {
  const host = (name: Side, last: number) => ({
    host: name,
    backing: "/dev/loop0",
    metadata: { kind: "internal" } as const,
    address: `10.77.0.${last}`,
    port: 7788,
    minor: 0,
  });
  return {
    name: "r0",
    volume: 0,
    hosts: [host("alice", 1), host("bob", 2)],
    onNoDataAccessible: changes.onNoDataAccessible ?? "io-error",
    handlers: changes.handlers ?? {},
    startup: {
      waitForConnectionMs: 0,
      degradedWaitForConnectionMs: 0,
      outdatedWaitForConnectionMs: 0,
      becomePrimaryOn: [],
    },
    net: {
      protocol: "C",
      timeoutMs: 6_000,
      connectIntervalMs: 10_000,
      pingIntervalMs: 10_000,
      pingTimeoutMs: 500,
      socketCheckTimeoutMs: 0,
      maxBuffers: 2_048,
      maxEpochSize: 2_048,
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
      verify: undefined,
      checksumResync: undefined,
      checksumResyncAfterCrashOnly: false,
      cork: true,
      compressBitmap: true,
      onCongestion: "block",
      congestionFillBytes: 0,
      congestionExtents: 1_237,
      flushWaitsForPeer: true,
      ...changes.net,
    },
    disk: {
      sizeSectors: 0,
      onIoError: "detach",
      fencing: "dont-care",
      flushes: true,
      metadataFlushes: true,
      diskTimeoutMs: 0,
      readBalancing: "prefer-local",
      resync: {
        rateKibPerSecond: 30_720,
        planAheadSteps: 0,
        delayTargetSteps: 10,
        fillTargetSectors: 100,
        maxRateKibPerSecond: 102_400,
        minRateKibPerSecond: 250,
        after: undefined,
      },
      activityLogExtents: 1_237,
      activityLogUpdates: true,
      discardZeroesIfAligned: true,
      resyncDiscardGranularityBytes: 0,
      ...changes.disk,
    },
  };
}

/** For stories without digests; the others hand in the real ones. */
const noDigests: Digests = {
  supports: () => true,
  digest: () => new Uint8Array(4),
  hmac: () => new Uint8Array(20),
};

/** One backing device with internal metadata: survives a crash of its host. */
export class TestDisk {
  readonly bytes: Uint8Array;
  readonly layout: MetadataLayout;
  /** What survives a power loss for certain, and what was written since: any of it may be lost. */
  readonly #durable: Uint8Array;
  #volatile: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  constructor(sectors = 2048) {
    this.bytes = new Uint8Array(sectors * 512);
    this.#durable = new Uint8Array(sectors * 512);
    const sizes = { backingSectors: sectors, metadataSectors: sectors };
    const planned = planLayout({ kind: "internal" }, sizes);
    if (!planned.ok) throw planned.error;
    this.layout = planned.value;
    this.superblock = freshSuperblock(this.layout, 1n);
    this.bytes.set(freshRing(this.layout.ring), this.layout.activityLogOffset);
    // create-md marks everything out of sync.
    this.bytes.fill(
      0xff,
      this.layout.bitmapOffset,
      this.layout.bitmapOffset + this.layout.bitmapAreaBytes,
    );
  }
  get sectors(): number {
    return this.bytes.length / 512;
  }
  get superblock(): Superblock {
    const at = this.layout.superblockOffset;
    const parsed = parseSuperblock(this.bytes.slice(at, at + 4096));
    if (!parsed.ok) throw parsed.error;
    return parsed.value;
  }
  set superblock(superblock: Superblock) {
    this.bytes.set(encodeSuperblock(superblock), this.layout.superblockOffset);
  }
  write(offset: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, offset);
    this.#volatile.push({ offset, bytes: bytes.slice() });
  }
  flush(): void {
    for (const { offset, bytes } of this.#volatile) this.#durable.set(bytes, offset);
    this.#volatile = [];
  }
  /** Also what a test put there by hand. */
  allDurable(): void {
    this.#volatile = [];
    this.#durable.set(this.bytes);
  }
  /** Power loss: of what was not flushed each sector is kept or not. */
  lose(keeps: () => boolean): void {
    for (const { offset, bytes } of this.#volatile) {
      for (let at = 0; at < bytes.length; at += 512) {
        if (keeps()) this.#durable.set(bytes.subarray(at, at + 512), offset + at);
      }
    }
    this.#volatile = [];
    this.bytes.set(this.#durable);
  }
  clearBitmap(): void {
    this.bytes.fill(
      0,
      this.layout.bitmapOffset,
      this.layout.bitmapOffset + this.layout.bitmapAreaBytes,
    );
  }
}

/** Makes both disks equal and UpToDate, as after a first sync. */
export function makeEqual(disks: readonly TestDisk[], current: bigint, sectors: number): void {
  for (const disk of disks) {
    const { superblock } = disk;
    disk.superblock = {
      ...superblock,
      lastAgreedSectors: sectors,
      generations: { current, bitmap: 0n, history0: 0n, history1: 0n },
      flags: { ...superblock.flags, consistent: true, wasUpToDate: true },
    };
    disk.clearBitmap();
  }
}

interface InFlight {
  readonly to: Side;
  readonly socket: SocketName;
  readonly packet: Packet;
  readonly connection: number;
}
type Outcome = Extract<DiskEffect, { kind: "commandDone" }>;

/** One host: the core and its shell. */
class TestHost {
  readonly side: Side;
  core: Disk;
  readonly disk: TestDisk;
  readonly done: Outcome[] = [];
  readonly decisions: string[] = [];
  readonly handlers: HandlerName[] = [];
  readonly fences: { attempt: number }[] = [];
  readonly answers: Extract<DiskEffect, { kind: "answer" }>[] = [];
  device = { sectors: 0, writable: false };
  establishing = false;
  connected = false;
  attached = false;
  alive = true;
  /** Nothing on the disk is ever done. */
  hangs = false;
  /** Metadata writes reach the disk late: once this is false again. */
  stalls = false;
  readonly stalled: Extract<DiskEffect, { kind: "metadata" }>[] = [];
  failing: "none" | "all" | "io" | "metadata" | "flush" = "none";
  readonly parked: DiskEvent[] = [];
  /** Local I/O that makes everything before it durable. */
  readonly flushes = new Set<number>();
  constructor(side: Side, core: Disk, disk: TestDisk) {
    this.side = side;
    this.core = core;
    this.disk = disk;
  }
}

/** The pair. `log` holds "alice>bob data P_STATE" lines of every packet that was delivered or lost. */
export class Pair {
  now: Instant = instant(1_000);
  readonly log: { from: Side; socket: SocketName; packet: Packet }[] = [];
  readonly hosts: Readonly<Record<Side, TestHost>>;
  readonly random: Prng;
  /** Answers to handlers and to questions about the peer; undefined: no answer yet. */
  handlerStatus: (handler: HandlerName) => number | undefined = () => 0;
  fenceAnswer: (side: Side) => FenceResult | undefined = () => undefined;
  /** Cables. */
  cut = false;
  #wire: InFlight[] = [];
  #connection = 0;
  #acceptsMeta: Side;
  readonly #secrets: Readonly<Record<Side, Uint8Array | undefined>>;
  readonly #specs: Readonly<Record<Side, DiskSpec>>;
  readonly #digests: Digests;

  constructor(options: {
    readonly spec?: DiskSpec;
    readonly specs?: Readonly<Record<Side, DiskSpec>>;
    readonly disks: Readonly<Record<Side, TestDisk>>;
    readonly seed?: number;
    readonly acceptsMeta?: Side;
    readonly digests?: Digests;
    readonly secrets?: Readonly<Record<Side, Uint8Array | undefined>>;
  }) {
    this.random = new Prng(options.seed ?? 1);
    const spec = options.spec ?? specOf();
    this.#specs = options.specs ?? { alice: spec, bob: spec };
    this.#secrets = options.secrets ?? { alice: undefined, bob: undefined };
    this.#digests = options.digests ?? noDigests;
    this.#acceptsMeta = options.acceptsMeta ?? "bob";
    this.hosts = {
      alice: new TestHost("alice", this.#newCore("alice"), options.disks.alice),
      bob: new TestHost("bob", this.#newCore("bob"), options.disks.bob),
    };
  }

  #newCore(side: Side): Disk {
    return new Disk(
      {
        spec: this.#specs[side],
        host: side,
        digests: this.#digests,
        secret: this.#secrets[side],
        random64: () =>
          (BigInt(this.random.between(1, 0xffff_fffe)) << 32n) |
          BigInt(this.random.between(0, 0xffff_fffe)),
      },
      this.now,
    );
  }

  feed(side: Side, event: DiskEvent): void {
    const host = this.hosts[side];
    if (!host.alive) return;
    for (const effect of host.core.step(this.now, event)) this.#perform(host, effect);
  }

  /** Runs everything that needs no time, then lets `ms` go by, timers included. */
  run(ms = 0): void {
    const end = this.now + ms;
    for (let round = 0; round < 200_000; round++) {
      if (this.#deliverOne()) continue;
      const wakes = (["alice", "bob"] as const)
        .filter((side) => this.hosts[side].alive)
        .map((side) => this.hosts[side].core.wakeAt() ?? Number.POSITIVE_INFINITY);
      const next = Math.max(this.now, Math.min(...wakes));
      if (next > end) {
        this.now = instant(Math.max(this.now, end));
        return;
      }
      const stuck = next === this.now;
      this.now = instant(next);
      for (const side of ["alice", "bob"] as const) {
        const wake = this.hosts[side].core.wakeAt();
        if (wake !== undefined && wake <= this.now) this.feed(side, { kind: "tick" });
      }
      if (stuck && !this.#deliverOne()) this.now = instant(this.now + 1);
    }
    throw new Error("The pair does not come to rest");
  }

  /** One thing that happens, or one millisecond. */
  step(): void {
    if (!this.#deliverOne()) this.run(1);
  }

  /** Gives a command and runs until it ends; its outcome. */
  command(side: Side, command: DiskCommand, ms = 5_000): Outcome {
    const host = this.hosts[side];
    const id = `${side}-${host.done.length}-${this.now}`;
    this.feed(side, { kind: "command", id, command });
    for (let waited = 0; waited <= ms; waited += 50) {
      this.run(waited === 0 ? 0 : 50);
      const outcome = host.done.find((done) => done.id === id);
      if (outcome !== undefined) return outcome;
    }
    throw new Error(
      `${side}: ${command.verb} does not end: ${JSON.stringify(host.core.view().state)}`,
    );
  }

  both(command: DiskCommand): void {
    for (const side of ["alice", "bob"] as const) this.command(side, command);
  }
  /** Attaches and connects both, and runs. */
  up(ms = 2_000): void {
    this.both({ verb: "attach" });
    this.both({ verb: "connect", discardMyData: false });
    this.run(ms);
  }

  state(side: Side): string {
    const { state } = this.hosts[side].core.view();
    return `${state.conn} ${state.role}/${state.peer} ${state.disk}/${state.pdsk}`;
  }
  word(side: Side): readonly string[] {
    return this.hosts[side].decisions;
  }

  /** Power loss: what was flushed to the disk stays; a new core takes its place. */
  crash(side: Side): void {
    const host = this.hosts[side];
    host.alive = false;
    host.connected = false;
    host.establishing = false;
    this.#wire = this.#wire.filter(({ to }) => to === side);
    host.disk.lose(() => this.random.chance(0.5));
  }
  restart(side: Side): void {
    const host = this.hosts[side];
    host.alive = true;
    host.attached = false;
    host.parked.length = 0;
    host.stalled.length = 0;
    host.device = { sectors: 0, writable: false };
    host.core = this.#newCore(side);
  }

  /** The connection breaks under both. */
  breakConnection(): void {
    this.#connection += 1;
    this.#wire = [];
    for (const side of ["alice", "bob"] as const) {
      const host = this.hosts[side];
      if (!host.connected) continue;
      host.connected = false;
      this.feed(side, { kind: "socketsLost", reason: "BTN-TEST", detail: "cut" });
    }
  }

  #deliverOne(): boolean {
    const { alice, bob } = this.hosts;
    if (alice.establishing && bob.establishing && alice.alive && bob.alive && !this.cut) {
      for (const host of [alice, bob]) {
        host.establishing = false;
        host.connected = true;
      }
      this.#connection += 1;
      for (const side of ["alice", "bob"] as const) {
        this.feed(side, { kind: "socketsUp", acceptedMeta: side === this.#acceptsMeta });
      }
      return true;
    }
    for (const host of [alice, bob]) {
      const late = host.stalls ? undefined : host.stalled.shift();
      if (late !== undefined) {
        this.#perform(host, late);
        return true;
      }
      const event = host.hangs ? undefined : host.parked.shift();
      if (event === undefined) continue;
      if (event.kind === "metadataDone" && event.ok) host.disk.flush();
      if (event.kind === "ioDone" && host.flushes.delete(event.io) && event.ok) host.disk.flush();
      this.feed(host.side, event);
      return true;
    }
    if (this.cut || this.#wire.length === 0) return false;
    // Any socket may be the next one; within a socket the order holds.
    const heads = new Map<string, number>();
    this.#wire.forEach(({ to, socket }, at) => {
      const key = `${to} ${socket}`;
      if (!heads.has(key)) heads.set(key, at);
    });
    const choices = [...heads.values()];
    const at = choices[this.random.between(0, choices.length - 1)] ?? 0;
    const [flight] = this.#wire.splice(at, 1);
    if (flight === undefined) return false;
    const target = this.hosts[flight.to];
    if (target.connected && flight.connection === this.#connection) {
      this.feed(flight.to, { kind: "packet", socket: flight.socket, packet: flight.packet });
    }
    return true;
  }

  #perform(host: TestHost, effect: DiskEffect): void {
    const { disk } = host;
    const later = (event: DiskEvent): void => {
      host.parked.push(event);
    };
    const failed = (what: "io" | "metadata" | "flush"): boolean =>
      host.failing === "all" || host.failing === what;
    const ioDone = (io: number, data?: Uint8Array): void => {
      if (failed("io")) later({ kind: "ioDone", io, ok: false, error: "EIO" });
      else later({ kind: "ioDone", io, ok: true, ...(data === undefined ? {} : { data }) });
    };
    switch (effect.kind) {
      case "readMetadata":
        host.attached = true;
        later(this.#readMetadata(disk));
        return;
      case "closeBacking":
        host.attached = false;
        return;
      case "metadata": {
        if (failed("metadata")) {
          later({ kind: "metadataDone", token: effect.token, ok: false, error: "EIO" });
          return;
        }
        if (host.hangs) return;
        if (host.stalls) {
          host.stalled.push(effect);
          return;
        }
        for (const { offset, bytes } of effect.writes) disk.write(offset, bytes);
        later({ kind: "metadataDone", token: effect.token, ok: true });
        return;
      }
      case "localWrite":
        disk.write(effect.sector * 512, effect.data);
        if (effect.fua) host.flushes.add(effect.io);
        ioDone(effect.io);
        return;
      case "localRead":
        ioDone(
          effect.io,
          disk.bytes.slice(effect.sector * 512, effect.sector * 512 + effect.bytes),
        );
        return;
      case "localDiscard":
      case "localZero":
        disk.write(effect.sector * 512, new Uint8Array(effect.sectors * 512));
        ioDone(effect.io);
        return;
      case "localFlush":
        host.flushes.add(effect.io);
        if (failed("flush")) later({ kind: "ioDone", io: effect.io, ok: false, error: "EIO" });
        else ioDone(effect.io);
        return;
      default:
        this.#performRest(host, effect, later);
    }
  }

  #performRest(host: TestHost, effect: DiskEffect, later: (event: DiskEvent) => void): void {
    const { side } = host;
    switch (effect.kind) {
      case "establish":
        host.establishing = true;
        return;
      case "hangUp":
        this.#hangUp(host);
        return;
      case "send":
        this.log.push({ from: side, socket: effect.socket, packet: effect.packet });
        if (host.connected) {
          const to = otherSide(side);
          const { socket, packet } = effect;
          this.#wire.push({ to, socket, packet: copy(packet), connection: this.#connection });
        }
        return;
      case "device":
        host.device = { sectors: effect.sectors, writable: effect.writable };
        return;
      case "runHandler": {
        host.handlers.push(effect.handler);
        const status = this.handlerStatus(effect.handler);
        if (status !== undefined) later({ kind: "handlerDone", handler: effect.handler, status });
        return;
      }
      case "fencePeer": {
        host.fences.push({ attempt: effect.attempt });
        const result = this.fenceAnswer(side);
        if (result !== undefined) {
          later({ kind: "fenceDone", attempt: effect.attempt, result, detail: "test" });
        }
        return;
      }
      case "commandDone":
        host.done.push(effect);
        return;
      case "decision":
        host.decisions.push(effect.reason);
        return;
      case "answer":
        host.answers.push(effect);
        return;
      default:
    }
  }

  /** What is on the way still arrives: the peer sees the end of the connection behind it. */
  #hangUp(host: TestHost): void {
    if (!host.connected) {
      host.establishing = false;
      return;
    }
    host.connected = false;
    const to = this.hosts[otherSide(host.side)];
    if (!to.connected || !to.alive || this.cut) return;
    const mine = this.#wire.filter((flight) => flight.to === to.side);
    this.#wire = [];
    for (const { socket, packet } of mine) {
      to.parked.push({ kind: "packet", socket, packet });
    }
    to.parked.push({ kind: "socketsLost", reason: "BTN-TEST", detail: "closed by the peer" });
    to.connected = false;
  }

  #readMetadata(disk: TestDisk): DiskEvent {
    const { layout } = disk;
    const part = (at: number, length: number): Uint8Array => disk.bytes.slice(at, at + length);
    const activityLog = part(layout.activityLogOffset, layout.activityLogBytes);
    const bitmap = part(layout.bitmapOffset, layout.bitmapBytes);
    const replay = replayActivityLog(disk.superblock, activityLog, bitmap);
    if (!replay.ok) {
      return { kind: "attachFailed", reason: replay.error.code, detail: replay.error.message };
    }
    // As the shell does: what was replayed is durable before it is used.
    disk.bytes.set(bitmap, layout.bitmapOffset);
    disk.bytes.set(replay.value.ring, layout.activityLogOffset);
    disk.bytes.set(replay.value.superblockBytes, layout.superblockOffset);
    disk.allDurable();
    return {
      kind: "attached",
      found: {
        superblock: replay.value.superblockBytes,
        activityLog: replay.value.ring.slice(),
        bitmap,
        backingSectors: disk.sectors,
        metadataSectors: disk.sectors,
        discards: true,
      },
    };
  }
}

function copy(packet: Packet): Packet {
  return structuredClone(packet);
}
