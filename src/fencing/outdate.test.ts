import { deepEqual, equal, ok as holds } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Instant, instant } from "../base/index.ts";
import type { FencingRecord, OutdateEffect, OutdateEvent, OutdateOptions } from "./contract.ts";
import { codeOfOutdateExit } from "./dopd.ts";
import { Outdating } from "./outdate.ts";

const options: OutdateOptions = {
  self: "dbm157",
  disks: [
    { name: "r0", peer: "dbm158" },
    { name: "r1", peer: "dbm158" },
  ],
  hosts: ["dbm158"],
};

/** One effect in a line; what `persist` holds back is indented by `>`. */
function lineOf(effect: OutdateEffect): string {
  switch (effect.kind) {
    case "persist": {
      const unproven = Object.keys(effect.record.unproven).join(",") || "nothing";
      return [`persist ${unproven} unproven`, ...effect.then.map((one) => `> ${lineOf(one)}`)].join(
        " ",
      );
    }
    case "send": {
      const { t, dest, dop_res, dop_value = "" } = effect.fields;
      return `send ${t} ${dest} ${dop_res} ${dop_value}`.trim();
    }
    case "outdateHere":
      return `outdateHere ${effect.disk}`;
    case "fenceDone":
      return `fenceDone ${effect.disk} ${effect.attempt} ${effect.result}`;
    case "clientDone":
      return `clientDone ${effect.client} ${effect.code}`;
    case "decision":
      return effect.reason.replace("BTN-FENCE-", "");
    default:
      return effect satisfies never;
  }
}

/** A host under test: it says what it does, with the time when that changes. */
class Story {
  readonly core: Outdating;
  readonly log: string[] = [];
  /** The mark of the newest question. */
  question = "";
  request = 0;
  now: Instant = instant(10_000);

  constructor(record?: FencingRecord, own = options) {
    this.core = new Outdating(own, record, this.now);
  }

  /** Lets time pass, waking the core whenever it wants. */
  wait(ms: number): this {
    const until = instant(this.now + ms);
    for (
      let wakeAt = this.core.wakeAt();
      wakeAt !== undefined && wakeAt <= until;
      wakeAt = this.core.wakeAt()
    ) {
      this.now = instant(Math.max(this.now, wakeAt));
      const before = this.now;
      this.say({ kind: "tick" });
      const next = this.core.wakeAt();
      holds(next === undefined || next > before, "The core wakes without end");
    }
    this.now = until;
    return this;
  }

  say(event: OutdateEvent): this {
    for (const effect of this.core.step(this.now, event)) this.#see(effect);
    return this;
  }

  #see(effect: OutdateEffect): void {
    this.log.push(`${this.now - 10_000} ${lineOf(effect)}`);
    if (effect.kind === "send") this.question = effect.fields["btnask"] ?? this.question;
    if (effect.kind === "outdateHere") this.request = effect.request;
  }

  ask(
    policy: "native" | "dont-care" | "resource-only" | "resource-and-stonith",
    attempt = 1,
  ): this {
    return this.say({ kind: "fenceAsked", disk: "r0", attempt, policy });
  }

  verdict(verdict: "alive" | "late" | "dead" | "left" | "unsure"): this {
    return this.say({ kind: "verdict", host: "dbm158", verdict });
  }

  /** The peer answers, as Baton does if `mark` is given. */
  answer(code: number, mark?: string, disk = "r0"): this {
    const fields = { t: "outdate_rc", dop_value: String(code), dop_res: disk };
    const marked = mark === undefined ? fields : { ...fields, btnask: mark };
    return this.say({ kind: "message", host: "dbm158", fields: marked });
  }
}

test("the peer is outdated: the disk goes on with a proof", () => {
  for (const policy of ["native", "resource-only", "resource-and-stonith"] as const) {
    const story = new Story().verdict("alive").ask(policy).wait(56);
    deepEqual(story.answer(4, story.question).log, [
      "0 ASKED",
      "0 send start_outdate dbm158 r0",
      "56 OUTDATED",
      "56 fenceDone r0 1 4",
    ]);
    equal(story.core.wakeAt(), undefined);
  }
});

