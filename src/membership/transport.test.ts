import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import type { BeatEvent, BeatRequest, HeartbeatFields } from "./contract.ts";
import { type Control, withControlFields } from "./control-fields.ts";
import { nodeHmac } from "./hmac.shell.ts";
import {
  Transport,
  type TransportEffect,
  type TransportInput,
  type TransportOptions,
  type TransportRecord,
} from "./transport.ts";
import {
  type Field,
  type Keyring,
  openDatagram,
  sealClassic,
  sealNetstring,
  stringField,
  type WireKey,
} from "./wire/index.ts";

const ownUuid = "0123456789abcdef0123456789abcdef";
const peerUuid = "fedcba9876543210fedcba9876543210";
const sha1: WireKey = { index: 1, method: "sha1", secret: "HA_JACKBILLOW" };
const sha1Next: WireKey = { index: 2, method: "sha1", secret: "NEXT" };
const sha256: WireKey = { index: 3, method: "sha256", secret: "0".repeat(32) };
const keyring: Keyring = { mode: "classic", clusterId: "c1", keys: [sha1], sendIndex: 1 };

const options: TransportOptions = {
  host: "dbm157",
  uuid: ownUuid,
  peers: ["dbm158"],
  links: ["eth0", "eth1"],
  pings: [],
  keepaliveMs: 1_000,
  deadtimeMs: 15_000,
  agentGraceMs: 3_000,
  hopfudge: 1,
  messageFormat: "classic",
  softwareVersion: "0.1.0",
  seed: 7,
  keyring,
  hmac: nodeHmac,
};
const ambient = { wallMs: 1_000_000, loadAverage: "0.00 0.00 0.00 1/1 1" };
const stored: TransportRecord = { generation: 69, peers: {} };

interface FromPeer {
  readonly sequence?: number | undefined;
  readonly generation?: number;
  readonly host?: string;
  readonly uuid?: string;
  readonly key?: WireKey;
  readonly clusterId?: string;
}

/** A datagram as the peer would send it. */
function fromPeer(own: HeartbeatFields, from: FromPeer = {}): Uint8Array {
  const control: Control = {
    host: from.host ?? "dbm158",
    uuid: from.uuid ?? peerUuid,
    destinationUuid: undefined,
    sequence: from.sequence,
    generation: from.generation ?? 5,
    wallMs: 1_000_000,
    loadAverage: "n/a",
    ttl: 3,
  };
  const fields = withControlFields(own, control);
  const signing = { key: from.key ?? sha1, inner: true, clusterId: from.clusterId ?? "c1" };
  return sealNetstring({ fields }, signing, nodeHmac);
}

const upStatus = { t: "status", st: "up", dt: "3a98", protocol: "1" };

function eventLine(event: BeatEvent): string | undefined {
  switch (event.kind) {
    case "status":
      return `status ${event.fields["seq"]} ${event.status} on ${event.link}`;
    case "message":
      return `message ${event.fields["t"]} on ${event.link}`;
    case "linkHeard":
      return `linkHeard ${event.link}`;
    case "refused":
      return `refused ${event.reason.replace("BTN-", "")}`;
    case "stalled":
      return `stalled ${event.gapMs}`;
    case "awake":
      return undefined; // the answer to every sign of life
    case "linkError":
      return `linkError ${event.link} ${event.detail}`;
    default:
      return event.kind;
  }
}

/** A sent message: its fields beside the constant ones. */
function sentLine(bytes: Uint8Array, ring: Keyring): string {
  const opened = openDatagram(bytes, ring, nodeHmac);
  if (!opened.ok) return `send ${opened.error.reason}`;
  const shown = ["t", "st", "dt", "dest", "ackseq", "firstseq", "lastseq", "info", "seq", "hg"];
  const words = shown.flatMap((name) => {
    const value = stringField(opened.value, name);
    return value === undefined ? [] : [name === "t" ? value : `${name}=${value}`];
  });
  return `send ${words.join(" ")}`;
}

class Story {
  readonly core: Transport;
  readonly log: string[] = [];
  effects: readonly TransportEffect[] = [];
  ring: Keyring;

