import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { type Instant, instant } from "../base/index.ts";
import { type Claim, decodeClaims, encodeClaim } from "./claim.ts";
import { SharedDisk, type SharedDiskEffect, type SharedDiskEvent } from "./shared-disk.ts";

const incarnation = "00".repeat(16);
const options = { host: "a", incarnation, keepaliveMs: 100, deadtimeMs: 400, confirmMs: 50 };
const foreign: Claim = {
  host: "b",
  held: true,
  epoch: 5,
  counter: 40,
  deadtimeMs: 300,
  incarnation: "11".repeat(16),
};

/** One host with a device that answers at once, or not at all, or with an error. */
class Bench {
  readonly log: string[] = [];
  disk = new Uint8Array(8_192);
  mode: "answers" | "hangs" | "fails" = "answers";
  #core: SharedDisk;
  #now = instant(0);
  #held: SharedDiskEffect[] = [];

  constructor(claim?: Claim) {
    if (claim !== undefined) this.put(claim);
    this.#core = new SharedDisk(options, this.#now);
  }

  get core(): SharedDisk {
    return this.#core;
  }

  /** What the other host writes. */
  put(claim: Claim, copy: 0 | 1 = 0): void {
    this.disk.set(encodeClaim(claim), copy * 4_096);
  }

  get claim(): string {
    const reading = decodeClaims(this.disk);
    if (reading.kind !== "claim") return reading.kind;
    const { host, held, epoch } = reading.claim;
    return `${host} ${held ? "holds" : "released"} ${epoch}`;
  }