test("the question is dopd's, with one field more", () => {
  const [, send] = new Outdating(options, undefined, instant(0)).step(instant(0), {
    kind: "fenceAsked",
    disk: "r0",
    attempt: 1,
    policy: "native",
  });
  deepEqual(send, {
    kind: "send",
    fields: {
      t: "start_outdate",
      dop_res: "r0",
      btnask: "0-1",
      dest: "dbm158",
      from_id: "dopd",
      to_id: "dopd",
      client_gen: "1",
    },
  });
});

test("a real dopd answers without the mark", () => {
  const log = new Story().verdict("alive").ask("native").wait(60).answer(4).log;
  deepEqual(log.slice(2), ["60 OUTDATED", "60 fenceDone r0 1 4"]);
});

test("the peer is primary, or inconsistent", () => {
  deepEqual(new Story().ask("native").answer(6).log.slice(2), [
    "0 PEER-PRIMARY",
    "0 fenceDone r0 1 6",
  ]);
  deepEqual(new Story().ask("native").answer(3).log.slice(2), ["0 OUTDATED", "0 fenceDone r0 1 3"]);
});

test("dont-care goes on at once, and that is written down first", () => {
  deepEqual(new Story().ask("dont-care").log, [
    "0 DONT-CARE",
    "0 persist r0 unproven > fenceDone r0 1 5",
  ]);
});

test("resource-only goes on after one second without proof, written down first", () => {
  const story = new Story().verdict("alive").ask("resource-only").wait(5_000);
  deepEqual(story.log, [
    "0 ASKED",
    "0 send start_outdate dbm158 r0",
    "500 send start_outdate dbm158 r0",
    "1000 UNPROVEN",
    "1000 persist r0 unproven > fenceDone r0 1 5",
  ]);
  equal(story.core.view()[0]?.unproven?.reason, "BTN-FENCE-UNPROVEN");
});

test("a failed answer is no proof: it is asked again", () => {
  const story = new Story()
    .verdict("alive")
    .ask("native")
    .answer(20)
    .wait(600)
    .answer(20)
    .answer(4);
  deepEqual(story.log, [
    "0 ASKED",
    "0 send start_outdate dbm158 r0",
    "0 UNCONFIRMED",
    "500 send start_outdate dbm158 r0",
  ]);
  deepEqual(story.wait(500).answer(4).log.slice(4), [
    "1000 send start_outdate dbm158 r0",
    "1100 OUTDATED",
    "1100 fenceDone r0 1 4",
  ]);
});

test("native waits for the verdict dead, whatever else membership says", () => {
  const story = new Story().verdict("alive").ask("native").wait(300);
  story.verdict("late").wait(700).verdict("unsure").wait(200);
  equal(story.log.filter((line) => line.includes("fenceDone")).length, 0);
  deepEqual(story.verdict("dead").log.slice(-2), [
    "1200 PEER-DEAD",
    "1200 persist r0 unproven > fenceDone r0 1 7",
  ]);
});

test("a peer that is dead already, or said goodbye, holds up neither native nor resource-only", () => {
  for (const [policy, result] of [
    ["native", 7],
    ["resource-only", 5],
  ] as const) {
    for (const verdict of ["dead", "left"] as const) {
      deepEqual(new Story().verdict(verdict).ask(policy).log, [
        "0 PEER-DEAD",
        `0 persist r0 unproven > fenceDone r0 1 ${result}`,
      ]);
    }
  }
});

test("resource-and-stonith takes no silence for a proof", () => {
  const story = new Story().verdict("dead").ask("resource-and-stonith").wait(3_600_000);
  deepEqual(story.log, ["0 WAITING"]);
  deepEqual(story.say({ kind: "excluded", host: "dbm158", by: "device" }).log.slice(1), [
    "3600000 ORDERED",
    "3600000 fenceDone r0 1 7",
  ]);
});

