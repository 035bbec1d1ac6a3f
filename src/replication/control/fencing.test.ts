/** Stories of losing a peer: who freezes, what ends it, and what is durable before it ends (R1, R2, R7, R9, R17). */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { FenceResult } from "../contract.ts";
import type { FencingPolicy } from "../options.ts";
import { sameGeneration } from "./generations.ts";
import { makeEqual, Pair, type SpecChanges, specOf, TestDisk } from "./pair.test-support.ts";

const data = new Uint8Array(4096).fill(9);
const write = (id: number, sector = 8) =>
  ({ kind: "request", id, request: { op: "write", sector, data, fua: false } }) as const;

/** A connected pair with alice Primary. */
function primaryPair(fencing: FencingPolicy, more: SpecChanges = {}): Pair {
  const disks = { alice: new TestDisk(), bob: new TestDisk() };
  makeEqual([disks.alice, disks.bob], 0xfdba_088f_d5c0_65fan, 1_968);
  const spec = specOf({ ...more, disk: { fencing, ...more.disk } });
  const pair = new Pair({ disks, spec });
  pair.up();
  equal(pair.command("alice", { verb: "primary", force: false }).outcome, "done");
  return pair;
}
/** alice loses bob; the cable stays cut. */
function lose(pair: Pair): void {
  pair.cut = true;
  pair.breakConnection();
}
const frozen = (pair: Pair): boolean => pair.hosts.alice.core.view().state.suspFencing;
const answered = (pair: Pair, id: number): boolean =>
  pair.hosts.alice.answers.some((answer) => answer.id === id && answer.ok);
const tell = (pair: Pair, result: FenceResult, attempt = 1): void => {
  pair.feed("alice", { kind: "fenceDone", attempt, result, detail: "test" });
  pair.run(0);
};

test("dont-care: goes on at once, with a new generation", () => {
  const pair = primaryPair("dont-care");
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(0);
  equal(frozen(pair), false);
  ok(answered(pair, 1));
  deepEqual(pair.hosts.alice.fences, []);
  ok(pair.hosts.alice.disk.superblock.generations.bitmap !== 0n);
});

for (const fencing of ["native", "resource-and-stonith"] as const) {
  test(`${fencing}: a write is answered only after the peer is excluded, and both are durable first`, () => {
    const pair = primaryPair(fencing);
    const before = pair.hosts.alice.disk.superblock.generations.current;
    lose(pair);
    pair.feed("alice", write(1));
    pair.run(60_000);
    ok(frozen(pair) && !answered(pair, 1), "it waits as long as nobody answers");
    equal(pair.hosts.alice.disk.superblock.generations.current, before);
    pair.hosts.alice.hangs = true;
    tell(pair, 4);
    equal(answered(pair, 1), false, "what proves it is not durable yet");
    pair.hosts.alice.hangs = false;
    pair.breakConnection();
    const again = primaryPair(fencing);
    lose(again);
    again.feed("alice", write(1));
    again.run(100);
    tell(again, 4);
    ok(answered(again, 1) && !frozen(again));
    const { superblock } = again.hosts.alice.disk;
    ok(superblock.flags.peerOutdated);
    ok(sameGeneration(superblock.generations.bitmap, before));
    equal(again.state("alice"), "WFConnection Primary/Unknown UpToDate/Outdated");
  });

  test(`${fencing}: "unreachable" is no proof, nor is a broken handler`, () => {
    const pair = primaryPair(fencing);
    lose(pair);
    pair.feed("alice", write(1));
    tell(pair, 5);
    ok(frozen(pair) && !answered(pair, 1));
    const next = fencing === "native" ? 2 : 1;
    pair.run(20_000);
    ok(frozen(pair));
    equal(pair.hosts.alice.fences.length > 1, fencing === "native", "only native asks again");
    tell(pair, "broken", next);
    ok(frozen(pair));
  });
}

test("resource-only: waits 1 s at most, and says that it goes on without a proof", () => {
  const pair = primaryPair("resource-only");
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(900);
  ok(frozen(pair) && !answered(pair, 1));
  pair.run(200);
  ok(!frozen(pair) && answered(pair, 1));
  ok(pair.word("alice").includes("BTN-DISK-FENCE-UNPROVEN"));
  equal(pair.state("alice"), "WFConnection Primary/Unknown UpToDate/DUnknown");
  tell(pair, 4);
  equal(pair.state("alice"), "WFConnection Primary/Unknown UpToDate/Outdated");
});

test("the peer is Primary: our disk is outdated, nothing goes on", () => {
  const pair = primaryPair("resource-only");
  lose(pair);
  pair.feed("alice", write(1));
  tell(pair, 6);
  pair.run(10_000);
  ok(frozen(pair) && !answered(pair, 1));
  equal(pair.hosts.alice.disk.superblock.flags.wasUpToDate, false);
});

