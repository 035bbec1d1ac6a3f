/** Beside a real heartbeat 3.0.6, played by a script after the captures of heartbeat.md 14. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { FailoverRecord } from "./contract.ts";
import { group } from "./pair.test-support.ts";
import { Story, type StoryOptions } from "./story.test-support.ts";

const held = (owner: string, heldHere: boolean) =>
  ({ epoch: 3, owner, heldHere, failedHere: null, unproven: false }) as const;
const record = (g: string, h: string): FailoverRecord => ({
  groups: { g: held(g, g === "a"), h: held(h, h === "a") },
});

/** Cold start of both done: g here, h at the peer. */
function joined(setup: StoryOptions = {}): Story {
  const story = new Story(setup);
  story.seen("classic").up();
  story.hear("starting").hear("resource rsc_hold=none isstable=0").run(20);
  story.hear("resource rsc_hold=local isstable=1").run(980);
  story.take();
  return story;
}

/** Alone, then a real peer joins that holds nothing. */
function joinedLater(setup: StoryOptions = {}): Story {
  const story = new Story(setup);
  story.verdict("dead").up().run(1_000).seen("classic").run(200);
  story.hear("starting").run(20).hear("resource rsc_hold=none isstable=0").run(10);
  story.take();
  return story;
}

test("14.1 cold start of both: own groups at once when the peer holds nothing of ours, no 10 s wait", () => {
  const story = new Story();
  story.seen("classic").up();
  story.hear("starting").run(20).hear("resource rsc_hold=none isstable=0").run(20);
  story.hear("resource rsc_hold=local isstable=1").run(1_000);
  deepEqual(story.take(), [
    "0 > starting",
    "0 > resource none 0",
    "20 > resource local 1",
    "20 acquire g",
    "40 > resource local 1",
    "120 > resource local 1 req_our_resources()",
  ]);
  equal(story.core.rscStatus(), "local");
});

test("alone with groups of the peer only, our own class is claimed too when the peer joins", () => {
  const story = joinedLater({ options: { groups: [group("h", "b")] } });
  equal(story.view("h")?.here, "running");
  equal(story.core.rscStatus(), "all");
});

test("14.1 a peer whose words are not conclusive is given the original's 10 s", () => {
  const story = new Story();
  story.seen("classic").up().hear("starting").run(9_900);
  deepEqual(story.take(), ["0 > starting", "0 > resource none 0"]);
  story.run(300);
  deepEqual(story.take(), [
    "10000 > resource local 1",
    "10000 acquire g",
    "10100 > resource local 1 req_our_resources()",
  ]);
});

test("nothing is said before communication is up and the peer is active", () => {
  const story = new Story();
  story.feed({
    kind: "peerSeen",
    host: "b",
    peer: "classic",
    generation: 1,
    restarted: false,
    returned: false,
  });
  story.verdict("alive").hear("starting").run(1_000).up().run(1_000);
  deepEqual(story.take(), []);
  story.feed({ kind: "peerStatus", host: "b", status: "active" });
  deepEqual(story.take(), ["2000 > starting"]);
});

test("14.2 cold start alone: everything after initdead, and without a word to a peer never heard", () => {
  const story = new Story();
  story.verdict("dead").up().run(500);
  deepEqual(story.take(), ["0 acquire g", "0 acquire h"]);
});

test("14.5 joining a holder of all: stable at once, nothing is taken", () => {
  const story = new Story();
  story.seen("classic").up().run(30).hear("resource rsc_hold=all isstable=1").run(20_000);
  deepEqual(story.take(), ["0 > starting", "30 > resource none 0", "30 > resource none 1"]);
  equal(story.view("g")?.reason, "BTN-FAILOVER-HELD-BY-PEER");
});

test("14.5 a peer that joins while we hold all, auto_failback off: nothing moves", () => {
  const story = joinedLater();
  story.hear("resource rsc_hold=none isstable=1").run(20_000);
  deepEqual(story.take(), ["1230 > resource all 1"]);
  equal(story.core.rscStatus(), "all");
});

