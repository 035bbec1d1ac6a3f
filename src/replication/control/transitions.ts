/**
 * Which states exist and which changes are allowed (drbd.md 4.5, 4.6, 4.7). Pure: a state and a wish in, a state or a
 * code out. A change is first sanitised, then checked:
 *
 *   hard (I/O error, network loss, forced)   `impossible` only
 *   soft (asked by somebody)                 `impossible`, `invalid`, `forbidden`
 */
import {
  type ConnectionStateName,
  connectionRank,
  type DeviceState,
  type DiskStateName,
  diskRank,
} from "../contract.ts";
import type { MetadataFlags } from "../metadata/index.ts";
import type { FencingPolicy } from "../options.ts";
import { codes } from "./result-codes.ts";

/** What a state is judged by besides itself. */
export interface StateRules {
  readonly fencing: FencingPolicy;
  readonly twoPrimaries: boolean;
  readonly suspendWithoutData: boolean;
  readonly hasVerifyAlgorithm: boolean;
  /** How often the block device is open. */
  readonly openers: number;
  /** Our first P_STATE of a connection is sent and the handshake is not over. */
  readonly handshaking: boolean;
  /** The disk state that waits for the handshake of an attach; taken if the connection is lost before. */
  readonly postponedDisk: DiskStateName;
}

/** The state of a disk that was just configured. */
export const initialState: DeviceState = {
  role: "Secondary",
  peer: "Unknown",
  conn: "StandAlone",
  disk: "Diskless",
  pdsk: "DUnknown",
  suspUser: false,
  suspNoData: false,
  suspFencing: false,
  afterPaused: false,
  peerPaused: false,
  userPaused: false,
};

export const isSuspended = (state: DeviceState): boolean =>
  state.suspUser || state.suspNoData || state.suspFencing;
export const isFencing = (policy: FencingPolicy): boolean => policy !== "dont-care";

const connAtLeast = (state: DeviceState, conn: ConnectionStateName): boolean =>
  connectionRank(state.conn) >= connectionRank(conn);
const diskAtLeast = (disk: DiskStateName, least: DiskStateName): boolean =>
  diskRank(disk) >= diskRank(least);
export const isConnected = (state: DeviceState): boolean => connAtLeast(state, "Connected");

type Range = readonly [DiskStateName, DiskStateName];
const any: Range = ["Diskless", "UpToDate"];
const upToDate: Range = ["UpToDate", "UpToDate"];
const old: Range = ["Inconsistent", "Outdated"];
const behind: Range = ["Inconsistent", "Consistent"];
const broken: Range = ["Inconsistent", "Inconsistent"];

/** drbd.md 4.6 rule 5: what the disks can be, by the connection; [own, peer's]. */
const ranges: Readonly<Partial<Record<ConnectionStateName, readonly [Range, Range]>>> = {
  StartingSyncT: [old, upToDate],
  WFBitMapT: [old, upToDate],
  WFSyncUUID: [old, upToDate],
  PausedSyncT: [old, upToDate],
  Behind: [old, upToDate],
  SyncTarget: [broken, upToDate],
  StartingSyncS: [upToDate, behind],
  WFBitMapS: [upToDate, behind],
  PausedSyncS: [upToDate, behind],
  Ahead: [upToDate, behind],
  SyncSource: [upToDate, broken],
  VerifyS: [upToDate, upToDate],
  VerifyT: [upToDate, upToDate],
  Connected: [any, any],
  WFReportParams: [any, ["Inconsistent", "DUnknown"]],
};
const unconnected: readonly [Range, Range] = [any, ["Inconsistent", "DUnknown"]];

function clamp(disk: DiskStateName, [least, most]: Range): DiskStateName {
  if (diskRank(disk) < diskRank(least)) return least;
  return diskRank(disk) > diskRank(most) ? most : disk;
}

const lacksFencedPeer = (state: DeviceState): boolean =>
  state.role === "Primary" && !isConnected(state) && diskRank(state.pdsk) > diskRank("Outdated");
const lacksData = (state: DeviceState): boolean =>
  state.role === "Primary" && state.disk !== "UpToDate" && state.pdsk !== "UpToDate";

