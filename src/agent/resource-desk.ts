/**
 * The runners of all groups of this host: effects of failover go in, results come back as its events
 * (DESIGN 2). Keeps what `baton status` shows of each resource.
 */
import type { Clock } from "../base/index.ts";
import type { ClusterConfig } from "../config/index.ts";
import type { FailoverEvent, GroupView, Proof } from "../failover/index.ts";
import {
  type AddressAgent,
  createResourceAgent,
  GroupRunnerShell,
  type SharedDiskAgent,
  sweepLeftovers,
} from "../resources/index.shell.ts";
import type { GroupSpec, ResourceAgent, ResourceNotice, RunnerEffect } from "../resources/index.ts";
import type { ResourceReport } from "./control.ts";
import type { DiskDesk } from "./disk-desk.ts";

/** What the desk needs of the agent around it. */
export interface ResourceDeskParts {
  readonly config: ClusterConfig;
  readonly host: string;
  readonly clock: Clock;
  readonly disks: DiskDesk;
  /** Results and proofs, for the failover core. */
  feed(event: FailoverEvent): void;
  /** Everything that the runners say, for journal and live progress. */
  report(group: GroupSpec, effect: RunnerEffect): void;
  /** A line that a resource says while it starts or stops. */
  line(group: GroupSpec, resource: string, line: string): void;
  notice(notice: ResourceNotice): void;
}

interface GroupDesk {
  readonly group: GroupSpec;
  readonly agents: readonly ResourceAgent[];
  readonly runner: GroupRunnerShell;
  /** Ends what listens for changed proofs. */
  readonly stopListening: () => void;
  /** Who held it when last looked. */
  holder: string | null;
}

const isSharedDisk = (agent: ResourceAgent): agent is SharedDiskAgent =>
  agent.spec.kind === "shared-disk";
const isAddress = (agent: ResourceAgent): agent is AddressAgent => agent.spec.kind === "address";

/** How long the network is asked who has an address. */
const PROBE_MS = 400;

/** Owns the runners. `dispose` lets go without stopping anything. */
export class ResourceDesk {
  readonly #parts: ResourceDeskParts;
  readonly #groups = new Map<string, GroupDesk>();

  constructor(parts: ResourceDeskParts) {
    this.#parts = parts;
    for (const group of parts.config.groups) this.#groups.set(group.name, this.#open(group));
  }

  acquire(group: string, operation: number, epoch: number): void {
    this.#desk(group)?.runner.feed({ kind: "acquire", operation, epoch });
  }

  release(group: string, operation: number, urgent: boolean): void {
    this.#desk(group)?.runner.feed({ kind: "release", operation, urgent });
  }

  probe(group: string): void {
    this.#desk(group)?.runner.feed({ kind: "probeAll" });
  }

  /** The group runs already and is held: watch it, open what was not open. */
  adopt(group: string, epoch: number): void {
    this.#desk(group)?.runner.feed({ kind: "adopt", epoch });
  }

  /** Reads what there is to compare and tells it. */
  async compare(name: string): Promise<void> {
    const desk = this.#desk(name);
    if (desk?.group.resources.some(({ kind }) => kind === "disk") === true) {
      this.#parts.disks.compare(name);
      return;
    }
    const disk = desk?.agents.find(isSharedDisk);
    const proof: Proof = disk === undefined ? { kind: "none" } : await disk.readProof();
    this.#parts.feed({ kind: "proof", group: name, proof });
  }

  /** A peer is late: asks the network now who has the addresses that may have to move. */
  prepareTakeover(): void {
    for (const { agents, holder } of this.#groups.values()) {
      if (holder === this.#parts.host) continue;
      for (const agent of agents.filter(isAddress)) {
        // Its answer is a help at the start, not a condition of it: a failure is told there.
        agent.prepare({ timeoutMs: PROBE_MS, holderMayAnswer: true }).catch(() => undefined);
      }
    }
  }

  /** Learns, while all is well, whose hardware address answers for the addresses of the other host. */
  noteHolders(views: readonly GroupView[]): void {
    for (const { group, holder } of views) {
      const desk = this.#desk(group);
      if (desk === undefined || desk.holder === holder) continue;
      desk.holder = holder;
      if (holder === null || holder === this.#parts.host) continue;
      for (const agent of desk.agents.filter(isAddress)) {
        agent.learnHolder(PROBE_MS).catch(() => undefined); // Only a refinement of `prepare`.
      }
    }
  }

  /** Removes addresses of groups that this host does not hold; what was removed. */
  sweep(
    holds: (group: string) => boolean,
  ): readonly { readonly group: string; readonly address: string }[] {
    return [...this.#groups.values()]
      .filter(({ group }) => !holds(group.name))
      .flatMap(({ group, agents }) =>
        sweepLeftovers(agents.filter(isAddress).map((agent) => agent.spec)).map(({ address }) => ({
          group: group.name,
          address,
        })),
      );
  }

  reports(): ReadonlyMap<string, readonly ResourceReport[]> {
    return new Map([...this.#groups].map(([name, desk]) => [name, desk.runner.resources()]));
  }

  dispose(): void {
    for (const { runner, stopListening } of this.#groups.values()) {
      stopListening();
      runner.dispose();
    }
  }

  #desk(name: string): GroupDesk | undefined {
    return this.#groups.get(name);
  }

  #open(group: GroupSpec): GroupDesk {
    const { host, clock, config } = this.#parts;
    const { keepaliveMs, deadtimeMs } = config.timing;
    const environment = {
      group: group.name,
      host,
      clock,
      timing: { keepaliveMs, deadtimeMs },
      notify: (notice: ResourceNotice) => this.#noticed(notice),
      disks: this.#parts.disks,
    };
    const agents = group.resources.map((spec) => createResourceAgent(spec, environment));
    const runner = new GroupRunnerShell({
      group,
      agents,
      clock,
      onEffect: (effect) => this.#took(group, effect),
      onProgress: (resource, line) => this.#parts.line(group, resource, line),
    });
    const listening = agents
      .filter(isSharedDisk)
      .map((disk) =>
        disk.onProof((proof) => this.#parts.feed({ kind: "proof", group: group.name, proof })),
      );
    return {
      group,
      agents,
      runner,
      holder: null,
      stopListening: () => {
        for (const stop of listening) stop();
      },
    };
  }

  #took(group: GroupSpec, effect: RunnerEffect): void {
    this.#parts.report(group, effect);
    switch (effect.kind) {
      case "done": {
        const { operation, outcome } = effect;
        this.#parts.feed({ kind: "operationDone", operation, group: group.name, outcome });
        return;
      }
      case "probed": {
        const { found, detail } = effect;
        this.#parts.feed({ kind: "probed", group: group.name, found, detail });
        return;
      }
      case "resourceFailed": {
        const { resource, reason, detail } = effect;
        this.#parts.feed({ kind: "resourceFailed", group: group.name, resource, reason, detail });
        return;
      }
      default:
        return;
    }
  }

  #noticed(notice: ResourceNotice): void {
    this.#parts.notice(notice);
    if (notice.reason !== "BTN-CLAIM-LOST") return;
    // The other host has the disk: every write from here on is one too many.
    const { group, resource, reason, detail } = notice;
    this.#desk(group)?.runner.abandon();
    const lost = { group, resource, reason, detail, urgent: true };
    this.#parts.feed({ kind: "resourceFailed", ...lost });
  }
}
