/**
 * Judges that know the truth of the simulated world and never ask a core what it thinks of itself
 * (reliability 7.3). Each keeps its own account. With the arbiter `none` two hosts can not tell a
 * dead peer from a cut cable (reliability 4.2), so each rule says exactly what excuses a breach.
 */
import type { FailoverEffect } from "../failover/index.ts";
import type { MembershipEffect } from "../membership/index.ts";
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";
import type { Schedule } from "./schedule.ts";
import type { Truth } from "./truth.ts";

/** A broken promise. */
export interface Violation {
  readonly checker: string;
  readonly atMs: number;
  readonly message: string;
}

export interface CheckedWorld {
  readonly nowMs: number;
  readonly schedule: Schedule;
  readonly hosts: readonly SimHost[];
  readonly network: Network;
  readonly truth: Truth;
  readonly timing: { readonly keepaliveMs: number; readonly deadtimeMs: number };
}

/** Looks on; `after` each simulated event, `saw` at each effect, `end` when all should be whole. */
export interface Checker {
  readonly name: string;
  after?(world: CheckedWorld): string | undefined;
  saw?(
    world: CheckedWorld,
    host: string,
    effect: MembershipEffect | FailoverEffect,
  ): string | undefined;
  /** A status of `from`, first sent at `sentAtMs`, reached a socket of `to`. */
  heard?(world: CheckedWorld, from: string, to: string, sentAtMs: number): void;
  end?(world: CheckedWorld): string | undefined;
}

/** Everything a run is judged by. */
export function allCheckers(): readonly Checker[] {
  return [
    oneHolder(),
    noFalseDeath(),
    oneOwnerPerEpoch(),
    generationsGrow(),
    frozenSeizesNothing(),
    serviceReturns(),
  ];
}

/** A stop of all resources plus the news of it: the longest that two holders may meet after a heal. */
const PARTING_MS = 3_000;

/** From the socket through the beat process to the agent. */
const READING_MS = 1;

/** DESIGN 7.3. */
const AGENT_GRACE_MS = 3_000;

/**
 * S1/S2: a group runs on one host. Excused, mode `none`: while the hosts can not hear each other on
 * any link (or one was frozen, or a beat process was down) for about deadtime, and for the time that
 * parting takes after that. A group whose shared disk carries a claim is excused by frost only.
 */
function oneHolder(): Checker {
  let apartSince: number | undefined;
  let togetherSince = Number.NEGATIVE_INFINITY;
  let frostUntil = Number.NEGATIVE_INFINITY;
  const doubleSince = new Map<string, number>();
  return {
    name: "S1 one holder",
    after(world) {
      const { nowMs, timing } = world;
      const apart = isApart(world);
      if (apart && apartSince === undefined) apartSince = nowMs;
      if (!apart && apartSince !== undefined) {
        // A cut shorter than half of deadtime can not have killed anybody.
        if (nowMs - apartSince > timing.deadtimeMs / 2) togetherSince = nowMs;
        apartSince = undefined;
      }
      if (world.hosts.some((host) => isFrozen(host, nowMs, apart, timing.deadtimeMs))) {
        frostUntil = nowMs + PARTING_MS + timing.deadtimeMs;
      }
      for (const group of world.schedule.groups) {
        const holders = world.truth.active(group);
        if (holders.length < 2) {
          doubleSince.delete(group);
          continue;
        }
        const since = doubleSince.get(group) ?? nowMs;
        doubleSince.set(group, since);
        if (nowMs < frostUntil) continue;
        const claimed = world.hosts[0]?.runners.get(group)?.group.claimed === true;
        const parted =
          !claimed &&
          ((apartSince !== undefined && nowMs - apartSince > timing.deadtimeMs / 2) ||
            nowMs < togetherSince + PARTING_MS + timing.deadtimeMs);
        if (!parted) {
          return `${group} runs on ${holders.join(" and ")} since ${since.toFixed(0)} ms, and nothing excuses it`;
        }
      }
      return undefined;
    },
  };
}

/**
 * A holder that is not run can not step back: its processes are stopped, or its agent is dead while
 * what it started goes on. (Up to agent_grace the beat process bridges that; the checker does not
 * excuse it.) The kernel lease of reliability 5.1 is what will close this.
 */
function isFrozen(host: SimHost, nowMs: number, apart: boolean, deadtimeMs: number): boolean {
  if (host.agent.paused || host.beat.paused) return true;
  const away = host.agentAwaySince;
  if (!host.powered || away === undefined) return false;
  // Without an agent nobody renews the claim, so a cut at the same time lets it look abandoned sooner.
  return nowMs - away >= (apart ? deadtimeMs : AGENT_GRACE_MS);
}

/** No path at all in one direction, or a side that can not speak. */
function isApart(world: CheckedWorld): boolean {
  const [one, other] = world.hosts;
  if (one === undefined || other === undefined) return false;
  const silent = [one, other].some(
    (host) => !host.beat.alive || host.beat.paused || !host.agent.alive,
  );
  return (
    silent ||
    !world.network.connected(one.name, other.name) ||
    !world.network.connected(other.name, one.name)
  );
}

/**
 * R12, R13, FM10: nobody is called dead of whom a status younger than deadtime has arrived, even if it
 * lies unread in the socket of a process that was not run.
 */
