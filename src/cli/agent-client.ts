/** Asks the agent of this host over its control socket (DESIGN 7.4). */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  authorityOf,
  type ControlCall,
  type ControlResults,
  type ControlVerb,
  controlSocketName,
  statusSocketName,
} from "../agent/control.ts";
import { BatonError } from "../base/index.ts";
import { connectLines, type LineClient } from "../system/lines.ts";
import { CliError, exits } from "./exit.ts";
import { softwareVersion } from "./version.ts";

/** Where sockets are unless `BATON_RUN_DIR` or `--socket` says otherwise (DESIGN 7.4). */
const defaultRunDirectory = "/run/baton";
/** A command takes as long as it takes: the longest timer that Node has, about 25 days. */
export const unlimitedMs = 2_147_483_647;
/** A question is answered at once or not at all. */
const questionTimeoutMs = 5_000;

export interface AgentOptions {
  /** Path of the control socket. */
  readonly socket?: string | undefined;
}

export interface AskOptions extends AgentOptions {
  /** @default 5000; commands have no limit */
  readonly timeoutMs?: number;
  readonly onProgress?: (value: unknown) => void;
  /** Hangs up when aborted; what was asked goes on. */
  readonly signal?: AbortSignal;
}

/** The socket to ask: `--socket`, else `BATON_RUN_DIR`, else `/run/baton`. */
export function socketPath(options: AgentOptions): string {
  const directory = process.env["BATON_RUN_DIR"] || defaultRunDirectory;
  return options.socket ?? join(directory, controlSocketName);
}

/** One call to the agent, on a connection of its own. @throws {BatonError} with the reason code */
export async function askAgent<Verb extends ControlVerb>(
  call: Extract<ControlCall, { readonly verb: Verb }>,
  options: AskOptions = {},
): Promise<ControlResults[Verb]> {
  const client = await connectAgent(call.verb, options);
  options.signal?.addEventListener("abort", () => client.close(), { once: true });
  try {
    const result = await client.request(call.verb, call.args, {
      timeoutMs: options.timeoutMs ?? timeoutOf(call.verb),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    return result as ControlResults[Verb];
  } catch (error) {
    throw lostMidway(call.verb, client, error);
  } finally {
    client.close();
  }
}

function timeoutOf(verb: ControlVerb): number {
  return authorityOf(verb) === "operate" ? unlimitedMs : questionTimeoutMs;
}

/** Connects; a question goes to the status socket if this user may not use the other. */
async function connectAgent(verb: ControlVerb, options: AgentOptions): Promise<LineClient> {
  const path = socketPath(options);
  demandSafeDirectory(path);
  const software = `baton ${softwareVersion()}`;
  try {
    return await connectLines(path, { software });
  } catch (error) {
    if (authorityOf(verb) !== "observe" || options.socket !== undefined) throw error;
    if (!isPermission(error)) throw error;
    return await connectLines(join(dirname(path), statusSocketName), { software });
  }
}

/**
 * The client knows the agent by who owns the directory of its socket (reliability 9.2): root, or
 * the user who asks; and nobody else may write there.
 */
export function demandSafeDirectory(path: string): void {
  const directory = dirname(path);
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return; // Connecting tells it better.
  const foreign = stat.uid !== 0 && stat.uid !== process.getuid?.();
  const open = (stat.mode & 0o022) !== 0;
  if (!foreign && !open) return;
  const why = foreign ? `it belongs to user ${stat.uid}` : "others may write to it";
  throw new CliError(exits.refused, {
    code: "BTN-CLI-SOCKET-UNSAFE",
    message: `Cannot trust the socket directory ${directory}: ${why}`,
    consequence: "The command was not sent",
    fix: "Give the directory to root with mode 0750, or name the right socket with --socket",
  });
}

function isPermission(error: unknown): boolean {
  const cause = error instanceof BatonError ? error.cause : undefined;
  return (cause as NodeJS.ErrnoException | undefined)?.code === "EACCES";
}

/** A connection that ended after a command was sent: its end is not known, which must be said. */
function lostMidway(verb: ControlVerb, client: LineClient, error: unknown): unknown {
  const lost = error instanceof BatonError && error.code === "BTN-SOCKET-UNREACHABLE";
  if (!lost || !client.closed || authorityOf(verb) !== "operate") return error;
  return new CliError(exits.unreachable, {
    code: "BTN-CLI-CONNECTION-LOST",
    message: `The agent went away before "${verb}" ended`,
    consequence: "Whether it was done is not known; what was begun may go on",
    fix: "Look at `baton status`, then ask again",
    cause: error,
  });
}
