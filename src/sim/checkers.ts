/**
 * Judges that know the truth of the simulated world and never ask a core what it thinks of itself
 * (reliability 7.3). Each keeps its own account. With the arbiter `none` two hosts can not tell a
 * dead peer from a cut cable (reliability 4.2), so each rule says exactly what excuses a breach.
 */
import type { FailoverEffect, FailoverRecord } from "../failover/index.ts";
import type { BeatEvent, MembershipEffect } from "../membership/index.ts";
import { AGENT_GRACE_MS, type Circumstances } from "./circumstances.ts";
import type { SharedClaims } from "./disk.ts";
import type { SimHost } from "./host.ts";
import type { Schedule } from "./schedule.ts";
import type { Truth } from "./truth.ts";

/** A broken promise. */
export interface Violation {
  readonly checker: string;
  readonly atMs: number;
  readonly message: string;
}

/** The truth, as checkers may read it. */
export interface CheckedWorld {
  readonly nowMs: number;
  readonly schedule: Schedule;
  readonly hosts: readonly SimHost[];
  readonly truth: Truth;
  readonly claims: SharedClaims;
  readonly circumstances: Circumstances;
  readonly timing: { readonly keepaliveMs: number; readonly deadtimeMs: number };
}

/** An acquire or release that the world begins to carry out. */
export type Operation = Extract<FailoverEffect, { kind: "acquire" | "release" }>;

/** Looks on at one run. Each method returns what is wrong, undefined if nothing is. */
export interface Checker {
  readonly name: string;
  /** After each simulated event. */
  after?(world: CheckedWorld): string | undefined;
  /** A core said something; an effect that waits for the disk is said when the disk has answered. */
  saw?(
    world: CheckedWorld,
    host: SimHost,
    effect: MembershipEffect | FailoverEffect,
  ): string | undefined;
  /** A core decides on an operation; it may wait for the disk before it is begun. */
  decided?(world: CheckedWorld, host: SimHost, operation: Operation): string | undefined;
  /** An operation is begun on resources. */
  began?(world: CheckedWorld, host: SimHost, operation: Operation): string | undefined;
  /** A datagram leaves a host. */
  sent?(world: CheckedWorld, host: SimHost, bytes: Buffer): string | undefined;
  /** The beat process of a host told its agent something. */
  told?(world: CheckedWorld, host: SimHost, event: BeatEvent): string | undefined;
  /** A status of `from`, first sent at `sentAtMs`, reached a socket of `to`. */
  heard?(world: CheckedWorld, from: string, to: string, sentAtMs: number): void;
  /** When all should be whole. */
  end?(world: CheckedWorld): string | undefined;
}

/** Everything a run is judged by. */
export function allCheckers(): readonly Checker[] {
  return [
    oneHolder(),
    claimObeyed(),
    operationsInOrder(),
    noStaleStart(),
    recordBeforeDeed(),
    recordBeforeWord(),
    generationBeforeWord(),
    oneOwnerPerEpoch(),
    noFalseDeath(),
    frozenSeizesNothing(),
    deadStaysDead(),
    generationsGrow(),
    nobodyLetsGo(),
    serviceReturns(),
  ];
}

/** A stop of all resources plus the news of it: the longest that two holders may meet after a heal. */
const PARTING_MS = 3_000;

/** Timers that a pause held up fire at once; the claim is read in the same moments. */
const THAW_MS = 100;

/** From the socket through the beat process to the agent. */
const READING_MS = 1;

/**
 * S1, S2: a group runs on one host. Excused, arbiter `none`: while the hosts have no word of each other,
 * and for the time that parting takes after that; and while a holder is not run. A group whose shared
 * disk carries a claim is excused by frost only.
 */
