import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import type { FailoverRecord, MoveScope } from "./contract.ts";
import { group, Pair, type PairOptions } from "./pair.test-support.ts";
import { Story } from "./story.test-support.ts";

const two = [group("g", "a"), group("h", "b")];

/** Both hosts up and at rest. */
const settled = (setup: PairOptions = {}): Pair => new Pair(setup).boot("a").boot("b").run(3_000);

/** "g on a, h on b". */
const where = (pair: Pair): string =>
  pair.groups.map(({ name }) => `${name} on ${pair.runsOn(name) || "none"}`).join(", ");

const outcomes = (pair: Pair): readonly string[] =>
  pair.done.map(
    (one) => `${one.command} ${one.outcome} ${one.reason.replace("BTN-FAILOVER-", "")}`,
  );

const said = (pair: Pair, text: string): boolean => pair.log.some((line) => line.includes(text));

const record = (owner: string, heldHere: boolean, epoch = 3): FailoverRecord => ({
  groups: { g: { epoch, owner, heldHere, failedHere: null, unproven: false } },
});

const oneGroup = [group("g", "a")];

test("two hosts that start cold run each group once, at once, without a fixed wait", () => {
  const pair = new Pair({ groups: two }).boot("a").boot("b").run(500);
  equal(where(pair), "g on a, h on b");
  deepEqual(pair.doubles, []);
});

test("a host alone starts everything after initdead, not before", () => {
  const pair = new Pair({ groups: two }).boot("b").run(2_900);
  equal(where(pair), "g on none, h on none");
  pair.run(700);
  equal(where(pair), "g on b, h on b");
  equal(pair.view("b")?.unproven, true);
});

test("the survivor of a crash takes over at the verdict, under the next epoch", () => {
  const pair = settled({ groups: two });
  pair.crash("a").run(1_700);
  equal(where(pair), "g on b, h on b");
  deepEqual(pair.view("b")?.ownership, { epoch: 1, owner: "b" });
});

test("a crashed host that returns takes nothing with auto_failback off", () => {
  const pair = settled();
  pair.crash("a").run(3_000).boot("a").run(20_000);
  equal(where(pair), "g on b");
  equal(pair.view("a")?.reason, "BTN-FAILOVER-HELD-BY-PEER");
  equal(pair.view("b")?.unproven, false);
  deepEqual(pair.doubles, []);
});

test("a crashed host that returns gets its group back with auto_failback on, once it is stable", () => {
  const pair = settled({ groups: two, options: { autoFailback: "on" } });
  pair.crash("a").run(3_000).boot("a").run(600);
  equal(where(pair), "g on b, h on b");
  pair.run(3_000);
  equal(where(pair), "g on a, h on b");
  deepEqual(pair.doubles, []);
});

test("a group that a person moved stays, also with auto_failback on, and also over an agent restart", () => {
  const pair = settled({ options: { autoFailback: "on" } });
  pair.command("a", "1", { verb: "switch", group: "g", to: "b" }).run(10_000);
  equal(where(pair), "g on b");
  pair.restartAgent("b").run(5_000).restartAgent("a").run(5_000);
  equal(where(pair), "g on b");
});

test("a holder that reboots within deadtime gets back what nobody else holds", () => {
  const pair = settled({ groups: two });
  pair.command("a", "1", { verb: "takeover", scope: "all", peerIsDead: false }).run(1_000);
  equal(where(pair), "g on a, h on a");
  pair.crash("a").run(400).boot("a").run(1_000);
  equal(where(pair), "g on a, h on a");
  ok(!said(pair, "verdict dead"));
});

const scopes: readonly [MoveScope, string][] = [
  ["all", "g on b, h on b"],
  ["local", "g on b, h on a"],
  ["foreign", "g on a, h on b"],
  ["failback", "g on a, h on b"],
];
for (const [scope, result] of scopes) {
  test(`standby ${scope} on a host that holds both groups: ${result}`, () => {
    const pair = settled({ groups: two });
    pair.command("a", "1", { verb: "takeover", scope: "all", peerIsDead: false }).run(1_000);
    pair.command("a", "2", { verb: "standby", scope }).run(1_000);
    equal(where(pair), result);
    deepEqual(outcomes(pair), ["1 done MOVED", "2 done MOVED"]);
    deepEqual(pair.doubles, []);
  });
}

