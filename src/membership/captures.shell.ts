/** Test support: reads the captures under `testdata/heartbeat`. No part of the product imports it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One packet of a capture that carries heartbeat: UDP, or the payload of an ICMP echo. */
export interface CapturedPacket {
  readonly protocol: "udp" | "icmpRequest" | "icmpReply";
  /** Milliseconds since the first packet of the file. */
  readonly atMs: number;
  readonly source: string;
  readonly destination: string;
  readonly payload: Uint8Array;
}

export interface Capture {
  readonly name: string;
  readonly packets: readonly CapturedPacket[];
  /** What else there was, by kind: nothing is left out without being counted. */
  readonly others: ReadonlyMap<string, number>;
}

const directory = join(import.meta.dirname, "testdata/heartbeat");

/** Names of all captures, without suffix. */
export const captureNames = (): readonly string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".pcap"))
    .map((name) => name.slice(0, -".pcap".length))
    .sort();

/** Reads a little-endian pcap of ethernet frames. @throws {Error} on another kind of file */
export function readCapture(name: string): Capture {
  const file = readFileSync(join(directory, `${name}.pcap`));
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1) {
    throw new Error(`Cannot read ${name}: not a little-endian ethernet capture`);
  }
  const packets: CapturedPacket[] = [];
  const others = new Map<string, number>();
  let firstMs: number | undefined;
  for (let at = 24; at < file.length; ) {
    const capturedBytes = file.readUInt32LE(at + 8);
    if (capturedBytes !== file.readUInt32LE(at + 12)) throw new Error(`Cut packet in ${name}`);
    const timeMs = file.readUInt32LE(at) * 1_000 + file.readUInt32LE(at + 4) / 1_000;
    firstMs ??= timeMs;
    const frame = file.subarray(at + 16, at + 16 + capturedBytes);
    const packet = dissect(frame, timeMs - firstMs);
    if (typeof packet === "string") others.set(packet, (others.get(packet) ?? 0) + 1);
    else packets.push(packet);
    at += 16 + capturedBytes;
  }
  return { name, packets, others };
}

/** A packet, or the name of what it is instead. */
function dissect(frame: Buffer, atMs: number): CapturedPacket | string {
  const etherType = frame.readUInt16BE(12);
  if (etherType !== 0x0800) return `ethertype ${etherType.toString(16)}`;
  const ip = frame.subarray(14);
  const headerBytes = (ip.readUInt8(0) & 15) * 4;
  if ((ip.readUInt16BE(6) & 0x3fff) !== 0) return "ip fragment";
  const body = ip.subarray(headerBytes, ip.readUInt16BE(2));
  const source = [...ip.subarray(12, 16)].join(".");
  const destination = [...ip.subarray(16, 20)].join(".");
  switch (ip.readUInt8(9)) {
    case 17: {
      const payload = new Uint8Array(body.subarray(8, body.readUInt16BE(4)));
      return { protocol: "udp", atMs, source, destination, payload };
    }
    case 1: {
      const kind = body.readUInt8(0);
      if (kind !== 0 && kind !== 8) return `icmp type ${kind}`;
      const protocol = kind === 0 ? "icmpReply" : "icmpRequest";
      return { protocol, atMs, source, destination, payload: new Uint8Array(body.subarray(8)) };
    }
    default:
      return `ip protocol ${ip.readUInt8(9)}`;
  }
}