test("the connection comes back while frozen: the write is sent again, no new generation", () => {
  const pair = primaryPair("native");
  const before = pair.hosts.alice.disk.superblock.generations;
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(5_000);
  ok(!answered(pair, 1));
  pair.cut = false;
  pair.run(5_000);
  ok(answered(pair, 1) && !frozen(pair));
  deepEqual(pair.hosts.alice.disk.superblock.generations, before);
  equal(pair.hosts.bob.disk.bytes[4096], 9);
  equal(pair.hosts.alice.core.view().outOfSyncBlocks, 0);
  tell(pair, 4);
  equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/UpToDate", "a stale answer");
});

test("a peer that restarted while we were frozen gets everything again that it may have lost", () => {
  const pair = primaryPair("native");
  pair.feed("alice", write(1));
  pair.run(50);
  pair.crash("bob");
  pair.feed("alice", write(2, 64));
  pair.run(20_000);
  ok(frozen(pair) && !answered(pair, 2));
  pair.restart("bob");
  pair.command("bob", { verb: "attach" });
  pair.command("bob", { verb: "connect", discardMyData: false });
  pair.run(8_000);
  ok(answered(pair, 2));
  equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/UpToDate");
  equal(pair.hosts.bob.disk.bytes[64 * 512], 9);
});

test("a lone promotion asks first; without a proof it is refused, by force it is done and said", () => {
  const disks = { alice: new TestDisk(), bob: new TestDisk() };
  makeEqual([disks.alice, disks.bob], 0xfdba_088f_d5c0_65fan, 1_968);
  const pair = new Pair({ disks, spec: specOf({ disk: { fencing: "native" } }) });
  pair.command("alice", { verb: "attach" });
  pair.fenceAnswer = () => 5;
  const refused = pair.command("alice", { verb: "primary", force: false });
  deepEqual(
    [refused.outcome, refused.reason, refused.code],
    ["refused", "BTN-DISK-PEER-NOT-OUTDATED", -2],
  );
  pair.fenceAnswer = () => 4;
  equal(pair.command("alice", { verb: "primary", force: false }).outcome, "done");
  equal(pair.state("alice"), "StandAlone Primary/Unknown UpToDate/Outdated");
  ok(pair.hosts.alice.disk.superblock.generations.bitmap !== 0n);

  const other = new Pair({
    disks: { alice: new TestDisk(), bob: disks.bob },
    spec: specOf({ disk: { fencing: "native" } }),
  });
  other.command("bob", { verb: "attach" });
  other.fenceAnswer = () => "broken";
  equal(other.command("bob", { verb: "primary", force: true }).outcome, "done");
  ok(other.word("bob").includes("BTN-DISK-PRIMARY-FORCED"));
});

test("an outdated or inconsistent disk is promoted by force only", () => {
  const pair = primaryPair("dont-care");
  pair.command("bob", { verb: "disconnect", force: true });
  pair.command("bob", { verb: "outdate" });
  const refused = pair.command("bob", { verb: "primary", force: false });
  deepEqual([refused.code, refused.reason], [-2, "BTN-DISK-NO-CURRENT-DATA"]);
});

test("a peer of a higher epoch freezes a Primary until its agent knows that epoch; a lower one is refused", () => {
  const pair = primaryPair("native");
  pair.feed("alice", { kind: "epoch", clusterId: "c", epoch: 3 });
  pair.feed("bob", { kind: "epoch", clusterId: "c", epoch: 3 });
  pair.run(5_000);
  equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/UpToDate");
  deepEqual(pair.hosts.alice.fences, [], "a new epoch is no reason to fence");
  pair.feed("bob", { kind: "epoch", clusterId: "c", epoch: 4 });
  pair.feed("alice", write(1));
  pair.run(2_500);
  ok(frozen(pair) && !answered(pair, 1));
  ok(pair.word("alice").includes("BTN-DISK-EPOCH-HIGHER"));
  ok(pair.word("bob").includes("BTN-DISK-EPOCH-LOWER"));
  pair.feed("alice", { kind: "epoch", clusterId: "c", epoch: 4 });
  pair.run(5_000);
  ok(answered(pair, 1) && !frozen(pair));
  equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/UpToDate");
});

test("disks of other clusters do not talk", () => {
  const pair = primaryPair("dont-care");
  pair.feed("alice", { kind: "epoch", clusterId: "one", epoch: 3 });
  pair.feed("bob", { kind: "epoch", clusterId: "two", epoch: 3 });
  pair.run(5_000);
  ok(pair.word("alice").includes("BTN-DISK-OTHER-CLUSTER"));
  equal(pair.state("alice").split(" ")[0] === "Connected", false);
});
