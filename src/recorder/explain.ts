/** Finds reason codes among the catalogues of all rooms, for `baton explain`. Pure. */
import type { ReasonCatalogue, ReasonText } from "../base/index.ts";

export interface ExplainedReason extends ReasonText {
  readonly code: string;
}

/** Most suggestions for a code that does not exist. */
const suggestionsMax = 3;
/** Similarity (0 .. 1) below which a suggestion would only confuse. */
const similarityMin = 0.35;

/** The reason codes of several rooms together. */
export class ReasonIndex {
  readonly #reasons = new Map<string, ExplainedReason>();
  /** Codes that two catalogues explain differently: a mistake of ours, found by a test. */
  readonly collisions: readonly string[];

  constructor(catalogues: readonly ReasonCatalogue[]) {
    const collisions: string[] = [];
    for (const [code, text] of catalogues.flatMap((catalogue) => Object.entries(catalogue))) {
      const known = this.#reasons.get(code);
      if (known !== undefined && known.title !== text.title) collisions.push(code);
      this.#reasons.set(code, { code, ...text });
    }
    this.collisions = collisions;
  }

  /** All codes, sorted. */
  get codes(): readonly string[] {
    return [...this.#reasons.keys()].sort();
  }

  /** The text of a code; case does not matter and `BTN-` may be left out. */
  find(word: string): ExplainedReason | undefined {
    const code = canonical(word);
    return this.#reasons.get(code) ?? this.#reasons.get(`BTN-${code}`);
  }

  /** Codes that were probably meant, the likeliest first; at most three. */
  suggest(word: string): readonly string[] {
    const wanted = pairs(canonical(word));
    return this.codes
      .map((code) => ({ code, similarity: similarity(wanted, pairs(code)) }))
      .filter((candidate) => candidate.similarity >= similarityMin)
      .sort((left, right) => right.similarity - left.similarity)
      .slice(0, suggestionsMax)
      .map((candidate) => candidate.code);
  }
}

function canonical(word: string): string {
  return word.trim().toUpperCase().replaceAll("_", "-").slice(0, 256);
}

/** The set of neighbouring letters, without the prefix that all codes share. */
function pairs(code: string): ReadonlySet<string> {
  const text = code.startsWith("BTN-") ? code.slice(4) : code;
  const found = new Set<string>();
  for (let index = 0; index + 1 < text.length; index++) found.add(text.slice(index, index + 2));
  return found;
}

/** Dice's coefficient of two sets: forgiving of swapped words, which distance is not. */
function similarity(left: ReadonlySet<string>, right: ReadonlySet<string>): number {
  if (left.size + right.size === 0) return 0;
  let shared = 0;
  for (const pair of left) if (right.has(pair)) shared++;
  return (2 * shared) / (left.size + right.size);
}
