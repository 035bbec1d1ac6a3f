/**
 * Two sides of one disk, ready for scenarios: the kernel and Baton, or, to try a scenario itself, two kernels. Both
 * backings are files of this host, so what must be equal is compared here, block by block.
 */
import { equal } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { CommandName } from "../../src/replication/wire/packets.ts";
import { waitFor } from "../support/wait.ts";
import { BatonHost, batonHostName } from "./baton-host.ts";
import { BatonSide } from "./baton-side.ts";
import { decodeCapture } from "./decode.ts";
import { KernelPeer } from "./guest.ts";
import { KernelSide } from "./kernel-side.ts";
import { Lan } from "./lan.ts";
import type { ResourceOptions } from "./resource.ts";
import { block, demand, type Side, stateLimitMs } from "./side.ts";

const mib = 1_048_576;
const blockBytes = 4_096;
/** The last page of the device is the superblock of internal metadata; its first eight bytes are the agreed size in sectors (drbd.md 7.3). */
const superblockBytes = 4_096;
/** drbdmeta wants a minor number that no device of this host has. */
const minorOfNobody = "147";

/** Of a guest's disks, in this order: the first side's small and large one, the second side's. */
const diskSizes = [32 * mib, 256 * mib, 32 * mib, 256 * mib] as const;

/** Options of one scenario. */
export interface Setting extends ResourceOptions {
  /** Which of its two disks each side uses: the small (0) or the large one (1). @default 0 */
  readonly disk?: 0 | 1;
  /** Of CRAM-HMAC on the second side, if it shall be another than the first's. */
  readonly otherSecret?: string;
  /** Further files in the guest: path to text. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Two sides and the network between them. */
export abstract class Arrangement implements AsyncDisposable {
  readonly lan: Lan;
  abstract readonly first: Side;
  abstract readonly second: Side;
  #setting: Setting = {};
  #swapped = false;
  #captures = 0;
  #capture = "";

  protected constructor(lan: Lan) {
    this.lan = lan;
  }

  /** Gives both sides their options, and numbers of disks. */
  protected abstract apply(setting: Setting, disks: readonly [number, number]): Promise<void>;

  /** Ends the sides; the network is closed afterwards. */
  protected abstract close(): Promise<void>;

  /** Pulls and plugs the cable between the two. */
  abstract link(up: boolean): Promise<void>;

