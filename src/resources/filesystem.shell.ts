/** A file system on this host: checks, mounts and unmounts it, and ends who keeps it busy. */
import { realpath, stat } from "node:fs/promises";
import type { Instant } from "../base/index.ts";
import {
  DirectFile,
  delay,
  findHolders,
  type Holder,
  isDeviceHeld,
  mountAt,
  mountFileSystem,
  readMountTable,
  run,
  shutDownFileSystem,
  unmount,
} from "../system/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import type { ResourceEnvironment } from "./environment.ts";
import {
  checkPassed,
  type DeviceNames,
  findObstacle,
  isOf,
  judgeMounted,
  looksAtSuperblock,
  planCheck,
  SUPERBLOCK_BYTES,
  unmountOrder,
  unmountStep,
} from "./filesystem.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { FilesystemSpec } from "./spec.ts";

/** A look at the mount table and the device needs no disk; longer than this means that something hangs. */
const LOOK_TIMEOUT_MS = 2_000;
/** Between two tries to unmount. */
const RETRY_MS = 100;
/** Kept of an action's time for finding out what it came to. */
const RESERVE_MS = 500;
/** Named in a message; the rest is counted. */
const HOLDERS_SHOWN = 8;

/** @param spec device, directory, type and options; `environment.notify` is told of ended processes */
export function createFilesystemAgent(
  spec: FilesystemSpec,
  environment: ResourceEnvironment,
): ResourceAgent {
  return new MountedFilesystem(spec, environment);
}

class MountedFilesystem implements ResourceAgent {
  readonly spec: FilesystemSpec;
  readonly #environment: ResourceEnvironment;

  constructor(spec: FilesystemSpec, environment: ResourceEnvironment) {
    this.spec = spec;
    this.#environment = environment;
  }

  probe(_context: ActionContext): Promise<ProbeResult> {
    return this.#look();
  }

  monitor(_context: ActionContext): Promise<ProbeResult> {
    return this.#look();
  }

  async start(context: ActionContext): Promise<ActionResult> {
    const deadline = this.#deadline(context, this.spec.policy.startTimeoutMs);
    try {
      const before = await this.#look();
      if (before.state === "running") return { ok: true, detail: "was mounted already" };
      if (before.state !== "stopped") return refused(before.reason, before.detail);
      const refusal = (await this.#findRefusal()) ?? (await this.#check(context, deadline));
      return refusal ?? (await this.#mount(context, deadline));
    } catch (error) {
      return refused("BTN-FILESYSTEM-MOUNT-FAILED", describe(error));
    }
  }

  async stop(context: ActionContext): Promise<ActionResult> {
    const startedAt = this.#now();
    const deadline = this.#deadline(context, this.spec.policy.stopTimeoutMs);
    const signalled = new Set<string>();
    let lastError = "";
    try {
      if (context.abandon === true) await this.#discard();
      for (;;) {
        const left = await this.#unmountOnce(context, deadline);
        if (left === undefined) return { ok: true };
        lastError = left;
        if (this.#now() + RETRY_MS >= deadline || context.signal.aborted) break;
        const step = unmountStep(this.#now() - startedAt, {
          forceAfterMs: this.spec.forceUnmountAfterMs,
          urgent: context.urgent === true,
        });
        if (step !== "try") await this.#endHolders(step, signalled);
        await delay(RETRY_MS, context.signal);
      }
      const holders = await this.#holders();
      return refused("BTN-FILESYSTEM-BUSY", `${lastError}${describeHolders(holders)}`);
    } catch (error) {
      if (context.signal.aborted) return refused("BTN-FILESYSTEM-BUSY", lastError);
      return refused("BTN-FILESYSTEM-HUNG", describe(error));
    }
  }

  dispose(): void {
    // Nothing is kept between calls.
  }

  /** What the kernel says, within a limit. */
  async #look(): Promise<ProbeResult> {
    try {
      return await withLimit(LOOK_TIMEOUT_MS, this.#lookNow());
    } catch (error) {
      const reason = error instanceof LimitError ? "BTN-FILESYSTEM-HUNG" : "BTN-FILESYSTEM-TABLE";
      return { state: "unknown", reason, detail: describe(error) };
    }
  }

  async #lookNow(): Promise<ProbeResult> {
    const [table, directory, device] = await this.#whereabouts();
    const judged = judgeMounted(this.spec, mountAt(table, directory), device);
    if (judged.state !== "stopped" || device.number === undefined) return judged;
    const mountedHere = table.mounts.some((mount) => isOf(mount, device));
    // Mounted elsewhere in our sight is told by `start`; held out of our sight is not known to be stopped.
    if (mountedHere || !(await isDeviceHeld(this.spec.device))) return judged;
    return { state: "unknown", reason: "BTN-FILESYSTEM-BUSY", detail: heldUnseen(this.spec) };
  }

  async #whereabouts() {
    const { device, directory } = this.spec;
    return Promise.all([readMountTable(), resolved(directory), namesOf(device)]);
  }

