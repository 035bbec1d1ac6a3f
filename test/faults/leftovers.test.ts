/** `lab down` leaves nothing, whatever state the lab is in, and `lab up` that was interrupted neither. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Load, labNames } from "../../src/lab/index.ts";
import { loopDevices } from "../../src/lab/storage.ts";
import { remainsOf } from "../../src/lab/test-support.ts";
import { delay } from "../../src/system/clock.ts";
import { Stage, skip } from "./stage.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

test("a lab in its worst state is taken down without a trace", { skip }, async () => {
  const loopsBefore = loopDevices();
  await using stage = await Stage.open("worst", "fast");
  const { lab } = stage;
  const holder = await stage.calm();
  const load = new Load(lab, { gapMs: 1, timeoutMs: 300 });
  await load.grow(50);
  await lab.cut(stage.other(holder), { link: "eth1", way: "in" });
  await lab.pause(holder, 600);
  await lab.execQuietly(stage.other(holder), ["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"]);
  await delay(1_500); // somewhere in the takeover
  await lab.crash(stage.other(holder));
  await lab.down();
  deepEqual(remainsOf(lab.names, loopsBefore), []);
  await load[Symbol.asyncDispose]();
});

for (const [signal, progress] of [
  ["SIGINT", "shared disk made"],
  ["SIGTERM", "waiting for SQL"],
  ["SIGKILL", "waiting for SQL"],
] as const) {
  test(`an up that gets ${signal} at "${progress}" leaves nothing, at the latest after down`, {
    skip,
  }, async () => {
    const loopsBefore = loopDevices();
    const directory = mkdtempSync(join(tmpdir(), "btn-faults-"));
    const name = `f${process.pid}-${signal.toLowerCase()}`;
    const names = labNames(name, directory);
    const up = baton(directory, "lab", "up", "--lab", name);
    up.child.stderr.on("data", () => {
      if (up.output().includes(progress)) up.child.kill(signal);
    });
    const code = await up.ended;
    ok(code !== 0, `it ended with ${code}: ${up.output()}`);
    if (signal === "SIGKILL") {
      const down = baton(directory, "lab", "down", "--lab", name);
      equal(await down.ended, 0, down.output());
    } else match(up.output(), /taking down what was built/);
    deepEqual(remainsOf(names, loopsBefore), []);
    rmSync(directory, { recursive: true, force: true });
  });
}

/** Runs a verb as a person would. */
function baton(directory: string, ...words: readonly string[]) {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, BATON_LAB_DIR: directory },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  }
  const ended = new Promise<number | null>((settle) => child.on("close", settle));
  return { child, ended, output: () => text };
}