test("14.6 auto_failback on: the holder gives the foreign groups back once the peer is stable", () => {
  const story = joinedLater({ options: { autoFailback: "on" } });
  story
    .hear("resource rsc_hold=none isstable=1")
    .run(40)
    .hear("ask_resources rsc_hold=foreign info=other");
  story
    .run(300)
    .hear("resource rsc_hold=local isstable=1")
    .hear("ask_resources rsc_hold=foreign info=done");
  story.run(20_000);
  deepEqual(story.take(), [
    "1230 > resource all 1",
    "1230 > ask_resources foreign me",
    "1270 > resource local 0 standby",
    "1270 release h",
    "1370 > ask_resources foreign done",
    "1570 > resource local 1",
    "1570 > resource local 1",
  ]);
  deepEqual(story.record?.groups["h"]?.owner, "b");
});

test("14.3 the peer stops gracefully: all is taken at its goodbye, not before and without deadtime", () => {
  const story = joined();
  story.hear("resource rsc_hold=none isstable=0 info=shutdown").run(2_000);
  deepEqual(story.take(), []);
  story.hear("shutdone st=dead").verdict("left").run(500);
  deepEqual(story.take(), ["3000 > resource all 1", "3000 acquire h"]);
  story.verdict("dead").run(500);
  deepEqual(story.take(), []);
});

test("14.3 we stop gracefully: shutdown, release, goodbye, end", () => {
  const story = joined();
  story.command("1", { verb: "stop" }).run(500);
  deepEqual(story.take(), [
    "1000 > resource none 0 shutdown",
    "1000 release g",
    "1100 > shutdone dead",
    "1100 done 1 done STOPPED",
    "1100 readyToStop",
  ]);
});

test("14.4 crash of the peer: all is held at the verdict", () => {
  const story = joined();
  story.verdict("late").run(600).verdict("dead").run(500);
  deepEqual(story.take(), ["1600 > resource all 1", "1600 acquire h"]);
  equal(story.view("h")?.unproven, true);
});

test("14.7 standby all asked here", () => {
  const story = joined();
  story.command("1", { verb: "standby", scope: "all" }).run(20);
  story.hear("ask_resources rsc_hold=all info=other").run(300);
  story
    .hear("resource rsc_hold=all isstable=1")
    .hear("ask_resources rsc_hold=all info=done")
    .run(500);
  deepEqual(story.take(), [
    "1000 > ask_resources all me",
    "1020 > resource none 0 standby",
    "1020 release g",
    "1120 > ask_resources all done",
    "1320 > resource none 1",
    "1320 > resource none 1",
    "1320 done 1 done MOVED",
  ]);
  equal(story.core.rscStatus(), "none");
});

test("14.7 standby all of the peer: we take everything when it has released", () => {
  const story = joined();
  story.hear("ask_resources rsc_hold=all info=me").run(20);
  story.hear("resource rsc_hold=none isstable=0 info=standby").run(500);
  deepEqual(story.take(), ["1000 > ask_resources all other"]);
  story
    .hear("ask_resources rsc_hold=all info=done")
    .run(200)
    .hear("resource rsc_hold=none isstable=1");
  deepEqual(story.take(), [
    "1520 acquire h",
    "1620 > ask_resources all done",
    "1620 > resource all 1",
    "1720 > resource all 1",
  ]);
});

test("14.8 takeover here: hb_takeover, then the peer's standby; failback is sent as foreign", () => {
  const story = joined();
  story.command("1", { verb: "takeover", scope: "failback", peerIsDead: false }).run(240);
  deepEqual(story.take(), ["1000 > hb_takeover foreign"]);
  story.hear("ask_resources rsc_hold=local info=me").run(20);
  story.hear("resource rsc_hold=none isstable=0 info=standby").run(20);
  story.hear("ask_resources rsc_hold=local info=done").run(200);
  deepEqual(story.take(), [
    "1240 > ask_resources local other",
    "1280 acquire h",
    "1380 > ask_resources local done",
    "1380 > resource all 1",
    "1380 done 1 done MOVED",
  ]);
});

for (const [asked, sent] of [
  ["all", "all"],
  ["foreign", "local"],
  ["local", "foreign"],
  ["failback", "local"],
] as const) {
  test(`14.8 hb_takeover ${asked} on the peer: we go standby ${sent}`, () => {
    const story = joined();
    story.hear(`hb_takeover rsc_hold=${asked}`);
    deepEqual(story.take(), [`1000 > ask_resources ${sent} me`]);
  });
}

