export type { JournalEntry } from "./entry.ts";