function noFalseDeath(): Checker {
  const unread = new Map<string, { sentAtMs: number; arrivedAtMs: number }[]>();
  return {
    name: "R13 no false death",
    heard(world, from, to, sentAtMs) {
      const pair = `${from} ${to}`;
      const { deadtimeMs } = world.timing;
      const young = (unread.get(pair) ?? []).filter(
        (one) => world.nowMs - one.sentAtMs < deadtimeMs,
      );
      unread.set(pair, [...young, { sentAtMs, arrivedAtMs: world.nowMs }]);
    },
    saw(world, host, effect) {
      if (effect.kind !== "verdict" || effect.verdict !== "dead") return undefined;
      const { nowMs, timing } = world;
      const known = (unread.get(`${effect.host} ${host}`) ?? []).find(
        ({ sentAtMs, arrivedAtMs }) =>
          nowMs - sentAtMs < timing.deadtimeMs && nowMs - arrivedAtMs >= READING_MS,
      );
      if (known === undefined) return undefined;
      const ageMs = (nowMs - known.sentAtMs).toFixed(0);
      const lay = (nowMs - known.arrivedAtMs).toFixed(0);
      return `${host} calls ${effect.host} dead, whose status of ${ageMs} ms ago arrived ${lay} ms ago`;
    },
  };
}

/** One host at most starts a group under one epoch (the owner), unless a person forced it. */
function oneOwnerPerEpoch(): Checker {
  const owners = new Map<string, string>();
  return {
    name: "R7 one owner per epoch",
    saw(world, host, effect) {
      if (effect.kind !== "acquire") return undefined;
      const key = `${effect.group} ${effect.epoch}`;
      const owner = owners.get(key) ?? host;
      owners.set(key, owner);
      if (owner === host || wasApart(world)) return undefined;
      return `${host} starts ${effect.group} under epoch ${effect.epoch}, which ${owner} holds`;
    },
  };
}

/** Whether two sides may have counted on by themselves: mode `none` can not prevent it. */
function wasApart(world: CheckedWorld): boolean {
  return (world.truth.counts.get("partings") ?? 0) > 0;
}

/** R12 of the wire: a host's generation never goes back, whatever crashed (durable before sent). */
function generationsGrow(): Checker {
  const newest = new Map<string, number>();
  return {
    name: "S12 generations grow",
    saw(_world, host, effect) {
      if (effect.kind !== "peerSeen") return undefined;
      const known = newest.get(effect.host) ?? 0;
      newest.set(effect.host, Math.max(known, effect.generation));
      if (effect.generation >= known) return undefined;
      return `${host} takes ${effect.host} at generation ${effect.generation}, after ${known}`;
    },
  };
}

/** 26b: who was frozen and resumes takes nothing over before it has listened for a deadtime. */
function frozenSeizesNothing(): Checker {
  const thawedAt = new Map<string, number>();
  const frozen = new Set<string>();
  return {
    name: "R13 a thawed host listens first",
    after(world) {
      for (const host of world.hosts) {
        if (host.agent.paused || host.beat.paused) frozen.add(host.name);
        else if (frozen.delete(host.name)) thawedAt.set(host.name, world.nowMs);
      }
      return undefined;
    },
    saw(world, host, effect) {
      if (effect.kind !== "verdict" || effect.verdict !== "dead") return undefined;
      const thawed = thawedAt.get(host);
      if (thawed === undefined || world.nowMs - thawed >= world.timing.deadtimeMs / 2)
        return undefined;
      const peer = world.hosts.find(({ name }) => name === effect.host);
      if (peer === undefined || !peer.powered || !peer.beat.alive || peer.beat.paused)
        return undefined;
      if (!world.network.connected(effect.host, host)) return undefined;
      return `${host} thawed ${(world.nowMs - thawed).toFixed(0)} ms ago and calls ${effect.host} dead, who lives`;
    },
  };
}

/** L1, L5: when everything is healed each group runs, whole, on one host, and both hosts agree. */
function serviceReturns(): Checker {
  return {
    name: "L5 the service returns",
    end(world) {
      for (const group of world.schedule.groups) {
        const holders = world.truth.active(group);
        if (holders.length !== 1) {
          const why = world.hosts
            .map((host) => {
              const view = host.failover?.view().find((candidate) => candidate.group === group);
              return `${host.name}: ${view?.here} [${view?.reason}] ${view?.detail}`;
            })
            .join("; ");
          return `${group} runs on ${holders.length === 0 ? "no host" : holders.join(" and ")} when all is healed (${why})`;
        }
        const holder = world.hosts.find(({ name }) => name === holders[0]);
        const runner = holder?.runners.get(group);
        if (runner !== undefined && runner.running !== runner.group.resources) {
          return `${group} runs only in part on ${holders[0]}: ${runner.running} of ${runner.group.resources}`;
        }
        const beliefs = world.hosts.map(
          (host) => host.failover?.view().find((view) => view.group === group)?.holder ?? "nobody",
        );
        if (beliefs.some((belief) => belief !== holders[0])) {
          return `${group} runs on ${holders[0]}, but the hosts believe ${beliefs.join(" and ")}`;
        }
      }
      return undefined;
    },
  };
}
