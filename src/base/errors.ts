/** A place in a file that a person wrote. Lines and columns count from 1. */
export interface SourcePlace {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** The parts of a message that a person can act on (DESIGN 3: place, cause, consequence, fix). */
export interface ErrorParts {
  /** Stable reason code, such as `BTN-CONFIG-UNKNOWN-KEY`; `baton explain` knows it. */
  readonly code: string;
  /** What happened: a sentence without a full stop, active, quoting the value. */
  readonly message: string;
  readonly place?: SourcePlace | undefined;
  /** What it means for the service. */
  readonly consequence?: string | undefined;
  /** What to do. */
  readonly fix?: string | undefined;
  readonly cause?: unknown;
}

/** An operating error: expected, with a reason code and a remedy. Bugs are `AssertionFailure`. */
export class BatonError extends Error {
  override readonly name: string = "BatonError";
  readonly code: string;
  readonly place: SourcePlace | undefined;
  readonly consequence: string | undefined;
  readonly fix: string | undefined;

  constructor(parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = parts.code;
    this.place = parts.place;
    this.consequence = parts.consequence;
    this.fix = parts.fix;
  }

  /** One paragraph for a terminal: `file:line: message [CODE]`, then consequence and fix. */
  describe(): string {
    const lines = [`${formatPlace(this.place)}${this.message} [${this.code}]`];
    if (this.consequence !== undefined) lines.push(`  consequence: ${this.consequence}`);
    if (this.fix !== undefined) lines.push(`  fix: ${this.fix}`);
    return lines.join("\n");
  }

  /** The form that crosses a socket or goes into the journal. */
  toJSON(): Omit<ErrorParts, "cause"> {
    return {
      code: this.code,
      message: this.message,
      ...(this.place === undefined ? {} : { place: this.place }),
      ...(this.consequence === undefined ? {} : { consequence: this.consequence }),
      ...(this.fix === undefined ? {} : { fix: this.fix }),
    };
  }
}

/** `file:line:column: `, as far as known; empty without a place. */
export function formatPlace(place: SourcePlace | undefined): string {
  if (place === undefined) return "";
  const line = place.line === undefined ? "" : `:${place.line}`;
  const column = place.line === undefined || place.column === undefined ? "" : `:${place.column}`;
  return `${place.file}${line}${column}: `;
}
