/**
 * What passes through a host's loop, as a journal line (DESIGN 2: every arrow is journalled). Pure.
 * Ticks are no news and beats have their own ring, so neither becomes a line.
 */
import type { JournalEntry, JournalInput } from "./entry.ts";

/** Any event or effect of a core: a kind, and perhaps the fields that lines are indexed by. */
export interface Loggable {
  readonly kind: string;
}

/** Events that come with every beat; the ring keeps them. */
const tooMany: ReadonlySet<string> = new Set([
  "tick",
  "status",
  "linkHeard",
  "pingReply",
  "beatState",
  "awake",
]);

/**
 * The line of one event or effect; undefined if it is none. The name is the `kind` of the value, a
 * `decision` or `note` becomes a line of that kind, and `persist` leaves out what follows it, because
 * that is journalled when it happens.
 */
export function entryOf(
  direction: "input" | "effect",
  room: JournalEntry["room"],
  value: Loggable,
): JournalInput | undefined {
  if (tooMany.has(value.kind)) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  if (value.kind === "beat" && isAlive(fields["request"])) return undefined;
  const { then: _, ...data } = fields;
  return {
    kind: lineKind(direction, value.kind),
    room,
    name: value.kind,
    reason: textOrNull(fields["reason"]),
    group: textOrNull(fields["group"]),
    peer: textOrNull(fields["host"]),
    data,
  };
}

function lineKind(direction: "input" | "effect", name: string): JournalEntry["kind"] {
  if (name === "decision" || name === "note") return name;
  if (name === "operationDone" || name === "commandDone") return "result";
  return direction;
}

/** The sign of life that the agent gives the beat process several times a second. */
function isAlive(request: unknown): boolean {
  return (
    typeof request === "object" &&
    request !== null &&
    (request as Readonly<Record<string, unknown>>)["kind"] === "alive"
  );
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
