import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { waitFor } from "./wait.ts";

const globalHeaderBytes = 24;
const recordHeaderBytes = 16;
const ethernetBytes = 14;
const udpBytes = 8;

/** Records the heartbeat datagrams of one bridge with tcpdump, so that they can be sent again. */
export class PacketTap {
  readonly #file: string;
  readonly #tcpdump: ChildProcess;

  private constructor(file: string, tcpdump: ChildProcess) {
    this.#file = file;
    this.#tcpdump = tcpdump;
  }

  /** Listens on `bridge` of a namespace to what `source` sends; ready when it returns. */
  static async open(options: {
    readonly namespace: string;
    readonly bridge: string;
    readonly source: string;
    readonly file: string;
  }): Promise<PacketTap> {
    const { namespace, bridge, source, file } = options;
    const filter = ["udp", "port", "694", "and", "src", "host", source];
    const tcpdump = spawn(
      "ip",
      [
        "netns",
        "exec",
        namespace,
        "tcpdump",
        "-U",
        "-Z",
        "root",
        "-i",
        bridge,
        "-w",
        file,
        ...filter,
      ],
      { stdio: "ignore" },
    );
    const tap = new PacketTap(file, tcpdump);
    await waitFor("a datagram is recorded", () => tap.payloads().length > 0, 15_000);
    return tap;
  }

  /** UDP payloads so far, in order. */
  payloads(): readonly Buffer[] {
    if (!existsSync(this.#file)) return [];
    const bytes = readFileSync(this.#file);
    const found: Buffer[] = [];
    let at = globalHeaderBytes;
    while (at + recordHeaderBytes <= bytes.length) {
      const length = bytes.readUInt32LE(at + 8);
      const frame = bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + length);
      if (frame.length < length) break; // Being written.
      const ipBytes = ((frame[ethernetBytes] ?? 0) & 15) * 4;
      found.push(frame.subarray(ethernetBytes + ipBytes + udpBytes));
      at += recordHeaderBytes + length;
    }
    return found;
  }

  close(): void {
    this.#tcpdump.kill("SIGKILL");
  }
}

/** Program text that sends each line of standard input, hex, as a datagram to `address` port 694. */
export const sendAgain = (address: string): string => `
const socket = require("node:dgram").createSocket("udp4");
const lines = require("node:fs").readFileSync(0, "utf8").split("\\n").filter(Boolean);
let next = 0;
const timer = setInterval(() => {
  if (next === lines.length) { clearInterval(timer); socket.close(); return; }
  socket.send(Buffer.from(lines[next++], "hex"), 694, "${address}");
}, 5);
`;