  /** A scenario begins: what ran is ended, the options are set, packets are recorded. */
  async begin(setting: Setting): Promise<void> {
    await this.clean();
    this.#setting = setting;
    this.#swapped = false;
    await this.#apply();
    await this.lan.endCaptures();
    if (this.#capture !== "") rmSync(this.#capture, { force: true });
    this.#capture = await this.lan.capture(`scenario${this.#captures++}`);
  }

  /** From now on each side uses the other's disk. Both must be down. */
  async swapBackings(): Promise<void> {
    this.#swapped = !this.#swapped;
    await this.#apply();
  }

  /** How many of these packets were sent in this scenario, by either side. */
  packets(command: CommandName): number {
    const pattern = new RegExp(` ${command} `);
    return this.trace().filter((line) => pattern.test(line)).length;
  }

  /** What the two said in this scenario, one line for each packet. */
  trace(): readonly string[] {
    return decodeCapture(readFileSync(this.#capture));
  }

  /** Both with fresh metadata, connected, Inconsistent. */
  async fresh(): Promise<void> {
    await this.both((side) => side.createMetadata());
    await this.up();
    await this.both((side) => side.until("cs:Connected"));
  }

  /** Both with fresh metadata, connected, and UpToDate without a sync: all zero is equal. */
  async ready(): Promise<void> {
    await this.fresh();
    await demand(this.first, "new-current-uuid --clear-bitmap");
    await this.inSync();
  }

  async up(): Promise<void> {
    await this.both((side) => side.up());
  }

  async inSync(limitMs = stateLimitMs): Promise<void> {
    const pattern = "cs:Connected ro:[A-Za-z/]* ds:UpToDate/UpToDate oos:0";
    await this.both((side) => side.until(pattern, limitMs));
  }

  /** For both sides at once. */
  async both(action: (side: Side) => Promise<unknown>): Promise<void> {
    await Promise.all([action(this.first), action(this.second)]);
  }

  async #apply(): Promise<void> {
    const disk = this.#setting.disk ?? 0;
    await this.apply(this.#setting, this.#swapped ? [disk + 2, disk] : [disk, disk + 2]);
  }

  other(side: Side): Side {
    return side === this.first ? this.second : this.first;
  }

  /** In sync, and the data areas of both backings are the same; what is under way may still arrive. */
  async equal(): Promise<void> {
    await this.inSync();
    let found: readonly number[] = [];
    await waitFor(
      "both devices are equal block by block",
      () => {
        found = this.differences();
        return found.length === 0;
      },
      20_000,
      () => `They differ in blocks ${found.join(" ")}`,
    );
  }

  /** The first blocks of the data area that are not the same on both sides. */
  differences(): readonly number[] {
    return differences(this.first, this.second);
  }

  /** Fills the data area with what compresses to nothing; its side must not be attached. */
  scribble(side: Side): void {
    withFile(side.backing, "r+", (file) => {
      for (let at = 0; at + 2 * mib <= fstatSync(file).size; at += mib) {
        writeSync(file, randomBytes(mib), 0, mib, at);
      }
    });
  }

  /** What drbdmeta says of a copy of a side's backing, once its activity log is applied. */
  drbdmeta(side: Side): MetadataSaid {
    const copy = join(this.lan.directory, `${side.name}.copy`);
    execFileSync("cp", ["--sparse=always", side.backing, copy]);
    const loop = text("losetup", ["-f", "--show", copy]);
    try {
      const ask = (...words: readonly string[]): string =>
        text("drbdmeta", ["--force", minorOfNobody, "v08", loop, "internal", ...words]);
      ask("apply-al");
      return { dump: ask("dump-md"), generations: ask("get-gi"), state: ask("dstate") };
    } finally {
      execFileSync("losetup", ["-d", loop]);
      rmSync(copy);
    }
  }

  /** The first line of a block of the backing. */
  readBlock(side: Side, number: number): string {
    const bytes = Buffer.alloc(blockBytes);
    withFile(side.backing, "r", (file) =>
      readSync(file, bytes, 0, blockBytes, number * blockBytes),
    );
    return bytes.toString("latin1").split("\n")[0] ?? "";
  }

  /** Blocks of both sides say what `fill` wrote. */
  expectBlocks(first: number, count: number, word: string): void {
    for (let number = first; number < first + count; number++) {
      for (const side of [this.first, this.second]) {
        equal(
          this.readBlock(side, number),
          `${word} block ${number}`,
          `${side.name} block ${number}`,
        );
      }
    }
  }

  /** Changes a block of a backing behind everybody's back; its side must not be attached. */
  plant(side: Side, number: number, word: string): void {
    withFile(side.backing, "r+", (file) =>
      writeSync(file, block(number, word), 0, blockBytes, number * blockBytes),
    );
  }

  /** Ends what runs on both sides, so that the next scenario begins from nothing. */
  async clean(): Promise<void> {
    await this.link(true);
    await this.both((side) => side.clean());
  }

  /** What both sides say, for the message of a failure. */
  async explain(): Promise<string> {
    const told = await Promise.all(
      [this.first, this.second].map((side) =>
        side.explain().catch((error: Error) => `${side.name} tells nothing: ${error.message}`),
      ),
    );
    return told.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.lan[Symbol.asyncDispose]();
  }
}

/** What drbdmeta prints. */
export interface MetadataSaid {
  readonly dump: string;
  readonly generations: string;
  readonly state: string;
}

class TwoKernels extends Arrangement {
  readonly first: KernelSide;
  readonly second: KernelSide;
  readonly #peers: readonly KernelPeer[];

  constructor(lan: Lan, peers: readonly [KernelPeer, KernelPeer]) {
    super(lan);
    this.#peers = peers;
    this.first = new KernelSide(peers[0]);
    this.second = new KernelSide(peers[1]);
  }

  protected async apply(
    { otherSecret, files, ...options }: Setting,
    disks: readonly [number, number],
  ): Promise<void> {
    const ends = [this.first.end(disks[0]), this.second.end(disks[1])] as const;
    await this.first.configure(ends, options, undefined, files);
    await this.second.configure(ends, options, otherSecret, files);
  }

  async link(up: boolean): Promise<void> {
    if (up) await this.#peers[0]?.linkUp();
    else await this.#peers[0]?.linkDown();
  }

  protected async close(): Promise<void> {
    for (const peer of this.#peers) await peer.powerOff();
  }
}

class KernelAndBaton extends Arrangement {
  readonly first: KernelSide;
  readonly second: BatonSide;
  readonly #peer: KernelPeer;
  readonly #host: BatonHost;

  constructor(lan: Lan, peer: KernelPeer, host: BatonHost, disks: readonly string[]) {
    super(lan);
    this.#peer = peer;
    this.#host = host;
    this.first = new KernelSide(peer);
    this.second = new BatonSide(host, disks, diskSizes);
  }

  protected async apply(
    { otherSecret, files, ...options }: Setting,
    disks: readonly [number, number],
  ): Promise<void> {
    const ends = [this.first.end(disks[0]), this.second.end(disks[1])] as const;
    await this.first.configure(ends, options, undefined, files);
    this.second.configure([ends[1], ends[0]], options, otherSecret);
  }

  async link(up: boolean): Promise<void> {
    if (up) await this.#peer.linkUp();
    else await this.#peer.linkDown();
  }

  protected async close(): Promise<void> {
    await this.second.clean();
    await this.#host[Symbol.asyncDispose]();
    await this.#peer.powerOff();
  }
}

/** Kernel and Baton. */
export function kernelAndBaton(): Promise<Arrangement> {
  return arrange(async (lan, disks) => {
    const hosts = { [batonHostName]: lan.batonAddress };
    const options = { lan, name: "alice", address: "10.77.0.1", disks, hosts };
    const peer = await KernelPeer.start(options);
    return new KernelAndBaton(lan, peer, await BatonHost.start(lan), disks);
  });
}

/** Two kernels. */
export function kernels(): Promise<Arrangement> {
  return arrange(async (lan, disks) => {
    const hosts = { alice: "10.77.0.1", bob: "10.77.0.2" };
    const boot = (name: keyof typeof hosts): Promise<KernelPeer> =>
      KernelPeer.start({ lan, name, address: hosts[name], disks, hosts });
    return new TwoKernels(lan, await Promise.all([boot("alice"), boot("bob")]));
  });
}

async function arrange(
  make: (lan: Lan, disks: readonly string[]) => Promise<Arrangement>,
): Promise<Arrangement> {
  const lan = Lan.open();
  try {
    return await make(lan, makeDisks(lan));
  } catch (error) {
    await lan[Symbol.asyncDispose]();
    throw error;
  }
}

function makeDisks(lan: Lan): readonly string[] {
  return diskSizes.map((bytes, index) => {
    const path = join(lan.directory, `disk${index}.raw`);
    withFile(path, "w", (file) => ftruncateSync(file, bytes));
    return path;
  });
}

function text(program: string, words: readonly string[]): string {
  return execFileSync(program, words, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
}

function withFile<Value>(path: string, flags: string, action: (file: number) => Value): Value {
  const file = openSync(path, flags);
  try {
    return action(file);
  } finally {
    closeSync(file);
  }
}

/** Bytes of the data area, as the superblock at the end of the backing has them. */
function dataBytes(file: number, size: number): number {
  const superblock = Buffer.alloc(superblockBytes);
  readSync(file, superblock, 0, superblockBytes, size - superblockBytes);
  return Number(superblock.readBigUInt64BE(0)) * 512;
}

/** The first blocks of the data area that are not the same on both sides. */
function differences(first: Side, second: Side): readonly number[] {
  const found: number[] = [];
  withFile(first.backing, "r", (one) =>
    withFile(second.backing, "r", (other) => {
      const bytes = dataBytes(one, fstatSync(one).size);
      if (bytes !== dataBytes(other, fstatSync(other).size)) {
        throw new Error("The two superblocks do not agree on the size of the data");
      }
      const chunks = [Buffer.alloc(mib), Buffer.alloc(mib)] as const;
      for (let at = 0; at < bytes && found.length < 20; at += mib) {
        const length = Math.min(mib, bytes - at);
        readSync(one, chunks[0], 0, length, at);
        readSync(other, chunks[1], 0, length, at);
        if (chunks[0].compare(chunks[1], 0, length, 0, length) === 0) continue;
        for (let inside = 0; inside < length; inside += blockBytes) {
          const [from, to] = [inside, Math.min(length, inside + blockBytes)];
          if (chunks[0].compare(chunks[1], from, to, from, to) !== 0) {
            found.push((at + inside) / blockBytes);
          }
        }
      }
    }),
  );
  return found;
}
