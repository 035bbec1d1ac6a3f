/**
 * The judges of the disk world: each keeps its own account of the truth (reliability 4.1, 7.3, 8.4). `strict`: the policy promises
 * S1 and S3 without exception, since whoever is excluded is really down; otherwise two hosts that can not see each
 * other may both go on, and then nothing of either may be thrown away (FM41).
 */
import { compareGenerations, type DeviceState, diskRank } from "../../replication/index.ts";
import type { SimDevice } from "./device.ts";
import type { CrashSite, Death, DiskProcess } from "./disk-process.ts";
import type { History, Written } from "./history.ts";
import { otherSide, type Side } from "./wire.ts";

const EXTENT_BLOCKS = 1_024;

export interface ChecksParts {
  readonly processes: () => readonly [DiskProcess, DiskProcess];
  readonly devices: readonly [SimDevice, SimDevice];
  readonly history: History;
  readonly strict: boolean;
  readonly protocol: "A" | "B" | "C";
  /** Nobody goes on alone without a proof in its metadata. */
  readonly fences: boolean;
  readonly violation: (checker: string, message: string) => void;
  readonly count: (name: string) => void;
}

interface Account {
  reign: number;
  /** It writes blocks of a resync: until the end its content is neither old nor new. */
  mixed: boolean;
  /** Acknowledged writes that only this side has. */
  alone: number;
  /** The moment since which nothing was lost with the power here. */
  since: number;
  /** A person gave this copy up. */
  givenUp: boolean;
}

const account = (): Account => ({ reign: 0, mixed: false, alone: 0, since: 0, givenUp: false });

/** What must never happen; each breach is told with the rule that it breaks. */
export class Checks {
  readonly #parts: ChecksParts;
  readonly accounts: readonly [Account, Account] = [account(), account()];
  #reigns = 0;
  #newestReign = 0;
  /** Sectors whose content a faulty device changed. */
  isSpoilt = (sector: number): boolean =>
    this.#parts.devices[0].spoilt.has(sector) || this.#parts.devices[1].spoilt.has(sector);

  constructor(parts: ChecksParts) {
    this.#parts = parts;
  }

  // -- durable first ------------------------------------------------------------------------------------------------

