import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { BlockAckPacket, DataPacket, Packet } from "../wire/packets.ts";
import { Lone } from "./lone.test-support.ts";
import { filled, type RigOptions } from "./rig.test-support.ts";

const sectors = 65_536;

function primary(options: Partial<RigOptions> = {}, session = {}): Lone {
  const lone = new Lone({ seed: 1, sectors, ...options });
  lone.connect("Primary", session);
  return lone;
}

function secondary(options: Partial<RigOptions> = {}, session = {}): Lone {
  const lone = new Lone({ seed: 1, sectors, ...options });
  lone.connect("Secondary", session);
  return lone;
}

function write(lone: Lone, id: number, sector: number, count = 8): void {
  lone.core.request(id, { op: "write", sector, data: filled(id, count), fua: false }, lone.now);
  lone.run();
}

const dataOf = (lone: Lone): readonly DataPacket[] =>
  lone.commands("P_DATA") as readonly DataPacket[];

function ackOf(packet: DataPacket, command: BlockAckPacket["command"], change = {}): Packet {
  const { volume, sector, idHigh, idLow } = packet;
  return {
    command,
    volume,
    sector,
    idHigh,
    idLow,
    bytes: packet.data.length,
    sequence: 1,
    ...change,
  };
}

const only = <Item>(items: readonly Item[]): Item => {
  equal(items.length, 1);
  return items[0] as Item;
};

const data = (sector: number, bytes: number, flags = 0x102, change = {}): Packet => ({
  command: "P_DATA",
  volume: 0,
  sector,
  idHigh: 7,
  idLow: sector,
  sequence: 1,
  flags,
  digest: undefined,
  data: new Uint8Array(bytes),
  ...change,
});

const problem = (lone: Lone): string => {
  const notice = lone.notices.at(-1);
  return notice?.kind === "peerViolation" ? notice.reason : (notice?.kind ?? "none");
};

test("a write is answered once it is here and acknowledged there; the barrier settles it", () => {
  const lone = primary();
  write(lone, 1, 64);
  const packet = only(dataOf(lone));
  equal(packet.flags, 0x102);
  deepEqual(lone.answers, []);
  lone.take("meta", ackOf(packet, "P_WRITE_ACK"));
  deepEqual(lone.answers, [{ kind: "answer", id: 1, ok: true }]);
  const barrier = only(lone.commands("P_BARRIER"));
  equal(lone.core.drained(), false);
  lone.take("meta", {
    command: "P_BARRIER_ACK",
    barrier: (barrier as { barrier: number }).barrier,
    writes: 1,
  });
  // To be asked makes it flush what no flush has covered; then it tells.
  equal(lone.core.drained(), false);
  lone.run();
  deepEqual(lone.notices, [{ kind: "drained" }, { kind: "drained" }]);
  equal(lone.core.drained(), true);
  equal(lone.core.dirtyBlocks(), 0);
});

test("protocol A asks for no ack, B for receipt", () => {
  const a = primary({ net: { protocol: "A" } }, { protocol: "A" });
  write(a, 1, 64);
  equal(only(dataOf(a)).flags, 0x002);
  equal(a.answers.length, 1);
  const b = primary({ net: { protocol: "B" } }, { protocol: "B" });
  write(b, 1, 64);
  equal(only(dataOf(b)).flags, 0x082);
  equal(b.answers.length, 0);
  b.take("meta", ackOf(only(dataOf(b)), "P_RECV_ACK"));
  equal(b.answers.length, 1);
});

const lies: readonly [string, (packet: DataPacket) => Packet, string][] = [
  ["an unknown id", (packet) => ackOf(packet, "P_WRITE_ACK", { idLow: 77 }), "BTN-DISK-DATA-ACK"],
  ["an old id", (packet) => ackOf(packet, "P_WRITE_ACK", { idHigh: 99 }), "BTN-DISK-DATA-ACK"],
  ["another sector", (packet) => ackOf(packet, "P_WRITE_ACK", { sector: 72 }), "BTN-DISK-DATA-ACK"],
  ["another size", (packet) => ackOf(packet, "P_WRITE_ACK", { bytes: 512 }), "BTN-DISK-DATA-ACK"],
  ["a retry", (packet) => ackOf(packet, "P_RETRY_WRITE"), "BTN-DISK-DATA-ACK"],
  [
    "a resync ack for nothing",
    (packet) => ackOf(packet, "P_RS_WRITE_ACK", { idHigh: 0xffff_ffff, idLow: 0xffff_ffff }),
    "BTN-DISK-DATA-ACK",
  ],
  [
    "a barrier not sent",
    () => ({ command: "P_BARRIER_ACK", barrier: 0, writes: 1 }),
    "BTN-DISK-DATA-BARRIER",
  ],
];
for (const [name, lie, reason] of lies) {
  test(`a lie of the peer ends the connection: ${name}`, () => {
    const lone = primary();
    write(lone, 1, 64);
    lone.take("meta", lie(only(dataOf(lone))));
    equal(problem(lone), reason);
    deepEqual(lone.answers, []);
  });
}

