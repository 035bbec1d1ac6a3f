import { deepEqual, equal } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { monotonicClock } from "../system/index.ts";
import { inOwnNamespaces, loopDevice, measured, sh } from "../system/own-namespaces.ts";
import type { ActionContext, ActionResult, ProbeResult } from "./agent.ts";
import { decodeClaims } from "./claim.ts";
import type { ResourceEnvironment } from "./environment.ts";
import { defaultPolicy } from "./policy.ts";
import { createSharedDiskAgent, type SharedDiskAgent } from "./shared-disk.shell.ts";

const context = (epoch: number, timeoutMs = 10_000): ActionContext => ({
  signal: new AbortController().signal,
  epoch,
  progress: () => undefined,
  timeoutMs,
});
const incarnation = (host: string): string => Buffer.from(host.padEnd(16)).toString("hex");
const code = (result: ActionResult | ProbeResult): string => {
  if ("state" in result)
    return "reason" in result ? `${result.state} ${result.reason}` : result.state;
  return result.ok ? "ok" : result.reason;
};

/** One host with its own device on the shared image. */
function host(name: string, claimDevice: string, notices: string[] = []): SharedDiskAgent {
  const environment: ResourceEnvironment = {
    group: "mysql",
    host: name,
    clock: monotonicClock,
    timing: { keepaliveMs: 50, deadtimeMs: 300 },
    notify: ({ reason }) => notices.push(`${name} ${reason}`),
  };
  const spec = {
    kind: "shared-disk",
    name: "disk",
    policy: defaultPolicy("shared-disk"),
    device: "/dev/none",
    claimDevice,
  } as const;
  return createSharedDiskAgent(spec, environment, incarnation(name));
}

/** Resolves when the agent's proof is as wanted; gives up in time for what was frozen to be thawed. */
async function until(agent: SharedDiskAgent, wanted: (proof: object) => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error("The proof did not change in time")), 10_000);
  const stop = agent.onProof((proof) => wanted(proof) && resolve());
  try {
    if (wanted(await agent.readProof())) resolve();
    await promise;
  } finally {
    clearTimeout(timer);
    stop();
  }
}
const has = (key: string, value: unknown) => (proof: object) =>
  (proof as Record<string, unknown>)[key] === value;

