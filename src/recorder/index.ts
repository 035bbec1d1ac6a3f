export { type Beat, BeatsRing, beatsKeptMs } from "./beats-ring.ts";
export type { JournalEntry, JournalInput } from "./entry.ts";
export { entryOf, type Loggable } from "./entry-of.ts";
export { type ExplainedReason, ReasonIndex } from "./explain.ts";
export { type BadLine, decodeLine, decodeSegment, encodeEntry } from "./journal-format.ts";
export { recorderReasons } from "./reasons.ts";
export {
  findIncident,
  type Incident,
  type IncidentCause,
  type IncidentOutcome,
  incidentsOf,
  type Phase,
  type PhaseKind,
  Timeline,
} from "./timeline.ts";
