/** What two kernels said to each other, with our data path in the place of one of them. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Bitmap, BitmapReceiver } from "../metadata/index.ts";
import { type CapturedHost, type CapturedPacket, readSession } from "../wire/captures.shell.ts";
import { nodeDigests } from "../wire/digests.shell.ts";
import { type Packet, SYNCER_ID } from "../wire/packets.ts";
import { Lone } from "./lone.test-support.ts";

const writes: readonly Packet["command"][] = [
  "P_DATA",
  "P_TRIM",
  "P_ZEROES",
  "P_BARRIER",
  "P_DATA_REQUEST",
];
const answers: readonly Packet["command"][] = [
  ...(["P_RECV_ACK", "P_WRITE_ACK", "P_RS_WRITE_ACK", "P_NEG_ACK"] as const),
  ...(["P_BARRIER_ACK", "P_DATA_REPLY", "P_NEG_DREPLY"] as const),
];

function sessionsOf(name: string): readonly (readonly CapturedPacket[])[] {
  const all = readSession(name);
  const last = Math.max(...all.map(({ session }) => session));
  return Array.from({ length: last + 1 }, (_, session) =>
    all.filter((packet) => packet.session === session),
  );
}

function sectorsOf(packets: readonly CapturedPacket[]): number {
  const sizes = packets
    .map(({ packet }) => packet)
    .filter((packet) => packet.command === "P_SIZES");
  return Math.max(...sizes.map((packet) => Math.max(packet.currentSectors, packet.diskSectors)));
}

function integrityOf(packets: readonly CapturedPacket[]): string | undefined {
  for (const { packet } of packets) {
    if (packet.command === "P_PROTOCOL")
      return packet.integrity === "" ? undefined : packet.integrity;
  }
  return undefined;
}

/** Everything but the order of acks and the numbers that follow from it. */
function brief(packet: Packet): string {
  if (packet.command === "P_BARRIER_ACK") return `P_BARRIER_ACK ${packet.barrier} ${packet.writes}`;
  if (packet.command === "P_DATA_REPLY") {
    return `P_DATA_REPLY ${packet.sector} ${packet.data.length} ${packet.idHigh} ${packet.idLow} ${packet.flags}`;
  }
  if (!("bytes" in packet && "sector" in packet && "idHigh" in packet)) return packet.command;
  return `${packet.command} ${packet.sector} ${packet.bytes} ${packet.idHigh} ${packet.idLow}`;
}

const isApplications = (packet: Packet): boolean =>
  !("idHigh" in packet) || packet.idHigh !== SYNCER_ID || packet.idLow !== SYNCER_ID;

for (const name of ["03", "04", "05", "14", "15", "16", "17", "18", "20", "21", "23", "25"]) {
  for (const me of ["alice", "bob"] satisfies CapturedHost[]) {
    test(`${me}'s place in capture ${name}: the same acks for the same writes`, () => {
      for (const packets of sessionsOf(name)) {
        const lone = new Lone({ seed: 1, sectors: sectorsOf(packets) }, nodeDigests);
        lone.connect("Secondary", { integrity: integrityOf(packets) });
        const received = packets.filter(
          ({ from, packet }) => from !== me && writes.includes(packet.command),
        );
        for (const { packet } of received) lone.take("data", packet);
        const theirs = packets
          .filter(
            ({ from, packet }) =>
              from === me && answers.includes(packet.command) && isApplications(packet),
          )
          .map(({ packet }) => brief(packet));
        const ours = lone.commands(...answers).map(brief);
        deepEqual(ours.toSorted(), theirs.toSorted());
        const barriers = (all: readonly string[]) =>
          all.filter((line) => line.startsWith("P_BARRIER"));
        deepEqual(barriers(ours), barriers(theirs));
        deepEqual(lone.notices, []);
      }
    });
  }
}

for (const [name, me] of [
  ["05", "bob"],
  ["06", "bob"],
  ["08", "alice"],
  ["09", "bob"],
  ["13", "bob"],
  ["20", "bob"],
  ["23", "alice"],
] as const) {
  test(`${me}'s place in capture ${name}: the same bitmap and the same resync`, () => {
    let resyncs = 0;
    for (const packets of sessionsOf(name)) resyncs += Number(replayTarget(packets, me));
    ok(resyncs > 0, "no resync in this capture");
  });
}

