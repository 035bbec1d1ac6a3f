import { test } from "node:test";
import { assert, Prng } from "../base/index.ts";
import { type Answer, RunnerWorld, testGroup, testResource } from "./runner.test-support.ts";

const one = process.env["SEED"];
const seeds = one === undefined ? Array.from({ length: 300 }, (_, run) => run) : [Number(one)];

for (const seed of seeds) {
  test(`the group runner keeps its promises under any orders; replay with SEED=${seed}`, () => {
    simulate(new Prng(seed));
  });
}

/**
 * Random orders, answers, failures, deaths and delays. Safety: `done` of a release means that nothing runs; `done`
 * of an acquire that all runs and is open; nothing starts before what is left of it, nothing stops before what is right
 * of it. Progress: once answers are true again, an order ends.
 */
function simulate(random: Prng): void {
  const kinds = ["address", "classic-script", "mysqld"] as const;
  const count = random.between(1, 5);
  const resources = Array.from({ length: count }, (_, index) =>
    testResource(random.pick(kinds), `r${index}`),
  );
  const world = new RunnerWorld(testGroup(...resources));
  const lies = random.between(0, 30) / 100;
  let [operation, urgent, releasing, seen] = [0, false, false, 0];

  function check(): void {
    for (; seen < world.effects.length; seen++) {
      const effect = world.effects[seen];
      if (effect?.kind === "call" && effect.action === "stop") {
        const beside = urgent && resources[effect.resource]?.kind === "address";
        for (const right of world.running) {
          const dropped = urgent && resources[right]?.kind === "address";
          assert(
            right <= effect.resource || beside || dropped,
            `Stopped ${effect.resource} under ${right}`,
          );
        }
      }
      if (effect?.kind !== "done") continue;
      assert(effect.operation === operation, "An old operation was reported");
      const { outcome } = effect;
      const nothing = world.running.size === 0;
      if (outcome.result === "failed")
        assert(!outcome.clean || nothing, "Clean, yet something runs");
      else if (releasing) assert(nothing, "Released, yet something runs");
      else assert(world.running.size === count, "Done, yet not all runs");
    }
  }

  function order(): void {
    operation += 1;
    releasing = random.chance(0.5);
    urgent = releasing && (urgentBefore() || random.chance(0.3));
    world.feed(
      releasing
        ? { kind: "release", operation, urgent }
        : { kind: "acquire", operation, epoch: operation },
    );
  }
  function urgentBefore(): boolean {
    const { plan } = world.runner.snapshot();
    return plan.phase === "stop" && plan.urgent;
  }

  for (let step = 0; step < 300; step++) {
    if (random.chance(0.05)) order();
    if (random.chance(0.02)) world.feed({ kind: "probeAll" });
    if (random.chance(0.02) && quiet()) kill();
    if (random.chance(0.2)) world.pass(random.between(1, 1_500));
    const asked = world.asked();
    if (asked.length > 0 && random.chance(0.8)) answer(random.pick(asked));
    check();
  }
  order();
  check();
  for (let round = 0; round < 200; round++) {
    world.answerAll();
    check();
    if (world.effects.some((effect) => effect.kind === "done" && effect.operation === operation))
      return;
    world.pass(1_000);
  }
  assert(false, `Operation ${operation} never ended`);

  function quiet(): boolean {
    return world.calls.size === 0;
  }
  function kill(): void {
    const [victim] = world.running;
    // Only what a monitor would see: an order that has just ended would otherwise be judged by it.
    if (victim !== undefined && world.runner.snapshot().plan.phase === "held") {
      world.running.delete(victim);
      world.open.delete(victim);
    }
  }
  function answer(what: string): void {
    const [action] = what.split(" ");
    if (!random.chance(lies)) {
      world.answer(what);
      return;
    }
    const failure: Answer =
      action === "probe" || action === "monitor"
        ? random.pick(["timeout", { state: "failed", reason: "X", detail: "ill" } as const])
        : random.pick([
            "timeout",
            "crash",
            { ok: false, reason: "X", detail: "no", retryable: random.chance(0.7) } as const,
          ]);
    world.answer(what, failure);
  }
}
