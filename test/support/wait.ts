import { setTimeout as sleep } from "node:timers/promises";

/** Waits until `condition` gives a value that is not undefined or false; fails with `what` after `limitMs`. */
export async function waitFor<Value>(
  what: string,
  condition: () => Promise<Value | undefined | false> | Value | undefined | false,
  limitMs: number,
  explain: () => string = () => "",
): Promise<Value> {
  const until = process.hrtime.bigint() + BigInt(Math.round(limitMs * 1e6));
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (process.hrtime.bigint() > until) {
      throw new Error(`Not within ${limitMs} ms: ${what}\n${explain()}`);
    }
    await sleep(50);
  }
}
