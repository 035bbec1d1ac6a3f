/**
 * The disks of this host as the agent sees them. Their processes are started and found again; what they say becomes proof
 * for failover (R5); what they ask, to exclude the peer (R2), goes to the outdating core; resources give their orders
 * here. It decides nothing.
 */
import { BatonError, type Clock, unreachable } from "../base/index.ts";
import type { ClusterConfig } from "../config/index.ts";
import type { FailoverEvent, GroupView, MessageFields } from "../failover/index.ts";
import {
  type FencingRecord,
  type OutdateEffect,
  type OutdateEvent,
  Outdating,
} from "../fencing/index.ts";
import type { Verdict } from "../membership/index.ts";
import {
  connectionRank,
  type DiskCommand,
  type DiskOutcome,
  type DiskRequest,
  type DiskSpec,
} from "../replication/index.ts";
import type { DiskAccess } from "../resources/index.ts";
import type { CodedText, DiskReport } from "./control.ts";
import { type DiskSeen, diskProof, diskReport } from "./disk-report.ts";

/** The connection to the process of one disk; it comes back by itself, and starts the process if there is none. */
export interface DiskLink {
  state(): DiskSeen;
  /** @throws {BatonError} if the process can not be reached or refuses */
  request(request: DiskRequest, progress?: (line: string) => void): Promise<unknown>;
  /** Lets go of the connection; the process lives on. */
  close(): void;
}

/** What the desk needs of the agent around it. */
export interface DiskDeskParts {
  readonly config: ClusterConfig;
  readonly host: string;
  readonly clock: Clock;
  /** What was durable of earlier exclusions. */
  readonly record: FencingRecord | undefined;
  persist(record: FencingRecord, done: () => void): void;
  /** Opens the link to a disk's process, starting that if need be; `changed` after each change of `state()`. */
  open(disk: DiskSpec, changed: () => void): DiskLink;
  feed(event: FailoverEvent): void;
  /** A message to the other host over heartbeat. */
  send(fields: MessageFields): void;
  note(disk: string, name: string, reason: string, data: unknown): void;
  /** Status has something new. */
  changed(): void;
}

/** One disk, and what was last told of it. */
interface Desk {
  readonly spec: DiskSpec;
  readonly link: DiskLink;
  /** Resolved and replaced at each change. */
  next: PromiseWithResolvers<void>;
  /** The state that was last noted, so that each change is noted once. */
  noted: string;
  asking: number | null;
  /** Told to the process, or being told. */
  epoch: number | null;
  connected: boolean;
}

/** How long an order to outdate may take before it counts as failed. */
const OUTDATE_EXIT_FAILED = 20;

/** Owns the links to the disk processes and the outdating core. `dispose` lets go without stopping anything. */
export class DiskDesk implements DiskAccess {
  readonly #parts: DiskDeskParts;
  readonly #desks = new Map<string, Desk>();
  readonly #outdating: Outdating;
  readonly #peer: string;
  #verdict: Verdict | undefined;
  #cancel: () => void = () => undefined;
  #disposed = false;

