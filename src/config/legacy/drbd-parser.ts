/**
 * drbd.conf as a tree of statements (drbd.md 9.2): words, then `;` or a block. Includes are followed where they stand;
 * what a statement means is told elsewhere. Total and bounded.
 */
import { quote, type Report } from "../findings.ts";
import type { ClassicFile } from "./classic.ts";
import { lexDrbd, type Token } from "./drbd-lexer.ts";

/** `words` ends where `;` or `{` stood; never empty. */
export interface Statement {
  readonly words: readonly Token[];
  readonly file: string;
  readonly line: number;
  readonly block: readonly Statement[] | undefined;
}

/**
 * Files for an include, in order. `pattern` as written, relative to the directory of `from`; an empty answer means that
 * nothing matched, undefined that a plain name could not be read.
 */
export type IncludeLoader = (pattern: string, from: string) => readonly ClassicFile[] | undefined;

/** drbd.md 9.1. */
const nestingMax = 10;
const filesMax = 256;
/** resource, on, volume, disk: deeper is nothing. */
const depthMax = 8;

/** All top-level statements of a file and of what it includes. */
export function parseDrbd(
  file: ClassicFile,
  load: IncludeLoader,
  report: Report,
): readonly Statement[] {
  return new Parser(load, report).file(file, 1);
}

class Parser {
  readonly #load: IncludeLoader;
  readonly #report: Report;
  readonly #read = new Set<string>();

  constructor(load: IncludeLoader, report: Report) {
    this.#load = load;
    this.#report = report;
  }

  file(file: ClassicFile, nesting: number): readonly Statement[] {
    this.#read.add(file.file);
    const lexed = lexDrbd(file.text, file.file);
    if (!lexed.ok) {
      refuseSyntax(this.#report, file.file, lexed.line, `Parse error: ${lexed.message}`);
      return [];
    }
    const statements: Statement[] = [];
    const { tokens } = lexed;
    let at = 0;
    while (at < tokens.length) {
      const first = tokens[at] as Token;
      if (first.kind === "word" && first.text === "skip") {
        const end = this.#skip(tokens, at);
        if (end === undefined) return statements;
        at = end;
        continue;
      }
      const read = this.#statement(tokens, at, 1);
      if (read === undefined) return statements;
      at = read.end;
      if (read.statement.words[0]?.text !== "include" || read.statement.block !== undefined)
        statements.push(read.statement);
      else statements.push(...this.#include(read.statement, nesting));
    }
    return statements;
  }

  /** `skip [words] { anything balanced }`. */
  #skip(tokens: readonly Token[], start: number): number | undefined {
    let at = start + 1;
    while (["word", "string"].includes(tokens[at]?.kind ?? "")) at++;
    if (tokens[at]?.kind !== "{") {
      this.#unexpected(tokens[at] ?? tokens[start], "[ some_text ] {", tokens[at]);
      return undefined;
    }
    let depth = 0;
    for (; at < tokens.length; at++) {
      const kind = tokens[at]?.kind;
      if (kind === "{") depth++;
      if (kind === "}") depth--;
      if (depth === 0) return at + 1;
    }
    this.#unexpected(tokens[start], "}", undefined);
    return undefined;
  }

  #statement(
    tokens: readonly Token[],
    start: number,
    depth: number,
  ): { readonly statement: Statement; readonly end: number } | undefined {
    const first = tokens[start] as Token;
    if (first.kind !== "word" && first.kind !== "string") {
      this.#unexpected(first, "a keyword", first);
      return undefined;
    }
    let at = start;
    while (at < tokens.length && !["{", "}", ";"].includes(tokens[at]?.kind ?? "")) at++;
    const words = tokens.slice(start, at);
    const stop = tokens[at];
    const made = { words, file: first.file, line: first.line };
    if (stop?.kind === ";") return { statement: { ...made, block: undefined }, end: at + 1 };
    if (stop?.kind !== "{") {
      this.#unexpected(stop ?? words.at(-1), ";", stop);
      return undefined;
    }
    if (depth >= depthMax) {
      this.#unexpected(stop, `at most ${depthMax} levels of {`, stop);
      return undefined;
    }
    const block: Statement[] = [];
    at++;
    while (tokens[at]?.kind !== "}") {
      const inner = tokens[at];
      if (inner === undefined) {
        this.#unexpected(tokens.at(-1), "}", undefined);
        return undefined;
      }
      const read = this.#statement(tokens, at, depth + 1);
      if (read === undefined) return undefined;
      block.push(read.statement);
      at = read.end;
    }
    return { statement: { ...made, block }, end: at + 1 };
  }

  #include(statement: Statement, nesting: number): readonly Statement[] {
    const { file, line, words } = statement;
    const pattern = words
      .slice(1)
      .map((word) => word.text)
      .join("");
    if (words.length < 2) {
      refuseSyntax(this.#report, file, line, "Parse error: a file name expected after include");
      return [];
    }
    if (nesting >= nestingMax) {
      refuseSyntax(this.#report, file, line, `Too deep include nesting (${nestingMax})`);
      return [];
    }
    const files = this.#load(pattern, file);
    if (files === undefined) {
      refuseSyntax(this.#report, file, line, `Failed to open include file ${quote(pattern)}.`);
      return [];
    }
    const fresh = files.filter((each) => !this.#read.has(each.file));
    if (this.#read.size + fresh.length > filesMax) {
      refuseSyntax(this.#report, file, line, `More than ${filesMax} files are included`);
      return [];
    }
    return fresh.flatMap((each) => (this.#read.has(each.file) ? [] : this.file(each, nesting + 1)));
  }

  #unexpected(place: Token | undefined, expected: string, got: Token | undefined): void {
    const found = got === undefined ? "the end of the file" : quote(got.text);
    refuseSyntax(
      this.#report,
      place?.file ?? "",
      place?.line,
      `Parse error: '${expected}' expected, but got ${found}`,
    );
  }
}

/** drbdadm ends with 10 here, and nothing of the file is in force. */
export function refuseSyntax(
  report: Report,
  file: string,
  line: number | undefined,
  message: string,
  fix = "correct the line; `drbdadm -d dump` accepts what is right",
): void {
  report.error(file, line, "BTN-IMPORT-DRBD-SYNTAX", {
    message,
    consequence: "nothing of the file is used, as drbdadm would refuse it",
    fix,
  });
}