test("a barrier ack must have the exact count", () => {
  const lone = primary();
  write(lone, 1, 64);
  lone.take("meta", ackOf(only(dataOf(lone)), "P_WRITE_ACK"));
  lone.take("meta", { command: "P_BARRIER_ACK", barrier: 0, writes: 2 });
  equal(problem(lone), "BTN-DISK-DATA-BARRIER");
});

test("a refused write succeeds here and is marked, also when it is refused after it was acknowledged", () => {
  for (const first of ["P_NEG_ACK", "P_WRITE_ACK"] as const) {
    const lone = primary();
    write(lone, 1, 64);
    const packet = only(dataOf(lone));
    lone.take("meta", ackOf(packet, first));
    if (first !== "P_NEG_ACK") lone.take("meta", ackOf(packet, "P_NEG_ACK"));
    deepEqual(lone.answers, [{ kind: "answer", id: 1, ok: true }]);
    lone.take("meta", { command: "P_BARRIER_ACK", barrier: 0, writes: 1 });
    equal(lone.core.dirtyBlocks(), 1);
  }
});

test("a superseded write is finished, and its epoch is never acknowledged", () => {
  const lone = primary();
  write(lone, 1, 64);
  lone.take("meta", ackOf(only(dataOf(lone)), "P_SUPERSEDED"));
  equal(lone.answers.length, 1);
  write(lone, 2, 128);
  lone.take("meta", ackOf(dataOf(lone)[1] as DataPacket, "P_WRITE_ACK"));
  const barrier = lone.commands("P_BARRIER").at(-1) as { barrier: number };
  lone.take("meta", { command: "P_BARRIER_ACK", barrier: barrier.barrier, writes: 1 });
  equal(problem(lone) === "BTN-DISK-DATA-BARRIER", false);
});

test("the connection is lost: what was not settled is marked and answered from here", () => {
  const lone = primary();
  write(lone, 1, 64);
  write(lone, 2, 1024, 9);
  lone.change({ conn: "WFConnection", pdsk: "DUnknown" });
  deepEqual(
    lone.answers.map((answer) => answer.kind === "answer" && answer.ok),
    [true, true],
  );
  equal(lone.core.dirtyBlocks(), 3);
});

test("frozen: nothing is answered until the peer is fenced", () => {
  const lone = primary();
  write(lone, 1, 64);
  lone.change({ conn: "WFConnection", pdsk: "DUnknown", suspFencing: true });
  write(lone, 2, 128);
  deepEqual(lone.answers, []);
  lone.change({ pdsk: "Outdated", suspFencing: false });
  equal(lone.answers.length, 2);
  equal(lone.core.dirtyBlocks(), 2);
});

test("frozen and reconnected: everything is sent again, read back, and then answered", () => {
  const lone = primary();
  write(lone, 1, 64);
  write(lone, 2, 128);
  lone.change({ conn: "WFConnection", pdsk: "DUnknown", suspFencing: true });
  lone.sent.length = 0;
  lone.connect("Primary");
  lone.change({ suspFencing: false });
  const again = dataOf(lone);
  deepEqual(
    again.map(({ sector }) => sector),
    [64, 128],
  );
  deepEqual(again[0]?.data, filled(1, 8));
  for (const packet of again) lone.take("meta", ackOf(packet, "P_WRITE_ACK"));
  equal(lone.answers.length, 2);
  equal(lone.core.dirtyBlocks(), 0);
});

