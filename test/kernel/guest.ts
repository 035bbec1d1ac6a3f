/**
 * A machine with the kernel's own DRBD 8.4.11 as the peer: QEMU without KVM, in the namespace of a `Lan`. Commands travel
 * over virtio-serial, so they work with the cable pulled. Its disks are raw files on this host, written through this
 * host's page cache: they outlive resets, and may be read here at any moment, or used here once the guest has let go.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { waitFor } from "../support/wait.ts";
import { ensureImage } from "./image.ts";
import { ended, folder, type Lan } from "./lan.ts";

/** What a command in the guest came to. */
export interface ExecResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface KernelPeerOptions {
  readonly lan: Lan;
  /** Also the guest's `uname -n`; at most 8 characters. */
  readonly name: string;
  readonly address: string;
  /** Raw files: /dev/vda, /dev/vdb and so on. */
  readonly disks: readonly string[];
  /** Further lines of /etc/hosts: name to address. */
  readonly hosts?: Readonly<Record<string, string>>;
}

const channelNames = ["c0", "c1", "c2"] as const;
const memoryMib = 160;
/** Emulated on a busy machine; alone it takes about three seconds. */
const bootLimitMs = 90_000;
const execLimitMs = 120_000;

/** One guest. */
export class KernelPeer implements AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly #lan: Lan;
  readonly #options: KernelPeerOptions;
  readonly #directory: string;
  readonly #channels: Channel[] = [];
  #monitor: Monitor | undefined;
  #qemu: ChildProcess | undefined;

  private constructor(options: KernelPeerOptions) {
    this.name = options.name;
    this.address = options.address;
    this.#lan = options.lan;
    this.#options = options;
    this.#directory = folder(options.lan, options.name);
  }

  /** Boots, and waits until the guest takes commands. */
  static async start(options: KernelPeerOptions): Promise<KernelPeer> {
    const peer = new KernelPeer(options);
    options.lan.addTap(peer.#tap());
    try {
      await peer.#powerOn();
    } catch (error) {
      await peer.powerOff();
      throw new Error(`${peer.name} does not start:\n${peer.console()}`, { cause: error });
    }
    return peer;
  }

  /** The file behind /dev/vda (0), /dev/vdb (1) and so on. */
  disk(index: number): string {
    return this.#options.disks[index] ?? "";
  }

  /** The same, as the guest calls it. */
  device(index: number): string {
    return `/dev/vd${"abcdefgh"[index]}`;
  }

  /** Runs shell text (busybox sh); up to three at once, more wait for their turn. */
  async exec(text: string, limitMs = execLimitMs): Promise<ExecResult> {
    const channel = this.#channels.reduce((best, other) =>
      other.waiting < best.waiting ? other : best,
    );
    return await channel.exec(text, limitMs);
  }

  /** As `exec`, and fails if the status is not 0. @returns the output */
  async run(text: string, limitMs = execLimitMs): Promise<string> {
    const { status, stdout, stderr } = await this.exec(text, limitMs);
    if (status !== 0) {
      throw new Error(`On ${this.name}: ${text}\nstatus ${status}\n${stdout}${stderr}`);
    }
    return stdout;
  }

  /** Power is cut and comes back: memory is lost, disks are as they were. Waits until it takes commands again. */
  async reset(): Promise<void> {
    for (const channel of this.#channels) channel.reset();
    await this.#monitor?.execute("system_reset");
    await this.#up();
  }

  /** Power is cut until `reset`: the processor stands still, nothing is sent or written. */
  async freeze(): Promise<void> {
    await this.#monitor?.execute("stop");
  }

  async thaw(): Promise<void> {
    await this.#monitor?.execute("cont");
  }

  async linkDown(): Promise<void> {
    await this.#monitor?.execute("set_link", { name: "nic", up: false });
  }

  async linkUp(): Promise<void> {
    await this.#monitor?.execute("set_link", { name: "nic", up: true });
  }

  /** Ends it at once; its disks stay. */
  async powerOff(): Promise<void> {
    const qemu = this.#qemu;
    this.#qemu = undefined;
    for (const channel of this.#channels) channel.close();
    this.#monitor?.close();
    if (qemu === undefined) return;
    qemu.kill("SIGKILL");
    await ended(qemu, 10_000);
  }

  /** What its kernel and its boot script printed. */
  console(): string {
    return readOr(join(this.#directory, "console")) + readOr(join(this.#directory, "qemu.err"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
  }

  #tap(): string {
    return `t-${this.name}`;
  }

  async #powerOn(): Promise<void> {
    const errors = openSync(join(this.#directory, "qemu.err"), "w");
    const [program = "", ...words] = this.#lan.command(["qemu-system-x86_64", ...this.#words()]);
    this.#qemu = spawn(program, words, { stdio: ["ignore", "ignore", errors] });
    closeSync(errors);
    this.#monitor = new Monitor(await this.#connect("monitor"));
    for (const name of channelNames) this.#channels.push(new Channel(await this.#connect(name)));
    await this.#monitor.execute("qmp_capabilities");
    await this.#monitor.execute("cont");
    await this.#up();
  }

  async #up(): Promise<void> {
    await Promise.all(this.#channels.map((channel) => channel.up(bootLimitMs)));
  }

  #connect(name: string): Promise<Socket> {
    return waitFor(
      `QEMU of ${this.name} listens`,
      async () => {
        if (this.#qemu?.exitCode !== null) throw new Error("QEMU ended");
        return await connected(join(this.#directory, `${name}.sock`));
      },
      20_000,
    );
  }

  #words(): readonly string[] {
    const { disks, hosts = {} } = this.#options;
    const image = ensureImage();
    const known = { [this.name]: this.address, ...hosts };
    const hostList = Object.entries(known).map(([host, address]) => `${host}:${address}`);
    const kernelWords = [
      "console=ttyS0 quiet loglevel=4 panic=-1 net.ifnames=0 mitigations=off tsc=reliable no_timer_check",
      "cryptomgr.notests nokaslr 8250.nr_uarts=1 random.trust_cpu=on",
      `baton.host=${this.name} baton.address=${this.address}/24 baton.hosts=${hostList.join(",")}`,
    ];
    const socket = (id: string): string =>
      `socket,id=${id},path=${join(this.#directory, id)}.sock,server=on,wait=off`;
    return [
      ...["-name", this.name, "-machine", "q35,usb=off,smbus=off,sata=off,vmport=off"],
      ...["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "max,la57=off", "-m", `${memoryMib}`],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-S"],
      ...["-kernel", image.kernel, "-initrd", image.initrd, "-append", kernelWords.join(" ")],
      ...["-chardev", `file,id=con,path=${join(this.#directory, "console")},append=on`],
      ...["-serial", "chardev:con"],
      ...["-chardev", socket("monitor"), "-mon", "chardev=monitor,mode=control"],
      ...["-device", "virtio-serial-pci,max_ports=8", "-device", "virtio-rng-pci"],
      ...channelNames.flatMap((name) => [
        ...["-chardev", socket(name)],
        ...["-device", `virtserialport,chardev=${name},name=${name}`],
      ]),
      // The guest's flushes need not reach our platter: what it loses at a reset is its own memory.
      ...disks.flatMap((file, index) => [
        "-drive",
        `file=${file},if=none,id=d${index},format=raw,discard=unmap,cache=unsafe,file.locking=off`,
        ...["-device", `virtio-blk-pci,drive=d${index}`],
      ]),
      ...["-netdev", `tap,id=net,ifname=${this.#tap()},script=no,downscript=no,vhost=off`],
      ...["-device", `virtio-net-pci,id=nic,netdev=net,mac=${this.#mac()},romfile=`],
    ];
  }

  #mac(): string {
    const last = Number(this.address.split(".")[3]);
    return `52:54:00:77:00:${last.toString(16).padStart(2, "0")}`;
  }
}

interface Pending {
  readonly id: number;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** One end of a command channel; image/channel is the other. The guest takes one command after the other. */
class Channel {
  readonly #socket: Socket;
  #rest = "";
  #pending: Pending[] = [];
  #nextId = 1;
  #isUp = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (chunk: string) => this.#read(chunk));
    socket.on("error", () => undefined); // Ends with QEMU; `close` tells who waits.
    socket.on("close", () => this.reset());
  }

  get waiting(): number {
    return this.#pending.length;
  }

  up(limitMs: number): Promise<boolean> {
    return waitFor("the guest takes commands", () => this.#isUp, limitMs);
  }

  exec(text: string, limitMs: number): Promise<ExecResult> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending = this.#pending.filter((pending) => pending.id !== id);
        reject(new Error(`No answer within ${limitMs} ms to: ${text}`));
      }, limitMs);
      this.#pending.push({ id, resolve, reject, timer });
      this.#socket.write(`${id} ${Buffer.from(text).toString("base64")}\n`);
    });
  }

  /** Whoever waits is told that there will be no answer. */
  reset(): void {
    this.#isUp = false;
    this.#rest = "";
    for (const { reject, timer } of this.#pending) {
      clearTimeout(timer);
      reject(new Error("The guest was reset or ended before it answered"));
    }
    this.#pending = [];
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "UP") this.#isUp = true;
      const [id, status, out, err] = line.split(" ");
      const pending = this.#pending.find((waiting) => `${waiting.id}` === id);
      if (pending === undefined || out === undefined || err === undefined) continue;
      this.#pending = this.#pending.filter((waiting) => waiting !== pending);
      clearTimeout(pending.timer);
      pending.resolve({ status: Number(status), stdout: decode(out), stderr: decode(err) });
    }
  }
}

const decode = (field: string): string => Buffer.from(field.slice(1), "base64").toString("utf8");

/** QEMU's monitor in its machine-readable form: one JSON object a line. */
class Monitor {
  readonly #socket: Socket;
  #rest = "";
  #answers: ((answer: { error?: { desc: string } }) => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8").on("data", (chunk: string) => this.#read(chunk));
    socket.on("error", () => undefined); // Ends with QEMU.
  }

  /** @throws {Error} with QEMU's reason */
  async execute(command: string, words?: Readonly<Record<string, unknown>>): Promise<void> {
    const answer = await new Promise<{ error?: { desc: string } }>((resolve) => {
      this.#answers.push(resolve);
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: words })}\n`);
    });
    if (answer.error !== undefined)
      throw new Error(`QEMU refuses ${command}: ${answer.error.desc}`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const value = JSON.parse(line) as Record<string, unknown>;
      if ("return" in value || "error" in value) this.#answers.shift()?.(value);
    }
  }
}

/** A connected socket; undefined if nothing listens there yet. */
function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It was never started.
  }
}
