/** One kept connection to a database server over its socket, every statement with a limit of its own. */
import { readFile, stat } from "node:fs/promises";
import { type Connection, createConnection } from "mysql2/promise";
import { BatonError } from "../base/index.ts";
import { readError, type ServerAnswer } from "./mysqld.ts";
import type { MysqldSpec } from "./spec.ts";

const OTHERS_MAY_READ = 0o077;

/** What went wrong with a connection or a statement, and what that says of the server. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly answer: ServerAnswer;

  constructor(answer: ServerAnswer, message: string) {
    super(message);
    this.answer = answer;
  }
}

export type Row = Readonly<Record<string, unknown>>;

/** Connects when asked first, and again after an error. */
export class MysqldClient {
  readonly #spec: MysqldSpec;
  #connection: Connection | undefined;

  constructor(spec: MysqldSpec) {
    this.#spec = spec;
  }

  /**
   * Runs one statement of ours; never text from outside.
   * @throws {ServerError} within about `timeoutMs`, whatever the server does
   */
  async query(sql: string, timeoutMs: number): Promise<readonly Row[]> {
    const deadline = performance.now() + timeoutMs;
    const connection = await this.#connected(timeoutMs);
    const leftMs = Math.max(1, Math.ceil(deadline - performance.now()));
    try {
      const [rows] = await within(connection.query({ sql, timeout: leftMs }), leftMs);
      return Array.isArray(rows) ? (rows as readonly Row[]) : [];
    } catch (error) {
      const failure = serverError(error);
      // An answer of the server to the statement leaves the connection whole; anything else does not.
      if (!isAnswer(error)) this.disconnect();
      throw failure;
    }
  }

  /** The server's number of the kept connection; undefined without one. */
  get threadId(): number | undefined {
    return this.#connection?.threadId ?? undefined;
  }

  /** Drops the connection without a word: the server may not be listening. */
  disconnect(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  async #connected(timeoutMs: number): Promise<Connection> {
    if (this.#connection !== undefined) return this.#connection;
    const password = await readPassword(this.#spec.monitorPasswordFile);
    const connecting = createConnection({
      socketPath: this.#spec.socket,
      user: this.#spec.monitorUser,
      connectTimeout: timeoutMs,
      disableEval: true,
      supportBigNumbers: true,
      ...(password === undefined ? {} : { password }),
    });
    try {
      const connection = await within(connecting, timeoutMs);
      // A server that dies says so here, even between statements; without a listener that would be fatal.
      connection.on("error", () => {
        if (this.#connection === connection) this.disconnect();
      });
      this.#connection = connection;
      return connection;
    } catch (error) {
      // It may still come: nobody wants it then.
      connecting.then(
        (late) => late.destroy(),
        () => undefined,
      );
      throw serverError(error);
    }
  }
}

/** The password of the monitor. @throws {BatonError} if others may read the file, or it is not there */
async function readPassword(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const refuse = (why: string): BatonError =>
    new BatonError({
      code: "BTN-MYSQLD-PASSWORD-FILE",
      message: `Cannot use the password file ${path}: ${why}`,
      fix: `chown root ${path} && chmod 600 ${path}`,
    });
  try {
    const { mode, uid } = await stat(path);
    if ((mode & OTHERS_MAY_READ) !== 0) throw refuse("others than its owner may read it");
    if (uid !== 0 && uid !== process.getuid?.()) throw refuse(`it belongs to user ${uid}`);
    return (await readFile(path, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    if (error instanceof BatonError) throw error;
    throw refuse(error instanceof Error ? error.message : String(error));
  }
}

/** @throws a timeout in the words of mysql2 */
async function within<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(Object.assign(new Error(`No answer within ${timeoutMs} ms`), { code: "ETIMEDOUT" })),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function serverError(error: unknown): Error {
  if (error instanceof BatonError || error instanceof ServerError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new ServerError(readError(code), code === undefined ? message : `${message} (${code})`);
}

function isAnswer(error: unknown): boolean {
  return (
    codeOf(error)?.startsWith("ER_") === true &&
    !/SHUTDOWN|CONNECTION_KILLED/.test(codeOf(error) ?? "")
  );
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
