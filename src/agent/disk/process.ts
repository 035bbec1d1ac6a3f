/**
 * The process of one disk: the main thread. It owns the life cycle, the control socket, the block device, the handlers and
 * the search for the peer; the data path is in the engine thread. It decides nothing about data, and nothing about
 * exclusion: that it asks (R2).
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { BatonError } from "../../base/index.ts";
import { prepareMemory } from "../../blockdev/memory.shell.ts";
import type {
  DiskCommand,
  DiskOutcome,
  DiskProcessState,
  DiskRequest,
  DiskSpec,
} from "../../replication/index.ts";
import { diskDownPath, diskSocketPath } from "../../replication/index.ts";
import { type LineServer, serveLines } from "../../system/lines.ts";
import { type FileLock, takeLock } from "../../system/lock.ts";
import { Connector } from "./connector.ts";
import { BlockDevice } from "./device.ts";
import { endAtOnce, exitStatus } from "./end-at-once.ts";
import { fenceResultOf, handlerEnvironment, runHandler } from "./handlers.ts";
import type { EngineReport } from "./messages.ts";
import { parseDiskRequest } from "./requests.ts";
import { stateToJson } from "./state-json.ts";
import { Threads } from "./threads.ts";

/** Between two tries to take a device away that somebody had open when the disk became Secondary. */
const DEVICE_AGAIN_MS = 1_000;
const SECONDARY_IN_USE = -12;

export interface DiskProcessOptions {
  readonly spec: DiskSpec;
  /** Which of the two hosts this is. */
  readonly host: string;
  readonly secret: Uint8Array | undefined;
  readonly runDirectory: string;
  /** Of the stable name. @default /dev/baton */
  readonly deviceDirectory?: string | undefined;
  /** What DRBD_CONF of a handler says. */
  readonly configuration: string;
  readonly softwareVersion: string;
  readonly failpoint?: string | undefined;
  readonly diskLog?: string | undefined;
}

type Reply = PromiseWithResolvers<DiskOutcome> & { readonly progress: (line: string) => void };

/**
 * Runs the process of a disk until `down` or SIGTERM ends it.
 * @throws {BatonError} BTN-DISK-ALREADY-SERVED, BTN-SOCKET-...
 */
export async function runDiskProcess(options: DiskProcessOptions): Promise<void> {
  // Whoever started us may have gone, and the end of our log with it: no reason to end.
  process.stderr.on("error", () => undefined);
  const disk = await DiskProcess.start(options);
  const end = (): void => void disk.end();
  const stay = (): void =>
    log("BTN-DISK-HANGUP-IGNORED", "SIGHUP: a disk reads its configuration at its start");
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", stay);
  try {
    await disk.ended;
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", stay);
    await disk.close();
  }
}

/** See the file comment. */
export class DiskProcess {
  readonly #options: DiskProcessOptions;
  readonly #lock: FileLock;
  readonly #device: BlockDevice;
  readonly #connector: Connector;
  readonly #threads: Threads;
  readonly #ended = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #replies = new Map<string, Reply>();
  #server: LineServer | undefined;
  #view: Extract<EngineReport, { readonly kind: "view" }> | undefined;
  #revision = 0;
  #openers = 0;
  #attempt = 0;
  #nextId = 1;
  #released: PromiseWithResolvers<void> | undefined;
  #deviceTimer: NodeJS.Timeout | undefined;
  #leaving = false;