  constructor(changes: Partial<TransportOptions> = {}, record = stored) {
    this.core = new Transport({ ...options, ...changes }, record, instant(0));
    this.ring = changes.keyring ?? keyring;
  }

  at(ms: number, input: TransportInput): this {
    this.effects = this.core.step(instant(ms), { ...input, ambient });
    for (const effect of this.effects) {
      const line = this.#line(effect);
      if (line !== undefined) this.log.push(`${ms} ${line}`);
    }
    return this;
  }

  until(ms: number): this {
    for (
      let wake = this.core.wakeAt();
      wake !== undefined && wake <= ms;
      wake = this.core.wakeAt()
    ) {
      this.at(wake, { kind: "tick" });
    }
    return this;
  }

  ask(ms: number, request: BeatRequest): this {
    return this.at(ms, { kind: "request", request });
  }

  hear(ms: number, bytes: Uint8Array, link = "eth0"): this {
    return this.at(ms, { kind: "datagram", at: instant(ms), link, bytes });
  }

  /** What was logged since the last call. */
  told(): readonly string[] {
    return this.log.splice(0);
  }

  #line(effect: TransportEffect): string | undefined {
    switch (effect.kind) {
      case "send":
        return sentLine(effect.bytes, this.ring);
      case "ping":
        return `ping ${effect.ping} ${effect.sequence}`;
      case "persist": {
        const { generation, peers } = effect.record;
        const known = Object.values(peers).map(
          (peer) => ` peer ${peer.generation}/${peer.sequenceFloor}`,
        );
        return `persist ${generation}${known.join("")}${effect.confirm ? " confirm" : ""}`;
      }
      case "report":
        return eventLine(effect.event);
      case "silenced":
        return `silenced ${effect.silenced}`;
      case "reportState":
        return undefined;
      default:
        return effect.kind;
    }
  }
}

/** Beating since 0 with generation 70; the log is empty. */
function beating(changes: Partial<TransportOptions> = {}): Story {
  const story = new Story({ agentGraceMs: 1_000_000, ...changes });
  story.at(0, { kind: "start" }).at(0, { kind: "persisted", generation: 70 });
  story.ask(0, { kind: "alive" });
  story.told();
  return story;
}

/** The same, and the peer was heard with status 1 of generation 5. */
function joined(changes: Partial<TransportOptions> = {}): Story {
  const story = beating(changes).hear(0, fromPeer(upStatus, { sequence: 1 }));
  story.told();
  return story;
}

/** Without what we send by ourselves. */
const notSent = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => !line.includes(" send "));

test("nothing is sent before the generation is durable and the agent has spoken", () => {
  const story = new Story().at(0, { kind: "start" });
  deepEqual(story.told(), ["0 persist 70 confirm"]);
  story.ask(10, { kind: "alive" }).ask(10, { kind: "send", fields: { t: "starting" } });
  story.at(20, { kind: "persisted", generation: 69 });
  deepEqual(story.told(), []);
  deepEqual(story.at(30, { kind: "persisted", generation: 70 }).told(), [
    "30 silenced false",
    "30 send status st=init dt=4268 seq=1 hg=46",
    "30 send status st=up dt=4268 seq=2 hg=46",
    "30 send status st=up dt=4268 seq=3 hg=46",
    "30 send starting seq=4 hg=46",
  ]);
});

test("without an agent a durable generation stays quiet, for ever", () => {
  const story = new Story().at(0, { kind: "start" }).at(1, { kind: "persisted", generation: 70 });
  story.told();
  equal(story.core.wakeAt(), undefined);
  equal(story.core.state().silenced, true);
});

test("the first generation of a host is the time, in seconds", () => {
  const story = new Story({}, { generation: null, peers: {} }).at(0, { kind: "start" });
  deepEqual(story.told(), ["0 persist 1000 confirm"]);
});

test("a status each keepalive; the longer deadtime of the start ends when active", () => {
  const story = beating()
    .until(2_000)
    .ask(2_500, { kind: "announce", status: "active", deadtimeMs: 15_000 });
  deepEqual(story.until(3_000).told(), [
    "1000 send status st=up dt=4268 seq=4 hg=46",
    "2000 send status st=up dt=4268 seq=5 hg=46",
    "2500 send status st=active dt=3a98 seq=6 hg=46",
    "3000 send status st=active dt=3a98 seq=7 hg=46",
  ]);
});