  constructor(parts: DiskDeskParts) {
    this.#parts = parts;
    const { config, host, clock } = parts;
    const own = config.disks.filter(({ hosts }) => hosts.some((side) => side.host === host));
    const others = config.hosts.map(({ name }) => name).filter((name) => name !== host);
    const peerOf = (spec: DiskSpec): string =>
      spec.hosts.find((side) => side.host !== host)?.host ?? "";
    this.#peer = own[0] === undefined ? "" : peerOf(own[0]);
    this.#outdating = new Outdating(
      {
        self: host,
        disks: own.map((spec) => ({ name: spec.name, peer: peerOf(spec) })),
        hosts: others,
      },
      parts.record,
      clock.now(),
    );
    for (const spec of own) {
      this.#desks.set(spec.name, {
        spec,
        link: parts.open(spec, () => this.#changed(spec.name)),
        next: Promise.withResolvers<void>(),
        noted: "",
        asking: null,
        epoch: null,
        connected: false,
      });
    }
    this.#outdate({ kind: "tick" });
  }

  // What resources ask (DiskAccess)

  state(disk: string): DiskSeen {
    return this.#desks.get(disk)?.link.state() ?? "absent";
  }

  async command(
    disk: string,
    command: DiskCommand,
    {
      signal,
      progress,
    }: { readonly signal: AbortSignal; readonly progress: (line: string) => void },
  ): Promise<DiskOutcome> {
    const link = this.#desks.get(disk)?.link;
    if (link === undefined) return failed("BTN-DISK-NO-PROCESS", `there is no disk ${disk} here`);
    const aborted = new Promise<DiskOutcome>((resolve) => {
      signal.addEventListener(
        "abort",
        () => resolve(failed("BTN-DISK-NO-ANSWER", `no answer to ${command.verb} in time`)),
        { once: true },
      );
    });
    const asked = link.request({ verb: "command", command }, progress).then(
      (outcome) => outcome as DiskOutcome,
      (error: unknown) => outcomeOf(error),
    );
    return await Promise.race([asked, aborted]);
  }

  async changed(disk: string, signal: AbortSignal): Promise<void> {
    const next = this.#desks.get(disk)?.next.promise ?? Promise.resolve();
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    await Promise.race([next, promise]);
  }

  // What the agent tells

  /** Reads what there is to compare of a group's disks and tells it. */
  compare(group: string): void {
    const disks = this.#disksOf(group);
    if (disks.length === 0) return;
    const seen = disks.map((name) => ({ name, seen: this.state(name) }));
    this.#parts.feed({ kind: "proof", group, proof: diskProof(seen) });
  }

  verdict(host: string, verdict: Verdict): void {
    if (host !== this.#peer) return;
    this.#verdict = verdict;
    this.#outdate({ kind: "verdict", host, verdict });
  }

  /** A message of the other host; those that are not dopd's are ignored by the core. */
  message(host: string, fields: MessageFields): void {
    if (this.#desks.size > 0) this.#outdate({ kind: "message", host, fields });
  }

  /**
   * Failover starts a group although the other host could not be compared: this host held it last, or a person ordered
   * it (reliability 3.2.4; `disk-gate.ts`). A disk that is only Consistent needs that word for its promotion.
   */
  ordered(group: string, reason: string): void {
    if (this.#verdict !== "dead" && this.#verdict !== "left") return;
    for (const disk of this.#disksOf(group)) {
      const seen = this.state(disk);
      if (typeof seen === "string" || seen.view.state.disk !== "Consistent") continue;
      this.#parts.note(disk, "ordered", reason, { host: this.#peer });
      this.#outdate({ kind: "excluded", host: this.#peer, by: "operator" });
    }
  }

  /** The epoch of a group is that of its disks (R7). */
  epochs(views: readonly GroupView[]): void {
    for (const { group, ownership } of views) {
      for (const name of this.#disksOf(group)) this.#tellEpoch(name, ownership.epoch);
    }
  }

  reports(): readonly DiskReport[] {
    return [...this.#desks].map(([name, { link }]) => diskReport(name, link.state()));
  }

  /** What went on without proof, until both sides meet again. */
  warnings(): readonly CodedText[] {
    return this.#outdating.view().flatMap(({ disk, unproven }) =>
      unproven === null
        ? []
        : [
            {
              code: unproven.reason,
              text: `${disk} goes on without proof that ${unproven.host} can not write`,
            },
          ],
    );
  }

  dispose(): void {
    this.#disposed = true;
    this.#cancel();
    for (const { link, next } of this.#desks.values()) {
      link.close();
      next.resolve();
    }
  }

  // What the disks say

  #changed(name: string): void {
    const desk = this.#desks.get(name);
    if (desk === undefined || this.#disposed) return;
    desk.next.resolve();
    desk.next = Promise.withResolvers<void>();
    const seen = desk.link.state();
    this.#note(desk, seen);
    this.#heedAsking(desk, seen);
    if (typeof seen === "string") desk.epoch = null;
    for (const group of this.#groupsOf(name)) this.compare(group);
    this.#parts.changed();
  }

  #note(desk: Desk, seen: DiskSeen): void {
    const report = diskReport(desk.spec.name, seen);
    const { role, peerRole, connection, disk, peerDisk, frozen, reason, detail } = report;
    const data = { process: report.process, role, peerRole, connection, disk, peerDisk, frozen };
    const text = JSON.stringify([data, reason]);
    if (text === desk.noted) return;
    desk.noted = text;
    this.#parts.note(desk.spec.name, "state", reason, { ...data, detail });
  }

  #heedAsking(desk: Desk, seen: DiskSeen): void {
    const disk = desk.spec.name;
    const asking = typeof seen === "string" ? null : seen.asking;
    const connected =
      typeof seen !== "string" &&
      connectionRank(seen.view.state.conn) >= connectionRank("Connected");
    if (connected && !desk.connected) this.#outdate({ kind: "connected", disk });
    desk.connected = connected;
    if (asking !== null && asking.attempt !== desk.asking) {
      const { fencing: policy } = desk.spec.disk;
      this.#outdate({ kind: "fenceAsked", disk, attempt: asking.attempt, policy });
    }
    if (asking === null && desk.asking !== null) this.#outdate({ kind: "fenceWithdrawn", disk });
    desk.asking = asking?.attempt ?? null;
  }

  #tellEpoch(name: string, epoch: number): void {
    const desk = this.#desks.get(name);
    if (desk === undefined || desk.epoch === epoch || typeof desk.link.state() === "string") return;
    desk.epoch = epoch;
    const { clusterId } = this.#parts.config;
    desk.link.request({ verb: "epoch", clusterId, epoch }).catch(() => {
      desk.epoch = null; // it is told again with the next state
    });
  }

  // Outdating

  #outdate(event: OutdateEvent): void {
    if (this.#disposed) return;
    for (const effect of this.#outdating.step(this.#parts.clock.now(), event))
      this.#perform(effect);
    this.#cancel();
    const at = this.#outdating.wakeAt();
    if (at !== undefined) {
      this.#cancel = this.#parts.clock.at(at, () => this.#outdate({ kind: "tick" }));
    }
  }

  #perform(effect: OutdateEffect): void {
    switch (effect.kind) {
      case "persist":
        this.#parts.persist(effect.record, () => {
          for (const next of effect.then) this.#perform(next);
        });
        return;
      case "send":
        this.#parts.send(effect.fields);
        return;
      case "outdateHere":
        void this.#outdateHere(effect.disk, effect.request);
        return;
      case "fenceDone":
        this.#fenceDone(effect);
        return;
      case "clientDone":
        return; // no fence-peer handler asks through this agent yet
      case "decision":
        this.#parts.note(effect.disk, "fence", effect.reason, {
          host: effect.host,
          detail: effect.detail,
        });
        this.#parts.changed();
        return;
      default:
        unreachable(effect);
    }
  }

  #fenceDone({
    disk,
    attempt,
    result,
    detail,
  }: Extract<OutdateEffect, { kind: "fenceDone" }>): void {
    const link = this.#desks.get(disk)?.link;
    link?.request({ verb: "fenced", attempt, result, detail }).catch((error: unknown) => {
      // Its next state says whether it still asks; then it is asked anew.
      this.#parts.note(disk, "fenced", "BTN-DISK-NO-ANSWER", { detail: textOf(error) });
    });
  }

  /** Outdates the copy here, durably, and tells the core the exit code that `drbdadm outdate` would have had. */
  async #outdateHere(disk: string, request: number): Promise<void> {
    const signal = AbortSignal.timeout(5_000);
    const outcome = await this.command(
      disk,
      { verb: "outdate" },
      { signal, progress: () => undefined },
    );
    const exit = outcome.outcome === "done" ? 0 : exitOf(outcome.code);
    this.#parts.note(disk, "outdate", outcome.reason, { detail: outcome.detail, exit });
    this.#outdate({ kind: "outdated", disk, request, exit });
  }

  #disksOf(group: string): readonly string[] {
    const spec = this.#parts.config.groups.find(({ name }) => name === group);
    return spec?.resources.flatMap((one) => (one.kind === "disk" ? [one.disk] : [])) ?? [];
  }

  #groupsOf(disk: string): readonly string[] {
    return this.#parts.config.groups
      .filter(({ name }) => this.#disksOf(name).includes(disk))
      .map(({ name }) => name);
  }
}

/** drbd.md 9.6: what drbdadm makes of a refusal. */
function exitOf(code: number): number {
  if (code === -16) return 5;
  return code === -1 || code === -2 ? 17 : OUTDATE_EXIT_FAILED;
}

const failed = (reason: string, detail: string): DiskOutcome => ({
  outcome: "failed",
  reason,
  code: 0,
  detail,
});

function outcomeOf(error: unknown): DiskOutcome {
  return error instanceof BatonError
    ? failed(error.code, error.message)
    : failed("BTN-DISK-NO-ANSWER", textOf(error));
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
