/**
 * A network of this test run: one namespace `btn-<pid>-lan` with a bridge, in which the guests have taps and Baton's
 * disk process runs as 10.77.0.254; and a directory for disks, sockets and logs. Everything is found again by them, so that what a
 * killed run left behind is swept at the next start.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "../support/wait.ts";

/** Why these tests can not be run here; false if they can. */
export const skip = whyNot();

const directoryPrefix = "btn-kernel-";
const ownerFile = "owner.json";

interface Owner {
  readonly pid: number;
  readonly startTime: string;
  readonly namespace: string;
}

/** The namespace and what is in it. */
export class Lan implements AsyncDisposable {
  readonly namespace: string;
  readonly directory: string;
  /** Where Baton's side listens. */
  readonly batonAddress = "10.77.0.254";
  #captures: ChildProcess[] = [];

  private constructor(namespace: string, directory: string) {
    this.namespace = namespace;
    this.directory = directory;
  }

  /** Sweeps what is left of killed runs, then makes the namespace. One at a time in a process. */
  static open(): Lan {
    sweep();
    const directory = mkdtempSync(join(realpathSync(tmpdir()), directoryPrefix));
    const namespace = `btn-${process.pid}-lan`;
    const owner: Owner = { pid: process.pid, startTime: startTime(process.pid) ?? "", namespace };
    writeFileSync(join(directory, ownerFile), JSON.stringify(owner));
    const lan = new Lan(namespace, directory);
    ip("netns", "add", namespace);
    lan.ip("link", "set", "lo", "up");
    const bridge = ["br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"];
    lan.ip("link", "add", ...bridge);
    lan.ip("link", "set", "br0", "up");
    lan.ip("addr", "add", `${lan.batonAddress}/24`, "broadcast", "+", "dev", "br0");
    return lan;
  }

  /** ip(8) inside the namespace. */
  ip(...words: readonly string[]): string {
    return ip("-n", this.namespace, ...words);
  }

  /** A command line that runs `words` in this network. */
  command(words: readonly string[]): readonly string[] {
    return ["ip", "netns", "exec", this.namespace, ...words];
  }

  /** A new tap on the bridge. */
  addTap(name: string): void {
    this.ip("tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr");
    this.ip("link", "set", name, "master", "br0", "up");
  }

  /** Records what DRBD says on the bridge, until the network is closed. @returns the file */
  async capture(name: string, port = 7788): Promise<string> {
    const file = join(this.directory, `${name}.pcap`);
    const words = [
      "tcpdump",
      "-Z",
      "root",
      "-i",
      "br0",
      "-s",
      "0",
      "-U",
      "--immediate-mode",
      "-B",
      "8192",
      "-w",
      file,
    ];
    const [program = "", ...rest] = this.command([...words, "tcp", "port", `${port}`]);
    const tcpdump = spawn(program, rest, { stdio: "ignore" });
    this.#captures.push(tcpdump);
    await waitFor("tcpdump listens", () => existsSync(file), 10_000);
    return file;
  }

  /** Ends every capture; their files stay until the network is closed. */
  async endCaptures(): Promise<void> {
    const captures = this.#captures;
    this.#captures = [];
    for (const tcpdump of captures) tcpdump.kill("SIGINT");
    await Promise.all(captures.map((tcpdump) => ended(tcpdump, 5_000)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endCaptures();
    remove(this.directory, this.namespace);
  }
}

/** Waits for the end of a child; after `limitMs` it is killed. */
export async function ended(child: ChildProcess, limitMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Field 22 of proc(5) stat: tells a process from a later one with the same number. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined; // No such process.
  }
}

/** Removes what runs left behind whose own process is gone. */
export function sweep(): void {
  const folder = realpathSync(tmpdir());
  for (const name of readdirSync(folder).filter((found) => found.startsWith(directoryPrefix))) {
    const directory = join(folder, name);
    const file = join(directory, ownerFile);
    if (!existsSync(file)) continue; // Of a run that is just beginning.
    const owner = JSON.parse(readFileSync(file, "utf8")) as Owner;
    if (startTime(owner.pid) !== owner.startTime) remove(directory, owner.namespace);
  }
}

/** Ends whatever lives in the namespace: everything there is a child of the run that made it. */
function remove(directory: string, namespace: string): void {
  if (existsSync(`/run/netns/${namespace}`)) {
    for (let round = 0; round < 100; round++) {
      const pids = ip("netns", "pids", namespace).split("\n").filter(Boolean).map(Number);
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    ip("netns", "del", namespace);
  }
  for (const place of [directory, batonRunDirectory(namespace)]) {
    dropLoops(place);
  }
  for (const mount of mountsBelow(directory)) execFileSync("umount", ["-l", mount]);
  rmSync(directory, { recursive: true, force: true });
}

/**
 * Where Baton's process of a network has its sockets and its FUSE file. Of this run alone: a loop device of any mount
 * namespace is listed by the path that its file has there, and those below the usual name are not ours to detach.
 */
export const batonRunDirectory = (namespace: string): string =>
  `/run/${namespace.replace(/-lan$/, "-baton")}`;

/** Detaches the loop devices whose file is below a directory of ours. */
export function dropLoops(directory: string): void {
  for (const loop of loopsBelow(directory)) execFileSync("losetup", ["-d", loop]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Ended meanwhile, which is what was wanted.
  }
}

function loopsBelow(directory: string): readonly string[] {
  const said = execFileSync("losetup", ["-n", "-O", "NAME,BACK-FILE"], { encoding: "utf8" });
  const lines = said.split("\n").filter((line) => line.includes(`${directory}/`));
  return lines.map((line) => line.split(" ")[0] ?? "");
}

function mountsBelow(directory: string): readonly string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const points = lines.map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point.startsWith(`${directory}/`)).reverse();
}

function ip(...words: readonly string[]): string {
  return execFileSync("ip", words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function whyNot(): string | false {
  if (process.arch !== "x64") return "not run: the guests are x86-64";
  if (process.getuid?.() !== 0) return "not run: network namespaces and taps need root";
  if (!existsSync("/dev/net/tun")) return "not run: there is no /dev/net/tun";
  return false;
}

/** A directory below the network's, made if it is not there. */
export function folder(lan: Lan, name: string): string {
  const path = join(lan.directory, name);
  mkdirSync(path, { recursive: true });
  return path;
}
