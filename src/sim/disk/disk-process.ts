/**
 * The process of one disk as the simulator has it: the real core, a device, an end of the wire. Every operation takes time;
 * before and after each the process or its host may die (crash points), and while it is paused what arrives waits, in its
 * order, ahead of its late timers.
 */
import { assert, type Instant, instant, type Prng } from "../../base/index.ts";
import {
  connectionRank,
  type DeviceState,
  Disk,
  type DiskCommand,
  type DiskCoreOptions,
  type DiskEffect,
  type DiskEvent,
  type Packet,
  type SocketName,
} from "../../replication/index.ts";
import { parseSuperblock, replayActivityLog } from "../../replication/metadata/index.ts";
import type { EventQueue } from "../event-queue.ts";
import { type SimDevice, tagsOf } from "./device.ts";
import type { Side, Wire, WireEnd } from "./wire.ts";

/** Where a process can be made to die. */
export const crashSites = [
  "local-write",
  "metadata-begin",
  "metadata-unflushed",
  "metadata-done",
  "flush",
  "send",
  "answer",
  "attach",
] as const;
export type CrashSite = (typeof crashSites)[number];

/** The process ends, its writes live on; or the host has no power any more. */
export type Death = "kill" | "power";

type Of<Kind extends DiskEffect["kind"]> = Extract<DiskEffect, { readonly kind: Kind }>;
export type Outcome = Of<"commandDone">;

/** Who looks on: checkers, the application, the agent. */
export interface Observer {
  died(process: DiskProcess, how: Death): void;
  stepped(process: DiskProcess, before: DeviceState): void;
  localWrite(process: DiskProcess, sector: number, sectors: number, tags: Uint32Array): void;
  answered(process: DiskProcess, answer: Of<"answer">): void;
  device(process: DiskProcess, sectors: number, writable: boolean): void;
  decided(process: DiskProcess, reason: string, detail: string): void;
  fencePeer(process: DiskProcess): void;
  crashPoint(process: DiskProcess, site: CrashSite): void;
  violation(checker: string, message: string): void;
}

export interface DiskProcessParts {
  readonly side: Side;
  readonly host: string;
  readonly events: EventQueue;
  readonly random: Prng;
  readonly device: SimDevice;
  readonly options: DiskCoreOptions;
  readonly wire: () => Wire;
  readonly observer: Observer;
}

interface FlyingWrite {
  readonly sector: number;
  readonly tags: Uint32Array;
}

