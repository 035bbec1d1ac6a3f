export type { ClientTask } from "./client-main.ts";
export { type DrillReport, drill } from "./drill.ts";
export { LabError, type LabExit } from "./errors.ts";
export { type ClientResult, Lab, type LabOptions, type UpOptions } from "./lab.ts";
export { Load, type LoadOptions, type LoadReport } from "./load.ts";
export { labNames } from "./names.ts";
export { labPackages } from "./packages.ts";
export { labReasons } from "./reasons.ts";
export type { LabProfile, LabState, LabStorage } from "./state.ts";
export { type LabStatus, labStatus, statusText } from "./status.ts";
export { dataHosts, type LinkName, labHosts, readAddress, writeAddress } from "./topology.ts";
export {
  type AppendFigures,
  type AppendNote,
  judge,
  longestPauseMs,
  readNotes,
  type Verdict,
} from "./workload.ts";
