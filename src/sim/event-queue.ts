/** Virtual time: a binary heap on (time, sequence). Equal times keep the order of insertion. */

interface Entry {
  readonly at: number;
  readonly sequence: number;
  run: (() => void) | undefined;
}

/** What happens next, and when, in a simulated world. Times are milliseconds. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #sequence = 0;
  /** The present of the simulated world, in milliseconds. */
  now = 0;

  /** Runs `run` at `at` (not before the present); the returned function cancels it. */
  schedule(at: number, run: () => void): () => void {
    const entry: Entry = { at: Math.max(at, this.now), sequence: this.#sequence++, run };
    this.#heap.push(entry);
    this.#up(this.#heap.length - 1);
    return () => {
      entry.run = undefined;
    };
  }

  /** Runs the next event. @returns false if there is none at or before `until`; then it is `until` */
  advance(until: number): boolean {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.at > until) {
        this.now = Math.max(this.now, until);
        return false;
      }
      this.#pop();
      if (first.run === undefined) continue;
      this.now = first.at;
      first.run();
      return true;
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      let least = index;
      if (this.#before(left, least)) least = left;
      if (this.#before(left + 1, least)) least = left + 1;
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }

  #up(start: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #before(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[one] = b;
    this.#heap[other] = a;
  }
}
