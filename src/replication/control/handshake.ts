/**
 * From two open sockets to the exchange of states (drbd.md 2.1 to 2.6; DESIGN 7.6).
 *
 *   features -> [baton] -> [challenge -> response] -> parameters: P_PROTOCOL, P_SYNC_PARAM89, P_SIZES, P_UUIDS, P_STATE
 *
 * What can never work (versions, secret, protocol, algorithms) ends in StandAlone; whatever else is wrong is tried again.
 */
import { after } from "../../base/index.ts";
import { connectionFlag } from "../wire/enums.ts";
import { feature, type Packet } from "../wire/packets.ts";
import { loseConnection, standAlone } from "./connection.ts";
import type { Core } from "./core.ts";
import { cancelFence } from "./fencing.ts";
import type { Link } from "./memory.ts";
import { nothingKnown } from "./memory.ts";
import { sendProtocol, sendSyncParameters } from "./parameters.ts";
import { sendSizes } from "./sizes.ts";

const OWN_MINIMUM = 100;
const OWN_MAXIMUM = 101;
const OWN_FEATURES =
  feature.trim | feature.thinResync | feature.writeSame | feature.writeZeroes | feature.baton;
const CHALLENGE_BYTES = 64;
const CHALLENGE_MAX_BYTES = 128;

type Greeting = Extract<Link, { phase: "features" | "baton" | "challenge" | "response" }>;

/** Both sockets are up: says what we can do. */
export function beginHandshake(core: Core, acceptedMeta: boolean): void {
  const { memory, options } = core;
  if (memory.link.phase !== "dialling") return;
  memory.lastReceived = core.now;
  memory.peer = nothingKnown();
  memory.link = {
    phase: "features",
    deadline: after(core.now, 4 * options.spec.net.pingTimeoutMs),
    acceptedMeta,
    version: 0,
    features: 0,
    challenge: new Uint8Array(0),
    challenged: false,
  };
  core.send("data", {
    command: "P_CONNECTION_FEATURES",
    minimum: OWN_MINIMUM,
    features: OWN_FEATURES,
    maximum: OWN_MAXIMUM,
  });
}

/** A packet of the first four phases. */
export function greet(core: Core, link: Greeting, packet: Packet): void {
  if (link.phase === "features" && packet.command === "P_CONNECTION_FEATURES") {
    agree(core, link, packet);
  } else if (link.phase === "baton" && packet.command === "P_BATON") {
    if (acceptEpoch(core, packet.clusterId, packet.epoch)) authenticate(core, link);
  } else if (link.phase === "challenge" && packet.command === "P_AUTH_CHALLENGE") {
    answerChallenge(core, link, packet.bytes);
  } else if (link.phase === "challenge") {
    standAlone(
      core,
      "BTN-DISK-AUTH-EXPECTED",
      `the peer sent ${packet.command} where its challenge had to be: it has no shared secret`,
    );
  } else if (link.phase === "response" && packet.command === "P_AUTH_RESPONSE") {
    checkResponse(core, link, packet.bytes);
  } else unexpected(core, link.phase, packet);
}

function unexpected(core: Core, phase: string, packet: Packet): void {
  loseConnection(
    core,
    "ProtocolError",
    "BTN-DISK-UNEXPECTED-PACKET",
    `${packet.command} in phase ${phase}`,
  );
}

function agree(
  core: Core,
  link: Greeting,
  packet: Extract<Packet, { command: "P_CONNECTION_FEATURES" }>,
): void {
  const most = packet.maximum === 0 ? packet.minimum : packet.maximum;
  if (OWN_MAXIMUM < packet.minimum || OWN_MINIMUM > most) {
    const range = `${packet.minimum} to ${most}`;
    standAlone(
      core,
      "BTN-DISK-VERSIONS",
      `the peer speaks protocol ${range}, this host 100 to 101`,
    );
    return;
  }
  const version = Math.min(OWN_MAXIMUM, most);
  const features = OWN_FEATURES & packet.features;
  const next: Greeting = { ...link, version, features };
  const integrity = core.options.spec.net.dataIntegrity;
  core.emit({ kind: "agreed", version, features, integrity });
  if ((features & feature.baton) === 0) {
    authenticate(core, next);
    return;
  }
  sendEpoch(core);
  core.memory.link = { ...next, phase: "baton" };
}

/** P_BATON: our cluster and its epoch. */
export function sendEpoch(core: Core): void {
  const { clusterId, epoch } = core.memory;
  core.send("data", { command: "P_BATON", clusterId, epoch });
}

