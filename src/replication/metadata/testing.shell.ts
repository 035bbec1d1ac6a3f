/** Test support: recorded blocks, and devices to work on. No part of the product imports it. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BatonError, Result } from "../../base/index.ts";

/** One of them. */
export interface RecordedBlock {
  readonly name: string;
  readonly kind: "superblock" | "ring";
  readonly bytes: Uint8Array;
}

/** Every superblock and ring of `testdata/kernel-metadata.txt`; of rings what was recorded, in whole blocks. */
export function recordedBlocks(): readonly RecordedBlock[] {
  const path = fileURLToPath(new URL("testdata/kernel-metadata.txt", import.meta.url));
  const sections = readFileSync(path, "utf8").split("\n== ").slice(1);
  return sections.map((section) => {
    const [name = "", ...lines] = section.split("\n");
    const kind = name.startsWith("ring") ? "ring" : "superblock";
    return { name, kind, bytes: hexDump(lines) };
  });
}

/** Whole blocks of 4 KiB of a hexadecimal dump; a dump may end in the middle of a block. */
function hexDump(lines: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(32_768);
  let previous = new Uint8Array(16);
  let end = 0;
  for (const line of lines) {
    const [offset = "", ...hex] = line.split(" ");
    if (!/^\d{7}$/.test(offset)) continue;
    // Everything between the line before and this one repeats the line before.
    for (; end < Number(offset); end += 16) bytes.set(previous, end);
    if (hex.length === 0) continue;
    previous = Uint8Array.from(hex, (byte) => Number.parseInt(byte, 16));
    bytes.set(previous, end);
    end += 16;
  }
  return bytes.subarray(0, end - (end % 4096));
}

/** The value, or the error thrown: for tests that expect success. */
export function expectOk<Value>(result: Result<Value>): Value {
  if (!result.ok) throw result.error;
  return result.value;
}

/** The error's reason code, or "ok". */
export function codeOf(result: Result<unknown, BatonError>): string {
  return result.ok ? "ok" : result.error.code;
}

/** Why tests with loop devices and drbdmeta can not run here; false: they can. */
export const skipOracle: string | false =
  process.getuid?.() !== 0
    ? "needs root for loop devices"
    : !existsSync("/dev/loop-control")
      ? "needs loop devices"
      : spawnSync("drbdmeta", ["--version"]).error !== undefined
        ? "needs drbdmeta of drbd-utils"
        : false;

/** Files of a size in a directory of their own, as files or as loop devices. Disposing removes all of it. */
export class TestDevices implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), `btn-${process.pid}-metadata-`));
  readonly #loops: string[] = [];
  #count = 0;

  file(bytes: number): string {
    const path = join(this.#directory, `device${this.#count++}`);
    writeFileSync(path, "");
    truncateSync(path, bytes);
    return path;
  }

  loop(bytes: number): string {
    const path = this.file(bytes);
    const loop = execFileSync("losetup", ["--find", "--show", path], { encoding: "utf8" }).trim();
    this.#loops.push(loop);
    return loop;
  }

  [Symbol.dispose](): void {
    for (const loop of this.#loops) execFileSync("losetup", ["--detach", loop]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** drbdmeta as the judge, on one device. It leaves files with its minor number behind: `dispose` removes them. */
export class DrbdMeta implements Disposable {
  readonly #minor = String(100_000 + (process.pid % 900_000));
  readonly #device: string;
  readonly #place: string;

  /** @param place `internal`, `flex-external` or an index */
  constructor(device: string, place: string) {
    this.#device = device;
    this.#place = place;
  }

  /** Runs one command of it, forced. */
  run(...command: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const args = ["--force", this.#minor, "v08", this.#device, this.#place, ...command];
    const { status, stdout, stderr } = spawnSync("drbdmeta", args, {
      encoding: "utf8",
      maxBuffer: 2 ** 27,
    });
    return { status, stdout, stderr };
  }

  /** Runs one that must succeed; what it printed. */
  expect(...command: readonly string[]): string {
    const { status, stdout, stderr } = this.run(...command);
    if (status === 0) return stdout;
    throw new Error(`drbdmeta ${command.join(" ")} ended with ${status}: ${stderr}${stdout}`);
  }

  [Symbol.dispose](): void {
    rmSync(`/run/lock/drbd-147-${this.#minor}`, { force: true });
    rmSync(`/var/lib/drbd/drbd-minor-${this.#minor}.lkbd`, { force: true });
  }
}
