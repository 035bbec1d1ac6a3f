/** Real beat processes on two hosts in namespaces, over real sockets. */
import { equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LinkConfig, PingConfig } from "../config/index.ts";
import { monotonicClock } from "../system/clock.ts";
import { killGroup } from "../system/process.ts";
import { BeatClient } from "./beat-client.shell.ts";
import { formatGeneration } from "./beat-files.shell.ts";
import { BEAT_SETTINGS_VERSION, type BeatSettings } from "./beat-settings.ts";
import type { BeatEvent, BeatRequest, BeatState } from "./contract.ts";
import { TestNetwork } from "./testing-network.shell.ts";

const program = fileURLToPath(new URL("../main.ts", import.meta.url));
const names = ["dbm157", "dbm158"] as const;
const CONDITION_MAX_MS = 20_000;
const needsRoot = process.getuid?.() === 0 ? false : "needs root: network namespaces";

const port = 694;
const media: Readonly<Record<string, (own: number) => LinkConfig>> = {
  ucast: (own) => ucast("eth0", own),
  ucast6: (own) => ({
    medium: "ucast6",
    device: "eth0",
    port,
    peers: [{ host: names[1 - own], address: `fd77:0::${158 - own}` }],
  }),
  bcast: () => ({ medium: "bcast", device: "eth0", port }),
  mcast: () => ({
    medium: "mcast",
    device: "eth0",
    port,
    group: "239.0.0.77",
    ttl: 1,
    loop: false,
  }),
  mcast6: () => ({
    medium: "mcast6",
    device: "eth0",
    port,
    group: "ff02::77",
    ttl: 1,
    loop: false,
  }),
};

function ucast(device: string, own: number, number = 0): LinkConfig {
  const address = `10.77.${number}.${158 - own}`;
  return { medium: "ucast", device, port, peers: [{ host: names[1 - own], address }] };
}

/** One host of the test: its beat process, through the client that the agent uses. */
class Host implements AsyncDisposable {
  readonly settings: BeatSettings;
  readonly keyFile: string;
  readonly #command: readonly string[];
  readonly #directory: string;
  readonly events: BeatEvent[] = [];
  readonly lost: string[] = [];
  state: BeatState | undefined;
  onFirstState = (_client: BeatClient): void => undefined;
  #client: BeatClient | undefined;

