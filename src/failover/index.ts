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
