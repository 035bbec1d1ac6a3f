import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import type { BeatPeerState, BeatState, MembershipEffect } from "./contract.ts";
import { Membership, type MembershipEvent, type MembershipOptions } from "./membership.ts";

const options: MembershipOptions = {
  host: "dbm157",
  peers: ["dbm158"],
  links: ["eth0", "eth1"],
  pings: [],
  keepaliveMs: 1_000,
  warntimeMs: 5_000,
  deadtimeMs: 15_000,
  initdeadMs: 30_000,
  deadpingMs: 15_000,
};

/** The level state, as sent on connecting. */
function beatState(changes: Partial<BeatState> = {}): BeatState {
  return {
    revision: 1,
    host: "dbm157",
    generation: 70,
    uuid: "0".repeat(32),
    startedAt: instant(0),
    status: "up",
    announcedDeadtimeMs: 15_000,
    sequence: 3,
    peers: [],
    pings: [],
    counters: {
      received: 0,
      authFailures: 0,
      malformed: 0,
      replays: 0,
      strangers: 0,
      rateLimited: 0,
      sendErrors: 0,
    },
    silenced: false,
    ...changes,
  };
}

interface StatusWords {
  readonly generation?: number;
  readonly status?: string;
  readonly link?: string;
  readonly dt?: number | null;
  readonly baton?: boolean;
  readonly heard?: Readonly<Record<string, number>> | null;
  readonly own?: number;
}

function status(ms: number, words: StatusWords = {}): MembershipEvent {
  return {
    kind: "status",
    at: instant(ms),
    host: "dbm158",
    link: words.link ?? "eth0",
    peer: (words.baton ?? true) ? "baton" : "classic",
    generation: words.generation ?? 5,
    status: words.status ?? "up",
    announcedDeadtimeMs: words.dt === undefined ? 15_000 : words.dt,
    heard: words.heard ?? null,
    ownSequence: words.own ?? 3,
    fields: {},
  };
}

function message(ms: number, type: string, generation = 5): MembershipEvent {
  const at = instant(ms);
  return { kind: "message", at, host: "dbm158", link: "eth0", generation, fields: { t: type } };
}

/** One line per effect; notes by their reason. */
function line(effect: MembershipEffect): string {
  switch (effect.kind) {
    case "verdict":
      return `${effect.verdict} ${effect.host} ${effect.reason.replace("BTN-MEMBER-", "")}`;
    case "peerSeen": {
      const { generation, restarted, returned } = effect;
      return `seen ${generation}${restarted ? " restarted" : ""}${returned ? " returned" : ""}`;
    }
    case "peerStatus":
      return `status ${effect.status}`;
    case "link":
      return `link ${effect.link} ${effect.up ? "up" : "down"}`;
    case "ping":
      return `ping ${effect.ping} ${effect.up ? "up" : "down"}`;
    case "heardByPeer":
      return `heardByPeer ${effect.heard}`;
    case "beat":
      return effect.request.kind === "send"
        ? `send ${effect.request.fields["t"]}`
        : `beat ${effect.request.kind}`;
    case "stalled":
      return `stalled ${effect.gapMs}`;
    case "note":
      return `note ${effect.reason.replace("BTN-MEMBER-", "")}`;
    default:
      return effect.kind;
  }
}

const awake = (ms: number): MembershipEvent => ({
  kind: "awake",
  at: instant(ms),
  asked: instant(ms),
});
const isAwakeAsked = (effect: MembershipEffect): boolean =>
  effect.kind === "beat" && effect.request.kind === "alive";

/** A core with a log, a clock that ticks exactly when asked, and a beat process that answers. */
class Story {
  beatRuns = true;
  readonly log: string[] = [];
  readonly core: Membership;
  #now = 0;

  constructor(changes: Partial<MembershipOptions> = {}, core?: Membership) {
    this.core = core ?? new Membership({ ...options, ...changes }, instant(0));
  }

  /** Lets time pass with all ticks that were asked for, then takes the event. */
  at(ms: number, event: MembershipEvent): this {
    this.until(ms);
    return this.late(ms, event);
  }

