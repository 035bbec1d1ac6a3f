/**
 * Two sides of one disk, ready for scenarios: the kernel and Baton, or, to try a scenario itself, two kernels. Both
 * backings are files of this host, so what must be equal is compared here, block by block.
 */
import { equal } from "node:assert/strict";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { waitFor } from "../support/wait.ts";
import { KernelPeer } from "./guest.ts";
import { KernelSide } from "./kernel-side.ts";
import { Lan } from "./lan.ts";
import type { ResourceEnd, ResourceOptions } from "./resource.ts";
import { block, demand, type Side, stateLimitMs } from "./side.ts";

const mib = 1_048_576;
const blockBytes = 4_096;
/** The last page of the device is the superblock of internal metadata; its first eight bytes are the agreed size in sectors (drbd.md 7.3). */
const superblockBytes = 4_096;

/** Options of one scenario. */
export interface Setting extends ResourceOptions {
  /** Of CRAM-HMAC on Baton's side, if it shall be another than the kernel's. */
  readonly otherSecret?: string;
  /** Further files in the guest: path to text. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Two sides and the network between them. */
export abstract class Arrangement implements AsyncDisposable {
  readonly lan: Lan;
  abstract readonly first: Side;
  abstract readonly second: Side;

  protected constructor(lan: Lan) {
    this.lan = lan;
  }

  /** Sets the options of both; whatever ran is ended first. */
  abstract configure(setting: Setting): Promise<void>;

  /** Pulls and plugs the cable between the two. */
  abstract link(up: boolean): Promise<void>;

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
        found = differences(this.first, this.second);
        return found.length === 0;
      },
      20_000,
      () => `They differ in blocks ${found.join(" ")}`,
    );
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

  /** Ends the sides; the network is closed afterwards. */
  protected abstract close(): Promise<void>;
}

class TwoKernels extends Arrangement {
  readonly first: KernelSide;
  readonly second: KernelSide;
  readonly #peers: readonly KernelPeer[];

  constructor(lan: Lan, peers: readonly [KernelPeer, KernelPeer]) {
    super(lan);
    this.#peers = peers;
    this.first = new KernelSide(peers[0], 0);
    this.second = new KernelSide(peers[1], 0);
  }

  async configure({ otherSecret, files, ...options }: Setting): Promise<void> {
    await this.clean();
    const ends: readonly [ResourceEnd, ResourceEnd] = [this.first.end, this.second.end];
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

/** Two kernels with one disk of that size each. */
export async function kernels(sizeMib: number): Promise<Arrangement> {
  const lan = Lan.open();
  const hosts = { alice: "10.77.0.1", bob: "10.77.0.2" };
  const boot = (name: keyof typeof hosts): Promise<KernelPeer> =>
    KernelPeer.start({ lan, name, address: hosts[name], disks: [sizeMib * mib], hosts });
  try {
    return new TwoKernels(lan, await Promise.all([boot("alice"), boot("bob")]));
  } catch (error) {
    await lan[Symbol.asyncDispose]();
    throw error;
  }
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