  /** Why it may not be mounted; undefined if it may. */
  async #findRefusal(): Promise<ActionResult | undefined> {
    const { device, directory } = this.spec;
    const [table, path, names] = await withLimit(LOOK_TIMEOUT_MS, this.#whereabouts());
    if (names.number === undefined && device.startsWith("/")) {
      return refused("BTN-FILESYSTEM-NO-DEVICE", `There is no block device ${device}`);
    }
    const obstacle = findObstacle(table, path, names);
    if (obstacle?.kind === "other-mounted") {
      const detail = `${obstacle.by.source} is mounted on ${directory}`;
      return refused("BTN-FILESYSTEM-OTHER-MOUNTED", detail);
    }
    if (obstacle?.kind === "mounted-twice") {
      const detail = `${device} is mounted on ${obstacle.at.mountPoint}`;
      return refused("BTN-FILESYSTEM-MOUNTED-TWICE", detail);
    }
    return undefined;
  }

  async #check(context: ActionContext, deadline: Instant): Promise<ActionResult | undefined> {
    const superblock = looksAtSuperblock(this.spec)
      ? await withLimit(LOOK_TIMEOUT_MS, readStart(this.spec.device))
      : undefined;
    const check = planCheck(this.spec, superblock);
    if (check === undefined) return undefined;
    context.progress(`${this.spec.device}: ${check.program} ${check.args.join(" ")}`);
    const result = await run(check.program, check.args, this.#limits(context, deadline));
    if (checkPassed(result.code)) return undefined;
    const end = result.timedOut ? "did not end in time" : `exit code ${result.code}`;
    const detail = `${check.program} ${end}: ${lastLines(result.stdout + result.stderr)}`;
    return refused("BTN-FILESYSTEM-CHECK-FAILED", detail, result.timedOut);
  }

  async #mount(context: ActionContext, deadline: Instant): Promise<ActionResult> {
    const result = await mountFileSystem(this.spec, this.#limits(context, deadline));
    const after = await this.#look();
    if (after.state === "running") return { ok: true };
    if (after.state === "unknown") return refused(after.reason, after.detail);
    if (result.timedOut) {
      return refused("BTN-FILESYSTEM-HUNG", `mount ${this.spec.device} did not end in time`);
    }
    const said = after.state === "failed" ? after.detail : lastLines(result.stderr);
    return refused("BTN-FILESYSTEM-MOUNT-FAILED", said || `mount ended with ${result.code}`);
  }

  /** Unmounts what is there, once. @returns why it is not free; undefined if it is */
  async #unmountOnce(context: ActionContext, deadline: Instant): Promise<string | undefined> {
    const [table, directory, device] = await withLimit(LOOK_TIMEOUT_MS, this.#whereabouts());
    const mounts = unmountOrder(table, directory, device);
    for (const { mountPoint } of mounts) {
      const result = await unmount(mountPoint, this.#limits(context, deadline));
      if (result.code === 0) continue;
      const end = result.timedOut ? "umount did not end in time" : lastLines(result.stderr);
      return end || `umount of ${mountPoint} ended with ${result.code}`;
    }
    const after = await this.#look();
    switch (after.state) {
      case "stopped":
        return undefined;
      case "running":
        return `${this.spec.directory} is still mounted`;
      default:
        return after.detail;
    }
  }

  /**
   * What is still in memory must not reach a disk that another host has mounted: unmounting would write it.
   * Not every type can do this; then it is unmounted as ever.
   */
  async #discard(): Promise<void> {
    const { group } = this.#environment;
    const { name: resource, directory } = this.spec;
    const [table, path, device] = await this.#whereabouts();
    const mount = mountAt(table, path);
    if (mount === undefined || !isOf(mount, device)) return;
    try {
      shutDownFileSystem(directory);
      const reason = "BTN-FILESYSTEM-DISCARDED";
      this.#environment.notify({ group, resource, reason, detail: directory });
    } catch (error) {
      const reason = "BTN-FILESYSTEM-NOT-DISCARDED";
      this.#environment.notify({ group, resource, reason, detail: describe(error) });
    }
  }

