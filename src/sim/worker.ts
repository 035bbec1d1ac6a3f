/** A worker thread of a campaign: runs the seed that it is sent, answers with its summary. */
import { parentPort } from "node:worker_threads";
import { runSeed, summarise } from "./campaign.ts";

parentPort?.on("message", (seed: number) => {
  parentPort?.postMessage(summarise(runSeed(seed)));
});
