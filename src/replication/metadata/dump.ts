/**
 * Metadata as text: what `drbdmeta dump-md`, `get-gi`, `show-gi` and `dstate` print, letter by letter, and back (drbd.md 7.7).
 *
 * Two departures of ours from drbd-utils 9.22.0, on request only: it prints `flags 0x00000000` whatever the disk holds, and
 * spoils the dump of unclean metadata so that it can not be restored.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import { bitmapBytesFor, type MetadataLayout } from "./layout.ts";
import {
  flagsOf,
  flagsWord,
  type MetadataFlags,
  needsReplay,
  type Superblock,
} from "./superblock.ts";

const WORDS_PER_ROW = 4;
/** A comment with the position stands before every row whose number of words is a multiple of this. */
const WORDS_PER_COMMENT = 32;
const KIB_PER_WORD = 256;

/** What a dump is made of. */
export interface DumpInput {
  readonly superblock: Superblock;
  readonly layout: MetadataLayout;
  /** The bitmap area from its start. */
  readonly bitmap: Uint8Array;
  /** Lines of the head, without `# `; drbdmeta has the date and its own command line there. */
  readonly heading: readonly string[];
  /** `disk`: as on the disk, so that a restore keeps them; `zero`: as drbd-utils 9.22.0. */
  readonly flags: "disk" | "zero";
}

/** The dump of some metadata. */
export function formatDump(input: DumpInput): string {
  const { superblock, layout } = input;
  const agreed = Math.min(superblock.lastAgreedSectors, layout.usableSectors);
  const lines = [
    ...(agreed < superblock.lastAgreedSectors
      ? [`# la-size-sect was too big (${superblock.lastAgreedSectors}), truncated (${agreed})!`]
      : []),
    "# DRBD meta data dump",
    ...input.heading.map((line) => `# ${line}`),
    "#",
    "",
    'version "v08";',
    "",
    ...(needsReplay(superblock) ? uncleanWarning : []),
    `# md_size_sect ${superblock.metadataSizeSectors}`,
    `# md_offset ${layout.superblockOffset}`,
    `# al_offset ${layout.activityLogOffset}`,
    `# bm_offset ${layout.bitmapOffset}`,
    "",
    "uuid {",
    `    ${generationsOf(superblock)
      .map((value) => `0x${hex64(value)};`)
      .join(" ")}`,
    `    flags 0x${hex32(input.flags === "disk" ? flagsWord(superblock.flags) : 0)};`,
    "}",
    `# al-extents ${superblock.activityLogExtents};`,
    `la-size-sect ${agreed};`,
    "bm-byte-per-bit 4096;",
    `device-uuid 0x${hex64(superblock.deviceId)};`,
    `la-peer-max-bio-size ${superblock.peerMaxBioBytes};`,
    `al-stripes ${layout.ring.stripes};`,
    `al-stripe-size-4k ${layout.ring.stripeBlocks};`,
    ...bitmapLines(input.bitmap.subarray(0, bitmapBytesFor(agreed))),
  ];
  return `${lines.join("\n")}\n`;
}

const uncleanWarning = [
  "This_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.",
  '# You should "apply-al" first, if you plan to restore this.',
  "",
];

function bitmapLines(bytes: Uint8Array): string[] {
  const words = new BigUint64Array(new Uint8Array(bytes).buffer);
  const lines = [`# bm-bytes ${bytes.length};`, "bm {"];
  for (let at = 0; at < words.length; ) {
    if (at % WORDS_PER_COMMENT === 0) lines.push(`   # at ${at * KIB_PER_WORD}kB`);
    const run = isPlain(words[at]) ? equalWords(words, at) : 0;
    const repeated = run - (run % WORDS_PER_ROW);
    if (repeated > WORDS_PER_ROW) {
      lines.push(`    ${repeated} times 0x${hex64(words[at] as bigint)};`);
      at += repeated;
    } else {
      const row = Array.from(words.subarray(at, at + WORDS_PER_ROW), (word) => `0x${hex64(word)};`);
      lines.push(`    ${row.join(" ")}`);
      at += WORDS_PER_ROW;
    }
  }
  return [...lines, "}", `# bits-set ${countBits(bytes)};`];
}

/** Only words without a bit, or with all of them, are counted instead of repeated. */
function isPlain(word: bigint | undefined): boolean {
  return word === 0n || word === 0xffff_ffff_ffff_ffffn;
}

function equalWords(words: BigUint64Array, at: number): number {
  let end = at + 1;
  while (end < words.length && words[end] === words[at]) end++;
  return end - at;
}

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) for (let bits = byte; bits !== 0; bits &= bits - 1) count++;
  return count;
}

/** The flags of `get-gi`, in its order. */
const shownFlags: readonly (keyof MetadataFlags)[] = [
  "consistent",
  "wasUpToDate",
  "primary",
  "connected",
  "fullSync",
  "peerOutdated",
  "crashedPrimary",
];

/** `get-gi`: four generations and seven flags, with colons. */
export function formatGenerations(superblock: Superblock): string {
  const flags = shownFlags.map((name) => (superblock.flags[name] ? "1" : "0"));
  return [...generationsOf(superblock).map(hex64), ...flags].join(":");
}

/** `show-gi`: the same with a legend, and what it means. */
export function formatGenerationsExplained(superblock: Superblock): string {
  return [
    "",
    "       +--<  Current data generation UUID  >-",
    "       |               +--<  Bitmap's base data generation UUID  >-",
    "       |               |                 +--<  younger history UUID  >-",
    "       |               |                 |         +-<  older history  >-",
    "       V               V                 V         V",
    formatGenerations(superblock),
    "                                                                    ^ ^ ^ ^ ^ ^ ^",
    "                                      -<  Data consistency flag  >--+ | | | | | |",
    "                             -<  Data was/is currently up-to-date  >--+ | | | | |",
    "                                  -<  Node was/is currently primary  >--+ | | | |",
    "                                  -<  Node was/is currently connected  >--+ | | |",
    "         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |",
    "                        -<  The peer's disk was out-dated or inconsistent  >--+ |",
    "      -<  This node was a crashed primary, and has not seen its peer since   >--+",
    "",
    "",
  ].join("\n");
}