test("a dead peer that comes back is asked at once", () => {
  const story = new Story()
    .verdict("dead")
    .ask("resource-and-stonith")
    .wait(7_000)
    .verdict("alive");
  deepEqual(story.log.slice(1), ["7000 ASKED", "7000 send start_outdate dbm158 r0"]);
});

test("an order holds until the host is heard again", () => {
  const order: OutdateEvent = { kind: "excluded", host: "dbm158", by: "operator" };
  const ordered = new Story().verdict("dead").say(order);
  deepEqual(ordered.ask("native").log, ["0 ORDERED", "0 fenceDone r0 1 7"]);
  const heard = new Story().verdict("dead").say(order).verdict("alive");
  deepEqual(heard.ask("native").log, ["0 ASKED", "0 send start_outdate dbm158 r0"]);
});

test("an answer of an earlier loss is no proof for this one", () => {
  // The first question is under way when the link comes back; the copies become equal, and the link is lost again.
  const classic = new Story().verdict("alive").ask("native", 1).wait(100);
  classic.say({ kind: "fenceWithdrawn", disk: "r0" }).wait(200).ask("native", 2);
  deepEqual(classic.wait(10).answer(4).log.slice(2), [
    "100 WITHDRAWN",
    "300 ASKED",
    "300 send start_outdate dbm158 r0",
    "310 STALE-ANSWER",
  ]);
  deepEqual(classic.wait(40).answer(4).log.slice(-1), ["350 fenceDone r0 2 4"]);

  const baton = new Story().verdict("alive").ask("native", 1).wait(100);
  const old = baton.question;
  baton.say({ kind: "fenceWithdrawn", disk: "r0" }).wait(200).ask("native", 2).answer(4, old);
  deepEqual(baton.log.slice(-1), ["300 STALE-ANSWER"]);
  deepEqual(baton.answer(4, baton.question).log.slice(-1), ["300 fenceDone r0 2 4"]);
});

test("answers that nobody asked for, of other hosts and other disks, do nothing", () => {
  const story = new Story().verdict("alive").answer(4);
  equal(story.log.length, 0);
  story
    .ask("native")
    .answer(4, undefined, "r1")
    .answer(4, undefined, "__proto__")
    .answer(4, "forged");
  const fields = { t: "outdate_rc", dop_value: "4", dop_res: "r0" };
  story.say({ kind: "message", host: "intruder", fields });
  for (const value of ["", "4x", "-4", "4000"]) {
    story.say({ kind: "message", host: "dbm158", fields: { ...fields, dop_value: value } });
  }
  equal(story.log.filter((line) => line.includes("fenceDone")).length, 0);
});

test("a proof that comes late settles what went on without; so does the connection", () => {
  const late = new Story().verdict("alive").ask("resource-only").wait(1_200);
  deepEqual(late.answer(4, late.question).log.slice(-2), [
    "1200 PROVEN-LATE",
    "1200 persist nothing unproven",
  ]);
  const record: FencingRecord = {
    unproven: { r0: { host: "dbm158", reason: "BTN-FENCE-PEER-DEAD" } },
  };
  deepEqual(new Story(record).say({ kind: "connected", disk: "r0" }).log, [
    "0 MET",
    "0 persist nothing unproven",
  ]);
  deepEqual(new Story().say({ kind: "connected", disk: "r0" }).log, []);
});

test("the same attempt again changes nothing; a new one asks anew; an unknown disk is told so", () => {
  const story = new Story().verdict("alive").ask("native").ask("native");
  equal(story.log.length, 2);
  story.ask("native", 2).answer(4, story.question);
  deepEqual(story.log.slice(-1), ["0 fenceDone r0 2 4"]);
  story.say({ kind: "fenceAsked", disk: "r9", attempt: 1, policy: "native" });
  deepEqual(story.log.slice(-1), ["0 fenceDone r9 1 broken"]);
});

// Being asked

