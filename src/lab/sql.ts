/** MySQL's protocol as the clients of the lab speak it: one connection, one limit in time for all of it. */

import { connect, type Socket } from "node:net";
import type { Connection, FieldPacket, QueryError } from "mysql2";
import { createConnection } from "mysql2";

export interface SqlTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database?: string;
}

/** A statement that failed. `sent` says whether the server may have seen it. */
export class SqlFailure extends Error {
  override readonly name = "SqlFailure";
  /** MySQL's error number; 0 if the network failed, or the time was up. */
  readonly number: number;
  readonly sent: boolean;

  constructor(message: string, { number, sent }: { number: number; sent: boolean }) {
    super(message);
    this.number = number;
    this.sent = sent;
  }
}

export type SqlRow = readonly (string | null)[];

/** A connection on which statements are run one after the other. Every failure ends it. */
export class SqlConnection {
  readonly #connection: Connection;
  readonly #socket: Socket;
  #broken = false;

  private constructor(connection: Connection, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
    // After a failure the driver may report the same trouble once more; nobody waits for it then.
    connection.on("error", () => {
      this.#broken = true;
    });
  }

  /** @throws {SqlFailure} within `timeoutMs` */
  static open(target: SqlTarget, timeoutMs: number): Promise<SqlConnection> {
    const socket = connect({ host: target.host, port: target.port, noDelay: true });
    const driver = createConnection({
      ...target,
      stream: socket,
      connectTimeout: timeoutMs,
      // Values as the server writes them; NULL stays null.
      typeCast: (field) => field.string(),
      rowsAsArray: true,
      multipleStatements: false,
    });
    const connection = new SqlConnection(driver, socket);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        connection.close();
        reject(
          new SqlFailure(
            `Cannot connect to ${target.host}:${target.port}: no answer in ${Math.round(timeoutMs)} ms`,
            { number: 0, sent: false },
          ),
        );
      }, timeoutMs);
      driver.connect((error) => {
        clearTimeout(timer);
        if (error === null) return resolve(connection);
        connection.close();
        // A server says what it has against us; a network error says not even whom it is about.
        const place = error.sqlState === undefined ? `${target.host}:${target.port}: ` : "";
        const message = `${place === "" ? "" : "Cannot connect to "}${place}${describe(error)}`;
        reject(new SqlFailure(message, { number: error.errno ?? 0, sent: false }));
      });
    });
  }

  get usable(): boolean {
    return !this.#broken;
  }

  /** Runs one statement; rows of a result set, or none. @throws {SqlFailure} within `timeoutMs` */
  query(sql: string, timeoutMs: number): Promise<readonly SqlRow[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.close();
        this.#broken = true;
        reject(
          new SqlFailure(`No answer in ${Math.round(timeoutMs)} ms`, { number: 0, sent: true }),
        );
      }, timeoutMs);
      this.#connection.query(
        sql,
        (error: QueryError | null, rows: unknown, fields?: FieldPacket[]) => {
          clearTimeout(timer);
          if (error !== null) {
            if (error.fatal) this.#broken = true;
            reject(new SqlFailure(describe(error), { number: serverNumber(error), sent: true }));
          } else resolve(fields === undefined ? [] : (rows as SqlRow[]));
        },
      );
    });
  }

  /**
   * At once. The driver alone would only say goodbye, and a server without power never answers that: the
   * process would not end for a quarter of an hour.
   */
  close(): void {
    this.#connection.destroy();
    this.#socket.destroy();
  }
}

/** The number that the server gave; 0 for errors of the network, which have one of the system's. */
function serverNumber(error: QueryError): number {
  return error.sqlState === undefined ? 0 : (error.errno ?? 0);
}

function describe(error: QueryError): string {
  const number = error.sqlState === undefined ? "" : `ERROR ${error.errno} (${error.sqlState}): `;
  return `${number}${error.message}`;
}

/** As `mariadb --batch` prints it: tabs between values, NULL spelled out, control characters escaped. */
export function formatRow(row: SqlRow): string {
  return row.map((value) => (value === null ? "NULL" : escapeValue(value))).join("\t");
}

function escapeValue(text: string): string {
  return text.replace(/[\\\t\n\0]/g, (character) => {
    if (character === "\t") return "\\t";
    if (character === "\n") return "\\n";
    return character === "\0" ? "\\0" : "\\\\";
  });
}