/** `dstate`: the state of the disk that follows from the flags alone. */
export function diskStateOf(
  flags: MetadataFlags,
): "Inconsistent" | "Outdated" | "Consistent" | "UpToDate" {
  if (!flags.consistent) return "Inconsistent";
  if (!flags.wasUpToDate) return "Outdated";
  return flags.peerOutdated ? "UpToDate" : "Consistent";
}

/** What a dump says: everything that `restore-md` needs. */
export interface ParsedDump {
  readonly generations: Superblock["generations"];
  readonly flags: MetadataFlags;
  readonly lastAgreedSectors: number;
  readonly deviceId: bigint;
  readonly peerMaxBioBytes: number;
  readonly stripes: number;
  readonly stripeBlocks: number;
  readonly bitmap: Uint8Array;
}

/** Words of the largest bitmap, for 64 TiB. */
const MAX_WORDS = 2 ** 28;

/**
 * Reads the text of a dump. Never throws.
 * Error: something else than a dump of v08, or one of unclean metadata; the message names the line.
 */
export function parseDump(text: string): Result<ParsedDump> {
  const reader = new DumpReader(text);
  try {
    return ok(reader.read());
  } catch (error) {
    if (!(error instanceof DumpSyntaxError)) throw error;
    return fail(
      new BatonError({
        code: "BTN-DISK-METADATA-DUMP",
        message: `Cannot read the dump: ${error.message}`,
        place: { file: "dump", line: error.line },
      }),
    );
  }
}

class DumpSyntaxError extends Error {
  readonly line: number;
  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

interface Token {
  readonly text: string;
  readonly line: number;
}

class DumpReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = text.split("\n").flatMap((line, index) =>
      // A comment runs to the end of its line; `{`, `}` and `;` stand alone.
      (line.replace(/#.*/, "").match(/"[^"]*"|[{};]|[^\s{};"]+|"/g) ?? []).map((token) => ({
        text: token,
        line: index + 1,
      })),
    );
  }

  read(): ParsedDump {
    this.#expect("version", '"v08"', ";", "uuid", "{");
    const [current, bitmap, history0, history1] = [1, 2, 3, 4].map(() => this.#value(64));
    this.#expect("flags");
    const flags = flagsOf(Number(this.#value(32)));
    this.#expect("}");
    const lastAgreedSectors = Number(this.#field("la-size-sect", 52));
    if (this.#field("bm-byte-per-bit", 32) !== 4096n) this.#wrong("bm-byte-per-bit is not 4096");
    const rest = {
      deviceId: this.#field("device-uuid", 64),
      peerMaxBioBytes: Number(this.#field("la-peer-max-bio-size", 32)),
      stripes: Number(this.#field("al-stripes", 32)),
      stripeBlocks: Number(this.#field("al-stripe-size-4k", 32)),
    };
    const words = this.#bitmap(bitmapBytesFor(lastAgreedSectors) / 8);
    if (this.#at < this.#tokens.length) this.#wrong("something follows the bitmap");
    return {
      generations: { current, bitmap, history0, history1 } as Superblock["generations"],
      flags,
      lastAgreedSectors,
      ...rest,
      bitmap: words,
    };
  }

  /** Memory is taken only once the text has as many words as the agreed size asks for. */
  #bitmap(expected: number): Uint8Array {
    this.#expect("bm", "{");
    const runs: { readonly count: number; readonly word: bigint }[] = [];
    let total = 0;
    while (this.#peek() !== "}") {
      const repeated = this.#tokens[this.#at + 1]?.text === "times";
      const count = repeated ? Number(this.#number(32)) : 1;
      if (repeated) this.#expect("times");
      total += count;
      runs.push({ count, word: this.#value(64) });
    }
    this.#expect("}");
    if (total !== expected || total > MAX_WORDS) {
      this.#wrong(`the bitmap has ${total} words, and la-size-sect asks for ${expected}`);
    }
    const words = new BigUint64Array(total);
    let at = 0;
    for (const { count, word } of runs) {
      words.fill(word, at, at + count);
      at += count;
    }
    return new Uint8Array(words.buffer);
  }

  #field(name: string, bits: number): bigint {
    this.#expect(name);
    return this.#value(bits);
  }

  /** A number and a semicolon. */
  #value(bits: number): bigint {
    const value = this.#number(bits);
    this.#expect(";");
    return value;
  }

  #number(bits: number): bigint {
    const text = this.#peek();
    if (text === undefined || !/^(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})$/.test(text)) {
      return this.#wrong(`"${text ?? "the end"}" is not a number`);
    }
    const value = BigInt(text);
    if (value >= 1n << BigInt(bits)) this.#wrong(`${text} is too large`);
    this.#at++;
    return value;
  }

  #expect(...texts: readonly string[]): void {
    for (const text of texts) {
      if (this.#peek() !== text) this.#wrong(`"${this.#peek() ?? "the end"}" instead of "${text}"`);
      this.#at++;
    }
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at]?.text;
  }

  #wrong(message: string): never {
    const token = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)];
    throw new DumpSyntaxError(message, token?.line ?? 1);
  }
}

function generationsOf({ generations }: Superblock): readonly bigint[] {
  return [generations.current, generations.bitmap, generations.history0, generations.history1];
}

function hex64(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(16, "0");
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
