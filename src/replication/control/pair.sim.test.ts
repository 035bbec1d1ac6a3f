/**
 * Random lives of a pair whose agent tells the truth about exclusion: cables, crashes, promotions, demotions, writes. The
 * judge keeps its own account of what applications were told (S1, S3, S5, I6 of the reliability reference).
 */
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/index.ts";
import type { FenceResult } from "../contract.ts";
import type { FencingPolicy } from "../options.ts";
import { makeEqual, otherSide, Pair, type Side, specOf, TestDisk } from "./pair.test-support.ts";

const BLOCKS = 40;
const sides = ["alice", "bob"] as const;
const one = process.env["SEED"];

class Life {
  readonly random: Prng;
  readonly pair: Pair;
  readonly disks = { alice: new TestDisk(), bob: new TestDisk() };
  /** By block: the newest value that was answered, the newest that was flushed after that, and all that were submitted. */
  readonly answered = new Map<number, number>();
  readonly flushes = new Map<number, ReadonlyMap<number, number>>();
  readonly acknowledged = new Map<number, number>();
  readonly submitted = new Map<number, { block: number; value: number; side: Side }>();
  #next = 1;
  #seen = { alice: 0, bob: 0 };
  /** The agents' durable record: who lacks what the other has written alone (S7). */
  #excluded: Side | null = null;

  constructor(seed: number, fencing: FencingPolicy) {
    this.random = new Prng(seed);
    makeEqual([this.disks.alice, this.disks.bob], 0xfdba_088f_d5c0_65fan, 1_968);
    const spec = specOf({ disk: { fencing }, net: { pingIntervalMs: 1_000 } });
    this.pair = new Pair({ disks: this.disks, spec, seed });
    this.pair.fenceAnswer = (side) => {
      // R5: who was excluded itself and was not resynced since excludes nobody.
      if (this.#excluded === side) return 5;
      const result = this.#exclude(otherSide(side));
      if (result === 3 || result === 4 || result === 7) this.#excluded = otherSide(side);
      return result;
    };
    this.pair.up();
  }

  /** What a fencing agent does over another path: outdates a host that lives, powers off one that does not answer. */
  #exclude(victim: Side): FenceResult | undefined {
    const host = this.pair.hosts[victim];
    if (!host.alive) return 7;
    const chance = this.random.next();
    if (chance < 0.2) return 5;
    if (chance < 0.3) return "broken";
    if (chance < 0.5) {
      this.crash(victim);
      return 7;
    }
    const { state } = host.core.view();
    if (state.role === "Primary") return 6;
    this.pair.feed(victim, {
      kind: "command",
      id: `outdate-${this.#next++}`,
      command: { verb: "outdate" },
    });
    const after = host.core.view().state;
    if (after.disk === "Outdated" && !host.hangs) return 4;
    return after.disk === "Inconsistent" ? 3 : 5;
  }

  step(): void {
    const { pair, random } = this;
    const side = random.chance(0.5) ? "alice" : "bob";
    const host = pair.hosts[side];
    const tell = (command: Parameters<Pair["command"]>[1]): void => {
      pair.feed(side, { kind: "command", id: `c${this.#next++}`, command });
    };
    if (!host.alive && random.chance(0.3)) {
      pair.restart(side);
      tell({ verb: "attach" });
      tell({ verb: "connect", discardMyData: false });
    }
    switch (random.between(0, 11)) {
      case 0:
        pair.cut = !pair.cut;
        if (pair.cut && random.chance(0.5)) pair.breakConnection();
        break;
      case 1:
        pair.breakConnection();
        break;
      case 2:
        if (host.alive && random.chance(0.5)) this.crash(side);
        break;
      case 3:
      case 4:
        tell({ verb: "primary", force: false });
        break;
      case 5:
        tell({ verb: "secondary" });
        break;
      case 6:
        if (random.chance(0.3)) tell({ verb: "disconnect", force: random.chance(0.3) });
        else tell({ verb: "connect", discardMyData: false });
        break;
      default:
        for (const writer of sides) {
          if (!pair.hosts[writer].alive || !pair.hosts[writer].device.writable) continue;
          this.write(writer);
          if (random.chance(0.5)) pair.run(0);
          this.judge();
          if (random.chance(0.5)) this.flush(writer);
        }
    }
    pair.run(random.chance(0.3) ? random.between(0, 3_000) : random.between(0, 30));
    this.judge();
  }

  /** What was answered and not flushed may be lost, whoever holds it. */
  crash(side: Side): void {
    this.judge();
    this.pair.crash(side);
    this.answered.clear();
    for (const [block, value] of this.acknowledged) this.answered.set(block, value);
  }

