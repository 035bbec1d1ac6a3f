/** What goes wrong with a replicated disk, and when: an explicit list, drawn from a seed (reliability 7.2). */
import { Prng } from "../../base/index.ts";
import { type CrashSite, crashSites, type Death } from "./disk-process.ts";
import type { Side } from "./wire.ts";

export type DiskFault =
  | { readonly kind: "die"; readonly side: Side; readonly how: Death; readonly ms: number }
  /** Dies at the n-th crash point of this kind from now on; is started again after `ms`. */
  | {
      readonly kind: "dieAt";
      readonly side: Side;
      readonly site: CrashSite | "any";
      readonly nth: number;
      readonly how: Death;
    }
  | { readonly kind: "pause"; readonly side: Side; readonly ms: number }
  /** What `side` sends does not arrive. */
  | {
      readonly kind: "cut" | "heal";
      readonly what: "replication" | "heartbeat";
      readonly side: Side;
    }
  | { readonly kind: "slowLink"; readonly delayMs: number }
  | { readonly kind: "slowDisk"; readonly side: Side; readonly delayMs: number }
  | {
      readonly kind: "sick";
      readonly side: Side;
      readonly what: "reads" | "writes" | "flushes" | "dead";
    }
  | { readonly kind: "rot"; readonly side: Side; readonly count: number }
  | { readonly kind: "misdirect"; readonly side: Side; readonly count: number }
  | { readonly kind: "switch" }
  | {
      readonly kind: "command";
      readonly side: Side;
      readonly verb:
        | "verify"
        | "invalidate"
        | "invalidate-remote"
        | "reconnect"
        | "pause-sync"
        | "resume-sync"
        | "reattach"
        | "down";
    };

export interface DiskStep {
  readonly atMs: number;
  readonly fault: DiskFault;
}

/**
 * `swarm`: any faults under STONITH, which promises everything. `trust`: native fencing, and a dead verdict is true. `splits`: native
 * fencing, and verdicts lie. `classic`: the policies of the original that go on without proof. The others repeat what one
 * kind of bug needs.
 */
export const diskProfiles = [
  "swarm",
  "trust",
  "splits",
  "classic",
  "resyncs",
  "promotions",
  "disks",
  "rot",
  "evictions",
  "points",
] as const;
export type DiskProfile = (typeof diskProfiles)[number];

export interface DiskSchedule {
  readonly world: "disk";
  readonly seed: number;
  readonly profile: DiskProfile;
  readonly fencing: "native" | "dont-care" | "resource-only" | "resource-and-stonith";
  /** S1 and S3 hold without exception. */
  readonly strict: boolean;
  readonly protocol: "A" | "B" | "C";
  /** Epochs are told to the disks. */
  readonly epochs: boolean;
  readonly codec: boolean;
  /** More extents than the activity log holds. */
  readonly large: boolean;
  readonly checksums: boolean;
  readonly integrity: boolean;
  readonly maxEpochSize: number;
  readonly most: number;
  readonly everyMs: number;
  readonly steps: readonly DiskStep[];
  readonly calmAtMs: number;
  readonly endMs: number;
}

const STORM_MS = 12_000;
const CALM_MS = 90_000;

type Kind =
  | "kill"
  | "power"
  | "both"
  | "dieAt"
  | "pause"
  | "cutReplication"
  | "cutHeartbeat"
  | "cutAll"
  | "cutOneWay"
  | "slowLink"
  | "slowDisk"
  | "sick"
  | "rot"
  | "misdirect"
  | "switch"
  | "command";

const honest: readonly Kind[] = [
  "kill",
  "power",
  "both",
  "dieAt",
  "cutReplication",
  "slowLink",
  "slowDisk",
  "sick",
  "switch",
  "command",
];
const all: readonly Kind[] = [...honest, "pause", "cutHeartbeat", "cutAll", "cutOneWay"];

const kindsOf: Readonly<Record<DiskProfile, readonly Kind[]>> = {
  swarm: all,
  trust: honest,
  splits: all,
  classic: all,
  resyncs: [
    "cutReplication",
    "cutReplication",
    "cutReplication",
    "dieAt",
    "kill",
    "power",
    "command",
    "slowLink",
  ],
  promotions: ["power", "dieAt", "dieAt", "switch", "switch", "cutReplication"],
  disks: ["sick", "sick", "cutReplication", "switch", "command"],
  rot: ["rot", "misdirect", "cutReplication", "switch"],
  evictions: ["power", "kill", "cutReplication", "dieAt"],
  points: [],
};