  localWrite(process: DiskProcess, sector: number, sectors: number): void {
    const { state, parts } = process;
    const { device, side, host } = parts;
    const { flags } = device.superblock;
    const isTarget = state.conn === "SyncTarget" || state.conn === "PausedSyncT";
    if (isTarget) {
      this.accounts[side].mixed = true;
      if (flags.consistent) {
        this.#fail(
          "R8",
          `${host} writes blocks of a resync while its metadata says that it is whole`,
        );
      }
    }
    if (state.role !== "Primary" || isTarget) return;
    const last = Math.floor((sector + sectors - 1) / (EXTENT_BLOCKS * 8));
    for (let extent = Math.floor(sector / (EXTENT_BLOCKS * 8)); extent <= last; extent++) {
      if (device.extents.has(extent) && flags.primary) continue;
      this.#fail(
        "R9",
        `${host} writes sector ${sector}, and its activity log does not have extent ${extent}`,
      );
    }
  }

  /** An application was told that its write is done. */
  acknowledged(process: DiskProcess, write: Written): void {
    const { side, host, device } = process.parts;
    const own = this.accounts[side];
    if (this.#parts.strict && own.reign < this.#newestReign) {
      this.#fail("S1", `${host} acknowledges a write although the other host did so after it`);
    }
    this.#newestReign = Math.max(this.#newestReign, own.reign);
    if (this.#parts.protocol !== "C" || !this.#lacks(otherSide(side), write)) return;
    const { state } = process;
    if (state.disk !== "UpToDate") return;
    const replicates =
      process.connected &&
      diskRank(state.pdsk) >= diskRank("Inconsistent") &&
      state.pdsk !== "DUnknown";
    const other = this.#parts.processes()[otherSide(side)];
    // Refused by a disk that just failed: marked here, and the peer's state follows on the other socket.
    if (!other.alive || diskRank(other.state.disk) <= diskRank("Failed")) return;
    // It had it, and lost it with the power.
    if (this.accounts[otherSide(side)].since > write.issued) return;
    if (replicates && state.pdsk === "UpToDate") {
      this.#fail(
        "R1",
        `${host} acknowledges a write of sector ${write.sector} that its connected peer does not have`,
      );
      return;
    }
    if (replicates) return;
    own.alone += 1;
    this.#parts.count("writes acknowledged alone");
    const { generations, flags } = device.superblock;
    if (generations.bitmap === 0n) {
      this.#fail("R9", `${host} acknowledges what only it has, and no new generation is durable`);
    }
    if (this.#parts.fences && !process.connected && !flags.peerOutdated) {
      this.#fail(
        "R9",
        `${host} acknowledges what only it has, and that the peer is outdated is not durable`,
      );
    }
  }

  #lacks(side: Side, write: Written): boolean {
    const device = this.#parts.devices[side];
    const own = this.#parts.devices[otherSide(side)];
    for (let at = write.sector; at < write.sector + write.sectors; at++) {
      // Overwritten already: no longer to be seen.
      if (own.tag(at) === write.tag && device.tag(at) !== write.tag && !this.isSpoilt(at))
        return true;
    }
    return false;
  }

  // -- states -------------------------------------------------------------------------------------------------------

  stepped(process: DiskProcess, before: DeviceState): void {
    const { state, parts } = process;
    const { side, host } = parts;
    const own = this.accounts[side];
    const begins = (conn: DeviceState["conn"]): boolean =>
      state.conn === conn && before.conn !== conn;
    if (before.role !== "Primary" && state.role === "Primary") this.#promoted(process);
    if (begins("SyncTarget") && before.conn !== "PausedSyncT") {
      this.#parts.count("resyncs");
      const peer = this.accounts[otherSide(side)];
      own.since = Math.max(own.since, peer.since);
      if (own.alone > 0 && !own.givenUp) {
        this.#fail(
          "R6",
          `${host} has ${own.alone} acknowledged writes that nobody else has, and is made the target`,
        );
      }
      own.givenUp = false;
      const other = this.#parts.processes()[otherSide(side)];
      if (peer.mixed && other.alive)
        this.#fail("S5", `${host} is synced from a copy that is not whole`);
    }
    if (state.disk === "UpToDate" && before.disk !== "UpToDate") own.mixed = false;
    // Everything that the source had is here now.
    if (before.conn === "SyncTarget" && state.disk === "UpToDate")
      this.accounts[otherSide(side)].alone = 0;
    if (state.suspFencing && !before.suspFencing) this.#parts.count("freezes");
    if (before.suspFencing && !state.suspFencing) this.#parts.count("thaws");
    const [one, other] = this.#parts.processes();
    const whole = ({ state: { conn, disk, pdsk } }: DiskProcess): boolean =>
      conn === "Connected" && disk === "UpToDate" && pdsk === "UpToDate";
    if (whole(one) && whole(other)) for (const each of this.accounts) each.alone = 0;
  }

  /** S3, S4 at the moment of a promotion. */
  #promoted(process: DiskProcess): void {
    const { state, parts } = process;
    const { side, host } = parts;
    const own = this.accounts[side];
    this.#reigns += 1;
    own.reign = this.#reigns;
    const viaPeer = process.connected && state.pdsk === "UpToDate";
    if (state.disk !== "UpToDate" && !viaPeer) {
      this.#fail("S4", `${host} is promoted with a disk that is ${state.disk}`);
    }
    if (own.mixed && !viaPeer)
      this.#fail("S5", `${host} is promoted with a copy that is not whole`);
    const source = state.disk === "UpToDate" ? side : otherSide(side);
    if (this.#parts.strict) this.allowed(source, `promotion of ${host}`);
    const { history, devices } = this.#parts;
    for (const sector of history.sectors()) history.settle(sector, devices[source].tag(sector));
  }

  /** Every sector of a side holds a value that may be there. */
  allowed(side: Side, when: string): void {
    const { history, devices, protocol } = this.#parts;
    const since = protocol === "C" ? this.accounts[side].since : Number.POSITIVE_INFINITY;
    const demand = { flushed: history.flushed, since };
    for (const sector of history.sectors()) {
      const tag = devices[side].tag(sector);
      if (history.allows(sector, tag, demand) || this.isSpoilt(sector)) continue;
      this.#fail(
        "S3",
        `${when}: sector ${sector} holds ${tag}; written were ${history.tell(sector)}, flushed up to ${history.flushed}, power lost at ${since}`,
      );
      return;
    }
  }

  died(process: DiskProcess, how: Death): void {
    const { device, side, host } = process.parts;
    if (how === "power") this.accounts[side].since = this.#parts.history.moment();
    if (this.accounts[side].mixed && device.superblock.flags.consistent) {
      this.#fail("S5", `${host} died within a resync, and its metadata says that it is whole`);
    }
    this.unmarked();
  }

  crashPoint(site: CrashSite): void {
    this.#parts.count(`crash points ${site}`);
  }

  // -- no unmarked difference -----------------------------------------------------------------------------------------

  /** While nothing connects the two: whatever differs is marked, logged, or will be copied as a whole. */
  unmarked(): void {
    const processes = this.#parts.processes();
    if (processes.some((process) => process.alive && (process.connected || process.isBusy))) return;
    const { devices, count } = this.#parts;
    if (this.#differsAsAWhole()) return;
    count("looks for unmarked differences");
    for (const block of new Set([...devices[0].blocks(), ...devices[1].blocks()])) {
      if (!this.#differs(block)) continue;
      if (processes.some((process) => this.#isCovered(process, block))) continue;
      this.#fail("8.4", `block ${block} differs (${this.#tell(block)}), and nothing says so`);
      return;
    }
  }

  #differs(block: number): boolean {
    const [one, other] = this.#parts.devices;
    for (let sector = block * 8; sector < block * 8 + 8; sector++) {
      if (one.tag(sector) !== other.tag(sector) && !this.isSpoilt(sector)) return true;
    }
    return false;
  }

  #tell(block: number): string {
    const [one, other] = this.#parts.devices;
    const tags = (device: SimDevice): string =>
      Array.from({ length: 8 }, (_, at) => device.tag(block * 8 + at)).join(" ");
    return `${tags(one)} / ${tags(other)}`;
  }

  #isCovered(process: DiskProcess, block: number): boolean {
    const { device } = process.parts;
    const marked = process.bitmap === undefined ? device.isMarked(block) : process.isMarked(block);
    if (marked) return true;
    const { flags } = device.superblock;
    if (flags.fullSync) return true;
    return flags.primary && device.extents.has(Math.floor(block / EXTENT_BLOCKS));
  }

  /** The generations demand a full sync, or forbid any. */
  #differsAsAWhole(): boolean {
    const [one, other] = this.#parts.devices.map((device) => device.superblock);
    if (one === undefined || other === undefined) return false;
    const { result } = compareGenerations(one.generations, other.generations, {
      role: "Secondary",
      peerRole: "Secondary",
      crashed: one.flags.primary || one.flags.crashedPrimary,
      peerCrashed: other.flags.primary || other.flags.crashedPrimary,
      knowsRule41: true,
      resolveConflicts: false,
    });
    return Math.abs(result) > 1;
  }

  /** Blocks that differ, whatever the marks say; also those of faulty devices. */
  differences(): readonly number[] {
    const [one, other] = this.#parts.devices;
    return [...new Set([...one.blocks(), ...other.blocks()])].filter((block) => {
      for (let sector = block * 8; sector < block * 8 + 8; sector++) {
        if (one.tag(sector) !== other.tag(sector)) return true;
      }
      return false;
    });
  }

  tellBlock(block: number): string {
    return this.#tell(block);
  }

  #fail(checker: string, message: string): void {
    this.#parts.violation(checker, message);
  }
}
