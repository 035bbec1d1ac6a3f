/** An incident as lines for a terminal. Pure. */
import type { Incident, IncidentOutcome, Phase, PhaseKind } from "../recorder/index.ts";
import { columns, duration, harmless, type Look, type Paint } from "./output.ts";

const outcomes: Readonly<Record<IncidentOutcome, { readonly text: string; readonly look: Look }>> =
  {
    "moved-here": { text: "runs here", look: "good" },
    "moved-away": { text: "stopped here", look: "good" },
    done: { text: "done", look: "good" },
    "not-moved": { text: "nothing moved", look: "warning" },
    recovered: { text: "recovered by itself", look: "good" },
    refused: { text: "refused", look: "bad" },
    failed: { text: "failed", look: "bad" },
    interrupted: { text: "interrupted: the agent or the host restarted", look: "bad" },
    open: { text: "still under way", look: "warning" },
  };

const looks: Partial<Record<PhaseKind, Look>> = {
  dead: "bad",
  late: "warning",
  resourceFailed: "bad",
  operationFailed: "bad",
  stalled: "warning",
  running: "good",
  address: "good",
};

/** Most phases printed; `--json` has them all. */
const linesMax = 60;

/**
 * One incident in full: a heading, a line per phase, the sum.
 * @param titleOf the title of a reason code, for a phase that has no words of its own
 */
export function incidentLines(
  incident: Incident,
  paint: Paint,
  titleOf: (code: string) => string | undefined = () => undefined,
): readonly string[] {
  const { phases } = incident;
  const shown = phases.slice(0, linesMax);
  const rows = shown.map((phase, index) => phaseRow(phase, shown[index - 1], titleOf));
  const table = columns([["at ms", "+ms", "took ms", "what", "why"].map(alignHead), ...rows]);
  const [head = "", ...lines] = table;
  const omitted = phases.length - shown.length + incident.phasesOmitted;
  return [
    heading(incident, paint),
    "",
    paint("faint", head),
    ...lines.map((line, index) => paintPhase(line, shown[index], paint)),
    ...(omitted === 0 ? [] : [`... ${omitted} more phases`]),
    "",
    summary(incident, paint),
  ];
}

/** One line per incident, oldest first. */
export function incidentList(incidents: readonly Incident[], paint: Paint): readonly string[] {
  if (incidents.length === 0) return ["Nothing happened as far as this journal reaches."];
  const rows = incidents.map((incident) => [
    incident.id,
    causeText(incident),
    incident.groups.join(",") || "-",
    outcomes[incident.outcome].text,
    `${Math.round(incident.durationMs)} ms`,
    incident.reason ?? "",
  ]);
  const [head = "", ...lines] = columns([["id", "cause", "groups", "end", "took", "why"], ...rows]);
  return [paint("faint", head), ...lines];
}

function heading(incident: Incident, paint: Paint): string {
  const what = `${incident.host}: ${causeText(incident)}`;
  return `${paint("strong", what)}  ${incident.wall}  (incident ${incident.id})`;
}

function summary(incident: Incident, paint: Paint): string {
  const { text, look } = outcomes[incident.outcome];
  const groups = incident.groups.length === 0 ? "" : `${incident.groups.join(", ")}: `;
  const why = incident.reason === null ? "" : ` [${incident.reason}]`;
  return `${groups}${paint(look, text)} after ${duration(incident.durationMs)}${why}`;
}

function causeText({ cause, subject }: Incident): string {
  const name = harmless(subject);
  switch (cause) {
    case "command":
      return `command ${name}`;
    case "resource":
      return `${name} failed`;
    case "move":
      return `${name} moved`;
    case "left":
      return `${name} said goodbye`;
    default:
      return `${name} ${cause}`;
  }
}

const numberWidth = 8;

function alignHead(title: string, index: number): string {
  return index < 3 ? title.padStart(numberWidth) : title;
}

function phaseRow(
  phase: Phase,
  before: Phase | undefined,
  titleOf: (code: string) => string | undefined,
): readonly string[] {
  const step = before === undefined ? "" : milliseconds(phase.atMs - before.atMs);
  const took = phase.tookMs === null ? "" : milliseconds(phase.tookMs);
  const numbers = [milliseconds(phase.atMs), step, took].map((text) => text.padStart(numberWidth));
  const text = phase.text === phase.reason ? (titleOf(phase.text) ?? phase.text) : phase.text;
  return [...numbers, harmless(text), phase.reason ?? ""];
}

function paintPhase(line: string, phase: Phase | undefined, paint: Paint): string {
  const look = phase === undefined ? undefined : looks[phase.kind];
  return look === undefined ? line : paint(look, line);
}

function milliseconds(ms: number): string {
  return ms.toFixed(1);
}