/** Draws a schedule; `wanted`: of this profile, whatever the seed says. */
export function drawDiskSchedule(seed: number, wanted?: DiskProfile): DiskSchedule {
  const random = new Prng(seed).fork("disk schedule");
  const drawn = random.pick([
    "swarm",
    "swarm",
    "trust",
    "trust",
    "splits",
    "classic",
    "resyncs",
    "promotions",
    "disks",
    "rot",
    "points",
  ] as const);
  const profile = wanted ?? drawn;
  const fencing = fencingOf(profile, random);
  const steps: DiskStep[] = [];
  if (profile === "points") steps.push(...pointSteps(seed, random));
  else {
    const possible = kindsOf[profile];
    const some = possible.filter(() => random.chance(0.5));
    const kinds =
      profile === "swarm" || profile === "trust" || profile === "splits" || profile === "classic"
        ? some.length > 0
          ? some
          : possible
        : possible;
    let atMs = random.between(500, 3_000);
    const gapMs = profile === "evictions" ? 5_000 : random.pick([300, 1_000, 2_500]);
    while (atMs < STORM_MS) {
      steps.push(...drawFault(random, random.pick(kinds), atMs));
      atMs += random.between(1, 2 * gapMs);
    }
  }
  steps.sort((one, other) => one.atMs - other.atMs);
  const protocol =
    profile === "points" || random.chance(0.7) ? "C" : random.pick(["A", "B"] as const);
  return {
    world: "disk",
    seed,
    profile,
    fencing,
    strict: fencing === "resource-and-stonith" || (fencing === "native" && profile !== "splits"),
    protocol,
    epochs: random.chance(0.4),
    codec: random.chance(0.35),
    large: profile === "evictions",
    checksums: random.chance(0.3),
    integrity: random.chance(0.2),
    maxEpochSize: random.pick([3, 20, 2_048]),
    most: random.pick([1, 4, 16]),
    everyMs: profile === "evictions" ? 4 : random.pick([3, 8, 25]),
    steps,
    calmAtMs: profile === "points" ? 7_000 : STORM_MS,
    endMs: STORM_MS + CALM_MS,
  };
}

function fencingOf(profile: DiskProfile, random: Prng): DiskSchedule["fencing"] {
  if (profile === "swarm") return "resource-and-stonith";
  if (profile === "classic") return random.pick(["dont-care", "resource-only"] as const);
  if (profile === "splits" || profile === "trust") return "native";
  return random.pick(["native", "resource-and-stonith"] as const);
}

/** One story with a resync and two promotions, and one death at the n-th operation of one host. */
function pointSteps(seed: number, random: Prng): readonly DiskStep[] {
  const point = Math.floor(seed / 4) * 7;
  const side: Side = seed % 2 === 0 ? 0 : 1;
  const how: Death = seed % 4 < 2 ? "power" : "kill";
  const cut = (atMs: number, kind: "cut" | "heal"): readonly DiskStep[] =>
    ([0, 1] as const).map((one) => at(atMs, { kind, what: "replication", side: one }));
  return [
    ...cut(3_500, "cut"),
    ...cut(4_600, "heal"),
    at(5_800, { kind: "switch" }),
    at(random.between(0, 5_000), { kind: "dieAt", side, site: "any", nth: 1 + (point % 900), how }),
  ];
}

function drawFault(random: Prng, kind: Kind, atMs: number): readonly DiskStep[] {
  const side = random.between(0, 1) as Side;
  const lasting = random.pick([50, 200, 700, 1_500, 4_000]);
  const until = atMs + random.between(1, lasting * 2);
  switch (kind) {
    case "kill":
    case "power":
      return [at(atMs, { kind: "die", side, how: kind, ms: until - atMs })];
    case "both":
      return drawOutage(random, atMs);
    case "dieAt":
      return [
        at(atMs, {
          kind,
          side,
          site: random.pick([...crashSites, "any"] as const),
          nth: random.between(1, 30),
          how: random.chance(0.6) ? "power" : "kill",
        }),
      ];
    case "pause":
      return [at(atMs, { kind, side, ms: random.between(1, lasting) })];
    case "cutReplication":
    case "cutHeartbeat":
    case "cutAll":
    case "cutOneWay":
      return drawCut(random, kind, side, atMs, until);
    case "slowLink":
      return [
        at(atMs, { kind, delayMs: random.pick([5, 40, 200]) }),
        at(until, { kind, delayMs: 0.6 }),
      ];
    case "slowDisk":
      return [
        at(atMs, { kind, side, delayMs: random.pick([5, 30, 150]) }),
        at(until, { kind, side, delayMs: 1 }),
      ];
    case "sick":
      return [
        at(atMs, {
          kind,
          side,
          what: random.pick(["reads", "writes", "flushes", "dead"] as const),
        }),
      ];
    case "rot":
    case "misdirect":
      return [at(atMs, { kind, side, count: random.between(1, 4) })];
    case "switch":
      return [at(atMs, { kind })];
    case "command":
      return [
        at(atMs, {
          kind,
          side,
          verb: random.pick([
            "verify",
            "invalidate",
            "invalidate-remote",
            "reconnect",
            "pause-sync",
            "resume-sync",
            "reattach",
            "down",
          ] as const),
        }),
      ];
    default:
      return kind satisfies never;
  }
}

/** Both hosts, together or one after the other. */
function drawOutage(random: Prng, atMs: number): readonly DiskStep[] {
  return ([0, 1] as const).map((side) =>
    at(atMs + random.between(0, 1) * random.between(0, 300), {
      kind: "die",
      side,
      how: random.chance(0.7) ? "power" : "kill",
      ms: random.between(100, 5_000),
    }),
  );
}

function drawCut(
  random: Prng,
  kind: Kind,
  side: Side,
  atMs: number,
  until: number,
): readonly DiskStep[] {
  const one = random.pick(["replication", "heartbeat"] as const);
  const whats: readonly ("replication" | "heartbeat")[] =
    kind === "cutReplication"
      ? ["replication"]
      : kind === "cutHeartbeat"
        ? ["heartbeat"]
        : kind === "cutAll"
          ? ["replication", "heartbeat"]
          : [one];
  const sides: readonly Side[] = kind === "cutOneWay" ? [side] : [0, 1];
  return whats.flatMap((what) =>
    sides.flatMap((from) => [
      at(atMs, { kind: "cut", what, side: from }),
      at(until, { kind: "heal", what, side: from }),
    ]),
  );
}

function at(atMs: number, fault: DiskFault): DiskStep {
  return { atMs, fault };
}
