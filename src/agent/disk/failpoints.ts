/**
 * For crash tests: ends the process, as a power cut would, at a chosen moment. `BATON_FAILPOINT=site:action[:count]`, several
 * with commas; the only action is `kill`: SIGKILL to itself just before the count-th operation of that site.
 */

/** `reply`: an answer to the application. */
export type FailpointSite = "local-write" | "metadata" | "send" | "reply";

const sites: readonly string[] = ["local-write", "metadata", "send", "reply"];

/** Counts the operations of the sites that are armed; the others cost a comparison. */
export class Failpoints {
  readonly #left = new Map<string, number>();
  /** False: nothing is armed. */
  readonly armed: boolean;

  /** @throws {RangeError} if the text has another form: a test that arms nothing would prove nothing */
  constructor(text: string | undefined) {
    for (const point of text === undefined || text === "" ? [] : text.split(",")) {
      const [site = "", action, count = "1", more] = point.split(":");
      const valid = sites.includes(site) && action === "kill" && /^[1-9]\d*$/.test(count);
      if (!valid || more !== undefined) {
        throw new RangeError(`Cannot use "${point}" as BATON_FAILPOINT: site:kill[:count]`);
      }
      this.#left.set(site, Number(count));
    }
    this.armed = this.#left.size > 0;
  }

  /** To be called before each operation of a site. */
  pass(site: FailpointSite): void {
    if (!this.armed) return;
    const left = this.#left.get(site);
    if (left === undefined) return;
    if (left === 1) {
      process.kill(process.pid, "SIGKILL");
      // The signal reaches all threads at once; until then nothing more may happen in this one.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }
    this.#left.set(site, left - 1);
  }
}