function oneHolder(): Checker {
  const doubleSince = new Map<string, number>();
  return {
    name: "S1 one holder",
    after({ nowMs, schedule, truth, hosts, circumstances }) {
      for (const group of schedule.groups) {
        const holders = truth.active(group);
        if (holders.length < 2) {
          if (doubleSince.size > 0) doubleSince.delete(group);
          continue;
        }
        const since = doubleSince.get(group) ?? nowMs;
        doubleSince.set(group, since);
        const claimed = hosts[0]?.runners.get(group)?.group.claimed === true;
        const excused = claimed
          ? circumstances.frostAt
          : Math.max(circumstances.frostAt, circumstances.partedAt);
        if (nowMs - excused > PARTING_MS) {
          return `${group} runs on ${holders.join(" and ")} since ${since.toFixed(0)} ms, and nothing excuses it`;
        }
      }
      return undefined;
    },
  };
}

/** R5, DESIGN 7.10: nobody decides to start a group on a shared disk whose holder runs it and renews its claim. */
function claimObeyed(): Checker {
  const frozenAt = new Map<string, number>();
  return {
    name: "R5 compare before serve",
    after({ nowMs, hosts }) {
      for (const { name, agent } of hosts) if (agent.paused) frozenAt.set(name, nowMs);
      return undefined;
    },
    decided({ nowMs, hosts, truth, claims, timing }, host, operation) {
      if (operation.kind !== "acquire") return undefined;
      // Right after a pause it may not have looked yet; the start of the disk reads the claim again.
      if (nowMs - (frozenAt.get(host.name) ?? Number.NEGATIVE_INFINITY) < THAW_MS) return undefined;
      const { group } = operation;
      if (host.runners.get(group)?.group.claimed !== true) return undefined;
      const other = hosts.find((candidate) => candidate !== host);
      const claim = claims.read(group);
      const ageMs = nowMs - claim.renewedAtMs;
      if (other === undefined || claim.holder !== other.name) return undefined;
      // Both may begin at the same moment: the claim is looked at each keepalive, and by the start.
      if (nowMs - claim.sinceMs < 2 * timing.keepaliveMs) return undefined;
      if (ageMs >= timing.deadtimeMs / 2 || !truth.active(group).includes(other.name))
        return undefined;
      return `${host.name} is to start ${group}, which ${other.name} runs and claimed ${ageMs.toFixed(0)} ms ago`;
    },
  };
}

/** R19: an operation is never begun after a newer one of its group, of the same run of the agent. */
function operationsInOrder(): Checker {
  const newest = new Map<string, number>();
  return {
    name: "R19 operations in order",
    began(_world, host, { group, operation, kind }) {
      const key = `${host.name} ${host.agent.generation} ${group}`;
      const known = newest.get(key) ?? -1;
      newest.set(key, Math.max(known, operation));
      if (operation >= known) return undefined;
      return `${host.name} begins to ${kind} ${group} by operation ${operation}, after ${known}`;
    },
  };
}

/** R13: a start that was decided on before this host was not run for a deadtime is not begun after it. */
function noStaleStart(): Checker {
  const decidedAt = new Map<string, number>();
  const sleptAt = new Map<string, number>();
  const keyOf = ({ name, agent }: SimHost, { group, operation }: Operation): string =>
    `${name} ${agent.generation} ${group} ${operation}`;
  return {
    name: "R13 no stale start",
    after({ nowMs, hosts, timing }) {
      for (const { name, agent } of hosts) {
        if (agent.pausedForMs > timing.deadtimeMs) sleptAt.set(name, nowMs);
      }
      return undefined;
    },
    decided({ nowMs }, host, operation) {
      if (operation.kind === "acquire") decidedAt.set(keyOf(host, operation), nowMs);
      return undefined;
    },
    began({ nowMs }, host, operation) {
      if (operation.kind !== "acquire") return undefined;
      const decided = decidedAt.get(keyOf(host, operation)) ?? nowMs;
      if ((sleptAt.get(host.name) ?? 0) <= decided) return undefined;
      return `${host.name} starts ${operation.group} as decided ${(nowMs - decided).toFixed(0)} ms ago, and was not run since`;
    },
  };
}

/** P4, R7: no group is started before it is on disk that this host holds it under that epoch. */
function recordBeforeDeed(): Checker {
  return {
    name: "P4 durable before used",
    began(_world, host, operation) {
      if (operation.kind !== "acquire") return undefined;
      const record = host.durable.failover?.groups[operation.group];
      if (record?.heldHere === true && record.epoch >= operation.epoch) return undefined;
      return `${host.name} starts ${operation.group} under epoch ${operation.epoch}, on disk is ${JSON.stringify(record)}`;
    },
  };
}

