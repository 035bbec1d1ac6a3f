/** One line of the journal (DESIGN 7.10), before checksum and frame. */
export interface JournalEntry {
  /** Version of this form. */
  readonly v: 1;
  readonly host: string;
  readonly bootId: string;
  /** CLOCK_MONOTONIC of that boot, milliseconds. */
  readonly monotonicMs: number;
  /** For people: ISO 8601 with milliseconds, UTC. */
  readonly wall: string;
  /** What kind of thing this is. */
  readonly kind: "input" | "decision" | "effect" | "result" | "note";
  /** Which core or shell it belongs to. */
  readonly room:
    | "membership"
    | "failover"
    | "resources"
    | "agent"
    | "beat"
    | "disk"
    | "config"
    | "cli";
  /** Name within the room, such as `verdict`, `acquire`, `operationDone`. */
  readonly name: string;
  readonly reason: string | null;
  readonly group: string | null;
  readonly peer: string | null;
  /** The event, effect or result as it was, as plain JSON. */
  readonly data: unknown;
}

/** What a writer gives; the journal adds version, host, boot and times. Absent fields are null. */
export type JournalInput = Pick<JournalEntry, "kind" | "room" | "name"> &
  Partial<Pick<JournalEntry, "reason" | "group" | "peer" | "data">>;
