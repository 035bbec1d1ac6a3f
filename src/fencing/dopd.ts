/**
 * The messages and codes of heartbeat's dopd (heartbeat.md 9.4; drbd.md 8.2, 8.3; capture 16-dopd-outdate): one asks,
 * the other outdates its copy and answers.
 *
 *   t=start_outdate  dop_res=<disk>                    dest from_id=dopd to_id=dopd client_gen
 *   t=outdate_rc     dop_res=<disk> dop_value=<code>   dest from_id=dopd to_id=dopd client_gen
 *
 * Baton adds `btnask` to a question and echoes it in the answer, so that an answer belongs to one question. The original
 * takes the field without a word and does not echo it.
 */
import type { MessageFields } from "./contract.ts";

/** What dop_value says, and drbd-peer-outdater exits with. */
export const dopCode = {
  inconsistent: 3,
  outdated: 4,
  unreachable: 5,
  primary: 6,
  failed: 20,
  busy: 21,
} as const;

/** A message of dopd, read. */
export type DopMessage =
  | { readonly kind: "ask"; readonly disk: string; readonly question: string | undefined }
  | {
      readonly kind: "answer";
      readonly disk: string;
      readonly code: number;
      readonly question: string | undefined;
    }
  /** Whether a dopd is here (heartbeat.md 9.2). */
  | { readonly kind: "query"; readonly asker: string };

const addressed = (fields: MessageFields, dest: string): MessageFields => ({
  ...fields,
  dest,
  from_id: "dopd",
  to_id: "dopd",
  client_gen: "1",
});
const marked = (question: string | undefined): MessageFields =>
  question === undefined ? {} : { btnask: question };

/** Asks `dest` to outdate its copy. */
export const askToOutdate = (dest: string, disk: string, question: string): MessageFields =>
  addressed({ t: "start_outdate", dop_res: disk, ...marked(question) }, dest);

/** Answers such a question. */
export const answerOutdate = (
  dest: string,
  disk: string,
  code: number,
  question: string | undefined,
): MessageFields =>
  addressed({ t: "outdate_rc", dop_value: String(code), dop_res: disk, ...marked(question) }, dest);

/** Answers a question whether a dopd is here. */
export const answerQuery = (dest: string, asker: string): MessageFields => ({
  t: "respond-cstatus",
  dest,
  result: "OK",
  cn: "dopd",
  to_id: asker,
  cs: "online",
});

const TEXT_MAX = 128;

/** Reads a heartbeat message; undefined: it is none of dopd's, or not well formed. Never throws. */
export function parseDop(fields: MessageFields): DopMessage | undefined {
  const type = fields["t"];
  if (type === "query-cstatus") {
    return fields["cn"] === "dopd"
      ? { kind: "query", asker: fields["from_id"] ?? "dopd" }
      : undefined;
  }
  if (type !== "start_outdate" && type !== "outdate_rc") return undefined;
  const disk = fields["dop_res"];
  const question = fields["btnask"];
  if (disk === undefined || disk.length > TEXT_MAX || (question?.length ?? 0) > TEXT_MAX)
    return undefined;
  if (type === "start_outdate") return { kind: "ask", disk, question };
  const value = fields["dop_value"] ?? "";
  if (!/^\d{1,3}$/.test(value)) return undefined;
  return { kind: "answer", disk, code: Number(value), question };
}

/** dopd's answer for an exit code of `drbdadm outdate` (drbd.md 8.3). */
export function codeOfOutdateExit(exit: number): number {
  switch (exit) {
    case 0:
      return dopCode.outdated;
    case 5:
      return dopCode.inconsistent;
    case 17:
      return dopCode.primary;
    default:
      return dopCode.failed;
  }
}
