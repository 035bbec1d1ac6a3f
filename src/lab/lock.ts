/** One command at a time changes a lab. The kernel drops the lock when its holder dies, however it dies. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { delay } from "../system/clock.ts";
import { libc } from "../system/ffi.ts";
import { LabError } from "./errors.ts";
import type { LabNames } from "./names.ts";
import { isAlive, recordProcess, signalProcess } from "./processes.ts";
import type { ProcessRecord } from "./state.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const stepMs = 25;

export interface LabLock {
  /** Lets go; `remove` also takes the file away. */
  release(remove?: boolean): void;
}

interface Holder {
  readonly verb: string;
  readonly process: ProcessRecord;
}

/**
 * Takes the lock of a lab.
 * @param options.waitMs how long to wait for the holder
 * @param options.end ask the holder to end (SIGTERM), then make it end: `down` does not wait for an `up`
 * @throws {LabError} BTN-LAB-BUSY, naming the holder
 */
export async function lockLab(
  names: LabNames,
  verb: string,
  { waitMs, end = false }: { waitMs: number; end?: boolean },
): Promise<LabLock> {
  mkdirSync(dirname(names.lockFile), { recursive: true, mode: 0o700 });
  for (let leftMs = waitMs; ; leftMs -= stepMs) {
    const descriptor = tryLock(names.lockFile);
    if (descriptor !== undefined) {
      const own = recordProcess(process.pid);
      writeFileSync(names.lockFile, JSON.stringify({ verb, process: own }));
      return {
        release: (remove = false) => {
          if (remove) rmSync(names.lockFile, { force: true });
          closeSync(descriptor);
        },
      };
    }
    const holder = readHolder(names.lockFile);
    if (leftMs <= 0) {
      throw new LabError(5, {
        code: "BTN-LAB-BUSY",
        message: `Cannot ${verb} lab ${names.lab}: "lab ${holder?.verb ?? "?"}" (process ${holder?.process.pid ?? "?"}) is at work on it`,
      });
    }
    if (end && holder !== undefined && isAlive(holder.process)) {
      if (leftMs === waitMs) signalProcess(holder.process.pid, "SIGTERM");
      else if (leftMs === Math.ceil(waitMs / 2)) signalProcess(holder.process.pid, "SIGKILL");
    }
    await delay(stepMs);
  }
}

/** The descriptor that holds the lock; undefined if another process has it. */
function tryLock(file: string): number | undefined {
  const descriptor = openSync(file, "a+", 0o600);
  const taken = libc.flock(descriptor, LOCK_EX | LOCK_NB) === 0;
  if (taken && isSameFile(descriptor, file)) return descriptor;
  closeSync(descriptor);
  return undefined;
}

/** A lock on a file that its last holder removed protects nothing. */
function isSameFile(descriptor: number, file: string): boolean {
  try {
    return fstatSync(descriptor).ino === statSync(file).ino;
  } catch {
    return false; // removed between our opening and locking it
  }
}

function readHolder(file: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(file, "utf8")) as Partial<Holder>;
    return holder.process === undefined || holder.verb === undefined
      ? undefined
      : { verb: holder.verb, process: holder.process };
  } catch {
    return undefined; // being written at this moment: the next look will see it
  }
}
