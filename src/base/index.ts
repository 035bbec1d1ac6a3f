export { AssertionFailure, assert, unreachable } from "./assert.ts";
export { BatonError, type ErrorParts, formatPlace, type SourcePlace } from "./errors.ts";
export { Prng } from "./prng.ts";
export type { ReasonCatalogue, ReasonText } from "./reasons.ts";
export { fail, ok, type Result } from "./result.ts";
export { after, type Clock, earliest, type Instant, instant } from "./time.ts";
