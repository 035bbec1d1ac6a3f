/** Baton's disk process as one side of a scenario, driven over its socket as the agent does (src/replication/process.ts). */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DiskCommand } from "../../src/replication/contract.ts";
import { createMetadata } from "../../src/replication/metadata/metadata.shell.ts";
import {
  type DiskOutcome,
  type DiskProcessState,
  diskSocketPath,
} from "../../src/replication/process.ts";
import { connectLines, type LineClient } from "../../src/system/lines.ts";
import { waitFor } from "../support/wait.ts";
import { type BatonHost, batonHostName } from "./baton-host.ts";
import { ended } from "./lan.ts";
import { diskSpec, type ResourceEnd, type ResourceOptions, resourceName } from "./resource.ts";
import { block, type Command, type Outcome, type Side, stateLimitMs } from "./side.ts";

const launcher = fileURLToPath(new URL("../../baton", import.meta.url));
const commandLimitMs = 60_000;
const startLimitMs = 30_000;
const logFile = "baton.log";
const logLines = 60;

const prelude = `D=/dev/baton/${resourceName} M=/run/mnt\n`;

/** `baton disk serve` on one of the disks. */
export class BatonSide implements Side {
  readonly name = batonHostName;
  readonly #host: BatonHost;
  readonly #disks: readonly string[];
  readonly #diskBytes: readonly number[];
  #index = 0;
  #process: ChildProcess | undefined;
  #client: LineClient | undefined;
  #state: DiskProcessState | undefined;

  constructor(host: BatonHost, disks: readonly string[], diskBytes: readonly number[]) {
    this.#host = host;
    this.#disks = disks;
    this.#diskBytes = diskBytes;
  }

  get backing(): string {
    return this.#disks[this.#index] ?? "";
  }

