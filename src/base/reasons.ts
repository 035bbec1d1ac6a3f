/** What `baton explain CODE` says of one reason code. */
export interface ReasonText {
  /** What was done, or not done: one sentence. */
  readonly title: string;
  /** Why Baton does so, and what it means for the service. */
  readonly meaning: string;
  /** What a person can do; "Nothing" where nothing is to be done. */
  readonly action: string;
}

/**
 * The reason codes of one room. Each room keeps its own in `reasons.ts`, so that the compiler
 * checks every code that a core returns; the recorder joins them for `baton explain`.
 */
export type ReasonCatalogue = Readonly<Record<`BTN-${string}`, ReasonText>>;
