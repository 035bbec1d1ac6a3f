/** Programs that the lab runs on the machine: bounded in time, marked as its own, quoted in full when they fail. */
import { cleanEnvironment, run as runProgram } from "../system/process.ts";
import { LabError } from "./errors.ts";
import type { LabNames } from "./names.ts";

export interface RunOptions {
  readonly names: LabNames;
  readonly input?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** @default 30000 */
  readonly timeoutMs?: number;
}

/** The environment of what the lab starts: a fixed PATH, the C locale, and its mark. */
export function markedEnvironment(names: LabNames): Record<string, string> {
  return { ...cleanEnvironment, HOME: "/root", [names.mark.name]: names.mark.value };
}

/** Runs one program to its end; returns what it wrote to stdout. @throws {LabError} if it failed */
export async function run(
  file: string,
  args: readonly string[],
  { names, input, signal, timeoutMs = 30_000 }: RunOptions,
): Promise<string> {
  const result = await runProgram(file, args, {
    timeoutMs,
    maxOutputBytes: 4_194_304,
    env: markedEnvironment(names),
    ...(input === undefined ? {} : { input }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.code === 0) return result.stdout;
  const ending = result.timedOut
    ? `no end after ${timeoutMs} ms`
    : `status ${result.code ?? result.signal}`;
  const said = (result.stderr || result.stdout).trim().slice(-2_000);
  throw new LabError(5, {
    code: "BTN-LAB-COMMAND",
    message: `Cannot run ${file} ${args.join(" ")}: ${ending}: ${said}`,
  });
}