test("fields stand in the order of the original, with ours after its own", () => {
  const story = beating({ pings: [] }).until(1_000);
  const sent = story.effects.find((effect) => effect.kind === "send");
  ok(sent?.kind === "send");
  const opened = openDatagram(sent.bytes, keyring, nodeHmac);
  ok(opened.ok);
  deepEqual(
    opened.value.fields.map((field) => field.name),
    [
      "t",
      "st",
      "dt",
      "protocol",
      "btn",
      "btnheard",
      "src",
      "srcuuid",
      "seq",
      "hg",
      "ts",
      "ld",
      "ttl",
      "auth",
    ],
  );
});

test("with no sign of life for agentGrace beats stop; with the next they go on", () => {
  const story = beating({ agentGraceMs: 3_000 }).until(10_000);
  deepEqual(story.told().slice(-2), [
    "2000 send status st=up dt=4268 seq=5 hg=46",
    "3000 silenced true",
  ]);
  deepEqual(story.ask(20_000, { kind: "alive" }).told(), [
    "20000 silenced false",
    "20000 send status st=up dt=3a98 seq=6 hg=46",
  ]);
});

test("after a freeze of the host the grace is over before any waiting sign of life is read", () => {
  const story = beating({ agentGraceMs: 3_000 });
  deepEqual(story.ask(60_000, { kind: "alive" }).told().slice(0, 3), [
    "60000 stalled 60000",
    "60000 silenced true",
    "60000 silenced false",
  ]);
});

test("rejoin is a new generation, durable first, and sequence from 1", () => {
  const story = beating().ask(500, { kind: "rejoin" }).until(5_000);
  deepEqual(story.told(), ["500 persist 71 confirm"]);
  deepEqual(story.at(5_000, { kind: "persisted", generation: 71 }).told(), [
    "5000 send status st=init dt=4268 seq=1 hg=47",
    "5000 send status st=up dt=4268 seq=2 hg=47",
    "5000 send status st=up dt=4268 seq=3 hg=47",
  ]);
});

test("to a classic peer, the word after a silence of a deadtime is that of a new generation", () => {
  const story = joined();
  story.at(14_000, { kind: "tick" });
  deepEqual(story.told(), ["14000 stalled 14000", "14000 persist 71 peer 5/0 confirm"]);
  story.ask(14_001, { kind: "alive" }).ask(14_001, { kind: "rejoin" });
  deepEqual(story.told(), []);
  deepEqual(
    story.at(14_010, { kind: "persisted", generation: 71 }).told()[0],
    "14010 send status st=init dt=4268 seq=1 hg=47",
  );
  deepEqual(story.ask(14_100, { kind: "rejoin" }).told(), []);
});

test("a shorter silence, or one towards a Baton peer, is none", () => {
  const shorter = joined().at(13_900, { kind: "tick" });
  ok(shorter.told().some((line) => line.startsWith("13900 send status st=up dt=3a98 seq=5 hg=46")));
  const baton = joined().hear(10, fromPeer({ ...upStatus, btn: "0.1.0" }, { sequence: 2 }));
  ok(
    baton
      .at(60_000, { kind: "tick" })
      .told()
      .some((line) => line.includes("seq=5 hg=46")),
  );
});

test("an agent that was silent for long lets a classic peer see a new generation", () => {
  const story = joined({ agentGraceMs: 3_000 }).until(30_000);
  story.told();
  deepEqual(story.ask(30_000, { kind: "alive" }).told(), ["30000 persist 71 peer 5/0 confirm"]);
});

test("each message counts once; the other link's copy refreshes that link only", () => {
  const story = beating();
  const first = fromPeer(upStatus, { sequence: 1 });
  story.hear(1, first, "eth0").hear(2, first, "eth1").hear(3, first, "eth1");
  deepEqual(notSent(story.told()), [
    "1 persist 70 peer 5/0",
    "1 status 1 up on eth0",
    "2 linkHeard eth1",
    "3 refused BEAT-REPLAY-SEQUENCE",
  ]);
  equal(story.core.state().counters.replays, 1);
});

