/**
 * One replicated disk on one host: the core that `baton disk serve` and the simulator run (DESIGN 7.1). It joins
 * `control/`, which owns states, generations, superblock and connection, with `data/`, which owns requests and blocks.
 *
 *   event -> [ping answered] -> control or data -> notices of data -> steps, disk, command -> effects
 *
 * Nothing that a peer or a shell says makes it throw: what can not be is told as a reason and ends the connection.
 */
import { assert, earliest, type Instant, unreachable } from "../base/index.ts";
import type { DiskEffect, DiskEvent, DiskView } from "./contract.ts";
import {
  attachFailed,
  operationProgress,
  operationWakeAt,
  takeCommand,
} from "./control/commands.ts";
import {
  connectionTick,
  connectionWakeAt,
  diskDeadline,
  EPOCH_CHANGE_MS,
  loseConnection,
  standAlone,
} from "./control/connection.ts";
import { Core } from "./control/core.ts";
import {
  fenceAfterLoss,
  fenceDone,
  fenceTick,
  fenceWakeAt,
  returnProgress,
  thaw,
} from "./control/fencing.ts";
import { beginHandshake, sendEpoch } from "./control/handshake.ts";
import { abandonMetadata, diskProgress, localIoError } from "./control/local-disk.ts";
import { freshMemory, type Memory } from "./control/memory.ts";
import { Output } from "./control/output.ts";
import { takePacket } from "./control/packets.ts";
import { decodePlain, encodePlain, type Plain } from "./control/plain.ts";
import {
  bitmapReceived,
  bitmapSent,
  resyncDone,
  resyncProgress,
  stepFlushed,
  stepHandlerDone,
  verifyDone,
} from "./control/resync.ts";
import { isFencing } from "./control/transitions.ts";
import { DataCore } from "./data/data-core.ts";
import type { DataNotice, DataPath, DiskCoreOptions } from "./shared.ts";

/** More rounds than any chain of steps needs. */
const MAX_ROUNDS = 1_000;

/**
 * A data path that can be copied, as DESIGN 7.1 asks of every core. `DataCore` can not yet: a copy knows all of control, and
 * neither requests in flight nor the bitmap.
 */
interface Copied {
  snapshot?(): unknown;
  restore?(found: unknown): void;
}

/** Plain JSON, with nothing hidden. */
export interface DiskSnapshot {
  readonly now: number;
  readonly memory: Plain;
  readonly output: Plain;
  readonly superblock: Plain;
  readonly data: Plain;
}

/** See the top of this file; `control/README.md` has the tables. */
export class Disk {
  readonly #core: Core;
  readonly #data: DataPath & Copied;

  constructor(options: DiskCoreOptions, now: Instant) {
    this.#core = new Core(options, freshMemory(), new Output(now), now);
    this.#data = new DataCore(options, this.#core);
    this.#core.bindData(this.#data);
  }

  /** Takes one event at `now`; the effects, in the order in which they are to be performed. */
  step(now: Instant, event: DiskEvent): readonly DiskEffect[] {
    const core = this.#core;
    core.now = now;
    core.output.begin(now);
    this.#event(event);
    this.#deadlines();
    this.#settle();
    return core.output.take();
  }

  /** When `step` must next be called even if nothing happens. */
  wakeAt(): Instant | undefined {
    const core = this.#core;
    return earliest(
      connectionWakeAt(core),
      fenceWakeAt(core),
      operationWakeAt(core),
      diskDeadline(core),
      this.#data.wakeAt(),
    );
  }

  view(): DiskView {
    const { memory, options } = this.#core;
    const { spec } = options;
    const host = spec.hosts.find((side) => side.host === options.host);
    return {
      name: spec.name,
      minor: host?.minor ?? 0,
      state: memory.state,
      protocol: spec.net.protocol,
      generations: memory.disk?.superblock.generations ?? null,
      sectors: memory.sectors,
      outOfSyncBlocks: this.#data.dirtyBlocks(),
      reason: memory.reason,
      detail: memory.detail,
      frozenSince: memory.frozenSince,
      resync: this.#data.resyncView(this.#core.now),
      counters: this.#data.counters(),
    };
  }

