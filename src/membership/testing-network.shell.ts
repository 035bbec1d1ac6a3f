/**
 * For tests: two hosts as network namespaces, joined by veth pairs named as on the chapter's hosts. Names
 * begin with `btn-<pid>-`; everything goes when it is disposed, also when a test fails.
 */
import { spawnSync } from "node:child_process";

let count = 0;
const standing = new Set<TestNetwork>();
process.once("exit", () => {
  for (const network of standing) network[Symbol.dispose]();
});

/** Two network namespaces with two links between them, for tests; gone when disposed of. */
export class TestNetwork implements Disposable {
  /** Namespaces of host 157 and host 158. */
  readonly hosts: readonly [string, string];

  /** @param devices each joins both hosts; the n-th (from 0) has the network 10.77.n.0/24 and fd77:n::/64 */
  constructor(devices: readonly string[] = ["eth0"]) {
    count += 1;
    this.hosts = [`btn-${process.pid}-${count}a`, `btn-${process.pid}-${count}b`];
    standing.add(this);
    for (const host of this.hosts) {
      ip(["netns", "add", host]);
      this.execute(host, ["ip", "link", "set", "lo", "up"]);
      // Duplicate detection would keep new IPv6 addresses back for seconds.
      for (const where of ["all", "default"]) {
        this.execute(host, ["sh", "-c", `echo 0 >/proc/sys/net/ipv6/conf/${where}/accept_dad`]);
      }
    }
    for (const device of devices) this.plug(device, devices.indexOf(device));
  }

  /** Puts a cable between the hosts: makes the device on both. */
  plug(device: string, number = 0): void {
    const [one, other] = this.hosts;
    const peer = ["peer", "name", device, "netns", other];
    ip(["link", "add", device, "netns", one, "type", "veth", ...peer]);
    this.hosts.forEach((host, index) => {
      this.address(host, device, `10.77.${number}.${157 + index}/24`);
      ip(["-n", host, "address", "add", `fd77:${number}::${157 + index}/64`, "dev", device]);
      ip(["-n", host, "link", "set", device, "up"]);
    });
  }

  /** Takes the card out of one host; the device of the other goes with it. */
  unplug(device: string): void {
    ip(["-n", this.hosts[0], "link", "delete", device]);
  }

  address(host: string, device: string, cidr: string): void {
    ip(["-n", host, "address", "add", cidr, "broadcast", "+", "dev", device]);
  }

  link(host: string, device: string, state: "up" | "down"): void {
    ip(["-n", host, "link", "set", device, state]);
  }

  execute(host: string, command: readonly string[]): void {
    ip(["netns", "exec", host, ...command]);
  }

  [Symbol.dispose](): void {
    if (!standing.delete(this)) return;
    for (const host of this.hosts) spawnSync("ip", ["netns", "delete", host], { stdio: "ignore" });
  }
}

function ip(args: readonly string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr.trim()}`);
}