test("a flush waits for the peer's barrier ack", () => {
  const lone = primary();
  write(lone, 1, 64);
  lone.core.request(2, { op: "flush" }, lone.now);
  lone.run();
  lone.take("meta", ackOf(only(dataOf(lone)), "P_WRITE_ACK"));
  deepEqual(
    lone.answers.map((answer) => answer.kind === "answer" && answer.id),
    [1],
  );
  lone.take("meta", { command: "P_BARRIER_ACK", barrier: 0, writes: 1 });
  deepEqual(
    lone.answers.map((answer) => answer.kind === "answer" && answer.id),
    [1, 2],
  );
});

test("ko-count: a peer that does not answer is told of once", () => {
  const lone = primary();
  write(lone, 1, 64);
  equal(lone.core.wakeAt(), lone.now + 42_000);
  lone.tick(42_000);
  equal(problem(lone), "peerTooSlow");
  lone.tick(1000);
  equal(lone.notices.length, 1);
});

test("disk-timeout: a disk that does not answer is told of once", () => {
  const lone = primary({ diskTimeoutMs: 5000 });
  lone.prompt = false;
  lone.core.request(1, { op: "read", sector: 0, bytes: 4096 }, lone.now);
  lone.tick(5000);
  lone.tick(5000);
  deepEqual(
    lone.notices.map(({ kind }) => kind),
    ["localIoError"],
  );
});

test("a failed local write is served by the peer; the disk is told of", () => {
  const lone = primary();
  lone.fails = (effect) => effect.kind === "localWrite";
  write(lone, 1, 64);
  lone.take("meta", ackOf(only(dataOf(lone)), "P_WRITE_ACK"));
  deepEqual(lone.answers, [{ kind: "answer", id: 1, ok: true }]);
  equal(lone.core.dirtyBlocks(), 1);
  equal(problem(lone), "localIoError");
});

test("without a disk reads come from the peer; refused there too, they fail", () => {
  const lone = primary();
  lone.change({ disk: "Diskless" });
  lone.core.request(1, { op: "read", sector: 8, bytes: 4096 }, lone.now);
  const asked = only(lone.commands("P_DATA_REQUEST")) as BlockAckPacket;
  const { idHigh, idLow } = asked;
  const reply = filled(5, 8);
  lone.take("data", {
    ...data(8, 4096, 0, { idHigh, idLow, data: reply }),
    command: "P_DATA_REPLY",
  } as Packet);
  deepEqual(lone.answers, [{ kind: "answer", id: 1, ok: true, data: reply }]);
  lone.core.request(2, { op: "read", sector: 8, bytes: 4096 }, lone.now);
  const second = lone.commands("P_DATA_REQUEST")[1] as BlockAckPacket;
  lone.take("meta", { ...second, command: "P_NEG_DREPLY", sequence: 1 } as Packet);
  deepEqual(lone.answers[1], { kind: "answer", id: 2, ok: false, errno: "EIO" });
});

test("a failed read is repeated at the peer", () => {
  const lone = primary();
  lone.fails = (effect) => effect.kind === "localRead";
  lone.core.request(1, { op: "read", sector: 8, bytes: 4096 }, lone.now);
  lone.run();
  equal(lone.commands("P_DATA_REQUEST").length, 1);
  equal(lone.core.dirtyBlocks(), 1);
});

test("requests that make no sense are refused by their errors", () => {
  const lone = primary();
  write(lone, 1, sectors - 4, 8);
  lone.core.request(2, { op: "read", sector: 0, bytes: 100 }, lone.now);
  const other = secondary();
  write(other, 3, 0);
  const errors = [...lone.answers, ...other.answers].map((answer) =>
    answer.kind === "answer" && !answer.ok ? answer.errno : "none",
  );
  deepEqual(errors, ["ENOSPC", "EINVAL", "EROFS"]);
});

test("a Secondary without a disk refuses every write and counts it", () => {
  const lone = secondary();
  lone.change({ disk: "Diskless" });
  lone.take("data", data(0, 4096));
  lone.take("data", { command: "P_BARRIER", barrier: 9 });
  deepEqual(
    lone.sent.map(({ packet }) => packet.command),
    ["P_NEG_ACK", "P_BARRIER_ACK"],
  );
  equal((lone.sent[1] as { packet: { writes: number } }).packet.writes, 1);
});

test("a failed flush takes acknowledged writes back before the barrier is acknowledged (R10)", () => {
  const lone = secondary();
  lone.fails = (effect) => effect.kind === "localFlush";
  lone.take("data", data(0, 4096));
  lone.take("data", { command: "P_BARRIER", barrier: 9 });
  deepEqual(
    lone.sent.map(({ packet }) => packet.command),
    ["P_WRITE_ACK", "P_NEG_ACK", "P_BARRIER_ACK"],
  );
  equal(problem(lone), "localIoError");
});