test("a standby without an answer is cancelled after 10 s and nothing moved", () => {
  const story = joined();
  story.command("1", { verb: "standby", scope: "local" }).run(11_000);
  deepEqual(story.take(), [
    "1000 > ask_resources local me",
    "11000 done 1 negative STANDBY-NO-REPLY",
  ]);
  equal(story.core.rscStatus(), "local");
});

test("a standby is refused while a side is in flux, and a second one while the first runs", () => {
  const story = joined();
  story.hear("resource rsc_hold=local isstable=0");
  story.command("1", { verb: "standby", scope: "local" });
  story.hear("ask_resources rsc_hold=local info=me");
  deepEqual(story.take(), ["1000 done 1 refused STANDBY-REFUSED"]);
  ok(story.reasons.includes("STANDBY-IGNORED"));
  story
    .hear("resource rsc_hold=local isstable=1")
    .command("2", { verb: "standby", scope: "local" });
  story.command("3", { verb: "takeover", scope: "all", peerIsDead: false });
  deepEqual(story.take().slice(1), [
    "1000 > ask_resources local me",
    "1000 done 3 refused STANDBY-REFUSED",
  ]);
});

test("one group of a class of several can not be switched alone with a classic peer", () => {
  const groups = [group("g", "a"), group("g2", "a"), group("h", "b")];
  const story = joined({ options: { groups } });
  story.command("1", { verb: "switch", group: "g", to: "b" });
  deepEqual(story.take(), ["1000 done 1 refused CLASSIC-WHOLE-CLASS"]);
});

test("14.9 a healed split: the real peer restarts itself; ours run on, and its share is ours meanwhile", () => {
  const story = joined();
  story.verdict("dead").run(1_000).seen("classic", 1, { returned: true }).run(2_000);
  story.hear("resource rsc_hold=none isstable=0 info=shutdown").run(700).hear("shutdone st=dead");
  story.verdict("left").run(9_000).seen("classic", 2, { restarted: true }).run(500);
  story
    .hear("starting")
    .hear("resource rsc_hold=none isstable=0")
    .hear("resource rsc_hold=none isstable=1");
  story.run(20_000);
  ok(!story.lines.some((line) => line.includes("release")));
  equal(story.core.rscStatus(), "all");
});

test("a peer that noticed nothing of our deafness gets back what we seized", () => {
  const story = joined();
  story.verdict("dead").run(1_000).seen("classic", 1, { returned: true }).run(10_000);
  deepEqual(
    story.take().filter((line) => !line.includes("acquire")),
    ["1000 > resource all 1", "7000 release h urgent", "7000 > resource local 1"],
  );
  equal(story.core.rscStatus(), "local");
});

test("14.11 the peer that held all reboots within deadtime: our own groups do not stay down", () => {
  const story = new Story();
  story.seen("classic").up().run(30).hear("resource rsc_hold=all isstable=1").run(5_000);
  story.take();
  story.seen("classic", 2, { restarted: true }).run(30).hear("starting").run(30);
  story
    .hear("resource rsc_hold=none isstable=0")
    .hear("resource rsc_hold=local isstable=1")
    .run(1_000);
  deepEqual(story.take(), [
    "5060 > resource none 1",
    "5090 > resource none 1",
    "5490 > resource local 1",
    "5490 acquire g",
    "5590 > resource local 1 req_our_resources()",
  ]);
});

test("14.11 we held all and reboot within deadtime: we take back what nobody holds", () => {
  const story = new Story({ record: record("a", "a") });
  story.seen("classic").up().run(20).hear("resource rsc_hold=none isstable=1").run(1_000);
  deepEqual(story.take(), [
    "0 > starting",
    "20 > resource none 0",
    "20 > resource all 1",
    "20 acquire g",
    "20 acquire h",
    "120 > resource all 1 req_our_resources()",
  ]);
});

test("a start that fails here is given to the peer, and is not down on both", () => {
  const story = new Story();
  story.failures.set("g acquire", 1);
  story.seen("classic").up().hear("starting").hear("resource rsc_hold=none isstable=0").run(200);
  story
    .hear("resource rsc_hold=local isstable=1")
    .run(100)
    .hear("ask_resources rsc_hold=local info=other");
  story
    .run(100)
    .hear("resource rsc_hold=all isstable=1")
    .hear("ask_resources rsc_hold=local info=done");
  story.run(60_000);
  ok(story.lines.includes("200 > ask_resources local me"));
  equal(story.view("g")?.reason, "BTN-FAILOVER-HELD-BY-PEER");
  equal(story.lines.filter((line) => line.endsWith("acquire g")).length, 1);
});

