/** Authentication, fencing, cables, power. */
import { equal, match } from "node:assert/strict";
import { waitFor } from "../../support/wait.ts";
import type { Arrangement } from "../arrangement.ts";
import { demand, type Side, stateLimitMs } from "../side.ts";
import { asPrimary, disconnect, eachWay, promote, type Scenario } from "./scenario.ts";

/** A Primary writes all the time and loses its power meanwhile. */
async function crashWhileWriting(pair: Arrangement, side: Side): Promise<void> {
  await promote(side);
  await side.fill(0, 8, "durable");
  const before = pair.packets("P_DATA");
  const stream = side
    .shell(
      `n=20; while head -c 65536 /dev/urandom | dd of=$D bs=64k seek=$n oflag=direct iflag=fullblock conv=notrunc,nocreat status=none
       do n=$(((n + 1) % 300 + 20)); done`,
    )
    .catch(() => undefined); // Its end is what the scenario is about.
  await waitFor("writes flow", () => pair.packets("P_DATA") > before + 20, stateLimitMs);
  await side.crash();
  await stream;
}

async function crashAndReturn(pair: Arrangement, side: Side): Promise<void> {
  await crashWhileWriting(pair, side);
  await pair.other(side).until("cs:WFConnection");
  await side.restart();
  await side.up();
  await pair.equal();
  pair.expectBlocks(0, 8, "durable");
  await asPrimary(pair.other(side), () => pair.other(side).fill(9, 1, "resumed"));
  await pair.equal();
}

async function crashAndTakeover(pair: Arrangement, side: Side): Promise<void> {
  const survivor = pair.other(side);
  await crashWhileWriting(pair, side);
  await survivor.until("cs:WFConnection");
  await promote(survivor);
  await survivor.fill(4, 8, "takeover");
  await side.restart();
  await side.up();
  await pair.inSync();
  await demand(survivor, "secondary");
  await pair.equal();
  pair.expectBlocks(0, 4, "durable");
  pair.expectBlocks(4, 8, "takeover");
}

export const connectionScenarios: readonly Scenario[] = [
  {
    name: "the right secret (CRAM-HMAC sha1) connects",
    setting: { authentication: "sha1" },
    async play(pair) {
      await pair.ready();
      await asPrimary(pair.first, () => pair.first.fill(0, 1, "auth"));
      await pair.equal();
      equal(pair.packets("P_AUTH_RESPONSE") >= 2, true);
    },
  },
  {
    name: "a wrong secret is refused by both, who stay alone",
    setting: { authentication: "sha1", otherSecret: "WrongSecret" },
    async play(pair) {
      await pair.both((side) => side.createMetadata());
      await pair.up();
      await pair.both((side) => side.until("cs:StandAlone"));
      equal(pair.packets("P_STATE"), 0);
    },
  },
  {
    name: "fencing resource-only: who disconnects in order is Outdated and refuses to be Primary, both ways",
    setting: { fencing: "resource-only" },
    async play(pair) {
      await pair.ready();
      await eachWay(pair, async (primary, leaver) => {
        await promote(primary);
        await primary.fill(0, 2, "fenced");
        await disconnect(pair, leaver);
        await leaver.until("ds:Outdated/DUnknown");
        equal((await leaver.try("primary")).done, false);
        await primary.until("cs:WFConnection .*ds:UpToDate/Outdated");
        await primary.fill(2, 2, primary.name);
        await demand(leaver, "connect");
        await pair.inSync();
        await demand(primary, "secondary");
        await pair.equal();
        pair.expectBlocks(2, 2, primary.name);
      });
    },
  },
  {
    name: "the cable is pulled under a Primary and plugged again, both ways",
    setting: { pingTimeoutTenths: 15 },
    async play(pair) {
      await pair.ready();
      await eachWay(pair, async (primary) => {
        await promote(primary);
        await primary.fill(0, 2, "before");
        await pair.link(false);
        await primary.until("cs:WFConnection");
        await primary.fill(1, 3, primary.name);
        await pair.link(true);
        await pair.inSync();
        await demand(primary, "secondary");
        await pair.equal();
        pair.expectBlocks(1, 3, primary.name);
      });
    },
  },
  {
    name: "split brain: both stay alone with what they wrote, until one discards its data",
    setting: {},
    async play(pair) {
      await pair.ready();
      await disconnect(pair, pair.second);
      await demand(pair.first, "disconnect");
      await asPrimary(pair.first, () => pair.first.fill(1, 3, "first"));
      await asPrimary(pair.second, () => pair.second.fill(2, 4, "second"));
      await pair.both((side) => side.try("connect"));
      await pair.both((side) => side.until("cs:StandAlone"));
      match(pair.readBlock(pair.second, 5), /^second/);
      await demand(pair.second, "connect --discard-my-data");
      await demand(pair.first, "connect");
      await pair.equal();
      pair.expectBlocks(1, 3, "first");
    },
  },
  {
    name: "a kernel Primary loses its power while writing, returns, and is in sync again",
    setting: {},
    async play(pair) {
      await pair.ready();
      await crashAndReturn(pair, pair.first);
    },
  },
  {
    name: "a Baton Primary is killed while writing, returns, and is in sync again",
    setting: {},
    async play(pair) {
      await pair.ready();
      await crashAndReturn(pair, pair.second);
    },
  },
  {
    name: "a Primary crashes, the other takes over and writes; who returns is the target, both ways",
    setting: { checksumResync: "crc32c" },
    async play(pair) {
      await pair.ready();
      await crashAndTakeover(pair, pair.first);
      await crashAndTakeover(pair, pair.second);
    },
  },
];
