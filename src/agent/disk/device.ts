/**
 * The block device of a disk, on the main thread: FUSE mount and loop device come at promotion and go at demotion. Not
 * earlier: a loop device can not refuse to be opened, so on a Secondary programs (udev, LVM, blkid) would read it, and what
 * they read would lie in the page cache when the disk becomes Primary, older than the data.
 */
import { mkdirSync } from "node:fs";
import {
  type AttachedDevice,
  attachDevice,
  describeOpeners,
  detachDevice,
  openersOf,
  removeLeftovers,
  resizeDevice,
} from "../../blockdev/device.shell.ts";
import { closeFuse, mountDisk, openFuse, unmountDisk } from "../../blockdev/fuse-mount.shell.ts";

const STEP_MAX_MS = 20_000;

export interface DeviceOptions {
  readonly name: string;
  readonly minor: number;
  readonly mountPoint: string;
  /** Where the stable name is. @default /dev/baton */
  readonly directory: string | undefined;
  /** Gives the FUSE connection to the engine. */
  readonly serve: (fuse: number) => void;
  /** Takes it back; resolves when the engine has let go of it. */
  readonly release: () => Promise<void>;
  readonly onNote: (reason: string, detail: string) => void;
  readonly onChange: () => void;
}

/** One step after the other: `wanted` may be called at any time. */
export class BlockDevice {
  readonly #options: DeviceOptions;
  #work: Promise<void> = Promise.resolve();
  #wanted = { sectors: 0, writable: false };
  #attached: AttachedDevice | undefined;
  #sectors = 0;
  #fuse: number | undefined;
  #file = "";
  #failure: { readonly reason: string; readonly detail: string } | undefined;

  constructor(options: DeviceOptions) {
    this.#options = options;
  }

  get device(): string | null {
    return this.#attached?.device ?? null;
  }
  get loop(): string | null {
    return this.#attached?.loop ?? null;
  }
  /** Why the last step failed; undefined: the device is as wanted. */
  get failure(): { readonly reason: string; readonly detail: string } | undefined {
    return this.#failure;
  }

  /** What a killed predecessor left. @throws {BatonError} losetup can not be run */
  async cleanUp(): Promise<void> {
    const { name, mountPoint, directory = "/dev/baton", minor, onNote } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const left = await removeLeftovers({
      name,
      mountDirectory: mountPoint,
      minor,
      timeoutMs: STEP_MAX_MS,
      directory,
    });
    if (left.removed.length > 0) {
      onNote("BTN-DISK-LEFTOVERS", `removed ${left.removed.join(", ")}`);
    }
    for (const { reason, detail } of left.notes) onNote(reason, detail);
  }

  /** What the core says the device is to be. */
  want(sectors: number, writable: boolean): void {
    this.#wanted = { sectors, writable };
    this.#work = this.#work.then(() => this.#step());
  }

  /** Resolves when the device is as it was wanted at this moment, or could not be made so. */
  settled(): Promise<void> {
    return this.#work;
  }

  /** How many use the device; 0 if there is none. */
  async openers(): Promise<{ readonly count: number; readonly text: string }> {
    const loop = this.loop;
    if (loop === null) return { count: 0, text: "nobody" };
    const openers = await openersOf(loop, [this.#attached?.device, this.#attached?.drbdDevice]);
    return { count: openers.count, text: describeOpeners(openers) };
  }

  /** The FUSE connection has ended: what is left of the device gives errors. */
  async lost(): Promise<void> {
    this.#work = this.#work.then(async () => {
      const loop = this.#attached;
      this.#attached = undefined;
      this.#closeFuse();
      await this.cleanUp();
      if (loop !== undefined) this.#options.onChange();
    });
    await this.#work;
  }

  async #step(): Promise<void> {
    const { sectors, writable } = this.#wanted;
    try {
      if (sectors > 0 && writable) await this.#show(sectors);
      else await this.#takeAway();
      this.#failure = undefined;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const code = (error as { readonly code?: unknown }).code;
      const reason =
        typeof code === "string" && code.startsWith("BTN-") ? code : "BTN-DISK-DEVICE-FAILED";
      this.#failure = { reason, detail };
      this.#options.onNote(reason, detail);
    }
    this.#options.onChange();
  }

  async #show(sectors: number): Promise<void> {
    const { name, minor, mountPoint, directory, serve, onNote } = this.#options;
    if (this.#attached !== undefined) {
      if (sectors !== this.#sectors) await resizeDevice(this.#attached, STEP_MAX_MS);
      this.#sectors = sectors;
      return;
    }
    if (this.#fuse === undefined) {
      this.#fuse = openFuse();
      this.#file = mountDisk(this.#fuse, mountPoint, name);
      serve(this.#fuse);
    }
    try {
      this.#attached = await attachDevice({
        name,
        minor,
        file: this.#file,
        timeoutMs: STEP_MAX_MS,
        ...(directory === undefined ? {} : { directory }),
      });
    } catch (error) {
      await this.#unmount();
      throw error;
    }
    this.#sectors = sectors;
    for (const { reason, detail } of this.#attached.notes) onNote(reason, detail);
  }

  async #takeAway(): Promise<void> {
    if (this.#attached !== undefined) {
      await detachDevice(this.#attached, STEP_MAX_MS);
      this.#attached = undefined;
    }
    await this.#unmount();
  }

  async #unmount(): Promise<void> {
    if (this.#fuse === undefined) return;
    await this.#options.release();
    this.#closeFuse();
    unmountDisk(this.#options.mountPoint);
  }

  #closeFuse(): void {
    const fuse = this.#fuse;
    this.#fuse = undefined;
    if (fuse !== undefined) closeFuse(fuse);
  }
}
