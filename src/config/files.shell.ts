/** Reading small files that people wrote: bounded, regular files only, never waiting on a pipe. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { BatonError, fail, ok, type Result } from "../base/index.ts";

/** A file as it was read, with what permission checks need. */
export interface SmallFile {
  readonly bytes: Buffer;
  readonly mode: number;
  readonly uid: number;
}

/**
 * Reads a regular file of at most `bytesMax` bytes; devices, pipes and directories are refused, so
 * that /dev/zero or a FIFO can not hold the program.
 */
export async function readSmallFile(path: string, bytesMax: number): Promise<Result<SmallFile>> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { mode, uid, size } = await handle.stat();
    if (!isRegular(mode)) return fail(unreadable(path, "it is not a regular file"));
    if (size > bytesMax) return fail(unreadable(path, `it is larger than ${bytesMax} bytes`));
    const buffer = Buffer.alloc(bytesMax + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > bytesMax) return fail(unreadable(path, `it is larger than ${bytesMax} bytes`));
    return ok({ bytes: buffer.subarray(0, length), mode, uid });
  } catch (error) {
    return fail(unreadable(path, reasonOf(error), error));
  } finally {
    await handle?.close();
  }
}

function isRegular(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFREG;
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const known: Readonly<Record<string, string>> = {
    ENOENT: "it does not exist",
    EACCES: "permission is denied",
    ENXIO: "it is not a regular file",
    ENOTDIR: "a part of its path is not a directory",
  };
  return known[code] ?? code;
}

function unreadable(path: string, why: string, cause?: unknown): BatonError {
  return new BatonError({
    code: "BTN-CONFIG-UNREADABLE",
    message: `Cannot read ${path}: ${why}`,
    place: { file: path },
    consequence: "What it should say is not known, so nothing is started with it",
    fix: "Put the file in place, readable by root",
    ...(cause === undefined ? {} : { cause }),
  });
}