test("what a peer sends is checked before it reaches the disk", () => {
  for (const packet of [
    data(sectors - 4, 4096),
    data(0, 100),
    data(0, 0),
    data(0, 2 * 1024 * 1024),
  ]) {
    const lone = secondary();
    lone.take("data", packet);
    equal(problem(lone), "BTN-DISK-DATA-RANGE");
    deepEqual(lone.sent, []);
  }
  const lone = secondary({}, { integrity: "crc32c" });
  lone.take("data", data(0, 4096, 0x102, { digest: Uint8Array.of(1, 2, 3, 4) }));
  equal(problem(lone), "BTN-DISK-DATA-DIGEST");
  deepEqual(lone.sent, []);
});

test("overlapping writes of the peer reach the disk in order", () => {
  const lone = secondary({}, { baton: true });
  lone.prompt = false;
  for (const [index, sector] of [0, 4, 0].entries()) {
    lone.take("data", data(sector, 4096, 0x102, { idLow: index, data: filled(index + 1, 8) }));
  }
  equal(lone.held.length, 1);
  equal(lone.core.inFlightBytes(), 3 * 4096);
  for (let next = lone.held.shift(); next !== undefined; next = lone.held.shift()) next();
  deepEqual(
    lone.commands("P_WRITE_ACK").map((packet) => "idLow" in packet && packet.idLow),
    [0, 1, 2],
  );
  equal(lone.disk[0], 3);
  equal(lone.core.inFlightBytes(), 0);
});

test("a kernel's next epoch waits for the flush of the one before", () => {
  const lone = secondary();
  lone.prompt = false;
  lone.take("data", data(0, 4096));
  lone.held.shift()?.();
  lone.take("data", { command: "P_BARRIER", barrier: 1 });
  lone.take("data", data(64, 4096));
  equal(lone.held.length, 1, "only the flush");
  lone.held.shift()?.();
  equal(lone.held.length, 1, "now the write");
});

test("an unreadable bitmap, or one at a wrong time, ends the connection", () => {
  const lone = secondary();
  lone.take("data", { command: "P_BITMAP", volume: 0, bytes: new Uint8Array(8) });
  equal(problem(lone), "BTN-DISK-DATA-BITMAP");
});

test("verify: both sides mark what differs, and repair nothing", () => {
  const [a, b] = [primary({ sectors: 800 }), secondary({ sectors: 800 })];
  b.disk.fill(9, 16 * 4096, 17 * 4096);
  b.disk.fill(9, 99 * 4096, 100 * 4096);
  a.core.verifyRange(undefined, undefined);
  b.change({ conn: "VerifyT" });
  a.change({ conn: "VerifyS" });
  let fromA = 0;
  let fromB = 0;
  for (let turn = 0; turn < 200 && !a.notices.some(({ kind }) => kind === "verifyDone"); turn++) {
    for (; fromA < a.sent.length; fromA++)
      b.take(a.sent[fromA]?.socket ?? "data", a.sent[fromA]?.packet as Packet);
    for (; fromB < b.sent.length; fromB++)
      a.take(b.sent[fromB]?.socket ?? "data", b.sent[fromB]?.packet as Packet);
    a.tick(100);
  }
  for (; fromA < a.sent.length; fromA++)
    b.take(a.sent[fromA]?.socket ?? "data", a.sent[fromA]?.packet as Packet);
  deepEqual(a.notices, [{ kind: "verifyDone", outOfSyncBlocks: 2 }]);
  deepEqual(b.notices, [{ kind: "verifyDone", outOfSyncBlocks: 2 }]);
  deepEqual([a.core.dirtyBlocks(), b.core.dirtyBlocks()], [2, 2]);
  equal(a.core.counters().peerPending, 0);
});

test("a verify with a stop sector ends there", () => {
  const a = primary({ sectors: 8000 });
  a.core.verifyRange(80, 160);
  a.change({ conn: "VerifyS" });
  for (let turn = 0; turn < 20; turn++) a.tick(100);
  const asked = a
    .commands("P_OV_REQUEST")
    .map((packet) => ("sector" in packet ? packet.sector : -1));
  deepEqual(asked, [80, 88, 96, 104, 112, 120, 128, 136, 144, 152]);
});

