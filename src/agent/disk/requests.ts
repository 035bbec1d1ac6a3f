/** What comes over the socket of a disk process, checked: bad input is refused, changes nothing. */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import type { DiskCommand, DiskRequest, FenceResult } from "../../replication/index.ts";

type Fields = Readonly<Record<string, unknown>>;
const TEXT_MAX = 1_024;

/** Reads one request. Error: BTN-DISK-BAD-REQUEST. */
export function parseDiskRequest(verb: string, args: unknown): Result<DiskRequest> {
  const fields = fieldsOf(args);
  switch (verb) {
    case "state":
      return ok({ verb });
    case "command": {
      const command = parseCommand(fieldsOf(fields["command"]));
      return command === undefined
        ? refuse(`Cannot use this command: ${shown(args)}`)
        : ok({ verb, command });
    }
    case "fenced": {
      const { attempt, detail } = fields;
      const result = fenceResult(fields["result"]);
      if (!isCount(attempt) || result === undefined) return refuse(`Cannot use ${shown(args)}`);
      const text = typeof detail === "string" ? detail.slice(0, TEXT_MAX) : "";
      return ok({ verb, attempt, result, detail: text });
    }
    case "epoch": {
      const { clusterId, epoch } = fields;
      if (typeof clusterId !== "string" || clusterId.length > 256 || !isCount(epoch)) {
        return refuse(`Cannot use ${shown(args)}`);
      }
      return ok({ verb, clusterId, epoch });
    }
    default:
      return refuse(
        `Cannot do "${verb}": the process of a disk knows state, command, fenced, epoch`,
      );
  }
}

function parseCommand(fields: Fields): DiskCommand | undefined {
  const flag = (name: string): boolean => fields[name] === true;
  const { verb } = fields;
  switch (verb) {
    case "detach":
    case "disconnect":
    case "primary":
      return { verb, force: flag("force") };
    case "connect":
      return {
        verb,
        discardMyData: flag("discardMyData"),
        ...(flag("dryRun") ? { dryRun: true } : {}),
      };
    case "verify": {
      const start = optionalCount(fields["start"]);
      const stop = optionalCount(fields["stop"]);
      return start === "bad" || stop === "bad" ? undefined : { verb, start, stop };
    }
    case "new-current-uuid":
      return { verb, clearBitmap: flag("clearBitmap") };
    case "set-resync-rate": {
      const rate = fields["kibPerSecond"];
      return isCount(rate) && rate > 0 ? { verb, kibPerSecond: rate } : undefined;
    }
    case "attach":
    case "secondary":
    case "outdate":
    case "invalidate":
    case "invalidate-remote":
    case "pause-sync":
    case "resume-sync":
    case "suspend-io":
    case "resume-io":
    case "down":
      return { verb };
    default:
      return undefined;
  }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function fenceResult(value: unknown): FenceResult | undefined {
  return ([3, 4, 5, 6, 7, "broken"] as const).find((each) => each === value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function optionalCount(value: unknown): number | undefined | "bad" {
  if (value === undefined || value === null) return undefined;
  return isCount(value) ? value : "bad";
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 200);
}

function refuse(message: string): Result<never> {
  return fail(
    new BatonError({
      code: "BTN-DISK-BAD-REQUEST",
      message,
      consequence: "Nothing was done",
      fix: "Use `baton disk`, which speaks this protocol",
    }),
  );
}