  /** Takes the event without the ticks before it: this process was not run. */
  late(ms: number, event: MembershipEvent): this {
    this.#now = ms;
    const effects = this.core.step(instant(ms), event);
    for (const effect of effects) {
      if (isAwakeAsked(effect)) continue;
      this.log.push(`${ms} ${line(effect)}`);
    }
    if (this.beatRuns && effects.some(isAwakeAsked)) this.late(ms, awake(ms));
    return this;
  }

  until(ms: number): this {
    for (
      let wake = this.core.wakeAt();
      wake !== undefined && wake <= ms;
      wake = this.core.wakeAt()
    ) {
      const ms = Math.max(wake, this.#now);
      if (this.beatRuns) this.late(ms, awake(ms));
      this.late(ms, { kind: "tick" });
    }
    return this;
  }

  /** What was logged since the last call. */
  told(): readonly string[] {
    return this.log.splice(0);
  }
}

/** Connected, peer up at 1000 ms, communication complete; the log is empty. */
function joined(changes: Partial<MembershipOptions> = {}): Story {
  const story = new Story(changes);
  story.at(0, { kind: "beatState", state: beatState() }).at(1_000, status(1_000));
  story.told();
  return story;
}

test("a first status brings peer, link and communication up, in an order that can be acted on", () => {
  const story = new Story().at(0, { kind: "beatState", state: beatState() });
  deepEqual(story.at(1_000, status(1_000)).told(), [
    "1000 link eth0 up",
    "1000 seen 5",
    "1000 alive dbm158 HEARD",
    "1000 status up",
    "1000 beat announce",
    "1000 communicationUp",
    "1000 note COMMUNICATION-UP",
  ]);
});

test("a peer that falls silent is late once, then dead once at exactly its deadtime, then returned", () => {
  const story = joined().until(60_000);
  deepEqual(story.told(), [
    "6000 late dbm158 LATE",
    "16000 dead dbm158 DEAD-SILENT",
    "16000 link eth0 down",
  ]);
  deepEqual(story.at(61_000, status(61_000)).told(), [
    "61000 link eth0 up",
    "61000 seen 5 returned",
    "61000 alive dbm158 HEARD",
  ]);
});

test("a dead peer with a newer generation restarted; it did not return from a partition", () => {
  const story = joined().until(20_000);
  story.told();
  deepEqual(story.at(21_000, status(21_000, { generation: 6, status: "init" })).told(), [
    "21000 link eth0 up",
    "21000 seen 6 restarted",
    "21000 alive dbm158 HEARD",
    "21000 status init",
  ]);
});

test("a restart within deadtime is told without any death", () => {
  const told = joined()
    .at(3_000, status(3_000, { generation: 6 }))
    .told();
  deepEqual(told, ["3000 seen 6 restarted"]);
});

test("a peer never heard is given initdead, not deadtime; then communication is up without it", () => {
  const story = new Story().at(0, { kind: "beatState", state: beatState() }).until(29_999);
  deepEqual(story.told(), []);
  deepEqual(story.until(30_000).told(), [
    "30000 dead dbm158 DEAD-UNHEARD",
    "30000 beat announce",
    "30000 communicationUp",
    "30000 note COMMUNICATION-UP",
  ]);
});

test("nobody is judged before there is a beat process", () => {
  const story = new Story().late(100_000, { kind: "tick" });
  equal(story.core.wakeAt(), undefined);
  deepEqual(story.at(100_000, { kind: "beatState", state: beatState() }).until(129_999).told(), []);
  equal(story.until(130_000).told()[0], "130000 dead dbm158 DEAD-UNHEARD");
});

test("the deadtime that the peer announced decides, not ours", () => {
  const shorter = joined().at(2_000, status(2_000, { dt: 3_000 }));
  deepEqual(shorter.until(9_000).told(), ["5000 dead dbm158 DEAD-SILENT", "5000 link eth0 down"]);
  const longer = joined().at(2_000, status(2_000, { dt: 60_000 }));
  deepEqual(longer.until(61_999).told(), ["7000 late dbm158 LATE"]);
});

test("at its deadline a peer is looked at; the answer of the beat process decides", () => {
  const story = joined().until(15_900);
  story.told();
  story.beatRuns = false;
  story.late(16_010, { kind: "tick" }).late(16_010, status(15_990)).late(16_011, awake(16_011));
  deepEqual(story.told(), ["16010 alive dbm158 HEARD"]);
  story.until(30_990).late(30_990, { kind: "tick" }).late(30_991, awake(30_991));
  deepEqual(story.told(), [
    "20990 late dbm158 LATE",
    "30991 dead dbm158 DEAD-SILENT",
    "30991 link eth0 down",
  ]);
});

test("while the beat process is stopped nobody dies, whatever it does not report", () => {
  const story = joined().until(15_900);
  story.told();
  story.beatRuns = false;
  deepEqual(story.until(60_000).told(), []);
  story.late(60_000, { kind: "stalled", at: instant(60_000), gapMs: 44_000 });
  story.late(60_000, awake(60_000)).late(60_001, status(60_001));
  deepEqual(story.told(), [
    "60000 stalled 44000",
    "60000 unsure dbm158 UNSURE-STALLED",
    "60001 alive dbm158 HEARD",
  ]);
});

test("a heartbeat later than deadtime kills nobody", () => {
  const story = joined().until(15_900);
  story.told();
  deepEqual(story.late(16_500, status(16_400)).told(), [
    "16500 note LATE-HEARTBEAT",
    "16500 alive dbm158 HEARD",
  ]);
});

test("a goodbye leaves at once, whatever statuses follow; a newer generation comes back", () => {
  const story = joined().at(2_000, message(2_000, "shutdone"));
  story.at(3_000, status(3_000)).until(60_000);
  deepEqual(story.told(), ["2000 left dbm158 LEFT", "18000 link eth0 down"]);
  deepEqual(story.at(61_000, status(61_000, { generation: 6 })).told(), [
    "61000 link eth0 up",
    "61000 seen 6 restarted",
    "61000 alive dbm158 HEARD",
  ]);
});

test("a goodbye of another generation is ignored", () => {
  deepEqual(
    joined()
      .at(2_000, message(2_000, "shutdone", 4))
      .told(),
    [],
  );
});

test("after a stall of ours nobody is dead before a whole deadtime of listening", () => {
  const story = joined().until(5_000);
  story.told();
  story.late(100_000, { kind: "tick" });
  deepEqual(story.told(), ["100000 stalled 95000", "100000 unsure dbm158 UNSURE-STALLED"]);
  deepEqual(story.until(114_999).told(), []);
  deepEqual(story.until(115_000).told(), [
    "115000 dead dbm158 DEAD-AFTER-STALL",
    "115000 link eth0 down",
  ]);
});

test("after a stall of ours a peer that goes on is alive again, and links never went down", () => {
  const story = joined().until(5_000);
  story.told();
  story.late(100_000, status(99_999)).at(101_000, status(101_000));
  deepEqual(story.told(), [
    "100000 stalled 95000",
    "100000 unsure dbm158 UNSURE-STALLED",
    "100000 alive dbm158 HEARD",
  ]);
});

test("the same stall, told again by the beat process, is one stall", () => {
  const story = joined().until(5_000);
  story.told();
  story.late(100_000, { kind: "tick" }).late(100_001, status(100_001));
  story.late(100_002, { kind: "stalled", at: instant(100_001), gapMs: 95_001 });
  deepEqual(story.told(), [
    "100000 stalled 95000",
    "100000 unsure dbm158 UNSURE-STALLED",
    "100001 alive dbm158 HEARD",
  ]);
});

test("a stall of the beat process alone counts, a hiccup does not", () => {
  const story = joined().at(2_000, { kind: "stalled", at: instant(2_000), gapMs: 1_500 });
  deepEqual(story.told(), []);
  story.at(9_000, { kind: "stalled", at: instant(9_000), gapMs: 6_000 });
  deepEqual(story.told(), [
    "6000 late dbm158 LATE",
    "9000 stalled 6000",
    "9000 unsure dbm158 UNSURE-STALLED",
  ]);
});

test("a dead peer stays dead through a stall", () => {
  const story = joined().until(20_000);
  story.told();
  deepEqual(story.late(90_000, { kind: "tick" }).told(), ["90000 stalled 70000"]);
});

test("without its beat process the agent is unsure, however long; then it listens anew", () => {
  const story = joined().at(3_000, { kind: "beatLost" }).until(90_000);
  deepEqual(story.told(), ["3000 unsure dbm158 UNSURE-NO-BEAT"]);
  const state = beatState({ generation: 71, status: "up", startedAt: instant(89_000) });
  story.at(90_000, { kind: "beatState", state });
  deepEqual(story.told(), ["90000 beat announce"]);
  deepEqual(story.until(105_000).told(), [
    "105000 dead dbm158 DEAD-AFTER-STALL",
    "105000 link eth0 down",
  ]);
});

test("an announcement that was lost on the way is repeated until the level shows it", () => {
  const story = joined();
  story.told();
  const same = (status: "up" | "active"): MembershipEvent => ({
    kind: "beatState",
    state: beatState({ status }),
  });
  deepEqual(story.at(2_000, same("up")).told(), ["2000 beat announce"]);
  deepEqual(story.at(2_100, same("active")).told(), []);
});

function levelOfPeer(lastStatusAt: number): BeatPeerState {
  return {
    host: "dbm158",
    kind: "baton",
    softwareVersion: "0.1.0",
    generation: 5,
    status: "active",
    announcedDeadtimeMs: 15_000,
    lastStatusAt: instant(lastStatusAt),
    links: [
      { name: "eth0", lastHeardAt: instant(lastStatusAt), peerHeardSequence: null },
      { name: "eth1", lastHeardAt: null, peerHeardSequence: null },
    ],
  };
}

test("a restarted agent finds its peer alive in the state of the beat process", () => {
  const core = new Membership(options, instant(500_000));
  const state = beatState({ status: "active", peers: [levelOfPeer(499_000)] });
  const told = new Story({}, core).late(500_010, { kind: "beatState", state }).told();
  deepEqual(told, [
    "500010 link eth0 up",
    "500010 seen 5",
    "500010 alive dbm158 KEPT",
    "500010 status active",
    "500010 beat announce",
    "500010 communicationUp",
    "500010 note COMMUNICATION-UP",
  ]);
});

test("what the beat process heard long ago does not make a peer alive", () => {
  const core = new Membership(options, instant(500_000));
  const state = beatState({ status: "active", peers: [levelOfPeer(400_000)] });
  deepEqual(new Story({}, core).late(500_010, { kind: "beatState", state }).told(), []);
});

test("ping nodes: up at the first reply, down after deadping, and part of communication", () => {
  const pings = ["192.168.0.1"];
  const story = new Story({ pings }).at(0, { kind: "beatState", state: beatState() });
  story.at(1_000, status(1_000));
  equal(story.told().includes("1000 communicationUp"), false);
  const reply = { kind: "pingReply", at: instant(2_000), ping: "192.168.0.1" } as const;
  deepEqual(story.at(2_000, reply).told(), [
    "2000 ping 192.168.0.1 up",
    "2000 beat announce",
    "2000 communicationUp",
    "2000 note COMMUNICATION-UP",
  ]);
  story.until(17_000);
  equal(story.told().at(-1), "17000 ping 192.168.0.1 down");
});

test("a ping node that never answers is down at initdead", () => {
  const story = new Story({ pings: ["x"] }).at(0, { kind: "beatState", state: beatState() });
  equal(story.until(29_999).told().includes("30000 ping x down"), false);
  equal(story.until(30_000).told().includes("30000 ping x down"), true);
});

test("a peer that runs heartbeat is asked for its hosts before we go on to active", () => {
  const story = new Story().at(0, { kind: "beatState", state: beatState() });
  story.at(1_000, status(1_000, { baton: false }));
  deepEqual(story.told().slice(-2), ["1000 note REQNODES", "1000 send reqnodes"]);
  const fields = { t: "repnodes", nodelist: "dbm157 dbm158 ", delnodelist: " " };
  story.at(1_100, { ...message(1_100, "repnodes"), fields } as MembershipEvent);
  deepEqual(story.told(), [
    "1100 beat announce",
    "1100 communicationUp",
    "1100 note COMMUNICATION-UP",
  ]);
});

test("a peer that never answers reqnodes holds nobody up for more than five seconds", () => {
  const story = new Story().at(0, { kind: "beatState", state: beatState() });
  for (let ms = 1_000; ms <= 7_000; ms += 500) story.at(ms, status(ms, { baton: false }));
  const told = story.told();
  equal(told.filter((entry) => entry.endsWith("send reqnodes")).length, 5);
  equal(told.includes("6000 communicationUp"), true);
});

test("reqnodes is answered with all names, ours and theirs, in any state", () => {
  const story = joined();
  const effects = story.core.step(instant(1_100), message(1_100, "reqnodes"));
  const fields = { dest: "dbm158", t: "repnodes", nodelist: "dbm157 dbm158 ", delnodelist: " " };
  deepEqual(effects, [{ kind: "beat", request: { kind: "send", fields } }]);
});

test("a peer that hears nothing of us says so once warntime has passed, and again when it does", () => {
  const story = joined();
  const heard = { eth0: 3 };
  for (let ms = 2_000; ms <= 10_000; ms += 1_000) {
    story.at(ms, status(ms, { heard, own: 3 + ms / 1_000 }));
  }
  // 3 is news at 2000; it stands still from 3000 on; longer than 5000 ms at 9000.
  deepEqual(story.told(), ["9000 heardByPeer false"]);
  story.at(11_000, status(11_000, { heard: { eth0: 3, eth1: 14 }, own: 14 }));
  deepEqual(story.told(), ["11000 heardByPeer true"]);
});

test("numbers above ours are of an older generation of this host: not heard", () => {
  const story = joined();
  for (let ms = 2_000; ms <= 8_000; ms += 1_000) {
    story.at(ms, status(ms, { heard: { eth0: 9_000 }, own: ms / 1_000 }));
  }
  deepEqual(story.told(), ["8000 heardByPeer false"]);
});

test("one link cut: that link goes down, nothing else happens", () => {
  const story = joined();
  for (let ms = 2_000; ms <= 30_000; ms += 1_000) {
    story.at(ms, status(ms, { link: "eth0" }));
    if (ms <= 5_000) {
      story.at(ms, { kind: "linkHeard", at: instant(ms), host: "dbm158", link: "eth1" });
    }
  }
  deepEqual(story.told(), ["2000 link eth1 up", "20000 link eth1 down"]);
});

test("a new generation of our own beats is announced active again", () => {
  const story = joined().at(2_000, {
    kind: "beatState",
    state: beatState({ generation: 71, status: "init" }),
  });
  deepEqual(story.told(), ["2000 beat announce"]);
});

test("strangers, unknown links and statuses that call their sender dead change nothing", () => {
  const story = joined();
  story.at(2_000, { ...status(2_000), host: "__proto__" } as MembershipEvent);
  story.at(2_000, { ...status(2_000), host: "dbm999" } as MembershipEvent);
  story.at(2_000, { kind: "linkHeard", at: instant(2_000), host: "dbm158", link: "toString" });
  story.at(2_000, { kind: "pingReply", at: instant(2_000), ping: "constructor" });
  story.at(2_000, status(2_000, { status: "dead" }));
  deepEqual(story.told(), ["2000 note STATUS-DEAD"]);
});

test("a copy restored from a snapshot goes on in the same way", () => {
  const story = joined().until(5_500);
  const snapshot = JSON.parse(JSON.stringify(story.core.snapshot()));
  const copy = new Story({}, Membership.restore(options, snapshot));
  story.told();
  deepEqual(copy.until(40_000).told(), story.until(40_000).told());
});