test("takeover local takes the groups that prefer the host that was asked", () => {
  const pair = settled({ groups: two });
  pair.command("b", "1", { verb: "takeover", scope: "all", peerIsDead: false }).run(1_000);
  pair.command("a", "2", { verb: "takeover", scope: "local", peerIsDead: false }).run(1_000);
  equal(where(pair), "g on a, h on b");
});

test("a graceful stop hands over to a live peer, and the peer knows before it ends", () => {
  const pair = settled({ groups: two });
  pair.command("a", "1", { verb: "stop" }).run(1_000);
  equal(where(pair), "g on b, h on b");
  deepEqual(outcomes(pair), ["1 done STOPPED"]);
  ok(said(pair, "b verdict left"));
  equal(pair.view("b")?.unproven, false);
});

test("the stop of a host that holds nothing moves nothing", () => {
  const pair = settled();
  pair.command("b", "1", { verb: "stop" }).run(1_000);
  equal(where(pair), "g on a");
  deepEqual(outcomes(pair), ["1 done STOPPED"]);
});

test("the last host stops its groups and ends; started again it goes on as their owner", () => {
  const pair = settled();
  pair.command("b", "1", { verb: "stop" }).run(1_000);
  pair.command("a", "2", { verb: "stop" }).run(1_000);
  equal(where(pair), "g on none");
  pair.boot("a").run(4_000);
  equal(where(pair), "g on a");
});

test("a failed start on one host does not leave the group down on both", () => {
  const pair = new Pair();
  pair.failures.set("a g acquire", 1);
  pair.boot("a").boot("b").run(1_000);
  equal(where(pair), "g on b");
  ok(said(pair, "BTN-FAILOVER-FAILED-MOVED"));
});

test("a switch to a host that can not start the group brings it back and says so", () => {
  const pair = settled();
  pair.failures.set("b g acquire", 1);
  pair.command("a", "1", { verb: "switch", group: "g", to: "b" }).run(2_000);
  equal(where(pair), "g on a");
  deepEqual(outcomes(pair), ["1 failed START-FAILED"]);
  match(pair.done[0]?.detail ?? "", /r1: planned/);
});

test("a group that fails on both is tried three times on each, then waits for a person", () => {
  const pair = new Pair();
  pair.failures.set("a g acquire", 4);
  pair.failures.set("b g acquire", 4);
  pair.boot("a").boot("b").run(300_000);
  equal(where(pair), "g on none");
  equal(pair.log.filter((line) => / acquire g failed/.test(line)).length, 6);
  ok(said(pair, "BTN-FAILOVER-GAVE-UP"));
  pair.failures.clear();
  pair.command("b", "1", { verb: "clear", group: "g" }).run(2_000);
  equal(pair.runsOn("g").length, 1);
});

test("a failure of the running group moves it; a later one on the other host brings it back", () => {
  const pair = settled();
  const failed = {
    kind: "resourceFailed",
    group: "g",
    resource: "m",
    reason: "X",
    detail: "",
  } as const;
  pair.feed("a", failed).run(1_000);
  equal(where(pair), "g on b");
  pair.feed("b", failed).run(20_000);
  equal(pair.runsOn("g").length, 1);
  deepEqual(pair.doubles, []);
});

test("a stop that failed blocks the group: the peer does not start it until a stop succeeded", () => {
  const pair = settled();
  pair.failures.set("a g release", 1);
  pair.command("a", "1", { verb: "switch", group: "g", to: "b" }).run(500);
  // The rightful holder completes the half-stopped group again.
  equal(where(pair), "g on a");
  deepEqual(outcomes(pair), ["1 failed STOP-BLOCKED"]);
  pair.failures.set("a g release", 1);
  pair.command("a", "2", { verb: "stop" }).run(500);
  equal(pair.view("a")?.here, "blocked");
  equal(pair.runsOn("g"), "");
  pair.run(8_000);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
});

