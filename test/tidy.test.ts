/**
 * The rules that the linter can not see (style P14): arrows between rooms, purity of cores, a README
 * in each room, documented exports, reason codes that exist, no leftovers.
 */
import { deepEqual } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({
    name: join("src", name),
    text: readFileSync(join(root, "src", name), "utf8"),
  }));

const shellRooms = new Set(["agent", "cli", "console", "system", "sim", "lab"]);
const roomOf = (file: string): string => file.split("/")[1] ?? "";
const isTest = (file: string): boolean => /\.test\.ts$|test-support\.ts$/.test(file);
const isCore = (file: string): boolean =>
  !shellRooms.has(roomOf(file)) && !/\.shell\.ts$|main\.ts$/.test(file) && !isTest(file);

/** Relative imports of a file: what is imported, from the root of the repository. */
function imports(file: { name: string; text: string }): string[] {
  // A type-only import of the kernel's door carries no code into a core.
  const text = file.text.replace(/^import type .* from "(\.\.\/)+system\/index\.ts";$/gm, "");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].map((match) =>
    normalize(join(dirname(file.name), match[1] ?? "")),
  );
}

test("a core has no randomness, clock or promise of its own", () => {
  const banned = /\bMath\.random\b|\bnew Date\b|\bDate\.now\b|\bawait\b|\basync\b|"node:/;
  const found = sources
    .filter((file) => isCore(file.name))
    .flatMap((file) =>
      file.text
        .split("\n")
        .flatMap((line, index) =>
          banned.test(line.replace(/\/\/.*|^\s*\*.*|\/\*.*/, ""))
            ? [`${file.name}:${index + 1}: ${line.trim()}`]
            : [],
        ),
    );
  deepEqual(found, []);
});

test("arrows between rooms point one way", () => {
  const found: string[] = [];
  for (const file of sources) {
    const from = roomOf(file.name);
    for (const target of imports(file)) {
      if (!target.startsWith("src/")) {
        if (!isTest(file.name)) found.push(`${file.name} imports ${target}, outside src`);
        continue;
      }
      const to = roomOf(target);
      if (to === from || to === "base" || isTest(file.name)) continue;
      const allowed =
        from === "main.ts" ||
        (from === "cli" && to !== "console") ||
        ((from === "agent" || from === "sim" || from === "lab") &&
          !["cli", "console", "lab", "sim"].includes(to)) ||
        (!shellRooms.has(from) && !shellRooms.has(to)) ||
        (file.name.endsWith(".shell.ts") && to === "system");
      if (!allowed || from === "base") found.push(`${file.name} (${from}) imports ${target}`);
    }
  }
  deepEqual(found, []);
});

test("rooms are imported through their index", () => {
  const found = sources
    .filter((file) => !isTest(file.name))
    .flatMap((file) =>
      imports(file)
        .filter((target) => target.startsWith("src/"))
        .filter((target) => roomOf(target) !== roomOf(file.name))
        .filter((target) => !shellRooms.has(roomOf(target)) && roomOf(target) !== "base")
        // A shell of another room is not offered to cores through the index: the agent, the verbs
        // and other shells import it by its name.
        .filter((target) => !target.endsWith("index.ts") && !target.endsWith(".shell.ts"))
        .filter(() => roomOf(file.name) !== "main.ts")
        .map((target) => `${file.name} imports ${target}`),
    );
  deepEqual(found, []);
});

test("each room says on one page what it is", () => {
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  deepEqual(
    rooms.filter((room) => !existsSync(join(root, "src", room, "README.md"))),
    [],
  );
});

test("every export of a room that is not a test has a doc comment or a name that a file comment explains", () => {
  const found: string[] = [];
  for (const file of sources) {
    if (isTest(file.name) || /(^|\/)(index|reasons)\.ts$/.test(file.name)) continue;
    const lines = file.text.split("\n");
    lines.forEach((line, index) => {
      if (!/^export (async )?(function|class)\b/.test(line)) return;
      let above = index - 1;
      while (above >= 0 && /^\s*(\/\/|@)/.test(lines[above] ?? "")) above--;
      if (!/\*\/\s*$/.test(lines[above] ?? ""))
        found.push(`${file.name}:${index + 1}: ${line.trim()}`);
    });
  }
  deepEqual(found, []);
});

test("every reason code that the sources name is explained, and every explanation is used", () => {
  const explained = new Map<string, string>();
  for (const file of sources.filter(({ name }) =>
    /reasons(\.[a-z-]+)?\.ts$|reasons\/.*\.ts$/.test(name),
  )) {
    for (const match of file.text.matchAll(/"(BTN-[A-Z0-9-]+)":/g))
      explained.set(match[1] ?? "", file.name);
  }
  const named = new Map<string, string>();
  for (const file of sources.filter(({ name }) => !isTest(name) && !/reasons/.test(name))) {
    for (const match of file.text.matchAll(/["'`](BTN-[A-Z0-9-]+[A-Z0-9])["'`]/g)) {
      named.set(match[1] ?? "", file.name);
    }
  }
  const dark = [...named]
    .filter(([code]) => !explained.has(code))
    .map(([code, file]) => `${code} (${file})`);
  const unused = [...explained]
    .filter(([code]) => !named.has(code))
    .map(([code, file]) => `${code} is explained in ${file} but never given`);
  deepEqual([...dark, ...unused], []);
});

test("nothing is left behind in the sources", () => {
  const banned = /\b(TODO|FIXME|XXX|HACK)\b|\bdebugger\b|\.only\(|console\.log\(.*debug/;
  const found = sources.flatMap((file) =>
    file.text
      .split("\n")
      .flatMap((line, index) =>
        banned.test(line) ? [`${file.name}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
  deepEqual(found, []);
});

test("the project speaks of itself only", () => {
  const places = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "package-lock.json",
    "package.json",
  ]
    .map((name) => join(root, name))
    .filter((name) => existsSync(name))
    .map((name) => ({ name: relative(root, name), text: readFileSync(name, "utf8") }));
  const found = [...places, ...sources]
    .filter(({ text }) =>
      /\/work\/(main|shared|notes|\.library)|registry\.npmjs|"resolved":/.test(text),
    )
    .map(({ name }) => name);
  deepEqual(found, []);
});
