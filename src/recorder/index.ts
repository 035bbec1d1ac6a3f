export { type Beat, BeatsRing, beatsKeptMs } from "./beats-ring.ts";
export type { JournalEntry, JournalInput } from "./entry.ts";
export { entryOf, type Loggable } from "./entry-of.ts";
export { type ExplainedReason, ReasonIndex } from "./explain.ts";
export {
  Journal,
  type JournalCounts,
  type JournalOptions,
  type JournalState,
  readJournal,
  // biome-ignore lint/style/noRestrictedImports: no core, but the list of what this room offers.
} from "./journal.shell.ts";
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
