import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Session } from "../shared.ts";
import { Rig, type RigOptions, type Side } from "./rig.test-support.ts";

const one = process.env["SEED"];
const count = Number(process.env["SEEDS"] ?? 40);
const seeds =
  one === undefined ? Array.from({ length: count }, (_, run) => run + 1) : [Number(one)];

const exercised = new Set<string>();

/** 512 MiB: more extents than the smallest activity log has slots, so that extents are evicted. */
const sectors = 1_048_576 - 5;

function optionsOf(seed: number): RigOptions {
  const protocol = (["A", "B", "C"] as const)[seed % 3] ?? "C";
  const session: Partial<Session> = {
    baton: seed % 2 === 0,
    features: seed % 7 === 0 ? 0 : 15,
    integrity: seed % 5 === 0 ? "crc32c" : undefined,
    checksumResync: seed % 4 === 0 ? "crc32c" : undefined,
  };
  return {
    seed,
    sectors,
    net: {
      protocol,
      maxEpochSize: seed % 3 === 0 ? 5 : 2048,
      compressBitmap: seed % 2 === 1,
      maxBuffers: 64,
      ...(seed % 9 === 0 ? { onCongestion: "pull-ahead", congestionFillBytes: 65_536 } : {}),
    },
    session,
    activityLogExtents: 67,
    thinBytes: seed % 6 === 0 ? 65_536 : 0,
  };
}

/** Writes cluster in a few places, so that they meet; some go far away. */
function place(rig: Rig): { sector: number; count: number } {
  const { random } = rig;
  const base = random.chance(0.8) ? random.between(0, 3) * 33_000 : random.between(0, 127) * 8192;
  const count = random.chance(0.1) ? random.between(1, 300) : random.between(1, 24);
  return { sector: Math.min(base + random.between(0, 60), sectors - count), count };
}

function work(rig: Rig, primary: Side): void {
  const { random } = rig;
  const { sector, count } = place(rig);
  const dice = random.between(0, 99);
  if (dice < 78) rig.write(primary, sector, count, random.chance(0.1));
  else if (dice < 80) rig.discard(primary, random.between(0, 500) * 128, 1024, "discard");
  else if (dice < 84) rig.discard(primary, sector, count, random.chance(0.5) ? "discard" : "zero");
  else if (dice < 92) rig.flush(primary);
  else rig.read(primary, sector, count);
}

for (const seed of seeds) {
  test(`writes, cuts and resyncs leave equal disks; replay with SEED=${seed}`, () => {
    const rig = new Rig(optionsOf(seed));
    if (one !== undefined) rig.trace = [];
    process.once("exit", () => {
      if (process.env["DBG"]) for (const line of rig.trace ?? []) console.log(line);
    });
    const { random } = rig;
    let primary = rig.alice;
    rig.connect(primary);
    for (let round = 0; round < 12; round++) {
      const steps = random.between(20, 120);
      for (let step = 0; step < steps; step++) {
        if (random.chance(0.3)) work(rig, primary);
        rig.step();
        if (random.chance(0.02)) rig.wait(200);
        if (step % 20 === 0) {
          rig.checkMarks(primary, "memory");
          rig.checkMarks(primary, "disk");
        }
      }
      rig.checkHonest();
      const connected = primary.state.conn !== "WFConnection";
      const inSync =
        primary.state.conn === "Connected" && rig.alice.marks() + rig.bob.marks() === 0;
      if (primary.state.suspFencing) {
        // Fenced: on alone. Or there again: nothing is decided, everything in flight is sent once more.
        if (random.chance(0.5)) primary.change({ suspFencing: false });
        else rig.resume(primary);
      } else if (connected && inSync && random.chance(0.4)) rig.cut(true);
      else if (connected && random.chance(0.5)) {
        rig.cut();
        if (random.chance(0.3)) {
          primary.peer.crash(false);
          primary.peer.attach("Inconsistent");
          primary.peer.change({ conn: "WFConnection" });
        }
      } else if (!connected) rig.reconnect(primary);
      else {
        rig.settle(() => primary.state.conn === "Connected");
        equal(primary.state.conn, "Connected");
        rig.checkEqual();
        if (random.chance(0.3)) primary = swap(rig, primary);
      }
    }
    primary.change({ suspFencing: false });
    if (primary.state.conn === "WFConnection") rig.reconnect(primary);
    rig.settle(() => primary.state.conn === "Connected");
    rig.flush(primary);
    rig.settle(() => primary.core.drained());
    rig.checkHonest();
    rig.checkEqual();
    equal(primary.core.drained(), true);
    equal(primary.core.counters().peerPending, 0);
    equal(primary.peer.core.counters().unacknowledged, 0);
    equal(primary.core.counters().applicationPending, 0);
    for (const what of rig.seen.keys()) exercised.add(what);
  });
}

test("the runs met everything that matters", { skip: seeds.length < 30 }, () => {
  const wanted = [
    ...["P_DATA", "P_TRIM", "P_ZEROES", "P_BARRIER", "P_BARRIER_ACK", "P_RECV_ACK", "P_WRITE_ACK"],
    ...["P_RS_WRITE_ACK", "P_OUT_OF_SYNC", "P_RS_DATA_REQUEST", "P_RS_DATA_REPLY", "P_RS_THIN_REQ"],
    ...["P_CSUM_RS_REQUEST", "P_RS_IS_IN_SYNC", "P_RS_DEALLOCATED", "P_BITMAP"],
    ...["P_COMPRESSED_BITMAP", "Ahead", "Behind", "localFlush"],
  ];
  deepEqual(
    wanted.filter((what) => !exercised.has(what)),
    [],
  );
});

function swap(rig: Rig, primary: Side): Side {
  rig.settle(() => primary.core.drained());
  if (!primary.core.drained()) return primary;
  const next = primary.peer;
  primary.change({ role: "Secondary" });
  next.change({ peer: "Secondary" });
  next.change({ role: "Primary" });
  primary.change({ peer: "Primary" });
  return next;
}
