/**
 * cluster.yaml as a plain tree with line numbers. The rest of the room does not know the library.
 * Only the plain part of YAML: maps with text keys, lists, scalars; no anchors, aliases, tags or
 * second documents, because each of them makes a file say something other than it seems to.
 * Bounded in size, depth and number of values, so that any input is answered soon (reliability 9.3).
 */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
} from "yaml";
import { printable, quote, type Report } from "./findings.ts";

export const configBytesMax = 1024 * 1024;
const depthMax = 16;
const valuesMax = 50_000;

const opensValue: ReadonlySet<number> = new Set(
  [..."\n,[]{}:-?\"'&*!%"].map((each) => each.charCodeAt(0)),
);

export type Tree = MapTree | ListTree | ScalarTree;
export interface MapTree {
  readonly kind: "map";
  readonly line: number;
  readonly entries: ReadonlyMap<string, { readonly line: number; readonly value: Tree }>;
}
export interface ListTree {
  readonly kind: "list";
  readonly line: number;
  readonly items: readonly Tree[];
}
export interface ScalarTree {
  readonly kind: "scalar";
  readonly line: number;
  readonly value: string | number | boolean | null;
  /** As written, without quotes. */
  readonly source: string;
}

/** The tree of `text`; undefined once `report` holds why not. */
export function readYaml(text: string, file: string, report: Report): Tree | undefined {
  if (!withinLimits(text, file, report)) return undefined;
  const lines = new LineCounter();
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const deep = tooDeep(tokens);
  if (deep !== undefined) {
    limit(report, file, lineAt(deep), `The file is nested deeper than ${depthMax} levels`);
    return undefined;
  }
  const composer = new Composer({
    uniqueKeys: false,
    version: "1.2",
    schema: "core",
    prettyErrors: false,
  });
  const documents = [...composer.compose(tokens, true, text.length)];
  const [document, second] = documents;
  if (document === undefined) return undefined;
  if (second !== undefined) {
    syntax(
      report,
      file,
      lineAt(second.range[0]),
      "The file holds a second YAML document",
      "remove the line `---`",
    );
    return undefined;
  }
  if (!composedWell(document, file, lineAt, report)) return undefined;
  return new Builder(file, lineAt, report).build(document);
}

function withinLimits(text: string, file: string, report: Report): boolean {
  const before = report.refused;
  if (text.length > configBytesMax) {
    limit(report, file, undefined, `The file is larger than ${configBytesMax} bytes`);
    return false;
  }
  const nul = text.indexOf("\0");
  if (nul !== -1) {
    const line = text.slice(0, nul).split("\n").length;
    syntax(
      report,
      file,
      line,
      "The file holds a NUL character",
      "write the file again as plain UTF-8 text",
    );
    return false;
  }
  // Each of these characters can open a value; far more than a cluster needs, cheap to count.
  let values = 0;
  for (let index = 0; index < text.length && values <= valuesMax; index++) {
    if (opensValue.has(text.charCodeAt(index))) values++;
  }
  if (values > valuesMax)
    limit(report, file, undefined, `The file holds more than ${valuesMax} lines and marks`);
  return report.refused === before;
}