/** Makes a wished state coherent (drbd.md 4.6). */
export function sanitise(from: DeviceState, wish: DeviceState, rules: StateRules): DeviceState {
  let { peer, conn, disk, pdsk, peerPaused, suspFencing, suspNoData } = wish;
  const rank = connectionRank(conn);
  const connected = connectionRank("Connected");
  if (rank < connected) {
    peerPaused = false;
    peer = "Unknown";
    if (diskRank(pdsk) > diskRank("DUnknown") || diskRank(pdsk) < diskRank("Inconsistent")) {
      pdsk = "DUnknown";
    }
    const lost = connectionRank(from.conn) >= connected || from.conn === "WFReportParams";
    if (lost && rank < connectionRank("WFReportParams") && disk === "Negotiating") {
      disk = rules.postponedDisk;
    }
  }
  if (
    rank > connected &&
    (!diskAtLeast(disk, "Negotiating") || !diskAtLeast(pdsk, "Negotiating"))
  ) {
    conn = "Connected";
  }
  const settled = connectionRank(conn);
  if (settled >= connected && settled < connectionRank("Ahead")) {
    const compared = hasDisk(disk) && hasDisk(pdsk);
    // A peer without a disk proves nothing, unless it is Primary: then it refuses data that its applications do not use.
    const vouched = wish.peer === "Primary" && disk === "Consistent";
    if (known(disk) && (compared || vouched)) disk = "UpToDate";
    if (known(pdsk) && (compared || (wish.role === "Primary" && pdsk === "Consistent"))) {
      pdsk = "UpToDate";
    }
  }
  const [own, other] = ranges[conn] ?? unconnected;
  disk = clamp(disk, own);
  pdsk = clamp(pdsk, other);
  const judged = { ...wish, peer, conn, disk, pdsk };
  if (isFencing(rules.fencing) && lacksFencedPeer(judged) && !lacksFencedPeer(from)) {
    suspFencing = true;
  }
  if (rules.suspendWithoutData && lacksData(judged) && !lacksData(from)) suspNoData = true;
  conn = pausedOrRunning(conn, wish.afterPaused || peerPaused || wish.userPaused);
  // Pausing and running differ in what the disks may be (Outdated is no SyncTarget).
  const [ownLast, otherLast] = ranges[conn] ?? unconnected;
  disk = clamp(disk, ownLast);
  pdsk = clamp(pdsk, otherLast);
  return { ...wish, peer, conn, disk, pdsk, peerPaused, suspFencing, suspNoData };
}

const hasDisk = (disk: DiskStateName): boolean => diskAtLeast(disk, "Negotiating");
const known = (disk: DiskStateName): boolean => disk === "Consistent" || disk === "Outdated";

function pausedOrRunning(conn: ConnectionStateName, paused: boolean): ConnectionStateName {
  if (paused && conn === "SyncSource") return "PausedSyncS";
  if (paused && conn === "SyncTarget") return "PausedSyncT";
  if (!paused && conn === "PausedSyncS") return "SyncSource";
  if (!paused && conn === "PausedSyncT") return "SyncTarget";
  return conn;
}

const failures: readonly ConnectionStateName[] = [
  "Timeout",
  "BrokenPipe",
  "NetworkFailure",
  "ProtocolError",
  "TearDown",
];

/** Changes that nobody can make, hard ones included; 1 if this one can be made. */
export function impossible(from: DeviceState, to: DeviceState): number {
  if (from.conn === to.conn) return diskFromNothing(from, to);
  if (from.conn === "StandAlone" && to.conn !== "Unconnected") {
    return to.conn === "Disconnecting" ? codes.alreadyStandAlone : codes.needConnection;
  }
  if (!connAtLeast(from, "WFReportParams") && isConnected(to)) return codes.needConnection;
  const cleaningUp = to.conn === "Unconnected" || to.conn === "Disconnecting";
  if (failures.includes(from.conn) && !cleaningUp && !failures.includes(to.conn)) {
    return codes.inTransientState;
  }
  if (from.conn === "Disconnecting" && to.conn !== "StandAlone") return codes.inTransientState;
  return diskFromNothing(from, to);
}
const diskFromNothing = (from: DeviceState, to: DeviceState): number =>
  from.disk === "Diskless" && to.disk === "Failed" ? codes.isDiskless : codes.success;

const starting = (conn: ConnectionStateName): boolean =>
  conn === "StartingSyncS" || conn === "StartingSyncT";
const verifying = (conn: ConnectionStateName): boolean => conn === "VerifyS" || conn === "VerifyT";
const sourceLike: readonly ConnectionStateName[] = [
  "Connected",
  "WFBitMapS",
  "SyncSource",
  "PausedSyncS",
];

