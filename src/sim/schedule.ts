/** What goes wrong, and when: an explicit list, drawn from a seed, so that it can be printed and cut down. */
import { Prng } from "../base/index.ts";
import type { Command } from "../failover/index.ts";
import type { Direction, Weather } from "./network.ts";

export type Fault =
  /** Power loss of a host. */
  | { readonly kind: "crash"; readonly host: string }
  /** Power loss just before, or just after, the n-th write of durable state from now on. */
  | {
      readonly kind: "crashAtPersist";
      readonly host: string;
      readonly nth: number;
      readonly when: "before" | "after";
      /** Whose writes count; undefined: both. */
      readonly process?: "agent" | "beat";
    }
  | { readonly kind: "boot"; readonly host: string }
  /** All processes of a host are frozen; their socket buffers live on. */
  | { readonly kind: "pauseHost"; readonly host: string; readonly ms: number }
  | { readonly kind: "pauseAgent" | "pauseBeat"; readonly host: string; readonly ms: number }
  /** A graceful stop by command; the service is started anew after `ms`, ended or not. */
  | { readonly kind: "stopHost"; readonly host: string; readonly ms: number }
  /** kill -9 of one process; a supervisor starts it again after `ms`. */
  | { readonly kind: "killAgent" | "killBeat"; readonly host: string; readonly ms: number }
  | {
      readonly kind: "cut" | "heal";
      readonly host: string;
      readonly link: string;
      readonly direction: Direction;
    }
  | { readonly kind: "weather"; readonly weather: Weather }
  | { readonly kind: "pingNode"; readonly answers: boolean }
  /** Datagrams recorded of `from` are sent to the other host again. */
  | { readonly kind: "replay"; readonly from: string; readonly count: number }
  /** Starts of a group fail on a host until mended. */
  | { readonly kind: "breakStart" | "mendStart"; readonly host: string; readonly group: string }
  /** A running resource dies beyond its local restarts. */
  | { readonly kind: "breakResource"; readonly host: string; readonly group: string }
  | { readonly kind: "command"; readonly host: string; readonly command: Command };

export interface Step {
  readonly atMs: number;
  readonly fault: Fault;
}

/**
 * What a schedule is about. `swarm` mixes a random subset of all faults; the others repeat what a
 * certain kind of bug needs, so that it is found by tens of schedules, not by thousands.
 */
export const profiles = ["swarm", "writes", "splits", "stalls", "starts", "rebirths"] as const;
export type Profile = (typeof profiles)[number];

/** One run: faults until `calmAtMs`, then everything is healed and must settle by `endMs`. */
export interface Schedule {
  readonly seed: number;
  /** Absent from schedules that were kept before there were profiles. */
  readonly profile?: Profile;
  readonly hosts: readonly string[];
  readonly links: readonly string[];
  readonly groups: readonly string[];
  readonly pings: boolean;
  readonly autoFailback: "on" | "off";
  readonly steps: readonly Step[];
  readonly calmAtMs: number;
  readonly endMs: number;
}

/** Faults come until then; the first steps leave room for a cold start. */
const STORM_MS = 45_000;
/** Healed, a pair must be whole again by then: initdead, back-off of failed starts, moves. */
const CALM_MS = 60_000;

const kinds = [
  "crash",
  "crashAtPersist",
  "pauseHost",
  "pauseAgent",
  "pauseBeat",
  "killAgent",
  "killBeat",
  "stopHost",
  "cutOne",
  "cutOneWay",
  "cutAll",
  "weather",
  "pingNode",
  "replay",
  "breakStart",
  "breakResource",
  "command",
] as const;
type Kind = (typeof kinds)[number];

/** Faults of the directed profiles. */
const directed: Readonly<Record<Exclude<Profile, "swarm">, readonly Kind[]>> = {
  writes: ["crashAtPersist", "crashAtPersist", "crashAtPersist", "command", "killAgent"],
  splits: ["cutAll", "cutAll", "cutOneWay", "command"],
  stalls: ["pauseHost", "pauseAgent", "pauseBeat", "command"],
  starts: ["breakStart", "breakStart", "breakResource", "command", "stopHost"],
  rebirths: ["crash", "crash", "killBeat", "replay", "replay"],
};

/**
 * Draws a schedule. Half of the seeds are of the profile `swarm`: each enables a random subset of the
 * kinds (reliability 7.2).
 * @param wanted this profile, whatever the seed says
 */
