/** A worker thread of a campaign: runs the seed that it is sent, answers with its summary. */
import { parentPort, workerData } from "node:worker_threads";
import { runSeed, summarise } from "./campaign.ts";
import type { Profile } from "./schedule.ts";

const { profile } = workerData as { readonly profile: Profile | undefined };

parentPort?.on("message", (seed: number) => {
  parentPort?.postMessage(summarise(runSeed(seed, profile)));
});
