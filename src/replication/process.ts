/**
 * What the process of one disk (`baton disk serve NAME`) says and takes on its socket `/run/baton/disk-NAME.sock`, in the
 * protocol of DESIGN 7.4. It pushes its whole state on connecting and after each change; the agent and the verbs are
 * its clients. It decides about data, never about exclusion: that it asks (R2).
 */
import type { DiskCommand, DiskView, FenceResult } from "./contract.ts";

/** Pushed as `{event: DiskProcessState}`. */
export interface DiskProcessState {
  readonly kind: "disk";
  readonly revision: number;
  readonly view: DiskView;
  /** What applications open, such as `/dev/baton/r0`; null: there is none now. */
  readonly device: string | null;
  /** The loop device behind it, such as `/dev/loop3`. */
  readonly loop: string | null;
  readonly openers: number;
  /** The Primary froze I/O and wants its peer excluded; the agent answers with the request `fenced`. */
  readonly asking: { readonly attempt: number; readonly reason: string } | null;
  /** The peer also is Baton and has the same cluster id; null: not connected. */
  readonly batonPeer: boolean | null;
}

/** Verbs of requests to a disk process; `args` in brackets. */
export type DiskRequest =
  /** [DiskCommand] Progress lines, then the outcome. */
  | { readonly verb: "command"; readonly command: DiskCommand }
  /** An answer to `asking`. A stale attempt is refused. */
  | {
      readonly verb: "fenced";
      readonly attempt: number;
      readonly result: FenceResult;
      readonly detail: string;
    }
  /** The agent's cluster id and epoch (R7). */
  | { readonly verb: "epoch"; readonly clusterId: string; readonly epoch: number }
  /** The state once, for `status`. */
  | { readonly verb: "state" };

/** The result of `command`: an outcome, with the exit code that drbdsetup would give (drbd.md 9.6). */
export interface DiskOutcome {
  readonly outcome: "done" | "refused" | "failed";
  readonly reason: string;
  /** drbd.md 4.2: 1 and above is success. */
  readonly code: number;
  readonly detail: string;
}

/**
 * Left by a process that ended in order, removed by the next: who keeps disks running does not start one again that a
 * person took down.
 */
export const diskDownPath = (runDirectory: string, name: string): string =>
  `${runDirectory}/disk-${name}.down`;

/** Path of the socket of one disk. */
export const diskSocketPath = (runDirectory: string, name: string): string =>
  `${runDirectory}/disk-${name}.sock`;