test("a resync request is answered once, whatever becomes of it", () => {
  const request = {
    volume: 0,
    sector: 0,
    bytes: 4096,
    idHigh: 0xffff_ffff,
    idLow: 0xffff_ffff,
    digest: undefined,
  };
  const commandOf = (lone: Lone) => lone.sent.map(({ packet }) => packet.command);
  const source = primary();
  source.take("data", { command: "P_RS_DATA_REQUEST", ...request });
  deepEqual(commandOf(source), ["P_RS_DATA_REPLY"]);
  const failing = primary();
  failing.fails = (effect) => effect.kind === "localRead";
  failing.take("data", { command: "P_RS_DATA_REQUEST", ...request });
  deepEqual(commandOf(failing), ["P_NEG_RS_DREPLY"]);
  const ahead = primary();
  ahead.change({ conn: "Ahead", pdsk: "Consistent" });
  ahead.take("data", { command: "P_RS_DATA_REQUEST", ...request });
  deepEqual(commandOf(ahead), ["P_RS_CANCEL"]);
  const thin = primary();
  thin.take("data", { command: "P_RS_THIN_REQ", ...request });
  deepEqual(commandOf(thin), ["P_RS_DEALLOCATED"]);
});

test("blocks that the source can not read stay marked, and the resync ends", () => {
  const lone = secondary();
  lone.change({ conn: "WFSyncUUID", disk: "Inconsistent" });
  lone.take("data", { command: "P_OUT_OF_SYNC", volume: 0, sector: 0, bytes: 4096 });
  lone.change({ conn: "SyncTarget" });
  lone.tick(100);
  const asked = only(lone.commands("P_RS_DATA_REQUEST")) as BlockAckPacket;
  lone.take("meta", { ...asked, command: "P_NEG_RS_DREPLY", sequence: 1 } as Packet);
  lone.tick(100);
  deepEqual(lone.notices, [{ kind: "resyncDone", failedBlocks: 1 }]);
  equal(lone.core.dirtyBlocks(), 1);
});

test("an empty resync ends at once; a paused one asks for nothing", () => {
  const lone = secondary();
  lone.change({ conn: "WFSyncUUID", disk: "Inconsistent" });
  lone.change({ conn: "SyncTarget" });
  deepEqual(lone.notices, [{ kind: "resyncDone", failedBlocks: 0 }]);
  const paused = secondary();
  paused.change({ conn: "WFSyncUUID", disk: "Inconsistent" });
  paused.core.setAllBits(paused.now);
  paused.run();
  paused.change({ conn: "PausedSyncT", userPaused: true });
  paused.tick(1000);
  deepEqual(paused.commands("P_RS_DATA_REQUEST"), []);
  paused.change({ conn: "SyncTarget", userPaused: false });
  ok(paused.commands("P_RS_DATA_REQUEST").length > 0);
});

test("whatever arrives, nothing throws", () => {
  const commands: readonly Packet["command"][] = [
    ...(["P_DATA", "P_TRIM", "P_ZEROES", "P_WSAME", "P_DATA_REQUEST", "P_DATA_REPLY"] as const),
    ...(["P_RS_DATA_REPLY", "P_RS_DEALLOCATED", "P_CSUM_RS_REQUEST", "P_OV_REQUEST"] as const),
    ...(["P_OV_REPLY", "P_OUT_OF_SYNC", "P_BITMAP", "P_COMPRESSED_BITMAP", "P_BARRIER"] as const),
    ...(["P_RECV_ACK", "P_NEG_ACK", "P_NEG_DREPLY", "P_NEG_RS_DREPLY", "P_OV_RESULT"] as const),
    ...(["P_RS_IS_IN_SYNC", "P_RS_CANCEL", "P_BARRIER_ACK", "P_PING", "P_UNPLUG_REMOTE"] as const),
  ];
  for (const command of commands) {
    for (const socket of ["data", "meta"] as const) {
      for (const sector of [0, sectors - 1, sectors, 2 ** 51, -1]) {
        const lone = secondary();
        const any = {
          bytes: 512,
          idHigh: 1,
          idLow: 2,
          flags: 0,
          digest: undefined,
          barrier: 1,
          writes: 0,
        };
        lone.take(socket, {
          ...any,
          command,
          volume: 0,
          sector,
          sequence: 1,
          data: new Uint8Array(512),
        } as unknown as Packet);
      }
    }
  }
});
