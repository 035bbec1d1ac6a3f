import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { Prng } from "../base/index.ts";
import { group, Pair } from "./pair.test-support.ts";

// SEED=n replays one schedule; SEEDS=n runs more of them.
const one = process.env["SEED"];
const count = Number(process.env["SEEDS"] ?? 300);
const seeds =
  one === undefined ? Array.from({ length: count }, (_, run) => run + 1) : [Number(one)];
const two = [group("g", "a"), group("h", "b")];
const names = ["a", "b"] as const;

function explain(pair: Pair, seed: number, complaint: string): string {
  const doubles = pair.doubles.slice(0, 3).join(", ");
  const log = one === undefined ? "" : `\n${pair.log.join("\n")}`;
  return `${complaint}; both at ${doubles || "no time"}; replay with SEED=${seed}${log}`;
}

/** Each group runs on exactly one host, and two holders were only where a live host was taken for dead. */
function judge(pair: Pair, seed: number): void {
  ok(pair.doubles.length === 0 || pair.falseDeaths > 0, explain(pair, seed, "Two holders"));
  for (const { name } of pair.groups) {
    equal(
      pair.runsOn(name).length,
      1,
      explain(pair, seed, `${name} runs on "${pair.runsOn(name)}"`),
    );
  }
  for (const view of pair.host("a").core?.view() ?? []) {
    ok(view.ownership.epoch < 150, explain(pair, seed, `Epoch ${view.ownership.epoch}`));
  }
}

/** Ends all faults, brings both hosts up, and lets them settle. */
function heal(pair: Pair, pings: readonly string[]): void {
  pair.crashAt = undefined;
  pair.failures.clear();
  pair.cut.clear();
  pair.loss = 0;
  pair.run(7_000);
  for (const name of names) {
    if (pair.host(name).core === undefined) pair.boot(name);
    for (const ping of pings) pair.ping(name, ping, true);
    pair.command(name, `clear-${name}`, { verb: "clear", group: null });
  }
  // The longest wait between two tries of a failed stop.
  pair.run(70_000);
  // A stop that was asked for may have ended a host meanwhile.
  for (const name of names) if (pair.host(name).core === undefined) pair.boot(name);
  pair.run(20_000);
}

function somethingHappens(
  pair: Pair,
  random: Prng,
  round: number,
  kinds: number,
  pings: readonly string[],
): void {
  const name = random.pick(names);
  const host = pair.host(name);
  const id = `c${round}`;
  const kind = random.between(0, kinds);
  if (kind === 0 && host.core === undefined) {
    pair.boot(name);
    for (const ping of pings) pair.ping(name, ping, true);
    return;
  }
  if (kind === 8) pair.cut.add("a>b");
  if (kind === 8 && random.chance(0.7)) pair.cut.add("b>a");
  if (kind === 9) pair.cut.clear();
  if (host.core === undefined) return;
  const anyGroup = random.pick(["g", "h"]);
  switch (kind) {
    case 0:
      pair.crash(name);
      return;
    case 1: {
      const to = random.pick([null, ...names]);
      pair.command(name, id, { verb: "switch", group: random.pick([anyGroup, null]), to });
      return;
    }
    case 2: {
      const scope = random.pick(["all", "local", "foreign", "failback"] as const);
      pair.command(name, id, { verb: "standby", scope });
      return;
    }
    case 3: {
      const scope = random.pick(["all", "local", "foreign"] as const);
      const peerIsDead = kinds > 7 && random.chance(0.5);
      pair.command(name, id, { verb: "takeover", scope, peerIsDead });
      return;
    }
    case 4: {
      const what = random.pick(["acquire", "acquire", "release"]);
      pair.failures.set(`${name} ${anyGroup} ${what}`, random.between(1, 3));
      return;
    }
    case 5:
      if (host.communicationUp) pair.restartAgent(name);
      return;
    case 6:
      pair.crashAt = { host: name, in: random.between(1, 4), after: random.chance(0.5) };
      return;
    case 7:
      pair.command(name, id, { verb: "stop" });
      return;
    case 10:
      if (host.pausedUntil < pair.now) pair.pause(name, random.between(200, 6_000));
      return;
    case 11:
      if (pings.length > 0) pair.ping(name, random.pick(pings), random.chance(0.5));
      else {
        const failure = { resource: "r", reason: "BTN-TEST", detail: "" };
        pair.feed(name, { kind: "resourceFailed", group: anyGroup, ...failure });
      }
      return;
    default:
      return;
  }
}

