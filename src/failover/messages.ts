/**
 * What two Baton hosts tell each other about groups: JSON bodies of `t=baton` messages (DESIGN 7.5).
 * Parsers are total: input of any shape yields a value or undefined, never an exception.
 */
import type { GroupState, MessageFields, MoveScope } from "./contract.ts";

/** How one group stands on the host that sends. */
export interface HeldGroup {
  readonly epoch: number;
  readonly owner: string;
  readonly state: GroupState;
  /** Why its last start there failed; null: it did not, or that was cleared. */
  readonly failed: string | null;
  /** Starts that failed there in a row. */
  readonly tries: number;
}

/** The level announcement: all that a host says of itself, sent whole each time. */
export interface Holdings {
  readonly digest: string;
  /** The question of the sender: the receiver echoes it at once. */
  readonly ask: string | null;
  /** The newest question of the receiver that the sender had seen. */
  readonly echo: string | null;
  readonly stopping: boolean;
  /** Ping nodes that answer there. */
  readonly pings: number;
  readonly groups: Readonly<Record<string, HeldGroup>>;
}

/** Please give me this group; or: forget the failed starts of it. */
export interface GroupRequest {
  readonly id: string;
  readonly action: "give" | "clear";
  readonly group: string;
}

export interface GroupAnswer {
  readonly id: string;
  readonly ok: boolean;
  readonly reason: string;
  readonly detail: string;
}

export type BatonMessage =
  | { readonly kind: "holdings"; readonly holdings: Holdings }
  | { readonly kind: "request"; readonly request: GroupRequest }
  | { readonly kind: "answer"; readonly answer: GroupAnswer }
  /** `critical`: its kind ends in `!`, so it must be understood (R22). */
  | { readonly kind: "unknown"; readonly name: string; readonly critical: boolean }
  | { readonly kind: "malformed"; readonly name: string };

const states: ReadonlySet<string> = new Set<GroupState>([
  "unknown",
  "stopped",
  "starting",
  "running",
  "stopping",
  "failed",
  "blocked",
]);

/** More groups or longer bodies than this come from no host of ours. */
const GROUPS_MAX = 256;
const BODY_CHARACTERS_MAX = 60_000;
const TEXT_CHARACTERS_MAX = 500;

/** A message to a Baton peer as the fields of a heartbeat message; its body is ASCII and bounded. */
export function encodeBaton(
  dest: string,
  message: Extract<BatonMessage, { kind: "holdings" | "request" | "answer" }>,
): MessageFields {
  const fields = (kind: string, body: unknown): MessageFields => ({
    t: "baton",
    dest,
    kind,
    body: JSON.stringify(body),
  });
  switch (message.kind) {
    case "holdings":
      return fields("holdings", message.holdings);
    case "request":
      return fields("request", message.request);
    case "answer":
      return fields("answer", message.answer);
    default:
      return message satisfies never;
  }
}

/** Reads the fields of a `t=baton` message. */
export function parseBaton(fields: MessageFields): BatonMessage {
  const name = fields["kind"] ?? "";
  const body = parseJson(fields["body"]);
  const malformed = { kind: "malformed", name } as const;
  switch (name) {
    case "holdings": {
      const holdings = asHoldings(body);
      return holdings === undefined ? malformed : { kind: "holdings", holdings };
    }
    case "request": {
      const request = asRequest(body);
      return request === undefined ? malformed : { kind: "request", request };
    }
    case "answer": {
      const answer = asAnswer(body);
      return answer === undefined ? malformed : { kind: "answer", answer };
    }
    default:
      return { kind: "unknown", name, critical: name.endsWith("!") };
  }
}

type Plain = Readonly<Record<string, unknown>>;

function parseJson(text: string | undefined): Plain | undefined {
  if (text === undefined || text.length > BODY_CHARACTERS_MAX) return undefined;
  try {
    return asPlain(JSON.parse(text));
  } catch {
    return undefined; // Not JSON: the caller counts it as malformed.
  }
}

function asPlain(value: unknown): Plain | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Plain;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_CHARACTERS_MAX;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);

function asHoldings(body: Plain | undefined): Holdings | undefined {
  if (body === undefined) return undefined;
  const { digest, ask, echo, stopping, pings } = body;
  const listed = asPlain(body["groups"]);
  if (!isText(digest) || !isTextOrNull(ask) || !isTextOrNull(echo)) return undefined;
  if (typeof stopping !== "boolean" || !isCount(pings) || listed === undefined) return undefined;
  const entries = Object.entries(listed);
  if (entries.length > GROUPS_MAX) return undefined;
  const groups: [string, HeldGroup][] = [];
  for (const [name, value] of entries) {
    const held = asHeldGroup(asPlain(value));
    if (held === undefined) return undefined;
    groups.push([name, held]);
  }
  // fromEntries defines own properties, also for a name such as __proto__.
  return { digest, ask, echo, stopping, pings, groups: Object.fromEntries(groups) };
}

function asHeldGroup(value: Plain | undefined): HeldGroup | undefined {
  if (value === undefined) return undefined;
  const { epoch, owner, state, failed, tries } = value;
  if (!isCount(epoch) || !isText(owner) || !isTextOrNull(failed) || !isCount(tries))
    return undefined;
  if (typeof state !== "string" || !states.has(state)) return undefined;
  return { epoch, owner, state: state as GroupState, failed, tries };
}

function asRequest(body: Plain | undefined): GroupRequest | undefined {
  if (body === undefined) return undefined;
  const { id, action, group } = body;
  if (!isText(id) || !isText(group) || (action !== "give" && action !== "clear")) return undefined;
  return { id, action, group };
}

function asAnswer(body: Plain | undefined): GroupAnswer | undefined {
  if (body === undefined) return undefined;
  const { id, ok, reason, detail } = body;
  if (!isText(id) || typeof ok !== "boolean" || !isText(reason) || !isText(detail))
    return undefined;
  return { id, ok, reason, detail };
}

/** `rsc_hold` of heartbeat.md 8.1; undefined: not a scope. */
export function asScope(text: string | undefined): MoveScope | undefined {
  return text === "all" || text === "local" || text === "foreign" || text === "failback"
    ? text
    : undefined;
}

/** The same scope from the other host's point of view; `failback` means foreign (DESIGN 7.8). */
export function mirrored(scope: MoveScope): MoveScope {
  if (scope === "all") return "all";
  return scope === "local" ? "foreign" : "local";
}
