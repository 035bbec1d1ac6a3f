/**
 * Kernel DRBD 8.4.11 and Baton as the two sides of one disk, scenario by scenario; after each, both are equal block by
 * block. With BATON_KERNEL_PEERS=kernels two kernels play the same scenarios: the check of the scenarios themselves.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Arrangement, kernelAndBaton, kernels } from "./arrangement.ts";
import { skip } from "./lan.ts";
import { connectionScenarios } from "./scenarios/connection.ts";
import { placeScenarios } from "./scenarios/place.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { syncScenarios } from "./scenarios/sync.ts";
import { writeScenarios } from "./scenarios/writes.ts";

const traceLines = 60;
/** Where whole traces of failures are kept, for whoever looks into one. */
const tracesDirectory = process.env["BATON_KERNEL_TRACES"];

const peers = process.env["BATON_KERNEL_PEERS"];

const all = [...syncScenarios, ...writeScenarios, ...connectionScenarios, ...placeScenarios];

describe("the kernel and Baton", { skip, concurrency: false }, () => {
  let pair: Arrangement;
  before(async () => {
    pair = await (peers === "kernels" ? kernels() : kernelAndBaton());
  });
  after(async () => {
    await pair[Symbol.asyncDispose]();
  });
  for (const scenario of all) test(scenario.name, () => perform(pair, scenario));
});

async function perform(pair: Arrangement, { name, setting, play }: Scenario): Promise<void> {
  await pair.begin(setting);
  try {
    await play(pair);
  } catch (error) {
    const trace = pair.trace();
    const told = `${await pair.explain()}\n== the last packets\n${trace.slice(-traceLines).join("\n")}`;
    if (tracesDirectory !== undefined) {
      mkdirSync(tracesDirectory, { recursive: true });
      const file = join(tracesDirectory, `${name.replace(/\W+/g, "-")}.txt`);
      writeFileSync(file, `${error}\n${await pair.explain()}\n${trace.join("\n")}\n`);
    }
    throw new Error(`${error instanceof Error ? error.message : error}\n${told}`, { cause: error });
  } finally {
    await pair.clean();
  }
}
