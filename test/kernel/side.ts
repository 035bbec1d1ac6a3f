/**
 * One side of a replicated disk as a scenario drives it: the same words for the kernel in a guest and for Baton on this
 * host, so that a scenario can also be played by two kernels, which shows what it demands of Baton.
 */

/** An administrator's command and its success; `detail` says why not. */
export interface Outcome {
  readonly done: boolean;
  readonly detail: string;
}

/** Commands in the words of drbdadm, their options behind them. */
export type Command =
  | "attach"
  | "connect"
  | "connect --discard-my-data"
  | "detach"
  | "disconnect"
  | "down"
  | "invalidate"
  | "invalidate-remote"
  | "new-current-uuid --clear-bitmap"
  | "outdate"
  | "pause-sync"
  | "primary"
  | "primary --force"
  | "resume-sync"
  | "secondary"
  | "verify";

export interface Side {
  readonly name: string;
  /** The raw file below it, as this host sees it. */
  readonly backing: string;
  /** Fresh metadata on an emptied backing; nothing runs. */
  createMetadata(): Promise<void>;
  /** Attaches after replaying the activity log, and connects. */
  up(): Promise<void>;
  try(command: Command): Promise<Outcome>;
  /** `cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate oos:0`, own side first; `cs:Unconfigured` if it is down. */
  state(): Promise<string>;
  /** Waits until the state matches an extended regular expression. */
  until(pattern: string, limitMs?: number): Promise<void>;
  /** Writes `count` blocks of 4 KiB that say `word block N`, past every cache. */
  fill(first: number, count: number, word: string): Promise<void>;
  /** Shell text on that side; `$D` is the device, `$M` a folder to mount it on. @returns its output */
  shell(text: string): Promise<string>;
  /** The power goes. Memory is lost; what was written stays. */
  crash(): Promise<void>;
  /** The power is back; nothing is attached. */
  restart(): Promise<void>;
  /** What to look at when a scenario fails. */
  explain(): Promise<string>;
  /** Ends whatever runs, with or without success; ready for other options. */
  clean(): Promise<void>;
}

/** Emulated, on a machine that does other things too. */
export const stateLimitMs = 60_000;

/** What `fill` writes. */
export function block(number: number, word: string): Buffer {
  return Buffer.alloc(4_096, `${word} block ${number}\n`);
}

/** @throws {Error} if it was not done */
export async function demand(side: Side, ...commands: readonly Command[]): Promise<void> {
  for (const command of commands) {
    const { done, detail } = await side.try(command);
    if (!done) throw new Error(`${side.name} refuses ${command}: ${detail}`);
  }
}