test("refusals that change nothing else are told to the agent at most once a second", () => {
  const story = joined();
  const { revision } = story.core.state();
  const replayed = fromPeer(upStatus, { sequence: 1 });
  for (const at of [1, 2, 3]) story.hear(at, replayed, "eth0");
  story.ask(900, { kind: "alive" });
  equal(story.core.state().revision, revision);
  story.ask(1_000, { kind: "alive" }).ask(1_250, { kind: "alive" });
  equal(story.core.state().revision, revision + 1);
  equal(story.core.state().counters.replays, 3);
});

test("a host that starts hears our state at once, before any acknowledgement", () => {
  const story = beating();
  story.hear(400, fromPeer(upStatus, { sequence: 1 }));
  const sent = story.told().filter((line) => line.includes(" send "));
  equal(sent[0], "400 send status st=up dt=4268 seq=4 hg=46");
});

test("out of order by one is normal: nothing is asked for when the other comes within 50 ms", () => {
  const story = joined();
  story.hear(10, fromPeer({ t: "resource" }, { sequence: 3 }));
  story.hear(59, fromPeer({ t: "ask_resources" }, { sequence: 2 })).until(900);
  deepEqual(story.told(), ["10 message resource on eth0", "59 message ask_resources on eth0"]);
});

test("what is missing is asked for in decimal after 50 to 250 ms, and each 250 ms again", () => {
  const story = joined()
    .hear(10, fromPeer(upStatus, { sequence: 12 }))
    .until(900);
  const asked = story.told().filter((line) => line.includes("NS_rexmit"));
  const first = Number(asked[0]?.split(" ")[0]);
  ok(first >= 60 && first <= 260, `first asked at ${first}`);
  equal(asked[0], `${first} send NS_rexmit dest=dbm158 firstseq=2 lastseq=11 hg=46`);
  equal(asked[1], `${first + 250} send NS_rexmit dest=dbm158 firstseq=2 lastseq=11 hg=46`);
});

test("a message that came late is taken once, its copies are no replays", () => {
  const story = joined().hear(10, fromPeer(upStatus, { sequence: 3 }));
  story.told();
  const late = fromPeer({ t: "resource" }, { sequence: 2 });
  story.hear(300, late, "eth0").hear(301, late, "eth1").hear(302, late, "eth0");
  deepEqual(notSent(story.told()), ["300 message resource on eth0"]);
  equal(story.core.state().counters.replays, 0);
});

test("a status that comes late says nothing about now", () => {
  const story = joined().hear(10, fromPeer(upStatus, { sequence: 3 }));
  story.told();
  story.hear(300, fromPeer({ ...upStatus, st: "init" }, { sequence: 2 }));
  deepEqual(notSent(story.told()), []);
  equal(story.core.state().peers[0]?.status, "up");
});

test("too many missing: tracking starts anew, and that is said", () => {
  const story = joined().hear(10, fromPeer(upStatus, { sequence: 1_000 }));
  deepEqual(
    notSent(story.told()),
    [
      "10 persist 70 peer 5/1000",
      "10 refused BEAT-MESSAGE-LOST",
      "10 status 3e8 up on eth0",
    ].toSorted((a, b) => Number(b.includes("refused")) - Number(a.includes("refused"))),
  );
});

test("a peer that goes silent is not asked for what is missing", () => {
  const story = joined()
    .hear(10, fromPeer(upStatus, { sequence: 3 }))
    .until(30_000);
  const asked = story.told().filter((line) => line.includes("NS_rexmit"));
  ok(Number(asked.at(-1)?.split(" ")[0]) < 15_010, `last asked: ${asked.at(-1)}`);
});