test("7.2 a frozen peer that resumes and seizes all is asked to give back what runs here", () => {
  const story = joined();
  story.verdict("dead").run(1_000).seen("classic", 1, { returned: true });
  story.hear("resource rsc_hold=all isstable=1").run(5_200);
  story.take();
  story.run(2_000);
  const told = story.take();
  ok(
    told.some((line) => line.endsWith("> hb_takeover local")),
    told.join("\n"),
  );
  story.hear("ask_resources rsc_hold=foreign info=me").run(10);
  story.hear("resource rsc_hold=local isstable=0 info=standby").run(10);
  story.hear("ask_resources rsc_hold=foreign info=done").run(500);
  equal(story.view("g")?.here, "running");
  equal(story.take().join(" ").includes("release g"), false);
  story.hear("resource rsc_hold=local isstable=1").run(30_000);
  equal(story.view("g")?.here, "running");
});

test("a peer that does not give back what it seized gets it: not two holders for ever", () => {
  const story = joined();
  story.verdict("dead").run(1_000).seen("classic", 1, { returned: true });
  story.hear("resource rsc_hold=all isstable=1").run(30_000);
  equal(story.view("g")?.here, "stopped");
  ok(story.reasons.includes("CONTEST-YIELDED"));
});

test("a stop that fails keeps the standby from being reported as done, until it succeeds", () => {
  const story = joined();
  story.failures.set("g release", 1);
  story.command("1", { verb: "standby", scope: "all" }).run(20);
  story.hear("ask_resources rsc_hold=all info=other").run(2_000);
  deepEqual(story.take().slice(2), ["1020 release g", "1120 done 1 failed STOP-BLOCKED"]);
  story.run(10_000);
  deepEqual(story.take(), ["6120 release g", "6220 > ask_resources all done"]);
});

test("a holder that was frozen releases at once and rejoins as a new generation; a backup takes nothing", () => {
  const story = joined();
  story.verdict("unsure").feed({ kind: "stalled", gapMs: 5_000 }).run(300);
  deepEqual(story.take(), ["1000 rejoin", "1000 release g urgent"]);
  story.verdict("alive").run(50).hear("resource rsc_hold=all isstable=1").run(20_000);
  deepEqual(story.take(), ["1300 > starting", "1350 > resource none 0", "1350 > resource none 1"]);
});

test("a holder whose beat process stays away releases before the real peer takes over, and rejoins once", () => {
  const story = joined();
  story.feed({ kind: "beats", sent: false }).verdict("unsure").run(750);
  deepEqual(story.take(), []);
  story.run(2_000);
  deepEqual(story.take(), ["1800 rejoin", "1800 release g urgent"]);
  story.feed({ kind: "beats", sent: true }).verdict("alive").run(50);
  story.hear("resource rsc_hold=all isstable=1").run(20_000);
  equal(story.view("g")?.here, "stopped");
});

test("a frozen holder that nobody replaced takes its groups back after the rejoin", () => {
  const story = joined();
  story.verdict("unsure").feed({ kind: "stalled", gapMs: 5_000 }).run(300).verdict("alive").run(50);
  story.hear("resource rsc_hold=local isstable=1").run(1_000);
  equal(story.core.rscStatus(), "local");
  equal(story.view("g")?.here, "running");
});

test("an agent restart says starting again and stops nothing", () => {
  const story = new Story({ running: ["g"], record: record("a", "b") });
  story.seen("classic").up().run(300).hear("resource rsc_hold=local isstable=1").run(2_000);
  deepEqual(story.take(), ["0 > starting", "300 > resource local 0", "300 > resource local 1"]);
});

test("messages of a peer that is taken for dead are ignored, except that it says goodbye", () => {
  const story = joined();
  story.verdict("dead").run(500).take();
  story
    .hear("starting")
    .hear("ask_resources rsc_hold=all info=me")
    .hear("hb_takeover rsc_hold=all");
  story.hear("resource rsc_hold=all isstable=1").run(500);
  deepEqual(story.take(), []);
});

