/**
 * Commands under way: who asked, what was told, and the limit after which the asker is let go
 * (every wait has an owner and a limit). The failover core decides; this desk only passes on.
 */
import { BatonError, type Clock, type Instant } from "../base/index.ts";
import type { Command, FailoverEffect } from "../failover/index.ts";
import type { CommandProgress, CommandResult, MoveReport } from "./control.ts";

/** The core ends each command well before; beyond this something is wrong with it. */
const COMMAND_MAX_MS = 30 * 60_000;
/** Commands at once: a person and a script or two; more is a mistake. */
const COMMANDS_MAX = 16;

interface OpenCommand {
  readonly id: string;
  readonly command: Command;
  readonly since: Instant;
  readonly progress: (value: CommandProgress) => void;
  readonly resolve: (result: CommandResult) => void;
  readonly cancelLimit: () => void;
  line: string;
}

/** Hands out command ids, passes progress on and ends each command once. */
export class CommandDesk {
  readonly #clock: Clock;
  readonly #open = new Map<string, OpenCommand>();
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Opens a command; `submit` hands it to the core under the id given.
   * @throws {BatonError} BTN-AGENT-TOO-MANY-COMMANDS
   */
  run(
    command: Command,
    progress: (value: CommandProgress) => void,
    submit: (id: string) => void,
  ): Promise<CommandResult> {
    if (this.#open.size >= COMMANDS_MAX && command.verb !== "stop") {
      throw new BatonError({
        code: "BTN-AGENT-TOO-MANY-COMMANDS",
        message: `Cannot ${command.verb}: ${COMMANDS_MAX} commands are under way`,
        consequence: "This command was not begun",
        fix: "Wait for the others; `baton status` lists them",
      });
    }
    const id = `${command.verb}-${process.pid}-${++this.#count}`;
    const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
    const since = this.#clock.now();
    const cancelLimit = this.#clock.at((since + COMMAND_MAX_MS) as Instant, () => {
      this.#open.delete(id);
      reject(
        new BatonError({
          code: "BTN-AGENT-COMMAND-LOST",
          message: `No end of "${command.verb}" within ${COMMAND_MAX_MS / 60_000} minutes`,
          consequence: "It may still be under way",
          fix: "Look at `baton status` and `baton timeline`",
        }),
      );
    });
    this.#open.set(id, { id, command, since, progress, resolve, cancelLimit, line: "accepted" });
    submit(id);
    return promise;
  }

  /** A line of a command for whoever follows it. */
  progress(id: string, line: string, reason: string | null): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    open.line = line;
    open.progress({ elapsedMs: this.#elapsedMs(open), line, reason });
  }

  /** A line for everybody who follows a command, such as a resource that was started. */
  tellAll(line: string, reason: string | null): void {
    for (const id of this.#open.keys()) this.progress(id, line, reason);
  }

  done(effect: Extract<FailoverEffect, { kind: "commandDone" }>): void {
    const open = this.#open.get(effect.command);
    if (open === undefined) return;
    this.#open.delete(effect.command);
    open.cancelLimit();
    const { outcome, reason, detail } = effect;
    open.resolve({ outcome, reason, detail, elapsedMs: this.#elapsedMs(open) });
  }

  /** What is under way, for status. */
  moves(): readonly MoveReport[] {
    return [...this.#open.values()].map((open) => ({
      id: open.id,
      verb: open.command.verb,
      group: open.command.verb === "switch" ? open.command.group : null,
      from: null,
      to: open.command.verb === "switch" ? open.command.to : null,
      elapsedMs: this.#elapsedMs(open),
      line: open.line,
    }));
  }

  #elapsedMs(open: OpenCommand): number {
    return Math.round(this.#clock.now() - open.since);
  }
}