  constructor(
    network: TestNetwork,
    own: 0 | 1,
    links: readonly LinkConfig[],
    pings: readonly PingConfig[] = [],
  ) {
    this.#directory = mkdtempSync(join(tmpdir(), "btn-beat-"));
    this.#command = [
      ...["ip", "netns", "exec", network.hosts[own]],
      ...[process.execPath, "--disable-warning=ExperimentalWarning", program, "beat"],
    ];
    this.keyFile = join(this.#directory, "key");
    writeFileSync(this.keyFile, "HA_JACKBILLOW\n", { mode: 0o600 });
    this.settings = {
      version: BEAT_SETTINGS_VERSION,
      host: names[own],
      peers: [names[1 - own] ?? ""],
      clusterId: "test",
      keepaliveMs: 100,
      deadtimeMs: 2_000,
      agentGraceMs: 3_000,
      auth: {
        mode: "classic",
        sendIndex: 1,
        keys: [{ index: 1, method: "sha1", secret: { kind: "file", path: this.keyFile } }],
      },
      links,
      pings,
      hopfudge: 1,
      messageFormat: "classic",
      softwareVersion: "0.0.0-test",
      stateDirectory: join(this.#directory, "state"),
      runDirectory: join(this.#directory, "run"),
      heartbeatDirectory: join(this.#directory, "heartbeat"),
    };
  }

  get client(): BeatClient {
    ok(this.#client !== undefined, "the host is started");
    return this.#client;
  }

  get log(): string {
    return readFileSync(join(this.#directory, "beat.log"), "utf8");
  }

  async start(): Promise<BeatClient> {
    this.#client = new BeatClient({
      settings: this.settings,
      command: this.#command,
      logFile: join(this.#directory, "beat.log"),
      onState: (state) => {
        const isFirst = this.state === undefined;
        this.state = state;
        if (isFirst) this.onFirstState(this.client);
      },
      onEvent: (event) => this.events.push(event),
      onLost: (detail) => this.lost.push(detail),
    });
    await this.#client.open();
    return this.#client;
  }

  /** Another instance on the same directories; resolves with its exit status and output. */
  second(): Promise<{ readonly status: number | null; readonly output: string }> {
    const [start = "", ...args] = this.#command;
    const file = join(this.settings.runDirectory, "beat-settings.json");
    const child: ChildProcess = spawn(start, [...args, "--settings", file]);
    let output = "";
    child.stderr?.on("data", (chunk) => {
      output += String(chunk);
    });
    return new Promise((resolve) => {
      child.once("close", (status) => resolve({ status, output }));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.#client?.pid;
    this.#client?.close();
    if (pid !== undefined) killGroup(pid, "SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Waits for something that must come; says what it waited for if it does not. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + CONDITION_MAX_MS;
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`Waited in vain: ${what}`);
    await sleep(20);
  }
}

const statusesOn = (host: Host, link: string): number =>
  host.events.filter((event) => event.kind === "status" && event.link === link).length;
/** When something of the peer last came over this link; 0 if nothing did. */
const heardOn = (host: Host, link: string): number =>
  host.events.reduce((last, event) => {
    const heard = event.kind === "status" || event.kind === "linkHeard";
    return heard && event.link === link ? event.at : last;
  }, 0);
describe("beat processes", { skip: needsRoot }, () => {
  const networks: TestNetwork[] = [];
  after(() => {
    for (const network of networks) network[Symbol.dispose]();
  });
  const newNetwork = (devices?: readonly string[]): TestNetwork => {
    const network = new TestNetwork(devices);
    networks.push(network);
    return network;
  };

  for (const [medium, link] of Object.entries(media)) {
    test(`${medium}: both hosts hear each other`, async () => {
      const network = newNetwork();
      await using one = new Host(network, 0, [link(0)]);
      await using other = new Host(network, 1, [link(1)]);
      await Promise.all([one.start(), other.start()]);
      await until("dbm157 hears dbm158", () => statusesOn(one, "eth0") >= 3);
      await until("dbm158 hears dbm157", () => statusesOn(other, "eth0") >= 3);
      equal(one.state?.counters.malformed, 0);
      equal(one.state?.counters.authFailures, 0);
    });
  }

  test("ping nodes and groups answer, of a group one member is enough", async (t: TestContext) => {
    const network = newNetwork();
    const pings: readonly PingConfig[] = [
      { name: "10.77.0.158", group: false, addresses: ["10.77.0.158"] },
      { name: "fd77::158", group: false, addresses: ["fd77::158"] },
      {
        name: "gateways",
        group: true,
        addresses: ["10.77.0.158", "fd77::158", "10.77.0.99"],
      },
      { name: "10.77.0.99", group: false, addresses: ["10.77.0.99"] },
    ];
    await using host = new Host(network, 0, [ucast("eth0", 0)], pings);
    await host.start();
    const replies = (ping: string): number =>
      host.events.filter((event) => event.kind === "pingReply" && event.ping === ping).length;
    const answering = ["10.77.0.158", "fd77::158", "gateways"];
    await until("all answer", () => answering.every((ping) => replies(ping) >= 5));
    equal(replies("10.77.0.99"), 0);
    ok(replies("gateways") <= replies("10.77.0.158") + 1, "first reply per request counts");
    t.diagnostic(`replies: ${answering.map((ping) => `${ping} ${replies(ping)}`).join(", ")}`);
  });

  test("a device that vanishes and comes back carries beats again", async () => {
    const network = newNetwork(["eth0", "eth1"]);
    const links = (own: number): LinkConfig[] => [ucast("eth0", own), ucast("eth1", own, 1)];
    await using one = new Host(network, 0, links(0));
    await using other = new Host(network, 1, links(1));
    await Promise.all([one.start(), other.start()]);
    await until("eth0 works", () => heardOn(one, "eth0") > 0 && heardOn(other, "eth0") > 0);
    network.unplug("eth0");
    await until("it is logged", () => /eth0: the device is gone/.test(one.log));
    const isError = (event: BeatEvent): boolean =>
      event.kind === "linkError" && event.link === "eth0";
    await until("it is reported", () => one.events.some(isError));
    const goneAt = heardOn(one, "eth1");
    network.plug("eth0", 0);
    await until("eth0 works again", () => heardOn(one, "eth0") > goneAt);
    await until("both ways", () => heardOn(other, "eth0") > goneAt);
    equal(one.state?.peers[0]?.generation, other.state?.generation);
  });

  test("a broadcast link follows its device: missing at start, down, another address", async () => {
    const network = newNetwork(["eth1"]);
    const link: LinkConfig = { medium: "bcast", device: "eth0", port };
    await using one = new Host(network, 0, [link]);
    await using other = new Host(network, 1, [link]);
    await Promise.all([one.start(), other.start()]);
    await until("it is reported", () => /eth0: the device does not exist/.test(one.log));
    network.plug("eth0", 0);
    await until("it works", () => heardOn(one, "eth0") > 0 && heardOn(other, "eth0") > 0);
    const [host] = network.hosts;
    network.link(host, "eth0", "down");
    await until("errors are counted", () => (one.state?.counters.sendErrors ?? 0) > 0);
    const downAt = heardOn(one, "eth0");
    network.link(host, "eth0", "up");
    await until("it works again", () => heardOn(one, "eth0") > downAt);
    for (const [index, name] of network.hosts.entries()) {
      network.execute(name, ["ip", "-4", "address", "flush", "dev", "eth0"]);
      network.address(name, "eth0", `10.78.0.${157 + index}/16`);
    }
    const movedAt = monotonicClock.now();
    await until("it works on the new network", () => heardOn(other, "eth0") > movedAt);
  });

  test("a flood costs its share and crowds out no beat", async (t: TestContext) => {
    const network = newNetwork();
    const [, flooder] = network.hosts;
    network.address(flooder, "eth0", "10.77.0.66/24");
    await using one = new Host(network, 0, [ucast("eth0", 0)]);
    await using other = new Host(network, 1, [ucast("eth0", 1)]);
    await Promise.all([one.start(), other.start()]);
    await until("they hear each other", () => statusesOn(one, "eth0") > 0);
    const flood = spawn(
      "ip",
      ["netns", "exec", flooder, process.execPath, "-e", floodScript, "10.77.0.157", `${port}`],
      { stdio: "ignore" },
    );
    const ended = new Promise((resolve) => flood.once("close", resolve));
    const before = [statusesOn(one, "eth0"), statusesOn(other, "eth0")] as const;
    try {
      await until("it is cut", () => (one.state?.counters.rateLimited ?? 0) > 1_000);
      await until("dbm157 still hears", () => statusesOn(one, "eth0") >= before[0] + 10);
      await until("dbm157 is still heard", () => statusesOn(other, "eth0") >= before[1] + 10);
    } finally {
      flood.kill("SIGKILL");
      await ended;
    }
    t.diagnostic(`counters after the flood: ${JSON.stringify(one.state?.counters)}`);
    equal(one.lost.length, 0);
  });

  test("each start has a higher generation, however the last one ended", async (t: TestContext) => {
    const network = newNetwork();
    await using host = new Host(network, 0, [ucast("eth0", 0)]);
    const client = await host.start();
    await until("it beats", () => (host.state?.sequence ?? 0) > 2);
    const generations = [host.state?.generation ?? 0];
    const path = join(host.settings.heartbeatDirectory, "hb_generation");
    equal(readFileSync(path, "latin1"), formatGeneration(generations[0] ?? 0));
    equal(readFileSync(join(host.settings.heartbeatDirectory, "hb_uuid")).length, 16);
    const killed = client.pid ?? 0;
    process.kill(killed, "SIGKILL");
    await until("the loss is told", () => host.lost.length > 0);
    await until("another one is started", () => (client.pid ?? killed) !== killed);
    await until("it beats", () => (host.state?.sequence ?? 0) > 2);
    generations.push(host.state?.generation ?? 0);
    t.diagnostic(`resident memory of a beat process: ${memory(client.pid)}`);

    // The real program ran meanwhile, as in a rolling replacement (heartbeat.md 16.1).
    await client.end();
    const ahead = (generations[1] ?? 0) + 10;
    writeFileSync(path, formatGeneration(ahead));
    await host.start();
    await until("it beats", () => (host.state?.sequence ?? 0) > 2);
    equal(host.state?.generation, ahead + 1);
    equal(generations[1], (generations[0] ?? 0) + 1);
  });

  test("a second instance on the same run directory is refused", async () => {
    const network = newNetwork();
    await using host = new Host(network, 0, [ucast("eth0", 0)]);
    const client = await host.start();
    const { status, output } = await host.second();
    notEqual(status, 0);
    match(output, /BTN-BEAT-ALREADY-RUNNING/);
    match(output, new RegExp(`locked by process ${client.pid}`));
    await client.request({ kind: "alive" });
  });

  test("an agent that restarts finds its process and what peers said meanwhile", async () => {
    const network = newNetwork();
    await using one = new Host(network, 0, [ucast("eth0", 0)]);
    await using other = new Host(network, 1, [ucast("eth0", 1)]);
    const clients = await Promise.all([one.start(), other.start()]);
    await until("they hear each other", () => statusesOn(one, "eth0") > 0);
    await until("both ways", () => statusesOn(other, "eth0") > 0);
    const { pid } = clients[0];
    clients[0].close();
    // Two beats later the process has seen that its agent is gone.
    const beats = statusesOn(other, "eth0");
    await until("it goes on alone", () => statusesOn(other, "eth0") >= beats + 2);
    await clients[1].request({ kind: "send", fields: { t: "ask_resources", info: "me" } });
    await sleep(300);
    const again = await one.start();
    equal(again.pid, pid);
    equal(again.joined, true);
    equal(again.settingsMatch, true);
    const asked = (event: BeatEvent): boolean =>
      event.kind === "message" && event.fields["t"] === "ask_resources";
    await until("the message came", () => one.events.some(asked));
    equal(one.events.filter(asked).length, 1);
  });

  test("a request that answers the first state reaches the process", async () => {
    await using one = new Host(newNetwork(), 0, [ucast("eth0", 0)]);
    one.onFirstState = (client) => {
      client.request({ kind: "announce", status: "active", deadtimeMs: 2_000 }).catch(() => {
        // Lost: the wait below tells.
      });
    };
    await one.start();
    await until("it is active", () => one.state?.status === "active");
  });

  test("keys are read again while it beats; keys that can not be read change nothing", async () => {
    const network = newNetwork();
    await using one = new Host(network, 0, [ucast("eth0", 0)]);
    await using other = new Host(network, 1, [ucast("eth0", 1)]);
    const clients = await Promise.all([one.start(), other.start()]);
    await until("they hear each other", () => heardOn(one, "eth0") > 0);
    writeFileSync(one.keyFile, "");
    await clients[0].request({ kind: "rereadKeys" });
    const refused = (event: BeatEvent): boolean =>
      event.kind === "refused" && event.reason === "BTN-BEAT-KEYS";
    await until("it is reported", () => one.events.some(refused));
    const keptAt = heardOn(other, "eth0");
    await until("the old key is in use", () => heardOn(other, "eth0") > keptAt);
    for (const [index, host] of [one, other].entries()) {
      writeFileSync(host.keyFile, "another key\n");
      await clients[index]?.request({ kind: "rereadKeys" });
    }
    await until("both have read", () => [one, other].every((host) => /read again/.test(host.log)));
    const changedAt = Math.max(heardOn(one, "eth0"), heardOn(other, "eth0"));
    await until("the new key is in use", () =>
      [one, other].every((host) => heardOn(host, "eth0") > changedAt),
    );
  });

  test("requests that make no sense are refused and change nothing", async () => {
    const network = newNetwork();
    await using host = new Host(network, 0, [ucast("eth0", 0)]);
    const client = await host.start();
    const nonsense = { kind: "announce", status: "dead" } as unknown as BeatRequest;
    await rejects(client.request(nonsense), { code: "BTN-BEAT-REQUEST" });
    equal(host.state?.status === "init" || host.state?.status === "up", true);
  });

  test("SIGTERM ends it cleanly", async () => {
    const network = newNetwork();
    await using host = new Host(network, 0, [ucast("eth0", 0)]);
    const client = await host.start();
    const pid = client.pid ?? 0;
    await until("it beats", () => (host.state?.sequence ?? 0) > 0);
    client.close();
    process.kill(pid, "SIGTERM");
    await until("it is gone", () => !isRunning(pid));
    await rejects(async () => readFileSync(join(host.settings.runDirectory, "beat.sock")), {
      code: "ENOENT",
    });
  });
});

/** Sends garbage from an address that is no peer's, as fast as it can, for at most a minute. */
const floodScript = `
  const socket = require("node:dgram").createSocket("udp4");
  const [address, port] = process.argv.slice(1);
  const garbage = Buffer.alloc(300, "#");
  const until = Date.now() + 60000;
  const burst = () => {
    for (let count = 0; count < 200; count++) socket.send(garbage, Number(port), address, () => {});
    if (Date.now() < until) setTimeout(burst, 2); else socket.close();
  };
  socket.bind(0, "10.77.0.66", burst);
`;

function memory(pid: number | undefined): string {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const of = (key: string): string => new RegExp(`${key}:\\s+(\\d+ kB)`).exec(status)?.[1] ?? "?";
  return `${of("VmRSS")}, of it anonymous ${of("RssAnon")}`;
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false; // no such process
  }
}
