/**
 * Changes that both sides make together (drbd.md 4.8): one asks, the other makes the change and answers, the first makes
 * it too. One question of ours is open at a time. If both ask at once, the side that accepted the meta socket refuses.
 */
import type { DeviceState } from "../contract.ts";
import {
  applyRequest,
  mirrorRequest,
  requestState,
  type StateRequest,
  stateMask,
} from "../wire/state-word.ts";
import { loseConnection } from "./connection.ts";
import type { Core } from "./core.ts";
import { codes, succeeded } from "./result-codes.ts";

type Scope = "volume" | "connection";

/** Checks a change here and asks the peer; the answer ends up in the operation's `result`. 1: asked; below: refused here. */
export function askPeer(core: Core, scope: Scope, patch: Partial<DeviceState>): number {
  const { memory, options } = core;
  if (memory.change !== null) return codes.inTransientState;
  const code = core.wouldBe(patch);
  if (!succeeded(code)) return code;
  const { mask, value } = requestState(patch);
  memory.change = { scope, patch, mask, value };
  if (memory.operation !== null) memory.operation.result = null;
  core.send("data", {
    command: scope === "volume" ? "P_STATE_CHG_REQ" : "P_CONN_ST_CHG_REQ",
    volume: scope === "volume" ? options.spec.volume : 0,
    mask,
    value,
  });
  return codes.success;
}

/** The peer's answer. One that nobody waits for any more is ignored. */
export function receiveReply(core: Core, scope: Scope, result: number): void {
  const { memory } = core;
  const { change, operation } = memory;
  if (change === null || change.scope !== scope) return;
  memory.change = null;
  if (operation === null) return;
  if (!succeeded(result)) {
    operation.result = result;
    return;
  }
  // An orderly end of the connection is made by the operation itself.
  operation.result = scope === "connection" ? result : core.change(change.patch);
}

/** A peer's question: its change is made at once and answered (drbd.md 4.8 step 3). */
export function receiveRequest(core: Core, scope: Scope, request: StateRequest): void {
  const { memory, options } = core;
  const reply = (result: number): void => {
    core.send("meta", {
      command: scope === "volume" ? "P_STATE_CHG_REPLY" : "P_CONN_ST_CHG_REPLY",
      volume: scope === "volume" ? options.spec.volume : 0,
      result,
    });
  };
  if (memory.change !== null && core.session?.resolveConflicts === true) {
    reply(codes.concurrentChange);
    return;
  }
  const patch = patchOf(core.state, request);
  if (patch === undefined) {
    const detail = `mask ${request.mask.toString(16)}, value ${request.value.toString(16)}`;
    loseConnection(core, "ProtocolError", "BTN-DISK-PEER-REQUEST", detail);
    return;
  }
  const both = core.state.disk === "Inconsistent" && core.state.pdsk === "Inconsistent";
  const result = core.change(patch);
  if (succeeded(result) && both && patch.peer === "Primary" && patch.pdsk === "UpToDate") {
    memory.considerResync = true;
  }
  reply(Math.min(result, codes.success));
  if (succeeded(result) && patch.conn === "TearDown") {
    loseConnection(core, "TearDown", "BTN-DISK-PEER-DISCONNECTED", "the peer asked for it");
  }
}

const allowed = stateMask.role | stateMask.conn | stateMask.disk | stateMask.pdsk | stateMask.peer;
const askable: readonly DeviceState["conn"][] = [
  "TearDown",
  "StartingSyncS",
  "StartingSyncT",
  "VerifyT",
];

/** What a request means here; undefined if no peer may ask for it: nobody changes our role for us. */
function patchOf(state: DeviceState, request: StateRequest): Partial<DeviceState> | undefined {
  if ((request.mask & ~allowed) !== 0 || (request.mask & stateMask.peer) !== 0) return undefined;
  const mirrored = mirrorRequest(request);
  const wanted = applyRequest(state, mirrored);
  if (wanted === undefined) return undefined;
  const patch: { -readonly [Field in keyof DeviceState]?: DeviceState[Field] } = {};
  const asks = (mask: number): boolean => (mirrored.mask & mask) !== 0;
  if (asks(stateMask.peer)) patch.peer = wanted.peer;
  if (asks(stateMask.pdsk)) patch.pdsk = wanted.pdsk;
  if (asks(stateMask.conn)) {
    if (!askable.includes(wanted.conn)) return undefined;
    patch.conn = wanted.conn;
  }
  if (asks(stateMask.disk)) {
    // Only in an orderly disconnect, and a disk that is worse than Outdated stays what it is.
    if (wanted.disk !== "Outdated" || patch.conn !== "TearDown") return undefined;
    if (state.disk === "UpToDate" || state.disk === "Consistent") patch.disk = "Outdated";
  }
  return patch;
}
