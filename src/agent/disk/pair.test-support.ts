/** Two disk processes on loopback addresses, with files as their disks, for tests. Run inside namespaces of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type {
  DiskCommand,
  DiskHost,
  DiskOutcome,
  DiskProcessState,
  DiskSpec,
} from "../../replication/index.ts";
import { createMetadata } from "../../replication/metadata/metadata.shell.ts";
import { connectLines, type LineClient } from "../../system/lines.ts";
import { stateFromJson } from "./state-json.ts";

const main = fileURLToPath(new URL("../../main.ts", import.meta.url));
const LIMIT_MS = 30_000;
/** Names in /dev are the machine's: no two runs have the same. */
const minors = randomInt(1_000, 100_000) * 2;

/** Waits for a condition, by looking at it. @throws after the limit, with what `describe` says */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  describe: () => string = () => "",
  limitMs = LIMIT_MS,
): Promise<void> {
  for (const end = Date.now() + limitMs; Date.now() < end; ) {
    if (await holds()) return;
    await sleep(10);
  }
  throw new Error(`Not within ${limitMs} ms: ${what}. ${describe()}`);
}

/** The disk `r0` of hosts `alice` and `bob`, with changes. */
export function pairSpec(
  directory: string,
  changes: { readonly net?: object; readonly disk?: object; readonly handlers?: object } = {},
): DiskSpec {
  const host = (name: string, address: string, minor: number): DiskHost => ({
    host: name,
    backing: join(directory, `${name}.img`),
    metadata: { kind: "internal" },
    address,
    port: 7_788,
    minor,
  });
  return {
    name: "r0",
    volume: 0,
    hosts: [host("alice", "127.0.0.11", minors), host("bob", "127.0.0.12", minors + 1)],
    net: {
      protocol: "C",
      timeoutMs: 6_000,
      connectIntervalMs: 10_000,
      pingIntervalMs: 10_000,
      pingTimeoutMs: 500,
      socketCheckTimeoutMs: 0,
      maxBuffers: 2_048,
      maxEpochSize: 2_048,
      sendBufferBytes: 0,
      receiveBufferBytes: 0,
      koCount: 7,
      allowTwoPrimaries: false,
      alwaysAfterSplitBrain: false,
      afterSplitBrain0Primaries: "disconnect",
      afterSplitBrain1Primary: "disconnect",
      afterSplitBrain2Primaries: "disconnect",
      roleConflict: "disconnect",
      authentication: undefined,
      dataIntegrity: undefined,
      verify: "crc32c",
      checksumResync: undefined,
      checksumResyncAfterCrashOnly: false,
      cork: true,
      compressBitmap: true,
      onCongestion: "block",
      congestionFillBytes: 0,
      congestionExtents: 1_237,
      flushWaitsForPeer: true,
      ...changes.net,
    },
    disk: {
      sizeSectors: 0,
      onIoError: "detach",
      fencing: "dont-care",
      flushes: true,
      metadataFlushes: true,
      diskTimeoutMs: 0,
      readBalancing: "prefer-local",
      resync: {
        rateKibPerSecond: 1_048_576,
        planAheadSteps: 0,
        delayTargetSteps: 10,
        fillTargetSectors: 100,
        maxRateKibPerSecond: 4_194_304,
        minRateKibPerSecond: 250,
        after: undefined,
      },
      activityLogExtents: 1_237,
      activityLogUpdates: true,
      discardZeroesIfAligned: true,
      resyncDiscardGranularityBytes: 0,
      ...changes.disk,
    },
    onNoDataAccessible: "io-error",
    startup: {
      waitForConnectionMs: 0,
      degradedWaitForConnectionMs: 0,
      outdatedWaitForConnectionMs: 0,
      becomePrimaryOn: [],
    },
    handlers: { ...changes.handlers },
  };
}

/** One host of the pair: its backing file and its process. */
export class TestHost {
  readonly name: string;
  readonly backing: string;
  readonly #directory: string;
  readonly #environment: Readonly<Record<string, string>>;
  #spec: DiskSpec;
  #process: ChildProcess | undefined;
  #client: LineClient | undefined;
  state: DiskProcessState | undefined;

