export type {
  ActionContext,
  ActionResult,
  ProbeResult,
  ResourceAgent,
  ResourceNotice,
} from "./agent.ts";
export type { DiskAccess } from "./disk-access.ts";
export type { ResourceEnvironment } from "./environment.ts";
export { GroupRunner } from "./group-runner.ts";
export { defaultPolicy } from "./policy.ts";
export { type ResourcesReason, resourcesReasons } from "./reasons.ts";
export type {
  GroupRunnerOptions,
  GroupRunnerSnapshot,
  ResourceView,
  RunnerAction,
  RunnerEffect,
  RunnerEvent,
} from "./runner-contract.ts";
export type {
  AddressSpec,
  ClassicScriptSpec,
  DiskResourceSpec,
  FilesystemSpec,
  GroupSpec,
  LsbSpec,
  MysqldSpec,
  OcfSpec,
  ResourcePolicy,
  ResourceSpec,
  SharedDiskSpec,
} from "./spec.ts";
