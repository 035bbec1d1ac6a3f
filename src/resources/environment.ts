import type { Clock } from "../base/index.ts";
import type { ResourceNotice } from "./agent.ts";
import type { DiskAccess } from "./disk-access.ts";

/** What a resource of Baton's own knows of the host that it runs on. Every duration in milliseconds. */
export interface ResourceEnvironment {
  /** The group that the resource belongs to: part of each notice. */
  readonly group: string;
  /** This host, as in the configuration. */
  readonly host: string;
  readonly clock: Clock;
  readonly timing: { readonly keepaliveMs: number; readonly deadtimeMs: number };
  /** Told of what a resource sees between calls; must not throw. */
  readonly notify: (notice: ResourceNotice) => void;
  /** The replicated disks of this host; absent where there are none. */
  readonly disks?: DiskAccess;
}
