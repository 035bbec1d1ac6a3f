import { BatonError, fail, instant, ok, type Result } from "../base/index.ts";
import type { BeatRequest } from "./contract.ts";

/** Takes apart what came over the beat socket. Unknown members are ignored: the agent may be newer. */
export function parseBeatRequest(value: unknown): Result<BeatRequest> {
  if (!isRecord(value)) return refuse("it is not an object");
  const { kind } = value;
  switch (kind) {
    case "alive": {
      const { asked } = value;
      if (asked === undefined || asked === null) return ok({ kind });
      if (typeof asked !== "number" || !Number.isFinite(asked)) {
        return refuse("its asked is not an instant");
      }
      return ok({ kind, asked: instant(asked) });
    }
    case "rejoin":
    case "rereadKeys":
    case "end":
      return ok({ kind });
    case "announce": {
      const { status, deadtimeMs } = value;
      if (status !== "up" && status !== "active")
        return refuse('its status is not "up" or "active"');
      if (typeof deadtimeMs !== "number" || !Number.isSafeInteger(deadtimeMs) || deadtimeMs <= 0) {
        return refuse("its deadtimeMs is not a number of milliseconds above 0");
      }
      return ok({ kind, status, deadtimeMs });
    }
    case "send": {
      const { fields } = value;
      if (!isRecord(fields)) return refuse("its fields are not an object");
      const entries = Object.entries(fields);
      const texts = entries.filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      );
      if (texts.length < entries.length) return refuse("one of its fields is not text");
      if (!("t" in fields)) return refuse("its fields have no type t");
      return ok({ kind, fields: Object.fromEntries(texts) });
    }
    default:
      return refuse(`its kind ${JSON.stringify(kind)} is not known`);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(why: string): Result<never> {
  return fail(
    new BatonError({
      code: "BTN-BEAT-REQUEST",
      message: `Cannot serve this request of the beat process: ${why}`,
      consequence: "Nothing was sent",
      fix: "Run the same version of Baton for the agent and the beat process",
    }),
  );
}
