/** The planted bugs, one for each invariant that the checkers guard. */
import type { Mutant } from "./mutants.ts";

export const mutants: readonly Mutant[] = [];
