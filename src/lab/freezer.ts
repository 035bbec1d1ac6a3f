/**
 * The freezer of a host: a cgroup that holds all its processes (v2, or the v1 controller), or, where
 * neither can be had, SIGSTOP for each. The cgroup also tells which processes belong to a host.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { delay } from "../system/clock.ts";
import { processesOfNamespace, signalProcess } from "./processes.ts";

export type FreezerKind =
  | { readonly kind: "v1"; readonly root: string }
  | { readonly kind: "v2"; readonly root: string }
  | { readonly kind: "none" };

/** How long the kernel may take to stop every process of a host, one in a disk wait included. */
const freezeLimitMs = 5_000;

/** What this machine offers. On a hybrid machine only the v1 hierarchy may have the freezer: it goes first. */
export function detectFreezer(mounts = readFileSync("/proc/self/mounts", "utf8")): FreezerKind {
  const rows = mounts.split("\n").map((line) => line.split(" "));
  const v1 = rows.find(([, , type, options]) => type === "cgroup" && hasOption(options, "freezer"));
  if (v1?.[1] !== undefined) return { kind: "v1", root: v1[1] };
  const v2 = rows.find(([, , type, options]) => type === "cgroup2" && hasOption(options, "rw"));
  if (v2?.[1] !== undefined) return { kind: "v2", root: v2[1] };
  return { kind: "none" };
}

function hasOption(options: string | undefined, name: string): boolean {
  return options?.split(",").includes(name) ?? false;
}

/** The freezer of one lab. `group` is a host's name, or `timers`. */
export class Freezer {
  readonly #kind: FreezerKind;
  readonly #cgroup: string;

  constructor(cgroup: string, kind: FreezerKind = detectFreezer()) {
    this.#kind = kind;
    this.#cgroup = cgroup;
  }

  /** The file to which a process writes its number to join; `/dev/null` without cgroups. */
  procsFile(group: string): string {
    return this.#kind.kind === "none" ? "/dev/null" : join(this.#path(group), "cgroup.procs");
  }

  /** Makes the group, if it is not there. */
  create(group: string): void {
    if (this.#kind.kind !== "none") mkdirSync(this.#path(group), { recursive: true });
  }

  /** All processes of a group; those of the host's PID namespace where there are no cgroups. */
  processes(group: string, init: number | undefined): number[] {
    if (this.#kind.kind === "none") return init === undefined ? [] : processesOfNamespace(init);
    return readProcs(this.#path(group));
  }

  /** Processes in any group of this lab. */
  allProcesses(): number[] {
    return this.#groups().flatMap((group) => readProcs(this.#path(group)));
  }

  /** Stops all of a group; returns once the kernel says that it has. @throws {Error} after 5 s */
  async freeze(group: string, init: number | undefined): Promise<void> {
    const kind = this.#kind;
    if (kind.kind === "none") {
      for (const pid of this.processes(group, init)) signalProcess(pid, "SIGSTOP");
      return;
    }
    const v1 = kind.kind === "v1";
    const file = join(this.#path(group), v1 ? "freezer.state" : "cgroup.freeze");
    writeFileSync(file, v1 ? "FROZEN" : "1");
    const watched = v1 ? file : join(this.#path(group), "cgroup.events");
    const wanted = v1 ? /^FROZEN/ : /^frozen 1$/m;
    for (let leftMs = freezeLimitMs; !wanted.test(readFileSync(watched, "utf8")); leftMs -= 5) {
      if (leftMs <= 0) throw new Error(`Cannot freeze ${group}: a process does not stop`);
      await delay(5);
    }
  }

  /** Lets all of a group go on. A group that is not there has nothing to thaw. */
  thaw(group: string, init: number | undefined): void {
    if (this.#kind.kind === "none") {
      for (const pid of this.processes(group, init)) signalProcess(pid, "SIGCONT");
      return;
    }
    const [file, word] = this.#thawing(this.#kind.kind, group);
    if (existsSync(file)) writeFileSync(file, word);
  }

  /** The same as a line of shell, for the process that thaws by itself. */
  thawScript(group: string, init: number | undefined): string {
    if (this.#kind.kind === "none") return `kill -CONT ${this.processes(group, init).join(" ")}`;
    const [file, word] = this.#thawing(this.#kind.kind, group);
    return `echo ${word} > '${file}'`;
  }

  /** Removes every group without processes; returns those that remain. */
  removeAll(): string[] {
    const groups = this.#groups();
    if (groups.length === 0) return [];
    for (const group of [...groups].reverse()) {
      try {
        rmdirSync(this.#path(group));
      } catch {
        // busy: it is among those that remain
      }
    }
    return this.#groups().map((group) => this.#path(group));
  }

  #thawing(kind: "v1" | "v2", group: string): [string, string] {
    return kind === "v1"
      ? [join(this.#path(group), "freezer.state"), "THAWED"]
      : [join(this.#path(group), "cgroup.freeze"), "0"];
  }

  /** `""` is the lab's own group, the parent of the others; it comes first. */
  #groups(): string[] {
    if (this.#kind.kind === "none" || !existsSync(this.#path(""))) return [];
    const below = readdirSync(this.#path(""), { withFileTypes: true });
    return ["", ...below.filter((entry) => entry.isDirectory()).map(({ name }) => name)];
  }

  #path(group: string): string {
    if (this.#kind.kind === "none") throw new Error("There is no freezer cgroup");
    return join(this.#kind.root, this.#cgroup, group);
  }
}

function readProcs(path: string): number[] {
  try {
    return readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  } catch {
    return []; // the group has gone, and its processes before it
  }
}