  /** Its end of a resource, and from now on its backing: disk `index`. */
  end(index: number): ResourceEnd {
    this.#index = index;
    return { host: this.name, address: this.#host.lan.batonAddress, backing: this.backing };
  }

  /** Options for what follows; its own end comes first. The process is to be down. */
  configure(
    ends: readonly [ResourceEnd, ResourceEnd],
    options: ResourceOptions,
    secret = "BatonSecret",
  ): void {
    const secretFile = join(this.#host.lan.directory, "secret");
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    writeFileSync(this.#specFile(), JSON.stringify(diskSpec(ends, options, secretFile)));
  }

  createMetadata(): Promise<void> {
    truncateSync(this.backing, 0);
    truncateSync(this.backing, this.#diskBytes[this.#index]);
    const target = {
      backing: this.backing,
      form: { kind: "internal" },
      metadata: this.backing,
    } as const;
    const deviceId = randomBytes(8).readBigUInt64BE();
    const created = createMetadata(target, { force: true, deviceId });
    return created.ok ? Promise.resolve() : Promise.reject(created.error);
  }

  async up(): Promise<void> {
    await this.#start();
    for (const command of ["attach", "connect"] as const) {
      const { done, detail } = await this.try(command);
      if (!done) throw new Error(`${this.name} refuses ${command}: ${detail}`);
    }
  }

  async try(command: Command): Promise<Outcome> {
    const client = this.#client;
    if (client === undefined) return { done: false, detail: "its process does not run" };
    const outcome = (await client.request(
      "command",
      { command: diskCommand(command) },
      { timeoutMs: commandLimitMs },
    )) as DiskOutcome;
    if (command === "down") await this.#end("SIGTERM");
    const { reason, code, detail } = outcome;
    return { done: outcome.outcome === "done", detail: `${reason} (${code}): ${detail}` };
  }

  async state(): Promise<string> {
    // Asked for: what is pushed says nothing of mere counts.
    const told = await this.#client?.request("state", {}).catch(() => undefined);
    if (told !== undefined) this.#state = told as DiskProcessState;
    return this.#line();
  }

  async until(pattern: string, limitMs = stateLimitMs): Promise<void> {
    const expected = new RegExp(pattern);
    await waitFor(
      `${this.name} becomes ${pattern}`,
      async () => expected.test(await this.state()),
      limitMs,
      () => `It is ${this.#line()}`,
    );
  }

  async fill(first: number, count: number, word: string): Promise<void> {
    const bytes = Buffer.concat(
      Array.from({ length: count }, (_, index) => block(first + index, word)),
    );
    await this.#deviceThere();
    await this.#host.shell(
      `${prelude}dd of=$D bs=4k seek=${first} oflag=direct iflag=fullblock conv=notrunc,nocreat status=none`,
      bytes,
    );
  }

  async shell(text: string): Promise<string> {
    await this.#deviceThere();
    // A mount ends with its shell also when the text fails.
    const quoted = text.replaceAll("'", `'\\''`);
    return await this.#host.shell(
      `${prelude}export D M; unshare -m bash -e -o pipefail -c '${quoted}'`,
    );
  }

  async crash(): Promise<void> {
    await this.#end("SIGKILL");
    this.#host.dropLoops();
  }

  async restart(): Promise<void> {
    // Nothing to do: the next `up` starts the process.
  }

  explain(): Promise<string> {
    const log = this.#host.log(logFile).split("\n").slice(-logLines).join("\n");
    return Promise.resolve(
      `== ${this.name}\n${this.#line()}\n${JSON.stringify(this.#state)}\n${log}`,
    );
  }

  async clean(): Promise<void> {
    if (this.#client !== undefined) await this.try("down").catch(() => undefined);
    await this.#end("SIGKILL");
    this.#host.dropLoops();
  }

  async #deviceThere(): Promise<void> {
    await waitFor("the device is there", () => this.#state?.device != null, stateLimitMs);
  }

  #specFile(): string {
    return join(this.#host.lan.directory, "spec.json");
  }

  async #start(): Promise<void> {
    if (this.#process !== undefined) return;
    const words = [launcher, "disk", "serve", resourceName, "--spec", this.#specFile()];
    this.#process = this.#host.spawn(words, logFile);
    const started = this.#process;
    const socket = diskSocketPath(this.#host.runDirectory, resourceName);
    this.#client = await waitFor(
      "the disk process takes commands",
      async () => {
        if (started.exitCode !== null) {
          throw new Error(`The disk process ended:\n${await this.explain()}`);
        }
        return await connectLines(this.#host.path(socket), {
          software: "test",
          onEvent: (event) => {
            this.#state = event as DiskProcessState;
          },
          onClose: () => {
            this.#client = undefined;
            this.#state = undefined;
          },
        }).catch(() => undefined);
      },
      startLimitMs,
    );
    await waitFor("its state is known", () => this.#state !== undefined, startLimitMs);
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    running?.kill(signal);
    if (running !== undefined) await ended(running, 10_000);
    this.#client?.close();
    this.#client = undefined;
    this.#state = undefined;
  }

  #line(): string {
    const view = this.#state?.view;
    if (view === undefined) return "cs:Unconfigured";
    const { conn, role, peer, disk, pdsk } = view.state;
    return `cs:${conn} ro:${role}/${peer} ds:${disk}/${pdsk} oos:${view.outOfSyncBlocks * 4}`;
  }
}

function diskCommand(command: Command): DiskCommand {
  switch (command) {
    case "connect":
      return { verb: "connect", discardMyData: false };
    case "connect --discard-my-data":
      return { verb: "connect", discardMyData: true };
    case "detach":
    case "disconnect":
      return { verb: command, force: false };
    case "new-current-uuid --clear-bitmap":
      return { verb: "new-current-uuid", clearBitmap: true };
    case "primary":
      return { verb: "primary", force: false };
    case "primary --force":
      return { verb: "primary", force: true };
    case "verify":
      return { verb: "verify", start: undefined, stop: undefined };
    default:
      return { verb: command };
  }
}
