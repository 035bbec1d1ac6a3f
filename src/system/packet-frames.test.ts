import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseIp } from "../base/index.ts";
import { announcementFrames, claimedMac, formatMac, probeFrame } from "./packet-frames.ts";

const ipv4 = parseIp("192.168.0.222") ?? new Uint8Array();
const ipv6 = parseIp("2001:db8::222") ?? new Uint8Array();
const mac = Uint8Array.from([2, 0xfc, 0, 0, 0, 1]);
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

test("gratuitous ARP goes out in both forms, to everybody", () => {
  deepEqual(announcementFrames(ipv4, mac).map(hex), [
    "ffffffffffff02fc000000010806" + "000108000604000102fc00000001c0a800de000000000000c0a800de",
    "ffffffffffff02fc000000010806" + "000108000604000202fc00000001c0a800deffffffffffffc0a800de",
  ]);
});

test("a probe of RFC 5227 names no sender address", () => {
  equal(
    hex(probeFrame(ipv4, mac)),
    "ffffffffffff02fc000000010806000108000604000102fc0000000100000000000000000000c0a800de",
  );
});

test("announcements are read as what they say; probes say nothing", () => {
  for (const address of [ipv4, ipv6]) {
    for (const frame of announcementFrames(address, mac)) {
      equal(formatMac(claimedMac(frame, address) ?? new Uint8Array()), "02:fc:00:00:00:01");
    }
    equal(claimedMac(probeFrame(address, mac), address), undefined);
  }
  for (const frame of announcementFrames(ipv4, mac)) {
    equal(claimedMac(frame, parseIp("192.168.0.223") ?? new Uint8Array()), undefined);
  }
});

test("an advertisement with any bit of its message turned is not believed", () => {
  const [frame] = announcementFrames(ipv6, mac);
  fc.assert(
    fc.property(fc.integer({ min: 54 * 8, max: 86 * 8 - 1 }), (bit) => {
      const damaged = Uint8Array.from(frame ?? []);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      equal(claimedMac(damaged, ipv6), undefined);
    }),
  );
});

test("no bytes make the parser throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(90), (noise, cut) => {
      for (const address of [ipv4, ipv6]) {
        claimedMac(noise, address);
        for (const frame of announcementFrames(address, mac)) {
          const short = claimedMac(frame.subarray(0, cut), address);
          if (cut < frame.length) equal(short, undefined);
        }
      }
    }),
  );
});
