import { type ChildProcess, spawn } from "node:child_process";

/** How often the address is asked. Figures are as fine as this. */
const EVERY_MS = 50;
const HICCUP_MS = 500;
/** More than an hour of replies; older ones are of no test's interest. */
const REPLIES_MAX = 100_000;

/** Pings an address from a namespace all the time: what a client sees of a move. */
export class AddressWatch {
  readonly #ping: ChildProcess;
  #repliedAt: number[] = [];
  #rest = "";

  constructor(namespace: string, address: string) {
    this.#ping = spawn(
      "ip",
      ["netns", "exec", namespace, "ping", "-D", "-n", "-i", `${EVERY_MS / 1_000}`, address],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    this.#ping.stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
  }

  get replies(): number {
    return this.#repliedAt.length;
  }

  /** Whether it answered after a moment of the wall clock, milliseconds. */
  answeredAfter(atMs: number): boolean {
    return (this.#repliedAt.at(-1) ?? 0) > atMs;
  }

  /** The longest time without an answer since `fromMs`, until now. */
  longestGapMs(fromMs: number): number {
    const times = [fromMs, ...this.#repliedAt.filter((at) => at > fromMs), Date.now()];
    return Math.round(Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? at))));
  }

  /** All the time without an answer since `fromMs`, without the hiccups of a busy machine. */
  downMs(fromMs: number): number {
    const times = [fromMs, ...this.#repliedAt.filter((at) => at > fromMs), Date.now()];
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? at));
    return Math.round(gaps.filter((gap) => gap > HICCUP_MS).reduce((sum, gap) => sum + gap, 0));
  }

  close(): void {
    this.#ping.kill("SIGKILL");
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const at = /^\[(\d+\.\d+)\] \d+ bytes from/.exec(line)?.[1];
      if (at !== undefined) this.#repliedAt.push(Number(at) * 1_000);
    }
    if (this.#repliedAt.length > REPLIES_MAX) this.#repliedAt = this.#repliedAt.slice(-REPLIES_MAX);
  }
}