test("a holder whose beat process stays away lets go before it is replaced, and goes on after it", () => {
  const pair = settled();
  pair.feed("a", { kind: "beats", sent: false });
  pair.feed("a", { kind: "verdict", host: "b", verdict: "unsure", reason: "test" }).run(700);
  equal(where(pair), "g on a");
  pair.cut.add("a>b");
  pair.run(200);
  ok(said(pair, "a release g urgent BTN-FAILOVER-NO-BEATS"));
  pair.run(2_000);
  equal(where(pair), "g on b");
  pair.cut.clear();
  pair.feed("a", { kind: "beats", sent: true }).run(3_000);
  equal(pair.runsOn("g").length, 1);
  deepEqual(pair.doubles, []);
});

test("without beats a group stays where nobody can take it: a claim is renewed, or the peer is gone", () => {
  const claimed = alone("a", "claim").verdict("alive");
  claimed.feed({
    kind: "proof",
    group: "g",
    proof: { kind: "claim", holder: "a", epoch: 3, still: false },
  });
  const lonely = alone("a", "none");
  for (const story of [claimed, lonely]) {
    story.verdict("dead").up().run(500);
    equal(story.view()?.here, "running");
    if (story === claimed) story.verdict("alive");
    story.feed({ kind: "beats", sent: false }).verdict("unsure").run(10_000);
    equal(story.view()?.here, "running");
  }
});

test("a backup that was frozen and resumes seizes nothing", () => {
  const pair = settled();
  pair.pause("b", 6_000).run(10_000);
  equal(where(pair), "g on a");
  ok(!said(pair, "b acquire"));
  ok(!said(pair, "a release"));
});

test("a holder that was frozen and replaced releases at once; nothing stops on the other host", () => {
  const pair = settled();
  pair.pause("a", 6_000).run(10_000);
  equal(where(pair), "g on b");
  ok(said(pair, "a release g urgent"));
  ok(!said(pair, "b release"));
});

test("a lone holder that was frozen goes on, because the peer was gone before", () => {
  const pair = settled();
  pair.crash("b").run(3_000);
  pair.pause("a", 6_000).run(2_000);
  pair.run(10_000);
  equal(where(pair), "g on a");
  ok(!said(pair, "a release"));
});

test("after a healed split the higher epoch goes on and only the other side stops", () => {
  const pair = settled();
  pair.cut.add("a>b").add("b>a");
  pair.run(5_000);
  equal(where(pair), "g on a+b");
  pair.cut.clear();
  pair.run(2_000);
  equal(where(pair), "g on b");
  ok(!said(pair, "b release"));
});

test("both sides under one epoch after a split: exactly one stops", () => {
  // Both were down; each starts alone, b knowing of nothing, a as the last owner.
  const pair = new Pair();
  pair.host("a").record = record("a", true, 4);
  pair.host("b").record = record("b", true, 4);
  pair.cut.add("a>b").add("b>a");
  pair.boot("a").boot("b").run(5_000);
  equal(where(pair), "g on a+b");
  pair.cut.clear();
  pair.run(2_000);
  equal(where(pair), "g on a");
  ok(!said(pair, "a release"));
});

test("one-way cut: a holder whose beats do not arrive stops before the other host takes over", () => {
  const pair = settled({ workMaxMs: 50 });
  pair.cut.add("a>b");
  pair.run(4_000);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
  ok(said(pair, "a release g urgent BTN-FAILOVER-NOT-HEARD"));
  pair.cut.clear();
  pair.run(4_000);
  equal(where(pair), "g on b");
});

test("one-way cut the other way: a deaf holder that is heard keeps its group, and nothing moves", () => {
  const pair = settled();
  pair.cut.add("b>a");
  pair.run(6_000);
  equal(where(pair), "g on a");
  deepEqual(pair.doubles, []);
});

