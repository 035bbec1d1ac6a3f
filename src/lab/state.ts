/**
 * What a lab consists of at this moment, replaced in one atomic step. What a step is about to make is written
 * down before it; numbers that exist only afterwards (a process, a loop device) follow at once. A kill
 * between the two loses nothing, as `down` looks by name: cgroup, image behind a device, mark in the environment.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";

const processSchema = z.strictObject({
  /** As this machine numbers it. */
  pid: z.int().positive(),
  /** Field 22 of /proc/PID/stat: tells a process from a later one with the same number. */
  startTime: z.string(),
});

const hostSchema = z.strictObject({
  /** `off` after a crash; the process may also have ended by itself. */
  power: z.enum(["on", "off"]),
  init: processSchema.optional(),
  /** Device by the image behind it. */
  loops: z.record(z.string(), z.string()),
  paused: z.strictObject({ timer: processSchema, untilWallMs: z.number() }).optional(),
});

const cutSchema = z.enum(["both", "in", "out"]);

const stateSchema = z.strictObject({
  version: z.literal(1),
  phase: z.enum(["coming-up", "up", "going-down"]),
  profile: z.enum(["default", "fast", "chapter"]),
  storage: z.enum(["shared", "disk"]),
  /** What the boot script runs on data hosts. */
  agentCommand: z.string(),
  hosts: z.record(z.string(), hostSchema),
  /** `HOST.LINK` to what of that cable is cut. */
  cuts: z.record(z.string(), cutSchema),
  /** Loop devices that the machine had before: others that the lab used are removed at the end. */
  loopsBefore: z.array(z.string()),
});

export type ProcessRecord = z.infer<typeof processSchema>;
export type HostState = z.infer<typeof hostSchema>;
export type Cut = z.infer<typeof cutSchema>;
export type LabState = z.infer<typeof stateSchema>;
export type LabProfile = LabState["profile"];
/** `disk`: replicated, each host has its own image; `shared`: one image that both see, as on a SAN. */
export type LabStorage = LabState["storage"];

/** What a state file holds. @throws {Error} if it is not one of ours */
export function parseState(text: string): LabState {
  return stateSchema.parse(JSON.parse(text));
}

/**
 * Undefined if there is none, or none that can be read: then the lab did not come up, and `down` goes
 * by the names alone.
 */
export function readState(file: string): LabState | undefined {
  try {
    return parseState(readFileSync(file, "utf8"));
  } catch {
    return undefined; // see above: nothing is lost, as everything can be found by name
  }
}

/** Replaces the state file in one step. */
export function writeState(file: string, state: LabState): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 1)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
