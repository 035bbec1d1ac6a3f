/**
 * Bounds the lines that refused input can make (reliability 9.2, logs; S13): one per kind and known
 * sender in `refusalIntervalMs`; the others are counted in the next line.
 */
import { after, type Instant } from "../base/index.ts";
import type { RefusalState } from "./transport-state.ts";

export const refusalIntervalMs = 10_000;

/** The text to report now; undefined if this kind was reported lately. `key` must be bounded. */
export function noteRefusal(
  refusals: Record<string, RefusalState>,
  key: string,
  detail: string,
  now: Instant,
): string | undefined {
  const known = refusals[key];
  if (known !== undefined && now < known.nextReportAt) {
    known.suppressed += 1;
    return undefined;
  }
  refusals[key] = { nextReportAt: after(now, refusalIntervalMs), suppressed: 0 };
  const suppressed = known?.suppressed ?? 0;
  return suppressed === 0 ? detail : `${detail} (and ${suppressed} more before)`;
}
