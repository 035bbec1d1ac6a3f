/**
 * Timeline: the incidents of one host, read from its journal, in phases with milliseconds.
 *
 *   quiet   --verdict late|dead|left, command, resource failed, move--> open
 *   open    --nothing under way and nothing awaited------------------> settled
 *   settled --a late decision, or the move of one more group---------> open again
 *   settled --a new cause, or 30 s without a step--------------------> quiet: the incident is closed
 *   open    --another boot, or the agent started anew----------------> quiet: it was interrupted
 *
 * Under way are operations (acquire, release), commands and late hosts; awaited is the decision after
 * `dead`, `left` or a failure. Zero of an incident is the last good beat where silence is the cause,
 * else the cause itself. Pure. What it reads of each line is in `steps`; other lines are passed over.
 */
import type { JournalEntry } from "./entry.ts";

/**
 * What began an incident. `move`: a group was started or stopped here without a cause on this host,
 * as at start-up, or because the peer asked.
 */
export type IncidentCause = "late" | "dead" | "left" | "command" | "resource" | "move";

/** How it ended, as far as this host knows. */
export type IncidentOutcome =
  | "moved-here"
  | "moved-away"
  | "done"
  | "not-moved"
  | "recovered"
  | "refused"
  | "failed"
  | "interrupted"
  | "open";

export type PhaseKind =
  | "lastBeat"
  | "late"
  | "dead"
  | "left"
  | "alive"
  | "unsure"
  | "stalled"
  | "command"
  | "resourceFailed"
  | "decision"
  | "acquire"
  | "release"
  | "resourceStarted"
  | "resourceStopped"
  | "resourceOpened"
  | "resourceClosed"
  | "address"
  | "running"
  | "stopped"
  | "operationFailed"
  | "commandDone";

/** One step of an incident. */
export interface Phase {
  /** Since zero of the incident, milliseconds. */
  readonly atMs: number;
  readonly kind: PhaseKind;
  /** For people: what happened, to what. */
  readonly text: string;
  readonly reason: string | null;
  readonly group: string | null;
  /** How long the step itself took, where it is one that takes time. */
  readonly tookMs: number | null;
}

export interface Incident {
  /** From the wall time of its cause: unique on one host, sorts by time. */
  readonly id: string;
  readonly host: string;
  readonly cause: IncidentCause;
  /** The host, verb, resource or group that the cause names. */
  readonly subject: string;
  /** Wall time of the cause, ISO 8601, UTC; zero is `causeAtMs` before. */
  readonly wall: string;
  readonly causeAtMs: number;
  readonly outcome: IncidentOutcome;
  /** From zero to the last milestone: a group runs, was released, or the decision not to. */
  readonly durationMs: number;
  readonly groups: readonly string[];
  /** The newest reason code of a decision or a command's end. */
  readonly reason: string | null;
  readonly phases: readonly Phase[];
  /** Phases beyond `phasesMax`, not kept. */
  readonly phasesOmitted: number;
}

/** A settled incident is taken up again by a late step within this time, milliseconds. */
const extendMs = 30_000;
/** Bounds of one reading; a journal of 128 MiB stays far below the second. */
const phasesMax = 500;
const incidentsMax = 10_000;

/** What one journal line means for a timeline. */
interface Step {
  readonly kind: PhaseKind;
  readonly text: string;
  readonly cause?: IncidentCause;
  readonly subject?: string;
  readonly tookMs?: number;
  /** Changes what is under way. */
  readonly effect?: (open: OpenIncident) => void;
}

/** The incidents in a journal, oldest first. */
export function incidentsOf(entries: Iterable<JournalEntry>): readonly Incident[] {
  const timeline = new Timeline();
  for (const entry of entries) timeline.take(entry);
  return timeline.incidents();
}

/** Finds an incident by `last`, id, or the unique beginning of an id. */
export function findIncident(incidents: readonly Incident[], which: string): Incident | undefined {
  if (which === "last") return incidents.at(-1);
  const exact = incidents.find((incident) => incident.id === which);
  const begun = incidents.filter((incident) => incident.id.startsWith(which));
  return exact ?? (begun.length === 1 ? begun[0] : undefined);
}

/** Reads journal lines in order and keeps the incidents found so far. */
export class Timeline {
  readonly #closed: Incident[] = [];
  #open: OpenIncident | undefined;

