import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ActivityLog, type LogWrite } from "./activity-log.ts";
import { clampExtents, decodeBlock, FREE, freshRing, readRing } from "./activity-ring.ts";
import { defaultRing, type RingShape } from "./layout.ts";
import { recordedBlocks } from "./testing.shell.ts";

/** The transaction that is due, durable at once. */
function commit(log: ActivityLog, ring: Uint8Array): LogWrite | undefined {
  const write = log.take();
  if (write === undefined) return undefined;
  ring.set(write.block, write.offset);
  log.durable();
  return write;
}

test("at attach the ring is filled as the kernel fills it", () => {
  const recorded = recordedBlocks().find(({ name }) =>
    name.startsWith("ring: 01 drbdadm dump-md on alice, after"),
  );
  const log = new ActivityLog({ ring: defaultRing, extents: 1237 });
  const expected = recorded?.bytes ?? new Uint8Array(0);
  equal(expected.length >= 4096, true);
  deepEqual(Buffer.from(log.attach().subarray(0, expected.length)), Buffer.from(expected));
});

test("the transactions of a kernel's first writes come out byte for byte", () => {
  const recorded = recordedBlocks().find(({ name }) => name.startsWith("ring: 03"))?.bytes;
  const ring = recorded ?? new Uint8Array(0);
  equal(ring.length, 16_384);
  const log = new ActivityLog({ ring: defaultRing, extents: 1237 });
  const mine = log.attach();
  for (let at = 0; at < ring.length; at += 4096) {
    const block = decodeBlock(ring.subarray(at, at + 4096));
    if (block.kind !== "transaction") throw new Error("a recorded block is corrupt");
    // The kernel hands out slots from the highest down, and lists the updates the other way round.
    for (const { extent } of block.transaction.updates.toReversed()) log.begin(extent, extent);
    const write = log.take();
    const written = decodeBlock(write?.block ?? new Uint8Array(0));
    if (written.kind !== "transaction") throw new Error("our block is corrupt");
    const sorted = (one: typeof block) => ({
      ...one.transaction,
      updates: one.transaction.updates.toSorted((a, b) => a.slot - b.slot),
    });
    deepEqual(sorted(written), sorted(block));
    equal(write?.offset, at);
    mine.set(write?.block ?? [], at);
    log.durable();
  }
});

test("a request waits until its extents are durable, and the next ones gather meanwhile", () => {
  const log = new ActivityLog({ ring: defaultRing, extents: 67 });
  const ring = log.attach();
  deepEqual(log.begin(3, 4), { kind: "waits", until: 1 });
  equal(log.isActive(3), false);
  const first = log.take();
  equal(log.take(), undefined, "one at a time");
  deepEqual(log.begin(4, 5), { kind: "waits", until: 2 });
  deepEqual(log.begin(3, 3), { kind: "waits", until: 1 });
  deepEqual(log.begin(6, 6), { kind: "waits", until: 2 });
  equal(log.wantsToWrite, false);
  ring.set(first?.block ?? [], first?.offset);
  equal(log.durable(), 1);
  deepEqual(log.begin(3, 4), { kind: "ready" });
  equal(log.wantsToWrite, true);
  commit(log, ring);
  deepEqual(log.begin(3, 6), { kind: "ready" });
  deepEqual(readRing(ring, defaultRing).extents, [3, 4, 5, 6]);
});

test("only what nobody holds is evicted, least recently used first, and named before its slot is reused", () => {
  const log = new ActivityLog({ ring: defaultRing, extents: 67 });
  const ring = log.attach();
  equal(log.begin(100, 166).kind, "waits");
  deepEqual(commit(log, ring)?.evicted, []);
  // 67 extents are more than one transaction holds.
  commit(log, ring);
  equal(log.begin(0, 0).kind, "full");
  log.end(120, 121);
  log.begin(120, 120);
  log.end(120, 120);
  deepEqual(log.begin(0, 0), { kind: "waits", until: 3 });
  deepEqual(commit(log, ring)?.evicted, [121]);
  equal(log.isActive(121), false);
  equal(log.begin(0, 2).kind, "full", "two are missing, one is free to go");
  equal(log.holders(0), 1, "a refused request holds nothing");
  equal(readRing(ring, defaultRing).extents.length, 67);
});