/** Which rule of drbd.md 4.5 a state breaks; 1 if none. In the order of that table. */
export function invalid(state: DeviceState, rules: StateRules): number {
  const { role, peer, conn, disk, pdsk } = state;
  const primary = role === "Primary";
  const syncing = connectionRank(conn) > connectionRank("Connected");
  const connected = isConnected(state);
  const noneUpToDate = disk !== "UpToDate" && pdsk !== "UpToDate";
  if (primary && !rules.twoPrimaries && peer === "Primary") return codes.twoPrimaries;
  if (role === "Secondary" && rules.openers > 0) return codes.deviceInUse;
  if (primary && !connected && disk !== "UpToDate") return codes.noUpToDateDisk;
  if (isFencing(rules.fencing) && primary && !connected && diskAtLeast(pdsk, "DUnknown")) {
    return codes.primaryNop;
  }
  if (primary && !diskAtLeast(disk, "Outdated") && !diskAtLeast(pdsk, "Outdated")) {
    return codes.noUpToDateDisk;
  }
  if (syncing && !diskAtLeast(disk, "Inconsistent")) return codes.noLocalDisk;
  if (syncing && !diskAtLeast(pdsk, "Inconsistent")) return codes.noRemoteDisk;
  if (syncing && noneUpToDate) return codes.noUpToDateDisk;
  if (sourceLike.includes(conn) && disk === "Outdated" && hasDisk(pdsk)) {
    return codes.connectedOutdates;
  }
  if (verifying(conn) && !rules.hasVerifyAlgorithm) return codes.noVerifyAlgorithm;
  if (primary && noneUpToDate) return codes.noUpToDateDisk;
  if (starting(conn) && pdsk === "DUnknown") return codes.needConnection;
  if (connected && pdsk === "DUnknown") return codes.connectedOutdates;
  return codes.success;
}

/** Which rule of the second part of drbd.md 4.5 a wish breaks: it looks at where it starts. `to` is sanitised. */
export function forbidden(from: DeviceState, to: DeviceState, rules: StateRules): number {
  const changesConn = from.conn !== to.conn;
  const beyond = connectionRank(from.conn) > connectionRank("Connected");
  if (starting(to.conn) && changesConn && beyond) return codes.resyncRunning;
  if (to.conn === "Disconnecting" && from.conn === "StandAlone") return codes.alreadyStandAlone;
  if (diskAtLeast(to.disk, "Failed") && from.disk === "Diskless") return codes.isDiskless;
  if (
    to.disk === "Outdated" &&
    !diskAtLeast(from.disk, "Outdated") &&
    from.disk !== "Attaching" &&
    from.disk !== "Negotiating"
  ) {
    return codes.lowerThanOutdated;
  }
  if (to.conn === "Disconnecting" && from.conn === "Unconnected") return codes.inTransientState;
  if (rules.handshaking && !changesConn) return codes.inTransientState;
  if (
    from.role !== "Primary" &&
    to.role === "Primary" &&
    from.pdsk === "UpToDate" &&
    from.disk !== "UpToDate" &&
    from.disk !== "Diskless" &&
    (connectionRank(to.conn) <= connectionRank("WFSyncUUID") || changesConn)
  ) {
    return codes.inTransientState;
  }
  if (verifying(to.conn) && changesConn) {
    if (!isConnected(from)) return codes.needConnection;
    if (beyond) return codes.resyncRunning;
  }
  if (starting(to.conn) && changesConn && !isConnected(from)) return codes.needConnection;
  if (
    to.conn === "Disconnecting" &&
    to.pdsk === "Outdated" &&
    !isConnected(from) &&
    diskRank(from.pdsk) > diskRank("Outdated")
  ) {
    return codes.outdateWithoutConnection;
  }
  return codes.success;
}

/**
 * Judges a soft change from the present state to a sanitised one. A state rule that the present state already breaks
 * does not stand in the way of leaving it.
 */
export function judge(from: DeviceState, to: DeviceState, rules: StateRules): number {
  const hard = impossible(from, to);
  if (hard < codes.success) return hard;
  const broken = invalid(to, rules);
  if (broken < codes.success && invalid(from, rules) !== broken) return broken;
  return forbidden(from, to, rules);
}

/** The flags that a state stands for (drbd.md 4.7); those of `before` that it says nothing of are kept. */
export function flagsOfState(
  state: DeviceState,
  crashedPrimary: boolean,
  before: MetadataFlags,
): MetadataFlags {
  return {
    ...before,
    logClean: false,
    primary: state.role === "Primary" || (state.peer === "Primary" && state.pdsk === "Diskless"),
    connected: connectionRank(state.conn) > connectionRank("WFReportParams"),
    consistent: diskAtLeast(state.disk, "Outdated"),
    wasUpToDate: diskRank(state.disk) > diskRank("Outdated"),
    peerOutdated: state.pdsk === "Inconsistent" || state.pdsk === "Outdated",
    crashedPrimary,
  };
}
