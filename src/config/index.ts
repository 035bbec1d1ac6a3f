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
