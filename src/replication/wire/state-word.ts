/**
 * The state of one volume as one u32 (drbd.md 4.4), and requests to change it: a mask of the bits that are meant, and
 * their values.
 *
 *   0-1 role | 2-3 peer | 4-8 conn | 9-12 disk | 13-16 pdsk | 17 susp | 18 aftr_isp | 19 peer_isp | 20 user_isp |
 *   21 susp_nod | 22 susp_fen
 */
import {
  type ConnectionStateName,
  connectionRank,
  connectionStates,
  type DeviceState,
  diskRank,
  diskStates,
  roles,
} from "../contract.ts";

/** All bits of one field of the word. */
export const stateMask = {
  role: 0x3,
  peer: 0xc,
  conn: 0x1f0,
  disk: 0x1e00,
  pdsk: 0x1_e000,
  suspUser: 1 << 17,
  afterPaused: 1 << 18,
  peerPaused: 1 << 19,
  userPaused: 1 << 20,
  suspNoData: 1 << 21,
  suspFencing: 1 << 22,
} as const satisfies Readonly<Record<keyof DeviceState, number>>;

/** A request in P_STATE_CHG_REQ and P_CONN_ST_CHG_REQ. */
export interface StateRequest {
  readonly mask: number;
  readonly value: number;
}

/** The word of a state. */
export function encodeState(state: DeviceState): number {
  return (
    roles.indexOf(state.role) |
    (roles.indexOf(state.peer) << 2) |
    (connectionRank(state.conn) << 4) |
    (diskRank(state.disk) << 9) |
    (diskRank(state.pdsk) << 13) |
    flags(state)
  );
}

function flags(state: DeviceState): number {
  let word = 0;
  if (state.suspUser) word |= stateMask.suspUser;
  if (state.afterPaused) word |= stateMask.afterPaused;
  if (state.peerPaused) word |= stateMask.peerPaused;
  if (state.userPaused) word |= stateMask.userPaused;
  if (state.suspNoData) word |= stateMask.suspNoData;
  if (state.suspFencing) word |= stateMask.suspFencing;
  return word;
}

/**
 * The state of a word; undefined if a field has a number without a name. Bits 23-31 are ignored. Of a peer's word the
 * three `susp` fields mean nothing (drbd.md 4.4).
 */
export function decodeState(word: number): DeviceState | undefined {
  const role = roles[word & 3];
  const peer = roles[(word >>> 2) & 3];
  const conn = connectionStates[(word >>> 4) & 31];
  const disk = diskStates[(word >>> 9) & 15];
  const pdsk = diskStates[(word >>> 13) & 15];
  if (role === undefined || peer === undefined || conn === undefined) return undefined;
  if (disk === undefined || pdsk === undefined) return undefined;
  return {
    role,
    peer,
    conn,
    disk,
    pdsk,
    suspUser: (word & stateMask.suspUser) !== 0,
    suspNoData: (word & stateMask.suspNoData) !== 0,
    suspFencing: (word & stateMask.suspFencing) !== 0,
    afterPaused: (word & stateMask.afterPaused) !== 0,
    peerPaused: (word & stateMask.peerPaused) !== 0,
    userPaused: (word & stateMask.userPaused) !== 0,
  };
}

const nothing: DeviceState = {
  role: "Unknown",
  peer: "Unknown",
  conn: "StandAlone",
  disk: "Diskless",
  pdsk: "Diskless",
  suspUser: false,
  suspNoData: false,
  suspFencing: false,
  afterPaused: false,
  peerPaused: false,
  userPaused: false,
};

/** The request that asks for these fields and no others. */
export function requestState(change: Partial<DeviceState>): StateRequest {
  let mask = 0;
  for (const field of Object.keys(change) as (keyof DeviceState)[]) mask |= stateMask[field];
  return { mask, value: encodeState({ ...nothing, ...change }) };
}

/** The state that a request leads to; undefined if it names a number without a name. */
export const applyRequest = (state: DeviceState, request: StateRequest): DeviceState | undefined =>
  decodeState((encodeState(state) & ~request.mask) | (request.value & request.mask));

/** Connection states that a request may name, and how the asked side has to read them. */
const mirroredConnections: Readonly<Partial<Record<ConnectionStateName, ConnectionStateName>>> = {
  WFReportParams: "WFReportParams",
  Connected: "Connected",
  StartingSyncS: "StartingSyncT",
  StartingSyncT: "StartingSyncS",
  Disconnecting: "TearDown",
  VerifyS: "VerifyT",
};

/**
 * A peer's request as seen from here: its role is our peer, its disk our pdsk. What it says of its own suspension and
 * pauses does not become ours, except that its pause of a resync is our `peerPaused`.
 */
export const mirrorRequest = (request: StateRequest): StateRequest => ({
  mask: mirror(request.mask),
  value: mirror(request.value),
});

function mirror(word: number): number {
  const paused = (word & (stateMask.afterPaused | stateMask.userPaused)) !== 0;
  return (
    ((word & stateMask.role) << 2) |
    ((word & stateMask.peer) >>> 2) |
    (mirrorConnection((word & stateMask.conn) >>> 4) << 4) |
    ((word & stateMask.disk) << 4) |
    ((word & stateMask.pdsk) >>> 4) |
    (paused ? stateMask.peerPaused : 0)
  );
}

/** 31, all bits of a mask, stays; what a request can not name becomes 0. */
function mirrorConnection(number: number): number {
  if (number === 31) return 31;
  const name = connectionStates[number];
  const mirrored = name === undefined ? undefined : mirroredConnections[name];
  return mirrored === undefined ? 0 : connectionRank(mirrored);
}