  /** Whether the peer of the present connection is Baton too; null: not connected. */
  batonPeer(): boolean | null {
    return this.#core.session?.baton ?? null;
  }

  /** The open question about the peer, for the agent; null: none. */
  asking(): { readonly attempt: number; readonly reason: string } | null {
    const { fence } = this.#core.memory;
    return fence.phase === "asked" ? { attempt: fence.attempt, reason: fence.reason } : null;
  }

  /** Bytes that wait for the local disk: the engine stops reading the data socket while they are many. */
  inFlightBytes(): number {
    return this.#data instanceof DataCore ? this.#data.inFlightBytes() : 0;
  }

  snapshot(): DiskSnapshot {
    const core = this.#core;
    return {
      now: core.now,
      memory: encodePlain(core.memory),
      output: encodePlain(core.output.snapshot()),
      superblock: encodePlain(core.writtenSuperblock),
      data: encodePlain(this.#data.snapshot?.() ?? null),
    };
  }

  /** A copy of the core that made the snapshot. */
  static restore(options: DiskCoreOptions, snapshot: DiskSnapshot): Disk {
    const now = snapshot.now as Instant;
    const disk = new Disk(options, now);
    Object.assign(disk.#core.memory, decodePlain(snapshot.memory) as Memory);
    disk.#core.output.load(decodePlain(snapshot.output));
    disk.#core.foundSuperblock(
      decodePlain(snapshot.superblock) as Parameters<Core["foundSuperblock"]>[0],
    );
    disk.#data.restore?.(decodePlain(snapshot.data));
    return disk;
  }

  #event(event: DiskEvent): void {
    const core = this.#core;
    const { memory } = core;
    switch (event.kind) {
      case "tick":
        this.#data.tick(core.now);
        return;
      case "request":
        this.#data.request(event.id, event.request, core.now);
        return;
      case "packet":
        takePacket(core, event.socket, event.packet);
        return;
      case "ioDone":
        this.#ioDone(event);
        return;
      case "metadataDone":
        this.#metadataDone(event.token, event.ok, event.error ?? "");
        return;
      case "attached":
        if (memory.operation?.command.verb === "attach") memory.found = event.found;
        return;
      case "attachFailed":
        attachFailed(core, event.reason, event.detail);
        return;
      case "openers":
        memory.openers = event.count;
        return;
      case "socketsUp":
        beginHandshake(core, event.acceptedMeta);
        return;
      case "socketsLost":
        this.#socketsLost(event.reason, event.detail);
        return;
      case "sent":
        return;
      case "handlerDone":
        stepHandlerDone(core, event.handler, event.status);
        return;
      case "fenceDone":
        fenceDone(core, event);
        return;
      case "epoch":
        this.#epoch(event.clusterId, event.epoch);
        return;
      case "resyncAfter":
        core.change({ afterPaused: event.paused });
        return;
      case "command":
        takeCommand(core, event.id, event.command);
        return;
      default:
        unreachable(event);
    }
  }

