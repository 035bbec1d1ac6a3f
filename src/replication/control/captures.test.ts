/**
 * The stories of the recorded kernel pairs (wire/testdata), told again with two cores: on each socket each side must send
 * the control packets of the recording, in its order, with equal states, masks, results, bit counts and flags.
 * Generations are compared by name: which are equal, and what was made of what.
 */
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import type { DiskCommand } from "../contract.ts";
import { readSession } from "../wire/captures.shell.ts";
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

interface Sent {
  readonly from: Side;
  readonly socket: string;
  readonly packet: Packet;
}
interface Story {
  readonly capture: string;
  readonly spec?: SpecChanges;
  readonly bobSpec?: SpecChanges;
  readonly sectors?: number;
  readonly fresh?: boolean;
  readonly secrets?: Readonly<Record<Side, Uint8Array>>;
  /** `meta` was accepted by this side. */
  readonly acceptsMeta?: Side;
  readonly tell: (pair: Tale) => void;
}

/** The verbs of the recordings. */
class Tale {
  readonly pair: Pair;
  #requests = 0;
  constructor(pair: Pair) {
    this.pair = pair;
  }
  connect(side?: Side, discardMyData = false): void {
    for (const one of side === undefined ? (["alice", "bob"] as const) : [side]) {
      this.pair.command(one, { verb: "connect", discardMyData });
    }
    this.pair.run(1_500);
  }
  disconnect(side: Side): void {
    this.pair.command(side, { verb: "disconnect", force: false });
    this.pair.run(100);
  }
  primary(side: Side, force = false): void {
    this.pair.command(side, { verb: "primary", force });
    this.pair.run(3_000);
  }
  secondary(side: Side): void {
    this.pair.command(side, { verb: "secondary" });
    this.pair.run(10);
  }
  fill(side: Side, block: number, count: number): void {
    for (let at = 0; at < count; at++) {
      const data = new Uint8Array(4096).fill(1 + this.#requests);
      this.#requests += 1;
      const request = { op: "write", sector: (block + at) * 8, data, fua: false } as const;
      this.pair.feed(side, { kind: "request", id: this.#requests, request });
      this.pair.run(1);
    }
    this.pair.run(20);
  }
  rest(ms = 3_000): void {
    this.pair.run(ms);
  }
}

const names = (): ((value: bigint) => string) => {
  const known = new Map<bigint, string>([
    [0n, "0"],
    [4n, "4"],
  ]);
  return (value) => {
    const identity = value & ~1n;
    const found = known.get(identity);
    if (found !== undefined) return found;
    const base = known.get(BigInt.asUintN(64, identity - (1n << 48n)));
    const name = base === undefined || base === "0" || base === "4" ? `g${known.size}` : `${base}+`;
    known.set(identity, name);
    return name;
  };
};

/** One line for a control packet; undefined for those that are not compared. */
function line(packet: Packet, name: (value: bigint) => string): string | undefined {
  switch (packet.command) {
    case "P_PROTOCOL":
      return `${packet.command} ${packet.protocol} ${packet.afterSplitBrain} ${packet.connectionFlags} ${packet.integrity}`;
    case "P_SIZES":
      // Recording 05 was made on 1 GiB.
      if (packet.diskSectors === 2_097_016) return `${packet.command} 130992 0 130992`;
      return `${packet.command} ${packet.diskSectors} ${packet.userSectors} ${packet.currentSectors}`;
    case "P_UUIDS": {
      const { current, bitmap, history0, history1 } = packet.generations;
      const bits = `${current & 1n}`;
      const parted = bitmap > 4n && !name(bitmap).endsWith("+") ? `${bitmap & 1n}` : "-";
      const slots = [current, bitmap, history0, history1].map(name).join(" ");
      return `${packet.command} ${slots} primary=${bits},${parted} bits=${packet.dirtyBits} flags=${packet.flags}`;
    }
    case "P_STATE":
      return `${packet.command} ${packet.word.toString(16)}`;
    case "P_SYNC_UUID":
      return `${packet.command} ${name(packet.uuid)}`;
    case "P_STATE_CHG_REQ":
    case "P_CONN_ST_CHG_REQ":
      return `${packet.command} ${packet.mask.toString(16)}/${packet.value.toString(16)}`;
    case "P_STATE_CHG_REPLY":
    case "P_CONN_ST_CHG_REPLY":
      return `${packet.command} ${packet.result}`;
    case "P_SYNC_PARAM89":
      return `${packet.command} ${packet.verify} ${packet.checksumResync}`;
    case "P_AUTH_CHALLENGE":
    case "P_AUTH_RESPONSE":
      return `${packet.command} ${packet.bytes.length}`;
    default:
      return undefined;
  }
}

/** Lines of each side and socket. The generations of a connection that ends are sent or not as the moment has it (drbd.md 4.10). */
function control(sent: readonly Sent[]): Readonly<Record<string, readonly string[]>> {
  const name = names();
  const lines: Record<string, string[]> = {};
  for (const from of ["alice", "bob"] as const) {
    for (const socket of ["data", "meta"] as const) {
      lines[`${from} ${socket}`] = [];
    }
    for (const { packet, socket } of sent.filter((one) => one.from === from)) {
      const text = line(packet, name);
      if (text !== undefined) lines[`${from} ${socket}`]?.push(text);
    }
  }
  return lines;
}

/** Drops P_UUIDS on the dying connection: what is between the peer's request to disconnect and the next P_PROTOCOL. */
function withoutFarewells(sent: readonly Sent[]): readonly Sent[] {
  const asked: Record<Side, boolean> = { alice: false, bob: false };
  return sent.filter(({ from, packet }) => {
    const other = from === "alice" ? "bob" : "alice";
    if (packet.command === "P_CONN_ST_CHG_REQ") asked[other] = true;
    if (packet.command === "P_PROTOCOL") asked[from] = false;
    return !(packet.command === "P_UUIDS" && asked[from]);
  });
}

const resync = specOf().disk.resync;

const stories: readonly Story[] = [
  {
    capture: "01",
    fresh: true,
    spec: { disk: { sizeSectors: 256 } },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice", true);
      tale.disconnect("bob");
    },
  },
  {
    capture: "02",
    fresh: true,
    sectors: 131_072,
    tell: (tale) => {
      tale.connect();
      tale.pair.command("alice", { verb: "new-current-uuid", clearBitmap: true });
      tale.rest(100);
      tale.disconnect("bob");
    },
  },
  {
    capture: "04",
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 4);
      tale.secondary("alice");
      tale.primary("bob");
      tale.fill("bob", 4, 2);
      tale.secondary("bob");
      tale.primary("alice");
      tale.primary("bob");
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  ...["05", "06"].map((capture) => ({
    capture,
    sectors: 131_072,
    spec: { net: { compressBitmap: capture === "05" } },
    tell: (tale: Tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 2);
      tale.disconnect("bob");
      tale.fill("alice", 3, 3);
      tale.fill("alice", 100, 1);
      tale.fill("alice", 9_000, capture === "05" ? 6 : 2);
      tale.connect("bob");
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  })),
  {
    capture: "07",
    spec: { disk: { sizeSectors: 256 } },
    tell: (tale) => {
      const { pair } = tale;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 3);
      pair.crash("alice");
      tale.rest(12_000);
      pair.restart("alice");
      pair.command("alice", { verb: "attach" });
      tale.connect("alice");
      tale.rest();
      tale.disconnect("bob");
    },
  },
  {
    capture: "08",
    spec: { disk: { sizeSectors: 256 }, net: { checksumResync: "sha1" } },
    tell: (tale) => {
      const { pair } = tale;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 3);
      pair.crash("alice");
      tale.rest(12_000);
      tale.primary("bob");
      tale.fill("bob", 10, 2);
      pair.restart("alice");
      pair.command("alice", { verb: "attach" });
      tale.connect("alice");
      tale.rest();
      tale.secondary("bob");
      tale.disconnect("alice");
    },
  },
  ...(
    [
      ["09", 2, 3, {}],
      ["10", 2, 0, { afterSplitBrain0Primaries: "discard-zero-changes" }],
      ["11", 5, 2, { afterSplitBrain0Primaries: "discard-least-changes" }],
    ] as const
  ).map(([capture, alice, bob, net]) => ({
    capture,
    spec: { net },
    tell: (tale: Tale) => {
      tale.connect();
      tale.disconnect("bob");
      tale.disconnect("alice");
      tale.primary("alice");
      tale.fill("alice", 1, alice);
      tale.secondary("alice");
      tale.primary("bob");
      tale.fill("bob", capture === "11" ? 9 : 5, bob);
      tale.secondary("bob");
      tale.connect();
      tale.rest();
      if (capture === "09") {
        tale.connect("alice");
        tale.connect("bob", true);
        tale.rest();
      }
      tale.disconnect("bob");
    },
  })),
  {
    capture: "12",
    spec: { net: { verify: "sha1" } },
    tell: (tale) => {
      const { pair } = tale;
      for (const block of [7, 30, 31])
        pair.hosts.bob.disk.bytes.fill(0x55, block * 4096, block * 4096 + 9);
      tale.connect();
      pair.command("alice", { verb: "verify", start: undefined, stop: undefined });
      tale.rest(5_000);
      tale.disconnect("bob");
      tale.connect("bob");
      tale.primary("alice");
      tale.disconnect("bob");
      tale.connect("bob");
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "13",
    spec: { net: { checksumResync: "sha1" } },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 2, 8);
      tale.disconnect("bob");
      tale.fill("alice", 2, 4);
      tale.connect("bob");
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "18",
    spec: { net: { authentication: { algorithm: "sha1", secretFile: "" } } },
    secrets: { alice: secret("BatonSecret"), bob: secret("BatonSecret") },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 1);
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "19",
    spec: { net: { authentication: { algorithm: "sha1", secretFile: "" } } },
    secrets: { alice: secret("BatonSecret"), bob: secret("WrongSecret") },
    tell: (tale) => {
      tale.connect();
      tale.rest();
      deepEqual(
        [tale.pair.state("alice"), tale.pair.state("bob")].map((text) => text.split(" ")[0]),
        ["StandAlone", "StandAlone"],
      );
    },
  },
  {
    capture: "20",
    spec: { net: { dataIntegrity: "sha1" } },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 4);
      tale.disconnect("bob");
      tale.fill("alice", 4, 2);
      tale.connect("bob");
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "21",
    spec: { net: { dataIntegrity: "crc32c", verify: "crc32c", checksumResync: "crc32c" } },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 4);
      tale.secondary("alice");
      tale.pair.command("alice", { verb: "verify", start: undefined, stop: undefined });
      tale.rest(5_000);
      tale.disconnect("bob");
    },
  },
  {
    capture: "23",
    spec: { disk: { sizeSectors: 256 } },
    tell: (tale) => {
      const { pair } = tale;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 4);
      pair.command("alice", { verb: "detach", force: false });
      tale.fill("alice", 4, 2);
      pair.command("alice", { verb: "attach" });
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "24",
    spec: { disk: { fencing: "resource-only" } },
    tell: (tale) => {
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 2);
      tale.disconnect("bob");
      tale.primary("bob");
      tale.fill("alice", 2, 2);
      tale.connect("bob");
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "25",
    spec: { net: { pingIntervalMs: 3_000, pingTimeoutMs: 1_000 } },
    tell: (tale) => {
      const { pair } = tale;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 1);
      tale.rest(8_000);
      pair.cut = true;
      tale.rest(8_000);
      tale.fill("alice", 3, 1);
      pair.cut = false;
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "26",
    spec: { net: { protocol: "C" } },
    bobSpec: { net: { protocol: "A" } },
    tell: (tale) => {
      tale.connect();
      tale.rest();
    },
  },
  {
    capture: "27",
    spec: { disk: { sizeSectors: 256 } },
    tell: (tale) => {
      const { pair } = tale;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 2);
      pair.command("bob", { verb: "invalidate" });
      tale.rest();
      pair.command("alice", { verb: "set-resync-rate", kibPerSecond: 60 });
      pair.command("alice", { verb: "invalidate-remote" });
      pair.run(500);
      pair.command("alice", { verb: "pause-sync" });
      pair.run(1_000);
      pair.command("alice", { verb: "resume-sync" });
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
  {
    capture: "28",
    spec: {
      net: { pingIntervalMs: 3_000, pingTimeoutMs: 1_000 },
      disk: { fencing: "resource-only" },
    },
    tell: (tale) => {
      const { pair } = tale;
      pair.fenceAnswer = () => 4;
      tale.connect();
      tale.primary("alice");
      tale.fill("alice", 0, 2);
      pair.cut = true;
      tale.rest(8_000);
      tale.fill("alice", 2, 2);
      pair.command("bob", { verb: "outdate" });
      pair.command("bob", { verb: "primary", force: false });
      pair.cut = false;
      tale.rest();
      tale.secondary("alice");
      tale.disconnect("bob");
    },
  },
];