test("every tenth number is acknowledged, and not while something below is missing", () => {
  const story = joined();
  for (let sequence = 2; sequence <= 45; sequence++) {
    if (sequence === 20) continue;
    story.hear(sequence, fromPeer(upStatus, { sequence }));
  }
  const acks = () =>
    story
      .told()
      .flatMap((line) => /ackseq=([0-9a-f]+)/.exec(line)?.[1] ?? [])
      .map((text) => Number.parseInt(text, 16));
  const before = acks();
  ok(before.every((ack) => ack < 20) && before.length >= 1, `${before}`);
  story.hear(46, fromPeer(upStatus, { sequence: 20 }));
  const later = acks();
  equal(later.length, 1);
  ok((later[0] ?? 0) > 35 && ((later[0] ?? 0) - (before[0] ?? 0)) % 10 === 0, `${later}`);
});

test("a request is served from the history, at most once in 240 ms, with its old number", () => {
  const story = joined().until(10_000);
  story.hear(10_000, fromPeer(upStatus, { sequence: 2 }));
  story.told();
  const request = fromPeer({ t: "NS_rexmit", dest: "dbm157", firstseq: "4", lastseq: "5" }, {});
  deepEqual(story.hear(10_001, request).told(), [
    "10001 send status st=up dt=4268 seq=4 hg=46",
    "10001 send status st=up dt=4268 seq=5 hg=46",
  ]);
  deepEqual(story.hear(10_100, request).told(), []);
  equal(story.hear(10_300, request).told().length, 2);
});

test("what the history no longer has is refused, and what was acknowledged is not sent", () => {
  const story = joined({ keepaliveMs: 10, deadtimeMs: 100_000 }).until(6_000);
  story.told();
  const ask = (firstseq: string, lastseq: string) =>
    fromPeer({ t: "NS_rexmit", dest: "dbm157", firstseq, lastseq }, {});
  deepEqual(story.hear(6_001, ask("1", "2")).told(), [
    "6001 send NS_nak_rexmit dest=dbm158 firstseq=1 info=seqno too low hg=46",
    "6001 send NS_nak_rexmit dest=dbm158 firstseq=2 info=seqno too low hg=46",
  ]);
  equal(story.hear(6_002, ask("200", "500")).told().length, 50);
  story.hear(6_003, fromPeer({ t: "NS_ackmsg", dest: "dbm157", ackseq: "1f4" }, {}));
  deepEqual(story.hear(6_004, ask("450", "500")).told(), []);
  deepEqual(story.hear(6_005, ask("9000", "9001")).told(), []);
});

test("older generations are replays, whatever they say", () => {
  const story = joined();
  story.hear(5, fromPeer(upStatus, { sequence: 900, generation: 4 }));
  story.hear(6, fromPeer({ t: "shutdone" }, { sequence: 901, generation: 4 }));
  deepEqual(story.told(), ["5 refused BEAT-REPLAY-GENERATION"]);
  equal(story.core.state().counters.replays, 2);
});

test("a generation is introduced by a status only", () => {
  const story = joined().hear(5, fromPeer({ t: "shutdone" }, { sequence: 2, generation: 6 }));
  deepEqual(story.told(), ["5 refused BEAT-BEFORE-STATUS"]);
  story.hear(6, fromPeer(upStatus, { sequence: 1, generation: 6 }));
  deepEqual(notSent(story.told()), ["6 persist 70 peer 6/0", "6 status 1 up on eth0"]);
});

test("a dead peer's recorded goodbye is refused, and asked for again once it really speaks", () => {
  const story = joined().until(20_000);
  story.told();
  const goodbye = fromPeer({ t: "shutdone" }, { sequence: 2 });
  deepEqual(story.hear(20_000, goodbye).told(), ["20000 refused BEAT-FROM-DEAD"]);
  story.hear(20_001, fromPeer(upStatus, { sequence: 3 })).hear(20_002, goodbye);
  deepEqual(notSent(story.told()), ["20001 status 3 up on eth0", "20002 message shutdone on eth0"]);
});

test("the numbers of a generation are remembered across its death", () => {
  const story = joined()
    .hear(5, fromPeer({ t: "ask_resources" }, { sequence: 2 }))
    .until(20_000);
  story.hear(20_000, fromPeer(upStatus, { sequence: 3 }));
  story.told();
  story.hear(20_001, fromPeer({ t: "ask_resources" }, { sequence: 2 }));
  deepEqual(notSent(story.told()), ["20001 refused BEAT-REPLAY-SEQUENCE"]);
});

