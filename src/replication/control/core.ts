/**
 * The middle of the disk core: the memory, and the one way in which a state changes.
 *
 *   wish -> sanitise -> judge -> state, generations and flags in memory -> superblock (what follows waits for it)
 *        -> announcements to the peer -> data path -> device, handlers
 */
import { assert, type Instant } from "../../base/index.ts";
import {
  connectionRank,
  type DeviceState,
  type DiskEffect,
  diskRank,
  type Generations,
  type MetadataWrite,
  type SocketName,
} from "../contract.ts";
import { encodeSuperblock, inUse, type Superblock } from "../metadata/index.ts";
import type { HandlerName } from "../options.ts";
import type { DataHost, DataNotice, DataPath, DiskCoreOptions, Session } from "../shared.ts";
import { uuidFlag } from "../wire/enums.ts";
import type { Packet } from "../wire/packets.ts";
import { encodeState } from "../wire/state-word.ts";
import { newCurrent, noGenerations, sameGeneration, withRole } from "./generations.ts";
import type { Memory } from "./memory.ts";
import type { Output } from "./output.ts";
import { codes } from "./result-codes.ts";
import {
  flagsOfState,
  impossible,
  isConnected,
  isSuspended,
  judge,
  type StateRules,
  sanitise,
} from "./transitions.ts";

/** A handler's name and number of arguments do not matter here: which exist is configuration. */
export class Core implements DataHost {
  readonly options: DiskCoreOptions;
  readonly memory: Memory;
  readonly output: Output;
  readonly notices: DataNotice[] = [];
  now: Instant;
  #data: DataPath | undefined;
  #writtenSuperblock: Superblock | undefined;

  constructor(options: DiskCoreOptions, memory: Memory, output: Output, now: Instant) {
    this.options = options;
    this.memory = memory;
    this.output = output;
    this.now = now;
    this.#writtenSuperblock = memory.disk?.superblock;
  }

  /** The other half; set once, right after both are made. */
  bindData(data: DataPath): void {
    this.#data = data;
  }
  get data(): DataPath {
    assert(this.#data !== undefined, "The data path is bound before the first event");
    return this.#data;
  }

  get state(): DeviceState {
    return this.memory.state;
  }
  get session(): Session | undefined {
    const { link } = this.memory;
    return link.phase === "up" || link.phase === "parameters" ? link.session : undefined;
  }
  get sectors(): number {
    return this.memory.sectors;
  }
  get afterCrash(): boolean {
    return this.memory.afterCrash;
  }
  get isPrimary(): boolean {
    return this.memory.state.role === "Primary";
  }
  /** Our generations; without a disk, empty ones. */
  get generations(): Generations {
    return this.memory.disk?.superblock.generations ?? noGenerations;
  }

  emit(effect: DiskEffect): void {
    this.output.emit(effect);
  }
  notice(notice: DataNotice): void {
    this.notices.push(notice);
  }
  writeMetadata(writes: readonly MetadataWrite[]): number {
    return this.output.writeMetadata(writes, false);
  }
  nextIo(): number {
    return this.output.nextIo();
  }

  send(socket: SocketName, packet: Packet): void {
    this.output.emit({ kind: "send", socket, packet });
  }

  /** For the journal; `weighty` ones stay in the view until the next one. */
  decide(reason: string, detail: string): void {
    this.memory.reason = reason;
    this.memory.detail = detail;
    this.output.emit({ kind: "decision", reason, detail });
    this.output.emit({ kind: "changed" });
  }

  runHandler(handler: HandlerName): boolean {
    if (this.options.spec.handlers[handler] === undefined) return false;
    this.output.emit({ kind: "runHandler", handler });
    return true;
  }

  rules(): StateRules {
    const { net, disk, onNoDataAccessible } = this.options.spec;
    return {
      fencing: disk.fencing,
      twoPrimaries: net.allowTwoPrimaries,
      suspendWithoutData: onNoDataAccessible === "suspend-io",
      hasVerifyAlgorithm: net.verify !== undefined,
      openers: this.memory.openers,
      handshaking: this.memory.link.phase === "parameters",
      postponedDisk: this.#isForeign() ? "Outdated" : this.memory.postponed,
    };
  }

  /** The disk that attaches here does not hold the data that our applications use: the peer has that. */
  #isForeign(): boolean {
    const { exposed, postponed, disk } = this.memory;
    if (!this.isPrimary || disk === null || exposed === 0n) return false;
    const worse = diskRank(postponed) <= diskRank("Outdated");
    return !worse && !sameGeneration(exposed, disk.superblock.generations.current);
  }

