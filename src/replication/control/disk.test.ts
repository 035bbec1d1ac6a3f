/** Stories of one pair: commands and their refusals, errors of disks, sizes, secrets, interruptions, and peers that lie. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/index.ts";
import type { DiskCommand } from "../contract.ts";
import { Disk } from "../disk.ts";
import { nodeDigests } from "../wire/digests.shell.ts";
import type { Packet } from "../wire/packets.ts";
import {
  makeEqual,
  Pair,
  type Side,
  type SpecChanges,
  specOf,
  TestDisk,
} from "./pair.test-support.ts";

const CURRENT = 0xfdba_088f_d5c0_65fan;
const data = new Uint8Array(4096).fill(9);
const write = (id: number, sector = 8) =>
  ({ kind: "request", id, request: { op: "write", sector, data, fua: false } }) as const;

function pairOf(changes: SpecChanges = {}, bob: SpecChanges = changes, equalData = true): Pair {
  const disks = { alice: new TestDisk(), bob: new TestDisk() };
  if (equalData) makeEqual([disks.alice, disks.bob], CURRENT, changes.disk?.sizeSectors || 1_968);
  return new Pair({
    disks,
    digests: nodeDigests,
    specs: { alice: specOf(changes), bob: specOf(bob) },
  });
}
function connected(changes: SpecChanges = {}): Pair {
  const pair = pairOf(changes);
  pair.up();
  return pair;
}
const outcome = (pair: Pair, side: Side, command: DiskCommand): string => {
  const done = pair.command(side, command);
  return `${done.outcome} ${done.code} ${done.reason}`;
};
const answer = (pair: Pair, side: Side, id: number) =>
  pair.hosts[side].answers.find((one) => one.id === id);

test("commands without a disk or a connection are refused by number and reason", () => {
  const pair = pairOf();
  const says = (command: DiskCommand): string => outcome(pair, "alice", command);
  equal(says({ verb: "primary", force: false }), "refused -2 BTN-DISK-NO-CURRENT-DATA");
  equal(says({ verb: "detach", force: false }), "done 2 BTN-DISK-NOTHING-TO-DO");
  equal(says({ verb: "disconnect", force: false }), "done 2 BTN-DISK-NOTHING-TO-DO");
  equal(says({ verb: "secondary" }), "done 2 BTN-DISK-NOTHING-TO-DO");
  equal(says({ verb: "invalidate" }), "refused 138 BTN-DISK-NO-DISK");
  equal(says({ verb: "new-current-uuid", clearBitmap: false }), "refused 138 BTN-DISK-NO-DISK");
  equal(says({ verb: "attach" }), "done 1 BTN-DISK-DONE");
  equal(says({ verb: "attach" }), "refused 124 BTN-DISK-ALREADY-ATTACHED");
  equal(says({ verb: "invalidate-remote" }), "refused -15 BTN-DISK-NEED-CONNECTION");
  equal(
    says({ verb: "verify", start: undefined, stop: undefined }),
    "refused -15 BTN-DISK-NEED-CONNECTION",
  );
  equal(says({ verb: "outdate" }), "done 1 BTN-DISK-DONE");
  equal(says({ verb: "primary", force: false }), "refused -2 BTN-DISK-NO-CURRENT-DATA");
  equal(says({ verb: "connect", discardMyData: false }), "done 1 BTN-DISK-DONE");
  equal(says({ verb: "connect", discardMyData: false }), "refused 125 BTN-DISK-ALREADY-CONNECTING");
});

test("commands on a connected pair are refused by number and reason", () => {
  const pair = connected();
  const says = (command: DiskCommand): string => outcome(pair, "alice", command);
  equal(says({ verb: "outdate" }), "refused -6 BTN-DISK-OUTDATE-CONNECTED");
  equal(says({ verb: "new-current-uuid", clearBitmap: true }), "refused 151 BTN-DISK-IS-CONNECTED");
  equal(says({ verb: "primary", force: false }), "done 1 BTN-DISK-DONE");
  equal(
    outcome(pair, "bob", { verb: "primary", force: false }),
    "refused -1 BTN-DISK-TWO-PRIMARIES",
  );
  pair.feed("alice", { kind: "openers", count: 1 });
  equal(says({ verb: "secondary" }), "refused -12 BTN-DISK-IN-USE");
  equal(says({ verb: "down" }), "refused -12 BTN-DISK-IN-USE");
  pair.feed("alice", { kind: "openers", count: 0 });
  pair.command("bob", { verb: "detach", force: false });
  equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/Diskless");
  equal(says({ verb: "detach", force: false }), "refused -2 BTN-DISK-NO-CURRENT-DATA");
  equal(says({ verb: "invalidate" }), "refused -5 BTN-DISK-NO-REMOTE-DISK");
  equal(outcome(pair, "bob", { verb: "invalidate" }), "refused 138 BTN-DISK-NO-DISK");
});

test("down leaves everything in order, and the metadata says that the data is good", () => {
  const pair = connected();
  pair.command("alice", { verb: "primary", force: false });
  pair.feed("alice", write(1));
  pair.run(50);
  equal(outcome(pair, "alice", { verb: "down" }), "done 1 BTN-DISK-DONE");
  equal(pair.state("alice"), "StandAlone Secondary/Unknown Diskless/DUnknown");
  equal(pair.hosts.alice.attached, false);
  const { flags } = pair.hosts.alice.disk.superblock;
  deepEqual(
    [flags.primary, flags.consistent, flags.wasUpToDate, flags.crashedPrimary],
    [false, true, true, false],
  );
  pair.restart("alice");
  pair.command("alice", { verb: "attach" });
  pair.command("alice", { verb: "connect", discardMyData: false });
  pair.run(3_000);
  equal(pair.state("alice"), "Connected Secondary/Secondary UpToDate/UpToDate");
});

test("a disk that fails under a Primary is detached, the application goes on with the peer", () => {
  const pair = connected();
  pair.command("alice", { verb: "primary", force: false });
  pair.hosts.alice.failing = "io";
  pair.feed("alice", write(1));
  pair.run(500);
  equal(pair.state("alice"), "Connected Primary/Secondary Diskless/UpToDate");
  equal(answer(pair, "alice", 1)?.ok, true);
  equal(pair.hosts.alice.attached, false);
  pair.feed("alice", {
    kind: "request",
    id: 2,
    request: { op: "read", sector: 8, bytes: 4096 },
  });
  pair.run(500);
  equal(answer(pair, "alice", 2)?.ok, true);
  const held = pair.hosts.bob.disk.superblock;
  ok(held.flags.primary, "the peer holds the only copy for a Primary");
});

test("a failed flush means that the disk is gone (R10)", () => {
  const pair = connected();
  pair.command("alice", { verb: "primary", force: false });
  pair.hosts.alice.failing = "flush";
  pair.feed("alice", { kind: "request", id: 1, request: { op: "flush" } });
  pair.run(500);
  equal(pair.state("alice"), "Connected Primary/Secondary Diskless/UpToDate");
  ok(pair.word("alice").includes("BTN-DISK-IO-ERROR"));
});

test("metadata that can not be written: nothing that depends on it is told as done", () => {
  const pair = pairOf({ onNoDataAccessible: "io-error" });
  pair.up();
  pair.command("alice", { verb: "primary", force: false });
  pair.hosts.alice.failing = "metadata";
  pair.cut = true;
  pair.breakConnection();
  pair.feed("alice", write(1));
  pair.run(1_000);
  equal(pair.state("alice").split(" ")[2], "Diskless/DUnknown");
  equal(answer(pair, "alice", 1)?.ok, false);
});

test("on-io-error pass_on keeps the disk and calls it Inconsistent; call-local-io-error calls", () => {
  const kept = connected({ disk: { onIoError: "pass_on" } });
  kept.command("alice", { verb: "primary", force: false });
  kept.hosts.alice.failing = "io";
  kept.feed("alice", write(1));
  kept.run(500);
  equal(kept.state("alice"), "Connected Primary/Secondary Inconsistent/UpToDate");
  const called = connected({
    disk: { onIoError: "call-local-io-error" },
    handlers: { "local-io-error": "true" },
  });
  called.command("alice", { verb: "primary", force: false });
  called.hosts.alice.failing = "io";
  called.feed("alice", write(1));
  called.run(500);
  deepEqual(called.hosts.alice.handlers, ["local-io-error"]);
  equal(called.state("alice"), "Connected Primary/Secondary Diskless/UpToDate");
});

test("a disk that hangs: no pings of our own, and with disk-timeout it is detached", () => {
  const pair = connected({ disk: { diskTimeoutMs: 3_000 }, net: { pingIntervalMs: 1_000 } });
  pair.command("alice", { verb: "primary", force: false });
  pair.hosts.alice.hangs = true;
  pair.feed("alice", write(1));
  pair.run(2_100);
  const pings = () =>
    pair.log.filter(({ from, packet }) => from === "alice" && packet.command === "P_PING").length;
  const before = pings();
  pair.run(800);
  equal(pings(), before);
  pair.run(2_000);
  ok(pair.word("alice").includes("BTN-DISK-IO-TIMEOUT"));
  equal(pair.state("alice"), "Connected Primary/Secondary Diskless/UpToDate");
});

test("a smaller peer is refused, nothing is cut off (I8)", () => {
  const disks = { alice: new TestDisk(4_096), bob: new TestDisk(2_048) };
  makeEqual([disks.alice], CURRENT, disks.alice.layout.usableSectors);
  makeEqual([disks.bob], CURRENT, disks.bob.layout.usableSectors);
  const pair = new Pair({ disks });
  pair.up();
  ok(pair.word("alice").includes("BTN-DISK-WOULD-SHRINK"));
  equal(pair.state("alice").split(" ")[0], "StandAlone");
  equal(pair.hosts.alice.disk.superblock.lastAgreedSectors, 4_016);
});

test("different options, versions or secrets end in StandAlone with the reason", () => {
  const reasons = (alice: SpecChanges, bob: SpecChanges): readonly string[] => {
    const pair = pairOf(alice, bob);
    pair.up();
    equal(pair.state("alice").split(" ")[0], "StandAlone");
    return pair.word("alice");
  };
  for (const net of [
    { protocol: "A" },
    { verify: "sha1" },
    { checksumResync: "md5" },
    { dataIntegrity: "crc32c" },
    { allowTwoPrimaries: true },
    { afterSplitBrain1Primary: "consensus" },
  ] as const) {
    ok(reasons({}, { net }).includes("BTN-DISK-OPTIONS-DIFFER"), JSON.stringify(net));
  }
  const mirrored = pairOf(
    { net: { afterSplitBrain0Primaries: "discard-local" } },
    { net: { afterSplitBrain0Primaries: "discard-remote" } },
  );
  mirrored.up();
  equal(mirrored.state("alice").split(" ")[0], "Connected");
});

test("a refused challenge: reflected, malformed, absent, or answered wrongly", () => {
  const authentication = { algorithm: "sha1", secretFile: "" } as const;
  const options = {
    spec: specOf({ net: { authentication } }),
    host: "alice",
    digests: nodeDigests,
    secret: new TextEncoder().encode("BatonSecret"),
    random64: () => 7n,
  };
  const fate = (answerOf: (challenge: Uint8Array) => Packet): string => {
    const disk = new Disk(options, 0 as never);
    const step = (event: Parameters<Disk["step"]>[1]) => disk.step(0 as never, event);
    step({ kind: "command", id: "1", command: { verb: "connect", discardMyData: false } });
    step({ kind: "socketsUp", acceptedMeta: false });
    const features = {
      command: "P_CONNECTION_FEATURES",
      minimum: 86,
      features: 15,
      maximum: 101,
    } as const;
    const effects = step({ kind: "packet", socket: "data", packet: features });
    const sent = effects.flatMap((effect) =>
      effect.kind === "send" && effect.packet.command === "P_AUTH_CHALLENGE"
        ? [effect.packet.bytes]
        : [],
    );
    step({ kind: "packet", socket: "data", packet: answerOf(sent[0] ?? new Uint8Array(0)) });
    const { state, reason } = disk.view();
    return `${state.conn} ${reason}`;
  };
  equal(
    fate((bytes) => ({ command: "P_AUTH_CHALLENGE", bytes })),
    "StandAlone BTN-DISK-AUTH-REFLECTED",
  );
  equal(
    fate(() => ({ command: "P_AUTH_CHALLENGE", bytes: new Uint8Array(63) })),
    "StandAlone BTN-DISK-AUTH-CHALLENGE",
  );
  equal(
    fate(() => ({ command: "P_SIZES" }) as Packet),
    "StandAlone BTN-DISK-AUTH-EXPECTED",
  );
});

test("a resync that is cut off again and again ends with equal disks and generations", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const disks = { alice: new TestDisk(), bob: new TestDisk() };
    disks.alice.bytes.fill(seed, 0, 900_000);
    const pair = new Pair({ disks, seed });
    const random = new Prng(seed);
    pair.up();
    pair.command("alice", { verb: "primary", force: true });
    for (let cut = 0; cut < 6; cut++) {
      pair.run(random.between(0, 60));
      pair.breakConnection();
    }
    pair.run(20_000);
    equal(pair.state("alice"), "Connected Primary/Secondary UpToDate/UpToDate", `seed ${seed}`);
    ok(disks.alice.bytes.subarray(0, 900_000).every((byte, at) => byte === disks.bob.bytes[at]));
    const [a, b] = [disks.alice, disks.bob].map((disk) => disk.superblock.generations);
    for (const slot of ["current", "bitmap", "history0", "history1"] as const) {
      equal((a?.[slot] ?? 0n) & ~1n, (b?.[slot] ?? 1n) & ~1n, slot);
    }
  }
});

test("a target that crashes in the middle of a resync says Inconsistent, and is no Primary (S5)", () => {
  const slow = { disk: { resync: { ...specOf().disk.resync, rateKibPerSecond: 100 } } };
  const pair = pairOf(slow, slow, false);
  pair.hosts.alice.disk.bytes.fill(3, 0, 900_000);
  pair.up();
  pair.command("alice", { verb: "primary", force: true });
  pair.run(500);
  equal(pair.state("bob"), "SyncTarget Secondary/Primary Inconsistent/UpToDate");
  pair.hosts.bob.hangs = true;
  pair.run(100);
  pair.crash("bob");
  pair.hosts.bob.hangs = false;
  equal(pair.hosts.bob.disk.superblock.flags.consistent, false);
  pair.restart("bob");
  pair.command("bob", { verb: "attach" });
  equal(
    outcome(pair, "bob", { verb: "primary", force: false }),
    "refused -2 BTN-DISK-NO-CURRENT-DATA",
  );
});

test("handlers: what they answer decides whether a resync begins", () => {
  const handlers = { "before-resync-target": "x", "after-resync-target": "x" } as const;
  const refusing = pairOf({ handlers }, { handlers }, false);
  refusing.handlerStatus = () => 1;
  refusing.up();
  refusing.command("alice", { verb: "primary", force: true });
  refusing.run(1_000);
  ok(refusing.word("bob").includes("BTN-DISK-HANDLER-REFUSED"));
  equal(refusing.state("bob").split(" ")[0], "StandAlone");
  const fine = pairOf({ handlers }, { handlers }, false);
  fine.up();
  fine.command("alice", { verb: "primary", force: true });
  fine.run(5_000);
  deepEqual(fine.hosts.bob.handlers, ["before-resync-target", "after-resync-target"]);
  equal(fine.state("bob"), "Connected Secondary/Primary UpToDate/UpToDate");
});

test("both sides become Primary at the same moment: one of them does", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const disks = { alice: new TestDisk(), bob: new TestDisk() };
    makeEqual([disks.alice, disks.bob], CURRENT, 1_968);
    const pair = new Pair({ disks, seed });
    pair.up();
    for (const side of ["alice", "bob"] as const) {
      pair.feed(side, { kind: "command", id: side, command: { verb: "primary", force: false } });
    }
    pair.run(8_000);
    const roles = [pair.state("alice"), pair.state("bob")].map((text) => text.split(" ")[1]);
    equal(roles.filter((role) => role?.startsWith("Primary")).length, 1, `seed ${seed}: ${roles}`);
  }
});

test("a snapshot is JSON, and the control part of its copy goes on exactly as the original", () => {
  const pair = connected();
  pair.command("alice", { verb: "primary", force: false });
  pair.command("alice", { verb: "secondary" });
  const { core } = pair.hosts.alice;
  const snapshot = core.snapshot();
  deepEqual(JSON.parse(JSON.stringify(snapshot)), snapshot);
  const options = {
    spec: specOf(),
    host: "alice",
    digests: nodeDigests,
    secret: undefined,
    random64: () => 5n,
  };
  const copy = Disk.restore(options, snapshot);
  deepEqual(copy.view(), core.view());
  const disconnect = { verb: "disconnect", force: false } as const;
  const event = { kind: "command", id: "x", command: disconnect } as const;
  deepEqual(copy.step(pair.now, event), core.step(pair.now, event));
  deepEqual(copy.snapshot(), core.snapshot());
});

test("a peer can not ask for our role, our suspension, or to outdate us while connected", () => {
  for (const [mask, value] of [
    [0xc, 0x4],
    [0x2_0000, 0x2_0000],
    [0x1_e000, 0xa000],
    [0x1f0, 0x100],
  ] as const) {
    const pair = connected();
    const packet = { command: "P_STATE_CHG_REQ", volume: 0, mask, value } as const;
    pair.feed("alice", { kind: "packet", socket: "data", packet });
    ok(pair.word("alice").includes("BTN-DISK-PEER-REQUEST"), mask.toString(16));
    equal(pair.hosts.alice.core.view().state.role, "Secondary");
  }
});

test("the last block of a resync is flushed before the metadata says UpToDate (R8)", () => {
  const pair = pairOf({}, {}, false);
  pair.hosts.alice.disk.bytes.fill(3, 0, 900_000);
  pair.up();
  const { core } = pair.hosts.bob;
  const order: string[] = [];
  const step = core.step.bind(core);
  core.step = (now, event) => {
    if (event.kind === "ioDone" || event.kind === "metadataDone") order.push(event.kind);
    const effects = step(now, event);
    for (const effect of effects) {
      if (effect.kind !== "metadata") order.push(effect.kind);
      // Flags of a superblock: CONSISTENT is bit 0 of the fourth byte at 56.
      for (const { offset, bytes } of effect.kind === "metadata" ? effect.writes : []) {
        if (offset !== pair.hosts.bob.disk.layout.superblockOffset) continue;
        order.push(((bytes[59] ?? 0) & 1) === 1 ? "consistent" : "inconsistent");
      }
    }
    return effects;
  };
  pair.command("alice", { verb: "primary", force: true });
  pair.run(5_000);
  const [last, whole] = [order.lastIndexOf("localWrite"), order.indexOf("consistent")];
  ok(last > 0 && whole > last, `${last} ${whole}`);
  const between = order.slice(last, whole);
  const flush = between.indexOf("localFlush");
  ok(flush > 0 && between.indexOf("ioDone", flush) > flush, between.join(" "));
});

test("a peer that lies never makes the core throw, and never makes it Primary", () => {
  const kinds = [...new Set(connectedLog().map(({ packet }) => packet.command))];
  ok(kinds.length > 10);
  for (let seed = 1; seed <= 300; seed++) lie(seed, connectedLog());
});

let recorded: readonly { readonly packet: Packet; readonly socket: "data" | "meta" }[] | undefined;
/** All packets of a short life: a forced Primary, a full sync, writes, a verify. */
function connectedLog() {
  if (recorded !== undefined) return recorded;
  const pair = pairOf({ net: { verify: "sha1" } }, { net: { verify: "sha1" } }, false);
  pair.up();
  pair.command("alice", { verb: "primary", force: true });
  pair.run(3_000);
  pair.feed("alice", write(1));
  pair.run(100);
  pair.command("bob", { verb: "verify", start: 0, stop: 80 });
  pair.run(3_000);
  pair.command("bob", { verb: "disconnect", force: false });
  recorded = pair.log;
  return recorded;
}

