import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { type CapturedPacket, captureNames, readCapture } from "../captures.shell.ts";
import { nodeHmac } from "../hmac.shell.ts";
import { checkInner, openDatagram, sealNetstring, stringField } from "./frame.ts";
import type { Keyring } from "./model.ts";

const keyring: Keyring = {
  mode: "classic",
  clusterId: "",
  keys: [
    { index: 1, method: "sha1", secret: "HA_JACKBILLOW" },
    { index: 2, method: "md5", secret: "HA_JACKBILLOW" },
    { index: 3, method: "crc", secret: "" },
  ],
  sendIndex: 1,
};

/** UDP datagrams and ICMP echoes in each capture, so that none can be left out unnoticed. */
const counts: Readonly<Record<string, readonly [udp: number, icmp: number]>> = {
  "01-cold-start-both": [418, 0],
  "02-cold-start-alone": [94, 0],
  "03-graceful-stop-holder": [120, 0],
  "04-crash-of-holder": [68, 0],
  "05-rejoin-failback-off": [88, 0],
  "06-rejoin-failback-on": [332, 0],
  "07-cold-start-two-groups": [448, 0],
  "10-standby-all": [189, 0],
  "10-standby-failback": [94, 0],
  "10-standby-foreign": [94, 0],
  "10-standby-local": [190, 0],
  "11-takeover-all": [192, 0],
  "11-takeover-failback": [188, 0],
  "11-takeover-foreign": [190, 0],
  "11-takeover-local": [178, 0],
  "12-one-link-lost": [148, 0],
  "13-split-brain-merge": [379, 0],
  "14-packet-loss-rexmit": [88, 0],
  "15a-ipfail-start": [180, 110],
  "15b-ipfail-failover": [246, 137],
  "15c-ipfail-restored": [198, 158],
  "16-dopd-outdate": [22, 0],
  "17-seed-cold-start": [150, 0],
  "17b-seed-crash-takeover": [23, 0],
  "18-auth-crc": [179, 0],
  "18-auth-md5": [177, 0],
  "19-media-bcast": [173, 0],
  "19-media-mcast": [190, 0],
  "19-msgfmt-netstring": [197, 0],
  "20-ping-group": [133, 144],
  "23-stonith-null": [62, 0],
  "23b-stonith-fails": [93, 0],
  "24-legacy-cold-start": [184, 0],
  "24b-legacy-crash-return": [258, 0],
  "26-late-heartbeat": [84, 0],
  "26b-frozen-backup": [373, 0],
  "27-standby-without-peer": [144, 0],
  "28-graceful-stop-backup": [126, 0],
  "29-start-failure": [343, 0],
  "30-stop-failure": [173, 0],
  "31-restart-within-deadtime": [323, 0],
  "40-foreign-node-interop": [427, 0],
};
/** What else is in the captures: address resolution, and port unreachable from a stopped host. */
const expectedOthers = new Set(["ethertype 806", "icmp type 3"]);

/** Decodes, checks both digests, and encodes again to the same bytes. */
function roundTrip(name: string, packet: CapturedPacket): void {
  const opened = openDatagram(packet.payload, keyring, nodeHmac);
  ok(opened.ok, `${name} at ${packet.atMs} ms: ${opened.ok ? "" : JSON.stringify(opened.error)}`);
  const { fields, framing, keyIndex } = opened.value;
  equal(framing, "netstring");
  const inner = checkInner(opened.value, keyring, nodeHmac);
  equal(inner, name === "19-msgfmt-netstring" ? "absent" : "right");
  const key = keyring.keys.find((candidate) => candidate.index === keyIndex);
  ok(key !== undefined && (name === "18-auth-md5" ? key.method === "md5" : true));
  const own = fields.filter((field) => field.name !== "auth");
  const signing = { key, inner: inner === "right", clusterId: "" };
  deepEqual(sealNetstring({ fields: own }, signing, nodeHmac), packet.payload);
  ok(
    stringField(opened.value, "t") !== undefined && stringField(opened.value, "src") !== undefined,
  );
}

test("every capture is known to this test", () => {
  deepEqual(captureNames(), Object.keys(counts).sort());
});

for (const [name, [udp, icmp]] of Object.entries(counts)) {
  test(`every datagram of ${name} verifies and encodes again to its own bytes`, () => {
    const { packets, others } = readCapture(name);
    for (const packet of packets) roundTrip(name, packet);
    const udpSeen = packets.filter((packet) => packet.protocol === "udp").length;
    deepEqual([udpSeen, packets.length - udpSeen], [udp, icmp]);
    for (const kind of others.keys()) ok(expectedOthers.has(kind), `${name} has ${kind}`);
  });
}