test("our own restart does not open the window again", () => {
  const record = { generation: 69, peers: { dbm158: { generation: 5, sequenceFloor: 300 } } };
  const story = new Story({}, record).at(0, { kind: "start" });
  story.at(0, { kind: "persisted", generation: 70 });
  story.told();
  story.hear(1, fromPeer(upStatus, { sequence: 9, generation: 4 }));
  story.hear(2, fromPeer(upStatus, { sequence: 300 }));
  story.hear(3, fromPeer({ t: "shutdone" }, { sequence: 301 }));
  story.hear(4, fromPeer(upStatus, { sequence: 301 }));
  deepEqual(story.told(), [
    "1 refused BEAT-REPLAY-GENERATION",
    "2 refused BEAT-REPLAY-SEQUENCE",
    "3 refused BEAT-BEFORE-STATUS",
    "4 status 12d up on eth0",
  ]);
});

test("strangers are counted, and told of once in ten seconds", () => {
  const story = beating({ keepaliveMs: 100_000 });
  const stranger = fromPeer(upStatus, { sequence: 1, host: "dbm999" });
  for (let ms = 0; ms <= 10_000; ms += 100) story.hear(ms, stranger);
  deepEqual(story.told(), ["0 refused BEAT-STRANGER", "10000 refused BEAT-STRANGER"]);
  equal(story.core.state().counters.strangers, 101);
});

test("our own messages come back without a word; another host with our name does not", () => {
  const story = beating();
  story.hear(1, fromPeer(upStatus, { sequence: 1, host: "dbm157", uuid: ownUuid, generation: 70 }));
  deepEqual(story.told(), []);
  story.hear(2, fromPeer({ t: "shutdone" }, { sequence: 2, host: "dbm157", uuid: peerUuid }));
  deepEqual(story.told(), ["2 refused BEAT-OWN-NAME"]);
});

test("what is for another host keeps the numbers going and is told to nobody", () => {
  const story = joined().hear(
    5,
    fromPeer({ t: "ip-request-resp", dest: "dbm158" }, { sequence: 2 }),
  );
  story.hear(6, fromPeer({ t: "resource", dest: "dbm157" }, { sequence: 3 }));
  deepEqual(notSent(story.told()), ["6 message resource on eth0"]);
});

test("bad digests change nothing and are counted", () => {
  const story = joined();
  const before = story.core.state().peers;
  story.hear(5, fromPeer({ t: "shutdone" }, { sequence: 2, key: { ...sha1, secret: "wrong" } }));
  story.hear(6, fromPeer({ t: "shutdone" }, { sequence: 2, key: sha1Next }));
  story.hear(7, new Uint8Array(200));
  deepEqual(notSent(story.told()), [
    "5 refused WIRE-DIGEST-WRONG",
    "6 refused WIRE-KEY-UNKNOWN",
    "7 refused WIRE-DIGEST-MISSING",
  ]);
  deepEqual(story.core.state().peers, before);
  equal(story.core.state().counters.authFailures, 3);
});

test("two keys: each is checked with its own text, and ours signs", () => {
  const both = { ...keyring, keys: [sha1, sha1Next] };
  const story = beating({ keyring: both });
  const baton = { ...upStatus, btn: "0.1.0" };
  story.hear(1, fromPeer(baton, { sequence: 1, key: sha1Next }));
  // The defect of 3.0.6: index 2 with the text of key 1.
  story.hear(2, fromPeer(baton, { sequence: 2, key: { ...sha1, index: 2 } }));
  deepEqual(notSent(story.told()), [
    "1 persist 70 peer 5/0",
    "1 status 1 up on eth0",
    "2 refused WIRE-DIGEST-WRONG",
  ]);
  story.until(1_100);
  equal(signingIndex(story), 1);
});

function signingIndex(story: Story): number | undefined {
  const sent = story.effects.find((effect) => effect.kind === "send");
  const opened = sent?.kind === "send" ? openDatagram(sent.bytes, story.ring, nodeHmac) : undefined;
  return opened?.ok === true ? opened.value.keyIndex : undefined;
}

