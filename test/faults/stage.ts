/**
 * The stage of a fault test: a lab of its own with the real agent and real MariaDB, the questions that
 * tests ask of it, and a watch over where the data is mounted and who has the address.
 */
import { ok } from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { StatusReport } from "../../src/agent/control.ts";
import {
  type ClientResult,
  dataHosts,
  Lab,
  type LabProfile,
  type LabStorage,
  Load,
  type LoadReport,
  longestPauseMs,
  writeAddress,
} from "../../src/lab/index.ts";
import type { Incident } from "../../src/recorder/index.ts";
import { waitFor } from "../support/wait.ts";

/** The size that an issue asks for, instead of the one for every change. */
export const full = process.env["BATON_SIZE"] === "full";
/** Why these tests can not be run here; false if they can. */
export const skip = process.getuid?.() === 0 ? false : "not run: a lab needs root";

/** Far above what any step takes on a busy machine: nothing here is a statement about speed. */
const stepLimitMs = 30_000;
/** The watch looks this often. */
const lookEveryMs = 20;

const names = dataHosts.map(({ name }) => name);

/** One side of what `where` found. */
export interface Server {
  /** As the machine numbers it. */
  readonly pid: number;
  /** Field 22 of proc(5) stat: tells it from a later process with the same number. */
  readonly startTime: string;
}

/** A lab that one file of tests plays on. */
export class Stage implements AsyncDisposable {
  readonly lab: Lab;
  readonly directory: string;
  /** How long `lab up` took. */
  readonly upMs: number;

  private constructor(lab: Lab, directory: string, upMs: number) {
    this.lab = lab;
    this.directory = directory;
    this.upMs = upMs;
  }

  /** Brings a lab up in a directory of its own, and waits until both hosts are in their places. */
  static async open(
    name: string,
    profile: LabProfile = "default",
    storage: LabStorage = "shared",
  ): Promise<Stage> {
    const directory = mkdtempSync(join(tmpdir(), "btn-faults-"));
    const lab = new Lab({ lab: `f${process.pid}-${name}`, directory });
    const started = performance.now();
    try {
      await lab.up({ profile, storage });
    } catch (error) {
      await lab.down();
      throw error;
    }
    const stage = new Stage(lab, directory, performance.now() - started);
    try {
      await stage.calm();
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
    return stage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.down();
    if (readdirSync(tmpdir()).includes(this.directory.slice(tmpdir().length + 1))) {
      rmdirSync(this.directory);
    }
  }

  /** The other data host. */
  other(host: string): string {
    return names.find((name) => name !== host) ?? "";
  }

  /** What the agent of a host says; undefined if it does not answer. */
  async status(host: string): Promise<StatusReport | undefined> {
    const answer = await this.baton(host, "status", "--json").catch(() => undefined);
    // Without its agent it prints why it can not be reached, in the same form.
    if (answer?.code !== 0 && answer?.code !== 1) return undefined;
    return JSON.parse(answer.stdout) as StatusReport;
  }

  /** Runs a verb on a host. */
  baton(host: string, ...words: readonly string[]): Promise<ClientResult> {
    return this.lab.execQuietly(host, ["timeout", "--kill-after=1", "70", "baton", ...words]);
  }

  /** The newest incident in the journal of a host. */
  async incident(host: string): Promise<Incident | undefined> {
    const answer = await this.baton(host, "timeline", "--json");
    return (JSON.parse(answer.stdout || "{}") as { incident?: Incident }).incident ?? undefined;
  }

  /**
   * Waits until one host holds the group, the other says the same, both hear each other, nothing moves
   * and the address answers. @returns the holder
   */
  calm(limitMs = stepLimitMs): Promise<string> {
    let seen: readonly string[] = [];
    return waitFor(
      "one holder, on which both hosts agree",
      async () => {
        const reports = await Promise.all(names.map((name) => this.status(name)));
        const holder = reports[0]?.groups[0]?.holder ?? "";
        const answer = await this.lab.sql("SELECT @@hostname, @@read_only", 2_000);
        seen = [
          ...reports.flatMap((report, index) => unrest(report, names[index] ?? "", holder)),
          ...(answer.stdout.trim() === `${holder}\t0`
            ? []
            : [`the address says: ${answer.stdout}${answer.stderr}`]),
        ];
        return seen.length === 0 ? holder : undefined;
      },
      limitMs,
      () => seen.join("\n"),
    );
  }

  /** Waits until that host answers on the write address and takes writes. */
  async serviceOn(host: string, limitMs = stepLimitMs): Promise<void> {
    await waitFor(
      `${host} answers on ${writeAddress}`,
      async () => {
        const answer = await this.lab.sql("SELECT @@hostname, @@read_only", 1_000);
        return answer.stdout.trim() === `${host}\t0`;
      },
      limitMs,
    );
  }

  /** Process id of a host's PID 1, as this machine numbers it. */
  init(host: string): number {
    return this.lab.state()?.hosts[host]?.init?.pid ?? 0;
  }

  /** Processes of a host whose command line matches. */
  processes(host: string, pattern: RegExp): number[] {
    return this.lab.freezer
      .processes(host, this.init(host))
      .filter((pid) => pattern.test(readOf(pid, "cmdline").replaceAll("\0", " ").trim()));
  }

  /** Processes of a verb of Baton on a host. */
  programs(host: string, verb: "agent" | "beat"): number[] {
    return this.processes(host, new RegExp(`/src/main\\.ts ${verb}( |$)`));
  }

  /** The one process of a verb of Baton. */
  program(host: string, verb: "agent" | "beat"): number {
    const found = this.programs(host, verb);
    ok(found.length === 1, `Found ${found.length} processes of baton ${verb} on ${host}`);
    return found[0] ?? 0;
  }

  /** The database server of a host; undefined if there is none. */
  server(host: string): Server | undefined {
    const pid = this.processes(host, /\/(mariadbd|mysqld) /)[0];
    if (pid === undefined) return undefined;
    const stat = readOf(pid, "stat");
    const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
    return { pid, startTime };
  }

  /** Whether a host has mounted the data. */
  hasData(host: string): boolean {
    return / \/database /.test(readOf(this.init(host), "mountinfo"));
  }

  /** Whether a host has the write address. */
  hasAddress(host: string): boolean {
    return readOf(this.init(host), "net/fib_trie").includes(`-- ${writeAddress}\n`);
  }

  /** Starts of groups that a host was told to make, and stops, since its journal began. */
  orders(host: string): { readonly acquire: number; readonly release: number } {
    const directory = `/proc/${this.init(host)}/root/var/log/baton`;
    const text = readdirSync(directory)
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => readFileSync(join(directory, name), "utf8"))
      .join("");
    const count = (name: string): number =>
      text.split(`"kind":"effect","room":"failover","name":"${name}"`).length - 1;
    return { acquire: count("acquire"), release: count("release") };
  }