  /** Signals those that hold it now, each of them once with each signal, and tells who they were. */
  async #endHolders(step: "terminate" | "kill", signalled: Set<string>): Promise<void> {
    const holders = await this.#holders();
    const fresh = holders.filter(({ pid }) => !signalled.has(`${step} ${pid}`));
    for (const { pid } of fresh) {
      signalled.add(`${step} ${pid}`);
      try {
        process.kill(pid, step === "kill" ? "SIGKILL" : "SIGTERM");
      } catch {
        // ESRCH: it ended by itself, which is what was wanted.
      }
    }
    if (fresh.length === 0) return;
    const { group, notify } = this.#environment;
    const detail = `${step} ${this.spec.directory}${describeHolders(fresh)}`;
    notify({ group, resource: this.spec.name, reason: "BTN-FILESYSTEM-KILLED", detail });
  }

  async #holders(): Promise<readonly Holder[]> {
    const { number } = await namesOf(this.spec.device);
    if (number === undefined) return [];
    return findHolders(number, AbortSignal.timeout(LOOK_TIMEOUT_MS));
  }

  #limits(context: ActionContext, deadline: Instant): { timeoutMs: number; signal: AbortSignal } {
    const timeoutMs = Math.max(1, deadline - RESERVE_MS - this.#now());
    return { timeoutMs, signal: context.signal };
  }

  #deadline(context: ActionContext, policyMs: number): Instant {
    return (this.#now() + (context.timeoutMs ?? policyMs)) as Instant;
  }

  #now(): Instant {
    return this.#environment.clock.now();
  }
}

class LimitError extends Error {
  override readonly name = "LimitError";
}

/** @throws {LimitError} if `work` does not end in time; it then goes on in a thread of its own */
async function withLimit<Value>(limitMs: number, work: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new LimitError(`No answer within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Without symbolic links, as the mount table has it; as it is while it does not exist. */
async function resolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path.length > 1 ? path.replace(/\/+$/, "") : path;
  }
}

async function namesOf(device: string): Promise<DeviceNames> {
  if (!device.startsWith("/")) return { number: undefined, paths: [device] };
  try {
    const { rdev, isBlock, path } = await look(device);
    return { number: isBlock ? majorMinor(rdev) : undefined, paths: [device, path] };
  } catch {
    return { number: undefined, paths: [device] }; // no such file: told as BTN-FILESYSTEM-NO-DEVICE
  }
}

async function look(device: string): Promise<{ rdev: number; isBlock: boolean; path: string }> {
  const path = await realpath(device);
  const status = await stat(path);
  return { rdev: status.rdev, isBlock: status.isBlockDevice(), path };
}

/** glibc's major() and minor(), for numbers as Linux has them. */
function majorMinor(rdev: number): string {
  const number = BigInt(rdev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xffff_f000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** Past the page cache: the other host may have written it since it was last read here. */
async function readStart(device: string): Promise<Uint8Array> {
  const file = await DirectFile.open(device, "read");
  try {
    return await file.read(0, SUPERBLOCK_BYTES);
  } finally {
    await file.close();
  }
}

function heldUnseen(spec: FilesystemSpec): string {
  return (
    `${spec.device} is not mounted here but in use by the kernel: in another mount name space, ` +
    "unmounted lazily, or still being unmounted"
  );
}

function describeHolders(holders: readonly Holder[]): string {
  if (holders.length === 0) return "";
  const shown = holders
    .slice(0, HOLDERS_SHOWN)
    .map(({ pid, name, by }) => `${name}[${pid}] (${by})`);
  const more = holders.length - shown.length;
  return `: in use by ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

const lastLines = (text: string): string => text.trim().split("\n").slice(-3).join("; ");
const describe = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function refused(reason: ResourcesReason | string, detail: string, retryable = true): ActionResult {
  return { ok: false, reason, detail, retryable };
}
