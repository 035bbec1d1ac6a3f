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
    pair.hosts.alice.stalls = true;
    const { attempt } = pair.hosts.alice.fences.at(-1) ?? { attempt: 0 };
    tell(pair, 4, attempt);
    pair.run(1_000);
    equal(frozen(pair), false);
    equal(answered(pair, 1), false, "what proves it is not durable yet");
    pair.hosts.alice.stalls = false;
    pair.run(0);
    ok(answered(pair, 1));
    const { superblock } = pair.hosts.alice.disk;
    ok(superblock.flags.peerOutdated);
    ok(sameGeneration(superblock.generations.bitmap, before));
    equal(pair.state("alice"), "WFConnection Primary/Unknown UpToDate/Outdated");
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

test("dont-care: a write after the loss is answered only when the new generation is durable (R9)", () => {
  const pair = primaryPair("dont-care");
  pair.feed("alice", write(1));
  pair.run(10);
  pair.hosts.alice.stalls = true;
  lose(pair);
  pair.feed("alice", write(2));
  pair.run(1_000);
  equal(answered(pair, 2), false);
  equal(pair.hosts.alice.disk.superblock.generations.bitmap, 0n);
  pair.hosts.alice.stalls = false;
  pair.run(0);
  ok(answered(pair, 2));
  ok(pair.hosts.alice.disk.superblock.generations.bitmap !== 0n);
});

test("a target asks for its first block only when its metadata says Inconsistent (R8)", () => {
  const pair = primaryPair("dont-care");
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(10);
  pair.cut = false;
  const asks = (): boolean => pair.log.some(({ packet }) => packet.command === "P_RS_DATA_REQUEST");
  const { bob } = pair.hosts;
  for (let ms = 0; ms < 3_000 && bob.core.view().state.conn !== "WFSyncUUID"; ms++) pair.step();
  equal(bob.core.view().state.conn, "WFSyncUUID");
  bob.stalls = true;
  pair.run(300);
  equal(bob.core.view().state.conn, "SyncTarget");
  deepEqual([asks(), bob.disk.superblock.flags.consistent], [false, true]);
  bob.stalls = false;
  pair.run(2_000);
  ok(asks());
  equal(pair.state("bob"), "Connected Secondary/Primary UpToDate/UpToDate");
});

test("a target whose last flush fails never says UpToDate (R8, R10)", () => {
  const pair = primaryPair("dont-care");
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(10);
  pair.hosts.bob.failing = "flush";
  pair.cut = false;
  pair.run(3_000);
  equal(pair.hosts.bob.disk.superblock.flags.consistent, false);
  equal(pair.state("bob"), "Connected Secondary/Primary Diskless/UpToDate");
});

test("a frozen Primary whose peer needs a resync goes on only after the peer's bitmap", () => {
  const pair = primaryPair("native");
  lose(pair);
  pair.run(100);
  pair.command("bob", { verb: "disconnect", force: true });
  equal(pair.command("bob", { verb: "invalidate" }).outcome, "done");
  pair.feed("bob", {
    kind: "command",
    id: "back",
    command: { verb: "connect", discardMyData: false },
  });
  pair.cut = false;
  const seen = new Set<string>();
  for (let step = 0; step < 5_000; step++) {
    pair.step();
    const { conn, suspFencing } = pair.hosts.alice.core.view().state;
    seen.add(`${conn} ${suspFencing}`);
  }
  ok(seen.has("WFBitMapS true"), [...seen].join());
  equal(seen.has("WFBitMapS false"), false);
  ok(!frozen(pair));
});

test("a role is announced only when the metadata says so (I9)", () => {
  const disks = { alice: new TestDisk(), bob: new TestDisk() };
  makeEqual([disks.alice, disks.bob], 0xfdba_088f_d5c0_65fan, 1_968);
  const pair = new Pair({ disks });
  pair.up();
  pair.log.length = 0;
  pair.hosts.alice.stalls = true;
  const promote = { verb: "primary", force: false } as const;
  pair.feed("alice", { kind: "command", id: "p", command: promote });
  pair.run(1_000);
  const told = (): boolean =>
    pair.log.some(({ from, packet }) => from === "alice" && packet.command === "P_STATE");
  const { alice } = pair.hosts;
  equal(alice.core.view().state.role, "Primary");
  const finished = (): boolean => alice.done.some(({ id }) => id === "p");
  deepEqual([told(), alice.device.writable, finished()], [false, false, false]);
  alice.stalls = false;
  pair.run(0);
  deepEqual([told(), alice.device.writable, finished()], [true, true, true]);
  ok(alice.disk.superblock.flags.primary);
});

test("a side that becomes Outdated answers the request for it only when its metadata says so (R2)", () => {
  const pair = primaryPair("native");
  pair.hosts.bob.stalls = true;
  const leave = { verb: "disconnect", force: false } as const;
  pair.feed("alice", { kind: "command", id: "d", command: leave });
  pair.run(1_000);
  const { alice, bob } = pair.hosts;
  deepEqual(
    [alice.done.some(({ id }) => id === "d"), bob.disk.superblock.flags.wasUpToDate],
    [false, true],
  );
  bob.stalls = false;
  pair.run(10);
  deepEqual(
    [alice.done.some(({ id }) => id === "d"), bob.disk.superblock.flags.wasUpToDate],
    [true, false],
  );
  equal(pair.state("alice"), "StandAlone Primary/Unknown UpToDate/Outdated");
});

test("a target says that it is outdated only when its metadata does (I9)", () => {
  const pair = primaryPair("dont-care");
  lose(pair);
  pair.feed("alice", write(1));
  pair.run(10);
  pair.log.length = 0;
  pair.hosts.bob.stalls = true;
  pair.cut = false;
  pair.run(1_000);
  const told = (): boolean =>
    pair.log.some(
      ({ from, packet }) => from === "bob" && "word" in packet && packet.word === 0x10ae6,
    );
  equal(pair.hosts.bob.core.view().state.conn, "WFBitMapT");
  equal(told(), false);
  pair.hosts.bob.stalls = false;
  pair.run(2_000);
  ok(told());
});
