/**
 * What the threads of a disk process share without messages: a few words, and one mailbox for each helper thread. One
 * side writes each word, except the lock. The engine never waits for anybody here.
 */

import type { NativeMemory } from "../../system/descriptors.ts";
import { signalEvent } from "../../system/eventfd.ts";
import { addressOf } from "../../system/ffi.ts";

/** Indices of the 32-bit words. */
export const word = {
  /** 1 while the engine waits in poll: who has something for it must signal its event descriptor. */
  engineAsleep: 0,
  /** Grows with everything that the engine does. Still for long while not asleep: it is stuck in a system call. */
  engineProgress: 1,
  /** 1 while the sentry sleeps for want of work: the engine wakes it before it works. */
  sentryAsleep: 2,
  /** 0 free, 1 the engine, 2 the sentry: who may use the meta socket. */
  metaLock: 3,
  /** Descriptor of the meta socket once long headers are agreed and it stands between two packets; else -1. */
  metaSocket: 4,
  /** Bytes that the sentry took from the meta socket for the engine. */
  takenOver: 5,
  /** Pings that the sentry answered. */
  pingsAnswered: 6,
  /** 1: everybody ends. */
  stopping: 7,
  /** Numbers for the disk log. */
  logSequence: 8,
  /** Both sockets, and the FUSE connection, for an end that does not wait for the engine. -1: none. */
  dataSocket: 9,
  metaSocketAlways: 10,
  fuseConnection: 11,
} as const;
const WORDS = 16;
/** What the sentry may take over before the engine comes back; acks are 40 bytes each. */
export const TAKE_OVER_BYTES = 65_536;

/** Memory of `SharedWords`, to be handed to other threads. */
export function newSharedWords(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(WORDS * 4 + TAKE_OVER_BYTES);
  const words = new Int32Array(memory, 0, WORDS);
  for (const index of [
    word.metaSocket,
    word.dataSocket,
    word.metaSocketAlways,
    word.fuseConnection,
  ])
    words[index] = -1;
  return memory;
}

/** The words, and the bytes that the sentry took over. */
export class SharedWords {
  readonly words: Int32Array;
  readonly takenOver: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory, 0, WORDS);
    this.takenOver = new Uint8Array(memory, WORDS * 4);
  }

  get(index: number): number {
    return Atomics.load(this.words, index);
  }

  set(index: number, value: number): void {
    Atomics.store(this.words, index, value);
  }

  /** Held for a few system calls that do not wait, so the other side comes at once. */
  lockMeta(who: 1 | 2): void {
    while (Atomics.compareExchange(this.words, word.metaLock, 0, who) !== 0) {
      const holder = Atomics.load(this.words, word.metaLock);
      if (holder !== 0) Atomics.wait(this.words, word.metaLock, holder, 1);
    }
  }

  unlockMeta(): void {
    Atomics.store(this.words, word.metaLock, 0);
    Atomics.notify(this.words, word.metaLock);
  }
}

/** What a helper thread is asked for. */
export const job = {
  /** fdatasync of `fd`. */
  flush: 1,
  /** The writes in the payload, in order; durable if `flag` is 1. */
  metadata: 2,
  read: 3,
  punchHole: 4,
  zeroRange: 5,
  discardBlocks: 6,
  zeroBlocks: 7,
} as const;

export type HelperRole = "flush" | "metadata" | "worker";

/** Jobs that may wait in one mailbox, and the bytes of each. */
const shapeOf: Readonly<Record<HelperRole, { slots: number; payloadBytes: number }>> = {
  flush: { slots: 1, payloadBytes: 0 },
  metadata: { slots: 1, payloadBytes: 1_048_576 + 65_536 },
  worker: { slots: 2, payloadBytes: 1_048_576 },
};

const HEAD_BYTES = 4096;
const SLOT_WORDS = 8;
const POSTED = 0;
const DONE = 1;
const FIRST_SLOT = 8;

/** Memory of a `Mailbox`. Pages that are never used take no memory. */
export function newMailbox(role: HelperRole): SharedArrayBuffer {
  const { slots, payloadBytes } = shapeOf[role];
  return new SharedArrayBuffer(HEAD_BYTES + slots * payloadBytes);
}

