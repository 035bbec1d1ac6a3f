/** Requests that the peer answers by block id: a slot and how often it was used, so that a late answer finds nothing. */

interface Slotted {
  slot: number;
  generation: number;
}

/** The requests that are at the peer, by slot and generation. */
export class Slots<Held extends Slotted> {
  readonly #held: (Held | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];

  take(request: Held): void {
    const slot = this.#free.pop() ?? this.#held.length;
    const generation = ((this.#generations[slot] ?? 0) + 1) & 0x7fff_ffff;
    this.#generations[slot] = generation;
    this.#held[slot] = request;
    request.slot = slot;
    request.generation = generation;
  }

  release(request: Held): void {
    if (request.slot < 0) return;
    this.#held[request.slot] = undefined;
    this.#free.push(request.slot);
    request.slot = -1;
  }

  find(idHigh: number, idLow: number): Held | undefined {
    const held = this.#held[idLow];
    return held !== undefined && held.generation === idHigh ? held : undefined;
  }
}