/** P4 for words: no epoch is announced before it is on disk, for the peer acts upon it. */
function recordBeforeWord(): Checker {
  return {
    name: "P4 durable before told",
    saw(_world, host, effect) {
      if (effect.kind !== "send" || effect.fields["kind"] !== "holdings") return undefined;
      const told = [
        ...(effect.fields["body"] ?? "").matchAll(/"([^"]+)":\{"epoch":(\d+),"owner":"([^"]*)"/g),
      ];
      for (const [, group = "", epoch, owner] of told) {
        const record = host.durable.failover?.groups[group];
        if (Number(epoch) === 0 && record === undefined) continue;
        if (Number(epoch) > (record?.epoch ?? 0)) {
          return `${host.name} tells of epoch ${epoch} of ${group} (${owner}), on disk is ${record?.epoch}`;
        }
      }
      return undefined;
    },
  };
}

/** R12 of the wire: no datagram of a generation is sent before that generation is durable. */
function generationBeforeWord(): Checker {
  return {
    name: "S12 durable before sent",
    sent(_world, host, bytes) {
      const at = bytes.indexOf("hg=");
      if (at < 0) return undefined;
      const generation = Number.parseInt(bytes.toString("latin1", at + 3, at + 19), 16);
      const durable = host.durable.transport.generation;
      if (durable !== null && generation <= durable) return undefined;
      return `${host.name} speaks as generation ${generation}, on disk is ${durable}`;
    },
  };
}

/**
 * R7: one host at most starts a group under one epoch (its owner). Excused, unless this host knew whose
 * epoch it is: the other lost power, or had no word of this one, at some time since that epoch began,
 * so that each may have counted on by itself.
 */
function oneOwnerPerEpoch(): Checker {
  const owners = new Map<string, { readonly host: string; readonly atMs: number }>();
  const records = new Map<string, FailoverRecord>();
  const known = new Map<string, string>();
  const powerlessAt = new Map<string, number>();
  return {
    name: "R7 one owner per epoch",
    after({ hosts, nowMs }) {
      for (const { name, durable, powered } of hosts) {
        if (!powered) powerlessAt.set(name, nowMs);
        const record = durable.failover;
        if (record === undefined || records.get(name) === record) continue;
        records.set(name, record);
        for (const [group, { epoch, owner }] of Object.entries(record.groups)) {
          if (owner !== undefined) known.set(`${name} ${group} ${epoch}`, owner);
        }
      }
      return undefined;
    },
    began({ nowMs, circumstances, timing }, { name }, operation) {
      if (operation.kind !== "acquire") return undefined;
      const { group, epoch } = operation;
      const key = `${group} ${epoch}`;
      const first = owners.get(key) ?? { host: name, atMs: nowMs };
      owners.set(key, first);
      if (first.host === name) return undefined;
      // What was decided in the last moments of a parting is begun a little after it.
      const since = first.atMs - 2 * timing.keepaliveMs;
      const excused = Math.max(circumstances.wordlessAt, powerlessAt.get(first.host) ?? 0) >= since;
      if (excused && known.get(`${name} ${key}`) !== first.host) return undefined;
      return `${name} starts ${group} under epoch ${epoch}, under which ${first.host} started it at ${first.atMs.toFixed(0)} ms`;
    },
  };
}

/**
 * R12, R13, FM10: nobody is called dead of whom a status younger than deadtime has arrived, even if it
 * lies unread in the socket of a process that was not run.
 */