test("a request that gives up before its transaction is durable leaves the extent for others", () => {
  const log = new ActivityLog({ ring: defaultRing, extents: 67 });
  const ring = log.attach();
  log.begin(9, 9);
  log.end(9, 9);
  commit(log, ring);
  deepEqual(log.begin(9, 9), { kind: "ready" });
  log.end(9, 9);
  throws(() => log.end(9, 9), /not held/);
});

test("after every transaction, torn or whole, the ring says at least what requests may write to", () => {
  const step = fc.record({
    first: fc.nat(300),
    length: fc.integer({ min: 0, max: 80 }),
    what: fc.constantFrom("begin", "begin", "end", "take", "durable", "restore"),
  });
  const shapes = fc.constantFrom<RingShape>(defaultRing, { stripes: 4, stripeBlocks: 4 });
  fc.assert(
    fc.property(shapes, fc.array(step, { maxLength: 120 }), (shape, steps) => {
      const options = { ring: shape, extents: 80 };
      let log = new ActivityLog(options);
      const ring = log.attach();
      let inFlight: LogWrite | undefined;
      const held: { first: number; last: number; until: number }[] = [];
      let durable = 0;
      for (const { first, length, what } of steps) {
        if (what === "begin") {
          const last = first + length;
          const admission = log.begin(first, last);
          if (admission.kind === "full") continue;
          held.push({ first, last, until: admission.kind === "ready" ? 0 : admission.until });
        } else if (what === "end") {
          const [request] = held.splice(first % Math.max(1, held.length), 1);
          if (request !== undefined) log.end(request.first, request.last);
        } else if (what === "take") {
          inFlight = log.take() ?? inFlight;
        } else if (what === "restore") {
          log = ActivityLog.restore(options, JSON.parse(JSON.stringify(log.snapshot())));
        } else if (inFlight !== undefined) {
          ring.set(inFlight.block, inFlight.offset);
          durable = log.durable();
          inFlight = undefined;
        }
        checkRing(
          ring,
          shape,
          inFlight,
          held.filter(({ until }) => until <= durable),
        );
        equal(log.used <= log.size, true);
      }
    }),
    { numRuns: 60 },
  );
});

function checkRing(
  ring: Uint8Array,
  shape: RingShape,
  inFlight: LogWrite | undefined,
  writing: readonly { first: number; last: number }[],
): void {
  const views = [ring];
  if (inFlight !== undefined) {
    // The block in flight may be there, half there, or not.
    const torn = ring.slice();
    torn.set(inFlight.block.subarray(0, 512), inFlight.offset);
    const whole = ring.slice();
    whole.set(inFlight.block, inFlight.offset);
    views.push(torn, whole);
  }
  for (const view of views) {
    const contents = readRing(view, shape);
    equal(contents.corruptBlocks <= 1, true);
    const extents = new Set(contents.extents);
    for (const { first, last } of writing) {
      for (let extent = first; extent <= last; extent++) {
        equal(extents.has(extent), true, `extent ${extent} is written to and not in the log`);
      }
    }
  }
}

test("a full log of the largest size can be read from its ring alone", () => {
  const extents = clampExtents(99_999, defaultRing);
  const log = new ActivityLog({ ring: defaultRing, extents });
  const ring = freshRing(defaultRing);
  ring.set(log.attach());
  equal(log.begin(0, extents - 1).kind, "waits");
  while (log.wantsToWrite) commit(log, ring);
  equal(readRing(ring, defaultRing).extents.length, extents);
  equal(log.begin(FREE - 1, FREE - 1).kind, "full");
});