  /** Runs `during` with the append workload beside it, then judges: nothing lost, duplicated or phantom. */
  async underLoad(
    test: TestContext,
    during: (load: Load) => Promise<void>,
    options: { readonly mayLose?: boolean } = {},
  ): Promise<LoadReport> {
    await using load = new Load(this.lab, {
      gapMs: 2,
      timeoutMs: 300,
      connectMs: 100,
    });
    await load.grow(20, stepLimitMs);
    await during(load);
    await load.grow(20, stepLimitMs);
    const report = await load.finish();
    const { lost, duplicated, phantom, acknowledged } = report.verdict;
    test.diagnostic(
      `${acknowledged} inserts acknowledged: lost ${lost.length}, duplicated ${duplicated.length}, phantom ${phantom.length}`,
    );
    if (options.mayLose !== true) ok(report.passed, JSON.stringify(report.verdict));
    return report;
  }
}

/** Connection and copies of a disk in quiet times. */
const atRest = ["Connected", "UpToDate", "UpToDate"];

/** What is not as it is in quiet times, as one host sees it. */
function unrest(report: StatusReport | undefined, host: string, holder: string): string[] {
  const group = report?.groups[0];
  if (report === undefined || group === undefined) return [`${host} does not answer`];
  // What failed here is stopped as well; it is remembered for when the other host has no better luck.
  const wanted = host === holder ? ["running"] : ["stopped", "failed"];
  return [
    ...(group.holder === holder && wanted.includes(group.here)
      ? []
      : [`group: held by ${group.holder}, ${group.here} here [${group.reason}] ${group.detail}`]),
    ...report.moves.map((move) => `move: ${move.line}`),
    ...report.hosts
      .filter(({ verdict, status }) => verdict !== "alive" || status !== "active")
      .map(({ name, verdict, status }) => `${name} is ${verdict}, ${status}`),
    ...report.disks
      .filter(({ connection, disk, peerDisk }) =>
        [connection, disk, peerDisk].some((word, index) => word !== atRest[index]),
      )
      .map(({ name, connection, disk, peerDisk }) => `${name}: ${connection} ${disk}/${peerDisk}`),
    ...report.pings.filter(({ up }) => !up).map(({ name }) => `ping node ${name} is down`),
  ].map((line) => `${host}: ${line}`);
}

/** What the watch saw of one host at one moment. */
interface Look {
  readonly atMs: number;
  readonly data: readonly string[];
  readonly address: readonly string[];
}

/** Looks again and again which hosts have the data mounted, and which have the address. */
export class Watch implements Disposable {
  readonly #looks: Look[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(stage: Stage) {
    this.#timer = setInterval(() => {
      this.#looks.push({
        atMs: performance.now(),
        data: names.filter((name) => stage.hasData(name)),
        address: names.filter((name) => stage.hasAddress(name)),
      });
    }, lookEveryMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** For how long more than one host had it, in milliseconds. */
  bothMs(what: "data" | "address"): number {
    return this.#sumMs((look) => look[what].length > 1);
  }

  /** For how long no host had it. */
  neitherMs(what: "data" | "address"): number {
    return this.#sumMs((look) => look[what].length === 0);
  }

  #sumMs(counts: (look: Look) => boolean): number {
    let sum = 0;
    for (const [index, look] of this.#looks.entries()) {
      const next = this.#looks[index + 1];
      if (next !== undefined && counts(look)) sum += next.atMs - look.atMs;
    }
    return Math.round(sum);
  }
}

/** The pause in the acknowledgements around a fault that began at `wallMs` and was over by `untilWallMs`. */
export function pauseMs(report: LoadReport, wallMs: number, untilWallMs: number): number {
  const { notes, startedWallMs } = report;
  const pause = longestPauseMs(notes, {
    fromMs: wallMs - startedWallMs,
    toMs: untilWallMs - startedWallMs,
  });
  return Math.round(pause);
}

/** An incident in one line: its phases with the milliseconds since its first. */
export function phasesOf(incident: Incident | undefined): string {
  if (incident === undefined) return "no incident";
  const phases = incident.phases.map(({ atMs, text }) => `${Math.round(atMs)} ${text}`);
  return `${incident.cause} of ${incident.subject}: ${phases.join(", ")}`;
}

/** `least .. median .. most` of some figures. */
export function spread(figures: readonly number[]): string {
  const sorted = figures.map(Math.round).sort((one, other) => one - other);
  return [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].join(" .. ");
}

function readOf(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it has gone
  }
}