inOwnNamespaces(import.meta.url, () => {
  sh("mount -t tmpfs tmpfs /tmp");

  test("two hosts with a loop device each on one image see each other's claims", {
    timeout: 30_000,
  }, async () => {
    sh("truncate -s 64K /tmp/claim.img");
    using first = loopDevice("/tmp/claim.img");
    using second = loopDevice("/tmp/claim.img");
    const notices: string[] = [];
    const a = host("a", first.path, notices);
    const b = host("b", second.path, notices);
    deepEqual(await a.readProof(), { kind: "claim", holder: null, epoch: 0, still: false });
    const started = monotonicClock.now();
    equal(code(await a.start(context(1))), "ok");
    measured(`claim of a free disk: ${Math.round(monotonicClock.now() - started)} ms`);
    equal(code(await a.monitor(context(1))), "running");
    deepEqual(await b.readProof(), { kind: "claim", holder: "a", epoch: 1, still: false });
    equal(code(await b.probe(context(1))), "stopped");
    equal(code(await b.start(context(2, 900))), "BTN-CLAIM-HELD-ELSEWHERE", "a renews it");
    equal(code(await a.monitor(context(1))), "running");

    equal(code(await a.stop(context(1))), "ok");
    equal(code(await b.start(context(2))), "ok", "a released claim is free");
    equal(code(await b.stop(context(2))), "ok");
    equal(code(await a.start(context(3))), "ok");

    // The agent of the holder is gone without a word: after deadtime of standing still it is replaced.
    a.dispose();
    await until(b, has("still", true));
    const takeover = monotonicClock.now();
    equal(code(await b.start(context(4))), "ok");
    measured(
      `takeover of a claim watched to stand still: ${Math.round(monotonicClock.now() - takeover)} ms`,
    );
    deepEqual(notices, ["b BTN-CLAIM-TAKEN-OVER"]);
    equal((await b.readProof()).kind, "claim");

    // Its image agrees, read through the file itself.
    sh("sync -f /tmp/claim.img");
    const reading = decodeClaims(readFileSync("/tmp/claim.img"));
    equal(reading.kind === "claim" && `${reading.claim.host} ${reading.claim.epoch}`, "b 4");
    b.dispose();
  });

  test("an agent that restarts finds its claim running and goes on with it", {
    timeout: 30_000,
  }, async () => {
    sh("truncate -s 8K /tmp/restart.img");
    using loop = loopDevice("/tmp/restart.img");
    const before = host("a", loop.path);
    equal(code(await before.start(context(1))), "ok");
    before.dispose();
    const after = host("a", loop.path);
    equal(code(await after.probe(context(1))), "running");
    equal(code((await after.activate?.(context(1))) ?? { state: "stopped" }), "ok");
    equal(code(await after.monitor(context(1))), "running");
    equal(code(await after.stop(context(1))), "ok");
    equal(code(await after.probe(context(1))), "stopped");
    after.dispose();
  });

  test("a holder whose claim another host took is told and fails", {
    timeout: 30_000,
  }, async () => {
    sh("truncate -s 8K /tmp/lost.img");
    using first = loopDevice("/tmp/lost.img");
    using second = loopDevice("/tmp/lost.img");
    const notices: string[] = [];
    const a = host("a", first.path, notices);
    equal(code(await a.start(context(1))), "ok");
    // As if a had been frozen: the image is put back to a claim of b that is newer.
    const b = host("b", second.path, notices);
    await until(b, has("holder", "a"));
    const frozen = readFileSync("/tmp/lost.img");
    frozen.fill(0);
    const { encodeClaim } = await import("./claim.ts");
    const claim = { host: "b", held: true, epoch: 2, counter: 1, deadtimeMs: 300 };
    frozen.set(encodeClaim({ ...claim, incarnation: incarnation("b") }));
    writeFileSync("/tmp/lost.img", frozen);
    await until(a, has("holder", "b"));
    equal(code(await a.monitor(context(1))), "failed BTN-CLAIM-LOST");
    deepEqual(notices, ["a BTN-CLAIM-LOST"]);
    equal(code(await a.stop(context(1))), "ok");
    a.dispose();
    b.dispose();
  });

  test("a device that holds something else, or is not there, is refused and left alone", {
    timeout: 30_000,
  }, async () => {
    sh(
      "truncate -s 8M /tmp/data.img && mkfs.ext4 -q -F /tmp/data.img && sha1sum /tmp/data.img > /tmp/sum",
    );
    using loop = loopDevice("/tmp/data.img");
    const wrong = host("a", loop.path);
    equal(code(await wrong.start(context(1))), "BTN-CLAIM-NOT-A-CLAIM");
    equal((await wrong.readProof()).kind, "unreadable");
    wrong.dispose();
    sh("sync -f /tmp/data.img; sha1sum -c --quiet /tmp/sum");
    const nowhere = host("a", "/dev/none-such");
    equal(code(await nowhere.start(context(1))), "BTN-CLAIM-DISK-ERROR");
    equal(code(await nowhere.probe(context(1))), "unknown BTN-CLAIM-DISK-ERROR");
    equal(code(await nowhere.stop(context(1))), "ok", "nothing was ever claimed there");
    nowhere.dispose();
  });

  test("a device that does not answer makes the claim unknown and a stop fail", {
    timeout: 30_000,
  }, async () => {
    // A frozen file system below the image: reads and writes of it wait until it is thawed.
    sh(`truncate -s 32M /tmp/below.img && mkfs.ext4 -q -F /tmp/below.img && mkdir -p /tmp/below`);
    using below = loopDevice("/tmp/below.img");
    sh(`mount ${below.path} /tmp/below && truncate -s 8K /tmp/below/claim.img`);
    const notices: string[] = [];
    {
      using loop = loopDevice("/tmp/below/claim.img");
      const a = host("a", loop.path, notices);
      equal(code(await a.start(context(1))), "ok");
      sh("fsfreeze --freeze /tmp/below");
      try {
        await until(a, has("kind", "unreadable"));
        equal((await a.monitor(context(1))).state, "unknown");
        equal(code(await a.stop(context(1, 700))), "BTN-CLAIM-DISK-HUNG");
        equal((await a.probe(context(1))).state, "unknown");
      } finally {
        sh("fsfreeze --unfreeze /tmp/below");
      }
      await until(a, has("holder", null));
      equal(code(await a.probe(context(1))), "stopped", "the wish to release stays");
      deepEqual(notices.toSorted(), ["a BTN-CLAIM-DISK-HUNG", "a BTN-CLAIM-NOT-RENEWED"]);
      a.dispose();
    }
  });
});
