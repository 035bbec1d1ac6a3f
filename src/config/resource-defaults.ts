/**
 * What a resource is when the file leaves things out. cluster.yaml and the classic files both end
 * here, so that the same resource gets the same values from either.
 */

import { unreachable } from "../base/index.ts";
import {
  type AddressSpec,
  type ClassicScriptSpec,
  type DiskResourceSpec,
  defaultPolicy,
  type FilesystemSpec,
  type LsbSpec,
  type MysqldSpec,
  type OcfSpec,
  type ResourcePolicy,
  type ResourceSpec,
  type SharedDiskSpec,
} from "../resources/index.ts";

/** Where heartbeat looks for scripts (heartbeat.md 2.4). */
export const classicSearchPath: readonly string[] = ["/etc/ha.d/resource.d", "/etc/init.d"];

/**
 * What every resource script is given (heartbeat.md 3.3), whatever else is set. `HA_CURHOST` and what
 * a message carries are added when the script is run.
 */
export function scriptEnvironment(directory: string): Readonly<Record<string, string>> {
  return {
    HA_DIR: directory,
    HA_FUNCS: `${directory}/shellfuncs`,
    HA_DATEFMT: "%Y/%m/%d_%T\t",
    HA_LOGD: "no",
    OCF_ROOT: "/usr/lib/ocf",
  };
}

type Written<
  Spec extends { readonly name: string; readonly policy: ResourcePolicy },
  Optional extends keyof Spec = never,
> = Omit<Spec, "name" | "policy" | Optional> & {
  readonly [Key in Optional]: Spec[Key] | undefined;
} & {
  /** Undefined: as `defaultResourceName` says. */
  readonly name: string | undefined;
  /** What differs from `defaultPolicy`. */
  readonly policy: Partial<ResourcePolicy>;
};

/** A resource as written: everything that may be left out is undefined. */
export type ResourceDraft =
  | Written<AddressSpec>
  | Written<FilesystemSpec, "forceUnmountAfterMs">
  | Written<
      MysqldSpec,
      "socket" | "pidFile" | "port" | "user" | "monitorUser" | "recoveryStallMs" | "killAfterMs"
    >
  | Written<SharedDiskSpec>
  | Written<DiskResourceSpec>
  | Written<ClassicScriptSpec, "searchPath">
  | Written<LsbSpec>
  | Written<OcfSpec, "checkLevel">;

/** How long a busy mount is asked politely before its users are killed. */
const forceUnmountAfterMs = 10_000;
/** mysql.md 6.6: give up a crash recovery that made no progress for this long. */
const recoveryStallMs = 120_000;
/** mysql.md 6.6: KILL follows TERM after this long. */
const killAfterMs = 60_000;

/** The name in status and journal if the file gives none. */
export function defaultResourceName(draft: ResourceDraft): string {
  switch (draft.kind) {
    case "address":
      return draft.address;
    case "filesystem":
      return draft.directory;
    case "mysqld":
      return "mysqld";
    case "shared-disk":
      return "shared-disk";
    case "disk":
      return draft.disk;
    case "classic-script":
      return [draft.script, ...draft.arguments].join("::");
    case "lsb":
      return `lsb:${draft.script}`;
    case "ocf":
      return `ocf:${draft.provider}:${draft.type}`;
    default:
      return unreachable(draft);
  }
}

/** Fills in every default; `group` holds the resources of the same group. */
export function buildResource(draft: ResourceDraft, group: readonly ResourceDraft[]): ResourceSpec {
  const common = {
    name: draft.name ?? defaultResourceName(draft),
    policy: { ...defaultPolicy(draft.kind), ...draft.policy },
  };
  switch (draft.kind) {
    case "filesystem":
      return {
        ...draft,
        ...common,
        forceUnmountAfterMs: draft.forceUnmountAfterMs ?? forceUnmountAfterMs,
      };
    case "mysqld":
      return {
        ...draft,
        ...common,
        socket: draft.socket ?? "/run/mysqld/mysqld.sock",
        pidFile: draft.pidFile ?? "/run/mysqld/mysqld.pid",
        port: draft.port ?? 3306,
        user: draft.user ?? "mysql",
        monitorUser: draft.monitorUser ?? "baton",
        requiredMount: draft.requiredMount ?? mountOf(draft.dataDirectory, group),
        recoveryStallMs: draft.recoveryStallMs ?? recoveryStallMs,
        killAfterMs: draft.killAfterMs ?? Math.min(killAfterMs, common.policy.stopTimeoutMs),
      };
    case "classic-script":
      return {
        ...draft,
        ...common,
        searchPath: draft.searchPath ?? classicSearchPath,
        environment: { ...scriptEnvironment("/etc/ha.d"), ...draft.environment },
      };
    case "ocf":
      return { ...draft, ...common, checkLevel: draft.checkLevel ?? 0 };
    case "address":
    case "shared-disk":
    case "disk":
    case "lsb":
      return { ...draft, ...common };
    default:
      return unreachable(draft);
  }
}

/** The directory of the group's file system that holds `directory`, the innermost one. */
function mountOf(directory: string, group: readonly ResourceDraft[]): string | undefined {
  const mounts = group.flatMap((each) => (each.kind === "filesystem" ? [each.directory] : []));
  const holding = mounts.filter((mount) => isWithin(directory, mount));
  return holding.toSorted((left, right) => right.length - left.length)[0];
}

/** True if `path` is `directory` or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  const base = directory.replace(/\/+$/u, "");
  return path.replace(/\/+$/u, "") === base || path.startsWith(`${base}/`);
}
