/** `baton beat`: the beat process. Hidden: the agent starts it (DESIGN 7.3). */
import type { Command } from "commander";

/** Adds the verb `beat` to the program. */
export function registerBeat(program: Command): void {
  program
    .command("beat", { hidden: true })
    .description("the beat process; the agent starts it")
    .requiredOption("--settings <file>", "what the agent wrote for it, in the run directory")
    .addHelpText(
      "after",
      `
Signals: TERM and INT end it at once, without a goodbye; HUP reads the keys again.

Example:
  baton beat --settings /run/baton/beat-settings.json`,
    )
    .action(runBeatVerb);
}

/** Loads no more than it needs: this process is to stay small. */
async function runBeatVerb({ settings }: { readonly settings: string }): Promise<void> {
  const { runBeat } = await import("../membership/beat.shell.ts");
  const { readBeatSettings } = await import("../membership/beat-settings.shell.ts");
  const { loadSecret } = await import("../config/secret.shell.ts");
  await runBeat(await readBeatSettings(settings), (source) => loadSecret(source));
}