/** Two hosts, a ping node that both hear, and a shared disk whose claim host a holds. */
const withClaim = (): Pair => {
  const groups = [{ ...group("g", "a"), hasProof: "claim" as const }];
  const pair = new Pair({ groups, options: { pings: ["p"] }, workMaxMs: 50 });
  pair.boot("a").boot("b");
  return claimed(pair, null).ping("a", "p", true).ping("b", "p", true).run(3_000);
};

const claimed = (pair: Pair, holder: string | null): Pair => {
  const proof = { kind: "claim", holder, epoch: 1, still: false } as const;
  return pair
    .feed("a", { kind: "proof", group: "g", proof })
    .feed("b", { kind: "proof", group: "g", proof });
};

test("one-way cut with a claim: a holder in reach of clients goes on, as nobody can take over", () => {
  const pair = claimed(withClaim(), "a");
  pair.cut.add("a>b");
  pair.run(6_000);
  equal(where(pair), "g on a");
  equal(pair.view("a")?.reason, "BTN-FAILOVER-UNHEARD-HOLDS");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-CLAIM-ALIVE");
  ok(!said(pair, "a release"));
  // Out of reach of clients as well it lets go, and the other host follows once the claim is released.
  pair.ping("a", "p", false).run(500);
  equal(where(pair), "g on none");
  claimed(pair, null).run(1_000);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
  claimed(pair, "b").cut.clear();
  pair.ping("a", "p", true).run(4_000);
  equal(where(pair), "g on b");
});

test("one-way cut with a claim: a deaf holder lets go, and the host that hears it takes over", () => {
  const pair = claimed(withClaim(), "a");
  pair.cut.add("b>a");
  pair.run(1_000).ping("a", "p", false).run(1_000);
  equal(where(pair), "g on none");
  ok(said(pair, "a release g urgent BTN-FAILOVER-CUT-OFF"));
  pair.run(3_000);
  equal(where(pair), "g on none"); // not while the claim is there
  claimed(pair, null).run(500);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
  claimed(pair, "b").run(3_000);
  equal(where(pair), "g on b");
  // Its ping node is back before its ears for the other host are: the claim keeps it out.
  pair.ping("a", "p", true).run(4_000);
  equal(where(pair), "g on b");
  pair.cut.clear();
  pair.run(4_000);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
});

test("a holder without peer and ping nodes stops by deadtime - 2 keepalive; the other side takes over", () => {
  const pair = settled({ options: { pings: ["p"] }, workMaxMs: 50 });
  pair.ping("a", "p", true).ping("b", "p", true).run(100);
  pair.cut.add("a>b").add("b>a");
  pair.ping("a", "p", false).run(4_000);
  equal(where(pair), "g on b");
  deepEqual(pair.doubles, []);
  ok(said(pair, "a release g urgent BTN-FAILOVER-CUT-OFF"));
  pair.cut.clear();
  pair.ping("a", "p", true).run(4_000);
  equal(where(pair), "g on b");
});

test("no takeover without a ping node; it follows when one has answered for deadtime", () => {
  const pair = settled({ options: { pings: ["p"] } });
  pair.crash("a").run(3_000);
  equal(where(pair), "g on none");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-CUT-OFF");
  pair.ping("b", "p", true).run(1_000);
  equal(where(pair), "g on none");
  pair.run(500);
  equal(where(pair), "g on b");
});

test("ipfail moves the group to the host that sees more ping nodes, after 2 keepalive, and not back", () => {
  const pair = settled({ options: { pings: ["p", "q"], ipfail: true } });
  for (const ping of ["p", "q"]) pair.ping("a", ping, true).ping("b", ping, true);
  pair.run(2_000).ping("a", "p", false).run(300);
  equal(where(pair), "g on a");
  pair.run(1_000);
  equal(where(pair), "g on b");
  pair.ping("a", "p", true).run(5_000);
  equal(where(pair), "g on b");
});

