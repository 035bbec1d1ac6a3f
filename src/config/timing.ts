/**
 * Profiles and the constraints C1-C5 on the time constants.
 * Sources: DESIGN 7.12 (profiles), reliability.md 2.3 (C1-C5), DESIGN 7.3 (`agent_grace`).
 */
import { formatDuration } from "./durations.ts";
import type { Timing } from "./model.ts";

export type ProfileName = "default" | "fast" | "chapter";
export const profileNames: readonly ProfileName[] = ["default", "fast", "chapter"];

/** How long the beat process goes on without a sign of life from the agent; the same in any profile. */
export const agentGraceMs = 3_000;
/** A lease shorter than this can not be renewed in time on a busy host: it is off (reliability 2.3). */
export const leaseMsMin = 100;

const figures: Readonly<Record<ProfileName, readonly [number, number, number, number]>> = {
  default: [200, 600, 1_200, 10_000],
  fast: [100, 300, 400, 5_000],
  chapter: [1_000, 5_000, 15_000, 30_000],
};

/** The time constants of a profile. */
export function profileTiming(profile: ProfileName): Timing {
  const [keepaliveMs, warntimeMs, deadtimeMs, initdeadMs] = figures[profile];
  const deadpingMs = deadtimeMs;
  return { profile, keepaliveMs, warntimeMs, deadtimeMs, initdeadMs, deadpingMs, agentGraceMs };
}

/** The time constants by themselves; which profile they are follows from them. */
export type TimingFigures = Omit<Timing, "profile" | "agentGraceMs">;

/** A timing of these figures, named after the profile that has exactly the same ones. */
export function timingOf(own: TimingFigures): Timing {
  const keys = ["keepaliveMs", "warntimeMs", "deadtimeMs", "initdeadMs", "deadpingMs"] as const;
  const profile = profileNames.find((name) => {
    const figuresOf = profileTiming(name);
    return keys.every((key) => figuresOf[key] === own[key]);
  });
  return { profile: profile ?? "custom", ...own, agentGraceMs };
}

/**
 * The address lease K in milliseconds: deadtime/3, shortened to `deadtime - 2*keepalive` where C2
 * asks for it; undefined: off, because what is left is under 100 ms.
 */
export function addressLeaseMs(timing: Timing): number | undefined {
  const wanted = Math.floor(timing.deadtimeMs / 3);
  const leaseMs = Math.min(wanted, timing.deadtimeMs - 2 * timing.keepaliveMs);
  return leaseMs < leaseMsMin ? undefined : leaseMs;
}

/** One constraint that the time constants break. */
export interface TimingViolation {
  readonly rule: "C1" | "C2";
  /** The directive to point at. */
  readonly key: "keepalive" | "warntime" | "deadtime" | "initdead";
  readonly message: string;
  readonly consequence: string;
  readonly fix: string;
}

/**
 * C1 and C2 of reliability.md 2.3. C3 needs a registered lease, C4 a watchdog, C5 a replicated disk:
 * none of them can be configured in cluster.yaml yet, so there is nothing of theirs to check.
 */
export function timingViolations(timing: Timing): readonly TimingViolation[] {
  const { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs } = timing;
  const show = formatDuration;
  const found: TimingViolation[] = [];
  if (keepaliveMs * 3 > warntimeMs) {
    found.push({
      rule: "C1",
      key: "warntime",
      message: `warntime is ${show(warntimeMs)}, which is less than 3 x keepalive (${show(keepaliveMs)})`,
      consequence: "one or two lost heartbeats already raise the warning",
      fix: `set warntime to at least ${show(3 * keepaliveMs)}`,
    });
  }
  if (warntimeMs >= deadtimeMs) {
    found.push({
      rule: "C1",
      key: "deadtime",
      message: `deadtime is ${show(deadtimeMs)}, which does not exceed warntime (${show(warntimeMs)})`,
      consequence: "a host is declared dead before anybody was warned that it is late",
      fix: `set deadtime above ${show(warntimeMs)}, or lower warntime`,
    });
  }
  if (initdeadMs < 2 * deadtimeMs) {
    found.push({
      rule: "C1",
      key: "initdead",
      message: `initdead is ${show(initdeadMs)}, which is less than 2 x deadtime (${show(deadtimeMs)})`,
      consequence:
        "a host that starts while its network is still coming up takes the peer for dead",
      fix: `set initdead to at least ${show(2 * deadtimeMs)}`,
    });
  }
  const marginMs = 2 * keepaliveMs;
  const leaseMs = Math.floor(deadtimeMs / 3);
  if (leaseMs + marginMs > deadtimeMs) {
    found.push({
      rule: "C2",
      key: "deadtime",
      message: `The address lease (deadtime/3 = ${show(leaseMs)}) and its margin (2 x keepalive = ${show(marginMs)}) do not fit into deadtime (${show(deadtimeMs)})`,
      consequence:
        "a frozen holder could still answer on the address when the survivor takes it over",
      fix: `set keepalive to at most ${show(Math.max(1, Math.floor(deadtimeMs / 3)))}`,
    });
  }
  return found;
}