function schedule(seed: number, kinds: number): Pair {
  const pings = kinds > 7 && seed % 5 === 0 ? ["p", "q"] : [];
  const pair = new Pair({
    seed,
    loss: [0, 0.1, 0.3][seed % 3] ?? 0,
    delayMaxMs: [5, 50, 300][(seed >> 2) % 3] ?? 5,
    workMaxMs: [50, 500, 3_000][(seed >> 3) % 3] ?? 50,
    groups: two,
    options: { autoFailback: seed % 2 === 1 ? "on" : "off", pings, ipfail: pings.length > 0 },
  });
  const random = pair.random.fork("faults");
  for (const name of names) if (random.chance(0.9)) pair.boot(name);
  pair.run(random.between(0, 5_000));
  for (let round = 0; round < 14; round++) {
    somethingHappens(pair, random, round, kinds, pings);
    pair.run(random.between(0, random.chance(0.3) ? 200 : 8_000));
  }
  heal(pair, pings);
  return pair;
}

test("crashes at any durable write, agent restarts, failures, commands, loss: one holder, in the end exactly one", () => {
  for (const seed of seeds) judge(schedule(seed, 7), seed);
});

test("with cuts, pauses, ping nodes and forced takeovers as well: after healing exactly one holder", () => {
  for (const seed of seeds) judge(schedule(seed, 11), seed);
});

test("links cut while a ping node separates the sides: never two holders (3.2.1, 3.2.2)", () => {
  for (const seed of seeds) {
    const pair = new Pair({ seed, groups: two, workMaxMs: 100, options: { pings: ["p"] } });
    pair.boot("a").boot("b");
    for (const name of names) pair.ping(name, "p", true);
    pair.run(pair.random.between(1_000, 4_000));
    const loser = pair.random.pick(names);
    pair.cut.add("a>b").add("b>a");
    pair.ping(loser, "p", false).run(pair.random.between(500, 5_000));
    pair.cut.clear();
    pair.ping(loser, "p", true);
    pair.run(10_000);
    equal(pair.doubles.length, 0, explain(pair, seed, "Two holders"));
    judge(pair, seed);
  }
});

const plans: Readonly<Record<string, (pair: Pair) => void>> = {
  "a switch": (pair) => void pair.command("a", "1", { verb: "switch", group: "g", to: "b" }),
  "a switch asked of the taker": (pair) =>
    void pair.command("b", "1", { verb: "switch", group: "g", to: "b" }),
  "a takeover": (pair) => void pair.crash("a").run(2_000),
  "a stop": (pair) => void pair.command("a", "1", { verb: "stop" }),
  "a failed start": (pair) => {
    pair.failures.set("b g acquire", 1);
    pair.command("a", "1", { verb: "switch", group: "g", to: "b" });
  },
};
for (const [name, plan] of Object.entries(plans)) {
  test(`${name}, interrupted before and after each durable write on either host, ends with one holder`, () => {
    for (const host of names) {
      for (let write = 1; write <= 6; write++) {
        for (const after of [false, true]) {
          const pair = new Pair({ seed: write, groups: two }).boot("a").boot("b").run(3_000);
          pair.crashAt = { host, in: write, after };
          plan(pair);
          pair.run(pair.random.between(0, 4_000));
          heal(pair, []);
          judge(pair, write);
        }
      }
    }
  });
}