test("a ping node that comes and goes moves a group three times in ten minutes, not more", () => {
  const pair = settled({ options: { pings: ["p"], ipfail: true } });
  pair.ping("a", "p", true).ping("b", "p", true).run(500);
  for (let round = 0; round < 20; round++) {
    const holder = pair.runsOn("g");
    pair.ping(holder, "p", false).run(2_000).ping(holder, "p", true).run(2_000);
  }
  equal(pair.log.filter((line) => /decision BTN-FAILOVER-IPFAIL/.test(line)).length <= 12, true);
  ok(said(pair, "BTN-FAILOVER-MOVES-EXHAUSTED"));
  equal(pair.runsOn("g").length, 1);
});

test("R21: with different configurations nothing moves by itself, and a person still can", () => {
  const pair = settled({ perHost: { b: { configurationDigest: "other" } } });
  equal(where(pair), "g on a");
  ok(said(pair, "BTN-FAILOVER-CONFIG-DIFFERS"));
  pair.crash("a").run(3_000);
  equal(where(pair), "g on none");
  equal(pair.view("b")?.reason, "BTN-FAILOVER-CONFIG-DIFFERS");
  pair.command("b", "1", { verb: "takeover", scope: "all", peerIsDead: true }).run(500);
  equal(where(pair), "g on b");
});

test("split-brain-policy safe: silence alone moves nothing; a person's word does", () => {
  const pair = settled({ options: { splitBrainPolicy: "safe" } });
  pair.command("b", "1", { verb: "takeover", scope: "all", peerIsDead: true }).run(100);
  pair.crash("a").run(3_000);
  equal(where(pair), "g on none");
  pair.command("b", "2", { verb: "takeover", scope: "all", peerIsDead: false }).run(100);
  pair.command("b", "3", { verb: "takeover", scope: "all", peerIsDead: true }).run(500);
  equal(where(pair), "g on b");
  deepEqual(outcomes(pair), ["1 refused PEER-IS-ALIVE", "2 refused SAFE-POLICY", "3 done MOVED"]);
});

test("an agent restart changes no role and stops nothing", () => {
  const pair = settled({ groups: two, options: { autoFailback: "on" } });
  pair.command("a", "1", { verb: "takeover", scope: "all", peerIsDead: false }).run(1_000);
  const before = pair.log.length;
  pair.restartAgent("a").run(3_000).restartAgent("b").run(3_000);
  equal(where(pair), "g on a, h on a");
  ok(!pair.log.slice(before).some((line) => /acquire|release/.test(line)));
});

test("commands that can not be done say so and change nothing", () => {
  const pair = settled({ groups: two });
  pair.command("a", "1", { verb: "switch", group: "x", to: null });
  pair.command("a", "2", { verb: "switch", group: "g", to: "c" });
  pair.command("a", "3", { verb: "switch", group: null, to: null });
  pair.command("a", "4", { verb: "switch", group: "g", to: "a" });
  pair.crash("b").run(3_000);
  pair.command("a", "5", { verb: "standby", scope: "all" }).run(1_000);
  deepEqual(outcomes(pair), [
    "1 refused UNKNOWN-GROUP",
    "2 refused UNKNOWN-HOST",
    "3 refused NAME-THE-TARGET",
    "4 done NOTHING-TO-MOVE",
    "5 refused PEER-CANNOT-TAKE",
  ]);
});

test("a request that finds no answer ends negative within seconds", () => {
  const pair = settled();
  pair.cut.add("b>a");
  pair.command("b", "1", { verb: "switch", group: "g", to: "b" }).run(100);
  pair.cut.clear();
  pair.run(8_000);
  equal(pair.done.length, 1);
});

// R5: what one host alone may do after a start (DESIGN 7.8)

const alone = (
  owner: string,
  hasProof: "none" | "claim",
  options: ConstructorParameters<typeof Story>[0] & object = {},
): Story =>
  new Story({
    options: { groups: oneGroup.map((one) => ({ ...one, hasProof })), ...options.options },
    record: record(owner, owner === "a"),
  });

