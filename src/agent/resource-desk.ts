/**
 * The runners of all groups of this host: effects of failover go in, results come back as its events
 * (DESIGN 2). Keeps what `baton status` shows of each resource.
 */
import type { Clock } from "../base/index.ts";
import type { ClusterConfig } from "../config/index.ts";
import type { FailoverEvent, Proof } from "../failover/index.ts";
import { createResourceAgent } from "../resources/create.shell.ts";
import { GroupRunnerShell } from "../resources/group-runner.shell.ts";
import type { GroupSpec, ResourceAgent, ResourceNotice, RunnerEffect } from "../resources/index.ts";
import type { ResourceReport } from "./control.ts";

/** What the desk needs of the agent around it. */
export interface ResourceDeskParts {
  readonly config: ClusterConfig;
  readonly host: string;
  readonly clock: Clock;
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
  proof: string;
}

/** An agent whose resource can be compared before it is served (R5). */
type Comparable = ResourceAgent & { readProof(): Promise<Proof> };

const isComparable = (agent: ResourceAgent): agent is Comparable => "readProof" in agent;

/** Owns the runners. `dispose` lets go without stopping anything. */
export class ResourceDesk {
  readonly #parts: ResourceDeskParts;
  readonly #groups = new Map<string, GroupDesk>();
  readonly #timer: NodeJS.Timeout;
  #comparing = false;

  constructor(parts: ResourceDeskParts) {
    this.#parts = parts;
    for (const group of parts.config.groups) this.#groups.set(group.name, this.#open(group));
    // What can be compared is read all the time, so that a takeover does not wait for it (DESIGN 7.10).
    this.#timer = setInterval(() => void this.#compareAll(), parts.config.timing.keepaliveMs);
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

  /** Reads what there is to compare and tells it, changed or not. */
  async compare(name: string): Promise<void> {
    const desk = this.#desk(name);
    if (desk !== undefined) await this.#compare(desk, true);
  }

  reports(): ReadonlyMap<string, readonly ResourceReport[]> {
    return new Map([...this.#groups].map(([name, desk]) => [name, reportsOf(desk)]));
  }

  dispose(): void {
    clearInterval(this.#timer);
    for (const { runner } of this.#groups.values()) runner.dispose();
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
      notify: (notice: ResourceNotice) => this.#parts.notice(notice),
    };
    const agents = group.resources.map((spec) => createResourceAgent(spec, environment));
    const runner = new GroupRunnerShell({
      group,
      agents,
      clock,
      onEffect: (effect) => this.#took(group, effect),
      onProgress: (resource, line) => this.#parts.line(group, resource, line),
    });
    return { group, agents, runner, proof: "" };
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

  async #compareAll(): Promise<void> {
    // A slow disk must not let readings pile up.
    if (this.#comparing) return;
    this.#comparing = true;
    try {
      for (const desk of this.#groups.values()) await this.#compare(desk, false);
    } finally {
      this.#comparing = false;
    }
  }

  async #compare(desk: GroupDesk, asked: boolean): Promise<void> {
    const comparable = desk.agents.find(isComparable);
    const proof: Proof = comparable === undefined ? { kind: "none" } : await comparable.readProof();
    const text = JSON.stringify(proof);
    if (!asked && (comparable === undefined || text === desk.proof)) return;
    desk.proof = text;
    this.#parts.feed({ kind: "proof", group: desk.group.name, proof });
  }
}

/** How each resource stands, as its runner believes. */
function reportsOf(desk: GroupDesk): readonly ResourceReport[] {
  const { resources } = desk.runner.snapshot();
  return desk.group.resources.map((spec, index) => {
    const progress = resources[index];
    const action = progress?.call?.action;
    const moving = action === "start" ? "starting" : action === "stop" ? "stopping" : undefined;
    const detail = progress?.stuck?.detail ?? "";
    return {
      name: spec.name,
      kind: spec.kind,
      state: moving ?? progress?.belief ?? "unknown",
      detail,
    };
  });
}
