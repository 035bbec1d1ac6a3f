/** What Baton says to a heartbeat 3.0.6 (heartbeat.md 8.1): fields in the order seen on the wire. */
import type { MessageFields, MoveScope } from "./contract.ts";
import type { Holds } from "./state.ts";

/** `rsc_hold` of what is held. */
export function holdWord(hold: Holds): "none" | "local" | "foreign" | "all" {
  if (hold.local && hold.foreign) return "all";
  if (hold.local) return "local";
  return hold.foreign ? "foreign" : "none";
}

/** The classes that a scope names; undefined: not a word of the protocol. */
export function classesOf(word: string | undefined): Holds | undefined {
  switch (word) {
    case "none":
      return { local: false, foreign: false };
    case "all":
      return { local: true, foreign: true };
    case "local":
      return { local: true, foreign: false };
    case "foreign":
    case "failback":
      return { local: false, foreign: true };
    default:
      return undefined;
  }
}

export const resourceFields = (hold: Holds, stable: boolean, info?: string): MessageFields => ({
  t: "resource",
  rsc_hold: holdWord(hold),
  rtype: "full",
  isstable: stable ? "1" : "0",
  ...(info === undefined ? {} : { info }),
});

export const standbyFields = (scope: MoveScope, info: "me" | "other" | "done"): MessageFields => ({
  t: "ask_resources",
  rsc_hold: scope,
  info,
});

export const shutdoneFields: MessageFields = { t: "shutdone", st: "dead" };
