/** What one step of the outdating core works with. */
import type { Instant } from "../base/index.ts";
import type { OutdateEffect, OutdateOptions } from "./contract.ts";
import type { FencingReason } from "./reasons.ts";
import type { OutdateState } from "./state.ts";

/** One step: it changes `state` in place and collects effects in order. */
export class Turn {
  readonly now: Instant;
  readonly options: OutdateOptions;
  readonly state: OutdateState;
  readonly effects: OutdateEffect[] = [];

  constructor(now: Instant, options: OutdateOptions, state: OutdateState) {
    this.now = now;
    this.options = options;
    this.state = state;
  }

  emit(...effects: readonly OutdateEffect[]): void {
    this.effects.push(...effects);
  }

  decide(
    reason: FencingReason,
    about: { readonly disk: string; readonly host: string },
    detail: string,
  ): void {
    this.emit({ kind: "decision", reason, disk: about.disk, host: about.host, detail });
  }
}