const question = (disk: string, mark?: string, host = "dbm158"): OutdateEvent => ({
  kind: "message",
  host,
  fields: { t: "start_outdate", dop_res: disk, ...(mark === undefined ? {} : { btnask: mark }) },
});

test("asked, the copy here is outdated and the answer is dopd's", () => {
  deepEqual([0, 5, 17, 1, 20].map(codeOfOutdateExit), [4, 3, 6, 20, 20]);
  for (const [exit, code, reason] of [
    [0, 4, "SERVED"],
    [5, 3, "SERVED"],
    [17, 6, "SERVED-REFUSED"],
    [11, 20, "SERVED-FAILED"],
  ] as const) {
    const story = new Story().say(question("r0")).wait(50);
    story.say({ kind: "outdated", disk: "r0", request: story.request, exit });
    deepEqual(story.log, [
      "0 outdateHere r0",
      `50 ${reason}`,
      `50 send outdate_rc dbm158 r0 ${code}`,
    ]);
  }
});

test("each question gets its answer with its own mark, though the disk is asked once", () => {
  const core = new Outdating(options, undefined, instant(0));
  const [first] = core.step(instant(0), question("r0", "a-1"));
  deepEqual(core.step(instant(1), question("r0", "a-2")), []);
  deepEqual(core.step(instant(2), question("r0")), []);
  const request = first?.kind === "outdateHere" ? first.request : 0;
  const effects = core.step(instant(3), { kind: "outdated", disk: "r0", request, exit: 0 });
  deepEqual(
    effects.flatMap((effect) =>
      effect.kind === "send" ? [effect.fields["btnask"] ?? "none"] : [],
    ),
    ["a-1", "a-2", "none"],
  );
});

test("a disk that does not answer is reported as failed, and its late word is not passed on", () => {
  const story = new Story().say(question("r0")).wait(10_000);
  deepEqual(story.log.slice(1), ["10000 SERVED-FAILED", "10000 send outdate_rc dbm158 r0 20"]);
  story.say({ kind: "outdated", disk: "r0", request: story.request, exit: 0 });
  equal(story.log.length, 3);
});

test("what is no disk here, or not that host's, is not outdated", () => {
  const three: OutdateOptions = { ...options, disks: [{ name: "r0", peer: "dbm158" }] };
  const story = new Story(undefined, three).say(question("r0", undefined, "dbs159"));
  story.say(question("__proto__")).say(question("constructor"));
  equal(story.log.filter((line) => line.includes("outdateHere")).length, 0);
  deepEqual(story.log.slice(0, 2), ["0 STRANGER", "0 send outdate_rc dbs159 r0 20"]);
});

test("whether a dopd is here is answered as heartbeat's client library expects", () => {
  const fields = { t: "query-cstatus", cn: "dopd", from_id: "x" };
  const effects = new Outdating(options, undefined, instant(0)).step(instant(0), {
    kind: "message",
    host: "dbm158",
    fields,
  });
  deepEqual(effects, [
    {
      kind: "send",
      fields: {
        t: "respond-cstatus",
        dest: "dbm158",
        result: "OK",
        cn: "dopd",
        to_id: "x",
        cs: "online",
      },
    },
  ]);
});

// Handlers of a kernel's disk

const client = (name: string, disk: string, host = "dbm158", timeoutMs = 5_000): OutdateEvent => ({
  kind: "clientAsked",
  client: name,
  disk,
  host,
  timeoutMs,
});

test("several handlers may ask for one disk, of Baton or of a kernel", () => {
  const story = new Story().verdict("alive").say(client("c1", "kernel0")).wait(100);
  story.say(client("c2", "kernel0")).answer(20, story.question, "kernel0");
  deepEqual(
    story.log.filter((line) => line.includes("clientDone")),
    ["100 clientDone c1 20", "100 clientDone c2 20"],
  );
  // A disk that Baton does not serve is forgotten with its last handler.
  deepEqual(
    story.core.view().map(({ disk }) => disk),
    ["r0", "r1"],
  );
});

