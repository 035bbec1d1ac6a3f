/** Full syncs, resyncs by bitmap and by checksum, verify. */
import { deepEqual, equal, ok } from "node:assert/strict";
import type { Arrangement } from "../arrangement.ts";
import { demand, type Side } from "../side.ts";
import { asPrimary, disconnect, eachWay, promote, type Scenario } from "./scenario.ts";

const connected = "cs:Connected ro:[A-Za-z/]* ds:UpToDate/UpToDate oos:0";

async function fullSync(pair: Arrangement, source: Side): Promise<void> {
  await pair.both((side) => side.createMetadata());
  pair.scribble(source);
  await pair.up();
  await pair.both((side) => side.until("cs:Connected ro:Secondary/Secondary ds:Inconsistent"));
  equal((await source.try("primary")).done, false, "there is no UpToDate data yet");
  await demand(source, "primary --force");
  // Writes meet the resync, in places that it has passed and in others that it has not.
  await source.fill(4_000, 20, "during");
  await source.fill(0, 20, "during");
  await pair.inSync();
  await source.fill(100, 3, "after");
  await pair.equal();
  pair.expectBlocks(0, 20, "during");
  pair.expectBlocks(4_000, 20, "during");
  pair.expectBlocks(100, 3, "after");
  ok(pair.packets("P_RS_DATA_REPLY") > 0);
}

/** Cut off, the Primary writes in places far apart; reconnected, only those are sent. */
async function bitmapResync(pair: Arrangement, writer: Side, word: string): Promise<void> {
  const peer = pair.other(writer);
  await promote(writer);
  await writer.fill(0, 2, "before");
  await disconnect(pair, peer);
  await writer.until("cs:WFConnection");
  for (const [first, count] of [
    [3, 3],
    [100, 1],
    [40_000, 2],
    [65_000, 4],
  ] as const) {
    await writer.fill(first, count, word);
  }
  await writer.until(" oos:40$");
  await demand(peer, "connect");
  await pair.inSync();
  await demand(writer, "secondary");
  await pair.equal();
  pair.expectBlocks(3, 3, word);
  pair.expectBlocks(40_000, 2, word);
  pair.expectBlocks(65_000, 4, word);
}

const bitmapScenario = (compressBitmap: boolean): Scenario => ({
  name: `disconnected, written, reconnected: ${compressBitmap ? "compressed" : "plain"} bitmaps, only what differs is sent`,
  setting: { compressBitmap, disk: 1 },
  async play(pair) {
    await pair.ready();
    await eachWay(pair, (writer) => bitmapResync(pair, writer, writer.name));
    const [used, unused] = ["P_COMPRESSED_BITMAP", "P_BITMAP"] as const;
    ok(pair.packets(compressBitmap ? used : unused) >= 4);
    equal(pair.packets(compressBitmap ? unused : used), 0);
  },
});

export const syncScenarios: readonly Scenario[] = [
  {
    name: "initial full sync from the kernel to Baton, with writes meanwhile",
    setting: {},
    play: (pair) => fullSync(pair, pair.first),
  },
  {
    name: "initial full sync from Baton to the kernel, with writes meanwhile",
    setting: {},
    play: (pair) => fullSync(pair, pair.second),
  },
  bitmapScenario(true),
  bitmapScenario(false),
  {
    name: "a resync by checksum sends only what really differs",
    setting: { checksumResync: "sha1" },
    async play(pair) {
      await pair.ready();
      await eachWay(pair, async (writer, peer) => {
        await promote(writer);
        await writer.fill(64, 200, "same");
        await disconnect(pair, peer);
        await writer.fill(64, 200, "same");
        await writer.fill(130, 1, writer.name);
        await demand(peer, "connect");
        await pair.inSync();
        await demand(writer, "secondary");
        await pair.equal();
        pair.expectBlocks(130, 1, writer.name);
      });
      ok(pair.packets("P_CSUM_RS_REQUEST") >= 2);
      ok(pair.packets("P_RS_IS_IN_SYNC") >= 1);
    },
  },
  {
    name: "online verify, started by either side, finds planted corruption; a reconnect under a Primary repairs it",
    setting: { verify: "sha1" },
    async play(pair) {
      await pair.ready();
      await asPrimary(pair.first, () => pair.first.fill(0, 40, "good"));
      await pair.equal();
      await eachWay(pair, async (starter) => {
        await pair.both((side) => side.try("down"));
        for (const number of [7, 8, 1_000]) pair.plant(pair.second, number, "corrupt");
        await pair.up();
        await pair.inSync();
        await demand(starter, "verify");
        await pair.both((side) => side.until("cs:Connected .* oos:12$"));
        deepEqual(pair.differences(), [7, 8, 1_000]);
        await promote(pair.first);
        await disconnect(pair, pair.second);
        await demand(pair.second, "connect");
        await pair.both((side) => side.until(connected));
        await demand(pair.first, "secondary");
        await pair.equal();
        pair.expectBlocks(7, 2, "good");
      });
    },
  },
  {
    name: "invalidate and invalidate-remote, both ways, with a pause",
    setting: { resyncKibPerSecond: 16_384 },
    async play(pair) {
      await pair.ready();
      await promote(pair.first);
      await pair.first.fill(0, 30, "valid");
      await eachWay(pair, async (side) => {
        await demand(side, side === pair.first ? "invalidate-remote" : "invalidate");
        await pair.second.until("cs:SyncTarget");
        await demand(side, "pause-sync");
        await pair.second.until("cs:PausedSyncT");
        await demand(side, "resume-sync");
        await pair.inSync();
      });
      await demand(pair.first, "secondary");
      await promote(pair.second);
      await demand(pair.second, "invalidate-remote");
      await pair.first.until("cs:SyncTarget");
      await pair.inSync();
      await demand(pair.second, "secondary");
      await demand(pair.first, "invalidate");
      await pair.inSync();
      await pair.equal();
      pair.expectBlocks(0, 30, "valid");
    },
  },
];
