/** For tests: a beat process that takes its key from the environment. `--settings FILE` */
import { parseArgs } from "node:util";
import { runBeat } from "./beat.shell.ts";
import { readBeatSettings } from "./beat-settings.shell.ts";

const { values } = parseArgs({ options: { settings: { type: "string" } } });
await runBeat(await readBeatSettings(values.settings ?? ""), (source) =>
  source.kind === "environment" ? (process.env[source.variable] ?? "") : "",
);
