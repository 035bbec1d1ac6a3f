/** Transport: core of the beat process. Signatures first; bodies follow. */
import type { Instant } from "../base/index.ts";
import type { BeatState } from "./contract.ts";
import type {
  TransportEffect,
  TransportEvent,
  TransportOptions,
  TransportRecord,
} from "./transport-model.ts";

export type {
  Ambient,
  TransportEffect,
  TransportEvent,
  TransportInput,
  TransportOptions,
  TransportRecord,
} from "./transport-model.ts";

/** Plain JSON; without secrets. */
export type TransportSnapshot = Readonly<Record<string, unknown>>;

export class Transport {
  constructor(_options: TransportOptions, _durable: TransportRecord, _now: Instant) {}

  /** Takes one event at `now`; returns what to do, in order. First event: `start`. */
  step(_now: Instant, _event: TransportEvent): readonly TransportEffect[] {
    return [];
  }

  /** When `step` must next be called even if nothing happens. */
  wakeAt(): Instant | undefined {
    return undefined;
  }

  /** The level state, for an agent that connects. */
  state(): BeatState {
    throw new Error("not yet");
  }

  snapshot(): TransportSnapshot {
    return {};
  }

  /** The keys come from `options`: a snapshot has no secrets. */
  static restore(options: TransportOptions, _snapshot: TransportSnapshot): Transport {
    return new Transport(options, { generation: null, peers: {} }, 0 as Instant);
  }
}
