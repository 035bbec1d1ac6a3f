import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the simulator. */
export const simReasons = {
  "BTN-SIM-MUTANT-STALE": {
    title: "A planted bug does not fit the code any more",
    meaning: "The line that it changes was itself changed.",
    action: "Bring src/sim/mutant-list.ts up to date with the code.",
  },
  "BTN-SIM-MUTANT-BROKEN": {
    title: "The copy of the sources with a planted bug does not run",
    meaning: "A planted bug must still be a program, or it proves nothing.",
    action: "Mend the entry in src/sim/mutant-list.ts.",
  },
} as const satisfies ReasonCatalogue;
