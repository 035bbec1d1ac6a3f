export { AssertionFailure, assert, unreachable } from "./assert.ts";
export { crc32c } from "./crc32c.ts";
export { BatonError, type ErrorParts, formatPlace, type SourcePlace } from "./errors.ts";
export { broadcastOf, canonicalIp, formatIp, type IpBytes, parseIp, samePrefix } from "./ip.ts";
export { Prng } from "./prng.ts";
export type { ReasonCatalogue, ReasonText } from "./reasons.ts";
export { fail, ok, type Result } from "./result.ts";
export { after, type Clock, earliest, type Instant, instant } from "./time.ts";