  /** Takes the next line of the journal. */
  take(entry: JournalEntry): void {
    const restarted = entry.room === "agent" && entry.name === "started";
    if (restarted || (this.#open !== undefined && this.#open.bootId !== entry.bootId)) {
      this.#close("interrupted");
    }
    const step = readStep(entry, this.#open);
    if (step === undefined) return;
    if (this.#open?.isOverBefore(entry, step) === true) this.#close("ended");
    if (this.#open === undefined) {
      if (step.cause === undefined) return;
      this.#open = new OpenIncident(entry, step, step.cause);
    } else if (this.#open.settled && !this.#open.reopensFor(step)) return;
    this.#open.add(entry, step);
  }

  /** Those closed, and the one still open. */
  incidents(): readonly Incident[] {
    return this.#open === undefined
      ? this.#closed
      : [...this.#closed, this.#open.toIncident("current")];
  }

  #close(how: "ended" | "interrupted"): void {
    if (this.#open === undefined) return;
    this.#closed.push(this.#open.toIncident(how));
    if (this.#closed.length > incidentsMax) this.#closed.shift();
    this.#open = undefined;
  }
}

/** What may be the end of an incident; a decision is one only while nothing moved. */
const milestones: ReadonlySet<PhaseKind> = new Set([
  "running",
  "stopped",
  "operationFailed",
  "commandDone",
  "alive",
]);

class OpenIncident {
  readonly bootId: string;
  readonly #first: JournalEntry;
  readonly #subject: string;
  readonly #zeroMs: number;
  readonly #phases: Phase[] = [];
  readonly #groups = new Set<string>();
  /** By operation number: what it is and when it began. */
  readonly operations = new Map<number, { readonly kind: string; readonly sinceMs: number }>();
  readonly commands = new Set<string>();
  readonly lateHosts = new Set<string>();
  readonly movedGroups = new Set<string>();
  decisionAwaited = false;
  outcome: IncidentOutcome = "not-moved";
  #cause: IncidentCause;
  #lastMs: number;
  #reason: string | null = null;
  #endMs = 0;
  #omitted = 0;

  constructor(first: JournalEntry, step: Step, cause: IncidentCause) {
    this.bootId = first.bootId;
    this.#first = first;
    this.#cause = cause;
    this.#subject = step.subject ?? "";
    this.#lastMs = first.monotonicMs;
    const bySilence = cause === "late" || cause === "dead";
    const silentMs = bySilence ? numberIn(first.data, "silentMs") : undefined;
    this.#zeroMs = first.monotonicMs - (silentMs ?? 0);
    if (silentMs === undefined) return;
    const text = `last good beat of ${this.#subject}`;
    this.#phases.push({ atMs: 0, kind: "lastBeat", text, reason: null, group: null, tookMs: null });
  }

  /** Nothing is being done; a decision may still be awaited. */
  get idle(): boolean {
    return this.operations.size === 0 && this.commands.size === 0 && this.lateHosts.size === 0;
  }

  get settled(): boolean {
    return this.idle && !this.decisionAwaited;
  }

  get #moved(): boolean {
    return this.movedGroups.size > 0;
  }

  /** This step belongs to something new: a new cause, a group that moves again, or much later. */
  isOverBefore(entry: JournalEntry, step: Step): boolean {
    if (this.idle && entry.monotonicMs - this.#lastMs > extendMs) return true;
    if (step.cause === "command") return this.idle;
    // A resource that fails again soon, or is first restarted and then given up: one story.
    if (step.cause === "resource" && this.#cause === "resource" && step.subject === this.#subject) {
      return false;
    }
    if (!this.settled || step.cause === undefined) return false;
    return step.cause !== "move" || this.movedGroups.has(entry.group ?? "");
  }

  /** Once settled, news of a returning host or of a group that did not move are not part of it. */
  reopensFor(step: Step): boolean {
    if (step.kind === "decision") return !this.#moved;
    return step.kind !== "alive" && step.kind !== "unsure" && step.kind !== "stalled";
  }

  add(entry: JournalEntry, step: Step): void {
    const { monotonicMs, reason, group } = entry;
    const { kind, text, tookMs = null } = step;
    this.#lastMs = monotonicMs;
    if (this.#cause === "late" && kind === "dead" && step.subject === this.#subject) {
      this.#cause = "dead";
    }
    step.effect?.(this);
    const atMs = round(monotonicMs - this.#zeroMs);
    if (group !== null) this.#groups.add(group);
    if (reason !== null && (kind === "decision" || kind === "commandDone")) this.#reason = reason;
    if (milestones.has(kind) || (kind === "decision" && !this.#moved)) this.#endMs = atMs;
    if (this.#phases.length >= phasesMax) this.#omitted++;
    else this.#phases.push({ atMs, kind, text, reason, group, tookMs });
  }

  toIncident(how: "ended" | "interrupted" | "current"): Incident {
    // A decision comes in the same turn as its cause: one still awaited at the end of the journal,
    // with nothing under way, was not needed.
    const over = how === "ended" || (how === "current" ? this.idle : this.settled);
    const unfinished = how === "interrupted" ? "interrupted" : "open";
    return {
      id: this.#first.wall.replaceAll(/[-:Z]/g, ""),
      host: this.#first.host,
      cause: this.#cause,
      subject: this.#subject,
      wall: this.#first.wall,
      causeAtMs: round(this.#first.monotonicMs - this.#zeroMs),
      outcome: over ? this.outcome : unfinished,
      durationMs: (over && this.#endMs) || round(this.#lastMs - this.#zeroMs),
      groups: [...this.#groups],
      reason: this.#reason,
      phases: [...this.#phases],
      phasesOmitted: this.#omitted,
    };
  }
}

type StepReader = (entry: JournalEntry, open: OpenIncident | undefined) => Step | undefined;

/** What the lines mean, by room and name. An input that repeats another room's effect is left out. */
const steps: Readonly<Record<string, StepReader>> = {
  "membership/verdict": (entry) =>
    entry.kind === "effect" ? verdictStep(entry, textIn(entry.data, "verdict")) : undefined,
  "membership/stalled": (entry) =>
    entry.kind === "effect" ? { kind: "stalled", text: stalledText(entry) } : undefined,
  "failover/command": ({ data }) => {
    const command = fieldOf(data, "command");
    return {
      kind: "command",
      text: `command ${commandText(command)}`,
      cause: "command",
      subject: textIn(command, "verb") ?? "command",
      effect: (open) => open.commands.add(textIn(data, "id") ?? ""),
    };
  },
  "failover/commandDone": ({ data }) => commandDoneStep(data),
  "failover/resourceFailed": ({ data, group }) => {
    const resource = textIn(data, "resource") ?? "a resource";
    return {
      kind: "resourceFailed",
      text: `${resource} failed: ${textIn(data, "detail") ?? "no detail"}`,
      cause: "resource",
      subject: group === null ? resource : `${group}/${resource}`,
      effect: (open) => {
        open.decisionAwaited = true;
      },
    };
  },
  "failover/decision": ({ data, reason }) => ({
    kind: "decision",
    text: textIn(data, "detail") || reason || "decided",
    effect: (open) => {
      open.decisionAwaited = false;
    },
  }),
  "failover/acquire": (entry) => operationStep(entry, "acquire"),
  "failover/release": (entry) => operationStep(entry, "release"),
  "failover/operationDone": (entry, open) => operationDoneStep(entry, open),
  "resources/note": (entry) => restartStep(entry),
  "resources/resourceStarted": (entry) => resourceStep(entry, "started"),
  "resources/resourceStopped": (entry) => resourceStep(entry, "stopped"),
  "resources/resourceOpened": (entry) => resourceStep(entry, "opened"),
  "resources/resourceClosed": (entry) => resourceStep(entry, "closed"),
};

function readStep(entry: JournalEntry, open: OpenIncident | undefined): Step | undefined {
  const key = `${entry.room}/${entry.name}`;
  return Object.hasOwn(steps, key) ? steps[key]?.(entry, open) : undefined;
}

function verdictStep(entry: JournalEntry, verdict: string | undefined): Step | undefined {
  const host = entry.peer ?? "a host";
  switch (verdict) {
    case "late":
      return {
        kind: "late",
        text: `${host} late`,
        cause: "late",
        subject: host,
        effect: (open) => open.lateHosts.add(host),
      };
    case "dead":
    case "left":
      return {
        kind: verdict,
        text: verdict === "dead" ? `${host} dead` : `${host} said goodbye`,
        cause: verdict,
        subject: host,
        effect: (open) => {
          open.lateHosts.delete(host);
          open.decisionAwaited = true;
        },
      };
    case "alive":
      return {
        kind: "alive",
        text: `${host} alive`,
        effect: (open) => {
          const wasLate = open.lateHosts.delete(host);
          if (wasLate && open.outcome === "not-moved") open.outcome = "recovered";
        },
      };
    case "unsure":
      return {
        kind: "unsure",
        text: `${host} unsure: this host itself was not run`,
        effect: (open) => open.lateHosts.delete(host),
      };
    default:
      return undefined;
  }
}

function commandDoneStep(data: unknown): Step {
  const outcome = textIn(data, "outcome") ?? "done";
  const detail = textIn(data, "detail") ?? "";
  return {
    kind: "commandDone",
    text: `command ${outcome}${detail === "" ? "" : `: ${detail}`}`,
    effect: (open) => {
      open.commands.delete(textIn(data, "command") ?? "");
      if (outcome === "refused" || outcome === "failed") open.outcome = outcome;
      else if (open.outcome === "not-moved" && outcome === "done") open.outcome = "done";
    },
  };
}

function operationStep(entry: JournalEntry, kind: "acquire" | "release"): Step {
  const operation = numberIn(entry.data, "operation") ?? -1;
  const group = entry.group ?? "a group";
  return {
    kind,
    text: `${kind === "acquire" ? "start" : "stop"} ${group} here`,
    cause: "move",
    subject: group,
    effect: (open) => {
      open.decisionAwaited = false;
      open.operations.set(operation, { kind, sinceMs: entry.monotonicMs });
    },
  };
}

function operationDoneStep(entry: JournalEntry, open: OpenIncident | undefined): Step {
  const operation = numberIn(entry.data, "operation") ?? -1;
  const begun = open?.operations.get(operation);
  const tookMs = begun === undefined ? {} : { tookMs: round(entry.monotonicMs - begun.sinceMs) };
  const group = entry.group ?? "a group";
  const outcome = fieldOf(entry.data, "outcome");
  if (textIn(outcome, "result") !== "done") {
    const resource = textIn(outcome, "resource") ?? "a resource";
    return {
      kind: "operationFailed",
      text: `${group} failed at ${resource}: ${textIn(outcome, "detail") ?? "no detail"}`,
      ...tookMs,
      effect: (incident) => {
        incident.operations.delete(operation);
        incident.outcome = "failed";
        incident.decisionAwaited = true;
      },
    };
  }
  const released = begun?.kind === "release";
  return {
    kind: released ? "stopped" : "running",
    text: released ? `${group} stopped here` : `${group} runs here`,
    ...tookMs,
    effect: (incident) => {
      incident.operations.delete(operation);
      incident.movedGroups.add(group);
      // A group that failed and was then stopped did not move: it failed.
      if (!released) incident.outcome = "moved-here";
      else if (incident.outcome !== "failed") incident.outcome = "moved-away";
    },
  };
}

/** A local restart is an incident of its own: clients noticed it, and nobody else decided it. */
function restartStep({ reason, data, group }: JournalEntry): Step | undefined {
  if (reason !== "BTN-RESOURCE-RESTART") return undefined;
  const resource = textIn(data, "resource") ?? "a resource";
  return {
    kind: "resourceFailed",
    text: `${resource}: ${textIn(data, "detail") ?? "restarted here"}`,
    cause: "resource",
    subject: group === null ? resource : `${group}/${resource}`,
    effect: (open) => {
      if (open.outcome === "not-moved") open.outcome = "recovered";
    },
  };
}

/** `opened` and `closed`: a server was let write, or was made read-only. */
const resourcePhases = {
  started: "resourceStarted",
  stopped: "resourceStopped",
  opened: "resourceOpened",
  closed: "resourceClosed",
} as const;
type ResourceEnd = keyof typeof resourcePhases;

function resourceStep(entry: JournalEntry, done: ResourceEnd): Step {
  const { data } = entry;
  const resource = textIn(data, "resource") ?? "a resource";
  const failed = fieldOf(data, "ok") === false;
  const detail = textIn(data, "detail") ?? "";
  const address = textIn(data, "kind") === "address" && done === "started" && !failed;
  const outcome = failed ? `not ${done}: ${detail}` : address ? "is up" : done;
  const tookMs = numberIn(data, "tookMs");
  return {
    kind: address ? "address" : resourcePhases[done],
    text: `${resource} ${outcome}`,
    ...(tookMs === undefined ? {} : { tookMs: round(tookMs) }),
  };
}

function commandText(command: unknown): string {
  const words = [textIn(command, "verb") ?? "?"];
  const group = textIn(command, "group");
  const to = textIn(command, "to");
  const scope = textIn(command, "scope");
  if (group !== undefined) words.push(group);
  if (scope !== undefined) words.push(scope);
  if (to !== undefined) words.push(`to ${to}`);
  if (fieldOf(command, "peerIsDead") === true) words.push("peer is dead");
  return words.join(" ");
}

function stalledText(entry: JournalEntry): string {
  const gapMs = numberIn(entry.data, "gapMs");
  return `this host was not run for ${gapMs === undefined ? "a while" : `${Math.round(gapMs)} ms`}`;
}

function fieldOf(data: unknown, key: string): unknown {
  if (typeof data !== "object" || data === null || !Object.hasOwn(data, key)) return undefined;
  return (data as Readonly<Record<string, unknown>>)[key];
}

function textIn(data: unknown, key: string): string | undefined {
  const value = fieldOf(data, key);
  return typeof value === "string" ? value : undefined;
}

function numberIn(data: unknown, key: string): number | undefined {
  const value = fieldOf(data, key);
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** A tenth of a millisecond is enough for people, and stable in tests. */
function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