export function drawSchedule(seed: number, wanted?: Profile): Schedule {
  const random = new Prng(seed).fork("schedule");
  const drawn = random.chance(0.5) ? "swarm" : random.pick(profiles);
  const profile = wanted ?? drawn;
  const hosts = ["dbm157", "dbm158"];
  const links = ["eth0", "eth1"].slice(0, random.chance(0.8) ? 2 : 1);
  const groups = ["database", "address"].slice(0, random.between(1, 2));
  const place = { hosts, links, groups };
  const steps: Step[] = [];
  const kindsHere = profile === "swarm" ? swarm(random) : directed[profile];
  let atMs = random.between(0, 15_000);
  const gapMs = random.between(500, 8_000);
  while (atMs < STORM_MS) {
    steps.push(...drawFault(random, random.pick(kindsHere), atMs, place));
    atMs += random.between(1, 2 * gapMs);
  }
  steps.sort((one, other) => one.atMs - other.atMs);
  return {
    seed,
    profile,
    ...place,
    pings: random.chance(0.5),
    autoFailback: random.chance(0.3) ? "on" : "off",
    steps,
    calmAtMs: STORM_MS,
    endMs: STORM_MS + CALM_MS,
  };
}

function swarm(random: Prng): readonly Kind[] {
  const enabled = kinds.filter(() => random.chance(0.4));
  return enabled.length > 0 ? enabled : ["crash"];
}

interface Place {
  readonly hosts: readonly string[];
  readonly links: readonly string[];
  readonly groups: readonly string[];
}

function drawFault(random: Prng, kind: Kind, atMs: number, place: Place): readonly Step[] {
  const host = random.pick(place.hosts);
  const group = random.pick(place.groups);
  const lasting = random.pick([100, 400, 1_000, 1_500, 3_000, 8_000]);
  const until = atMs + random.between(1, lasting * 2);
  switch (kind) {
    case "crash":
      return [at(atMs, { kind, host }), at(until, { kind: "boot", host })];
    case "crashAtPersist":
      return [
        at(atMs, {
          kind,
          host,
          nth: random.between(1, 4),
          when: random.chance(0.5) ? "before" : "after",
          process: random.chance(0.5) ? "agent" : "beat",
        }),
        at(until + 3_000, { kind: "boot", host }),
      ];
    case "pauseHost":
    case "pauseAgent":
    case "pauseBeat":
    case "killAgent":
    case "killBeat":
    case "stopHost":
      return [at(atMs, { kind, host, ms: random.between(1, lasting) })];
    case "cutOne":
    case "cutOneWay":
    case "cutAll":
      return drawCut(random, kind, atMs, until, host, place.links);
    case "weather":
      return drawWeather(random, atMs, until);
    case "pingNode":
      return [at(atMs, { kind, answers: false }), at(until, { kind, answers: true })];
    case "replay":
      return [at(atMs, { kind, from: host, count: random.between(1, 100) })];
    case "breakStart":
      return [at(atMs, { kind, host, group }), at(until, { kind: "mendStart", host, group })];
    case "breakResource":
      return [at(atMs, { kind, host, group })];
    case "command":
      return [at(atMs, { kind, host, command: drawCommand(random, group) })];
    default:
      return kind satisfies never;
  }
}

function drawCut(
  random: Prng,
  kind: "cutOne" | "cutOneWay" | "cutAll",
  atMs: number,
  until: number,
  host: string,
  links: readonly string[],
): readonly Step[] {
  const cutLinks = kind === "cutOne" ? [random.pick(links)] : links;
  const directions: readonly Direction[] =
    kind === "cutOneWay" ? [random.pick(["in", "out"] as const)] : ["in", "out"];
  return cutLinks.flatMap((link) =>
    directions.flatMap((direction) => [
      at(atMs, { kind: "cut", host, link, direction }),
      at(until, { kind: "heal", host, link, direction }),
    ]),
  );
}

function drawWeather(random: Prng, atMs: number, until: number): readonly Step[] {
  const weather: Weather = {
    loss: random.between(0, 30) / 100,
    duplication: random.between(0, 30) / 100,
    delayMinMs: 0.05,
    delayMaxMs: random.pick([0.5, 5, 50]),
    spikeMs: random.pick([0, 0, 120]),
  };
  const calm: Weather = { loss: 0, duplication: 0, delayMinMs: 0.05, delayMaxMs: 0.5, spikeMs: 0 };
  return [at(atMs, { kind: "weather", weather }), at(until, { kind: "weather", weather: calm })];
}

function drawCommand(random: Prng, group: string): Command {
  const scope = random.pick(["all", "local", "foreign", "failback"] as const);
  switch (random.between(0, 2)) {
    case 0:
      return { verb: "switch", group, to: null };
    case 1:
      return { verb: "standby", scope };
    default:
      return { verb: "takeover", scope, peerIsDead: false };
  }
}

function at(atMs: number, fault: Fault): Step {
  return { atMs, fault };
}