  /** What the soft change would answer, without making it. */
  wouldBe(patch: Partial<DeviceState>): number {
    const from = this.memory.state;
    const rules = this.rules();
    return judge(from, sanitise(from, { ...from, ...patch }, rules), rules);
  }

  /** Asks for a change that can be refused; answers with its number (drbd.md 4.2). */
  change(patch: Partial<DeviceState>): number {
    const from = this.memory.state;
    const rules = this.rules();
    const to = sanitise(from, { ...from, ...patch }, rules);
    const code = judge(from, to, rules);
    if (code < codes.success) return code;
    return this.#apply(from, to);
  }

  /** Makes a change that nobody is asked about: errors, lost connections, what the protocol demands. */
  force(patch: Partial<DeviceState>): number {
    const from = this.memory.state;
    const to = sanitise(from, { ...from, ...patch }, this.rules());
    const code = impossible(from, to);
    if (code < codes.success) return code;
    return this.#apply(from, to);
  }

  #apply(from: DeviceState, to: DeviceState): number {
    if (sameState(from, to)) return codes.nothingToDo;
    const { memory } = this;
    memory.state = to;
    if (to.disk === "UpToDate" && to.pdsk === "UpToDate") memory.crashedPrimary = false;
    if (from.role !== to.role && memory.disk !== null) {
      this.#setGenerations(withRole(this.generations, to.role === "Primary"));
    }
    const renewed = this.#renewIfPeerLost(from, to);
    this.persist();
    this.#announce(from, to, renewed);
    if (isSuspended(to) !== isSuspended(from)) {
      memory.frozenSince = isSuspended(to) ? this.now : null;
    }
    this.data.stateChanged(from, to, this.now);
    this.showDevice();
    if (lostAllData(to) && !lostAllData(from)) this.runHandler("pri-on-incon-degr");
    this.output.emit({ kind: "changed" });
    return codes.success;
  }

  /** drbd.md 5.3: whoever goes on without the peer's data begins a new generation. */
  #renewIfPeerLost(from: DeviceState, to: DeviceState): boolean {
    const { memory } = this;
    const someoneWrites = to.role === "Primary" || to.peer === "Primary";
    const had = diskRank(from.pdsk) >= diskRank("Inconsistent") && from.pdsk !== "Outdated";
    const gone = diskRank(to.pdsk) < diskRank("Inconsistent") || to.pdsk === "Outdated";
    const lost =
      from.pdsk === "DUnknown"
        ? ["Diskless", "Failed", "Outdated"].includes(to.pdsk)
        : had && (gone || to.pdsk === "DUnknown");
    const joined = to.peer === "Primary" && from.peer !== "Primary" && to.pdsk === "Diskless";
    if (!someoneWrites || to.disk !== "UpToDate" || (!lost && !joined)) return false;
    if (memory.disk === null || this.generations.bitmap !== 0n) return false;
    if (isSuspended(to)) {
      memory.newCurrentDue = true;
      return false;
    }
    this.renewCurrent(true);
    return true;
  }

  /**
   * A new current generation, in memory; `persist` makes it durable. `wasPrimary`: whether this host was Primary when the
   * two parted, which bit 0 of BITMAP remembers for the after-sb policies.
   */
  renewCurrent(wasPrimary: boolean): void {
    this.memory.newCurrentDue = false;
    const parted = wasPrimary ? this.generations : withRole(this.generations, false);
    this.#setGenerations(newCurrent(parted, this.options.random64(), this.isPrimary));
    this.decideQuietly(
      "BTN-DISK-NEW-GENERATION",
      "the peer does not have what is written from now on",
    );
  }
  decideQuietly(reason: string, detail: string): void {
    this.output.emit({ kind: "decision", reason, detail });
  }

  setGenerations(generations: Generations): void {
    this.#setGenerations(generations);
    this.persist();
  }
  #setGenerations(generations: Generations): void {
    const { disk } = this.memory;
    if (disk === null) return;
    disk.superblock = { ...disk.superblock, generations };
    this.memory.exposed = generations.current;
  }

  updateSuperblock(fields: Partial<Superblock>): void {
    const { disk } = this.memory;
    if (disk === null) return;
    disk.superblock = { ...disk.superblock, ...fields };
    this.persist();
  }

  /** Writes the superblock if it is another one now; what is emitted later waits for it. */
  persist(): void {
    const { disk, state, crashedPrimary } = this.memory;
    if (disk === null || diskRank(state.disk) < diskRank("Negotiating")) return;
    const settled = state.disk !== "Negotiating";
    const { superblock } = disk;
    const flags = settled
      ? flagsOfState(state, crashedPrimary, superblock.flags)
      : superblock.flags;
    const next = inUse({ ...superblock, flags });
    disk.superblock = next;
    const written = this.#writtenSuperblock;
    if (written !== undefined && sameSuperblock(written, next)) return;
    this.#writtenSuperblock = next;
    this.output.writeMetadata(
      [{ offset: disk.layout.superblockOffset, bytes: encodeSuperblock(next) }],
      true,
    );
  }
  get writtenSuperblock(): Superblock | undefined {
    return this.#writtenSuperblock;
  }
  /** What is on the disk at attach. */
  foundSuperblock(superblock: Superblock | undefined): void {
    this.#writtenSuperblock = superblock;
  }

  /** The P_STATEs of drbd.md 4.10 that belong to the change itself. */
  #announce(from: DeviceState, to: DeviceState, renewed: boolean): void {
    if (!isConnected(to)) {
      // A Primary that is left says so on the dying connection, if that still takes it.
      if (renewed && to.conn === "TearDown") this.sendGenerations(0);
      return;
    }
    if (!isConnected(from)) {
      this.sendState();
      return;
    }
    const attached =
      diskRank(from.pdsk) < diskRank("Negotiating") && diskRank(to.pdsk) >= diskRank("Negotiating");
    if (renewed || attached) this.sendGenerations(0);
    const paused = from.afterPaused !== to.afterPaused || from.userPaused !== to.userPaused;
    const failing = from.disk !== to.disk && (to.disk === "Failed" || to.disk === "Diskless");
    const degraded =
      from.disk === "UpToDate" && to.disk === "Inconsistent" && to.conn === "Connected";
    const ahead = to.conn === "Ahead" && from.conn !== "Ahead";
    if (attached || paused || failing || degraded || ahead) this.sendState();
  }

  /** P_STATE of now. The suspension bits mean nothing to a peer and stay clear. */
  sendState(state: DeviceState = this.memory.state): void {
    const word = encodeState({ ...state, suspUser: false, suspNoData: false, suspFencing: false });
    this.send("data", { command: "P_STATE", volume: this.options.spec.volume, word });
  }

  sendGenerations(flags: number): void {
    const { memory } = this;
    if (memory.disk === null) return;
    memory.announcedBits = flags & uuidFlag.skipInitialSync ? 0 : this.data.dirtyBlocks();
    const inconsistent = memory.state.disk === "Negotiating" && memory.postponed === "Inconsistent";
    this.send("data", {
      command: "P_UUIDS",
      volume: this.options.spec.volume,
      generations: this.generations,
      dirtyBits: memory.announcedBits,
      flags:
        flags |
        (memory.discardMyData ? uuidFlag.discardMyData : 0) |
        (memory.crashedPrimary ? uuidFlag.crashedPrimary : 0) |
        (inconsistent ? uuidFlag.inconsistent : 0),
    });
  }

  /** Tells the shell how applications see the device, if it is another one now. */
  showDevice(): void {
    const { memory } = this;
    const { state } = memory;
    const local = diskRank(state.disk) >= diskRank("Inconsistent");
    const remote = isConnected(state) && diskRank(state.pdsk) >= diskRank("Inconsistent");
    const there = local || remote || state.role === "Primary";
    const sectors = there ? memory.sectors : 0;
    const writable = state.role === "Primary";
    if (sectors === memory.shownSectors && writable === memory.shownWritable) return;
    memory.shownSectors = sectors;
    memory.shownWritable = writable;
    this.output.emit({ kind: "device", sectors, writable });
  }

  /** The size of the device; told to the data path. */
  resize(sectors: number): void {
    const before = this.memory.sectors;
    if (before === sectors) return;
    this.memory.sectors = sectors;
    this.data.resized(before, sectors, this.now);
    this.showDevice();
  }
}

const lostAllData = (state: DeviceState): boolean =>
  state.role === "Primary" && state.disk !== "UpToDate" && state.pdsk !== "UpToDate";

const fields: readonly (keyof DeviceState)[] = [
  "role",
  "peer",
  "conn",
  "disk",
  "pdsk",
  "suspUser",
  "suspNoData",
  "suspFencing",
  "afterPaused",
  "peerPaused",
  "userPaused",
];
const sameState = (a: DeviceState, b: DeviceState): boolean =>
  fields.every((field) => a[field] === b[field]);

function sameSuperblock(a: Superblock, b: Superblock): boolean {
  if (a === b) return true;
  const left = encodeSuperblock(a);
  const right = encodeSuperblock(b);
  return left.every((byte, at) => byte === right[at]);
}

/** Whether a connection state is at least this one; for conditions of the form "conn >= X". */
export const connFrom = (state: DeviceState, least: DeviceState["conn"]): boolean =>
  connectionRank(state.conn) >= connectionRank(least);
