/**
 * The commands on a Baton host beside a real Heartbeat 3.0.6: `cl_status` answers as the real one does
 * about its peer, `hb_standby` and `hb_takeover` by name, `baton status` and `baton timeline` make sense.
 */
import { deepEqual, equal, match } from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { fileURLToPath } from "node:url";
import { address, type HostName, type Outcome, type Pair } from "../support/pair.ts";
import { atOnce, figure, joined, powerOn, scenario, settled, setUp, together } from "./cluster.ts";

const launcher = fileURLToPath(new URL("../../baton", import.meta.url));
const names = ["baton", "cl_status", "hb_standby", "hb_takeover"] as const;
const [baton, real] = ["dbm157", "dbm158"] as const;

/** Links to the launcher, as an administrator would put them into the place of the original's. */
function installed(
  pair: Pair,
): (name: (typeof names)[number], ...args: string[]) => Promise<Outcome> {
  const bin = join(pair.tree(baton), "bin");
  mkdirSync(bin);
  for (const name of names) symlinkSync(launcher, join(bin, name));
  return (name, ...args) => pair.run(baton, join(bin, name), ...args);
}

describe("commands on a Baton host beside a real heartbeat", atOnce, () => {
  scenario("cl_status says of the peer what the real one says of us", async (newPair) => {
    const ping = `${setUp.timing}ping 192.168.0.1\n`;
    await using pair = newPair({ ...setUp, timing: ping });
    await together(pair, baton);
    const ours = installed(pair);
    const questions = (peer: HostName): readonly (readonly string[])[] => [
      ["hbstatus"],
      ["nodestatus", peer],
      ["nodestatus", "-m", peer],
      ["nodestatus", "192.168.0.1"],
      ["nodestatus", "nobody"],
      ["nodetype", peer],
      ["nodetype", "192.168.0.1"],
      ["listhblinks", peer],
      ["hblinkstatus", peer, "eth0"],
      ["hblinkstatus", "-m", peer, "eth1"],
      ["rscstatus"],
      ["rscstatus", "-m"],
    ];
    for (const [index, question] of questions(real).entries()) {
      const answer = await ours("cl_status", ...question);
      const theirs = await pair.run(real, "cl_status", ...(questions(baton)[index] ?? []));
      const shown = { ...theirs, output: theirs.output.replaceAll(baton, real) };
      deepEqual(sorted(answer), sorted(shown), `cl_status ${question.join(" ")}`);
    }
    const nodes = await ours("cl_status", "listnodes");
    const theirNodes = await pair.run(real, "cl_status", "listnodes");
    deepEqual(sorted(nodes), sorted(theirNodes));
  });

  scenario(
    "hb_standby and hb_takeover by name; status and timeline tell of it",
    async (newPair) => {
      await using pair = newPair(setUp);
      await together(pair, baton);
      const ours = installed(pair);
      const standby = await ours("hb_standby");
      equal(standby.code, 0, standby.output);
      match(standby.output, /Going standby \[all\]/);
      await pair.holds(real, 20_000);
      await settled(pair, baton);
      const takeover = await ours("hb_takeover", "all");
      equal(takeover.code, 0, takeover.output);
      await pair.holds(baton, 20_000);
      await settled(pair, baton);

      const status = await ours("baton", "status");
      equal(status.code <= 1, true, status.output);
      match(status.output, /dbm158/);
      match(status.output, new RegExp(address.replaceAll(".", "\\.")));
      equal(status.output.trimEnd().split("\n").length <= 40, true, "at most 40 lines");
      process.stdout.write(`${status.output}\n`);
    },
  );

  scenario("timeline of a takeover from a real holder that lost power", async (newPair) => {
    await using pair = newPair(setUp);
    await together(pair, baton);
    const ours = installed(pair);
    await ours("hb_standby");
    await pair.holds(real, 20_000);
    await settled(pair, baton);
    const watch = await pair.watch();
    const from = Date.now();
    await pair.crash(real);
    await pair.holds(baton, 15_000);
    figure(`power loss of the real holder: address silent for ${watch.longestGapMs(from)} ms`);
    const shown = await ours("baton", "timeline");
    equal(shown.code, 0, shown.output);
    process.stdout.write(`${shown.output}\n`);
    const { output } = await ours("baton", "timeline", "--json");
    const { incident } = JSON.parse(output) as { incident: object };
    const text = JSON.stringify(incident);
    for (const part of ["BTN-MEMBER-DEAD-SILENT", "BTN-FAILOVER-TAKEOVER-DEAD", real]) {
      match(text, new RegExp(part));
    }
    await powerOn(pair, baton, real);
    await joined(pair, baton);
  });
});

/** The order of links and nodes follows no rule in the original. */
function sorted({ code, output }: Outcome): { code: number; lines: readonly string[] } {
  return { code, lines: output.trimEnd().split("\n").toSorted() };
}