export interface Job {
  readonly kind: number;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  readonly flag: number;
}

/** Jobs from the engine to one helper thread, in order, and their results back. */
export class Mailbox {
  readonly role: HelperRole;
  readonly slots: number;
  /** One for each slot. */
  readonly payloads: readonly NativeMemory[];
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  /** The engine's count of results that it took. */
  #taken = 0;

  constructor(role: HelperRole, memory: SharedArrayBuffer) {
    const { slots, payloadBytes } = shapeOf[role];
    this.role = role;
    this.slots = slots;
    this.#words = new Int32Array(memory, 0, HEAD_BYTES / 8);
    this.#numbers = new Float64Array(memory, HEAD_BYTES / 2, HEAD_BYTES / 16);
    this.payloads = Array.from({ length: slots }, (_, slot) => {
      const bytes = Buffer.from(memory, HEAD_BYTES + slot * payloadBytes, payloadBytes);
      return { bytes, address: payloadBytes === 0 ? 0n : addressOf(bytes) };
    });
  }

  /** Jobs without a result that was taken. */
  get open(): number {
    return (this.#words[POSTED] ?? 0) - this.#taken;
  }

  /** Engine: which slot the next job will have; undefined if all are in use. */
  get freeSlot(): number | undefined {
    return this.open === this.slots ? undefined : (this.#words[POSTED] ?? 0) % this.slots;
  }

  /** Engine: gives the job of `freeSlot`. */
  post(what: Job): void {
    const posted = this.#words[POSTED] ?? 0;
    const slot = posted % this.slots;
    const at = FIRST_SLOT + slot * SLOT_WORDS;
    this.#words[at] = what.kind;
    this.#words[at + 1] = what.fd;
    this.#words[at + 2] = what.flag;
    this.#numbers[slot * 2] = what.offset;
    this.#numbers[slot * 2 + 1] = what.length;
    Atomics.store(this.#words, POSTED, posted + 1);
    Atomics.notify(this.#words, POSTED);
  }

  /** Engine: true if `take` has something. */
  get hasResult(): boolean {
    return Atomics.load(this.#words, DONE) !== this.#taken;
  }

  /** Engine: the slot of the oldest result. Its payload is free after `release`. */
  take(): { readonly slot: number; readonly result: number } {
    const slot = this.#taken % this.slots;
    return { slot, result: this.#words[FIRST_SLOT + slot * SLOT_WORDS + 3] ?? 0 };
  }

  release(): void {
    this.#taken++;
  }

  /** Helper: runs jobs until `stopping`; `perform` returns a count, or a negative errno. */
  serve(shared: SharedWords, eventFd: number, perform: (job: Job, slot: number) => number): void {
    for (let done = 0; ; ) {
      const posted = Atomics.load(this.#words, POSTED);
      if (posted === done) {
        if (shared.get(word.stopping) === 1) return;
        Atomics.wait(this.#words, POSTED, posted);
        continue;
      }
      const slot = done % this.slots;
      const at = FIRST_SLOT + slot * SLOT_WORDS;
      this.#words[at + 3] = perform(
        {
          kind: this.#words[at] ?? 0,
          fd: this.#words[at + 1] ?? -1,
          flag: this.#words[at + 2] ?? 0,
          offset: this.#numbers[slot * 2] ?? 0,
          length: this.#numbers[slot * 2 + 1] ?? 0,
        },
        slot,
      );
      done++;
      Atomics.store(this.#words, DONE, done);
      if (shared.get(word.engineAsleep) === 1) signalEvent(eventFd);
    }
  }

  /** Main thread: lets a helper that waits see that it is to stop. */
  wake(): void {
    Atomics.notify(this.#words, POSTED);
  }

  /** Sentry: jobs that were posted and are not done, and how many were ever done. */
  get progress(): { readonly busy: boolean; readonly done: number } {
    const done = Atomics.load(this.#words, DONE);
    return { busy: Atomics.load(this.#words, POSTED) !== done, done };
  }
}
