/**
 * JSON lines over unix stream sockets: what baton's processes speak on one host (DESIGN 7.4).
 *
 * Both ends begin with a greeting `{protocol, software, pid, started}`. A client sends
 * `{id, verb, args}`; the server answers `{id, progress}` any number of times, then `{id, result}`
 * or `{id, error}`. A server may push `{event}` at any moment. A line has at most 64 KiB, except
 * that a server's level state may be longer up to `STATE_LINE_MAX_BYTES`.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { BatonError } from "../base/index.ts";

/** Version spoken; N understands N-1. */
export const PROTOCOL_VERSION = 1;
/** Longest line taken from a client. */
export const LINE_MAX_BYTES = 64 * 1024;
/** Longest line taken from a server: a whole level state. */
export const STATE_LINE_MAX_BYTES = 1024 * 1024;
/** A reader that lets this much pile up is cut off: it would make the server's memory grow. */
const BACKLOG_MAX_BYTES = 4 * 1024 * 1024;
const GREETING_TIMEOUT_MS = 5_000;

export interface Greeting {
  readonly protocol: number;
  readonly software: string;
  readonly pid: number;
  /** ISO 8601, for people. */
  readonly started: string;
}

export interface LineRequest {
  readonly id: number;
  readonly verb: string;
  readonly args: unknown;
}

/** One connected client, as the server sees it. */
export interface LineConnection {
  readonly greeting: Greeting | undefined;
  readonly closed: boolean;
  /** Sends `{event}`; a client that does not read is disconnected. */
  push(event: unknown): void;
  end(): void;
}

export interface LineServerOptions {
  readonly path: string;
  /** Mode of the socket; its directory is made 0750 first (reliability 9.2). */
  readonly mode: number;
  /** Group that may connect, if it exists in /etc/group. */
  readonly group?: string;
  readonly software: string;
  onConnect?(connection: LineConnection): void;
  onDisconnect?(connection: LineConnection): void;
  /** The value becomes `result`; a BatonError its JSON; anything else `BTN-INTERNAL`. */
  onRequest(
    request: LineRequest,
    connection: LineConnection,
    progress: (value: unknown) => void,
  ): Promise<unknown>;
}

export interface LineServer {
  /** Pushes one event to every client. */
  broadcast(event: unknown): void;
  readonly connections: number;
  close(): Promise<void>;
}

const startedAt = new Date().toISOString();

function greetingLine(software: string): string {
  const greeting: Greeting = {
    protocol: PROTOCOL_VERSION,
    software,
    pid: process.pid,
    started: startedAt,
  };
  return `${JSON.stringify(greeting)}\n`;
}

/** Splits a byte stream into lines, bounded; `onLine` gets text without the newline. */
class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false if a line is longer than allowed; the caller must hang up */
  push(chunk: Buffer, onLine: (line: string) => void): boolean {
    let rest = chunk;
    for (;;) {
      const newline = rest.indexOf(0x0a);
      const piece = newline === -1 ? rest : rest.subarray(0, newline);
      if (this.#length + piece.length > this.#maxBytes) return false;
      this.#parts.push(piece);
      this.#length += piece.length;
      if (newline === -1) return true;
      const line = Buffer.concat(this.#parts, this.#length).toString("utf8");
      this.#parts = [];
      this.#length = 0;
      onLine(line);
      rest = rest.subarray(newline + 1);
    }
  }
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // Not JSON: the caller refuses the line and hangs up; nothing of it was used.
    return undefined;
  }
}

function asGreeting(value: Record<string, unknown>): Greeting | undefined {
  const { protocol, software, pid, started } = value;
  if (typeof protocol !== "number" || typeof software !== "string") return undefined;
  if (typeof pid !== "number" || typeof started !== "string") return undefined;
  return { protocol, software, pid, started };
}

function protocolFits(greeting: Greeting): boolean {
  return greeting.protocol === PROTOCOL_VERSION || greeting.protocol === PROTOCOL_VERSION - 1;
}

/**
 * Listens on a unix socket. The directory gets its mode before the socket appears, so that nobody
 * else can connect in between; a socket that a dead process left behind is removed.
 * @throws {BatonError} BTN-SOCKET-IN-USE if a live process answers there; BTN-SOCKET-DIRECTORY-UNSAFE
 */
export async function serveLines(options: LineServerOptions): Promise<LineServer> {
  const directory = dirname(options.path);
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  demandOwnDirectory(directory);
  await removeStaleSocket(options.path);
  const connections = new Set<ServerConnection>();
  const server = createServer((socket) => {
    const connection = new ServerConnection(socket, options, () => {
      connections.delete(connection);
      options.onDisconnect?.(connection);
    });
    connections.add(connection);
    connection.open();
  });
  server.maxConnections = 64;
  await listen(server, options.path);
  chmodSync(options.path, options.mode);
  giveToGroup(options, directory);
  return {
    broadcast: (event) => {
      const line = `${JSON.stringify({ event })}\n`;
      for (const connection of connections) connection.write(line);
    },
    get connections() {
      return connections.size;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.end();
        rmSync(options.path, { force: true });
      }),
  };
}