  private constructor(options: DiskProcessOptions, lock: FileLock, mountPoint: string) {
    this.#options = options;
    this.#lock = lock;
    const { spec, host } = options;
    const own = spec.hosts.find((side) => side.host === host) ?? spec.hosts[0];
    const peer = spec.hosts.find((side) => side !== own) ?? spec.hosts[1];
    const onNote = (reason: string, detail: string): void => log(reason, detail);
    this.#threads = new Threads({
      spec,
      host: own.host,
      secret: options.secret,
      mountPoint,
      failpoint: options.failpoint,
      diskLog: options.diskLog,
      onReport: (report) => this.#reported(report),
      onBroken: (detail) => this.#broken(mountPoint, detail),
    });
    this.#device = new BlockDevice({
      name: spec.name,
      minor: own.minor,
      mountPoint,
      directory: options.deviceDirectory,
      serve: (fuse) => this.#threads.tell({ kind: "serve", fuse }),
      release: () => this.#release(),
      onNote,
      onChange: () => this.#push(),
    });
    this.#connector = new Connector({
      own: { address: own.address, port: own.port },
      peer: { address: peer.address, port: peer.port },
      ...spec.net,
      onUp: (sockets) =>
        this.#threads.tell({ kind: "sockets", attempt: this.#attempt, ...sockets }),
      onNote,
    });
  }

  /** Takes the lock, clears what a killed predecessor left, starts the threads, opens the socket. Nothing is attached. */
  static async start(options: DiskProcessOptions): Promise<DiskProcess> {
    const { spec, runDirectory } = options;
    for (const { reason, detail } of prepareMemory()) log(reason, detail);
    mkdirSync(runDirectory, { recursive: true, mode: 0o750 });
    const lock = takeDiskLock(runDirectory, spec.name);
    rmSync(diskDownPath(runDirectory, spec.name), { force: true });
    const mountPoint = join(runDirectory, "disk", spec.name);
    const disk = new DiskProcess(options, lock, mountPoint);
    try {
      await disk.#device.cleanUp();
      await disk.#serve();
    } catch (error) {
      await disk.close();
      throw error;
    }
    flushCompileCache();
    log("BTN-DISK-SERVING", `process ${process.pid}`);
    return disk;
  }

  /** Resolves after `down`. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** For SIGTERM: everything in order, unless somebody uses the device. */
  async end(): Promise<void> {
    if (this.#leaving) return;
    const { count, text } = await this.#device.openers();
    const primary = this.#view?.view.state.role === "Primary";
    if (primary && count > 0) {
      log("BTN-DISK-STAYS", `Primary, and the device is in use: ${text}`);
      return;
    }
    this.#leaving = true;
    const outcome = await this.#command({ verb: "down" }, () => undefined);
    if (outcome.outcome === "done") return;
    this.#leaving = false;
    log("BTN-DISK-STAYS", `${outcome.reason}: ${outcome.detail}`);
  }

  async close(): Promise<void> {
    clearTimeout(this.#deviceTimer);
    this.#stop.abort(new Error("the disk process ends"));
    this.#connector.stop();
    await this.#device.settled();
    await this.#threads.stop();
    await this.#server?.close();
    this.#lock.release();
  }

  async #serve(): Promise<void> {
    const { runDirectory, spec, softwareVersion } = this.#options;
    this.#server = await serveLines({
      path: diskSocketPath(runDirectory, spec.name),
      mode: 0o600,
      software: `baton-disk/${softwareVersion}`,
      onConnect: (connection) => {
        const state = this.#state();
        if (state !== undefined) connection.push(stateToJson(state));
      },
      onRequest: async ({ verb, args }, _connection, progress) => {
        const request = parseDiskRequest(verb, args);
        if (!request.ok) throw request.error;
        return await this.#request(request.value, progress);
      },
    });
  }

  async #request(request: DiskRequest, progress: (line: string) => void): Promise<unknown> {
    switch (request.verb) {
      case "command":
        return await this.#command(request.command, progress);
      case "fenced":
        return this.#fenced(request);
      case "epoch": {
        const { clusterId, epoch } = request;
        this.#threads.tell({ kind: "event", event: { kind: "epoch", clusterId, epoch } });
        return null;
      }
      default: {
        this.#openers = (await this.#device.openers()).count;
        const state = this.#state();
        return state === undefined ? null : stateToJson(state);
      }
    }
  }

  async #command(command: DiskCommand, progress: (line: string) => void): Promise<DiskOutcome> {
    if (command.verb === "secondary" || command.verb === "down") {
      // Only here it is asked: counting them means looking at every process.
      const { count, text } = await this.#device.openers();
      this.#openers = count;
      this.#threads.tell({ kind: "event", event: { kind: "openers", count } });
      if (count > 0) progress(`${this.#device.device} is in use: ${text}`);
    }
    const id = String(this.#nextId++);
    const reply: Reply = { ...Promise.withResolvers<DiskOutcome>(), progress };
    this.#replies.set(id, reply);
    this.#threads.tell({ kind: "event", event: { kind: "command", id, command } });
    return await reply.promise;
  }

  #fenced({ attempt, result, detail }: Extract<DiskRequest, { verb: "fenced" }>): null {
    const asking = this.#view?.asking ?? null;
    if (asking?.attempt !== attempt) {
      throw new BatonError({
        code: "BTN-DISK-STALE-ANSWER",
        message: `Cannot take the answer to question ${attempt}: ${asking === null ? "nothing is asked" : `${asking.attempt} is asked now`}`,
        consequence: "Nothing was done",
      });
    }
    this.#threads.tell({ kind: "event", event: { kind: "fenceDone", attempt, result, detail } });
    return null;
  }

  #reported(report: EngineReport): void {
    switch (report.kind) {
      case "view":
        this.#view = report;
        if (report.batonPeer !== null) this.#connector.peerIsBaton = report.batonPeer;
        this.#push();
        return;
      case "establish":
        this.#attempt = report.attempt;
        this.#connector.start();
        return;
      case "hangUp":
        this.#connector.stop();
        return;
      case "device":
        this.#device.want(report.sectors, report.writable);
        this.#deviceAgain();
        return;
      case "released":
        this.#released?.resolve();
        return;
      case "fuseLost":
        log("BTN-DISK-FUSE-LOST", `errno ${report.errno}`);
        void this.#device.lost();
        return;
      case "runHandler":
        void this.#runHandler(report.handler);
        return;
      case "fencePeer":
        void this.#fencePeer(report.attempt);
        return;
      case "progress":
        this.#replies.get(report.id)?.progress(report.line);
        return;
      case "commandDone":
        void this.#commandDone(report);
        return;
      case "decision":
        log(report.reason, report.detail);
        return;
      case "readyToStop":
        void this.#device.settled().then(() => {
          writeFileSync(diskDownPath(this.#options.runDirectory, this.#options.spec.name), "");
          this.#ended.resolve();
        });
        return;
      default:
        return;
    }
  }

  /** What the command did to the device is visible before its outcome is told. */
  async #commandDone(
    report: Extract<EngineReport, { readonly kind: "commandDone" }>,
  ): Promise<void> {
    const reply = this.#replies.get(report.id);
    this.#replies.delete(report.id);
    await this.#device.settled();
    const { outcome, reason, code, detail } = report;
    const { failure } = this.#device;
    const wanted = this.#view?.view.state.role === "Primary" && this.#device.device === null;
    if (outcome === "done" && wanted && failure !== undefined) {
      reply?.resolve({ outcome: "failed", ...failure, code: SECONDARY_IN_USE });
    } else reply?.resolve({ outcome, reason, code, detail });
  }

  async #runHandler(
    handler: Extract<EngineReport, { kind: "runHandler" }>["handler"],
  ): Promise<void> {
    const { spec, host, configuration } = this.#options;
    const line = spec.handlers[handler];
    if (line === undefined) return;
    const environment = handlerEnvironment(spec, host, handler, configuration);
    const { status, detail } = await runHandler(line, environment, this.#stop.signal);
    log("BTN-DISK-HANDLER", `${handler}: ${detail}`);
    this.#threads.tell({ kind: "event", event: { kind: "handlerDone", handler, status } });
  }

  /** By the handler; without one the agent sees the question in the state. */
  async #fencePeer(attempt: number): Promise<void> {
    const { spec, host, configuration } = this.#options;
    const line = spec.handlers["fence-peer"];
    if (line === undefined) return;
    const environment = handlerEnvironment(spec, host, "fence-peer", configuration);
    const { status, detail } = await runHandler(line, environment, this.#stop.signal);
    const result = fenceResultOf(status);
    log("BTN-DISK-HANDLER", `fence-peer: ${detail}`);
    this.#threads.tell({ kind: "event", event: { kind: "fenceDone", attempt, result, detail } });
  }

  /** A device that somebody had open is taken away when it is closed. */
  #deviceAgain(): void {
    clearTimeout(this.#deviceTimer);
    this.#deviceTimer = setTimeout(async () => {
      await this.#device.settled();
      const primary = this.#view?.view.state.role === "Primary";
      if (primary || this.#device.device === null || this.#stop.signal.aborted) return;
      this.#device.want(0, false);
      this.#deviceAgain();
    }, DEVICE_AGAIN_MS);
  }

  #release(): Promise<void> {
    this.#released = Promise.withResolvers<void>();
    this.#threads.tell({ kind: "release" });
    return this.#released.promise;
  }

  #state(): DiskProcessState | undefined {
    if (this.#view === undefined) return undefined;
    const { view, batonPeer, asking } = this.#view;
    const ours = this.#options.spec.handlers["fence-peer"] !== undefined;
    return {
      kind: "disk",
      revision: this.#revision,
      view,
      device: this.#device.device,
      loop: this.#device.loop,
      openers: this.#openers,
      asking: ours ? null : asking,
      batonPeer,
    };
  }

  #push(): void {
    this.#revision++;
    const state = this.#state();
    if (state !== undefined) this.#server?.broadcast(stateToJson(state));
  }

  #broken(mountPoint: string, detail: string): void {
    endAtOnce(
      this.#threads.shared,
      mountPoint,
      exitStatus.assertion,
      "BTN-DISK-ENGINE-BUG",
      detail,
    );
  }
}

function takeDiskLock(runDirectory: string, name: string): FileLock {
  const path = join(runDirectory, `disk-${name}.pid`);
  const lock = takeLock(path);
  if (lock !== undefined) return lock;
  throw new BatonError({
    code: "BTN-DISK-ALREADY-SERVED",
    message: `Cannot serve the disk ${name} twice: ${path} is locked by process ${readFileSync(path, "utf8").trim()}`,
    consequence: "Nothing changed; the running process goes on",
    fix: "Use the running one, or end it first with `baton disk down`",
  });
}

/** For people and the journal: one line each. What the agent must know is in the state. */
function log(reason: string, detail: string): void {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), reason, detail })}\n`);
}
