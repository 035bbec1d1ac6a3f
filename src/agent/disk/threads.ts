/** Starts the threads of a disk process and ends them. */
import { Worker } from "node:worker_threads";
import type { DiskSpec } from "../../replication/index.ts";
import { createEventDescriptor, signalEvent } from "../../system/eventfd.ts";
import type { HelperSetup } from "./helper-thread.ts";
import type { EngineCommand, EngineReport, EngineSetup } from "./messages.ts";
import type { SentrySetup } from "./sentry-thread.ts";
import {
  type HelperRole,
  Mailbox,
  newMailbox,
  newSharedWords,
  SharedWords,
  word,
} from "./shared-words.ts";

/** Reads, discards and zero-outs that wait for the disk at the same time: twice as many, two in each. */
const WORKERS = 2;

export interface ThreadsOptions {
  readonly spec: DiskSpec;
  readonly host: string;
  readonly secret: Uint8Array | undefined;
  readonly mountPoint: string;
  readonly failpoint: string | undefined;
  readonly diskLog: string | undefined;
  readonly onReport: (report: EngineReport) => void;
  /** A thread ended that should not have. */
  readonly onBroken: (detail: string) => void;
}

/** Engine, sentry and helpers. The workers for slow reads start when they are first needed. */
export class Threads {
  readonly shared: SharedWords;
  readonly #options: ThreadsOptions;
  readonly #memory = newSharedWords();
  readonly #eventFd = createEventDescriptor();
  readonly #mailboxes: readonly { readonly role: HelperRole; readonly memory: SharedArrayBuffer }[];
  readonly #workers: Worker[] = [];
  readonly #ended: Promise<void>[] = [];
  readonly #engine: Worker;
  readonly #engineEnded: Promise<void>;
  #stopping = false;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.shared = new SharedWords(this.#memory);
    const roles: readonly HelperRole[] = [
      "flush",
      "metadata",
      ...Array.from({ length: WORKERS }, () => "worker" as const),
    ];
    this.#mailboxes = roles.map((role) => ({ role, memory: newMailbox(role) }));
    const [flush, metadata, ...workers] = this.#mailboxes.map(({ memory }) => memory);
    if (flush === undefined || metadata === undefined) throw new Error("No mailboxes");
    const setup: EngineSetup = {
      spec: options.spec,
      host: options.host,
      secret: options.secret,
      shared: this.#memory,
      eventFd: this.#eventFd,
      mailboxes: { flush, metadata, workers },
      failpoint: options.failpoint,
      diskLog: options.diskLog,
      mountPoint: options.mountPoint,
    };
    this.#helper(0);
    this.#helper(1);
    const sentry: SentrySetup = {
      shared: this.#memory,
      mailboxes: this.#mailboxes,
      diskTimeoutMs: options.spec.disk.diskTimeoutMs,
      mountPoint: options.mountPoint,
    };
    this.#start("./sentry-thread.ts", sentry, 1);
    this.#engine = this.#start("./engine-thread.ts", setup, 8);
    this.#engineEnded = this.#ended.at(-1) ?? Promise.resolve();
    this.#engine.on("message", (report: EngineReport) => {
      if (report.kind === "worker") this.#helper(2 + report.index);
      else options.onReport(report);
    });
  }

  /** To the engine, which wakes up for it. */
  tell(command: EngineCommand): void {
    if (this.#stopping) return;
    this.#engine.postMessage(command);
    signalEvent(this.#eventFd);
  }

  /** Ends all threads; a thread that is stuck in the disk is waited for. */
  async stop(): Promise<void> {
    this.tell({ kind: "stop" });
    this.#stopping = true;
    await this.#engineEnded;
    this.shared.set(word.stopping, 1);
    Atomics.notify(this.shared.words, word.stopping);
    Atomics.notify(this.shared.words, word.sentryAsleep);
    for (const { role, memory } of this.#mailboxes) new Mailbox(role, memory).wake();
    await Promise.all(this.#ended);
  }

  #helper(index: number): void {
    const box = this.#mailboxes[index];
    if (box === undefined) return;
    const setup: HelperSetup = {
      role: box.role,
      mailbox: box.memory,
      shared: this.#memory,
      eventFd: this.#eventFd,
      failpoint: this.#options.failpoint,
      diskLog: this.#options.diskLog,
    };
    this.#start("./helper-thread.ts", setup, 1);
  }

  /** @param youngMb memory for short-lived objects; a thread that only waits needs next to none */
  #start(file: string, setup: object, youngMb: number): Worker {
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: setup,
      resourceLimits: { maxYoungGenerationSizeMb: youngMb },
    });
    this.#workers.push(worker);
    this.#ended.push(
      new Promise((resolve) => {
        worker.once("error", (error: unknown) => {
          const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
          this.#options.onBroken(`${file}: ${text}`);
        });
        worker.once("exit", () => {
          if (!this.#stopping) this.#options.onBroken(`${file} ended`);
          resolve();
        });
      }),
    );
    return worker;
  }
}
