/** What the interop tests wait for and do: a Baton host and a real one seen as one cluster. */
import { equal } from "node:assert/strict";
import { test } from "node:test";
import {
  classicAuth,
  type HostName,
  oneAddress,
  Pair,
  type PairOptions,
  quickTiming,
} from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";

/** Why these tests can not run here; false: they can. */
export const skip = whyNot();

/** For each test: bounded, and skipped with the reason. */
const options = { skip, timeout: 400_000 };
/** Times that a story is told from the start because the real host lost its own words in it. */
const attemptsMax = 3;

/**
 * A test with a pair made by `newPair`. It fails as any test does, unless the real host dropped a message
 * of its own scripts (see README.md): then nothing is proved, and the story is told again.
 */
export function scenario(
  name: string,
  story: (newPair: (setUp: PairOptions) => Pair) => Promise<void>,
): void {
  test(name, options, async () => {
    for (let attempt = 1; ; attempt++) {
      const pairs: Pair[] = [];
      try {
        await story((setUp) => {
          const pair = new Pair(setUp);
          pairs.push(pair);
          return pair;
        });
        return;
      } catch (error) {
        if (attempt === attemptsMax || !pairs.some((pair) => pair.lostWords)) throw error;
        figure(`the real host lost a message of its own scripts: once more "${name}"`);
      }
    }
  });
}

/** As many at once as leave the two processors of a small machine idle most of the time. */
export const atOnce = { timeout: 1_200_000, concurrency: 4 };
export const isFull = process.env["BATON_SIZE"] === "full";

export const batonHosts = ["dbm157", "dbm158"] as const;
export const other = (host: HostName): HostName => (host === "dbm157" ? "dbm158" : "dbm157");

export const setUp: PairOptions = {
  timing: quickTiming,
  authkeys: classicAuth,
  haresources: oneAddress,
};
export const secondAddress = "192.168.0.224";
export const twoGroups = `${oneAddress}dbm158 IPaddr2::${secondAddress}/24/eth0\n`;

export const withFailback = (mode: "on" | "legacy"): string =>
  quickTiming.replace("auto_failback off", `auto_failback ${mode}`);

/** Both hosts up, the preferred one holds, both have settled. */
export async function together(pair: Pair, baton: HostName): Promise<void> {
  await pair.start(baton, "baton");
  await pair.start(other(baton), "heartbeat");
  await pair.holds("dbm157", 30_000);
  await joined(pair, baton);
}

/** Both hosts know of each other and have settled. */
export async function joined(pair: Pair, baton: HostName): Promise<void> {
  const real = other(baton);
  await waitFor(
    "Baton takes the real host for alive and classic",
    async () => {
      const host = (await pair.status(baton))?.hosts.find(({ name }) => name === real);
      return host?.verdict === "alive" && host.kind === "classic" && host.status === "active";
    },
    40_000,
    () => pair.explain(),
  );
  await waitFor(
    "the real host takes Baton for active",
    async () => (await pair.run(real, "cl_status", "nodestatus", baton)).output.trim() === "active",
    20_000,
    () => pair.explain(),
  );
  await settled(pair, baton);
}

/** Neither side is in transition. */
export async function settled(pair: Pair, baton: HostName): Promise<void> {
  await waitFor(
    "both sides are out of transition",
    async () => {
      const here = (await pair.status(baton))?.rscStatus;
      const there = (await pair.run(other(baton), "cl_status", "rscstatus")).output.trim();
      return here !== undefined && here !== "transition" && there !== "transition";
    },
    30_000,
    () => pair.explain(),
  );
}

/** Times that an administrator repeats a command of which a real host shows no trace. */
const repeatsMax = 3;

/** The administrator's command on a host, as that host has it. */
export async function command(
  pair: Pair,
  baton: HostName,
  host: HostName,
  verb: "standby" | "takeover",
  scope = "all",
): Promise<void> {
  if (host === baton) {
    const { code, output } = await pair.runBaton(host, "baton", verb, scope);
    equal(code, 0, `${verb} ${scope} on ${host}: ${output}\n${pair.explain()}`);
    return;
  }
  // What two scripts of the original write to its FIFO at the same time is lost, both: then its log
  // shows neither "Running .../hb_takeover" nor "wants to go standby".
  const traces = (): number =>
    pair.log(host).split(/rc\.d\/hb_takeover hb_takeover|wants to go standby/).length;
  const before = traces();
  for (let repeat = 0; repeat < repeatsMax && traces() === before; repeat++) {
    const { code, output } = await pair.run(host, `/usr/share/heartbeat/hb_${verb}`, scope);
    equal(code, 0, `${verb} ${scope} on ${host}: ${output}\n${pair.explain()}`);
    const seen = await waitFor("it is taken", () => traces() > before, 5_000).catch(() => false);
    if (!seen) figure(`the real ${host} lost its own hb_${verb}: asked again`);
  }
}

/** Starts a host with the program that is its own in this test. */
export async function powerOn(pair: Pair, baton: HostName, host: HostName): Promise<void> {
  await pair.start(host, host === baton ? "baton" : "heartbeat");
}

/** A line of figures for who reads the run. */
export function figure(text: string): void {
  process.stdout.write(`figure: ${text}\n`);
}

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return "needs root: network, mount and PID namespaces";
  return Pair.isInstalled() ? false : "needs the Debian packages heartbeat and tini";
}
