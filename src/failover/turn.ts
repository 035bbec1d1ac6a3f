/**
 * `Turn`: the working copy of one step. Every other file of this room is a set of functions over a
 * `Turn`; only `failover.ts` makes one.
 */
import { assert, type Instant } from "../base/index.ts";
import type { FailoverEffect, GroupRecord } from "./contract.ts";
import type { FailoverReason } from "./reasons.ts";
import type { FailoverOptions, GroupRun, PeerState, State } from "./state.ts";

/** Effects that are safe before the record is durable: they start nothing and promise nothing. */
const needNoRecord: ReadonlySet<FailoverEffect["kind"]> = new Set<FailoverEffect["kind"]>([
  "decision",
  "release",
  "progress",
  "probe",
  "compare",
]);

/** One step in the making: the state to change and the effects that result, in order. */
export class Turn {
  readonly options: FailoverOptions;
  readonly state: State;
  readonly now: Instant;
  readonly #effects: FailoverEffect[] = [];
  #recordChanged = false;

  constructor(options: FailoverOptions, state: State, now: Instant) {
    this.options = options;
    this.state = state;
    this.now = now;
  }

  get peer(): PeerState {
    return this.state.peer;
  }

  run(group: string): GroupRun {
    const run = this.state.groups[group];
    assert(run !== undefined, `Unknown group ${group}`);
    return run;
  }

  own(group: string): Readonly<GroupRecord> & { readonly owner: string | undefined } {
    const record = this.state.record[group];
    assert(record !== undefined, `Unknown group ${group}`);
    return record;
  }

  emit(effect: FailoverEffect): void {
    this.#effects.push(effect);
  }

  /** Changes the durable record of a group; what follows in this step waits for it. */
  keep(group: string, change: Partial<GroupRecord>): void {
    const record = this.own(group);
    const same = Object.entries(change).every(
      ([key, value]) => record[key as keyof GroupRecord] === value,
    );
    if (same) return;
    this.state.record[group] = { ...record, ...change };
    this.#recordChanged = true;
  }

  /** Why the group stands as it stands now; told when it changes. */
  stand(group: string, reason: FailoverReason, detail = ""): void {
    const run = this.run(group);
    if (run.reason === reason && run.detail === detail) return;
    run.reason = reason;
    run.detail = detail;
    this.emit({ kind: "decision", reason, group, host: this.peer.host, detail });
  }

  /** A decision of this moment. */
  note(reason: FailoverReason, detail: string, group: string | null = null): void {
    this.emit({ kind: "decision", reason, group, host: this.peer.host, detail });
  }

  /** As `note`, for what is true over time: told when it changes. `topic` names what it is about. */
  noteOnce(topic: string, reason: FailoverReason | null, detail = ""): void {
    const text = reason === null ? "" : `${reason} ${detail}`;
    if ((this.state.said[topic] ?? "") === text) return;
    this.state.said[topic] = text;
    if (reason !== null) this.note(reason, detail);
  }

  /** The effects; those that rest on a changed record come after it (style P4). */
  finish(): readonly FailoverEffect[] {
    if (!this.#recordChanged) return this.#effects;
    const early = this.#effects.filter((effect) => needNoRecord.has(effect.kind));
    const then = this.#effects.filter((effect) => !needNoRecord.has(effect.kind));
    const groups = Object.fromEntries(
      Object.entries(this.state.record).map(([name, record]) => [name, { ...record }]),
    );
    return [...early, { kind: "persist", record: { groups }, then }];
  }
}
