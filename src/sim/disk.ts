/** Durable state of a simulated host, and the claim on the disk that both hosts share (DESIGN 7.10). */
import type { FailoverRecord } from "../failover/index.ts";
import type { TransportRecord } from "../membership/index.ts";

/** What survives a power loss of one host. */
export interface DurableState {
  failover: FailoverRecord | undefined;
  transport: TransportRecord;
}

/** One claim: who holds the shared disk of a group, and when it last stirred. */
export interface Claim {
  readonly holder: string | null;
  readonly epoch: number;
  readonly renewedAtMs: number;
  /** Since when this holder renews it, without a long break. */
  readonly sinceMs: number;
}

/** A claim that stood still for so long, half of deadtime, begins anew. */
const BREAK_MS = 600;

/** The claims of all groups; both hosts see the same ones, whatever happens on the network. */
export class SharedClaims {
  readonly #claims = new Map<string, Claim>();

  read(group: string): Claim {
    return this.#claims.get(group) ?? unclaimed;
  }

  /** Writes the claim of `holder` (null: released) as of `nowMs`. */
  write(group: string, holder: string | null, epoch: number, nowMs: number): void {
    const before = this.read(group);
    const goesOn = before.holder === holder && nowMs - before.renewedAtMs < BREAK_MS;
    const sinceMs = goesOn ? before.sinceMs : nowMs;
    this.#claims.set(group, { holder, epoch, renewedAtMs: nowMs, sinceMs });
  }
}

const unclaimed: Claim = { holder: null, epoch: 0, renewedAtMs: 0, sinceMs: 0 };
