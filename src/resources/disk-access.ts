/** What the resource `disk` needs of the process that holds the disk; the agent provides it. */
import type { DiskCommand, DiskOutcome, DiskProcessState } from "../replication/index.ts";

/** The disk processes of this host, by the disk's name. */
export interface DiskAccess {
  /** The newest level state; `absent`: there is no process; `unreachable`: there may be one, but it does not answer. */
  state(disk: string): DiskProcessState | "absent" | "unreachable";
  /** Ends when the disk has done or refused it, or soon after `signal` aborts. Never rejects. */
  command(
    disk: string,
    command: DiskCommand,
    options: { readonly signal: AbortSignal; readonly progress: (line: string) => void },
  ): Promise<DiskOutcome>;
  /** Resolves at the next change of the disk's state, or when `signal` aborts. */
  changed(disk: string, signal: AbortSignal): Promise<void>;
}