/** R7: whether this peer may be spoken to. Empty, and 0: no agent has spoken to that disk yet. */
function acceptEpoch(core: Core, clusterId: string, epoch: number): boolean {
  const { memory } = core;
  if (clusterId !== "" && memory.clusterId !== "" && clusterId !== memory.clusterId) {
    const detail = `it is of cluster ${clusterId}, this host of ${memory.clusterId}`;
    loseConnection(core, "ProtocolError", "BTN-DISK-OTHER-CLUSTER", detail);
    return false;
  }
  if (epoch === memory.epoch || epoch === 0 || memory.epoch === 0) return true;
  const detail = `the peer is in epoch ${epoch}, this host in ${memory.epoch}`;
  if (epoch > memory.epoch) {
    memory.higherEpoch = Math.max(memory.higherEpoch, epoch);
    if (core.isPrimary) core.force({ suspFencing: true });
    loseConnection(core, "ProtocolError", "BTN-DISK-EPOCH-HIGHER", detail);
  } else loseConnection(core, "ProtocolError", "BTN-DISK-EPOCH-LOWER", detail);
  return false;
}

function authenticate(core: Core, link: Greeting): void {
  const { options } = core;
  if (options.spec.net.authentication === undefined || options.secret === undefined) {
    sendParameters(core, link);
    return;
  }
  const challenge = new Uint8Array(CHALLENGE_BYTES);
  const view = new DataView(challenge.buffer);
  for (let at = 0; at < CHALLENGE_BYTES; at += 8) {
    view.setBigUint64(at, BigInt.asUintN(64, options.random64()));
  }
  core.send("data", { command: "P_AUTH_CHALLENGE", bytes: challenge });
  core.memory.link = { ...link, phase: "challenge", challenge };
}

function answerChallenge(core: Core, link: Greeting, theirs: Uint8Array): void {
  if (theirs.length < CHALLENGE_BYTES || theirs.length > CHALLENGE_MAX_BYTES) {
    const detail = `a challenge of ${theirs.length} bytes`;
    standAlone(core, "BTN-DISK-AUTH-CHALLENGE", detail);
    return;
  }
  if (sameBytes(theirs.subarray(0, CHALLENGE_BYTES), link.challenge)) {
    standAlone(core, "BTN-DISK-AUTH-REFLECTED", "the peer sent our own challenge back");
    return;
  }
  core.send("data", { command: "P_AUTH_RESPONSE", bytes: keyed(core, theirs) });
  core.memory.link = { ...link, phase: "response", challenged: true };
}

function checkResponse(core: Core, link: Greeting, response: Uint8Array): void {
  const expected = keyed(core, link.challenge);
  if (response.length !== expected.length) {
    const detail = `a response of ${response.length} bytes`;
    loseConnection(core, "ProtocolError", "BTN-DISK-UNEXPECTED-PACKET", detail);
    return;
  }
  if (!sameBytes(response, expected)) {
    standAlone(core, "BTN-DISK-AUTH-FAILED", "the peer has another shared secret");
    return;
  }
  sendParameters(core, link);
}

function keyed(core: Core, bytes: Uint8Array): Uint8Array {
  const { options } = core;
  const { authentication } = options.spec.net;
  if (authentication === undefined || options.secret === undefined) return new Uint8Array(0);
  return options.digests.hmac(authentication.algorithm, options.secret, bytes);
}

/** In a time that does not depend on where they differ. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= (a[at] ?? 0) ^ (b[at] ?? 0);
  return difference === 0;
}

/** Everything that we announce, without waiting; then both sides judge (peer-state.ts). */
function sendParameters(core: Core, link: Greeting): void {
  const { memory, options } = core;
  const { net } = options.spec;
  cancelFence(core);
  sendProtocol(core, "P_PROTOCOL", connectionFlags(core));
  sendSyncParameters(core);
  sendSizes(core, link.features);
  if (memory.disk !== null) core.sendGenerations(0);
  core.sendState();
  memory.lastReceived = core.now;
  memory.link = {
    phase: "parameters",
    session: {
      version: link.version,
      features: link.features,
      resolveConflicts: link.acceptedMeta,
      integrity: net.dataIntegrity,
      verify: net.verify,
      checksumResync: net.checksumResync,
      protocol: net.protocol,
      baton: (link.features & feature.baton) !== 0,
    },
    got: { protocol: false, parameters: false, sizes: false, generations: false, dryRun: false },
  };
  core.force({ conn: "WFReportParams" });
}

function connectionFlags(core: Core): number {
  const { discardMyData, dryRun } = core.memory;
  return (discardMyData ? connectionFlag.discardMyData : 0) | (dryRun ? connectionFlag.dryRun : 0);
}

/** P_BATON of an established peer: its epoch has changed, so it ends this connection to make a new one. */
export function epochChanged(core: Core, clusterId: string, epoch: number, delayMs: number): void {
  if (!acceptEpoch(core, clusterId, epoch)) return;
  loseConnection(core, "TearDown", "BTN-DISK-EPOCH-CHANGED", `epoch ${epoch}`, delayMs);
}
