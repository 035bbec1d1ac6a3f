/** Commands that lose data say what is lost, and wait for a person's word. */
import { createInterface } from "node:readline/promises";
import { fail, ok, type Result } from "../base/index.ts";
import { identifyContents, SIGNATURE_BYTES } from "../replication/index.ts";
import { openDevice, readAt } from "../replication/metadata/device.shell.ts";
import { CliError, exits } from "./exit.ts";
import { harmless } from "./output.ts";

/** What would be lost, line by line. */
export interface Danger {
  /** The disk; what a person types to agree. */
  readonly name: string;
  /** What is to be done, such as `create new metadata for disk r0`. */
  readonly deed: string;
  readonly lines: readonly string[];
}

/**
 * Tells the danger and asks, unless `yes` is given. Without a terminal there is nobody to ask: refused.
 * @throws {CliError} exit 4 BTN-CLI-DISK-UNCONFIRMED
 */
export async function confirm(danger: Danger, yes: boolean): Promise<void> {
  const text = [`This will ${danger.deed}:`, ...danger.lines.map((line) => `  ${harmless(line)}`)];
  process.stderr.write(`${text.join("\n")}\n`);
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw unconfirmed(danger, "nobody is there to be asked, and --yes was not given");
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Type ${danger.name} to go on: `);
    if (answer.trim() !== danger.name) throw unconfirmed(danger, "it was not confirmed");
  } finally {
    terminal.close();
  }
}

function unconfirmed(danger: Danger, why: string): CliError {
  return new CliError(exits.refused, {
    code: "BTN-CLI-DISK-UNCONFIRMED",
    message: `Did not ${danger.deed}: ${why}`,
    consequence: "Nothing was changed",
    fix: "Read what would be lost; then give the same command with --yes",
  });
}

/** What is recognised on a device: `ext2/3/4 file system`, or that nothing is. */
export function contentsOf(path: string): string {
  const head = readHead(path);
  if (!head.ok) return `can not be read (${head.error.message})`;
  const found = identifyContents(head.value);
  if (found !== undefined) return found.name;
  return head.value.every((byte) => byte === 0)
    ? "empty, as far as it was read"
    : "nothing that is recognised";
}

function readHead(path: string): Result<Uint8Array> {
  const device = openDevice(path, { kind: "look" });
  if (!device.ok) return fail(device.error);
  using open = device.value;
  const bytes = new Uint8Array(Math.min(SIGNATURE_BYTES, open.sectors * 512));
  const read = readAt(open, 0, bytes);
  return read.ok ? ok(bytes) : read;
}
