/** The whole cluster as this host sees it, put together from what cores and shells know. Pure. */
import type { Instant } from "../base/index.ts";
import type { ClusterConfig } from "../config/index.ts";
import type { GroupView } from "../failover/index.ts";
import type { BeatState, MembershipView } from "../membership/index.ts";
import type {
  BeatReport,
  CodedText,
  DiskReport,
  HostReport,
  KeyReport,
  MoveReport,
  PingReport,
  ResourceReport,
  ResourceStatus,
  StatusReport,
} from "./control.ts";

/** Everything that a report is made of. */
export interface StatusParts {
  readonly revision: number;
  readonly now: Instant;
  readonly host: string;
  readonly config: ClusterConfig;
  readonly version: string;
  readonly pid: number;
  readonly started: string;
  readonly startedAt: Instant;
  readonly membership: MembershipView;
  /** Newest verdict and its reason, by host. */
  readonly verdicts: ReadonlyMap<string, { readonly reason: string }>;
  readonly beat: BeatState | undefined;
  /** When each link (`host link`) and ping node (`ping name`) was last heard, as events told. */
  readonly heardAt: ReadonlyMap<string, Instant>;
  readonly beatPid: number | undefined;
  readonly groups: readonly GroupView[];
  readonly resources: ReadonlyMap<string, readonly ResourceReport[]>;
  readonly rscStatus: ResourceStatus;
  readonly disks: readonly DiskReport[];
  readonly moves: readonly MoveReport[];
  readonly warnings: readonly CodedText[];
  readonly counters: Readonly<Record<string, number>>;
  readonly keys: readonly KeyReport[];
}

/** Builds the report of `baton status`. */
export function buildStatus(parts: StatusParts): StatusReport {
  const { config } = parts;
  return {
    schema: 1,
    revision: parts.revision,
    host: parts.host,
    cluster: {
      name: config.clusterName,
      id: config.clusterId,
      origin: config.origin.kind === "native" ? config.origin.file : config.origin.directory,
      autoFailback: config.failover.autoFailback,
    },
    agent: {
      version: parts.version,
      pid: parts.pid,
      started: parts.started,
      uptimeMs: Math.round(parts.now - parts.startedAt),
      journalDirectory: config.journalDirectory,
    },
    beat: beatReport(parts),
    rscStatus: parts.rscStatus,
    modes: modesOf(config),
    timing: config.timing,
    hosts: config.hosts
      .filter((host) => host.roles.includes("data"))
      .map((host) => (host.name === parts.host ? selfReport(parts) : peerReport(parts, host.name))),
    pings: config.pings.map((ping) => pingReport(parts, ping.name)),
    groups: parts.groups.map((view) => ({
      ...view,
      resources: parts.resources.get(view.group) ?? [],
    })),
    disks: parts.disks,
    moves: parts.moves,
    warnings: parts.warnings,
    counters: parts.counters,
    keys: parts.keys,
  };
}

/** What the set-up can not promise, said all the time (reliability 3.1). */
export function modesOf(config: ClusterConfig): readonly CodedText[] {
  const modes: CodedText[] = [];
  if (config.failover.arbiter.kind === "none") {
    const text =
      config.failover.splitBrainPolicy === "safe"
        ? "No third party: after silence alone nothing is taken over (split_brain_policy safe)"
        : "Split brain possible: no third party tells a dead host from a cut cable";
    modes.push({ code: "BTN-MODE-NO-ARBITER", text });
  }
  if (config.groups.some((group) => group.resources.some(({ kind }) => kind === "shared-disk"))) {
    modes.push({
      code: "BTN-MODE-CLAIM",
      text: "The claim on the shared disk guards against mistakes, not against a holder that was frozen",
    });
  }
  return modes;
}

function beatReport({ beat, beatPid }: StatusParts): BeatReport | null {
  if (beat === undefined) return null;
  const { generation, sequence, status, silenced } = beat;
  return { pid: beatPid ?? null, generation, sequence, status, silenced };
}

function selfReport(parts: StatusParts): HostReport {
  const { beat } = parts;
  return {
    name: parts.host,
    self: true,
    verdict: "alive",
    reason: "BTN-MEMBER-SELF",
    kind: "baton",
    softwareVersion: parts.version,
    status: beat?.status ?? null,
    generation: beat?.generation ?? null,
    silentMs: null,
    links: [],
  };
}

function peerReport(parts: StatusParts, name: string): HostReport {
  const peer = parts.membership.peers.find((candidate) => candidate.host === name);
  const told = parts.beat?.peers.find((candidate) => candidate.host === name);
  const verdict = peer?.verdict ?? "unsure";
  return {
    name,
    self: false,
    verdict: verdict === "unheard" ? "unsure" : verdict,
    reason: parts.verdicts.get(name)?.reason ?? "BTN-MEMBER-UNHEARD",
    kind: told?.kind ?? "unknown",
    softwareVersion: told?.softwareVersion ?? null,
    status: peer?.status ?? null,
    generation: peer?.generation ?? null,
    silentMs:
      peer?.silentMs === undefined || peer.silentMs === null ? null : Math.round(peer.silentMs),
    links: (peer?.links ?? []).map((link) => ({
      name: link.name,
      up: link.up,
      lastHeardMs: agoMs(
        parts,
        `${name} ${link.name}`,
        told?.links.find((candidate) => candidate.name === link.name)?.lastHeardAt,
      ),
    })),
  };
}

function pingReport(parts: StatusParts, name: string): PingReport {
  const up = parts.membership.pings.find((ping) => ping.name === name)?.up === true;
  const told = parts.beat?.pings.find((ping) => ping.name === name);
  return { name, up, lastReplyMs: agoMs(parts, `ping ${name}`, told?.lastReplyAt) };
}

/** The newer of what an event and what the level state of the beat process told. */
function agoMs(
  { now, heardAt }: StatusParts,
  key: string,
  level: Instant | null | undefined,
): number | null {
  const at = Math.max(
    heardAt.get(key) ?? Number.NEGATIVE_INFINITY,
    level ?? Number.NEGATIVE_INFINITY,
  );
  return at === Number.NEGATIVE_INFINITY ? null : Math.max(0, Math.round(now - at));
}
