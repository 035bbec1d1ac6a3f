/**
 * What is really so in the simulated world, whatever the hosts believe: who runs what, who was heard
 * when, what is on disk. Only the checkers read it; no core does.
 */

/** Lines of the story that are kept. */
const STORY_MAX = 2_000;

export interface Occurrence {
  readonly atMs: number;
  readonly host: string;
  readonly what: string;
}

const nobody: readonly string[] = [];

/** Keeps the account, and the last occurrences for the story of a violation. */
export class Truth {
  readonly #active = new Map<string, readonly string[]>();
  #story: Occurrence[] = [];
  readonly counts = new Map<string, number>();
  #hash = 0x811c_9dc5;

  /** Hosts on which any resource of the group runs, sorted. */
  active(group: string): readonly string[] {
    return this.#active.get(group) ?? nobody;
  }

  setActive(group: string, host: string, active: boolean): void {
    const others = this.active(group).filter((name) => name !== host);
    this.#active.set(group, active ? [...others, host].sort() : others);
  }

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }

  /** Adds a line to the story and to the trace hash; `count` also counts it. */
  tell(atMs: number, host: string, what: string, count?: string): void {
    this.#story.push({ atMs, host, what });
    if (this.#story.length > 2 * STORY_MAX) this.#story = this.#story.slice(-STORY_MAX);
    if (count !== undefined) this.count(count);
    this.mix(atMs);
    for (let index = 0; index < what.length; index++) {
      this.#hash = Math.imul(this.#hash ^ what.charCodeAt(index), 0x0100_0193);
    }
  }

  /** Adds a number to the trace hash. */
  mix(value: number): void {
    const low = Math.trunc((value * 1_000) % 0x1_0000_0000);
    this.#hash = Math.imul(this.#hash ^ low, 0x0100_0193);
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