function noFalseDeath(): Checker {
  const unread = new Map<string, { readonly sentAtMs: number; readonly arrivedAtMs: number }[]>();
  const endedAt = new Map<string, number>();
  return {
    name: "R13 no false death",
    heard({ nowMs, timing }, from, to, sentAtMs) {
      const pair = `${from} ${to}`;
      const young = unread.get(pair) ?? [];
      unread.set(pair, young);
      const newest = young.at(-1)?.arrivedAtMs;
      if (newest === undefined || nowMs - newest >= timing.deadtimeMs) endedAt.set(pair, nowMs);
      while (young.length > 1 && nowMs - (young[0]?.sentAtMs ?? nowMs) >= timing.deadtimeMs) {
        young.shift();
      }
      young.push({ sentAtMs, arrivedAtMs: nowMs });
    },
    saw({ nowMs, timing }, { name: host }, effect) {
      if (effect.kind !== "verdict" || effect.verdict !== "dead") return undefined;
      const pair = `${effect.host} ${host}`;
      // It was silent for a whole deadtime until a moment ago: the verdict is late, not false.
      if (nowMs - (endedAt.get(pair) ?? 0) < timing.deadtimeMs / 2) return undefined;
      const known = unread
        .get(pair)
        ?.find(
          ({ sentAtMs, arrivedAtMs }) =>
            nowMs - sentAtMs < timing.deadtimeMs && nowMs - arrivedAtMs >= READING_MS,
        );
      if (known === undefined) return undefined;
      const ageMs = (nowMs - known.sentAtMs).toFixed(0);
      const layMs = (nowMs - known.arrivedAtMs).toFixed(0);
      return `${host} calls ${effect.host} dead, whose status of ${ageMs} ms ago arrived ${layMs} ms ago`;
    },
  };
}

/**
 * 26b: who was frozen and resumes calls nobody dead before it has listened for a while. Excused: a
 * silence of the peer that was real, since before the thaw.
 */
function frozenSeizesNothing(): Checker {
  const frozenAt = new Map<string, number>();
  const muteAt = new Map<string, number>();
  return {
    name: "R13 a thawed host listens first",
    after({ hosts, nowMs }) {
      for (const { name, agent, beat } of hosts) {
        if (agent.paused || beat.paused) frozenAt.set(name, nowMs);
        if (!agent.alive || !beat.alive || beat.paused || agent.pausedForMs > AGENT_GRACE_MS / 2) {
          muteAt.set(name, nowMs);
        }
      }
      return undefined;
    },
    saw({ nowMs, timing, circumstances }, { name }, effect) {
      if (effect.kind !== "verdict" || effect.verdict !== "dead") return undefined;
      const thawed = frozenAt.get(name) ?? Number.NEGATIVE_INFINITY;
      if (nowMs - thawed >= timing.deadtimeMs / 2) return undefined;
      const silentAt = Math.max(circumstances.cutAt, muteAt.get(effect.host) ?? 0);
      if (silentAt >= thawed - timing.deadtimeMs) return undefined;
      return `${name} thawed ${(nowMs - thawed).toFixed(0)} ms ago and calls ${effect.host} dead, who lives`;
    },
  };
}

/**
 * S12: a host without power is never called alive again, whatever is replayed of it. Excused: what it
 * sent lay unread in the sockets of a process that was not run; and a beat process that was started
 * since: it knows of the numbers taken before only what is durable, every 256th.
 */
function deadStaysDead(): Checker {
  const spokeAt = new Map<string, number>();
  const blindAt = new Map<string, number>();
  return {
    name: "S12 the dead stay dead",
    after({ nowMs, hosts }) {
      for (const { name, agent, beat } of hosts) {
        if (!beat.alive || agent.paused || beat.paused) blindAt.set(name, nowMs);
      }
      return undefined;
    },
    sent({ nowMs }, host) {
      spokeAt.set(host.name, nowMs);
      return undefined;
    },
    saw({ nowMs, timing, hosts }, host, effect) {
      if (effect.kind !== "verdict" || effect.verdict !== "alive") return undefined;
      const spoke = spokeAt.get(effect.host) ?? 0;
      const isOff = hosts.some(({ name, powered }) => name === effect.host && !powered);
      if (!isOff || nowMs - spoke < timing.deadtimeMs) return undefined;
      if ((blindAt.get(host.name) ?? 0) >= spoke - timing.keepaliveMs) return undefined;
      return `${host.name} calls ${effect.host} alive, which has no power and spoke ${(nowMs - spoke).toFixed(0)} ms ago`;
    },
  };
}

