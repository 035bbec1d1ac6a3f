/**
 * What a group consists of, as configuration states it. One member per kind of resource; every
 * duration is in milliseconds. `config` produces these values, the agents of this room consume them.
 */

/** How one resource is treated over time; defaults per kind are in `policy.ts`. */
export interface ResourcePolicy {
  readonly startTimeoutMs: number;
  readonly stopTimeoutMs: number;
  readonly monitorTimeoutMs: number;
  /** 0: never monitored. */
  readonly monitorIntervalMs: number;
  /** Consecutive failed monitors that count as a failure of the resource. */
  readonly monitorFailures: number;
  /** Restarts on this host before the group moves. */
  readonly localRestarts: number;
  /** A restart is forgotten after this long without a failure. */
  readonly restartWindowMs: number;
  /** A start that failed: move the group to the other host, or keep it down here and say so. */
  readonly onStartFailure: "move" | "stay";
  /** A stop that failed: block the group (never report it released), or also reset this host. */
  readonly onStopFailure: "block" | "reset-host";
}

interface Common {
  /** Unique within the group; messages, status and journal use it. */
  readonly name: string;
  readonly policy: ResourcePolicy;
}

/** A floating address, IPv4 or IPv6. */
export interface AddressSpec extends Common {
  readonly kind: "address";
  readonly address: string;
  /** Undefined: as the route to the address says. */
  readonly prefixLength: number | undefined;
  /** Undefined: found from the routing table. */
  readonly device: string | undefined;
  readonly broadcast: string | undefined;
}

/** A file system on a block device. */
export interface FilesystemSpec extends Common {
  readonly kind: "filesystem";
  readonly device: string;
  readonly directory: string;
  readonly type: string;
  readonly options: readonly string[];
  /** `auto`: preen when the file system's own journal does not suffice. */
  readonly fsck: "auto" | "force" | "no";
  /** Kill the processes that keep the mount busy, after this long; 0: never. */
  readonly forceUnmountAfterMs: number;
}

/** A MySQL or MariaDB server that Baton itself starts and watches. */
export interface MysqldSpec extends Common {
  readonly kind: "mysqld";
  /** Undefined: the first of mariadbd, mysqld in the usual places. */
  readonly binary: string | undefined;
  readonly defaultsFile: string | undefined;
  readonly dataDirectory: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly port: number;
  readonly bindAddress: string | undefined;
  readonly user: string;
  /** The account for probes and `read_only`; the password comes from `passwordFile` (mode 0600). */
  readonly monitorUser: string;
  readonly monitorPasswordFile: string | undefined;
  /** Directory that must be a mount point, so that an empty one is never taken for the data. */
  readonly requiredMount: string | undefined;
  /** During crash recovery: give up after this long without progress. */
  readonly recoveryStallMs: number;
  /** After TERM, KILL comes this long later (within `stopTimeoutMs`). */
  readonly killAfterMs: number;
  readonly extraArguments: readonly string[];
}

/** The claim on a disk that both hosts can see (DESIGN 7.10). */
export interface SharedDiskSpec extends Common {
  readonly kind: "shared-disk";
  /** The block device or image with the data. */
  readonly device: string;
  /** The block device or image that holds the claim; never the one with the data. */
  readonly claimDevice: string;
}

/** A replicated disk: started is Primary here, stopped is Secondary. Its process outlives both. */
export interface DiskResourceSpec extends Common {
  readonly kind: "disk";
  /** Its name in the configuration, such as `r0`. */
  readonly disk: string;
}

/** A script by heartbeat's lookup order: resource.d, then init.d (heartbeat.md 2.4, 2.5). */
export interface ClassicScriptSpec extends Common {
  readonly kind: "classic-script";
  readonly script: string;
  readonly arguments: readonly string[];
  /** Directories searched in order, such as `/etc/ha.d/resource.d`, `/etc/init.d`. */
  readonly searchPath: readonly string[];
  /** What heartbeat exports to scripts (heartbeat.md 3.3). */
  readonly environment: Readonly<Record<string, string>>;
}

/** An LSB init script; `status` is read by exit code and, for classic files, by text. */
export interface LsbSpec extends Common {
  readonly kind: "lsb";
  readonly script: string;
}

/** An OCF resource agent. */
export interface OcfSpec extends Common {
  readonly kind: "ocf";
  readonly provider: string;
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** `OCF_CHECK_LEVEL` of the periodic monitor. */
  readonly checkLevel: number;
}

export type ResourceSpec =
  | AddressSpec
  | FilesystemSpec
  | MysqldSpec
  | SharedDiskSpec
  | DiskResourceSpec
  | ClassicScriptSpec
  | LsbSpec
  | OcfSpec;

/** An ordered list of resources that move together: started in order, stopped in reverse. */
export interface GroupSpec {
  readonly name: string;
  /** The data host that a fresh cluster starts it on (first word of a haresources line). */
  readonly prefers: string;
  readonly resources: readonly ResourceSpec[];
  /**
   * How it is written in haresources: its first resource word is the key that `ip-request-resp`
   * names on the wire (heartbeat.md 2.4). Undefined for groups of cluster.yaml.
   */
  readonly classicKey: string | undefined;
}
