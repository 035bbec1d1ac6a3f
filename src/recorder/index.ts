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
} from "./journal.shell.ts";
export { type BadLine, decodeLine, decodeSegment, encodeEntry } from "./journal-format.ts";
export { recorderReasons } from "./reasons.ts";