/** Who may write to the directory may put another socket in the place of ours (reliability 9.2). */
function demandOwnDirectory(directory: string): void {
  const { uid, mode } = statSync(directory);
  const foreign = uid !== 0 && uid !== process.getuid?.();
  if (!foreign && (mode & 0o022) === 0) return;
  const why = foreign ? `it belongs to user ${uid}` : "others may write to it";
  throw new BatonError({
    code: "BTN-SOCKET-DIRECTORY-UNSAFE",
    message: `Cannot put a socket into ${directory}: ${why}`,
    consequence: "Commands could go to somebody else's socket",
    fix: "Give the directory to root with mode 0750, or name another as `directories: run`",
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const mask = process.umask(0o177);
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      // Accept errors (too many files) must not end the process; the client sees a reset.
      server.on("error", () => undefined);
      resolve();
    });
    process.umask(mask);
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  try {
    lstatSync(path);
  } catch {
    return; // Nothing there: the usual case.
  }
  const live = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => resolve(true));
    probe.once("error", () => resolve(false));
    probe.setTimeout(1_000, () => resolve(true));
    probe.once("close", () => resolve(false));
    setTimeout(() => probe.destroy(), 1_100).unref();
  });
  if (live) {
    throw new BatonError({
      code: "BTN-SOCKET-IN-USE",
      message: `Cannot listen on ${path}: another process answers there`,
      consequence: "This process would be the second of its kind on this host",
      fix: `Stop the other one first, or use another run directory`,
    });
  }
  rmSync(path, { force: true });
}

function giveToGroup(options: LineServerOptions, directory: string): void {
  if (options.group === undefined || process.getuid?.() !== 0) return;
  const gid = groupId(options.group);
  if (gid === undefined) return;
  chownSync(directory, 0, gid);
  chownSync(options.path, 0, gid);
}

/** The number of a group by /etc/group; undefined if it does not exist. */
export function groupId(name: string): number | undefined {
  const line = groupFile()
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  const id = Number(line?.split(":")[2]);
  return line === undefined || !Number.isInteger(id) ? undefined : id;
}

function groupFile(): string {
  try {
    return readFileSync("/etc/group", "utf8");
  } catch {
    return ""; // No such file: no group of any name, so only root may connect.
  }
}

class ServerConnection implements LineConnection {
  readonly #socket: Socket;
  readonly #options: LineServerOptions;
  readonly #gone: () => void;
  readonly #splitter = new LineSplitter(LINE_MAX_BYTES);
  greeting: Greeting | undefined;
  closed = false;

  constructor(socket: Socket, options: LineServerOptions, gone: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#gone = gone;
  }

