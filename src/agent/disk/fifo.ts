/** A queue whose ends both cost little. Bounded by its users. */
export class Fifo<Item> {
  #items: (Item | undefined)[] = [];
  #first = 0;

  get empty(): boolean {
    return this.#first === this.#items.length;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  peek(): Item | undefined {
    return this.#items[this.#first];
  }

  shift(): Item | undefined {
    if (this.empty) return undefined;
    const item = this.#items[this.#first] as Item;
    this.#items[this.#first] = undefined; // what it holds may be large
    this.#first++;
    if (this.#first === this.#items.length) {
      this.#items.length = 0;
      this.#first = 0;
    } else if (this.#first === 1_024) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
