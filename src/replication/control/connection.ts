/**
 * The life of the connection, and whether the peer is alive (drbd.md 1.2, 3.7, 4.10).
 *
 *   StandAlone --connect--> WFConnection --sockets up--> handshake --> WFReportParams --> Connected and above
 *        ^                     ^   ^                        |                |                  |
 *        |                     |   '-- 1 s (a failed handshake), at once (a lost connection) ---'
 *        '---- refused for good, or disconnect ----
 */
import { after, earliest, type Instant, instant } from "../../base/index.ts";
import type { Core } from "./core.ts";
import { cancelFence, fenceAfterLoss } from "./fencing.ts";
import { nothingKnown } from "./memory.ts";

const RETRY_MS = 1_000;
/** Longer than the kernel takes for its side of the same judgement, with its handlers. */
const LEAVE_MS = 1_000;
/** How long after the end of a connection by a new epoch the peer is expected back before it is fenced. */
export const EPOCH_CHANGE_MS = 3_000;
/** Local I/O that takes longer than this stops our own pings: a peer must be able to see that we hang (drbd.md 3.7). */
const HANGING_DISK_MS = 2_000;

type Failure = "Timeout" | "BrokenPipe" | "NetworkFailure" | "ProtocolError" | "TearDown";

/** Begins to look for the peer. */
export function dial(core: Core): void {
  core.force({ conn: "Unconnected" });
  core.force({ conn: "WFConnection" });
  core.memory.link = { phase: "dialling" };
  core.emit({ kind: "establish" });
}

/** The connection is over; the next one is tried. Nothing happens if there is none. */
export function loseConnection(
  core: Core,
  failure: Failure,
  reason: string,
  detail: string,
  fenceDelayMs = 0,
): void {
  const { link } = core.memory;
  if (link.phase === "none" || link.phase === "pausing") return;
  if (link.phase === "leaving") {
    left(core);
    return;
  }
  core.decide(reason, detail);
  const wasUp = link.phase === "up";
  const retryAt = wasUp ? core.now : after(core.now, RETRY_MS);
  endSession(core, failure);
  core.memory.link = { phase: "pausing", retryAt };
  core.force({ conn: "Unconnected" });
  if (wasUp) fenceAfterLoss(core, fenceDelayMs);
}

/** The connection is over, and no other is tried until somebody says `connect`. */
export function standAlone(core: Core, reason: string, detail: string): void {
  const { link } = core.memory;
  if (link.phase === "none") return;
  core.decide(reason, detail);
  const wasUp = link.phase === "up";
  endSession(core, "Disconnecting");
  core.force({ conn: "StandAlone" });
  core.memory.link = { phase: "none" };
  if (wasUp) fenceAfterLoss(core, 0);
}

/**
 * The handshake comes to nothing, for good. The peer is left the time to judge for itself: a kernel whose meta socket ends
 * does not read any more what is there on the data socket, and would dial for ever instead of standing alone.
 */
export function turnAway(core: Core, reason: string, detail: string): void {
  const { link } = core.memory;
  if (link.phase === "none" || link.phase === "leaving") return;
  if (link.phase === "up") {
    standAlone(core, reason, detail);
    return;
  }
  core.decide(reason, detail);
  core.memory.link = { phase: "leaving", until: after(core.now, LEAVE_MS) };
  core.force({ conn: "Disconnecting" });
}

function left(core: Core): void {
  endSession(core, "Disconnecting");
  core.force({ conn: "StandAlone" });
}

function endSession(core: Core, conn: Failure | "Disconnecting"): void {
  const { memory } = core;
  memory.link = { phase: "none" };
  core.force({ conn });
  core.emit({ kind: "hangUp" });
  memory.peer = nothingKnown();
  memory.earlySyncUuid = null;
  memory.considerResync = false;
  memory.step = null;
  memory.pingSentAt = null;
  memory.pings = 0;
  memory.pingAcks = 0;
  memory.discardMyData = memory.discardMyData && conn !== "Disconnecting";
  if (memory.change !== null) {
    memory.change = null;
    if (memory.operation !== null) memory.operation.result = 0;
  }
  if (memory.fence.phase === "proven") cancelFence(core);
}

