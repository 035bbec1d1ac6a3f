export type {
  Command,
  FailoverEffect,
  FailoverEvent,
  FailoverRecord,
  GroupRecord,
  GroupState,
  GroupView,
  MessageFields,
  MoveScope,
  OperationOutcome,
  Ownership,
  Proof,
} from "./contract.ts";
export { Failover, type FailoverSnapshot } from "./failover.ts";
export { failoverReasons } from "./reasons.ts";
export type { ArbiterOptions, FailoverGroup, FailoverOptions } from "./state.ts";
export type { RscStatus } from "./view.ts";
