/** Making sure that the other side can no longer write. What other rooms may import. */
export type {
  FencingRecord,
  OutdateDisk,
  OutdateEffect,
  OutdateEvent,
  OutdateOptions,
  OutdateView,
  UnprovenExclusion,
} from "./contract.ts";
export { codeOfOutdateExit, dopCode } from "./dopd.ts";
export { Outdating } from "./outdate.ts";
export { type FencingReason, fencingReasons } from "./reasons.ts";
