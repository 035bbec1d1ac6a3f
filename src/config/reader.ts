/**
 * Reads one map of cluster.yaml key by key: each read checks the value and remembers the key, and
 * `finish` refuses the keys that nobody asked for, with the nearest known one.
 */
import { canonicalAddress, isMulticast, isUnusable } from "./addresses.ts";
import { parseDuration } from "./durations.ts";
import { didYouMean, type FindingText, quote, type Report } from "./findings.ts";
import type { ConfigReason } from "./reasons.ts";
import { nearest } from "./suggest.ts";
import type { ListTree, MapTree, Tree } from "./yaml-tree.ts";

const ignored = "the file is refused, because the setting would not be in force";

/** File, report: what every reader of one file shares. */
export interface Source {
  readonly file: string;
  readonly report: Report;
}

/** Reads one mapping of cluster.yaml key by key; what nobody asked for is an unknown key. */
export class MapReader {
  readonly path: string;
  readonly line: number;
  readonly source: Source;
  readonly #tree: MapTree;
  readonly #known = new Set<string>();

  constructor(tree: MapTree, path: string, source: Source) {
    this.#tree = tree;
    this.path = path;
    this.line = tree.line;
    this.source = source;
  }

  /** A reader of `tree`, if it is a map; else reports and gives an empty one. */
  static of(tree: Tree | undefined, path: string, line: number, source: Source): MapReader {
    if (tree?.kind === "map") return new MapReader(tree, path, source);
    if (tree !== undefined && !isEmpty(tree)) {
      source.report.error(source.file, tree.line, "BTN-CONFIG-VALUE", {
        message: `${path === "" ? "The file" : path} must be a map of keys and values`,
        consequence: ignored,
        fix: "write `key: value` lines, indented below it",
      });
    }
    return new MapReader({ kind: "map", line, entries: new Map() }, path, source);
  }

  has(key: string): boolean {
    return this.#tree.entries.has(key);
  }

  /** All keys as written, for maps whose keys are names. */
  keys(): readonly string[] {
    return [...this.#tree.entries.keys()];
  }

  lineOf(key: string): number {
    return this.#tree.entries.get(key)?.line ?? this.line;
  }

  /** The raw value; counts as read. */
  tree(key: string): Tree | undefined {
    this.#known.add(key);
    return this.#tree.entries.get(key)?.value;
  }

  child(key: string): MapReader {
    return MapReader.of(this.tree(key), this.#name(key), this.lineOf(key), this.source);
  }

  list(key: string): ListTree["items"] {
    const tree = this.tree(key);
    if (tree === undefined || isEmpty(tree)) return [];
    if (tree.kind === "list") return tree.items;
    this.wrong(key, "must be a list", `write one line per item, each beginning with "- "`);
    return [];
  }

  /** Plain text; numbers count as text. Undefined if absent or refused. */
  text(
    key: string,
    pattern?: { readonly form: RegExp; readonly hint: string },
  ): string | undefined {
    const tree = this.tree(key);
    if (tree === undefined) return undefined;
    if (tree.kind !== "scalar" || tree.value === null || tree.source.trim() === "") {
      this.wrong(key, "must be text and not empty", `write \`${key}: value\`, or remove the key`);
      return undefined;
    }
    if (tree.source.length > 4_096) {
      this.wrong(key, "is longer than 4096 characters", "shorten it");
      return undefined;
    }
    if (pattern !== undefined && !pattern.form.test(tree.source)) {
      this.wrong(key, `can not be ${quote(tree.source)}`, pattern.hint);
      return undefined;
    }
    return tree.source;
  }

  required(key: string, value: string | undefined, example: string): string {
    if (value === undefined && !this.has(key)) {
      this.problem("BTN-CONFIG-MISSING", this.line, {
        message: `${this.#name(key)} is missing`,
        consequence: "there is no safe default for it, so the file is refused",
        fix: `add \`${key}: ${example}\``,
      });
    }
    return value ?? "";
  }

  choice<Choice extends string>(key: string, choices: readonly Choice[]): Choice | undefined {
    const written = this.text(key);
    if (written === undefined) return undefined;
    const found = choices.find((choice) => choice === written);
    if (found !== undefined) return found;
    const suggestion = didYouMean(nearest(written, choices));
    this.wrong(
      key,
      `can not be ${quote(written)}${suggestion}`,
      `write one of ${choices.join(", ")}`,
    );
    return undefined;
  }

  flag(key: string): boolean | undefined {
    const written = this.text(key)?.toLowerCase();
    if (written === undefined) return undefined;
    if (["true", "yes", "on"].includes(written)) return true;
    if (["false", "no", "off"].includes(written)) return false;
    this.wrong(key, `can not be ${quote(written)}`, "write true or false");
    return undefined;
  }

  integer(key: string, min: number, max: number): number | undefined {
    const written = this.text(key);
    if (written === undefined) return undefined;
    const value = /^[0-9]{1,10}$/u.test(written) ? Number(written) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.wrong(key, `can not be ${quote(written)}`, `write a whole number from ${min} to ${max}`);
    return undefined;
  }

  /** Milliseconds, at least `minMs`. */
  duration(key: string, minMs = 1): number | undefined {
    const written = this.text(key);
    if (written === undefined) return undefined;
    const reading = parseDuration(written);
    if (reading.ok && reading.ms >= minMs) return reading.ms;
    this.problem("BTN-CONFIG-DURATION", this.lineOf(key), {
      message: `${this.#name(key)} can not be ${quote(written)}: ${reading.ok ? `it is below ${minMs}ms` : reading.problem}`,
      consequence: ignored,
      fix: reading.ok ? `write at least ${minMs}ms` : reading.fix,
    });
    return undefined;
  }

  /** An absolute path without blanks at the ends, `..` or control characters. */
  absolutePath(key: string): string | undefined {
    return this.text(key, {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      form: /^\/(?!.*(?:^|\/)\.\.(?:\/|$))[^\u0000-\u001f\u007f]*$/u,
      hint: "write an absolute path, beginning with /, without ..",
    });
  }

  /** A unicast address; `multicast`: a group's address. */
  address(key: string, kind: "unicast" | "multicast" = "unicast"): string | undefined {
    const written = this.text(key);
    if (written === undefined) return undefined;
    const problem = addressProblem(written, kind);
    if (problem === undefined) return written;
    this.wrong(
      key,
      `can not be ${quote(written)}: ${problem}`,
      "write an IPv4 or IPv6 address, such as 192.168.0.222",
    );
    return undefined;
  }

  texts(key: string): readonly string[] {
    return this.list(key).flatMap((item) => {
      if (item.kind === "scalar" && item.value !== null) return [item.source];
      this.problem("BTN-CONFIG-VALUE", item.line, {
        message: `${this.#name(key)} holds an item that is not text`,
        consequence: ignored,
        fix: "write plain words; quote those with special characters",
      });
      return [];
    });
  }

  /** Text by name, for environments and parameters. */
  table(key: string): Readonly<Record<string, string>> {
    const child = this.child(key);
    const table: Record<string, string> = {};
    for (const name of child.keys()) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/u.test(name)) {
        child.wrong(name, "is not a usable name", "use letters, digits and _");
        continue;
      }
      // An empty value is a value here: `NAME: ""`.
      const tree = child.tree(name);
      const value = tree?.kind === "scalar" && tree.value === "" ? "" : child.text(name);
      if (value !== undefined) table[name] = value;
    }
    return table;
  }

