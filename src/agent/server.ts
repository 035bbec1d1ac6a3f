/** The control sockets of the agent: commands on `ctl.sock`, questions on both (reliability 9.2). */
import { join } from "node:path";
import { unreachable } from "../base/index.ts";
import type { Command } from "../failover/index.ts";
import { type LineConnection, type LineServer, serveLines } from "../system/lines.ts";
import {
  authorityOf,
  type CommandProgress,
  type CommandResult,
  type ControlCall,
  controlSocketName,
  observeOnlyError,
  parseControlCall,
  type StatusReport,
  statusSocketName,
  type TimelinePlace,
} from "./control.ts";
import { answerQuery } from "./queries.ts";

/** What the sockets ask of the agent. */
export interface ControlTarget {
  readonly software: string;
  readonly runDirectory: string;
  readonly journalDirectory: string;
  readonly host: string;
  readonly parameters: Readonly<Record<string, string>>;
  status(): StatusReport;
  command(command: Command, progress: (value: CommandProgress) => void): Promise<CommandResult>;
}

/** Serves both sockets until closed; tells watchers when the status changed. */
export class ControlServer {
  readonly #target: ControlTarget;
  readonly #servers: LineServer[] = [];
  readonly #watchers = new Map<LineConnection, (value: unknown) => void>();

  private constructor(target: ControlTarget) {
    this.#target = target;
  }

  /** @throws {BatonError} BTN-SOCKET-IN-USE if another agent serves this run directory */
  static async open(target: ControlTarget): Promise<ControlServer> {
    const server = new ControlServer(target);
    try {
      await server.#listen();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  async #listen(): Promise<void> {
    const target = this.#target;
    for (const [name, mode] of [
      [controlSocketName, 0o660],
      [statusSocketName, 0o660],
    ] as const) {
      this.#servers.push(
        await serveLines({
          path: join(target.runDirectory, name),
          mode,
          group: "haclient",
          software: target.software,
          onDisconnect: (connection) => this.#watchers.delete(connection),
          onRequest: (request, connection, progress) =>
            this.#answer(request.verb, request.args, name, connection, progress),
        }),
      );
    }
  }

  /** The status changed: each watcher gets it whole. */
  statusChanged(): void {
    if (this.#watchers.size === 0) return;
    const report = this.#target.status();
    for (const progress of this.#watchers.values()) progress(report);
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close();
  }

  async #answer(
    verb: string,
    args: unknown,
    socket: string,
    connection: LineConnection,
    progress: (value: unknown) => void,
  ): Promise<unknown> {
    const parsed = parseControlCall(verb, args);
    if (!parsed.ok) throw parsed.error;
    const call = parsed.value;
    if (authorityOf(call.verb) === "operate" && socket !== controlSocketName) {
      throw observeOnlyError(call.verb);
    }
    return await this.#serve(call, connection, progress);
  }

  #serve(
    call: ControlCall,
    connection: LineConnection,
    progress: (value: unknown) => void,
  ): unknown {
    const target = this.#target;
    switch (call.verb) {
      case "ping":
        return {};
      case "version":
        return { protocol: 1, software: target.software };
      case "status":
        return target.status();
      case "watch":
        this.#watchers.set(connection, progress);
        progress(target.status());
        // Answered by progress only; the client hangs up when it has seen enough.
        return new Promise(() => undefined);
      case "timeline": {
        const { journalDirectory, host } = target;
        return { journalDirectory, host } satisfies TimelinePlace;
      }
      case "switch":
      case "standby":
      case "takeover":
      case "clear":
        return target.command({ verb: call.verb, ...call.args } as Command, progress);
      case "stop":
        return target.command({ verb: "stop" }, progress);
      case "rscstatus":
      case "listnodes":
      case "nodestatus":
      case "nodetype":
      case "listhblinks":
      case "hblinkstatus":
      case "hbparameter":
        return answerQuery(target.status(), target.parameters, call);
      default:
        return unreachable(call);
    }
  }
}