test("towards heartbeat we sign with the key that it sends with, so both may change in any order", () => {
  const both = { ...keyring, keys: [sha1, sha1Next] };
  const story = beating({ keyring: both });
  story.hear(1, fromPeer(upStatus, { sequence: 1, key: sha1Next })).until(1_000);
  equal(signingIndex(story), 2);
});

test("towards heartbeat we follow to no weaker method", () => {
  const crc: WireKey = { index: 2, method: "crc", secret: "" };
  const story = beating({ keyring: { ...keyring, keys: [sha1, crc] } });
  story.hear(1, fromPeer(upStatus, { sequence: 1, key: crc })).until(1_000);
  equal(signingIndex(story), 1);
});

test("new keys sign from the next message on; what is asked for is signed anew", () => {
  const next = { ...keyring, keys: [sha1, sha1Next], sendIndex: 2 };
  const story = joined().ask(1, { kind: "rereadKeys" });
  deepEqual(story.told(), ["1 rereadKeys"]);
  story.ring = next;
  story.at(2, { kind: "keys", keyring: next });
  story.hear(300, fromPeer({ ...upStatus, btn: "0.1.0" }, { sequence: 2, key: sha1Next }));
  story.hear(301, fromPeer({ t: "NS_rexmit", dest: "dbm157", firstseq: "1", lastseq: "1" }));
  equal(signingIndex(story), 2);
});

const sealed: Keyring = { mode: "sha256", clusterId: "c1", keys: [sha256, sha1], sendIndex: 3 };

test("sha256: other clusters with the same key, classic digests and unnumbered messages are refused", () => {
  const story = beating({ keyring: sealed });
  story.hear(1, fromPeer(upStatus, { sequence: 1, key: sha256, clusterId: "c2" }));
  story.hear(2, fromPeer(upStatus, { sequence: 1 }));
  story.hear(3, fromPeer({ t: "NS_ackmsg", dest: "dbm157", ackseq: "1" }, { key: sha256 }));
  story.hear(4, fromPeer(upStatus, { sequence: 1, key: sha256 }));
  deepEqual(notSent(story.told()), [
    "1 refused WIRE-FOREIGN-CLUSTER",
    "2 refused WIRE-KEY-UNKNOWN",
    "3 refused BEAT-FIELDS",
    "4 persist 70 peer 5/0",
    "4 status 1 up on eth0",
  ]);
});

test("sha256: the window is 64 numbers, for control messages as well", () => {
  const story = beating({ keyring: sealed });
  const from = (own: HeartbeatFields, sequence: number) => fromPeer(own, { sequence, key: sha256 });
  story.hear(1, from(upStatus, 1)).hear(2, from(upStatus, 60)).hear(3, from(upStatus, 70));
  story.told();
  story.hear(4, from({ t: "resource" }, 2)).hear(5, from({ t: "resource" }, 10));
  story.hear(6, from({ t: "NS_ackmsg", dest: "dbm157", ackseq: "1" }, 3));
  deepEqual(notSent(story.told()), [
    "4 refused BEAT-REPLAY-SEQUENCE",
    "5 message resource on eth0",
  ]);
  equal(story.core.state().counters.replays, 2);
});

test("a message in the classic frame is taken too", () => {
  const control: Control = {
    host: "dbm158",
    uuid: peerUuid,
    destinationUuid: undefined,
    sequence: 1,
    generation: 5,
    wallMs: 1_000_000,
    loadAverage: "n/a",
    ttl: 3,
  };
  const fields: readonly Field[] = withControlFields(upStatus, control);
  const signing = { key: sha1, inner: true, clusterId: "" };
  const story = beating().hear(1, sealClassic({ fields }, signing, nodeHmac));
  deepEqual(notSent(story.told()), ["1 persist 70 peer 5/0", "1 status 1 up on eth0"]);
});