const off: DeviceState = {
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

/** The process of one disk around the real core, on simulated devices and sockets. */
export class DiskProcess implements WireEnd {
  readonly parts: DiskProcessParts;
  alive = false;
  /** Starts of this process. */
  generation = 0;
  state: DeviceState = off;
  /** The bitmap area that the core keeps; undefined: nothing is attached. */
  bitmap: Uint8Array | undefined;
  writable = false;
  sectors = 0;
  /** How long local operations take at most. */
  diskMs = 1;
  /** Operations that were crash points, since the world began. */
  operations = 0;
  armed: { site: CrashSite | "any"; left: number; how: Death } | undefined;
  #core: Disk | undefined;
  #looking = false;
  #pausedUntil = 0;
  #backlog: (() => void)[] = [];
  #lateTick = false;
  #cancelWake: () => void = () => undefined;
  readonly #outcomes = new Map<string, (outcome: Outcome) => void>();
  #commands = 0;
  readonly #flying = new Set<FlyingWrite>();
  /** Metadata writes that are not in the cache yet. */
  #metadata: Of<"metadata"> | undefined;
  readonly #origin: number;

  constructor(parts: DiskProcessParts) {
    this.parts = parts;
    this.#origin = 1_000 + parts.random.between(0, 1_000_000);
  }

  get now(): Instant {
    return instant(this.parts.events.now + this.#origin);
  }
  get paused(): boolean {
    return this.parts.events.now < this.#pausedUntil;
  }
  get connected(): boolean {
    return connectionRank(this.state.conn) >= connectionRank("Connected");
  }
  get frozen(): boolean {
    return this.state.suspFencing || this.state.suspNoData || this.state.suspUser;
  }
  /** Writes that are on their way to the device. */
  get isBusy(): boolean {
    return this.#flying.size > 0 || this.#metadata !== undefined;
  }
  get core(): Disk | undefined {
    return this.#core;
  }

  isMarked(block: number): boolean {
    return ((this.bitmap?.[block >> 3] ?? 0) & (1 << (block & 7))) !== 0;
  }

  // -- life -------------------------------------------------------------------------------------------------------

  start(): void {
    assert(!this.alive, "It runs already");
    this.alive = true;
    this.generation += 1;
    this.#core = new Disk(this.parts.options, this.now);
    this.state = off;
    this.#pausedUntil = 0;
    this.parts.wire().reappear(this.parts.side);
  }

  /** Ends at once. */
  die(how: Death): void {
    const { device, random, wire, side, observer } = this.parts;
    if (how === "power") wire().vanish(side);
    else wire().hangUp(side);
    if (this.alive) {
      for (const { sector, tags } of this.#flying) {
        if (random.chance(0.5) && !device.ailments.dead) device.write(sector, tags, false);
      }
      const begun = this.#metadata?.writes ?? [];
      for (const { offset, bytes } of begun.slice(0, random.between(0, begun.length))) {
        device.changeMetadata(offset, bytes);
      }
    }
    const wasAlive = this.alive;
    this.alive = false;
    this.generation += 1;
    this.#core = undefined;
    this.#flying.clear();
    this.#metadata = undefined;
    this.#backlog = [];
    this.#lateTick = false;
    this.#looking = false;
    this.#cancelWake();
    this.#outcomes.clear();
    this.bitmap = undefined;
    this.writable = false;
    this.sectors = 0;
    this.state = off;
    this.#pausedUntil = 0;
    this.armed = undefined;
    if (how === "power") device.losePower(random);
    if (wasAlive) observer.died(this, how);
  }

  pause(ms: number): void {
    const until = this.parts.events.now + ms;
    if (!this.alive || until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    const { generation } = this;
    this.parts.events.schedule(until, () => {
      if (this.generation === generation && !this.paused) this.#resume();
    });
  }

  /** Thaws now, if it was paused. */
  resume(): void {
    if (!this.paused) return;
    this.#pausedUntil = 0;
    this.#resume();
  }

  #resume(): void {
    const { generation } = this;
    const waiting = this.#backlog;
    this.#backlog = [];
    for (const run of waiting) if (this.alive && this.generation === generation) run();
    if (this.#lateTick && this.alive && this.generation === generation) {
      this.#lateTick = false;
      this.feed({ kind: "tick" });
    }
    this.parts.wire().tryEstablish();
  }

  /** Runs later in this life of the process, behind what waits already. */
  #later(ms: number, run: () => void): void {
    const { generation } = this;
    const { events } = this.parts;
    events.schedule(events.now + ms, () => {
      if (this.generation !== generation || !this.alive) return;
      if (this.paused) this.#backlog.push(run);
      else run();
    });
  }

  /** Of the device, which works on while the process is paused. */
  #onDevice(ms: number, run: () => void): void {
    const { generation } = this;
    const { events } = this.parts;
    events.schedule(events.now + ms, () => {
      if (this.generation === generation && this.alive) run();
    });
  }

  /** A crash point. True: this was the end. */
  #passes(site: CrashSite): boolean {
    this.operations += 1;
    this.parts.observer.crashPoint(this, site);
    const { armed } = this;
    if (armed === undefined || (armed.site !== "any" && armed.site !== site)) return false;
    armed.left -= 1;
    if (armed.left > 0) return false;
    this.die(armed.how);
    return true;
  }

  // -- events -----------------------------------------------------------------------------------------------------

  /** Gives an event to the core, now or after the pause, and performs what it asks for. */
  feed(event: DiskEvent): void {
    if (!this.alive) return;
    if (this.paused) {
      this.#backlog.push(() => this.feed(event));
      return;
    }
    const core = this.#core;
    if (core === undefined) return;
    const { generation } = this;
    const before = this.state;
    const effects = core.step(this.now, event);
    this.state = core.view().state;
    for (const effect of effects) {
      this.#perform(effect);
      if (this.generation !== generation) return;
    }
    this.parts.observer.stepped(this, before);
    this.#schedule();
  }

  #schedule(): void {
    this.#cancelWake();
    const at = this.#core?.wakeAt();
    if (at === undefined) return;
    const { events } = this.parts;
    const { generation } = this;
    const due = Math.max(at - this.#origin, events.now + 0.1);
    this.#cancelWake = events.schedule(due, () => {
      if (this.generation !== generation || !this.alive) return;
      if (this.paused) this.#lateTick = true;
      else this.feed({ kind: "tick" });
    });
  }

  /** Gives a command; `done` is called with its outcome if the process lives so long. */
  command(command: DiskCommand, done: (outcome: Outcome) => void = () => undefined): void {
    this.#commands += 1;
    const id = `${this.#commands}`;
    this.#outcomes.set(id, done);
    this.feed({ kind: "command", id, command });
  }

  isLooking(): boolean {
    return this.alive && this.#looking && !this.paused;
  }
  socketsUp(acceptedMeta: boolean): void {
    this.#looking = false;
    this.feed({ kind: "socketsUp", acceptedMeta });
  }
  packet(socket: SocketName, packet: Packet): void {
    this.feed({ kind: "packet", socket, packet });
  }
  lost(reason: string): void {
    const isCode = reason.startsWith("BTN-");
    this.feed({
      kind: "socketsLost",
      reason: isCode ? reason : "BTN-DISK-PEER-CLOSED",
      detail: reason,
    });
  }

  // -- effects ----------------------------------------------------------------------------------------------------

  #perform(effect: DiskEffect): void {
    const { side, wire, observer } = this.parts;
    switch (effect.kind) {
      case "localWrite":
      case "localDiscard":
      case "localZero":
        this.#write(effect);
        return;
      case "localRead":
        this.#read(effect);
        return;
      case "localFlush":
        this.#flush(effect.io);
        return;
      case "metadata":
        this.#writeMetadata(effect);
        return;
      case "readMetadata":
        this.#later(this.#delay(), () => this.#attach());
        return;
      case "closeBacking":
        this.bitmap = undefined;
        return;
      case "establish":
        this.#looking = true;
        wire().tryEstablish();
        return;
      case "hangUp":
        this.#looking = false;
        wire().hangUp(side);
        return;
      case "send":
        if (!this.#passes("send")) wire().send(side, effect.socket, effect.packet);
        return;
      case "agreed":
        wire().agreed(side, effect.version, effect.features, effect.integrity);
        return;
      case "answer":
        if (!this.#passes("answer")) observer.answered(this, effect);
        return;
      case "device":
        this.sectors = effect.sectors;
        this.writable = effect.writable;
        observer.device(this, effect.sectors, effect.writable);
        return;
      case "decision":
        observer.decided(this, effect.reason, effect.detail);
        return;
      case "fencePeer":
        observer.fencePeer(this);
        return;
      case "runHandler":
        this.#later(1, () =>
          this.feed({ kind: "handlerDone", handler: effect.handler, status: 0 }),
        );
        return;
      case "commandDone":
        this.#outcome(effect);
        return;
      case "progress":
      case "changed":
      case "readyToStop":
        return;
      default:
        effect satisfies never;
    }
  }

  #outcome(outcome: Outcome): void {
    const done = this.#outcomes.get(outcome.id);
    this.#outcomes.delete(outcome.id);
    const { generation } = this;
    // After this step: what follows may enter the core.
    this.parts.events.schedule(this.parts.events.now, () => {
      if (this.generation === generation) done?.(outcome);
    });
  }

  #delay(): number {
    return 0.02 + (this.parts.random.next() / 0x1_0000_0000) * this.diskMs;
  }

  #done(io: number, ok: boolean, data?: Uint8Array): void {
    if (!ok) this.feed({ kind: "ioDone", io, ok: false, error: "EIO" });
    else this.feed({ kind: "ioDone", io, ok: true, ...(data === undefined ? {} : { data }) });
  }

  #write(effect: Of<"localWrite"> | Of<"localDiscard"> | Of<"localZero">): void {
    const { device, observer, random } = this.parts;
    if (this.#passes("local-write")) return;
    const { sector, io } = effect;
    const isWrite = effect.kind === "localWrite";
    const sectors = isWrite ? effect.data.length / 512 : effect.sectors;
    const tags = isWrite ? tagsOf(effect.data) : new Uint32Array(sectors);
    if (tags === undefined || sector + sectors > device.layout.usableSectors) {
      observer.violation(
        "S6",
        `${this.parts.host} writes a mixture, or beyond its data, at ${sector}`,
      );
      return;
    }
    for (const other of this.#flying) {
      if (other.sector >= sector + sectors || sector >= other.sector + other.tags.length) continue;
      observer.violation("I4", `${this.parts.host} has two writes of sector ${sector} under way`);
      return;
    }
    observer.localWrite(this, sector, sectors, tags);
    const flying: FlyingWrite = { sector, tags };
    this.#flying.add(flying);
    const isFua = isWrite && effect.fua;
    this.#onDevice(this.#delay(), () => {
      this.#flying.delete(flying);
      const { ailments } = device;
      const ok = !ailments.dead && !ailments.writes;
      if (ok && ailments.misdirected > 0 && isWrite && random.chance(0.3))
        this.#misdirect(sector, tags);
      else if (ok) device.write(sector, tags, isFua);
      this.#done(io, ok);
    });
  }

  /** The first sector goes somewhere else; what was meant keeps its old content. */
  #misdirect(sector: number, tags: Uint32Array): void {
    const { device, random } = this.parts;
    device.ailments.misdirected -= 1;
    device.spoilt.add(sector);
    const elsewhere = random.pick([...device.blocks()].map((block) => block * 8));
    device.spoil(elsewhere, tags[0] as number);
    if (tags.length > 1) device.write(sector + 1, tags.subarray(1), false);
  }

  #read({ io, sector, bytes }: Of<"localRead">): void {
    const { device } = this.parts;
    this.#onDevice(this.#delay(), () => {
      const ok = device.canRead(sector, bytes / 512);
      this.#done(io, ok, ok ? device.read(sector, bytes / 512) : undefined);
    });
  }

  #flush(io: number): void {
    const { device } = this.parts;
    if (this.#passes("flush")) return;
    const upTo = device.newest;
    this.#onDevice(this.#delay() * 2, () => {
      const { ailments } = device;
      const ok = !ailments.dead && !ailments.flushes;
      if (ok) device.flush(upTo);
      this.#done(io, ok);
    });
  }

  #writeMetadata(effect: Of<"metadata">): void {
    const { device } = this.parts;
    const { token } = effect;
    if (this.#passes("metadata-begin")) return;
    this.#metadata = {
      ...effect,
      writes: effect.writes.map(({ offset, bytes }) => ({ offset, bytes: bytes.slice() })),
    };
    const writes = this.#metadata.writes;
    this.#onDevice(this.#delay(), () => {
      if (device.ailments.dead) {
        this.#metadata = undefined;
        this.feed({ kind: "metadataDone", token, ok: false, error: "EIO" });
        return;
      }
      for (const { offset, bytes } of writes) device.changeMetadata(offset, bytes);
      this.#metadata = { ...effect, writes: [] };
      if (this.#passes("metadata-unflushed")) return;
      this.#onDevice(this.#delay(), () => {
        this.#metadata = undefined;
        if (!device.ailments.dead) device.flushMetadata();
        if (this.#passes("metadata-done")) return;
        const ok = !device.ailments.dead;
        this.feed({ kind: "metadataDone", token, ok, ...(ok ? {} : { error: "EIO" }) });
      });
    });
  }

  /** As `readMetadata` of the metadata room's shell does it: three steps, each flushed. */
  #attach(): void {
    const { device } = this.parts;
    const { layout } = device;
    if (device.ailments.dead) {
      this.feed({ kind: "attachFailed", reason: "BTN-DISK-IO-ERROR", detail: "EIO" });
      return;
    }
    const parsed = parseSuperblock(device.readMetadata(layout.superblockOffset, 4096));
    const ring = device.readMetadata(layout.activityLogOffset, layout.activityLogBytes);
    const bitmap = device.readMetadata(layout.bitmapOffset, layout.bitmapBytes);
    const replay = parsed.ok ? replayActivityLog(parsed.value, ring, bitmap) : parsed;
    if (!replay.ok) {
      this.feed({ kind: "attachFailed", reason: replay.error.code, detail: replay.error.message });
      return;
    }
    const { value } = replay;
    const steps = value.needed
      ? [
          { offset: layout.bitmapOffset, bytes: bitmap.slice() },
          { offset: layout.activityLogOffset, bytes: value.ring },
          { offset: layout.superblockOffset, bytes: value.superblockBytes },
        ]
      : [];
    const finish = (): void => {
      this.bitmap = bitmap;
      this.feed({
        kind: "attached",
        found: {
          superblock: value.superblockBytes,
          activityLog: value.needed ? value.ring : ring,
          bitmap,
          backingSectors: device.sectors,
          metadataSectors: device.sectors,
          discards: true,
        },
      });
    };
    this.#attachStep(steps, finish);
  }

  #attachStep(
    steps: readonly { readonly offset: number; readonly bytes: Uint8Array }[],
    finish: () => void,
  ): void {
    const { device } = this.parts;
    const [step, ...rest] = steps;
    if (step === undefined) {
      finish();
      return;
    }
    if (this.#passes("attach")) return;
    device.changeMetadata(step.offset, step.bytes);
    if (this.#passes("attach")) return;
    this.#later(this.#delay(), () => {
      device.flushMetadata();
      this.#attachStep(rest, finish);
    });
  }
}