/** True: there was a resync with `me` as its target, and ours was the same. */
function replayTarget(packets: readonly CapturedPacket[], me: CapturedHost): boolean {
  const mine = packets.filter(({ from }) => from === me).map(({ packet }) => packet);
  const theirs = packets.filter(({ from }) => from !== me).map(({ packet }) => packet);
  const isMap = (packet: Packet) =>
    packet.command === "P_BITMAP" || packet.command === "P_COMPRESSED_BITMAP";
  const isRequest = (packet: Packet) =>
    packet.command === "P_RS_DATA_REQUEST" || packet.command === "P_CSUM_RS_REQUEST";
  if (!mine.some(isRequest)) return false;
  const byChecksum = mine.some((packet) => packet.command === "P_CSUM_RS_REQUEST");
  const sectors = Math.max(
    ...theirs
      .filter((packet) => packet.command === "P_SIZES")
      .map((packet) => packet.currentSectors),
    ...mine.filter((packet) => packet.command === "P_SIZES").map((packet) => packet.currentSectors),
  );
  const compressBitmap = mine.some((packet) => packet.command === "P_COMPRESSED_BITMAP");
  const lone = new Lone(
    {
      seed: 1,
      sectors,
      net: { compressBitmap, maxBuffers: 8192 },
      // As the kernels were configured: no controller, 30 MiB/s.
      resync: { planAheadSteps: 0, rateKibPerSecond: 30_720 },
    },
    nodeDigests,
  );
  lone.connect("Secondary", {
    integrity: integrityOf(packets),
    checksumResync: byChecksum ? "sha1" : undefined,
  });
  // What this side had marked itself is what its answer has beyond the peer's map.
  const merged = new Bitmap(new Uint8Array(Math.ceil(sectors / 8 / 8 / 4096) * 4096), sectors);
  const receiver = new BitmapReceiver(merged);
  for (const packet of mine.filter(isMap)) {
    if (packet.command === "P_BITMAP" || packet.command === "P_COMPRESSED_BITMAP") {
      receiver.take(packet.command, packet.bytes);
    }
  }
  lone.change({ conn: "WFBitMapT", disk: "Inconsistent" });
  for (const packet of theirs.filter(isMap)) lone.take("data", packet);
  const runs = [...merged.runs()];
  for (const { first, length } of runs) {
    lone.take("data", {
      command: "P_OUT_OF_SYNC",
      volume: 0,
      sector: first * 8,
      bytes: length * 4096,
    });
  }
  equal(lone.core.dirtyBlocks(), merged.count);
  lone.change({ conn: "WFSyncUUID" });
  lone.change({ conn: "SyncTarget" });
  const replies = theirs.filter((packet) => packet.command === "P_RS_DATA_REPLY");
  const inSync = theirs.filter((packet) => packet.command === "P_RS_IS_IN_SYNC");
  let asked = 0;
  for (
    let turn = 0;
    turn < 200 && !lone.notices.some(({ kind }) => kind === "resyncDone");
    turn++
  ) {
    lone.tick(100);
    const requests = lone.commands("P_RS_DATA_REQUEST", "P_CSUM_RS_REQUEST");
    for (const request of requests.slice(asked)) {
      if (!("sector" in request)) continue;
      const { sector } = request;
      const reply = replies.find((packet) => "sector" in packet && packet.sector === sector);
      if (reply !== undefined) lone.take("data", reply);
      else
        for (const packet of inSync)
          if ("sector" in packet && packet.sector === sector) lone.take("meta", packet);
    }
    asked = requests.length;
  }
  const requested = (all: readonly Packet[]) =>
    all
      .filter(isRequest)
      .map((packet) =>
        "bytes" in packet && "sector" in packet ? `${packet.sector}+${packet.bytes}` : "",
      )
      .toSorted();
  deepEqual(requested(lone.commands("P_RS_DATA_REQUEST", "P_CSUM_RS_REQUEST")), requested(mine));
  const confirmed = (all: readonly Packet[]) =>
    all
      .filter((packet) => packet.command === "P_RS_WRITE_ACK" && !isApplications(packet))
      .map(brief)
      .toSorted();
  deepEqual(confirmed(lone.commands("P_RS_WRITE_ACK")), confirmed(mine));
  deepEqual(lone.notices.at(-1), { kind: "resyncDone", failedBlocks: 0 });
  equal(lone.core.dirtyBlocks(), 0);
  return true;
}
