/** The table of an import: what became of each directive. Nothing is left out of it. */
import type { ConfigReason } from "../reasons.ts";

export type Outcome = "kept" | "changed" | "replaced" | "refused" | "advice";

/** One directive of a classic file and what became of it. */
export interface ImportRow {
  readonly file: string;
  /** Undefined: the directive is absent and its default is told. */
  readonly line: number | undefined;
  readonly directive: string;
  /** As written, without comment, with secrets masked. */
  readonly text: string;
  readonly outcome: Outcome;
  readonly reason: string;
}

/** What reading one value came to. */
export interface Verdict {
  readonly outcome: Outcome;
  readonly reason: string;
  /** The start is refused: the original refuses the line too, or leaving it out would endanger data. */
  readonly error?: boolean;
  /** What to do; required with `error`, and makes `changed` and `refused` a line of advice. */
  readonly fix?: string;
  /** Reason code, where the usual one of the outcome does not fit. */
  readonly code?: ConfigReason;
  /** Consequence, where the usual one does not fit. */
  readonly consequence?: string;
}

const gravity: readonly Outcome[] = ["kept", "replaced", "changed", "advice", "refused"];

/** One verdict for a line that holds several values: the gravest outcome, each reason once. */
export function joinVerdicts(verdicts: readonly Verdict[]): Verdict {
  const gravest = verdicts.reduce<Verdict | undefined>((worst, verdict) => {
    if (worst === undefined) return verdict;
    const heavier =
      Number(verdict.error ?? false) - Number(worst.error ?? false) ||
      gravity.indexOf(verdict.outcome) - gravity.indexOf(worst.outcome);
    return heavier > 0 ? verdict : worst;
  }, undefined);
  if (gravest === undefined) return { outcome: "kept", reason: "" };
  const reasons = new Set(
    verdicts
      .filter((each) => each.outcome === gravest.outcome && each.error === gravest.error)
      .map((each) => each.reason),
  );
  return { ...gravest, reason: [...reasons].slice(0, 4).join("; ") };
}

export const kept = (reason: string): Verdict => ({ outcome: "kept", reason });
export const changed = (reason: string): Verdict => ({ outcome: "changed", reason });
export const replaced = (reason: string): Verdict => ({ outcome: "replaced", reason });
/** Not carried over; the service runs without it, which is worth a line of advice. */
export const refused = (reason: string, fix: string): Verdict => ({
  outcome: "refused",
  reason,
  fix,
});
export const advice = (reason: string, fix: string): Verdict => ({
  outcome: "advice",
  reason,
  fix,
});
/** The original does not start with it. */
export const illegal = (reason: string, fix: string): Verdict => ({
  outcome: "refused",
  reason,
  fix,
  error: true,
});
