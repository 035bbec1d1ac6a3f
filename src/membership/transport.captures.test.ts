import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../base/index.ts";
import { type Capture, type CapturedPacket, captureNames, readCapture } from "./captures.shell.ts";
import type { BeatEvent } from "./contract.ts";
import { nodeHmac } from "./hmac.shell.ts";
import { Transport, type TransportEffect, type TransportOptions } from "./transport.ts";
import { type Keyring, openDatagram, stringField } from "./wire/index.ts";

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
const ambient = { wallMs: 1_000_000, loadAverage: "n/a" };

/** We listen in the place of dbm157: all that dbm158 sent was meant for us too. */
function listener(uuid: string): Transport {
  const options: TransportOptions = {
    host: "dbm157",
    uuid,
    peers: ["dbm158"],
    links: ["eth0", "eth1"],
    pings: [],
    keepaliveMs: 200,
    deadtimeMs: 1_000_000,
    agentGraceMs: 1_000_000,
    hopfudge: 1,
    messageFormat: "classic",
    softwareVersion: "0.1.0",
    seed: 1,
    keyring,
    hmac: nodeHmac,
  };
  const core = new Transport(options, { generation: 1, peers: {} }, instant(0));
  core.step(instant(0), { kind: "start", ambient });
  return core;
}

interface Facts {
  readonly packet: CapturedPacket;
  readonly type: string;
  readonly id: string;
  readonly sequence: number;
  readonly forUs: boolean;
}

/** What the capture says, read without the transport. */
function factsOf(capture: Capture): readonly Facts[] {
  return capture.packets.flatMap((packet) => {
    if (packet.protocol !== "udp") return [];
    const opened = openDatagram(packet.payload, keyring, nodeHmac);
    ok(opened.ok);
    if (stringField(opened.value, "src") !== "dbm158") return [];
    const text = (name: string) => stringField(opened.value, name) ?? "";
    const [type, sequence] = [text("t"), Number.parseInt(text("seq") || "0", 16)];
    const forUs = ["", "dbm157"].includes(text("dest"));
    return [{ packet, type, id: `${text("hg")} ${text("seq")}`, sequence, forUs }];
  });
}

/** The uuid of dbm157, which `destuuid` names. */
function uuidOf(capture: Capture): string {
  for (const { payload, protocol } of capture.packets) {
    const opened = protocol === "udp" ? openDatagram(payload, keyring, nodeHmac) : undefined;
    if (opened?.ok !== true || stringField(opened.value, "src") !== "dbm157") continue;
    const field = opened.value.fields.find(({ name }) => name === "srcuuid");
    if (field?.type === "binary") return Buffer.from(field.value, "latin1").toString("hex");
  }
  return "0".repeat(32);
}

function play(core: Transport, facts: readonly Facts[], startMs: number): readonly BeatEvent[] {
  return facts.flatMap(({ packet }) => {
    const at = instant(startMs + packet.atMs);
    const link = packet.source.startsWith("192.168.1.") ? "eth1" : "eth0";
    const effects: readonly TransportEffect[] = core.step(at, {
      kind: "datagram",
      at,
      link,
      bytes: packet.payload,
      ambient,
    });
    return effects.flatMap((effect) => (effect.kind === "report" ? [effect.event] : []));
  });
}

const isNews = (event: BeatEvent) => event.kind === "status" || event.kind === "message";

for (const name of captureNames()) {
  test(`in ${name} each message of dbm158 is told once, nothing is refused, and nothing twice`, () => {
    const capture = readCapture(name);
    const facts = factsOf(capture);
    const core = listener(uuidOf(capture));
    const first = play(core, facts, 0);
    const numbered = facts.filter(({ type }) => !type.startsWith("NS_"));
    const wanted = new Set(
      numbered.filter(({ forUs, type }) => forUs && type !== "status").map(({ id }) => id),
    );
    const told = first.flatMap((event) =>
      event.kind === "message" ? [`${event.fields["hg"]} ${event.fields["seq"]}`] : [],
    );
    equal(told.length, new Set(told).size, "A message was told twice");
    deepEqual(new Set(told), wanted);
    ok(first.some((event) => event.kind === "status") || numbered.length === 0);
    const { authFailures, malformed, strangers } = core.state().counters;
    deepEqual([authFailures, malformed, strangers], [0, 0, 0]);
    const again = play(core, facts, 900_000);
    deepEqual(again.filter(isNews), [], "A replayed message was taken");
  });
}