test("a handler gets 5 where dopd says 5: unknown host, itself, dead, no answer in time", () => {
  const refused = new Story().say(client("c1", "r0", "nobody")).say(client("c2", "r0", "dbm157"));
  refused.verdict("dead").say(client("c3", "r0"));
  const late = new Story()
    .verdict("alive")
    .say(client("c4", "r0", "dbm158", 2_000))
    .wait(9_000);
  deepEqual(
    [...refused.log, ...late.log].filter((line) => line.includes("clientDone")),
    ["0 clientDone c1 5", "0 clientDone c2 5", "0 clientDone c3 5", "2000 clientDone c4 5"],
  );
  equal(late.core.wakeAt(), undefined);
});

test("a handler that names no disk gets 20", () => {
  const log = new Story().verdict("alive").say(client("c1", "__proto__")).say(client("c2", "")).log;
  deepEqual(log, [
    "0 CLIENT-REFUSED",
    "0 clientDone c1 20",
    "0 CLIENT-REFUSED",
    "0 clientDone c2 20",
  ]);
});

test("a handler that goes away is not answered", () => {
  const story = new Story().verdict("alive").say(client("c1", "r0"));
  story.say({ kind: "clientGone", client: "c1" }).answer(4, story.question);
  equal(story.log.filter((line) => line.includes("clientDone")).length, 0);
});

// Always

const anyEvent: fc.Arbitrary<OutdateEvent> = fc.oneof(
  fc.constant<OutdateEvent>({ kind: "tick" }),
  fc
    .record({
      disk: fc.constantFrom("r0", "r1"),
      attempt: fc.integer({ min: 1, max: 3 }),
      policy: fc.constantFrom("native", "dont-care", "resource-only", "resource-and-stonith"),
    })
    .map((fields) => ({ kind: "fenceAsked", ...fields }) as OutdateEvent),
  fc.constantFrom("r0", "r1").map((disk): OutdateEvent => ({ kind: "fenceWithdrawn", disk })),
  fc.constantFrom("r0", "r1").map((disk): OutdateEvent => ({ kind: "connected", disk })),
  fc
    .constantFrom("alive", "late", "dead", "left", "unsure")
    .map((verdict) => ({ kind: "verdict", host: "dbm158", verdict }) as OutdateEvent),
  fc
    .record({
      t: fc.constantFrom("outdate_rc", "start_outdate", "query-cstatus", "status"),
      dop_res: fc.constantFrom("r0", "r1", "r2"),
      dop_value: fc.constantFrom("3", "4", "6", "20", "x"),
    })
    .map((fields): OutdateEvent => ({ kind: "message", host: "dbm158", fields })),
  fc
    .record({ request: fc.integer({ min: 0, max: 9 }), exit: fc.constantFrom(0, 5, 17, 20) })
    .map((fields): OutdateEvent => ({ kind: "outdated", disk: "r0", ...fields })),
  fc.constant(client("c1", "r0", "dbm158", 700)),
);

test("whatever happens: one answer to each ask, none to what was not asked, a restored core goes on the same", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), anyEvent), { maxLength: 40 }),
      (steps) => {
        let core = new Outdating(options, undefined, instant(0));
        const open = new Map<string, number>();
        let now = 0;
        for (const [pause, event] of steps) {
          now += pause;
          const twin = Outdating.restore(
            options,
            JSON.parse(JSON.stringify(core.snapshot())),
            instant(now),
          );
          const effects = core.step(instant(now), event);
          deepEqual(twin.step(instant(now), event), effects);
          core = twin;
          if (event.kind === "fenceAsked") open.set(event.disk, event.attempt);
          if (event.kind === "fenceWithdrawn") open.delete(event.disk);
          for (const effect of effects.flatMap((one) =>
            one.kind === "persist" ? one.then : [one],
          )) {
            if (effect.kind !== "fenceDone") continue;
            equal(open.get(effect.disk), effect.attempt);
            open.delete(effect.disk);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});
