/**
 * How each kind of resource is treated when the configuration does not say otherwise.
 * Sources: spec/mysql.md 6.6 (server start and stop), heartbeat.md 2.5 (scripts), DESIGN 7.12.
 */
import { unreachable } from "../base/index.ts";
import type { ResourcePolicy, ResourceSpec } from "./spec.ts";

const second = 1_000;
const minute = 60 * second;

const base: ResourcePolicy = {
  startTimeoutMs: 20 * second,
  stopTimeoutMs: 20 * second,
  monitorTimeoutMs: 5 * second,
  monitorIntervalMs: 5 * second,
  monitorFailures: 2,
  localRestarts: 1,
  restartWindowMs: 10 * minute,
  onStartFailure: "move",
  onStopFailure: "block",
};

/**
 * The policy of a resource of that kind. Durations are in milliseconds. A failed stop never reports
 * the group as released (R19), so no kind resets the host unless the configuration asks for it.
 */
export function defaultPolicy(kind: ResourceSpec["kind"]): ResourcePolicy {
  switch (kind) {
    case "address":
      // Asking the kernel costs next to nothing; an address that someone removed is put back here.
      return { ...base, startTimeoutMs: 5 * second, stopTimeoutMs: 5 * second, localRestarts: 3 };
    case "filesystem":
      // A preening fsck of a large disk takes minutes; unmounting waits for writeback.
      return { ...base, startTimeoutMs: 10 * minute, stopTimeoutMs: 2 * minute, localRestarts: 0 };
    case "mysqld":
      // Crash recovery goes on as long as it makes progress (MysqldSpec.recoveryStallMs bounds that).
      return {
        ...base,
        startTimeoutMs: 15 * minute,
        stopTimeoutMs: 75 * second,
        monitorTimeoutMs: 3 * second,
        monitorIntervalMs: second,
        monitorFailures: 3,
      };
    case "shared-disk":
      // The claim is renewed by the agent itself; a claim that moved is never taken back by a restart.
      return { ...base, startTimeoutMs: minute, localRestarts: 0, monitorFailures: 1 };
    case "disk":
      // A promotion may have to exclude the peer first; a disk that failed here is not made good by asking again.
      return {
        ...base,
        startTimeoutMs: minute,
        stopTimeoutMs: 30 * second,
        monitorIntervalMs: second,
        localRestarts: 0,
      };
    case "classic-script":
      // The original never monitors and sets no limit; the limits keep one hung script from holding the group for ever.
      return {
        ...base,
        startTimeoutMs: 15 * minute,
        stopTimeoutMs: 10 * minute,
        monitorTimeoutMs: 30 * second,
        monitorIntervalMs: 0,
        localRestarts: 0,
      };
    case "lsb":
      return {
        ...base,
        startTimeoutMs: 15 * minute,
        stopTimeoutMs: 10 * minute,
        monitorTimeoutMs: 30 * second,
        monitorIntervalMs: 30 * second,
      };
    case "ocf":
      return {
        ...base,
        startTimeoutMs: 5 * minute,
        stopTimeoutMs: 2 * minute,
        monitorTimeoutMs: 30 * second,
        monitorIntervalMs: 15 * second,
      };
    default:
      return unreachable(kind);
  }
}
