/**
 * What is really so in the simulated world, whatever the hosts believe: who runs what, who was heard
 * when, what is on disk. Only the checkers read it; no core does.
 */

/** One group on one host: which of its resources run, counted from the left. */
export interface Running {
  readonly resources: number;
}

export interface Occurrence {
  readonly atMs: number;
  readonly host: string;
  readonly what: string;
}

/** Keeps the account, and the last occurrences for the story of a violation. */
export class Truth {
  readonly #active = new Map<string, Set<string>>();
  readonly #story: Occurrence[] = [];
  readonly counts = new Map<string, number>();
  #hash = 0x811c_9dc5;

  /** Hosts on which any resource of the group runs. */
  active(group: string): readonly string[] {
    return [...(this.#active.get(group) ?? [])].sort();
  }

  setActive(group: string, host: string, active: boolean): void {
    const hosts = this.#active.get(group) ?? new Set();
    this.#active.set(group, hosts);
    if (active) hosts.add(host);
    else hosts.delete(host);
  }

  /** Adds a line to the story and to the trace hash; `count` also counts it. */
  tell(atMs: number, host: string, what: string, count?: string): void {
    this.#story.push({ atMs, host, what });
    if (this.#story.length > 400) this.#story.shift();
    if (count !== undefined) this.counts.set(count, (this.counts.get(count) ?? 0) + 1);
    const text = `${atMs.toFixed(3)} ${host} ${what}`;
    for (let index = 0; index < text.length; index++) {
      this.#hash = Math.imul(this.#hash ^ text.charCodeAt(index), 0x0100_0193);
    }
  }

  /** The same seed and code give the same hash (S14). */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  story(last: number): readonly string[] {
    return this.#story
      .slice(-last)
      .map(({ atMs, host, what }) => `${atMs.toFixed(1).padStart(10)} ${host.padEnd(7)} ${what}`);
  }
}