test("R5: the last owner may start alone, under a new epoch", () => {
  const story = alone("a", "none").verdict("dead").up().run(500);
  deepEqual(story.lines, ["0 acquire g"]);
  deepEqual(story.view()?.ownership, { epoch: 4, owner: "a" });
});

test("R5: a former secondary without anything to compare starts by the original's rule, and says so", () => {
  const story = alone("b", "none").verdict("dead").up().run(500);
  deepEqual(story.lines, ["0 acquire g"]);
  ok(story.reasons.includes("START-UNCOMPARED"));
});

test("R5: a former secondary starts from a shared disk only when the claim stands still", () => {
  const story = alone("b", "claim").verdict("dead").up().run(500);
  deepEqual(story.lines, []);
  equal(story.view()?.reason, "BTN-FAILOVER-PROOF-WAIT");
  const claim = { kind: "claim", holder: "b", epoch: 3 } as const;
  story.feed({ kind: "proof", group: "g", proof: { ...claim, still: false } });
  equal(story.view()?.reason, "BTN-FAILOVER-CLAIM-ALIVE");
  story.feed({ kind: "proof", group: "g", proof: { ...claim, still: true } }).run(500);
  deepEqual(story.lines, ["500 acquire g"]);
});

test("a group whose disk another host took stops at once, also while it starts or stops", () => {
  const lost = { group: "g", resource: "disk", reason: "X", detail: "", urgent: true } as const;
  for (const [wait, planned] of [
    [50, false],
    [500, false],
    [500, true],
  ] as const) {
    const story = alone("a", "none").verdict("dead").up().run(wait);
    if (planned) story.command("1", { verb: "stop" });
    story.feed({ kind: "resourceFailed", ...lost });
    ok(story.lines.includes(`${wait} release g urgent`), `${wait} ${planned}: ${story.lines}`);
    story.run(1_000);
    deepEqual(story.view()?.here, planned ? "stopped" : "failed");
  }
});

test("a takeover that was refused does not happen by itself later", () => {
  const story = alone("b", "claim", { options: { splitBrainPolicy: "safe" } })
    .verdict("dead")
    .up();
  const claim = { kind: "claim", holder: "b", epoch: 3 } as const;
  story.feed({ kind: "proof", group: "g", proof: { ...claim, still: false } });
  story.command("1", { verb: "takeover", scope: "all", peerIsDead: true });
  story.feed({ kind: "proof", group: "g", proof: { ...claim, still: true } }).run(500);
  equal(story.view()?.reason, "BTN-FAILOVER-SAFE-POLICY");
  story.command("2", { verb: "takeover", scope: "all", peerIsDead: true }).run(500);
  equal(story.view()?.here, "running");
});

test("a host that is told to stop stops, however many commands are under way", () => {
  const story = alone("a", "none").verdict("alive");
  for (let id = 1; id <= 20; id++) {
    story.command(`${id}`, { verb: "switch", group: "g", to: "b" });
  }
  story.command("stop", { verb: "stop" });
  equal(story.view()?.reason, "BTN-FAILOVER-HOST-STOPPING");
});

test("R5: an unreadable claim refuses; a person may override that, but never a claim that moves", () => {
  const story = alone("b", "claim").verdict("dead").up();
  story.feed({ kind: "proof", group: "g", proof: { kind: "unreadable", detail: "EIO" } }).run(500);
  equal(story.view()?.reason, "BTN-FAILOVER-PROOF-UNREADABLE");
  const claim = { kind: "claim", holder: "b", epoch: 3, still: false } as const;
  story.feed({ kind: "proof", group: "g", proof: claim });
  story.command("1", { verb: "takeover", scope: "all", peerIsDead: true });
  deepEqual(story.take(), ["500 done 1 refused CLAIM-ALIVE"]);
  story.feed({ kind: "proof", group: "g", proof: { kind: "unreadable", detail: "EIO" } });
  deepEqual(story.take(), []);
  story.command("2", { verb: "takeover", scope: "all", peerIsDead: true });
  deepEqual(story.take(), ["500 acquire g"]);
});