  open(): void {
    this.#socket.on("error", () => undefined); // `close` follows and does the work.
    this.#socket.on("close", () => {
      if (this.closed) return;
      this.closed = true;
      this.#gone();
    });
    this.#socket.setTimeout(GREETING_TIMEOUT_MS, () => {
      if (this.greeting === undefined) this.end();
    });
    this.#socket.on("data", (chunk) => {
      if (!this.#splitter.push(chunk as Buffer, (line) => this.#take(line))) this.end();
    });
    this.write(greetingLine(this.#options.software));
    this.#options.onConnect?.(this);
  }

  push(event: unknown): void {
    this.write(`${JSON.stringify({ event })}\n`);
  }

  write(line: string): void {
    if (this.closed || this.#socket.destroyed) return;
    if (this.#socket.writableLength > BACKLOG_MAX_BYTES) this.#socket.destroy();
    else this.#socket.write(line);
  }

  end(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #take(line: string): void {
    const value = parseObject(line);
    if (value === undefined) {
      this.end();
      return;
    }
    if (this.greeting === undefined) {
      this.greeting = asGreeting(value);
      if (this.greeting === undefined || !protocolFits(this.greeting)) this.end();
      else this.#socket.setTimeout(0);
      return;
    }
    const { id, verb, args } = value;
    if (typeof id !== "number" || typeof verb !== "string") this.end();
    else void this.#serve({ id, verb, args });
  }

  async #serve(request: LineRequest): Promise<void> {
    const { id } = request;
    const progress = (value: unknown): void =>
      this.write(`${JSON.stringify({ id, progress: value })}\n`);
    try {
      const result = await this.#options.onRequest(request, this, progress);
      this.write(`${JSON.stringify({ id, result: result ?? null })}\n`);
    } catch (error) {
      this.write(`${JSON.stringify({ id, error: errorToJson(error) })}\n`);
    }
  }
}

function errorToJson(error: unknown): unknown {
  if (error instanceof BatonError) return error.toJSON();
  return { code: "BTN-INTERNAL", message: error instanceof Error ? error.message : String(error) };
}

export interface LineClientOptions {
  readonly software: string;
  /** Limit for connecting and the greeting. @default 5000 */
  readonly timeoutMs?: number;
  onEvent?(event: unknown): void;
  /** Called once when the connection is gone, whoever ended it. */
  onClose?(): void;
}

export interface RequestOptions {
  /** @default 10000 */
  readonly timeoutMs?: number;
  onProgress?(value: unknown): void;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onProgress: ((value: unknown) => void) | undefined;
  readonly timer: NodeJS.Timeout;
}

/** The calling side of one connection. */
export class LineClient {
  readonly #socket: Socket;
  readonly #options: LineClientOptions;
  readonly #splitter = new LineSplitter(STATE_LINE_MAX_BYTES);
  readonly #pending = new Map<number, Pending>();
  readonly #path: string;
  #nextId = 1;
  #closed = false;
  greeting: Greeting | undefined;

  constructor(socket: Socket, path: string, options: LineClientOptions) {
    this.#socket = socket;
    this.#path = path;
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends the greeting and waits for the server's. @throws {BatonError} BTN-SOCKET-UNREACHABLE */
  open(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timeoutMs = this.#options.timeoutMs ?? GREETING_TIMEOUT_MS;
    const timer = setTimeout(() => {
      reject(unreachableError(this.#path, `no greeting within ${timeoutMs} ms`));
      this.#socket.destroy();
    }, timeoutMs);
    let cause: unknown;
    this.#socket.on("error", (error) => {
      cause = error;
    });
    this.#socket.on("close", () => {
      clearTimeout(timer);
      reject(unreachableError(this.#path, describeCause(cause), cause));
      this.#lost();
    });
    this.#socket.on("data", (chunk) => {
      const fits = this.#splitter.push(chunk as Buffer, (line) => {
        const value = parseObject(line);
        if (value === undefined) this.#socket.destroy();
        else if (this.greeting === undefined) {
          this.greeting = asGreeting(value);
          if (this.greeting === undefined || !protocolFits(this.greeting)) {
            this.#socket.destroy(new Error("it speaks another protocol"));
            return;
          }
          clearTimeout(timer);
          resolve();
        } else this.#take(value);
      });
      if (!fits) this.#socket.destroy(new Error("a line is too long"));
    });
    this.#socket.write(greetingLine(this.#options.software));
    return promise;
  }

  /**
   * One request; resolves with `result`.
   * @throws {BatonError} with the server's reason code; BTN-SOCKET-TIMEOUT; BTN-SOCKET-UNREACHABLE
   */
  request(verb: string, args: unknown, options: RequestOptions = {}): Promise<unknown> {
    if (this.#closed) return Promise.reject(unreachableError(this.#path, "the connection is gone"));
    const id = this.#nextId++;
    const timeoutMs = options.timeoutMs ?? 10_000;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(
          new BatonError({
            code: "BTN-SOCKET-TIMEOUT",
            message: `No answer to "${verb}" from ${this.#path} within ${timeoutMs} ms`,
            consequence: "Whether it was done is not known",
            fix: "Look at `baton status`, then ask again",
          }),
        );
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, onProgress: options.onProgress, timer });
      this.#socket.write(`${JSON.stringify({ id, verb, args: args ?? {} })}\n`);
    });
  }

  close(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #take(value: Record<string, unknown>): void {
    if ("event" in value) {
      this.#options.onEvent?.(value["event"]);
      return;
    }
    const id = value["id"];
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (pending === undefined || typeof id !== "number") return; // Answered after its time-out.
    if ("progress" in value) {
      pending.onProgress?.(value["progress"]);
      return;
    }
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if ("error" in value) pending.reject(errorFromJson(value["error"]));
    else pending.resolve(value["result"]);
  }

  #lost(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(unreachableError(this.#path, "the connection ended before the answer"));
    }
    this.#pending.clear();
    this.#options.onClose?.();
  }
}

/**
 * Connects to a socket of `serveLines`.
 * @throws {BatonError} BTN-SOCKET-UNREACHABLE
 */
export async function connectLines(path: string, options: LineClientOptions): Promise<LineClient> {
  const client = new LineClient(createConnection(path), path, options);
  await client.open();
  return client;
}

function describeCause(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOENT") return "nothing listens there";
  if (code === "ECONNREFUSED") return "the process that listened there is gone";
  if (code === "EACCES") return "permission denied";
  return cause instanceof Error ? cause.message : "the connection was closed";
}

function unreachableError(path: string, why: string, cause?: unknown): BatonError {
  return new BatonError({
    code: "BTN-SOCKET-UNREACHABLE",
    message: `Cannot reach ${path}: ${why}`,
    fix: "Is `baton agent` running on this host? Root or a member of haclient may connect",
    cause,
  });
}

function errorFromJson(value: unknown): BatonError {
  const parts = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const text = (key: string): string | undefined =>
    typeof parts[key] === "string" ? (parts[key] as string) : undefined;
  return new BatonError({
    code: text("code") ?? "BTN-INTERNAL",
    message: text("message") ?? "The other process gave an error without a message",
    consequence: text("consequence"),
    fix: text("fix"),
  });
}