  /** Reports `<path.key> <what>`. */
  wrong(key: string, what: string, fix: string): void {
    const message = `${this.#name(key)} ${what}`;
    this.problem("BTN-CONFIG-VALUE", this.lineOf(key), { message, consequence: ignored, fix });
  }

  problem(code: ConfigReason, line: number, text: FindingText): void {
    this.source.report.error(this.source.file, line, code, text);
  }

  advise(code: ConfigReason, line: number, text: FindingText): void {
    this.source.report.advice(this.source.file, line, code, text);
  }

  /** Refuses the keys that were not read. `also`: keys that are known but were not asked for. */
  finish(also: readonly string[] = []): void {
    const known = [...this.#known, ...also];
    for (const [key, { line }] of this.#tree.entries) {
      if (known.includes(key)) continue;
      const free = known.filter((name) => !this.#tree.entries.has(name));
      const suggestion = this.source.report.full
        ? undefined
        : (nearest(key, free) ?? nearest(key, known));
      this.problem("BTN-CONFIG-UNKNOWN-KEY", line, {
        message: `Unknown key ${quote(key)}${this.path === "" ? "" : ` in ${this.path}`}${didYouMean(suggestion)}`,
        consequence: ignored,
        fix:
          suggestion === undefined
            ? `remove it; known here: ${known.join(", ")}`
            : `write ${suggestion}`,
      });
    }
  }

  #name(key: string): string {
    const shown = key.length > 60 ? `${key.slice(0, 57)}...` : key;
    return this.path === "" ? shown : `${this.path}.${shown}`;
  }
}

/** Why `text` can not be such an address; undefined if it can. */
export function addressProblem(text: string, kind: "unicast" | "multicast"): string | undefined {
  if (canonicalAddress(text) === undefined) return "it is not an IP address";
  if (kind === "multicast") return isMulticast(text) ? undefined : "it is not a multicast address";
  return isUnusable(text) ? "no host can hold it" : undefined;
}

function isEmpty(tree: Tree): boolean {
  return tree.kind === "scalar" && tree.value === null;
}
