/**
 * What uses the device of a Primary: writes with values of their own, discards, flushes, reads that are checked, several at a
 * time. An answer that never comes leaves a write that may or may not have happened.
 */
import type { Prng } from "../../base/index.ts";
import type { DiskEvent } from "../../replication/index.ts";
import type { EventQueue } from "../event-queue.ts";
import { filled, tagsOf } from "./device.ts";
import type { DiskProcess } from "./disk-process.ts";
import type { History, Written } from "./history.ts";

type ApplicationRequest = Extract<DiskEvent, { readonly kind: "request" }>["request"];

type Open =
  | { readonly op: "write"; readonly write: Written }
  | { readonly op: "flush"; readonly issued: number }
  | {
      readonly op: "read";
      readonly sector: number;
      readonly sectors: number;
      readonly issued: number;
      readonly flushed: number;
    };

export interface ApplicationParts {
  readonly events: EventQueue;
  readonly random: Prng;
  readonly history: History;
  readonly process: DiskProcess;
  /** Mean time between two requests. */
  readonly everyMs: number;
  readonly most: number;
  readonly places: readonly number[];
  readonly usable: () => number;
  /** Nobody else may have gone on meanwhile: S3 holds for every read. */
  readonly strict: boolean;
  readonly written: (write: Written) => void;
  /** The moment since which no host lost what was not flushed. */
  readonly powerLost: () => number;
  /** A fault of a device changed it: nothing is promised. */
  readonly isSpoilt: (sector: number) => boolean;
  readonly violation: (checker: string, message: string) => void;
  readonly count: (name: string) => void;
}

const READ_SECTORS_MAX = 24;

/** Writes values that are unique, flushes, and reads them back, on whichever host is Primary. */
export class Application {
  readonly #parts: ApplicationParts;
  readonly #open = new Map<number, Open>();
  #running = false;
  #id = 0;
  #life = 0;
  #stopped: (() => void) | undefined;
  /** After the storm: only a little. */
  calm = false;

  constructor(parts: ApplicationParts) {
    this.#parts = parts;
  }

  get running(): boolean {
    return this.#running;
  }
  get pending(): number {
    return this.#open.size;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#life += 1;
    this.#parts.process.feed({ kind: "openers", count: 1 });
    this.#next();
  }

  /** Nothing new; `done` once all is answered and the device is closed. */
  stop(done: () => void): void {
    this.#running = false;
    this.#stopped = done;
    this.#checkStopped();
  }

  /** The process is gone, and with it every request. */
  died(): void {
    this.#running = false;
    this.#life += 1;
    this.#open.clear();
    this.#stopped = undefined;
  }

  #checkStopped(): void {
    if (this.#stopped === undefined || this.#open.size > 0) return;
    const done = this.#stopped;
    this.#stopped = undefined;
    const { events, process } = this.#parts;
    const { generation } = process;
    events.schedule(events.now, () => {
      if (process.generation !== generation) return;
      process.feed({ kind: "openers", count: 0 });
      done();
    });
  }

  #next(): void {
    const { events, random, everyMs } = this.#parts;
    const life = this.#life;
    const wait = (random.next() / 0x1_0000_0000) * 2 * everyMs * (this.calm ? 20 : 1);
    events.schedule(events.now + wait, () => {
      if (life !== this.#life || !this.#running) return;
      // What is not run asks for nothing.
      if (this.#open.size < this.#parts.most && !this.#parts.process.paused) this.#issue();
      this.#next();
    });
  }

  #issue(): void {
    const { random, history, places, usable, process } = this.#parts;
    const end = usable();
    const sectors = random.chance(0.7)
      ? 8 * random.between(1, 3)
      : random.between(1, READ_SECTORS_MAX);
    const near =
      random.pick(places) + (random.chance(0.7) ? 8 * random.between(0, 3) : random.between(0, 24));
    const sector = Math.max(0, Math.min(near, end - sectors));
    const dice = random.between(0, 99);
    this.#id += 1;
    let request: ApplicationRequest;
    if (dice < 62) {
      const write = history.begin(sector, sectors, false);
      this.#open.set(this.#id, { op: "write", write });
      const data = filled(write.tag, sectors);
      request = { op: "write", sector, data, fua: random.chance(0.1) };
    } else if (dice < 66) {
      const write = history.begin(sector, sectors, true);
      this.#open.set(this.#id, { op: "write", write });
      request = random.chance(0.5)
        ? { op: "discard", sector, sectors }
        : { op: "zero", sector, sectors, mayUnmap: random.chance(0.5) };
    } else if (dice < 80) {
      this.#open.set(this.#id, { op: "flush", issued: history.moment() });
      request = { op: "flush" };
    } else {
      this.#open.set(this.#id, {
        op: "read",
        sector,
        sectors,
        issued: history.moment(),
        flushed: history.flushed,
      });
      request = { op: "read", sector, bytes: sectors * 512 };
    }
    process.feed({ kind: "request", id: this.#id, request });
    // The bytes of an event are valid only during the step.
    if (request.op === "write") request.data.fill(0xee);
  }

  answered(id: number, ok: boolean, data: Uint8Array | undefined): void {
    const open = this.#open.get(id);
    const { history, count, written } = this.#parts;
    if (open === undefined) {
      this.#parts.violation("one answer", `request ${id} was answered twice`);
      return;
    }
    this.#open.delete(id);
    if (!ok) count(`errors of ${open.op}`);
    else if (open.op === "write") {
      history.acknowledge(open.write);
      written(open.write);
      count("acknowledged writes");
    } else if (open.op === "flush") {
      history.acknowledgeFlush(open.issued);
      count("acknowledged flushes");
    } else this.#check(open, data);
    this.#checkStopped();
  }

  /** S6, and that nothing acknowledged is gone. */
  #check(
    { sector, issued, flushed }: Extract<Open, { op: "read" }>,
    data: Uint8Array | undefined,
  ): void {
    const { history, violation, process, count, isSpoilt, powerLost } = this.#parts;
    const tags = data === undefined ? undefined : tagsOf(data);
    if (tags === undefined) {
      violation("S6", `a read of sector ${sector} brings a mixture`);
      return;
    }
    count("reads");
    tags.forEach((tag, at) => {
      if (isSpoilt(sector + at)) return;
      if (
        history.allows(
          sector + at,
          tag,
          this.#parts.strict
            ? { flushed, since: powerLost(), upTo: issued }
            : { flushed: -1, since: Number.POSITIVE_INFINITY },
        )
      )
        return;
      violation(
        "S3",
        `a read on ${process.parts.host} of sector ${sector + at} brings ${tag}; written were ${history.tell(sector + at)}`,
      );
    });
  }
}