  do(event: SharedDiskEvent): void {
    // A copy of the core goes on in its place: nothing is hidden from the snapshot.
    const snapshot = JSON.parse(JSON.stringify(this.#core.snapshot()));
    this.#core = SharedDisk.restore(options, snapshot);
    for (const effect of this.#core.step(this.#now, event)) this.#perform(effect);
  }

  /** The device answers again: what hung ends now. */
  thaw(): void {
    this.mode = "answers";
    for (const effect of this.#held.splice(0)) this.#perform(effect);
  }

  until(ms: number): void {
    for (
      let wake = this.#core.wakeAt();
      wake !== undefined && wake <= ms;
      wake = this.#core.wakeAt()
    ) {
      this.#now = Math.max(this.#now, wake) as Instant;
      this.do({ kind: "tick" });
    }
    this.#now = instant(ms);
  }

  #perform(effect: SharedDiskEffect): void {
    switch (effect.kind) {
      case "read":
      case "write":
        if (this.mode === "hangs") this.#held.push(effect);
        else if (this.mode === "fails") this.do({ kind: "failed", detail: "EIO" });
        else if (effect.kind === "read")
          this.do({ kind: "read", reading: decodeClaims(this.disk) });
        else {
          this.put(effect.claim, effect.copy);
          this.do({ kind: "wrote" });
        }
        return;
      case "done":
        this.log.push(`${this.#now} ${effect.result.ok ? "ok" : effect.result.reason}`);
        return;
      case "notice":
        this.log.push(`${this.#now} notice ${effect.reason}`);
        return;
      default:
        return;
    }
  }
}

test("a free disk is claimed, confirmed, renewed each keepalive, and released", () => {
  const bench = new Bench();
  bench.do({ kind: "start", epoch: 3, limitMs: 1_000 });
  bench.until(1_000);
  equal(bench.claim, "a holds 3");
  deepEqual(bench.core.state(), { state: "running" });
  const reading = decodeClaims(bench.disk);
  equal(reading.kind === "claim" && reading.claim.counter, 10, "one claim and nine renewals");
  bench.do({ kind: "stop", limitMs: 1_000 });
  equal(bench.claim, "a released 3");
  deepEqual(bench.core.state(), { state: "stopped" });
  bench.do({ kind: "stop", limitMs: 1_000 });
  deepEqual(bench.log, ["50 ok", "1000 ok", "1000 ok"]);
});

test("a claim watched to stand still is taken at once, one that moves is not", () => {
  const still = new Bench(foreign);
  still.until(500);
  deepEqual(still.core.proof(), { kind: "claim", holder: "b", epoch: 5, still: true });
  still.do({ kind: "start", epoch: 6, limitMs: 1_000 });
  still.until(600);
  deepEqual(still.log, ["500 notice BTN-CLAIM-TAKEN-OVER", "550 ok"]);
  equal(still.claim, "a holds 6");

  const moving = new Bench(foreign);
  moving.do({ kind: "start", epoch: 6, limitMs: 1_000 });
  for (let ms = 100; ms <= 1_100; ms += 100) {
    moving.until(ms);
    moving.put({ ...foreign, counter: 40 + ms }, ms % 200 === 0 ? 0 : 1);
  }
  deepEqual(moving.log, ["1000 BTN-CLAIM-HELD-ELSEWHERE"]);
  equal(moving.claim, "b holds 5");
  equal(moving.core.isHeld(), false);
});

test("without watching, a start waits until the claim stood still for the longer deadtime", () => {
  const bench = new Bench({ ...foreign, deadtimeMs: 700 });
  bench.do({ kind: "start", epoch: 6, limitMs: 2_000 });
  bench.until(2_000);
  deepEqual(bench.log, ["700 notice BTN-CLAIM-TAKEN-OVER", "750 ok"]);
});

test("a sleep of our own is not taken for stillness of the other", () => {
  const bench = new Bench(foreign);
  bench.until(100);
  bench.mode = "hangs";
  bench.until(200);
  bench.until(60_000);
  bench.thaw();
  equal(bench.core.state().state, "stopped");
  const proof = bench.core.proof();
  equal(proof.kind === "claim" && proof.still, false);
});

test("a released claim is taken without waiting; epochs only rise", () => {
  const bench = new Bench({ ...foreign, held: false, epoch: 9 });
  bench.do({ kind: "start", epoch: 4, limitMs: 1_000 });
  bench.until(100);
  deepEqual(bench.log, ["0 notice BTN-CLAIM-EPOCH-RAISED", "50 ok"]);
  equal(bench.claim, "a holds 10");
});

test("a holder that finds a foreign claim of its epoch or a higher one has lost", () => {
  for (const epoch of [3, 4]) {
    const bench = new Bench();
    bench.do({ kind: "start", epoch: 3, limitMs: 1_000 });
    bench.until(150);
    bench.put({ ...foreign, epoch, counter: 99 }, 0);
    bench.until(1_000);
    deepEqual(bench.log, ["50 ok", "250 notice BTN-CLAIM-LOST"]);
    const state = bench.core.state();
    equal(state.state === "failed" && state.reason, "BTN-CLAIM-LOST");
    equal(bench.claim, `b holds ${epoch}`, "it is never taken back");
    bench.do({ kind: "stop", limitMs: 1_000 });
    equal(bench.claim, `b holds ${epoch}`);
    deepEqual(bench.core.state(), { state: "stopped" });
  }
});

test("a holder writes again over the late write of a host that was replaced", () => {
  const bench = new Bench();
  bench.do({ kind: "start", epoch: 6, limitMs: 1_000 });
  bench.until(60);
  bench.disk.fill(0);
  bench.put({ ...foreign, counter: 99 }, 1);
  bench.until(300);
  deepEqual(
    bench.log.slice(1).map((line) => line.replace(/^\d+ /, "")),
    ["notice BTN-CLAIM-OVERWRITTEN"],
  );
  equal(bench.claim, "a holds 6");
});

test("a claim that somebody else wrote over before it was confirmed is given up", () => {
  const bench = new Bench();
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.until(20);
  bench.put({ ...foreign, epoch: 1, counter: 1 }, 0);
  bench.until(500);
  deepEqual(bench.log, ["50 BTN-CLAIM-CONTESTED"]);
  equal(bench.claim, "b holds 1");
});

test("an agent that restarts goes on with its claim; a host that booted anew does not", () => {
  const own: Claim = { ...foreign, host: "a", incarnation };
  const restarted = new Bench(own);
  restarted.until(0);
  deepEqual(restarted.core.state(), { state: "running" });
  restarted.do({ kind: "adopt", limitMs: 1_000 });
  restarted.until(300);
  deepEqual(restarted.log, ["0 ok"]);
  equal(restarted.core.isHeld(), true);

  const booted = new Bench({ ...own, incarnation: "22".repeat(16) });
  booted.until(0);
  deepEqual(booted.core.state(), { state: "stopped" });
  deepEqual(booted.core.proof(), { kind: "claim", holder: "a", epoch: 5, still: false });
  booted.do({ kind: "adopt", limitMs: 1_000 });
  booted.do({ kind: "start", epoch: 5, limitMs: 1_000 });
  booted.until(100);
  deepEqual(booted.log, ["0 BTN-CLAIM-LOST", "50 ok"]);
});

test("a device that hangs makes everything unknown, and a stop is never reported", () => {
  const bench = new Bench();
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.until(100);
  bench.mode = "hangs";
  bench.until(600);
  equal(bench.core.state().state, "unknown");
  bench.do({ kind: "stop", limitMs: 300 });
  bench.until(10_000);
  deepEqual(bench.log, [
    "50 ok",
    "450 notice BTN-CLAIM-NOT-RENEWED",
    "550 notice BTN-CLAIM-DISK-HUNG",
    "900 BTN-CLAIM-DISK-HUNG",
  ]);
  equal(bench.core.state().state, "unknown");
  bench.thaw();
  bench.until(10_100);
  equal(bench.claim, "a released 1", "the wish stays");
  equal(bench.core.state().state, "stopped");
});

test("a device that fails: a start fails, a holder is unknown once overdue, a stop leaves the claim behind", () => {
  const bench = new Bench();
  bench.mode = "fails";
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.mode = "answers";
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.until(200);
  bench.mode = "fails";
  bench.until(1_000);
  const state = bench.core.state();
  equal(state.state === "unknown" && state.reason, "BTN-CLAIM-NOT-RENEWED");
  bench.do({ kind: "stop", limitMs: 1_000 });
  bench.until(2_000);
  deepEqual(
    bench.log.map((line) => line.replace(/^\d+ /, "")),
    [
      "BTN-CLAIM-DISK-ERROR",
      "ok",
      "notice BTN-CLAIM-DISK-ERROR",
      "notice BTN-CLAIM-NOT-RENEWED",
      "notice BTN-CLAIM-NOT-RELEASED",
      "ok",
    ],
  );
  equal(bench.claim, "a holds 1");
});

test("a start that is broken off takes back what it wrote", () => {
  const bench = new Bench();
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.until(20);
  equal(bench.claim, "a holds 1");
  bench.do({ kind: "cancel" });
  bench.until(100);
  deepEqual(bench.log, ["20 BTN-RESOURCE-CANCELLED"]);
  equal(bench.claim, "a released 1");
});

test("something that is not a claim is never written to", () => {
  const bench = new Bench();
  bench.disk.fill(7);
  bench.do({ kind: "start", epoch: 1, limitMs: 1_000 });
  bench.do({ kind: "stop", limitMs: 1_000 });
  bench.until(1_000);
  deepEqual(bench.log, ["0 BTN-CLAIM-NOT-A-CLAIM", "0 ok"]);
  equal(
    bench.disk.every((byte) => byte === 7),
    true,
  );
  equal(bench.core.state().state, "unknown");
  equal(bench.core.proof().kind, "unreadable");
});
