/** The same backing under the one and under the other. */
import { equal, match } from "node:assert/strict";
import { demand } from "../side.ts";
import { asPrimary, checkFiles, promote, type Scenario, writeFiles } from "./scenario.ts";

export const placeScenarios: readonly Scenario[] = [
  {
    name: "each side attaches fresh metadata that the other made",
    setting: {},
    async play(pair) {
      await pair.both((side) => side.createMetadata());
      await pair.swapBackings();
      await pair.up();
      await pair.both((side) => side.until("cs:Connected ro:Secondary/Secondary ds:Inconsistent"));
      await demand(pair.second, "new-current-uuid --clear-bitmap");
      await asPrimary(pair.first, () => pair.first.fill(0, 3, "fresh"));
      await pair.equal();
      pair.expectBlocks(0, 3, "fresh");
    },
  },
  {
    name: "each side goes on with the disk that the other wrote, without a sync",
    setting: {},
    async play(pair) {
      await pair.ready();
      await promote(pair.first);
      await pair.first.shell(writeFiles());
      await demand(pair.first, "secondary");
      await pair.equal();
      await pair.both((side) => side.try("down"));
      const before = pair.packets("P_RS_DATA_REPLY");
      await pair.swapBackings();
      await pair.up();
      await pair.inSync();
      await asPrimary(pair.second, () => pair.second.shell(checkFiles));
      await asPrimary(pair.first, () => pair.first.shell(checkFiles));
      await asPrimary(pair.second, () => pair.second.fill(7_000, 5, "swapped"));
      await pair.equal();
      pair.expectBlocks(7_000, 5, "swapped");
      equal(pair.packets("P_RS_DATA_REPLY"), before);
    },
  },
  {
    name: "each side recovers the disk of a Primary that crashed under the other",
    setting: {},
    async play(pair) {
      await pair.ready();
      for (const [side, word] of [
        [pair.first, "one"],
        [pair.second, "two"],
      ] as const) {
        await promote(side);
        await side.fill(0, 6, word);
        await side.crash();
        await side.restart();
        await pair.other(side).until("cs:WFConnection");
        await demand(pair.other(side), "down");
        await pair.swapBackings();
        await pair.up();
        await pair.equal();
        pair.expectBlocks(0, 6, word);
      }
    },
  },
  {
    name: "drbdmeta of this host reads the metadata of both, and sees the same generations",
    setting: {},
    async play(pair) {
      await pair.ready();
      await asPrimary(pair.first, () => pair.first.fill(0, 4, "meta"));
      await asPrimary(pair.second, () => pair.second.fill(4, 4, "meta"));
      await pair.equal();
      await pair.both((side) => side.try("down"));
      const [one, other] = [pair.drbdmeta(pair.first), pair.drbdmeta(pair.second)];
      match(other.dump, /^version "v08";/m);
      match(other.dump, /^la-size-sect /m);
      equal(other.generations, one.generations);
      equal(other.state, "Consistent"); // drbd.md 7.7: UpToDate only while the peer is known to be Outdated
    },
  },
];