test("words that are not of the protocol change nothing", () => {
  const story = joined();
  for (const text of [
    "resource rsc_hold=everything isstable=1",
    "ask_resources rsc_hold=x info=me",
    "ask_resources rsc_hold=all info=later",
    "ask_resources rsc_hold=all info=done",
    "ip-request-resp dest=b ipaddr=10.0.0.1 ok=OK",
    "stonith node=a result=OK",
    "num_ping_nodes num_ping=99 from_id=ipfail to_id=ipfail",
  ]) {
    story.hear(text);
  }
  story.run(5_000);
  deepEqual(story.take(), []);
  equal(story.core.rscStatus(), "local");
});

// 9.3

test("ipfail speaks with the original's: join, counts, balance, and giving up when told", () => {
  const story = new Story({ options: { pings: ["p"], ipfail: true } });
  story.seen("classic").up().feed({ kind: "ping", ping: "p", up: true });
  story.hear("num_ping_nodes num_ping=1 from_id=ipfail to_id=ipfail");
  story.hear("num_ping_nodes num_ping=0 from_id=ipfail to_id=ipfail");
  deepEqual(
    story.take().filter((line) => line.includes("ipfail")),
    [
      "0 > hbapi-clstat join ipfail ipfail signon 0",
      "0 > num_ping_nodes 1 b ipfail ipfail 0",
      "0 > abort_giveup b ipfail ipfail 0",
      "0 > you_are_dead b ipfail ipfail 0",
    ],
  );
});

test("ipfail: you_are_dead gives all up after 2 keepalive; abort_giveup cancels", () => {
  const setup = { options: { pings: ["p"], ipfail: true } };
  const story = joined(setup);
  story.hear("you_are_dead from_id=ipfail to_id=ipfail").run(300);
  story.hear("abort_giveup from_id=ipfail to_id=ipfail").run(2_000);
  deepEqual(story.take(), []);
  story.hear("you_are_dead from_id=ipfail to_id=ipfail").run(500);
  deepEqual(story.take(), ["3700 > ask_resources all me"]);
});

// 8.5

const legacy = {
  options: {
    autoFailback: "legacy",
    groups: [
      { ...group("g", "a"), classicKey: "10.0.0.1" },
      { ...group("h", "b"), classicKey: "10.0.0.2" },
    ],
  },
} as const;

test("8.5 legacy: own groups are asked for by key, foreign ones are given when asked", () => {
  const story = new Story(legacy);
  story
    .seen("classic")
    .up()
    .run(1_500)
    .hear("ip-request-resp dest=a ipaddr=10.0.0.1 weown=yes ok=OK");
  story.run(500);
  deepEqual(story.take(), [
    "0 > ip-request 10.0.0.1",
    "1000 > ip-request 10.0.0.1",
    "1500 acquire g",
  ]);
  story.verdict("dead").run(500);
  deepEqual(story.take(), ["2000 acquire h"]);
  story
    .seen("classic", 2, { restarted: true })
    .run(100)
    .hear("ip-request ipaddr=10.0.0.2")
    .run(500);
  deepEqual(story.take(), ["2600 release h urgent", "2700 > ip-request-resp b 10.0.0.2 yes OK"]);
  story.hear("ip-request ipaddr=10.0.0.2");
  deepEqual(story.take(), ["3100 > ip-request-resp b 10.0.0.2 no OK"]);
});

test("8.5 legacy: a peer that takes its group without asking gets it, so that not both hold", () => {
  const story = new Story(legacy);
  story.verdict("dead").up().run(500);
  story.seen("classic", 2, { restarted: true }).run(100).take();
  story.hear("ip-request-resp dest=b ipaddr=10.0.0.2 weown=yes ok=OK").run(500);
  deepEqual(story.take(), ["600 release h urgent"]);
  equal(story.view("g")?.here, "running");
});

test("8.5 legacy: a stall before the peer was known stops nothing for ever", () => {
  const story = new Story(legacy);
  story.feed({ kind: "stalled", gapMs: 4_900 });
  story.seen("classic").up().run(100);
  story.hear("ip-request-resp dest=a ipaddr=10.0.0.1 weown=yes ok=OK").run(5_000);
  equal(story.view("g")?.here, "running");
});

test("8.5 legacy: standby and takeover are refused", () => {
  const story = new Story(legacy);
  story.seen("classic").up().run(20_000).take();
  story.command("1", { verb: "standby", scope: "all" });
  deepEqual(story.take(), ["20000 done 1 refused LEGACY"]);
});