test("a ping counts once, and only as the echo of a request of this generation", () => {
  const pings = [{ name: "192.168.0.1", group: false }];
  const story = beating({ pings }).until(1_000);
  const payloadOf = () => story.effects.find((effect) => effect.kind === "ping");
  const sent = payloadOf();
  ok(sent?.kind === "ping");
  story.told();
  const reply = (ms: number, payload: Uint8Array, ping = "192.168.0.1") =>
    story.at(ms, { kind: "pingReply", at: instant(ms), ping, payload });
  reply(1_001, sent.payload);
  reply(1_002, sent.payload);
  reply(1_003, fromPeer(upStatus, { sequence: 1 }));
  deepEqual(story.told(), ["1001 pingReply", "1003 refused BEAT-PING-FOREIGN"]);
  story.ask(1_500, { kind: "rejoin" }).at(1_500, { kind: "persisted", generation: 71 });
  const old = sent.payload;
  story.told();
  deepEqual(
    reply(12_000, old)
      .told()
      .filter((line) => line.includes("refused")),
    ["12000 refused BEAT-PING-FOREIGN"],
  );
});

test("messages of the agent that can not be sent are refused, and use up no number", () => {
  const story = beating();
  const messages: readonly HeartbeatFields[] = [
    {},
    { t: "NS_ackmsg" },
    { t: "status" },
    { t: "x", seq: "5" },
    { t: "x", "a=b": "1" },
    { t: "x", body: "\u2603" },
    { t: "x", body: "y".repeat(70_000) },
  ];
  for (const fields of messages) story.ask(1, { kind: "send", fields });
  deepEqual(story.told(), ["1 refused BEAT-SEND-REFUSED"]);
  equal(story.core.state().sequence, 3);
});

test("hostile field names and control characters reach the agent as plain data", () => {
  const story = joined();
  story.hear(
    5,
    fromPeer({ t: "x", ["__proto__"]: "p", info: "%n%s\u0000\u001b[2J" }, { sequence: 2 }),
  );
  const report = story.effects.find((effect) => effect.kind === "report");
  ok(report?.kind === "report" && report.event.kind === "message");
  equal(report.event.fields["info"], "%n%s\u0000\u001b[2J");
  ok(Object.hasOwn(report.event.fields, "__proto__"));
});

test("what the peer hears of us is read from its statuses, by link", () => {
  const story = joined();
  const btnheard = "dbm157:eth0=2,dbm157:eth1=3,other:eth0=9,dbm157:eth2=zz,junk";
  story.hear(5, fromPeer({ ...upStatus, btn: "1.0", btnheard }, { sequence: 2 }));
  const report = story.effects.find((effect) => effect.kind === "report");
  ok(report?.kind === "report" && report.event.kind === "status");
  deepEqual(report.event.heard, { eth0: 2, eth1: 3 });
  deepEqual(
    story.core.state().peers[0]?.links.map((link) => link.peerHeardSequence),
    [2, 3],
  );
});

test("we tell what we hear of the peer, by link", () => {
  const story = joined()
    .hear(5, fromPeer(upStatus, { sequence: 2 }), "eth1")
    .until(1_000);
  const sent = story.effects.find((effect) => effect.kind === "send");
  ok(sent?.kind === "send");
  const opened = openDatagram(sent.bytes, keyring, nodeHmac);
  equal(opened.ok && stringField(opened.value, "btnheard"), "dbm158:eth0=1,dbm158:eth1=2");
});

test("a copy restored from a snapshot goes on in the same way", () => {
  const story = joined().hear(10, fromPeer(upStatus, { sequence: 9 }));
  story.told();
  const snapshot = JSON.parse(JSON.stringify(story.core.snapshot()));
  ok(!JSON.stringify(snapshot).includes(sha1.secret));
  const copy = Transport.restore({ ...options, agentGraceMs: 1_000_000 }, snapshot);
  const other = Object.assign(Object.create(story), { core: copy, log: [] }) as Story;
  for (let ms = 100; ms <= 3_000; ms += 100) {
    deepEqual(
      copy.step(instant(ms), { kind: "tick", ambient }),
      story.core.step(instant(ms), { kind: "tick", ambient }),
    );
  }
  deepEqual(other.core.snapshot(), story.core.snapshot());
});