/** Offset of the first token nested too deep. Own stack: the input decides the depth. */
function tooDeep(tokens: readonly CST.Token[]): number | undefined {
  const stack: { token: CST.Token | null | undefined; depth: number }[] = [];
  for (const token of tokens) stack.push({ token, depth: 0 });
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { token, depth } = top;
    if (token === null || token === undefined) continue;
    if (depth > depthMax + 1) return token.offset;
    if (token.type === "document") stack.push({ token: token.value, depth });
    if ("items" in token) {
      for (const item of token.items) {
        stack.push({ token: item.key, depth: depth + 1 }, { token: item.value, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

function composedWell(
  document: Document.Parsed,
  file: string,
  lineAt: (offset: number) => number,
  report: Report,
): boolean {
  for (const problem of [...document.errors, ...document.warnings].slice(0, 20)) {
    const told = printable(problem.message.replaceAll(/\s+/gu, " ").replace(/\.$/u, ""), 160);
    syntax(
      report,
      file,
      lineAt(problem.pos[0]),
      `The file is not well-formed YAML: ${told}`,
      "check quotes, brackets, the blank after each colon, and indentation (blanks, no tabs)",
    );
  }
  return document.errors.length === 0 && document.warnings.length === 0;
}

class Builder {
  readonly #file: string;
  readonly #lineAt: (offset: number) => number;
  readonly #report: Report;

  constructor(file: string, lineAt: (offset: number) => number, report: Report) {
    this.#file = file;
    this.#lineAt = lineAt;
    this.#report = report;
  }

  build(document: Document.Parsed): Tree | undefined {
    const tree = this.#tree(document.contents, 1);
    return this.#report.refused ? undefined : tree;
  }

  #tree(node: Node | null, parentLine: number): Tree {
    if (node === null) return { kind: "scalar", line: parentLine, value: null, source: "" };
    const line = node.range?.[0] === undefined ? parentLine : this.#lineAt(node.range[0]);
    if (isAlias(node) || ("anchor" in node && node.anchor !== undefined)) {
      this.#refuse(
        line,
        "The file uses an anchor or alias (& or *)",
        "write the value out at each place, or quote it",
      );
      return { kind: "scalar", line, value: null, source: "" };
    }
    if (node.tag !== undefined && !node.tag.startsWith("tag:yaml.org,2002:")) {
      this.#refuse(line, `The file uses the YAML tag ${quote(node.tag)}`, "remove the tag");
    }
    if (isMap(node)) return this.#map(node.items, line);
    if (isSeq(node)) {
      return {
        kind: "list",
        line,
        items: node.items.map((item) => this.#tree(item as Node | null, line)),
      };
    }
    return this.#scalar(node, line);
  }

  #map(
    items: readonly { readonly key: unknown; readonly value: unknown }[],
    line: number,
  ): MapTree {
    const entries = new Map<string, { line: number; value: Tree }>();
    for (const { key, value } of items) {
      const keyTree = this.#tree(key as Node | null, line);
      if (keyTree.kind !== "scalar" || keyTree.source === "") {
        this.#refuse(keyTree.line, "A key is empty or is not plain text", "write `key: value`");
        continue;
      }
      const earlier = entries.get(keyTree.source);
      if (earlier !== undefined) {
        this.#report.error(this.#file, keyTree.line, "BTN-CONFIG-DUPLICATE-KEY", {
          message: `Key ${quote(keyTree.source)} is there twice, first in line ${earlier.line}`,
          consequence: "which of the two was meant can not be told, so the file is refused",
          fix: "keep one of the two lines",
        });
        continue;
      }
      const child = this.#tree(value as Node | null, keyTree.line);
      entries.set(keyTree.source, { line: keyTree.line, value: child });
    }
    return { kind: "map", line, entries };
  }

  #scalar(node: Node, line: number): ScalarTree {
    const value: unknown = isScalar(node) ? node.value : null;
    const source = isScalar(node) && typeof node.source === "string" ? node.source : "";
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      return { kind: "scalar", line, value, source: typeof value === "string" ? value : source };
    }
    return { kind: "scalar", line, value: null, source: "" };
  }

  #refuse(line: number, message: string, fix: string): void {
    syntax(this.#report, this.#file, line, message, fix);
  }
}

function syntax(report: Report, file: string, line: number, message: string, fix: string): void {
  const consequence = "nothing of the file is used";
  report.error(file, line, "BTN-CONFIG-SYNTAX", { message, consequence, fix });
}

function limit(report: Report, file: string, line: number | undefined, message: string): void {
  const consequence = "the file is refused before it is read further";
  const fix = "check that it is the right file; a cluster needs a few kilobytes";
  report.error(file, line, "BTN-CONFIG-LIMIT", { message, consequence, fix });
}
