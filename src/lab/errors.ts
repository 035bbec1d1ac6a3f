import { BatonError, type ErrorParts } from "../base/index.ts";
import type { labReasons } from "./reasons.ts";

/** Exit codes of the command line (DESIGN 4) that a lab command can end with. */
export type LabExit = 1 | 2 | 4 | 5;

/** An operating error of the lab, with the exit code that its verb ends with. */
export class LabError extends BatonError {
  override readonly name = "LabError";
  readonly exit: LabExit;

  constructor(exit: LabExit, parts: ErrorParts & { readonly code: keyof typeof labReasons }) {
    super(parts);
    this.exit = exit;
  }
}