/**
 * S12: a host's generation never goes back, whatever is replayed: for a beat process in its life, and
 * after its restart for what was on disk.
 */
function generationsGrow(): Checker {
  const newest = new Map<string, number>();
  const judge = (key: string, generation: number, durable: number): string | undefined => {
    const known = Math.max(newest.get(key) ?? 0, durable);
    newest.set(key, Math.max(known, generation));
    if (generation >= known) return undefined;
    return `${key} at generation ${generation}, after ${known}`;
  };
  return {
    name: "S12 generations grow",
    told(_world, host, event) {
      if (event.kind !== "status") return undefined;
      const durable = host.durable.transport.peers[event.host]?.generation ?? 0;
      const who = `beat process ${host.beat.generation} of ${host.name}`;
      return judge(`${who} takes ${event.host}`, event.generation, durable);
    },
    saw(_world, host, effect) {
      if (effect.kind !== "peerSeen") return undefined;
      const who = `agent ${host.agent.generation} of ${host.name}`;
      return judge(`${who} takes ${effect.host}`, effect.generation, 0);
    },
  };
}

/** So long may a group run nowhere while both hosts are well and one of them can start it. */
const UNSERVED_MS = 12_000;

/**
 * L1, L4: while all is well a group runs somewhere, also right after a heal and after a failed start:
 * one host at least never failed to start it. (A host that failed waits, and gives up, by rule.)
 */
function nobodyLetsGo(): Checker {
  const downSince = new Map<string, number>();
  return {
    name: "L4 the group is not let go",
    after({ nowMs, schedule, truth, hosts, circumstances }) {
      const { quietSince } = circumstances;
      for (const group of schedule.groups) {
        if (truth.active(group).length > 0) {
          if (downSince.size > 0) downSince.delete(group);
          continue;
        }
        const since = downSince.get(group) ?? nowMs;
        downSince.set(group, since);
        if (quietSince === undefined || nowMs - Math.max(since, quietSince) < UNSERVED_MS) continue;
        const able = hosts.find(({ runners }) => runners.get(group)?.blameless === true);
        if (able === undefined) continue;
        return `${group} runs nowhere since ${since.toFixed(0)} ms; all is well since ${quietSince.toFixed(0)} ms and ${able.name} could start it (${beliefs(hosts, group)})`;
      }
      return undefined;
    },
  };
}

/** L1, L5: when everything is healed each group runs, whole, on one host, and both hosts agree. */
function serviceReturns(): Checker {
  return { name: "L5 the service returns", end: unsettled };
}

/** What is not as it should be once all is healed; undefined: each group runs whole, and both know where. */
export function unsettled({ schedule, truth, hosts }: CheckedWorld): string | undefined {
  for (const group of schedule.groups) {
    const holders = truth.active(group);
    if (holders.length !== 1) {
      return `${group} runs on ${holders.length === 0 ? "no host" : holders.join(" and ")} when all is healed (${beliefs(hosts, group)})`;
    }
    const holder = hosts.find(({ name }) => name === holders[0]);
    const runner = holder?.runners.get(group);
    if (runner !== undefined && runner.running !== runner.group.resources) {
      return `${group} runs only in part on ${holders[0]}: ${runner.running} of ${runner.group.resources}`;
    }
    const believed = hosts.map(
      (host) => host.failover?.view().find((view) => view.group === group)?.holder ?? "nobody",
    );
    if (believed.some((belief) => belief !== holders[0])) {
      return `${group} runs on ${holders[0]}, but the hosts believe ${believed.join(" and ")} (${beliefs(hosts, group)})`;
    }
  }
  return undefined;
}

/** For the message only: why the cores stand as they stand. */
function beliefs(hosts: readonly SimHost[], group: string): string {
  return hosts
    .map((host) => {
      const view = host.failover?.view().find((candidate) => candidate.group === group);
      return `${host.name}: ${view?.here} [${view?.reason}] ${view?.detail}`;
    })
    .join("; ");
}
