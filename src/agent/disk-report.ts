/** A disk's state as status shows it and as failover compares it (R5). Pure. */
import type { Proof } from "../failover/index.ts";
import {
  connectionRank,
  type DiskProcessState,
  type DiskStateName,
  diskRank,
} from "../replication/index.ts";
import type { DiskReport } from "./control.ts";

/** What is known of a disk's process at this moment. */
export type DiskSeen = DiskProcessState | "absent" | "unreachable";

/** The line of `baton status` of one disk. */
export function diskReport(name: string, seen: DiskSeen): DiskReport {
  if (typeof seen === "string") {
    return {
      name,
      process: seen,
      device: null,
      role: "Unknown",
      peerRole: "Unknown",
      connection: "StandAlone",
      disk: "DUnknown",
      peerDisk: "DUnknown",
      frozen: false,
      outOfSyncKib: 0,
      resync: null,
      reason: "BTN-DISK-NO-PROCESS",
      detail: seen === "absent" ? "no process holds it" : "its process does not answer",
    };
  }
  const { view } = seen;
  const { state, resync } = view;
  return {
    name,
    process: "running",
    device: seen.device,
    role: state.role,
    peerRole: state.peer,
    connection: state.conn,
    disk: state.disk,
    peerDisk: state.pdsk,
    frozen: state.suspFencing || state.suspNoData || state.suspUser,
    outOfSyncKib: view.outOfSyncBlocks * 4,
    resync:
      resync === null
        ? null
        : {
            kind: resync.kind,
            donePercent:
              resync.totalBlocks === 0
                ? 100
                : Math.floor(
                    (1_000 * (resync.totalBlocks - resync.leftBlocks)) / resync.totalBlocks,
                  ) / 10,
            kibPerSecond: Math.round(resync.recentKibPerSecond),
            stalled: resync.stalled,
          },
    reason: view.reason,
    detail: view.detail,
  };
}

/** What failover compares: of several disks of one group the worst in each respect. */
export function diskProof(
  disks: readonly { readonly name: string; readonly seen: DiskSeen }[],
): Proof {
  const states: DiskProcessState[] = [];
  for (const { name, seen } of disks) {
    if (typeof seen === "string") {
      return { kind: "unreadable", detail: `the process of the disk ${name} is ${seen}` };
    }
    states.push(seen);
  }
  const all = states.map(({ view }) => view.state);
  return {
    kind: "disk",
    state: worst(all.map(({ disk }) => disk)),
    connected: all.every(({ conn }) => connectionRank(conn) >= connectionRank("Connected")),
    peerState: worst(all.map(({ pdsk }) => pdsk)),
    peerPrimary: all.some(({ peer }) => peer === "Primary"),
  };
}

const worst = (states: readonly DiskStateName[]): DiskStateName =>
  states.reduce((low, state) => (diskRank(state) < diskRank(low) ? state : low), "UpToDate");
