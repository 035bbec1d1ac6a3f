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
}

/** The claims of all groups; both hosts see the same ones, whatever happens on the network. */
export class SharedClaims {
  readonly #claims = new Map<string, Claim>();

  read(group: string): Claim {
    return this.#claims.get(group) ?? { holder: null, epoch: 0, renewedAtMs: 0 };
  }

  write(group: string, claim: Claim): void {
    this.#claims.set(group, claim);
  }
}
