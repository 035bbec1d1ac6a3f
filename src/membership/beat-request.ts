import { BatonError, fail, instant, ok, type Result } from "../base/index.ts";
import type { BeatRequest, KeySources } from "./contract.ts";

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
    case "end":
      return ok({ kind });
    case "rereadKeys": {
      const { keys } = value;
      if (keys === undefined) return ok({ kind });
      return isKeySources(keys) ? ok({ kind, keys }) : refuse("its keys are not where keys are");
    }
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

const methods: ReadonlySet<unknown> = new Set(["crc", "md5", "sha1", "sha256"]);

/** Whether a secret can be read is found out by reading it. */
function isKeySources(value: unknown): value is KeySources {
  if (!isRecord(value) || typeof value["clusterId"] !== "string") return false;
  const { auth } = value;
  if (!isRecord(auth) || typeof auth["sendIndex"] !== "number") return false;
  if (auth["mode"] !== "classic" && auth["mode"] !== "sha256") return false;
  const { keys } = auth;
  return Array.isArray(keys) && keys.every(isKey);
}

function isKey(value: unknown): boolean {
  if (!isRecord(value) || typeof value["index"] !== "number") return false;
  const { secret } = value;
  return methods.has(value["method"]) && (secret === undefined || isRecord(secret));
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
