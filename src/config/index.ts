export { formatFinding } from "./findings.ts";
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
export { type ConfigOutcome, type NativeOptions, parseClusterYaml } from "./native.ts";
export { configReasons } from "./reasons.ts";
export { addressLeaseMs } from "./timing.ts";
