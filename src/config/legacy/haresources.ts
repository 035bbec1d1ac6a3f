/** haresources (heartbeat.md 2.4): the file as the original's engine reads it, in the same order of steps. */
import { didYouMean, printable, quote, Report } from "../findings.ts";
import type { Finding } from "../model.ts";
import { nearest } from "../suggest.ts";
import { checkClassicText } from "./ha-cf.ts";
import type { ImportRow } from "./rows.ts";

const groupsMax = 1_000;
const wordsMax = 200;

/** One resource word, taken apart. */
export interface ResourceWord {
  /** As written; of the first word of a group: its key on the wire. */
  readonly word: string;
  readonly script: string;
  readonly arguments: readonly string[];
  /** A bare address: short for `IPaddr::<word>`. */
  readonly shorthand: boolean;
}

export interface HaresourcesGroup {
  /** Where the logical line begins. */
  readonly line: number;
  readonly node: string;
  readonly resources: readonly ResourceWord[];
}

export interface Haresources {
  readonly groups: readonly HaresourcesGroup[];
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
}

/** Reads the text of an haresources file against the nodes of ha.cf. */
export function parseHaresources(
  text: string,
  file: string,
  nodes: readonly string[],
): Haresources {
  const report = new Report();
  const rows: ImportRow[] = [];
  const groups: HaresourcesGroup[] = [];
  if (checkClassicText(text, file, report)) {
    if (text.includes("\r")) {
      report.advice(file, undefined, "BTN-IMPORT-CHANGED", {
        message: "The file has carriage returns; they are removed",
        consequence: "the original would take them for a part of the last word of each line",
        fix: "save it with plain line ends",
      });
    }
    const lines = logicalLines(text);
    if (lines.length > groupsMax)
      refuse(
        report,
        file,
        undefined,
        `The file has more than ${groupsMax} groups`,
        "check that it is the right file",
      );
    for (const { line, words } of lines.slice(0, groupsMax)) {
      const group = readGroup(line, words, file, nodes, report, rows);
      if (group !== undefined) groups.push(group);
    }
    checkKeys(groups, file, report);
  }
  return { groups, rows, findings: report.list() };
}

/** `#` to the end of the line goes first, then lines that end in a backslash are joined, nothing between. */
function logicalLines(
  text: string,
): readonly { readonly line: number; readonly words: readonly string[] }[] {
  const found: { line: number; words: readonly string[] }[] = [];
  let open: { readonly line: number; readonly parts: string[] } | undefined;
  for (const [index, raw] of text.replaceAll("\r", "").split("\n").entries()) {
    const plain = raw.split("#", 1)[0] ?? "";
    open ??= { line: index + 1, parts: [] };
    if (plain.endsWith("\\")) {
      open.parts.push(plain.slice(0, -1));
      continue;
    }
    open.parts.push(plain);
    found.push({ line: open.line, words: splitWords(open.parts.join("")) });
    open = undefined;
  }
  if (open !== undefined) found.push({ line: open.line, words: splitWords(open.parts.join("")) });
  return found.filter(({ words }) => words.length > 0);
}

const splitWords = (line: string): readonly string[] =>
  line.split(/[ \t]+/u).filter((word) => word !== "");

function readGroup(
  line: number,
  words: readonly string[],
  file: string,
  nodes: readonly string[],
  report: Report,
  rows: ImportRow[],
): HaresourcesGroup | undefined {
  const [first = "", ...rest] = words;
  const node = first.toLowerCase();
  if (!nodes.includes(node)) {
    const reason = `Bad nodename ${quote(node)}: it is not a node of ha.cf${didYouMean(nearest(node, nodes))}`;
    rows.push({
      file,
      line,
      directive: printable(node, 40),
      text: printable(rest.join(" "), 120),
      outcome: "refused",
      reason,
    });
    refuse(
      report,
      file,
      line,
      reason,
      nodes.length === 0
        ? "add node lines to ha.cf"
        : `begin the line with one of ${nodes.slice(0, 10).join(", ")}`,
    );
    return undefined;
  }
  const preferred = "the preferred host of the group in this line";
  rows.push({
    file,
    line,
    directive: node,
    text: printable(words.join(" "), 120),
    outcome: "kept",
    reason: preferred,
  });
  if (rest.length === 0) {
    report.advice(file, line, "BTN-IMPORT-CHANGED", {
      message: `${node} has no resources in this line`,
      consequence: "there is no group to move",
      fix: "add resources or remove the line",
    });
    return undefined;
  }
  if (rest.length > wordsMax) {
    refuse(
      report,
      file,
      line,
      `The group has more than ${wordsMax} resources`,
      "check that no backslash joins lines by mistake",
    );
    return undefined;
  }
  return { line, node, resources: rest.map(takeApart) };
}

/** `Script::a::b` or an address with or without suffixes. */
export function takeApart(word: string): ResourceWord {
  if (/^[0-9]+\.[0-9]+/u.test(word)) {
    const [address = "", ...rest] = word.split("::");
    return { word, script: "IPaddr", arguments: [address, ...rest], shorthand: true };
  }
  const [script = "", ...rest] = word.split("::");
  return { word, script, arguments: rest, shorthand: false };
}

/** The first word names the group on the wire and in every script: it must be found in one line only. */
function checkKeys(groups: readonly HaresourcesGroup[], file: string, report: Report): void {
  const keys = new Map<string, number>();
  for (const group of groups) {
    const key = group.resources[0]?.word ?? "";
    const earlier = keys.get(key);
    if (earlier !== undefined) {
      refuse(
        report,
        file,
        group.line,
        `${quote(key)} is the first resource of two groups (lines ${earlier} and ${group.line})`,
        "the first resource is the group's name on the wire: begin each group with a resource of its own",
      );
    } else keys.set(key, group.line);
  }
  for (const group of groups) {
    const shared = group.resources.slice(1).find(({ word }) => keys.has(word));
    if (shared === undefined) continue;
    report.advice(file, group.line, "BTN-CONFIG-DUPLICATE", {
      message: `${quote(shared.word)} is in this group, and is the name of the group in line ${keys.get(shared.word)}`,
      consequence:
        "a Heartbeat peer finds groups by that word anywhere in a line and may move the wrong one",
      fix: "keep each resource in one group",
    });
  }
}

function refuse(
  report: Report,
  file: string,
  line: number | undefined,
  message: string,
  fix: string,
): void {
  report.error(file, line, "BTN-IMPORT-ILLEGAL", {
    message,
    consequence: "the start is refused",
    fix,
  });
}
