export { type Beat, BeatsRing, beatsKeptMs } from "./beats-ring.ts";
export type { JournalEntry } from "./entry.ts";
export { type ExplainedReason, ReasonIndex } from "./explain.ts";
export {
  Journal,
  type JournalCounts,
  type JournalInput,
  type JournalOptions,
  type JournalState,
  readJournal,
  // biome-ignore lint/style/noRestrictedImports: no core, but the list of what this room offers.
} from "./journal.shell.ts";
export { type BadLine, decodeLine, decodeSegment, encodeEntry } from "./journal-format.ts";
export { recorderReasons } from "./reasons.ts";
