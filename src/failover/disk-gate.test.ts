import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { FailoverRecord, Proof } from "./contract.ts";
import { group, Pair } from "./pair.test-support.ts";

const groups = [{ ...group("g", "a"), hasProof: "disk" as const }];

type Disk = Extract<Proof, { kind: "disk" }>;

const whole: Disk = {
  kind: "disk",
  state: "UpToDate",
  connected: true,
  peerState: "UpToDate",
  peerPrimary: false,
};
const lone = (state: Disk["state"], peerState: Disk["peerState"] = "DUnknown"): Disk => ({
  kind: "disk",
  state,
  connected: false,
  peerState,
  peerPrimary: false,
});

const tell = (pair: Pair, host: "a" | "b", proof: Proof): Pair =>
  pair.feed(host, { kind: "proof", group: "g", proof });

/** Both up, both disks whole; `a` holds the group. */
const settled = (): Pair => {
  const pair = new Pair({ groups, workMaxMs: 50 }).boot("a").boot("b");
  tell(tell(pair, "a", whole), "b", whole).run(3_000);
  equal(where(pair), "g on a");
  return tell(pair, "b", { ...whole, peerPrimary: true });
};

const where = (pair: Pair): string => `g on ${pair.runsOn("g") || "none"}`;

const record = (owner: string, epoch = 3): FailoverRecord => ({
  groups: { g: { epoch, owner, heldHere: false, failedHere: null, unproven: false } },
});

test("no group is started before the disk has said how it is", () => {
  const pair = new Pair({ groups }).boot("a").boot("b").run(5_000);
  equal(where(pair), "g on none");
  equal(pair.view("a")?.reason, "BTN-FAILOVER-PROOF-WAIT");
  tell(pair, "a", whole).run(1_000);
  equal(where(pair), "g on a");
});

test("a standby whose disk was up to date takes over, once the dead host's connection is gone too", () => {
  const pair = settled();
  pair.crash("a").run(2_000);
  equal(where(pair), "g on none");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-DISK-PEER-ALIVE");
  tell(pair, "b", lone("UpToDate")).run(500);
  equal(where(pair), "g on b");
});

test("all heartbeats are cut and replication goes on: nobody takes over (reliability 6, case 4)", () => {
  const pair = settled();
  pair.cut.add("a>b").add("b>a");
  pair.run(10_000);
  equal(where(pair), "g on a");
  deepEqual(pair.doubles, []);
});

test("an outdated standby never takes over, not by order either (S4)", () => {
  const pair = settled();
  tell(pair, "b", lone("Outdated"));
  pair.crash("a").run(10_000);
  equal(where(pair), "g on none");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-DISK-NOT-CURRENT");
  pair.command("b", "c", { verb: "takeover", scope: "all", peerIsDead: true }).run(3_000);
  equal(where(pair), "g on none");
});

test("after a double outage a lone former standby waits, and starts when a person orders it (3.2.4)", () => {
  const pair = new Pair({ groups });
  pair.host("b").record = record("a");
  tell(pair.boot("b"), "b", lone("Consistent")).run(20_000);
  equal(where(pair), "g on none");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-DISK-NOT-CURRENT");
  pair.command("b", "c", { verb: "takeover", scope: "all", peerIsDead: true }).run(1_000);
  equal(where(pair), "g on b");
});

test("after a double outage a lone former holder starts, and so does one that excluded its peer", () => {
  for (const [owner, disk] of [
    ["b", lone("Consistent")],
    ["a", lone("UpToDate", "Outdated")],
  ] as const) {
    const pair = new Pair({ groups });
    pair.host("b").record = record(owner);
    tell(pair.boot("b"), "b", disk).run(10_000);
    equal(where(pair), "g on b");
  }
});

test("the owner's disk is behind: the group goes to the host that has the data", () => {
  const pair = new Pair({ groups, workMaxMs: 50 }).boot("a").boot("b");
  tell(pair, "a", { ...whole, state: "Inconsistent" });
  tell(pair, "b", { ...whole, peerState: "Inconsistent" }).run(4_000);
  equal(where(pair), "g on b");
  ok(pair.log.some((line) => line.includes("BTN-FAILOVER-DISK-BETTER-THERE")));
});

test("a move is refused while the other disk is behind or not connected", () => {
  for (const disk of [{ ...whole, peerState: "Inconsistent" as const }, lone("UpToDate")]) {
    const pair = settled();
    tell(pair, "a", disk);
    pair.command("a", "c", { verb: "switch", group: "g", to: "b" }).run(2_000);
    equal(where(pair), "g on a");
    deepEqual(pair.done.at(-1)?.reason, "BTN-FAILOVER-PEER-DISK-NOT-CURRENT");
  }
});

test("both live but the disks do not connect: after a deadtime the owner starts, and its promotion fences", () => {
  const pair = new Pair({ groups }).boot("a").boot("b");
  tell(tell(pair, "a", lone("Consistent")), "b", lone("Consistent")).run(1_000);
  equal(where(pair), "g on none");
  equal(pair.view("a")?.reason, "BTN-FAILOVER-DISK-CONNECTING");
  pair.run(1_000);
  equal(where(pair), "g on a");
});