  #ioDone(event: Extract<DiskEvent, { kind: "ioDone" }>): void {
    const core = this.#core;
    core.output.ioDone(event.io);
    if (stepFlushed(core, event.io, event.ok)) return;
    this.#data.ioDone(event.io, event.ok, event.ok ? event.data : undefined, core.now);
  }

  #metadataDone(token: number, ok: boolean, error: string): void {
    const core = this.#core;
    const { memory } = core;
    const { tokens } = core.output.metadataDone(token, ok);
    for (const done of tokens) {
      if (done === memory.fullSyncToken && ok && memory.disk !== null) {
        memory.fullSyncToken = 0;
        const { flags } = memory.disk.superblock;
        core.updateSuperblock({ flags: { ...flags, fullSync: false } });
      } else this.#data.metadataDone(done, ok, core.now);
    }
    if (ok || tokens.length === 0) return;
    localIoError(core, { kind: "localIoError", operation: "metadata", sector: 0, error });
    abandonMetadata(core);
  }

  #socketsLost(reason: string, detail: string): void {
    const core = this.#core;
    const { operation, change } = core.memory;
    const leaving = change?.patch.conn === "Disconnecting";
    if (
      leaving &&
      (operation?.command.verb === "disconnect" || operation?.command.verb === "down")
    ) {
      // The peer's answer was overtaken by the end of the connection.
      standAlone(core, "BTN-DISK-DISCONNECTED", "asked; the peer closed first");
      return;
    }
    const malformed = reason.startsWith("BTN-DISK-WIRE-");
    loseConnection(core, malformed ? "ProtocolError" : "NetworkFailure", reason, detail);
  }

  /** R7: a connection belongs to one epoch. */
  #epoch(clusterId: string, epoch: number): void {
    const core = this.#core;
    const { memory } = core;
    if (clusterId === memory.clusterId && epoch <= memory.epoch) return;
    memory.clusterId = clusterId;
    memory.epoch = epoch;
    if (core.session?.baton === true) {
      sendEpoch(core);
      const detail = `epoch ${epoch}`;
      loseConnection(core, "TearDown", "BTN-DISK-EPOCH-CHANGED", detail, EPOCH_CHANGE_MS);
    }
    const held = memory.state.suspFencing && memory.fence.phase !== "asked";
    if (!held || memory.higherEpoch === 0 || memory.higherEpoch > epoch) return;
    memory.higherEpoch = 0;
    const proven = memory.state.pdsk === "Outdated" || memory.state.pdsk === "Inconsistent";
    if (proven || !isFencing(core.options.spec.disk.fencing)) thaw(core);
    else if (memory.fence.phase === "idle") fenceAfterLoss(core, 0);
  }

  #deadlines(): void {
    const core = this.#core;
    connectionTick(core);
    fenceTick(core);
    const due = diskDeadline(core);
    if (due !== undefined && core.now >= due && core.state.disk !== "Failed") {
      core.decide("BTN-DISK-IO-TIMEOUT", "local I/O took longer than disk-timeout");
      core.force({ disk: "Failed" });
      diskProgress(core, true);
    }
  }

  /** Until nothing goes on by itself any more. */
  #settle(): void {
    const core = this.#core;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const notice = core.notices.shift();
      if (notice !== undefined) this.#notice(notice);
      else if (!this.#progress()) return;
    }
    assert(false, "The steps of the disk core do not come to an end");
  }

  #progress(): boolean {
    const core = this.#core;
    return (
      returnProgress(core) || resyncProgress(core) || diskProgress(core) || operationProgress(core)
    );
  }

  #notice(notice: DataNotice): void {
    const core = this.#core;
    switch (notice.kind) {
      case "bitmapSent":
        bitmapSent(core);
        return;
      case "bitmapReceived":
        bitmapReceived(core);
        return;
      case "resyncDone":
        resyncDone(core, notice.failedBlocks);
        return;
      case "verifyDone":
        verifyDone(core, notice.outOfSyncBlocks);
        return;
      case "localIoError":
        localIoError(core, notice);
        return;
      case "peerViolation":
        loseConnection(core, "ProtocolError", notice.reason, notice.detail);
        return;
      case "peerTooSlow": {
        const detail = `a request waited ${notice.waitedMs} ms`;
        loseConnection(core, "Timeout", "BTN-DISK-PEER-TOO-SLOW", detail);
        return;
      }
      case "congested":
        this.#congested();
        return;
      case "congestionOver":
        // The resync that catches up begins by itself: both bitmaps agree (drbd.md 3.10).
        if (core.state.conn === "Ahead") bitmapReceived(core);
        return;
      case "drained":
        return;
      default:
        unreachable(notice);
    }
  }

  #congested(): void {
    const core = this.#core;
    const { net } = core.options.spec;
    if (net.onCongestion === "disconnect" && core.state.conn === "Connected") {
      loseConnection(core, "NetworkFailure", "BTN-DISK-CONGESTED", "on-congestion disconnect");
    } else if (net.onCongestion === "pull-ahead" && net.protocol === "A") {
      const { conn, disk } = core.state;
      if (conn === "Connected" && disk === "UpToDate") core.force({ conn: "Ahead" });
    }
  }
}
