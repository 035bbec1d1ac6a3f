export { configurationDigestInput } from "./digest-input.ts";
export { formatFinding } from "./findings.ts";
export {
  type ClassicFile,
  type ClassicFiles,
  type ClassicOptions,
  type ClassicOutcome,
  classicToConfig,
} from "./legacy/classic.ts";
export { type ImportOptions, type ImportOutcome, importClassic } from "./legacy/import.ts";
export type { ImportRow, Outcome } from "./legacy/rows.ts";
export type {
  AuthConfig,
  ClusterConfig,
  DigestMethod,
  FailoverConfig,
  Finding,
  HostConfig,
  KeyConfig,
  LinkConfig,
  PingConfig,
  Role,
  SecretSource,
  Timing,
} from "./model.ts";
export {
  type ConfigOutcome,
  configForHost,
  type NativeOptions,
  parseClusterYaml,
} from "./native.ts";
export { configReasons } from "./reasons.ts";
export { addressLeaseMs } from "./timing.ts";
