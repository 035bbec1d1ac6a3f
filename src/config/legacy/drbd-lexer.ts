/** Words of drbd.conf (drbd.md 9.1). Any text gives tokens or a complaint; bounded. */

export interface Token {
  /** `word` without quotes, `string` with; the rest are themselves. */
  readonly kind: "word" | "string" | "{" | "}" | ";" | "[" | "]" | ":";
  readonly text: string;
  readonly file: string;
  readonly line: number;
}

export type Lexed =
  | { readonly ok: true; readonly tokens: readonly Token[] }
  | {
      readonly ok: false;
      readonly line: number;
      readonly message: string;
    };

/** More than this is not a configuration that a person wrote. */
const tokensMax = 100_000;
const wordMax = 128;
const stringMax = 255;

const wordForm = /[A-Za-z0-9/._-]+/uy;
const symbols: ReadonlySet<string> = new Set(["{", "}", ";", "[", "]", ":"]);

/** Takes a file apart. `include` patterns are words or strings like any other. */
export function lexDrbd(text: string, file: string): Lexed {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const character = text[at] ?? "";
    if (character === "\n") {
      line++;
      at++;
      continue;
    }
    if (/\s/u.test(character)) {
      at++;
      continue;
    }
    if (character === "#") {
      const end = text.indexOf("\n", at);
      at = end === -1 ? text.length : end;
      continue;
    }
    if (tokens.length >= tokensMax)
      return { ok: false, line, message: `more than ${tokensMax} words` };
    const read = readToken(text, at);
    if (typeof read === "string") return { ok: false, line, message: read };
    tokens.push({ kind: read.kind, text: read.text, file, line });
    at = read.end;
  }
  return { ok: true, tokens };
}

function readToken(
  text: string,
  at: number,
): { readonly kind: Token["kind"]; readonly text: string; readonly end: number } | string {
  const character = text[at] ?? "";
  if (symbols.has(character))
    return { kind: character as Token["kind"], text: character, end: at + 1 };
  if (character === '"') return readString(text, at);
  wordForm.lastIndex = at;
  const word = wordForm.exec(text)?.[0];
  if (word === undefined) return `a word expected, but got ${JSON.stringify(character)}`;
  if (word.length > wordMax) return `a word of more than ${wordMax} characters`;
  return { kind: "word", text: word, end: at + word.length };
}

function readString(text: string, at: number): ReturnType<typeof readToken> {
  let value = "";
  for (let end = at + 1; end < text.length; end++) {
    const character = text[end] ?? "";
    if (character === '"') return { kind: "string", text: value, end: end + 1 };
    if (character === "\n") break;
    if (character === "\\") {
      end++;
      if (text[end] === undefined || text[end] === "\n") break;
      value += text[end];
    } else value += character;
    if (value.length > stringMax) return `a string of more than ${stringMax} characters`;
  }
  return "Unterminated double quoted string; we don't allow embedded newlines";
}