/** Sends a ping and answers with its number: `pingAnswered` compares. */
export function ping(core: Core): number {
  const { memory } = core;
  memory.pings += 1;
  if (memory.pingSentAt === null) memory.pingSentAt = core.now;
  core.send("meta", { command: "P_PING", volume: 0 });
  return memory.pings;
}

/** P_PING_ACK. */
export function pingAnswered(core: Core): void {
  const { memory } = core;
  if (memory.pingAcks < memory.pings) memory.pingAcks += 1;
  if (memory.pingAcks === memory.pings) memory.pingSentAt = null;
}

/** Whether the peer's silence has lasted too long; asks, then gives up. */
export function connectionTick(core: Core): void {
  const { memory } = core;
  const { link } = memory;
  const { pingTimeoutMs } = core.options.spec.net;
  switch (link.phase) {
    case "none":
    case "dialling":
      return;
    case "pausing":
      if (core.now >= link.retryAt) dial(core);
      return;
    case "leaving":
      if (core.now >= link.until) left(core);
      return;
    case "parameters":
    case "up":
      judgeSilence(core);
      return;
    default:
      if (core.now < link.deadline) return;
      loseConnection(
        core,
        "NetworkFailure",
        "BTN-DISK-HANDSHAKE-SILENT",
        `the peer sent nothing in phase ${link.phase} for ${4 * pingTimeoutMs} ms`,
      );
  }
}

function judgeSilence(core: Core): void {
  const { memory } = core;
  const due = silenceDeadline(core);
  if (due === undefined || core.now < due) return;
  if (memory.pingSentAt === null) {
    if (!isHanging(core)) ping(core);
    else memory.lastReceived = core.now;
    return;
  }
  if (core.now - due >= core.options.spec.net.pingTimeoutMs / 2) {
    // We ourselves stood still: what the peer sent meanwhile is not read yet.
    memory.pingSentAt = core.now;
    return;
  }
  const silentMs = core.now - memory.lastReceived;
  loseConnection(core, "NetworkFailure", "BTN-DISK-PEER-SILENT", `nothing for ${silentMs} ms`);
}

/** When silence is next judged. */
function silenceDeadline(core: Core): Instant | undefined {
  const { pingSentAt, lastReceived } = core.memory;
  const { pingIntervalMs, pingTimeoutMs } = core.options.spec.net;
  if (pingSentAt === null) return after(lastReceived, pingIntervalMs);
  // Anything that comes proves life, so the wait begins again with it.
  return after(instant(Math.max(pingSentAt, lastReceived)), pingTimeoutMs);
}

/** When the connection must be looked at again. */
export function connectionWakeAt(core: Core): Instant | undefined {
  const { link } = core.memory;
  switch (link.phase) {
    case "none":
    case "dialling":
      return undefined;
    case "pausing":
      return link.retryAt;
    case "leaving":
      return link.until;
    case "parameters":
    case "up":
      return silenceDeadline(core);
    default:
      return link.deadline;
  }
}

/** Whether our own disk path hangs. */
export function isHanging(core: Core): boolean {
  const oldest = core.output.oldestIo();
  return oldest !== undefined && core.now - oldest >= HANGING_DISK_MS;
}

/** With disk-timeout: when local I/O that is still open means that the disk is gone. */
export function diskDeadline(core: Core): Instant | undefined {
  const { diskTimeoutMs } = core.options.spec.disk;
  const oldest = core.output.oldestIo();
  if (diskTimeoutMs === 0 || oldest === undefined) return undefined;
  return earliest(after(oldest, diskTimeoutMs));
}
