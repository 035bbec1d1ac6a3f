/** Exit codes of every verb (DESIGN 4) and how an error becomes one. */
import { BatonError, type ErrorParts } from "../base/index.ts";

export const exits = {
  done: 0,
  negative: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  failed: 5,
} as const;

/** One of 0 to 5. */
export type Exit = (typeof exits)[keyof typeof exits];

/** An operating error that knows its exit code. */
export class CliError extends BatonError {
  override readonly name = "CliError";
  readonly exit: Exit;

  constructor(exit: Exit, parts: ErrorParts) {
    super(parts);
    this.exit = exit;
  }
}

/** The exit code of an error: its own if it has one, else by its reason code, else 5. */
export function exitOf(error: unknown): number {
  if (!(error instanceof BatonError)) return exits.failed;
  const own: unknown = "exit" in error ? error.exit : undefined;
  if (typeof own === "number") return own;
  const { code } = error;
  if (code === "BTN-SOCKET-UNREACHABLE" || code === "BTN-SOCKET-TIMEOUT") return exits.unreachable;
  if (code === "BTN-CONTROL-OBSERVE-ONLY") return exits.refused;
  if (code === "BTN-AGENT-NOT-A-HOST") return exits.usage;
  if (code.startsWith("BTN-CONTROL-") || code.startsWith("BTN-CONFIG-")) return exits.usage;
  return exits.failed;
}