  write(side: Side): void {
    const id = this.#next++;
    const block = this.random.between(0, BLOCKS - 1);
    this.submitted.set(id, { block, value: id, side });
    const data = new Uint8Array(4096);
    new DataView(data.buffer).setUint32(0, id);
    this.pair.feed(side, {
      kind: "request",
      id,
      request: { op: "write", sector: block * 8, data, fua: false },
    });
  }

  /** A flush says that everything answered before it is durable. */
  flush(side: Side): void {
    const id = this.#next++;
    this.flushes.set(id, new Map(this.answered));
    this.pair.feed(side, { kind: "request", id, request: { op: "flush" } });
  }

  judge(): void {
    for (const side of sides) {
      const { answers } = this.pair.hosts[side];
      for (const answer of answers.slice(this.#seen[side])) {
        if (!answer.ok) continue;
        const write = this.submitted.get(answer.id);
        if (write !== undefined) {
          const before = this.answered.get(write.block) ?? 0;
          this.answered.set(write.block, Math.max(before, write.value));
        }
        for (const [block, value] of this.flushes.get(answer.id) ?? []) {
          this.acknowledged.set(block, Math.max(this.acknowledged.get(block) ?? 0, value));
        }
      }
      this.#seen[side] = answers.length;
    }
    const together = "Connected UpToDate/UpToDate";
    const is = sides.map((side) => {
      const { conn, disk, pdsk } = this.pair.hosts[side].core.view().state;
      return `${conn} ${disk}/${pdsk}`;
    });
    if (is.every((state) => state === together)) this.#excluded = null;
    const free = sides.filter((side) => {
      const host = this.pair.hosts[side];
      const { state } = host.core.view();
      return (
        host.alive && state.role === "Primary" && !state.suspFencing && state.disk === "UpToDate"
      );
    });
    ok(free.length < 2, `S1: two hosts write at ${this.pair.now}`);
    for (const side of free) this.holdsEverything(side);
  }

  /** S3: whoever is Primary on its own data has what was acknowledged, or something that was written later. */
  holdsEverything(side: Side): void {
    const { bytes } = this.disks[side];
    const view = new DataView(bytes.buffer);
    for (const [block, value] of this.acknowledged) {
      const found = view.getUint32(block * 4096);
      const known = this.submitted.get(found);
      const newer = found >= value && known?.block === block;
      ok(newer, `S3: block ${block} of ${side} holds ${found}, ${value} was acknowledged`);
    }
  }

  /** All faults end: the pair must find together, except after a split brain, which a truthful agent never allows. */
  heal(): void {
    const { pair } = this;
    pair.cut = false;
    for (const side of sides) {
      if (!pair.hosts[side].alive) {
        pair.restart(side);
        pair.feed(side, { kind: "command", id: `h${this.#next++}`, command: { verb: "attach" } });
      }
    }
    pair.run(30_000);
    for (const side of sides) {
      const command = { verb: "connect", discardMyData: false } as const;
      pair.feed(side, { kind: "command", id: `h${this.#next++}`, command });
    }
    pair.run(60_000);
    this.judge();
  }

  settled(): void {
    const { alice, bob } = this.pair.hosts;
    const { state } = alice.core.view();
    const both = `${this.pair.state("alice")} | ${this.pair.state("bob")}`;
    equal(state.conn, "Connected", both);
    equal(`${state.disk}/${state.pdsk}`, "UpToDate/UpToDate", both);
    equal(alice.core.view().outOfSyncBlocks + bob.core.view().outOfSyncBlocks, 0, "bits remain");
    for (let block = 0; block < BLOCKS; block++) {
      const at = block * 4096;
      const [a, b] = [this.disks.alice, this.disks.bob].map((disk) =>
        new DataView(disk.bytes.buffer).getUint32(at),
      );
      equal(a, b, `block ${block} differs`);
    }
    const [a, b] = [this.disks.alice, this.disks.bob].map((disk) => disk.superblock.generations);
    for (const slot of ["current", "bitmap"] as const) {
      equal((a?.[slot] ?? 0n) & ~1n, (b?.[slot] ?? 1n) & ~1n, slot);
    }
  }
}

const policies = ["native", "resource-and-stonith"] as const;
const seeds =
  one === undefined
    ? Array.from({ length: Number(process.env["SEEDS"] ?? 150) }, (_, at) => at + 1)
    : [Number(one)];
for (const fencing of policies) {
  test(`${fencing}: one writer, nothing acknowledged is lost, the pair finds together`, () => {
    for (const seed of seeds) {
      const life = new Life(seed, fencing);
      try {
        for (let step = 0; step < 80; step++) life.step();
        life.heal();
        life.settled();
      } catch (cause) {
        throw new Error(`Replay with SEED=${seed}`, { cause });
      }
    }
  });
}
