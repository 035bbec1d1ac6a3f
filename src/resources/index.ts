export type {
  ActionContext,
  ActionResult,
  ProbeResult,
  ResourceAgent,
  ResourceNotice,
} from "./agent.ts";
export type { ResourceEnvironment } from "./environment.ts";
export { defaultPolicy } from "./policy.ts";
export { resourcesReasons } from "./reasons.ts";
export type {
  AddressSpec,
  ClassicScriptSpec,
  FilesystemSpec,
  GroupSpec,
  LsbSpec,
  MysqldSpec,
  OcfSpec,
  ResourcePolicy,
  ResourceSpec,
  SharedDiskSpec,
} from "./spec.ts";
