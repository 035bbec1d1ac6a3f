/**
 * One core and a script: events go in at stated times, what it does comes out as short lines. The
 * runner is in virtual time; starts and stops take `workMs` and can be made to fail.
 */
import { instant } from "../base/index.ts";
import type { PeerKind, Verdict } from "../membership/index.ts";
import type { Command, FailoverEffect, FailoverEvent, FailoverRecord } from "./contract.ts";
import { Failover } from "./failover.ts";
import { group, timing } from "./pair.test-support.ts";
import type { FailoverGroup, FailoverOptions } from "./state.ts";

export interface StoryOptions {
  readonly options?: Partial<FailoverOptions>;
  readonly record?: FailoverRecord;
  /** What is found running at the start. */
  readonly running?: readonly string[];
  readonly workMs?: number;
}

/** This host is `a`, the peer `b`; by default group `g` prefers a and `h` prefers b. */
export class Story {
  now = 0;
  core: Failover;
  /** "ms line" of effects, without decisions. */
  readonly lines: string[] = [];
  readonly reasons: string[] = [];
  record: FailoverRecord | undefined;
  /** Starts or stops that fail: "g acquire", with how often. */
  readonly failures = new Map<string, number>();
  readonly #workMs: number;
  readonly #options: FailoverOptions;
  #timers: { at: number; run: () => void }[] = [];

  constructor(setup: StoryOptions = {}) {
    this.#workMs = setup.workMs ?? 100;
    const groups: readonly FailoverGroup[] = [group("g", "a"), group("h", "b")];
    this.#options = {
      self: "a",
      hosts: ["a", "b"],
      groups,
      autoFailback: "off",
      ipfail: false,
      pings: [],
      timing,
      splitBrainPolicy: "classic",
      configurationDigest: "d1",
      arbiter: { kind: "none" },
      session: "s1",
      ...setup.options,
    };
    this.record = setup.record;
    this.core = new Failover(this.#options, setup.record, instant(0));
    this.feed({ kind: "tick" });
    for (const { name } of this.#options.groups) {
      const found = setup.running?.includes(name) === true ? "running" : "stopped";
      this.feed({ kind: "probed", group: name, found, detail: "" });
    }
  }

  /** The same core, rebuilt from its snapshot. */
  revive(): this {
    this.core = Failover.restore(this.#options, JSON.parse(JSON.stringify(this.core.snapshot())));
    return this;
  }

  feed(event: FailoverEvent): this {
    this.#perform(this.core.step(instant(this.now), event));
    return this;
  }

  verdict(verdict: Verdict): this {
    return this.feed({ kind: "verdict", host: "b", verdict, reason: "test" });
  }

  /** The peer is heard: first status of a generation, alive, active. */
  seen(
    peer: PeerKind,
    generation = 1,
    how: { restarted?: boolean; returned?: boolean } = {},
  ): this {
    const { restarted = false, returned = false } = how;
    this.feed({ kind: "peerSeen", host: "b", peer, generation, restarted, returned });
    this.verdict("alive");
    return this.feed({ kind: "peerStatus", host: "b", status: "active" });
  }

  /** `t=resource`-like messages: "resource rsc_hold=none isstable=0". */
  hear(text: string): this {
    const [t = "", ...rest] = text.split(" ");
    const fields: Record<string, string> = { t };
    for (const word of rest) {
      const [name = "", value = ""] = word.split("=");
      fields[name] = value;
    }
    if (t === "resource" && fields["info"] !== "mach_down") fields["rtype"] = "full";
    return this.feed({ kind: "message", host: "b", fields });
  }

  command(id: string, command: Command): this {
    return this.feed({ kind: "command", id, command });
  }

  up(): this {
    return this.feed({ kind: "communicationUp" });
  }

  /** Lets virtual time pass, with wake-ups and finished work. */
  run(ms: number): this {
    const until = this.now + ms;
    for (;;) {
      const wakeAt = this.core.wakeAt() ?? Infinity;
      const timer = Math.min(...this.#timers.map((one) => one.at), Infinity);
      const next = Math.min(wakeAt, timer);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      const due = this.#timers.filter((one) => one.at <= this.now);
      this.#timers = this.#timers.filter((one) => one.at > this.now);
      for (const one of due) one.run();
      if (due.length === 0) this.feed({ kind: "tick" });
    }
    this.now = until;
    return this;
  }

  /** Lines since the last call. */
  take(): readonly string[] {
    return this.lines.splice(0);
  }

  view(name = "g") {
    return this.core.view().find((one) => one.group === name);
  }

  #perform(effects: readonly FailoverEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "persist") {
        this.record = effect.record;
        this.#perform(effect.then);
      } else this.#one(effect);
    }
  }

  #one(effect: FailoverEffect): void {
    switch (effect.kind) {
      case "send": {
        const { t = "", kind = "" } = effect.fields;
        const shown = Object.entries(effect.fields).filter(
          ([name]) => name !== "t" && name !== "rtype",
        );
        const words = t === "baton" ? [kind] : shown.map(([, value]) => value);
        this.lines.push([`${this.now} >`, t, ...words].join(" "));
        return;
      }
      case "acquire":
      case "release": {
        const urgent = effect.kind === "release" && effect.urgent ? " urgent" : "";
        this.lines.push(`${this.now} ${effect.kind} ${effect.group}${urgent}`);
        this.#work(effect.kind, effect.group, effect.operation);
        return;
      }
      case "decision":
        this.reasons.push(effect.reason.replace("BTN-FAILOVER-", ""));
        return;
      case "commandDone": {
        const reason = effect.reason.replace("BTN-FAILOVER-", "");
        this.lines.push(`${this.now} done ${effect.command} ${effect.outcome} ${reason}`);
        return;
      }
      case "rejoin":
      case "readyToStop":
        this.lines.push(`${this.now} ${effect.kind}`);
        return;
      default:
        return;
    }
  }

  #work(kind: "acquire" | "release", name: string, operation: number): void {
    const key = `${name} ${kind}`;
    const left = this.failures.get(key) ?? 0;
    this.failures.set(key, left - 1);
    const outcome =
      left > 0
        ? ({
            result: "failed",
            resource: "r1",
            reason: "BTN-TEST",
            detail: "planned",
            clean: kind === "acquire",
          } as const)
        : ({ result: "done" } as const);
    const at = this.now + this.#workMs;
    this.#timers.push({
      at,
      run: () => this.feed({ kind: "operationDone", operation, group: name, outcome }),
    });
  }
}