  constructor(directory: string, name: "alice" | "bob", spec: DiskSpec) {
    this.name = name;
    this.#directory = join(directory, name);
    this.#spec = spec;
    this.backing = spec.hosts.find((side) => side.host === name)?.backing ?? "";
    mkdirSync(this.#directory, { recursive: true });
    this.#environment = {
      BATON_RUN_DIR: join(this.#directory, "run"),
      BATON_DEV_DIR: join(this.#directory, "dev"),
      NODE_COMPILE_CACHE: join(directory, "compile-cache"),
    };
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** How it ended, or runs. */
  get process(): ChildProcess | undefined {
    return this.#process;
  }

  get ended(): boolean {
    const child = this.#process;
    return child === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  /** The stable name of its block device. */
  get device(): string {
    return join(this.#directory, "dev", "r0");
  }

  configure(spec: DiskSpec): void {
    this.#spec = spec;
  }

  /** A sparse file with fresh metadata. */
  create(bytes: number): void {
    const fd = openSync(this.backing, "w");
    ftruncateSync(fd, bytes);
    closeSync(fd);
    const created = createMetadata(
      { backing: this.backing, form: { kind: "internal" }, metadata: this.backing },
      { force: true, deviceId: randomBytes(8).readBigUInt64BE() },
    );
    if (!created.ok) throw created.error;
  }

  /** Starts its process and connects to its socket. */
  async start(
    environment: Readonly<Record<string, string>> = {},
    flags: readonly string[] = [],
  ): Promise<void> {
    const specFile = join(this.#directory, "spec.json");
    writeFileSync(specFile, JSON.stringify(this.#spec));
    const log = openSync(join(this.#directory, "log"), "a");
    const words = ["--disable-warning=ExperimentalWarning", ...flags, main, "disk", "serve", "r0"];
    this.#process = spawn(process.execPath, [...words, "--spec", specFile, "--name", this.name], {
      env: { PATH: process.env["PATH"], ...this.#environment, ...environment },
      stdio: ["ignore", log, log],
      cwd: this.#directory,
    });
    closeSync(log);
    await until(
      `${this.name} takes commands`,
      () => this.#connect(),
      () => this.log(),
    );
    await until(
      `${this.name} says its state`,
      () => this.state !== undefined,
      () => this.log(),
    );
  }

  async #connect(): Promise<boolean> {
    if (this.ended) throw new Error(`${this.name} ended: ${this.log()}`);
    try {
      this.#client = await connectLines(join(this.#directory, "run", "disk-r0.sock"), {
        software: "test",
        onEvent: (event) => {
          this.state = stateFromJson(event);
        },
        onClose: () => {
          this.state = undefined;
        },
      });
      return true;
    } catch {
      return false; // not there yet
    }
  }

  async command(command: DiskCommand): Promise<DiskOutcome> {
    if (this.#client === undefined) throw new Error(`${this.name} does not run`);
    const answer = await this.#client.request("command", { command }, { timeoutMs: LIMIT_MS });
    return answer as DiskOutcome;
  }

  /** @throws unless the command is done */
  async order(command: DiskCommand): Promise<void> {
    const outcome = await this.command(command);
    if (outcome.outcome === "done") return;
    throw new Error(`${this.name}: ${command.verb}: ${JSON.stringify(outcome)}\n${this.log()}`);
  }

  async request(verb: string, args: unknown): Promise<unknown> {
    return await this.#client?.request(verb, args);
  }

  /** Attaches and connects, as `baton disk up` does. */
  async up(): Promise<void> {
    await this.order({ verb: "attach" });
    await this.order({ verb: "connect", discardMyData: false });
  }

  line(): string {
    const view = this.state?.view;
    if (view === undefined) return "no process";
    const { conn, role, peer, disk, pdsk } = view.state;
    return `${conn} ${role}/${peer} ${disk}/${pdsk} oos ${view.outOfSyncBlocks}`;
  }

  /** Waits until `line()` matches. */
  async becomes(pattern: RegExp, limitMs = LIMIT_MS): Promise<void> {
    const says = (): string => `${this.name} is ${this.line()}\n${this.log()}`;
    await until(`${this.name} becomes ${pattern}`, () => pattern.test(this.line()), says, limitMs);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#process?.kill(signal);
    await this.gone();
  }

  /** Waits for the end of the process. */
  async gone(): Promise<void> {
    await until(
      `${this.name} ends`,
      () => this.ended,
      () => this.log(),
    );
    this.#client?.close();
    this.#client = undefined;
    this.state = undefined;
    this.#process = undefined;
  }

  /** The end of what the process has said. */
  log(): string {
    try {
      return readFileSync(join(this.#directory, "log"), "utf8").slice(-3_000);
    } catch {
      return "no log";
    }
  }
}
