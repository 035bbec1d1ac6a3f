/**
 * Runs inside a Baton host of a pair: the outdating core on the running beat process, with a disk that answers as told.
 * `ask`: asks once for the exclusion of the peer's r0, prints `fenceDone RESULT MILLISECONDS`, ends.
 * `serve EXIT...`: prints `serving`, answers each request to outdate with the next of these exit codes, ends after the last.
 */
import { argv, exit, stdout } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type OutdateEffect, type OutdateEvent, Outdating } from "../../src/fencing/index.ts";
import { BEAT_SOCKET, BEAT_VERB, type BeatPush } from "../../src/membership/beat-settings.ts";
import { monotonicClock } from "../../src/system/clock.ts";
import { connectLines } from "../../src/system/lines.ts";

const [mode = "ask", ...exits] = argv.slice(2);
const options = { self: "dbm157", disks: [{ name: "r0", peer: "dbm158" }], hosts: ["dbm158"] };
const startedAt = monotonicClock.now();
const core = new Outdating(options, undefined, startedAt);
let open = exits.length;

const lines = await connectLines(`/run/baton/${BEAT_SOCKET}`, {
  software: "baton test",
  onEvent: (push) => {
    const pushed = push as BeatPush;
    if (pushed.kind === "event" && pushed.event.kind === "message") {
      const { host, fields } = pushed.event;
      feed({ kind: "message", host, fields });
    }
  },
});

function feed(event: OutdateEvent): void {
  for (const effect of core.step(monotonicClock.now(), event)) perform(effect);
}

function perform(effect: OutdateEffect): void {
  if (effect.kind === "fenceDone") {
    stdout.write(`fenceDone ${effect.result} ${Math.round(monotonicClock.now() - startedAt)}\n`);
    exit(0);
  }
  switch (effect.kind) {
    case "send":
      void lines.request(BEAT_VERB, { kind: "send", fields: effect.fields }).then(() => {
        // The answer to the last question is on its way: let it be sent.
        if (mode === "serve" && open === 0) setTimeout(() => exit(0), 300);
      });
      return;
    case "outdateHere": {
      open--;
      const code = Number(exits.shift() ?? "20");
      feed({ kind: "outdated", disk: effect.disk, request: effect.request, exit: code });
      return;
    }
    case "persist":
      effect.then.forEach(perform);
      return;
    default:
      return;
  }
}

feed({ kind: "verdict", host: "dbm158", verdict: "alive" });
if (mode === "ask") feed({ kind: "fenceAsked", disk: "r0", attempt: 1, policy: "native" });
else stdout.write("serving\n");
const giveUpAt = monotonicClock.now() + 20_000;
while (monotonicClock.now() < giveUpAt) {
  await sleep(50);
  feed({ kind: "tick" });
}
stdout.write("nothing came\n");
exit(1);
