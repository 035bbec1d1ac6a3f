/** The kernel's DRBD in a guest as one side of a scenario. */
import type { KernelPeer } from "./guest.ts";
import { drbdConf, type ResourceEnd, type ResourceOptions, resourceName } from "./resource.ts";
import { type Command, type Outcome, type Side, stateLimitMs } from "./side.ts";

/** What every command of a guest begins with. `state` is the line that `Side` promises. */
const prelude = `set -e
D=/dev/drbd0 M=/mnt
state() {
  [ -e /proc/drbd ] && grep -q '^ 0: cs:' /proc/drbd || { echo cs:Unconfigured; return; }
  sed -n '/^ 0: /,$p' /proc/drbd | tr '\\n' ' ' |
    sed 's/^ *0: \\(cs:[^ ]*\\) *\\(ro:[^ ]*\\)* *\\(ds:[^ ]*\\)*.*\\(oos:[0-9]*\\).*/\\1 \\2 \\3 \\4/;s/^ *0: //'
}
dd() { /usr/bin/dd "$@"; }
blkdiscard() { /usr/sbin/blkdiscard "$@"; }
fill() {
  b=$1
  while [ $b -lt $(($1 + $2)) ]; do yes "$3 block $b" | head -c 4096; b=$((b + 1)); done |
    dd of=$D bs=4k seek=$1 oflag=direct iflag=fullblock conv=notrunc,nocreat status=none
}
`;

/** DRBD in `peer`, on one of its disks. */
export class KernelSide implements Side {
  readonly #peer: KernelPeer;
  #index = 0;
  #conf = "";
  #files: Readonly<Record<string, string>> = {};

  constructor(peer: KernelPeer) {
    this.#peer = peer;
  }

  get name(): string {
    return this.#peer.name;
  }

  get backing(): string {
    return this.#peer.disk(this.#index);
  }

  /** Its end of a resource, and from now on its backing: disk `index`. */
  end(index: number): ResourceEnd {
    this.#index = index;
    return { host: this.name, address: this.#peer.address, backing: this.#peer.device(index) };
  }

  /** Options for what follows; `files` are further scripts, path to text. */
  async configure(
    ends: readonly [ResourceEnd, ResourceEnd],
    options: ResourceOptions,
    secret?: string,
    files: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    this.#conf = drbdConf(ends, options, secret);
    this.#files = files;
    await this.#write();
  }

  async createMetadata(): Promise<void> {
    const device = this.#peer.device(this.#index);
    await this.shell(
      `blkdiscard -f ${device} && yes yes | drbdadm -- --force create-md ${resourceName}`,
    );
  }

  async up(): Promise<void> {
    // The other side may have written to this disk since the guest last looked.
    await this.shell(
      `blockdev --flushbufs ${this.#peer.device(this.#index)} && drbdadm up ${resourceName}`,
    );
  }

  async try(command: Command): Promise<Outcome> {
    const volume = command.startsWith("new-current-uuid") ? "/0" : "";
    const { status, stdout, stderr } = await this.#exec(
      `drbdadm ${command} ${resourceName}${volume}`,
    );
    return { done: status === 0, detail: `status ${status}: ${stdout}${stderr}`.trim() };
  }

  async state(): Promise<string> {
    return (await this.shell("state")).trim();
  }

  async until(pattern: string, limitMs = stateLimitMs): Promise<void> {
    const rounds = Math.ceil(limitMs / 150);
    const { status, stdout } = await this.#exec(
      `n=0; until s=$(state); echo "$s" | grep -Eq '${pattern}'; do
         n=$((n + 1)); [ $n -lt ${rounds} ] || { echo "$s"; exit 1; }; usleep 100000; done`,
      limitMs * 3,
    );
    if (status === 0) return;
    throw new Error(`${this.name} does not become ${pattern}, it is ${stdout.trim()}`);
  }

  async fill(first: number, count: number, word: string): Promise<void> {
    await this.shell(`fill ${first} ${count} ${word}`);
  }

  async shell(text: string): Promise<string> {
    return await this.#peer.run(prelude + text);
  }

  async crash(): Promise<void> {
    await this.#peer.reset();
  }

  async restart(): Promise<void> {
    await this.#write();
  }

  async explain(): Promise<string> {
    const { stdout } = await this.#exec(
      "set +e; cat /proc/drbd; dmesg | grep -E 'drbd|d-con' | tail -60",
    );
    return `== ${this.name}\n${stdout}`;
  }

  async clean(): Promise<void> {
    await this.#exec(
      `set +e; umount /mnt; drbdadm down ${resourceName} || { drbdsetup disconnect ${resourceName} --force; drbdsetup down ${resourceName}; }; dmesg -c`,
    );
  }

  #exec(text: string, limitMs?: number) {
    return this.#peer.exec(prelude + text, limitMs);
  }

  async #write(): Promise<void> {
    const files = { [`/etc/drbd.d/${resourceName}.res`]: this.#conf, ...this.#files };
    for (const [path, text] of Object.entries(files)) {
      const coded = Buffer.from(text).toString("base64");
      await this.#peer.run(`echo ${coded} | base64 -d >${path}; chmod 755 ${path}`);
    }
  }
}