test("an external arbiter is asked for the epoch, and its answer decides", () => {
  const story = new Story({ options: { groups: oneGroup, arbiter: { kind: "external" } } });
  story.verdict("dead").up().run(500);
  equal(story.view()?.reason, "BTN-FAILOVER-ARBITER-WAIT");
  story.feed({ kind: "arbiter", group: "g", question: 1, granted: false, reason: "held" });
  equal(story.view()?.reason, "BTN-FAILOVER-ARBITER-REFUSED");
  story.feed({ kind: "arbiter", group: "g", question: 1, granted: true, reason: "" });
  deepEqual(story.take(), ["500 acquire g"]);
});

test("nothing starts while the verdict is unsure, and an unclear probe is never taken for stopped", () => {
  const story = new Story({ options: { groups: oneGroup } });
  story.verdict("unsure").up().run(5_000);
  deepEqual(story.take(), []);
});

test("a partial group of the owner is completed, one of the other host's is stopped", () => {
  const pair = new Pair({ groups: two });
  pair.host("a").truth.set("g", "partial").set("h", "partial");
  pair.boot("a").boot("b").run(1_000);
  equal(where(pair), "g on a, h on b");
  ok(said(pair, "a release h urgent"));
});

test("R22: a critical message that is not understood stops automatic takeover; others are ignored", () => {
  const pair = settled();
  const message = (kind: string) =>
    ({ kind: "message", host: "a", fields: { t: "baton", kind, body: "{}" } }) as const;
  pair.feed("b", message("later")).feed("b", message("holdings")).crash("a").run(2_000);
  equal(where(pair), "g on b");
  const other = settled();
  other.feed("b", message("fence!")).crash("a").run(3_000);
  equal(where(other), "g on none");
  equal(other.view("b")?.reason, "BTN-FAILOVER-INCOMPATIBLE");
});

test("a core goes on from its snapshot as if nothing had happened", () => {
  const story = new Story({ options: { groups: oneGroup } });
  story.verdict("dead").up().run(50).revive().run(500);
  equal(story.view()?.here, "running");
  deepEqual(story.revive().core.view(), story.core.view());
});

test("a step without news adds nothing, and every wake-up lies in the future", () => {
  const pair = settled({ groups: two });
  pair.crash("a").run(5_000);
  const before = pair.log.length;
  pair.feed("b", { kind: "tick" }).feed("b", { kind: "tick" });
  equal(pair.log.length, before);
  for (const host of pair.hosts) ok((host.core?.wakeAt() ?? Infinity) > pair.now);
});

test("the owner starts beside a live peer only on its word under the same epoch, given after the question", () => {
  const story = new Story({ options: { groups: oneGroup }, record: record("a", true, 5) });
  story.seen("baton").up();
  const tell = (epoch: number, state: string, echo: string | null) => {
    const groups = { g: { epoch, owner: "a", state, failed: null, tries: 0 } };
    const body = { digest: "d1", ask: null, echo, stopping: false, pings: 0, groups };
    const fields = { t: "baton", kind: "holdings", body: JSON.stringify(body) };
    story.feed({ kind: "message", host: "b", fields });
    return story.view()?.reason.replace("BTN-FAILOVER-", "");
  };
  const nonce = story.core.snapshot().state.nonce;
  equal(tell(4, "stopped", null), "PEER-MUTE");
  equal(tell(4, "stopped", "s0.9"), "PEER-MUTE");
  equal(tell(4, "stopped", nonce), "WAIT-PEER-ACK");
  equal(tell(5, "running", nonce), "PEER-NOT-RELEASED");
  equal(tell(5, "blocked", nonce), "PEER-BLOCKED");
  equal(tell(5, "stopped", nonce), "START-AS-OWNER");
});
