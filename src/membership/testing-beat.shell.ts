/** For tests: a beat process without the command line around it. `--settings FILE` */
import { parseArgs } from "node:util";
import { ok } from "../base/index.ts";
import { runBeat } from "./beat.shell.ts";
import { readBeatSettings } from "./beat-settings.shell.ts";

const { values } = parseArgs({ options: { settings: { type: "string" } } });
await runBeat(await readBeatSettings(values.settings ?? ""), async (source) =>
  ok(Buffer.from((source.kind === "environment" && process.env[source.variable]) || "")),
);