/** Most recordings were stopped before the last demotion and disconnect were through. */
const untilTheEnd = (lines: readonly string[] = []): readonly string[] =>
  lines.at(-1)?.startsWith("P_CONN_ST_CHG") === true ? lines.slice(0, -1) : lines;

function secret(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

for (const story of stories) {
  test(`two cores say what two kernels said in recording ${story.capture}`, () => {
    const recorded = readSession(story.capture).filter(({ session }) => session >= 0);
    const sectors = story.sectors ?? 2_048;
    const disks = { alice: new TestDisk(sectors), bob: new TestDisk(sectors) };
    const size = story.spec?.disk?.sizeSectors ?? disks.alice.layout.usableSectors;
    if (story.fresh !== true) makeEqual([disks.alice, disks.bob], 0xfdba_088f_d5c0_65fan, size);
    const changes = { ...story.spec, disk: { ...story.spec?.disk, resync } };
    const pair = new Pair({
      disks,
      digests: nodeDigests,
      specs: {
        alice: specOf(changes),
        bob: specOf({ ...changes, ...story.bobSpec }),
      },
      ...(story.secrets === undefined ? {} : { secrets: story.secrets }),
    });
    pair.both({ verb: "attach" });
    const tale = new Tale(pair);
    if (story.spec?.disk?.fencing !== undefined) {
      // The recorded pair had been connected before, so that nothing was merely Consistent.
      tale.connect();
      tale.disconnect("bob");
      tale.disconnect("alice");
      pair.log.length = 0;
    }
    story.tell(tale);
    const ours = control(withoutFarewells(pair.log));
    const theirs = control(withoutFarewells(recorded));
    for (const key of Object.keys(theirs)) {
      const [mine, recordedLines] = [ours[key] ?? [], untilTheEnd(theirs[key])];
      deepEqual(mine.slice(0, recordedLines.length), recordedLines, key);
      const rest = mine.slice(recordedLines.length);
      deepEqual(
        rest.filter((text) => !/^P_CONN_ST_CHG|^P_STATE 110aa/.test(text)),
        [],
        key,
      );
    }
  });
}

/** The command that a recorded packet of ours comes from; undefined: none. */
function commandOf(packet: Packet, primary: boolean): DiskCommand | undefined {
  if (packet.command === "P_STATE_CHG_REQ") {
    const commands: Readonly<Record<number, DiskCommand>> = {
      1: { verb: "primary", force: false },
      4097: { verb: "primary", force: true },
      288: { verb: "verify", start: undefined, stop: undefined },
      192: { verb: "invalidate" },
      176: { verb: "invalidate-remote" },
      1024: { verb: "detach", force: false },
    };
    return commands[packet.value];
  }
  if (packet.command === "P_CONN_ST_CHG_REQ") return { verb: "disconnect", force: false };
  if (packet.command === "P_UUIDS" && packet.flags === 8) {
    return { verb: "new-current-uuid", clearBitmap: true };
  }
  const secondary = packet.command === "P_STATE" && (packet.word & 3) === 2;
  return secondary && primary ? { verb: "secondary" } : undefined;
}

const isBulk = (packet: Packet): boolean =>
  /BITMAP|P_RS_|P_CSUM|P_OV_|P_DATA_REQUEST/.test(packet.command);

/** What one side of a recording sent in its first session, and what a core sends that is told the other side's packets. */
function replay(story: Story, side: Side): void {
  const all = readSession(story.capture).filter(
    ({ session, packet }) => session === 0 && !packet.command.startsWith("P_INITIAL"),
  );
  const bulk = all.findIndex(({ packet }) => isBulk(packet));
  const packets = bulk < 0 ? all : all.slice(0, bulk);
  const sectors = story.sectors ?? 2_048;
  const disks = { alice: new TestDisk(sectors), bob: new TestDisk(sectors) };
  const uuids = packets.find(({ from, packet }) => from === side && packet.command === "P_UUIDS");
  const size = story.spec?.disk?.sizeSectors ?? disks.alice.layout.usableSectors;
  if (story.fresh !== true && uuids?.packet.command === "P_UUIDS") {
    makeEqual([disks.alice, disks.bob], uuids.packet.generations.current, size);
  }
  const alice = specOf(story.spec);
  const bob = specOf({ ...story.spec, ...story.bobSpec });
  const pair = new Pair({
    disks,
    digests: nodeDigests,
    specs: { alice, bob },
    ...(story.secrets === undefined ? {} : { secrets: story.secrets }),
  });
  if (story.spec?.disk?.fencing !== undefined) {
    const tale = new Tale(pair);
    pair.both({ verb: "attach" });
    tale.connect();
    tale.disconnect("bob");
    tale.disconnect("alice");
  } else pair.command(side, { verb: "attach" });
  pair.crash(side === "alice" ? "bob" : "alice");
  pair.command(side, { verb: "connect", discardMyData: false });
  pair.log.length = 0;
  pair.feed(side, { kind: "socketsUp", acceptedMeta: false });
  let requests = 0;
  let answered = 0;
  let epoch = 0;
  /** Ids, epochs and pings are ours: the recorded answers to them mean nothing, so the peer's are made here. */
  const answerOurs = (): void => {
    for (const { from, packet } of pair.log.slice(answered)) {
      answered += 1;
      if (from !== side) continue;
      const tell = (answer: Packet): void =>
        pair.feed(side, { kind: "packet", socket: "meta", packet: answer });
      if (packet.command === "P_PING") tell({ command: "P_PING_ACK", volume: 0 });
      if (packet.command === "P_BARRIER") {
        tell({ command: "P_BARRIER_ACK", barrier: packet.barrier, writes: epoch });
        epoch = 0;
      }
      if (packet.command !== "P_DATA") continue;
      epoch += 1;
      const { volume, sector, idHigh, idLow, sequence, data } = packet;
      if ((packet.flags & 256) === 0) continue;
      const bytes = data.length;
      tell({ command: "P_WRITE_ACK", volume, sector, idHigh, idLow, bytes, sequence });
    }
    pair.run(0);
  };
  const isAnswer = /P_WRITE_ACK|P_BARRIER_ACK|P_RECV_ACK|P_PING_ACK|P_SUPERSEDED/;
  for (const { from, socket, packet } of packets) {
    if (from !== side) {
      if (!isAnswer.test(packet.command)) pair.feed(side, { kind: "packet", socket, packet });
    } else {
      const primary = pair.hosts[side].core.view().state.role === "Primary";
      const command = commandOf(packet, primary);
      if (command !== undefined) pair.feed(side, { kind: "command", id: "replay", command });
      if (packet.command === "P_DATA") {
        requests += 1;
        const request = {
          op: "write",
          sector: packet.sector,
          data: packet.data,
          fua: false,
        } as const;
        pair.feed(side, { kind: "request", id: requests, request });
      }
    }
    pair.run(0);
    for (let round = 0; round < 5; round++) answerOurs();
  }
  const recorded = control(withoutFarewells(packets.filter(({ from }) => from === side)));
  const sent = control(withoutFarewells(pair.log.filter(({ from }) => from === side)));
  for (const socket of ["data", "meta"]) {
    const key = `${side} ${socket}`;
    const [ours, theirs] = [sent[key] ?? [], recorded[key] ?? []];
    deepEqual(ours.slice(0, theirs.length), theirs, key);
  }
}

// A recorded answer to a challenge fits the recorded challenge only.
for (const story of stories.filter(({ secrets }) => secrets === undefined)) {
  test(`a core that is told what a kernel sent in recording ${story.capture} answers as the other kernel`, () => {
    replay(story, "alice");
    replay(story, "bob");
  });
}