/** Packets of that life in any order, some with wrong numbers, against one core. */
function lie(seed: number, log: ReturnType<typeof connectedLog>): void {
  const random = new Prng(seed);
  const pair = pairOf({ net: { verify: "sha1" } });
  pair.up(random.chance(0.5) ? 2_000 : 0);
  const numbers = [0, 1, -1, 7, 8, 4096, 2 ** 31, 2 ** 32 - 1, 2 ** 51, 0x1f0, 0x110aa];
  for (let round = 0; round < 60; round++) {
    const entry = log[random.between(0, log.length - 1)];
    if (entry === undefined) continue;
    const packet = structuredClone(entry.packet) as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(packet)) {
      if (!random.chance(0.2)) continue;
      if (typeof value === "number") {
        // A codec gives only numbers that fit.
        packet[field] = Math.abs(numbers[random.between(0, numbers.length - 1)] ?? 0);
      }
      if (typeof value === "bigint") packet[field] = BigInt(random.between(0, 1_000));
    }
    pair.feed("alice", {
      kind: "packet",
      socket: entry.socket,
      packet: packet as unknown as Packet,
    });
    if (random.chance(0.2)) pair.run(random.between(0, 300));
    equal(pair.hosts.alice.core.view().state.role, "Secondary");
  }
}
