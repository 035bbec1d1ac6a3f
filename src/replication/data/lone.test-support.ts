/** One data path alone: local I/O and metadata are done at once, what it sends is kept for the test to look at. */
import { type Instant, instant } from "../../base/index.ts";
import type { DeviceState, DiskEffect } from "../contract.ts";
import { encodeSuperblock, freshSuperblock, planLayout } from "../metadata/index.ts";
import type { DataHost, DataNotice, Digests, Session } from "../shared.ts";
import type { Packet } from "../wire/packets.ts";
import { DataCore } from "./data-core.ts";
import { type RigOptions, specOf, testDigests } from "./rig.test-support.ts";

export interface Sent {
  readonly socket: "data" | "meta";
  readonly packet: Packet;
}

export class Lone {
  readonly core: DataCore;
  readonly sent: Sent[] = [];
  readonly answers: DiskEffect[] = [];
  readonly notices: DataNotice[] = [];
  now: Instant = instant(1000);
  state: DeviceState = {
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
  session: Session | undefined;
  /** False: local I/O waits in `held`. */
  prompt = true;
  readonly held: (() => void)[] = [];
  /** Which local I/O fails. */
  fails: (effect: DiskEffect) => boolean = () => false;
  readonly disk: Uint8Array;
  #io = 0;
  #token = 0;
  #queue: (() => void)[] = [];
  #running = false;

  constructor(options: RigOptions, digests: Digests = testDigests) {
    this.disk = new Uint8Array(Math.min(options.sectors * 512, 64 * 1024 * 1024));
    const lone = this;
    const host: DataHost = {
      get state() {
        return lone.state;
      },
      get session() {
        return lone.session;
      },
      afterCrash: false,
      sectors: options.sectors,
      emit: (effect) => this.#perform(effect),
      notice: (notice) => this.notices.push(notice),
      writeMetadata: () => {
        this.#token += 1;
        const token = this.#token;
        this.#later(() => this.core.metadataDone(token, true, this.now));
        return token;
      },
      nextIo: () => {
        this.#io += 1;
        return this.#io;
      },
    };
    const spec = specOf(options);
    this.core = new DataCore(
      { spec, host: "alice", digests, secret: undefined, random64: () => 1n },
      host,
    );
    const metadataSectors = 4096;
    const layout = planLayout(
      { kind: "external" },
      { backingSectors: options.sectors, metadataSectors },
    );
    if (!layout.ok) throw layout.error;
    const superblock = { ...freshSuperblock(layout.value, 1n), lastAgreedSectors: options.sectors };
    this.core.attached(
      {
        superblock: encodeSuperblock(superblock),
        activityLog: new Uint8Array(layout.value.activityLogBytes),
        bitmap: new Uint8Array(layout.value.bitmapBytes),
        backingSectors: options.sectors,
        metadataSectors,
        discards: true,
      },
      this.now,
    );
    this.change({ disk: "UpToDate" });
    this.run();
  }

  change(to: Partial<DeviceState>): void {
    const before = this.state;
    this.state = { ...before, ...to };
    this.core.stateChanged(before, this.state, this.now);
    this.run();
  }

  connect(role: "Primary" | "Secondary", session: Partial<Session> = {}): void {
    this.session = {
      version: 101,
      features: 15,
      resolveConflicts: false,
      integrity: undefined,
      verify: "crc32c",
      checksumResync: undefined,
      protocol: "C",
      baton: false,
      ...session,
    };
    this.core.sessionBegan(this.session);
    const peer = role === "Primary" ? "Secondary" : "Primary";
    this.change({ role, peer, conn: "Connected", pdsk: "UpToDate" });
  }

  take(socket: "data" | "meta", packet: Packet): void {
    this.core.packet(socket, packet, this.now);
    this.run();
  }

  tick(ms: number): void {
    this.now = instant(this.now + ms);
    this.core.tick(this.now);
    this.run();
  }

  run(): void {
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
    this.#running = false;
  }

  /** The packets of these commands that were sent so far. */
  commands(...names: readonly Packet["command"][]): readonly Packet[] {
    return this.sent.map(({ packet }) => packet).filter(({ command }) => names.includes(command));
  }

  #later(run: () => void): void {
    this.#queue.push(run);
  }

  #perform(effect: DiskEffect): void {
    if (effect.kind === "send") {
      this.sent.push({ socket: effect.socket, packet: effect.packet });
      return;
    }
    if (effect.kind === "answer") {
      this.answers.push(effect);
      return;
    }
    if (!("io" in effect)) throw new Error(`The data path does not emit ${effect.kind}`);
    const ok = !this.fails(effect);
    if (effect.kind === "localWrite" && ok && effect.sector * 512 < this.disk.length) {
      this.disk.set(effect.data, effect.sector * 512);
    }
    const done = (): void => {
      const data =
        effect.kind === "localRead" && ok
          ? this.disk.slice(effect.sector * 512, effect.sector * 512 + effect.bytes)
          : undefined;
      this.core.ioDone(effect.io, ok, data, this.now);
    };
    if (this.prompt) this.#later(done);
    else {
      this.held.push(() => {
        done();
        this.run();
      });
    }
  }
}
