/** A broken invariant: a bug of ours. The process must not go on deciding (style P6). */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** Crashes unless `condition` holds. For invariants, never for input from outside. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Makes the compiler prove that a union was handled in full. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`Unhandled case ${JSON.stringify(value)}`);
}
