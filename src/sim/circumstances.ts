/**
 * What the world did to the pair, as far as it excuses a breach or makes an excuse void: who can hear
 * whom, who is not run, since when all is well. Judged from the outside; no core is asked.
 */
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";

/** DESIGN 7.3: for so long the beat process speaks for an agent that is away. */
export const AGENT_GRACE_MS = 3_000;

export interface CircumstanceParts {
  readonly hosts: readonly SimHost[];
  readonly network: Network;
  readonly deadtimeMs: number;
}

/** Brought up to date after each simulated event. Times are simulated milliseconds. */
export class Circumstances {
  readonly #parts: CircumstanceParts;
  /** Half of deadtime: a shorter cut or pause can not make anybody look dead. */
  readonly #longMs: number;
  #revision = -1;
  #connected = true;
  #apartSince: number | undefined;
  #splitSince: number | undefined;
  #partedAt = Number.NEGATIVE_INFINITY;
  #wordlessSince: number | undefined;
  #wordlessAt = Number.NEGATIVE_INFINITY;
  #cutAt = Number.NEGATIVE_INFINITY;
  #frostAt = Number.NEGATIVE_INFINITY;
  #quietSince: number | undefined;
  /** Long cuts between two running hosts that were healed. */
  healedSplits = 0;

  constructor(parts: CircumstanceParts) {
    this.#parts = parts;
    this.#longMs = parts.deadtimeMs / 2;
  }

  /**
   * When two running hosts last had no word of each other for long: one direction cut on all links, a
   * beat process or an agent that is not run. The present, while it lasts; minus infinity: never.
   */
  get partedAt(): number {
    return this.#partedAt;
  }

  /** As `partedAt`, but also while an agent is not run though its beat process speaks. */
  get wordlessAt(): number {
    return this.#wordlessAt;
  }

  /** When the cables last carried nothing in one direction, for however short. */
  get cutAt(): number {
    return this.#cutAt;
  }

  /** As `partedAt`, for a holder that could not step back because its processes were not run. */
  get frostAt(): number {
    return this.#frostAt;
  }

  /** Since when every host, process and at least one link both ways is well; undefined: not now. */
  get quietSince(): number | undefined {
    return this.#quietSince;
  }

  /** Looks at the world as it is after an event. */
  note(nowMs: number): void {
    const { hosts, network } = this.#parts;
    if (network.revision !== this.#revision) {
      this.#revision = network.revision;
      this.#connected = this.#hear();
    }
    this.#noteSplit(nowMs);
    if (!this.#connected) this.#cutAt = nowMs;
    const apart = !this.#connected || hosts.some(isMute);
    if (!apart) this.#apartSince = undefined;
    else this.#apartSince ??= nowMs;
    if (this.#apartSince !== undefined && nowMs - this.#apartSince > this.#longMs) {
      this.#partedAt = nowMs;
    }
    const isWordless = apart || hosts.some((host) => host.powered && host.agent.paused);
    if (!isWordless) this.#wordlessSince = undefined;
    else this.#wordlessSince ??= nowMs;
    if (this.#wordlessSince !== undefined && nowMs - this.#wordlessSince > this.#longMs) {
      this.#wordlessAt = nowMs;
    }
    if (hosts.some((host) => this.#isFrozen(host, nowMs, apart))) this.#frostAt = nowMs;
    if (apart || !hosts.every(isWell) || network.weather.loss > 0) this.#quietSince = undefined;
    else this.#quietSince ??= nowMs;
  }

  #hear(): boolean {
    const { hosts, network } = this.#parts;
    const [one, other] = hosts;
    if (one === undefined || other === undefined) return true;
    return network.connected(one.name, other.name) && network.connected(other.name, one.name);
  }

  #noteSplit(nowMs: number): void {
    const isSplit = !this.#connected && this.#parts.hosts.every(isWell);
    if (isSplit) this.#splitSince ??= nowMs;
    else if (this.#splitSince !== undefined) {
      const isLong = nowMs - this.#splitSince >= this.#parts.deadtimeMs;
      if (isLong && this.#connected) this.healedSplits++;
      this.#splitSince = undefined;
    }
  }

  /**
   * A holder that is not run can not step back: its processes are stopped, or its agent is dead while
   * what it started goes on. Up to agent_grace the beat process bridges that, unless the hosts are
   * apart as well: then nobody renews the claim either. (The kernel lease of reliability 5.1 will close
   * this.)
   */
  #isFrozen(host: SimHost, nowMs: number, apart: boolean): boolean {
    if (!host.powered || !host.holdsAny) return false;
    if (host.agent.pausedForMs > this.#longMs || host.beat.pausedForMs > this.#longMs) return true;
    const away = host.agentAwaySince;
    if (away === undefined) return false;
    return nowMs - away >= (apart ? this.#longMs : AGENT_GRACE_MS);
  }
}

/** A running machine of which the peer hears nothing. One without power is no party to a parting. */
function isMute(host: SimHost): boolean {
  return host.powered && (!host.beat.alive || host.beat.paused || !host.agent.alive);
}

function isWell(host: SimHost): boolean {
  const { agent, beat } = host;
  return host.powered && agent.alive && !agent.paused && beat.alive && !beat.paused;
}
