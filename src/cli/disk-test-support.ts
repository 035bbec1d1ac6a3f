/** A disk process that only talks: what the verbs are tested against. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type DeviceState,
  type DiskCommand,
  type DiskOutcome,
  type DiskProcessState,
  type DiskView,
  diskSocketPath,
} from "../replication/index.ts";
import { type LineConnection, serveLines } from "../system/lines.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

/** A healthy Primary of 1 GiB. */
export const healthy: DeviceState = {
  role: "Primary",
  peer: "Secondary",
  conn: "Connected",
  disk: "UpToDate",
  pdsk: "UpToDate",
  suspUser: false,
  suspNoData: false,
  suspFencing: false,
  afterPaused: false,
  peerPaused: false,
  userPaused: false,
};

/** A view with the given state and, where given, other members. */
export function viewOf(state: Partial<DeviceState>, more: Partial<DiskView> = {}): DiskView {
  return {
    name: "r0",
    minor: 0,
    state: { ...healthy, ...state },
    protocol: "C",
    generations: null,
    sectors: 2_097_016,
    outOfSyncBlocks: 0,
    reason: "",
    detail: "",
    frozenSince: null,
    resync: null,
    counters: {
      networkSent: 0,
      networkReceived: 0,
      diskWritten: 0,
      diskRead: 0,
      activityLogWrites: 0,
      bitmapWrites: 0,
      localPending: 0,
      peerPending: 0,
      unacknowledged: 0,
      applicationPending: 0,
      epochs: 1,
    },
    ...more,
  };
}

/** What a fake process says and was told. */
export interface FakeDisk {
  readonly commands: DiskCommand[];
  /** Pushes a new state to everybody. */
  push(state: Partial<DeviceState>, more?: Partial<DiskView>): void;
  /** Ends every connection, as a process that is restarted does. */
  hangUp(): void;
}

export interface FakeOptions {
  readonly state?: Partial<DeviceState>;
  readonly view?: Partial<DiskView>;
  readonly openers?: number;
  answer?(
    command: DiskCommand,
    progress: (line: string) => void,
    disk: FakeDisk,
  ): Partial<DiskOutcome>;
}

const done: DiskOutcome = { outcome: "done", reason: "", code: 1, detail: "" };

/** Serves a disk of that name in the directory until the test is over. */
export async function fakeDisk(
  t: TestContext,
  directory: string,
  name: string,
  options: FakeOptions = {},
): Promise<FakeDisk> {
  const connections = new Set<LineConnection>();
  const commands: DiskCommand[] = [];
  let revision = 0;
  const make = (
    state: Partial<DeviceState> = {},
    more: Partial<DiskView> = {},
  ): DiskProcessState => ({
    kind: "disk",
    revision: ++revision,
    view: viewOf(state, { name, ...more }),
    device: null,
    loop: null,
    openers: options.openers ?? 0,
    asking: null,
    batonPeer: null,
  });
  let current = make(options.state, options.view);
  const disk: FakeDisk = {
    commands,
    push: (state, more) => {
      current = make(state, { ...options.view, ...more });
      for (const connection of connections) connection.push(current);
    },
    hangUp: () => {
      for (const connection of connections) connection.end();
    },
  };
  const server = await serveLines({
    path: diskSocketPath(directory, name),
    mode: 0o660,
    software: "fake disk",
    onConnect: (connection) => {
      connections.add(connection);
      connection.push(current);
    },
    onDisconnect: (connection) => connections.delete(connection),
    onRequest: async ({ args }, _connection, progress) => {
      const { command } = args as { readonly command: DiskCommand };
      commands.push(command);
      return { ...done, ...options.answer?.(command, progress, disk) };
    },
  });
  t.after(() => server.close());
  return disk;
}

/** A run directory of its own. */
export function runDirectoryOf(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "btn-disk-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A program of which each line is awaited. */
export interface Watched {
  line(): Promise<string>;
  end(): void;
}

/** `baton disk ...`, line by line, until it is ended. */
export function watch(directory: string, ...args: readonly string[]): Watched {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", main, "disk", ...args],
    {
      env: { ...process.env, BATON_RUN_DIR: directory, BATON_NAME: "baton" },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    line: async () => {
      const next = await lines.next();
      if (next.done === true) throw new Error("the program has ended");
      return next.value;
    },
    end: () => child.kill("SIGKILL"),
  };
}

/** What a program came to. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program under a name, as users do; nobody sits at its terminal. */
export async function runAs(
  name: string,
  directory: string,
  ...args: readonly string[]
): Promise<Ended> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
    env: { ...process.env, BATON_RUN_DIR: directory, BATON_NAME: name },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const status = await new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  clearTimeout(timer);
  return { status, stdout, stderr };
}

/** `baton disk ...`. */
export const baton = (directory: string, ...args: readonly string[]): Promise<Ended> =>
  runAs("baton", directory, "disk", ...args);
