/** The harness itself: two kernel guests do a full sync, one loses its power, and nothing is left behind. */
import { equal, match, notEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { kernels } from "./arrangement.ts";
import { skip } from "./lan.ts";
import { demand } from "./side.ts";

test("two kernels do a full sync, a command's answer comes back, a reset loses memory only", {
  skip,
}, async () => {
  let directory = "";
  let namespace = "";
  {
    await using pair = await kernels();
    directory = pair.lan.directory;
    namespace = pair.lan.namespace;
    const { first, second } = pair;
    await pair.begin({});
    await pair.fresh();
    await demand(first, "primary --force");
    await second.until("cs:Connected .*ds:UpToDate/UpToDate");
    await first.fill(3, 2, "harness");
    await pair.equal();
    equal(pair.readBlock(second, 4), "harness block 4");
    const refused = await second.try("primary");
    equal(refused.done, false);
    match(refused.detail, /Multiple primaries not allowed/);
    await first.crash();
    await first.restart();
    equal(await first.state(), "cs:Unconfigured");
    notEqual(await second.state(), "cs:Unconfigured");
    equal(pair.readBlock(first, 4), "harness block 4");
  }
  equal(existsSync(directory), false);
  equal(existsSync(`/run/netns/${namespace}`), false);
});
